"""How fast a file of events is imported, from upload to report, imported once more, and undone.

`N=1000000 python -m bench.event_imports` writes a file of N events of N/10 members with an ID and
three properties each, one row in a hundred bad, and imports it twice as the worker does: the second
time every event is known already. Then the first import is taken back.
"""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import create_engine, func, select, text

import app.models  # noqa: F401 - the mappers need every table
from app.postgres import EmbeddedPostgres
from app.users.imports import event_fields, service
from app.users.imports.models import ImportedEvent, ImportKind
from app.users.slots import Kind
from bench.imports import BAD, PEAK_MB, peak_mb, work
from core.db import unit_of_work, use_bind
from core.settings import core_settings
from core.types import ImportId, MerchantId, utc_now

COLUMNS = ("email", "time", "event", "event id", "amount", "shop", "gift")
OWN = {4: (Kind.NUMBER, "amount"), 5: (Kind.TEXT, "shop"), 6: (Kind.BOOLEAN, "gift")}
_MEMBERS = """
INSERT INTO users (id, merchant_id, email, email_key, name_key, state, source, mail_status,
    created_at, version)
SELECT cohort_new_id(), :merchant, 'person.' || n || '@example.com',
    'person.' || n || '@example.com', '', 'active', 'bench', 'ok', now(), 1
FROM generate_series(1, :count) AS n (n)
"""


def write(path: Path, count: int) -> None:
    """The file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(count):
            minute, day = number % 60, 1 + number % 28
            cells = [
                f"person.{1 + number % (count // 10)}@example.com",
                f"2026-{1 + number % 9:02}-{day:02} {number % 24:02}:{minute:02}:{minute:02}",
                f"order.{('placed', 'paid', 'shipped')[number % 3]}",
                f"E-{number:09}",
                f"{number % 5_000}.{number % 100:02}",
                f"Shop {number % 997}",
                "yes" if number % 5 else "no",
            ]
            if number % BAD == BAD - 1:
                cells[number // BAD % 2] = "nobody"
            writer.writerow(cells)


def product(place: str) -> dict[str, Any]:
    """Imports the file twice, as the worker does, and takes the first import back."""
    merchant_id, path = place.split("|")
    merchant = MerchantId(UUID(merchant_id))
    with use_bind(create_engine(os.environ["BENCH_DATABASE"])):
        first, seconds = _import(merchant, Path(path))
        _, again = _import(merchant, Path(path))
        started = time.monotonic()
        with unit_of_work(merchant=merchant) as session:
            row = service.get(session, first)
            created, rejected = row.created_count, row.rejected_count
            service.undo(session, row, at=utc_now())
        work(merchant, first)
        undone = time.monotonic() - started
        with unit_of_work(merchant=merchant) as session:
            left = session.scalar(select(func.count()).select_from(ImportedEvent))
    return {
        "seconds": round(seconds, 1),
        "again_seconds": round(again, 1),
        "undo_seconds": round(undone, 1),
        "created": created,
        "rejected": rejected,
        "left": left,
        "peak_mb": round(peak_mb()),
    }


def _import(merchant: MerchantId, path: Path) -> tuple[ImportId, float]:
    started = time.monotonic()
    with unit_of_work(merchant=merchant) as session, path.open("rb") as content:
        import_id = service.upload(
            session, path.name, content, kind=ImportKind.EVENTS, at=utc_now()
        ).id
    work(merchant, import_id)
    with unit_of_work(merchant=merchant) as session:
        row = service.get(session, import_id)
        mapping = {int(place): key for place, key in row.mapping.items()}
        mapping |= {at: event_fields.property_key(*it) for at, it in OWN.items()}
        service.choose_mapping(session, row, mapping)
        service.start(session, row, at=utc_now())
    work(merchant, import_id)
    with unit_of_work(merchant=merchant) as session:
        row = service.get(session, import_id)
        assert row.state in service.DONE, row.failure
    return import_id, time.monotonic() - started


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    # Only here: what starts an installation is no part of an importing process.
    from bench.wallets import installation

    count = int(os.environ.get("N") or 1_000_000)
    with installation() as merchant:
        folder = core_settings().data_dir
        server = EmbeddedPostgres(folder / "postgres")
        os.environ["BENCH_DATABASE"] = server.login_url
        with unit_of_work(merchant=merchant) as session:
            session.execute(text(_MEMBERS), {"merchant": merchant, "count": count // 10})
        path = folder / "events.csv"
        write(path, count)
        command = [sys.executable, "-m", "bench.event_imports", f"{merchant}|{path}"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    report = {"bench": "event_imports", "rows": count, **json.loads(done.stdout.splitlines()[-1])}
    for name, value in report.items():
        print(f"{name:<20}{value:>16}")
    print(json.dumps(report))
    is_whole = report["created"] + report["rejected"] == count and report["left"] == 0
    sys.exit(0 if is_whole and report["peak_mb"] <= PEAK_MB else 1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(product(sys.argv[1])))
    else:
        main()

"""How fast an audience file is read: parsed, checked, its bad rows listed, ready for a preview.

`N=1000000 python -m bench.audience` writes a file of N rows, one in a hundred bad, and reads it as
the worker does. A tenth of its people are members, a tenth of its rows are addresses. The floor is
a bare script that parses the same file with the csv module and copies it into one table, in the
same run. Each side is a process of its own, so that its memory can be told.
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

import psycopg
from sqlalchemy import create_engine, insert

import app.models  # noqa: F401 - the mappers need every table
from app.campaigns import audiences, files, service
from app.campaigns.models import FileState
from app.postgres import EmbeddedPostgres
from app.users.models import User
from app.users.service import new_row
from bench.wallets import installation
from core.db import unit_of_work, use_bind
from core.settings import core_settings
from core.types import CampaignId, MerchantId, utc_now

BAD = 100
"""One row in so many is bad."""
_KINDS = 10
"""One row in so many is a member's, another one an address."""


def write(path: Path, count: int) -> None:
    """The file: mostly emails of strangers, some of members, some addresses, some bad."""
    bad = ("nobody", "0xzz", "person0@example.com", "a@b@c")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("recipient email", "email", "key"))
        for number in range(count):
            if number % BAD == BAD - 1:
                recipient = bad[number // BAD % len(bad)]
            elif number % _KINDS == 1:
                recipient = f"0x{number + (1 << 150):040x}"
            else:
                recipient = f"person{number}@example.com"
            writer.writerow((f"Person {number}", recipient, f"row-{number}"))


def add_members(merchant: MerchantId, count: int) -> None:
    """A tenth of the people are known; nothing here looks at their wallets."""
    emails = [f"person{number}@example.com" for number in range(0, count, _KINDS)]
    rows = [new_row(email, email, source="bench") for email in emails]
    with unit_of_work(merchant=merchant) as session:
        values = [{**row, "created_at": utc_now(), "version": 1} for row in rows]
        session.execute(insert(User), values)


def product(place: str) -> dict[str, Any]:
    """Reads the file to its end, as the worker does."""
    merchant_id, campaign_id, path = place.split("|")
    merchant = MerchantId(UUID(merchant_id))
    with use_bind(create_engine(os.environ["BENCH_DATABASE"])):
        started = time.monotonic()
        with unit_of_work(merchant=merchant) as session, Path(path).open("rb") as content:
            campaign = service.get(session, CampaignId(UUID(campaign_id)))
            file = service.choose_file(session, campaign, "to.csv", content, at=utc_now())
        more = True
        while more:
            with unit_of_work(merchant=merchant) as session:
                more = files.run_part(session, file.id, at=utc_now())
        seconds = time.monotonic() - started
        with unit_of_work(merchant=merchant) as session:
            campaign = service.get(session, CampaignId(UUID(campaign_id)))
            found = files.find(session, campaign)
            assert found is not None and found.state is FileState.READY, found and found.failure
            reach = audiences.reach(session, campaign)
            listed = sum(1 for _ in files.rejected_as_csv(session, found)) - 1
    return {
        "seconds": seconds,
        "rows": found.row_count,
        "rejected": listed,
        "recipients": reach.total,
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> float:
    """Of this process alone: what getrusage tells begins with the memory of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def floor(place: str) -> dict[str, Any]:
    """Parses the same file and copies it into one table."""
    path = place.split("|")[2]
    url = os.environ["BENCH_OWNER"].replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE bench_rows (name text, recipient text, key text)")
        started = time.monotonic()
        with Path(path).open(newline="", encoding="utf-8") as file, connection.cursor() as cursor:
            rows = csv.reader(file)
            next(rows)
            with cursor.copy("COPY bench_rows FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        connection.commit()
        return {"seconds": time.monotonic() - started}


def _stage(name: str, argument: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.audience", name, argument]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    count = int(os.environ.get("N") or 1_000_000)
    with installation() as merchant:
        folder = core_settings().data_dir
        _name_databases(folder)
        path = folder / "recipients.csv"
        write(path, count)
        add_members(merchant, count)
        with unit_of_work(merchant=merchant) as session:
            campaign = service.create_airdrop(session, "Bench", at=utc_now()).id
        place = f"{merchant}|{campaign}|{path}"
        ours, bare = _stage("product", place), _stage("floor", place)
    report = {
        "bench": "audience",
        "rows": ours["rows"],
        "rejected": ours["rejected"],
        "recipients": ours["recipients"],
        "seconds": round(ours["seconds"], 1),
        "floor_seconds": round(bare["seconds"], 1),
        "ratio": round(ours["seconds"] / bare["seconds"], 2),
        "peak_mb": round(ours["peak_mb"]),
    }
    for name, value in report.items():
        print(f"{name:<20}{value:>16}")
    print(json.dumps(report))
    sys.exit(0 if ours["rows"] == count and ours["rejected"] == count // BAD else 1)


def _name_databases(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "postgres")
    os.environ["BENCH_DATABASE"], os.environ["BENCH_OWNER"] = server.login_url, server.owner_url


if __name__ == "__main__":
    if len(sys.argv) > 1:
        stage = {"product": product, "floor": floor}[sys.argv[1]]
        print(json.dumps(stage(sys.argv[2])))
    else:
        main()

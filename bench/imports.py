"""How fast a file of members is imported, from upload to report, and imported once more.

`N=1000000 python -m bench.imports` writes a file of N rows with eight values each, one row in a
hundred bad, and imports it twice as the worker does. The floor is a script written by hand, in the
same run, on an identical fresh installation with the same indexes: it copies a file without bad
rows into a temporary table, upserts and writes the events, and checks nothing: the second time it
writes every row and event anew, where the product looks whether anything differs. Each side is a
process of its own, so that its memory can be told.
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
from sqlalchemy import create_engine

import app.models  # noqa: F401 - the mappers need every table
from app.postgres import EmbeddedPostgres
from app.users import properties
from app.users.fields import of_property
from app.users.imports import running, service
from app.users.slots import Kind
from core.db import unit_of_work, use_bind
from core.settings import core_settings
from core.types import MerchantId, utc_now

BAD = 100
"""One row in so many is bad."""
CEILING, PEAK_MB = 1.5, 300
COLUMNS = (
    "email",
    "first name",
    "last name",
    "reference id",
    "country",
    "City",
    "Points",
    "Birthday",
    "Vip",
)
OWN = {"City": Kind.TEXT, "Points": Kind.NUMBER, "Birthday": Kind.DATE, "Vip": Kind.BOOLEAN}
_COUNTRIES = ("FR", "DE", "IT", "ES", "JP", "BR", "US")


def record(number: int) -> list[str]:
    """A person of the file."""
    return [
        f"Person.{number}@example{number % 97}.com",
        f"First{number % 5_003}",
        f"Läst{number % 7_919}" if number % 10 == 0 else f"Last{number % 7_919}",
        f"C-{number:08}",
        _COUNTRIES[number % len(_COUNTRIES)],
        f"City {number % 1_009}",
        f"{number % 100_003}.{number % 100:02}",
        f"{1950 + number % 60}-{1 + number % 12:02}-{1 + number % 28:02}",
        "true" if number % 3 else "no",
    ]


def write(path: Path, count: int, *, is_clean: bool) -> None:
    """The file; of a clean one nothing is refused, and it has as many rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(count):
            cells = record(number)
            if number % BAD == BAD - 1 and not is_clean:
                kind = number // BAD % 4
                if kind == 0:
                    cells[0] = "nobody"
                elif kind == 1:
                    cells[0] = record(1)[0]
                elif kind == 2:
                    cells[6] = "many"
                else:
                    del cells[-1]
            writer.writerow(cells)


def add_properties(merchant: MerchantId) -> dict[str, str]:
    """The brand's own properties: name -> key."""
    with unit_of_work(merchant=merchant) as session:
        made = [properties.create(session, name, kind, at=utc_now()) for name, kind in OWN.items()]
        return {row.name: of_property(row).key for row in made}


def product(place: str) -> dict[str, Any]:
    """Imports the file twice, as the worker does."""
    merchant_id, path = place.split("|")
    merchant = MerchantId(UUID(merchant_id))
    with use_bind(create_engine(os.environ["BENCH_DATABASE"])):
        first, rejected = _import(merchant, Path(path))
        again, _ = _import(merchant, Path(path))
    return {"seconds": first, "again": again, "rejected": rejected, "peak_mb": peak_mb()}


def _import(merchant: MerchantId, path: Path) -> tuple[float, int]:
    started = time.monotonic()
    with unit_of_work(merchant=merchant) as session, path.open("rb") as content:
        import_id = service.upload(session, path.name, content, at=utc_now()).id
    work(merchant, import_id)
    with unit_of_work(merchant=merchant) as session:
        service.start(session, service.get(session, import_id), at=utc_now())
    work(merchant, import_id)
    seconds = time.monotonic() - started
    with unit_of_work(merchant=merchant) as session:
        row = service.get(session, import_id)
        assert row.state in service.DONE, row.failure
        return seconds, row.rejected_count


def work(merchant: MerchantId, import_id: Any) -> None:
    """What the worker does, until nothing is left to do."""
    more = True
    while more:
        started = time.monotonic()
        with unit_of_work(merchant=merchant) as session:
            more = running.run_part(session, import_id, at=utc_now())
        if os.environ.get("BENCH_PARTS"):
            print(f"part {time.monotonic() - started:.2f} s, {peak_mb():.0f} MB", file=sys.stderr)


def peak_mb() -> float:
    """The most memory of this process: what getrusage tells begins with that of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


_STAGE = """
CREATE TEMPORARY TABLE stage (email text, first text, last text, reference text COLLATE "C",
    country text, city text, points numeric, birthday timestamptz, vip boolean)
"""
_UPSERT = """
WITH done AS (
    INSERT INTO users (id, merchant_id, email, email_key, first_name, last_name, first_key,
        last_key, name_key, reference_id, country, t1, k1, n1, d1, b1, state, source, mail_status,
        created_at, version)
    SELECT cohort_new_id(), %(merchant)s, email, lower(email), first, last, lower(first),
        lower(last), lower(first || ' ' || last), reference, country, city, lower(city), points,
        birthday, vip, 'active', 'import', 'ok', now(), 1
    FROM stage
    ON CONFLICT (merchant_id, email_key) DO UPDATE SET
        first_name = excluded.first_name, last_name = excluded.last_name,
        first_key = excluded.first_key, last_key = excluded.last_key,
        name_key = excluded.name_key, reference_id = excluded.reference_id,
        country = excluded.country, t1 = excluded.t1, k1 = excluded.k1, n1 = excluded.n1,
        d1 = excluded.d1, b1 = excluded.b1, version = users.version + 1
    RETURNING id, version
)
INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)
SELECT cohort_new_id(), %(merchant)s, now(),
    CASE version WHEN 1 THEN 'cohort.user.created' ELSE 'cohort.user.updated' END, id, 'script',
    '{"source": "import"}' FROM done
"""


def floor(place: str) -> dict[str, Any]:
    """Copies, upserts, tells; twice, and the bare copying alone."""
    merchant, path = place.split("|")
    url = os.environ["BENCH_OWNER"].replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        first, copied = _script(connection, merchant, Path(path))
        again, _ = _script(connection, merchant, Path(path))
    return {"seconds": first, "again": again, "copy": copied}


def _script(connection: Any, merchant: str, path: Path) -> tuple[float, float]:
    started = time.monotonic()
    connection.execute(_STAGE)
    with (
        path.open("rb") as file,
        connection.cursor() as cursor,
        cursor.copy("COPY stage FROM STDIN (FORMAT csv, HEADER)") as copy,
    ):
        while data := file.read(1 << 20):
            copy.write(data)
    copied = time.monotonic() - started
    connection.execute(_UPSERT, {"merchant": merchant})
    connection.execute("DROP TABLE stage")
    connection.commit()
    return time.monotonic() - started, copied


def _stage(name: str, argument: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.imports", name, argument]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def side(name: str, count: int) -> dict[str, Any]:
    """One side on a fresh installation."""
    # Only here: what starts an installation is no part of an importing process.
    from bench.wallets import installation

    with installation() as merchant:
        folder = core_settings().data_dir
        server = EmbeddedPostgres(folder / "postgres")
        os.environ["BENCH_DATABASE"], os.environ["BENCH_OWNER"] = (
            server.login_url,
            server.owner_url,
        )
        add_properties(merchant)
        path = folder / "members.csv"
        write(path, count, is_clean=name == "floor")
        return _stage(name, f"{merchant}|{path}")


def main() -> None:
    """Prints the table, and one JSON object as the last line."""
    count = int(os.environ.get("N") or 1_000_000)
    bare, ours = side("floor", count), side("product", count)
    report = {
        "bench": "imports",
        "rows": count,
        "seconds": round(ours["seconds"], 1),
        "floor_seconds": round(bare["seconds"], 1),
        "copy_seconds": round(bare["copy"], 1),
        "ratio": round(ours["seconds"] / bare["seconds"], 2),
        "update_ratio": round(ours["again"] / bare["again"], 2),
        "peak_mb": round(ours["peak_mb"]),
        "rejected": ours["rejected"],
    }
    for name, value in report.items():
        print(f"{name:<20}{value:>16}")
    print(json.dumps(report))
    is_good = ours["rejected"] == count // BAD and report["peak_mb"] <= PEAK_MB
    sys.exit(0 if is_good and max(report["ratio"], report["update_ratio"]) <= CEILING else 1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        stage = {"product": product, "floor": floor}[sys.argv[1]]
        print(json.dumps(stage(sys.argv[2])))
    else:
        main()

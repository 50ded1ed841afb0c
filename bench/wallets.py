"""How fast wallets are made: random keys, sealed, as rows in PostgreSQL with all their indexes.

Starts its own PostgreSQL in a temporary folder. The floor is what no custody can do without, in
rounds between those of the product: a random key and its 20-byte address by the plain calls of
coincurve and eth-hash. The strict floor does the same by the product's own shorter way, which
leaves out the library's second look at a key that `os.urandom` made. Both are one thread without
any sealing or storing. `N=100000 python -m bench.wallets` makes so many wallets, a data key's
worth a transaction.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coincurve import PrivateKey
from eth_hash.auto import keccak
from sqlalchemy import create_engine, func, select

import app.models  # noqa: F401 - the mappings need every table
from app import database
from app.accounts.service import ensure_installation
from app.postgres import EmbeddedPostgres
from bench.installation import signing
from core.db import unit_of_work, use_bind
from core.ids import new_id
from core.settings import core_settings
from core.types import MerchantId, utc_now
from wallets.addresses import address_of
from wallets.models import Wallet, WalletKind
from wallets.service import create_wallets

PART = 10_000
_START_SECONDS = 30


@contextmanager
def installation() -> Iterator[MerchantId]:
    """An empty database with one merchant, until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="cohort-bench-"))
    os.environ["COHORT_DATA_DIR"] = str(folder)
    core_settings.cache_clear()
    server = EmbeddedPostgres(folder / "postgres")
    server.initialise()
    process = subprocess.Popen(
        server.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    engine = create_engine(server.login_url)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not database.answers(server.owner_url) and time.monotonic() < deadline:
            time.sleep(0.05)
        database.prepare(server.owner_url, server.login_url, server.signer_url)
        with signing(server), use_bind(engine):
            with unit_of_work() as session:
                merchant = ensure_installation(session, at=utc_now())
            yield merchant.id
    finally:
        engine.dispose()
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def floor(count: int) -> float:
    """Seconds for so many bare keys and addresses, by the libraries' plain calls."""
    start = time.perf_counter()
    for _ in range(count):
        keccak(PrivateKey().public_key.format(compressed=False)[1:])[12:]
    return time.perf_counter() - start


def strict_floor(count: int) -> float:
    """Seconds for so many bare keys and addresses, by the product's own way."""
    start = time.perf_counter()
    for _ in range(count):
        address_of(os.urandom(32))
    return time.perf_counter() - start


def made(merchant: MerchantId, count: int) -> float:
    """Seconds for so many wallets, committed."""
    owners = [new_id() for _ in range(count)]
    start = time.perf_counter()
    with unit_of_work(merchant=merchant) as session:
        create_wallets(session, WalletKind.MEMBER, owners=owners, at=utc_now())
    return time.perf_counter() - start


def stored(merchant: MerchantId) -> tuple[int, int]:
    """Rows, and different addresses among them."""
    with unit_of_work(merchant=merchant) as session:
        rows = session.execute(
            select(func.count(), func.count(func.distinct(Wallet.address))).select_from(Wallet)
        ).one()
    return int(rows[0]), int(rows[1])


def _memory_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Prints a line a part, and one JSON object as the last line."""
    total = int(os.environ.get("N") or 100_000)
    floor_seconds = strict_seconds = seconds = 0.0
    with installation() as merchant:
        made(merchant, 1)  # the first unit of work makes the key-encryption key
        before = _memory_mib()
        print(
            f"{'wallets':>10} {'a second':>10} {'floor':>10} {'strict':>10} {'ratio':>6} {'MiB':>6}"
        )
        for start in range(0, total, PART):
            count = min(PART, total - start)
            bare, strict, full = floor(count), strict_floor(count), made(merchant, count)
            floor_seconds, strict_seconds = floor_seconds + bare, strict_seconds + strict
            seconds += full
            print(
                f"{start + count:>10,} {count / full:>10,.0f} {count / bare:>10,.0f}"
                f" {count / strict:>10,.0f} {bare / full:>6.2f} {_memory_mib():>6,}"
            )
        rows, different = stored(merchant)
        after = _memory_mib()
    report = {
        "bench": "wallets",
        "n": total,
        "per_second": round(total / seconds),
        "floor_per_second": round(total / floor_seconds),
        "ratio": round(floor_seconds / seconds, 3),
        "strict_floor_per_second": round(total / strict_seconds),
        "strict_ratio": round(strict_seconds / seconds, 3),
        "memory_growth_mib": after - before,
        "rows": rows,
        "different_addresses": different,
    }
    print(json.dumps(report))
    sys.exit(0 if rows == different == total + 1 else 1)


if __name__ == "__main__":
    main()

"""Fault campaigns: workers are killed while a chain lies, and an oracle outside the system counts.

`make faults LEVEL=pr SIZE=100000 SEED=1`, or `python -m tests.faults.campaign`. Three workers run
the product's engine on PostgreSQL against the model chain (`tests/faults/model.py`), whose
contract executes whatever is sent: nothing but the pipeline keeps anybody from being served twice.
One of them is killed with SIGKILL again and again, and forked anew from a process that has
everything loaded. At the end the canonical chain is compared with the frozen plan, and the tables
with both. A run is repeated by its seed as far as the timing of processes allows.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
from sqlalchemy import create_engine, func, select
from sqlalchemy.pool import NullPool

import app.models  # noqa: F401 - the mappers need every table
from app import database, engine
from app.accounts.service import ensure_installation
from app.postgres import EmbeddedPostgres
from chain.models import Attempt, ChainKind, Outcome, Transaction
from chain.networks import client_for, ensure_chain, ensure_lane
from core.db import unit_of_work, use_bind
from core.errors import AppError
from core.log import configure_logging
from core.types import MerchantId, utc_now
from minting import plans
from minting.models import Batch, BatchState, PlanKind
from minting.plans import FrozenBatch, Target
from tests.faults.model import Faults, Model, serve
from wallets.addresses import ChecksumAddress

A_BATCH = 100
"""Recipients of a batch: small, so that there is something to hit."""

CONTRACTS = 16
WORKERS = 3


@dataclass(frozen=True)
class Level:
    """How much and how hard.

    Args:
        kill_seconds: between two kills.
        limit_seconds: until the run counts as hanging.
    """

    recipients: int
    kills: int
    kill_seconds: float
    limit_seconds: float
    faults: Faults


_LIES = Faults(
    lost_before=0.01,
    lost_after=0.02,
    nonsense=0.01,
    duplicate=0.02,
    false_null=0.02,
    forgotten_pool=0.002,
    reorg=0.006,
)
LEVELS = {
    "slice": Level(4_000, 40, 0.08, 100, _LIES),
    "pr": Level(100_000, 1_000, 0.06, 600, _LIES),
    # longer campaigns of the same kind
    "nightly": Level(1_000_000, 10_000, 0.06, 7_200, _LIES),
}


@dataclass(frozen=True)
class Ground:
    """Where a campaign takes place."""

    postgres: EmbeddedPostgres
    port: int
    context: Any


@contextmanager
def ground(level: Level, seed: int) -> Iterator[Ground]:
    """A database and a model chain of the campaign's own."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    model = context.Process(target=serve, args=(Model(level.faults, seed), theirs), daemon=True)
    model.start()
    port = ours.recv()
    home = Path(tempfile.mkdtemp(prefix="cohort-faults-"))
    os.environ.update(
        COHORT_DATA_DIR=str(home),
        COHORT_LOG_LEVEL="CRITICAL",
        CHAIN_RPC_URLS=f"http://127.0.0.1:{port}",
        CHAIN_CONFIRMATIONS="12",
        CHAIN_REBROADCAST_SECONDS="1",
        CHAIN_BUMP_SECONDS="2",
    )
    server = EmbeddedPostgres(home / "postgres")
    server.initialise()
    with subprocess.Popen(server.command(), stderr=subprocess.DEVNULL) as process:
        try:
            while not database.answers(server.owner_url):
                time.sleep(0.05)
            database.prepare(server.owner_url, server.login_url)
            yield Ground(server, port, context)
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: the data is thrown away
    model.kill()
    shutil.rmtree(home, ignore_errors=True)


def set_up(place: Ground, recipients: int) -> tuple[MerchantId, dict[str, int]]:
    """A merchant with frozen plans for sixteen contracts; the batches' calldata and sizes."""
    with use_bind(create_engine(place.postgres.login_url, poolclass=NullPool)):
        with unit_of_work() as session:
            merchant = ensure_installation(session, at=utc_now()).id
        with unit_of_work(merchant=merchant) as session:
            client = _client(place)
            chain = ensure_chain(session, kind=ChainKind.EXTERNAL, client=client)
            ensure_lane(session, chain, client_for(chain), at=utc_now())
            wanted: dict[str, int] = {}
            for number in range(CONTRACTS):
                _freeze(session, chain.id, number, recipients // CONTRACTS, wanted)
    return merchant, wanted


def _client(place: Ground) -> Any:
    from chain.client import ChainClient

    return ChainClient("model", [f"http://127.0.0.1:{place.port}"])


def _freeze(session: Any, chain_id: int, number: int, count: int, wanted: dict[str, int]) -> None:
    contract = ChecksumAddress(f"0x{number + 1:040x}")
    batches = []
    for index, start in enumerate(range(0, count, A_BATCH)):
        calldata = b"batch" + number.to_bytes(2, "big") + index.to_bytes(4, "big")
        size = min(A_BATCH, count - start)
        wanted[calldata.hex()] = size
        batches.append(FrozenBatch(f"faults:{number}:{index}", calldata, recipient_count=size))
    target = Target(chain_id, contract)
    plans.freeze(session, PlanKind.DROP, target, batches, subject_id=None, at=utc_now())


def work(login_url: str) -> None:
    """What a worker does until it is killed: the engine's steps, whatever goes wrong."""
    configure_logging("worker")
    with use_bind(create_engine(login_url, pool_size=2)):
        while True:
            try:
                for place in engine.workplaces():
                    engine.step(place)
            except AppError:
                pass  # the chain said nothing: the next step asks again
            except Exception:  # as the product's worker does; a person reads what it was
                traceback.print_exc()
            time.sleep(0.005)


class Workers:
    """Three of them, forked from this process, which has everything loaded."""

    def __init__(self, place: Ground, seed: int) -> None:
        self._place = place
        self._random = Random(seed)
        self._running = [self._start() for _ in range(WORKERS)]
        self.kills = 0

    def _start(self) -> Any:
        url = self._place.postgres.login_url
        process = self._place.context.Process(target=work, args=(url,), daemon=True)
        process.start()
        return process

    def kill_one(self) -> None:
        """One is gone in the middle of whatever it did, and another takes its place."""
        number = self._random.randrange(WORKERS)
        victim = self._running[number]
        victim.kill()
        victim.join()
        self._running[number] = self._start()
        self.kills += 1

    def stop(self) -> None:
        """All are gone."""
        for process in self._running:
            process.kill()
            process.join()


def run(level: Level, seed: int) -> dict[str, Any]:
    """One campaign and its report."""
    started = time.monotonic()
    with ground(level, seed) as place:
        _, wanted = set_up(place, level.recipients)
        ready = time.monotonic()
        workers = Workers(place, seed)
        try:
            killed_until = _harass(place, workers, level)
            finished = _wait(place, level.limit_seconds - (time.monotonic() - started))
        finally:
            workers.stop()
        counts = _ask(place, "model_counts")
        tables = _tables(place)
    return _report(level, seed, wanted, counts, tables) | {
        "kills": workers.kills,
        "finished": finished,
        "kill_seconds": round(killed_until - ready, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def _harass(place: Ground, workers: Workers, level: Level) -> float:
    """Kills until there were enough, or everything is final."""
    with use_bind(create_engine(place.postgres.login_url)):
        while workers.kills < level.kills:
            time.sleep(level.kill_seconds)
            workers.kill_one()
            if workers.kills % 20 == 0:
                left = _open_batches()
                _say(f"{workers.kills} kills, {left} batches to go")
                if left == 0:
                    break
    return time.monotonic()


def _open_batches() -> int:
    with unit_of_work(role=engine.Role.ENGINE) as session:
        query = select(func.count()).select_from(Batch).where(Batch.state != BatchState.FINAL)
        return session.scalar(query) or 0


def _wait(place: Ground, seconds: float) -> bool:
    """Whether everything is final in time."""
    deadline = time.monotonic() + seconds
    with use_bind(create_engine(place.postgres.login_url)):
        while time.monotonic() < deadline:
            if _open_batches() == 0:
                return True
            time.sleep(0.1)
    return False


def _ask(place: Ground, method: str) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}
    url = f"http://127.0.0.1:{place.port}"
    return httpx.post(url, json=body, timeout=60, trust_env=False).json()["result"]


def _tables(place: Ground) -> dict[str, Any]:
    with (
        use_bind(create_engine(place.postgres.login_url)),
        unit_of_work(role=engine.Role.ENGINE) as session,
    ):
        delivered = session.scalars(
            select(Batch.calldata)
            .join(Transaction, Transaction.batch_id == Batch.id)
            .where(Batch.state == BatchState.FINAL, Transaction.outcome == Outcome.SUCCESS)
        )
        nonces = session.scalars(select(Transaction.nonce).order_by(Transaction.nonce)).all()
        return {
            "delivered": [bytes(calldata).hex() for calldata in delivered],
            "held": session.scalar(
                select(func.count()).select_from(Batch).where(Batch.state == BatchState.HELD)
            ),
            "attempts": session.scalar(select(func.count()).select_from(Attempt)),
            "has_gap": list(nonces) != list(range(len(nonces))),
        }


def _report(
    level: Level, seed: int, wanted: dict[str, int], counts: Any, tables: Any
) -> dict[str, Any]:
    executed: dict[str, int] = counts["executed"]
    lost = sum(size for batch, size in wanted.items() if executed.get(batch, 0) == 0)
    doubled = sum(size * max(0, executed.get(batch, 0) - 1) for batch, size in wanted.items())
    untold = set(wanted) ^ set(tables["delivered"])
    return {
        "recipients": sum(wanted.values()),
        "seed": seed,
        "reorgs": counts["reorgs"],
        "deepest_reorg": counts["deepest_reorg"],
        "bad_sends": counts["bad_sends"],
        "false_nulls": counts["false_nulls"],
        "drops": counts["drops"],
        "blocks": counts["blocks"],
        "attempts": tables["attempts"],
        "lost": lost,
        "doubled": doubled,
        "held": tables["held"],
        "untold": len(untold),
        "has_gap": tables["has_gap"],
    }


def is_clean(report: dict[str, Any]) -> bool:
    """Nobody lost, nobody served twice, nothing held, and the tables say what the chain says."""
    bad = ("lost", "doubled", "held", "untold", "has_gap")
    return bool(report["finished"]) and not any(report[name] for name in bad)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> int:
    """Prints one JSON object; 0 when the run was clean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--level", choices=LEVELS, default=os.environ.get("LEVEL") or "pr")
    parser.add_argument("--size", type=int, default=int(os.environ.get("SIZE") or 0))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    given = parser.parse_args()
    level = LEVELS[given.level]
    if given.size:
        share = given.size / level.recipients
        kills = max(1, round(level.kills * share))
        level = Level(given.size, kills, level.kill_seconds, level.limit_seconds, level.faults)
    report = run(level, given.seed)
    print(json.dumps({"faults": given.level, **report}))  # noqa: T201 - a command's answer
    return 0 if is_clean(report) else 1


if __name__ == "__main__":
    sys.exit(main())

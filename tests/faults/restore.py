"""Backups are restored in the middle of work, and the canonical chain counts who was served.

`make faults-restore TRIALS=200 SEED=1`, or `python -m tests.faults.restore`. In one process the
product's steps serve a few plans on PostgreSQL against `tests/chain/fakes.py`, whose contract
executes whatever gets into a block. The chain loses sends, forgets its pool and reorganises; people
cancel and speed up. At some moment, possibly between a commit and its send, the tables are
copied; a while later the copy is put back, recovered as `cohort recover` does it, and everything
has to end served once. Some trials put back two copies of different pasts, one after the other,
or freeze a plan that the copy knows nothing of.

The rules besides the product's own are controls: they have to show damage.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from sqlalchemy import Engine, create_engine, exists, func, select, text

import app.models  # noqa: F401 - the mappers need every table
from app import database, engine
from app.accounts.service import ensure_installation
from app.postgres import EmbeddedPostgres
from chain import lanes, recovery, replacements
from chain.models import AttemptKind, ChainKind, LaneRole, LaneState, NonceLane, Transaction
from chain.networks import ensure_chain, ensure_lane
from chain.settings import chain_settings
from core.db import unit_of_work, use_bind
from core.errors import AppError
from core.log import configure_logging
from core.types import MerchantId, Wei
from minting import plans, sending
from minting.models import Batch, BatchState, PlanKind
from minting.plans import FrozenBatch, Target
from tests.chain.fakes import DROP_AFTER, DROP_BEFORE, DUPLICATE, FakeChain
from tests.faults.copies import TABLES, copy_tables, put_back
from tests.signing import SameSession, login
from wallets.addresses import ChecksumAddress
from wallets.client import use_signer

START = datetime(2026, 6, 1, tzinfo=UTC)
BLOCK_TIME = timedelta(seconds=12)
FINALITY = 4
DEEPEST = 3
LIMIT = 250
"""Steps after a restore until a trial counts as hanging."""


@dataclass
class Count:
    """What the trials of one rule came to.

    Args:
        lost: batches that were never executed; `doubled` and `forgotten` are executions.
        damaged: trials that lost or doubled something, or hang.
    """

    trials: int = 0
    lost: int = 0
    doubled: int = 0
    forgotten: int = 0
    hanging: int = 0
    damaged: int = 0


@dataclass(frozen=True)
class Ground:
    """The database of a campaign, as login and as owner."""

    login: Engine
    owner: Engine


@contextmanager
def ground() -> Iterator[Ground]:
    """A database of the campaign's own."""
    home = Path(tempfile.mkdtemp(prefix="cohort-restore-"))
    os.environ.update(
        COHORT_DATA_DIR=str(home),
        COHORT_LOG_LEVEL="CRITICAL",
        CHAIN_RPC_URLS="http://127.0.0.1:1",
        CHAIN_BUMP_SECONDS="30",
        CHAIN_IN_FLIGHT="4",
    )
    chain_settings.cache_clear()
    configure_logging("restore")
    server = EmbeddedPostgres(home / "postgres")
    server.initialise()
    # nothing here is about power cuts
    command = [*server.command(), "-c", "fsync=off", "-c", "synchronous_commit=off"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while not database.answers(server.owner_url):
                time.sleep(0.05)
            database.prepare(server.owner_url, server.login_url, server.signer_url)
            with use_signer(SameSession()):
                yield Ground(login(server), create_engine(server.owner_url))
        finally:
            process.send_signal(signal.SIGQUIT)
    shutil.rmtree(home, ignore_errors=True)


@dataclass
class World:
    """One trial: a merchant's relayer and issuer, their plans, and a chain.

    Args:
        wanted: the calldata of every batch that the tables know of.
    """

    ground: Ground
    merchant: MerchantId
    random: Random
    chain: FakeChain = field(default_factory=FakeChain)
    wanted: set[bytes] = field(default_factory=set)
    at: datetime = START
    contracts: int = 0
    copy_after: int | None = None
    """Sends until the tables are copied."""

    def __post_init__(self) -> None:
        self.chain = FakeChain(self._before_send)
        self.chain.final_depth = FINALITY

    def _before_send(self, _raw: bytes) -> None:
        if self.copy_after is not None:
            self.copy_after -= 1
            if self.copy_after < 0:
                self.copy("old")

    # ---------------------------------------------------------------------------- what is done

    def set_up(self) -> None:
        """Empty tables, two lanes, and plans for a few contracts."""
        with self.ground.owner.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in TABLES:
                connection.execute(text(f"DELETE FROM {table}"))
        with unit_of_work(merchant=self.merchant) as session:
            chain = ensure_chain(session, kind=ChainKind.EXTERNAL, client=self.chain)
            for role in LaneRole:
                ensure_lane(session, chain, self.chain, role=role, at=self.at)
        for _ in range(self.random.randint(2, 3)):
            self.wanted |= self.freeze()

    def freeze(self) -> set[bytes]:
        """A plan of some batches for another contract, by one of the lanes; their calldata."""
        self.contracts += 1
        number = self.contracts
        data = [bytes([number, index]) for index in range(self.random.randint(2, 4))]
        contract = ChecksumAddress(f"0x{number:040x}")
        batches = [FrozenBatch(f"restore:{it.hex()}", it, recipient_count=1) for it in data]
        with unit_of_work(merchant=self.merchant) as session:
            target = Target(self.chain.chain_id(), contract)
            sender = self.random.choice((LaneRole.RELAYER, LaneRole.RELAYER, LaneRole.ISSUER))
            terms = {"subject_id": None, "sender": sender, "at": self.at}
            plans.freeze(session, PlanKind.DROP, target, batches, **terms)
        return set(data)

    def work(self, steps: int) -> None:
        """So many steps of the product, while the chain goes on and people interfere."""
        for _ in range(steps):
            self._spoil()
            self.step()
            self._interfere()
            self._mine()

    def step(self) -> None:
        """One step of the product; a chain that says nothing is asked again by the next."""
        [place] = engine.workplaces()
        with suppress(AppError):
            engine.advance(place, self.chain, at=self.at)

    def _spoil(self) -> None:
        self.chain.sends.clear()
        if self.random.random() < 0.3:
            script = self.random.choice((DROP_BEFORE, DROP_AFTER, DUPLICATE))
            self.chain.sends.append(script)
        if self.random.random() < 0.1:
            self.chain.hidden_receipts = self.random.randint(1, 3)

    def _mine(self) -> None:
        self.at += BLOCK_TIME
        if self.random.random() < 0.05 and len(self.chain.blocks) > DEEPEST:
            depth = self.random.randint(1, DEEPEST)
            self.chain.reorganise(depth, keeps=self.random.random() < 0.5)
        if self.random.random() < 0.03:
            self.chain.forget_pool()
        if self.random.random() < 0.15:
            self.chain.mine_empty()  # the block has no room for us
        self.chain.mine(blocks=self.random.randint(0, 3))
        moved = self.chain.base_fee * self.random.randint(90, 112) // 100
        self.chain.base_fee = Wei(max(moved, 10**8))

    def _interfere(self) -> None:
        with unit_of_work(merchant=self.merchant) as session:
            if self.random.random() < 0.08:
                act = self.random.choice((replacements.cancel_unmined, replacements.speed_up))
                unmined = session.scalar(
                    select(Transaction.id)
                    .where(Transaction.state.in_(lanes.UNMINED))
                    .order_by(Transaction.nonce)
                    .limit(1)
                )
                if unmined is not None:
                    act(session, unmined, at=self.at)
            for held in session.scalars(select(Batch.id).where(Batch.state == BatchState.HELD)):
                sending.release(session, held, at=self.at)

    # ---------------------------------------------------------------------------------- copies

    def copy(self, name: str) -> None:
        """The tables as they are now, to be put back later."""
        self.copy_after = None
        copy_tables(self.ground.owner, name)

    def obey(self, rule: str) -> None:
        """What is done after a restore."""
        with unit_of_work(merchant=self.merchant) as session:
            if rule == "recover":
                recovery.restore_all(session)
                return
            if rule == "lift":
                for lane in session.scalars(select(NonceLane)):
                    used = self.chain.transaction_count(lane.address)
                    lane.next_nonce = max(lane.next_nonce, used)

    # ----------------------------------------------------------------------------------- ends

    def finish(self) -> bool:
        """Whether everything is final in time; a person resumes what a recovery paused."""
        for _ in range(LIMIT):
            self.work(1)
            with unit_of_work(merchant=self.merchant) as session:
                ids = session.scalars(select(NonceLane.id).order_by(NonceLane.id)).all()
                for lane_id in ids:
                    lanes.resume(session, lane_id)
                session.flush()
                states = set(session.scalars(select(NonceLane.state)))
                left = session.scalar(select(exists().where(Batch.state != BatchState.FINAL)))
            if LaneState.QUARANTINED in states:
                return False
            if states == {LaneState.ACTIVE} and not left:
                return True
        return False

    def forgotten(self) -> int:
        """Transactions that a recovery found and could not name."""
        with unit_of_work(merchant=self.merchant) as session:
            query = select(func.count()).where(Transaction.attempts.any(kind=AttemptKind.FORGOTTEN))
            return session.scalar(query) or 0


def trial(ground: Ground, merchant: MerchantId, seed: int, rule: str, count: Count) -> None:
    """One restore, or two, and what came of it."""
    random = Random(seed)
    world = World(ground, merchant, random)
    world.set_up()
    if random.random() < 0.5:
        world.copy_after = random.randint(0, 8)
    world.work(random.randint(0, 8))
    if world.copy_after is not None or not _has_copy(ground):
        world.copy("old")
    world.work(random.randint(0, 15))
    is_twice = random.random() < 0.2
    extra: set[bytes] = set()
    if not is_twice and random.random() < 0.2:
        extra = world.freeze()
        world.work(random.randint(0, 10))
    if is_twice:
        world.copy("other")
        world.work(random.randint(0, 10))
    put_back(ground.owner, "old")
    world.obey(rule)
    if is_twice:
        world.work(random.randint(0, 25))
        put_back(ground.owner, "other")
        world.obey(rule)
    is_finished = world.finish()
    _judge(world, extra, is_finished, count)


def _has_copy(ground: Ground) -> bool:
    with ground.owner.connect() as connection:
        found = connection.scalar(text("SELECT to_regclass('old.lanes') IS NOT NULL"))
        return bool(found)


def _judge(world: World, extra: set[bytes], is_finished: bool, count: Count) -> None:
    times = Counter(signed.data for signed in world.chain.mined())
    lost = sum(times[data] == 0 for data in world.wanted)
    doubled = sum(max(0, times[data] - 1) for data in world.wanted | extra)
    count.trials += 1
    count.lost += lost
    count.doubled += doubled
    count.forgotten += world.forgotten()
    count.hanging += not is_finished
    count.damaged += bool(lost or doubled or not is_finished)


def run(trials: int, seed: int, rule: str, ground: Ground, merchant: MerchantId) -> Count:
    """The trials of one rule."""
    count = Count()
    is_blind = rule != "recover"
    blind = mock.patch.object(recovery, "knows_less", return_value=False)
    with blind if is_blind else nullcontext():
        for number in range(trials):
            with ground.owner.begin() as connection:
                connection.execute(text("DROP SCHEMA IF EXISTS old CASCADE"))
            trial(ground, merchant, seed * 100_000 + number, rule, count)
    return count


CONTROLS = ("resume", "lift")
"""Work goes on as if nothing had happened; or above what the chain shows."""


def campaign(trials: int, seed: int) -> dict[str, Any]:
    """The report: the product's rule, and the controls with a part of the trials."""
    started = time.monotonic()
    with ground() as place, use_bind(place.login):
        with unit_of_work() as session:
            merchant = ensure_installation(session, at=START).id
        count = run(trials, seed, "recover", place, merchant)
        seconds = time.monotonic() - started
        few = max(4, trials // 5)
        controls = {rule: asdict(run(few, seed, rule, place, merchant)) for rule in CONTROLS}
    return (
        {"faults": "restore", "seed": seed}
        | asdict(count)
        | {
            "seconds": round(seconds, 1),
            "controls": controls,
        }
    )


def is_clean(report: dict[str, Any]) -> bool:
    """No trial of the product's rule damaged anything, and each control did."""
    return not report["damaged"] and all(it["damaged"] for it in report["controls"].values())


def main() -> int:
    """Prints one JSON object; 0 when the run was clean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=int(os.environ.get("TRIALS") or 200))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    given = parser.parse_args()
    report = campaign(given.trials, given.seed)
    print(json.dumps(report))  # noqa: T201 - a command's answer
    return 0 if is_clean(report) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Where a campaign takes place: a database of its own, a chain, and frozen plans."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.orm import Session

import app.models  # noqa: F401 - the mappers need every table
from app import database, engine
from app.accounts.service import ensure_installation
from app.postgres import EmbeddedPostgres
from chain import networks
from chain.client import ChainClient
from chain.models import Attempt, ChainKind, Outcome, Transaction
from chain.networks import ensure_chain, ensure_lane
from chain.settings import chain_settings
from core.db import Role, unit_of_work, use_bind
from core.log import configure_logging
from core.types import Gas, utc_now
from minting import plans
from minting.models import Batch, BatchState, PlanKind
from minting.plans import FrozenBatch, Target
from tests.faults import notes
from tests.faults.worlds import World, contract_address
from wallets.client import is_listening

CONTRACTS = 16
_GAS = Gas(80_000)
_WARM_STEPS = 60


@dataclass(frozen=True)
class Ground:
    """The place, and what shall be executed there: calldata (hexadecimal) -> recipients."""

    owner_url: str
    bind: Engine
    world: World
    context: Any
    wanted: dict[str, int] = field(default_factory=dict)


@contextmanager
def ground(world: World, context: Any) -> Iterator[Ground]:
    """A database whose units of work are this process's and its children's."""
    home = Path(tempfile.mkdtemp(prefix="cohort-faults-"))
    os.environ.update(
        COHORT_DATA_DIR=str(home),
        COHORT_LOG_LEVEL="CRITICAL",
        CHAIN_RPC_URLS=",".join(world.urls),
        CHAIN_CONFIRMATIONS="12",  # deeper than any reorganisation
        CHAIN_REBROADCAST_SECONDS="1",
        CHAIN_BUMP_SECONDS="2",
        CHAIN_READ_TIMEOUT_SECONDS="1",
    )
    chain_settings.cache_clear()  # whoever started the chain has read them
    configure_logging("worker")
    server = EmbeddedPostgres(home / "postgres")
    server.initialise()
    with subprocess.Popen(server.command(), stderr=subprocess.DEVNULL) as process:
        try:
            while not database.answers(server.owner_url):
                time.sleep(0.05)
            database.prepare(server.owner_url, server.login_url, server.signer_url)
            notes.prepare(server.owner_url)
            bind = create_engine(server.login_url, pool_size=2)
            with use_bind(bind), signing(server):
                yield Ground(server.owner_url, bind, world, context)
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: the data is thrown away
    shutil.rmtree(home, ignore_errors=True)


@contextmanager
def signing(server: EmbeddedPostgres) -> Iterator[None]:
    """A signer's process, as the product runs it."""
    command = [sys.executable, "-m", "wallets.signer"]
    environment = {**os.environ, "COHORT_DATABASE_URL": server.signer_url}
    with subprocess.Popen(command, env=environment) as process:
        try:
            while not is_listening():
                time.sleep(0.05)
            yield
        finally:
            process.kill()


def set_up(place: Ground, recipients: int, a_batch: int) -> None:
    """A merchant with frozen plans for sixteen contracts, and a relayer that can pay."""
    with unit_of_work() as session:
        merchant = ensure_installation(session, at=utc_now()).id
    with unit_of_work(merchant=merchant) as session:
        client = ChainClient("truth", [place.world.truth])
        chain = ensure_chain(session, kind=ChainKind.EXTERNAL, client=client)
        place.world.welcome(ensure_lane(session, chain, client, at=utc_now()).address)
        for number in range(CONTRACTS):
            freeze(session, place, chain.id, number, recipients // CONTRACTS, a_batch)


def freeze(
    session: Session, place: Ground, chain_id: int, number: int, count: int, a_batch: int
) -> None:
    """The plan with this number; the same again raises, because its chain keys exist."""
    batches = []
    for index, first in enumerate(range(0, count, a_batch)):
        size = min(a_batch, count - first)
        calldata = place.world.calldata(number, index, first, size)
        place.wanted[calldata.hex()] = size
        key = f"faults:{number}:{index}"
        batches.append(FrozenBatch(key, calldata, recipient_count=size, gas=_GAS))
    target = Target(chain_id, contract_address(number))
    plans.freeze(session, PlanKind.DROP, target, batches, subject_id=None, at=utc_now())


def warm_up(place: Ground) -> None:
    """A few steps in this process, so that what it forks need not learn everything anew.

    A worker that lives for a quarter of a second and compiles its queries for half of one is never
    killed at work. Connections are not handed down.
    """
    for _ in range(_WARM_STEPS):
        with suppress(Exception):  # lies have begun, and mutants are warmed up, too
            for where in engine.workplaces():
                engine.step(where)
        if count(BatchState.FINAL):
            break
    place.bind.dispose()
    networks._client.cache_clear()


def count(*states: BatchState) -> int:
    """How many batches are in one of these states."""
    with unit_of_work(role=Role.ENGINE) as session:
        query = select(func.count()).select_from(Batch).where(Batch.state.in_(states))
        return session.scalar(query) or 0


def tables() -> dict[str, Any]:
    """What the tables say."""
    with unit_of_work(role=Role.ENGINE) as session:
        delivered = session.scalars(
            select(Batch.calldata)
            .join(Transaction, Transaction.batch_id == Batch.id)
            .where(Batch.state == BatchState.FINAL, Transaction.outcome == Outcome.SUCCESS)
        )
        nonces = session.scalars(select(Transaction.nonce).order_by(Transaction.nonce)).all()
        return {
            "delivered": [bytes(calldata).hex() for calldata in delivered],
            "attempts": session.scalar(select(func.count()).select_from(Attempt)),
            "has_gap": list(nonces) != list(range(len(nonces))),
        }

"""A real PostgreSQL and a real EVM for every test run; nothing is patched.

`session` is one outer transaction that is rolled back. `committed` is for concurrency and for the
engine: it commits for real and empties the tables afterwards.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_HOME = Path(tempfile.mkdtemp(prefix="cohort-test-"))
os.environ.update(
    COHORT_DATA_DIR=str(_HOME),
    COHORT_LOG_LEVEL="ERROR",
    COHORT_PUBLIC_URL="http://testserver",
    CHAIN_LOCAL_PORT=str(_free_port()),
)
for name in (
    "COHORT_DATABASE_URL",
    "COHORT_DATABASE_OWNER_URL",
    "COHORT_DATABASE_SIGNER_URL",
    "COHORT_BROKER_URL",
    "COHORT_SMTP_URL",
):
    os.environ.pop(name, None)

import app.models  # noqa: E402, F401
from app import database as schema  # noqa: E402
from app.accounts.models import Merchant  # noqa: E402
from app.accounts.service import ensure_installation  # noqa: E402
from app.postgres import EmbeddedPostgres  # noqa: E402
from chain.client import ChainClient  # noqa: E402
from chain.errors import ChainUnavailableError  # noqa: E402
from chain.local import LocalChain  # noqa: E402
from chain.settings import chain_settings  # noqa: E402
from core import db  # noqa: E402
from core.db import unit_of_work  # noqa: E402
from tests.signing import SameSession, login  # noqa: E402
from wallets.client import use_signer  # noqa: E402

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
_PATIENCE_SECONDS = 30


@pytest.fixture
def at() -> datetime:
    """A fixed moment."""
    return NOW


def wait_until(ready: Callable[[], bool], *, seconds: float = _PATIENCE_SECONDS) -> None:
    """Return once `ready` says so; fail the test when it never does."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            pytest.fail("the condition never came true")
        time.sleep(0.02)  # polls another process, asserts no timing


@contextmanager
def child(command: list[str], *, stop: signal.Signals = signal.SIGTERM) -> Iterator[None]:
    """A child process that ends with the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(stop)
        process.wait(60)


@pytest.fixture(scope="session", autouse=True)
def home() -> Iterator[Path]:
    """The data directory of the test run."""
    yield _HOME
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(home: Path) -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL with the newest schema."""
    server = EmbeddedPostgres(home / "postgres")
    server.initialise()
    # At once and without a checkpoint: the data is thrown away.
    with child(server.command(), stop=signal.SIGQUIT):
        wait_until(lambda: schema.answers(server.owner_url))
        schema.prepare(server.owner_url, server.login_url, server.signer_url)
        _make_slots(server)
        yield server


def _make_slots(server: EmbeddedPostgres) -> None:
    """The first columns of properties exist: making them locks the users of every other test."""
    engine = create_engine(server.owner_url)
    with engine.begin() as connection:
        for letter in "tnbd":
            for slot in (1, 2, 3):
                connection.execute(
                    text("SELECT cohort_add_property_slot(:letter, :slot)"),
                    {"letter": letter, "slot": slot},
                )
    engine.dispose()


@pytest.fixture(scope="session")
def engine(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """Connections of a role that owns no rights."""
    engine = login(postgres, pool_size=40)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session", autouse=True)
def signer() -> Iterator[None]:
    """Whatever signs does it inside the test's transaction."""
    with use_signer(SameSession()):
        yield


@pytest.fixture(scope="session")
def owner(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """Connections as the owner of the tables."""
    engine = create_engine(postgres.owner_url)
    yield engine
    engine.dispose()


@pytest.fixture
def rolled_back(engine: Engine) -> Iterator[None]:
    """Every unit of work of the test is a savepoint of one transaction that is rolled back."""
    with engine.connect() as connection, db.use_bind(connection):
        outer = connection.begin()
        yield
        outer.rollback()


def empty_tables(owner: Engine) -> None:
    """No table has a row: deleted, not truncated, which makes new files for every index of each."""
    with owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        names = db.Base.metadata.tables
        connection.execute(text("; ".join(f'DELETE FROM "{name}"' for name in names)))


@pytest.fixture
def committed(engine: Engine, owner: Engine) -> Iterator[None]:
    """Units of work commit for real; every table is empty afterwards."""
    with db.use_bind(engine):
        yield
    empty_tables(owner)


def make_merchant() -> Merchant:
    """The installation's first organisation and its test merchant."""
    with unit_of_work() as session:
        return ensure_installation(session, at=NOW)


@pytest.fixture
def merchant(rolled_back: None) -> Merchant:
    """A merchant inside the transaction that is rolled back."""
    return make_merchant()


@pytest.fixture
def session(merchant: Merchant) -> Iterator[Session]:
    """An open unit of work of the merchant."""
    with unit_of_work(merchant=merchant.id, actor="test") as session:
        yield session


@pytest.fixture(scope="session")
def node(home: Path) -> Iterator[ChainClient]:
    """A running development chain."""
    files = LocalChain(home / "chain")
    client = ChainClient("test chain", [chain_settings().local_url])
    with child(files.command(chain_settings().local_port)):
        wait_until(lambda: _answers(client))
        yield client


def _answers(client: ChainClient) -> bool:
    try:
        return client.chain_id() > 0
    except ChainUnavailableError:
        return False

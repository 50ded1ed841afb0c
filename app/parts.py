"""The processes of an installation: how each is started, when it is ready, and what it may know.

Only the signer gets what opens keys, and only the supervisor what owns tables.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from signal import Signals

import httpx

from app.database import answers, signer_url
from app.engine import local_chain
from app.postgres import EmbeddedPostgres
from app.processes import Part
from chain.client import ChainClient
from chain.errors import ChainUnavailableError
from chain.settings import chain_settings
from core import jobs
from core.settings import core_settings
from wallets.client import is_listening
from wallets.settings import socket_path

OTHER_ROLES = ("COHORT_DATABASE_OWNER_URL", "COHORT_DATABASE_SIGNER_URL")
_KEYS = ("WALLETS_", "AWS_", "VAULT_", *OTHER_ROLES)
"""What opens keys, or owns tables."""
_SECRETS = (*_KEYS, "COHORT_SMTP_URL")
"""That, and what sends mail."""


def database(postgres: EmbeddedPostgres) -> Part:
    """The embedded PostgreSQL."""
    return Part(
        "postgres",
        "blue",
        postgres.command,
        lambda: _accepts(postgres),
        stop_signal=Signals.SIGINT,
        death_signal=Signals.SIGINT,
        hidden=_SECRETS,
    )


def chain() -> Part:
    """The embedded chain."""
    files = local_chain()
    port = chain_settings().local_port
    client = ChainClient(chain_settings().name, [chain_settings().local_url])
    return Part(
        "chain",
        "green",
        lambda: files.command(port),
        lambda: _chain_answers(client),
        death_signal=Signals.SIGTERM,
        hidden=_SECRETS,
    )


def _accepts(postgres: EmbeddedPostgres) -> bool:
    return answers(postgres.owner_url)


def _chain_answers(client: ChainClient) -> bool:
    try:
        return client.chain_id() > 0
    except ChainUnavailableError:
        return False


def signer() -> Part:
    """The one that opens keys."""
    return Part(
        "signer",
        "yellow",
        lambda: [sys.executable, "-m", "wallets.signer"],
        is_listening,
        environment={"COHORT_DATABASE_URL": signer_url()},
        hidden=(
            *OTHER_ROLES,
            "COHORT_SECRET_KEY",
            "COHORT_BROKER_URL",
            "COHORT_SMTP_URL",
            "CHAIN_",
        ),
    )


def worker() -> Part:
    """What moves by itself."""
    return _part("worker", "magenta", _worker_command, jobs.ready_file("worker").exists)


def beat() -> Part:
    """Says when it is time."""
    return _part("beat", "magenta", _beat_command, jobs.ready_file("beat").exists)


def web() -> Part:
    """Pages and API."""
    return _part("web", "cyan", _web_command, _web_answers)


def _part(
    name: str, colour: str, command: Callable[[], list[str]], is_ready: Callable[[], bool]
) -> Part:
    """A part that cannot open a key: neither its database role nor its environment lets it."""
    environment = {"WALLETS_SIGNER_SOCKET": str(socket_path())}
    return Part(name, colour, command, is_ready, environment=environment, hidden=_KEYS)


def _worker_command() -> list[str]:
    jobs.ready_file("worker").unlink(missing_ok=True)
    return [
        *_celery("worker", "-P", "threads", "-c", "4", "--loglevel", "WARNING"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]


def _beat_command() -> list[str]:
    """A process of its own: a beat forked by the worker would outlive the worker's kill."""
    jobs.ready_file("beat").unlink(missing_ok=True)
    folder = core_settings().data_dir / "run"
    return [
        *_celery("beat", "--loglevel", "WARNING", "--schedule", str(folder / "schedule")),
        # Our own lock keeps second instances away; a file left by a kill must not.
        *("--pidfile", ""),
    ]


def _celery(*arguments: str) -> list[str]:
    # The parts run as whoever started the installation; celery would warn of root each time.
    quiet = "ignore:You're running the worker with superuser privileges"
    program = (sys.executable, "-W", quiet, "-m", "celery", "--quiet", "-A", "app.worker")
    return [*program, *arguments]


def _web_command() -> list[str]:
    settings = core_settings()
    return [
        *(sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory"),
        *("--host", settings.host, "--port", str(settings.port)),
        # Nobody stands between yet, so nobody may say where a request came from.
        "--no-proxy-headers",
        *("--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "5"),
    ]


def _web_answers() -> bool:
    settings = core_settings()
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://{host}:{settings.port}/health", timeout=2).status_code == 200
    return False

"""The supervisor of the embedded parts: one command, one data directory, one log stream.

Parts start in order, each when the one before answers, and stop in reverse. Settings replace a
part: with `COHORT_DATABASE_URL` no database is started, with `CHAIN_RPC_URLS` no chain, with
`WALLETS_SIGNER_SOCKET` no signer. Only the signer gets what opens keys.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console

from app import database, parts
from app.bootstrap import prepare_installation
from app.postgres import EmbeddedPostgres
from app.processes import Processes
from chain import recovery
from chain.settings import chain_settings
from core import mail, memory, smtp
from core.db import Role, forget_engine, unit_of_work
from core.errors import SettingsError
from core.settings import core_settings
from core.types import utc_now
from wallets.settings import wallet_settings

DATA_VERSION = 1
_LOCK_SECONDS = 30.0


class SecondInstanceError(SettingsError):
    """Another instance works on the same data directory."""

    def __init__(self, folder: Path, pid: str) -> None:
        super().__init__(
            f"Another Cohort (process {pid}) already uses {folder}. Stop it first, or set "
            "COHORT_DATA_DIR to another directory."
        )


class NewerDirectoryError(SettingsError):
    """The data directory was written by a newer version."""

    def __init__(self, folder: Path, found: str) -> None:
        super().__init__(
            f"{folder} was written by a newer version (format {found}, this version knows "
            f"{DATA_VERSION}). Install that version again, or use another COHORT_DATA_DIR."
        )


class EmptyVersionError(SettingsError):
    """An interrupted start left the file that names the directory's format without its content."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is empty: an earlier start was interrupted. Delete that file and start again; "
            "nothing else is touched. If a newer version worked here before, install that one."
        )


class PortTakenError(SettingsError):
    """Somebody else listens where we would."""

    def __init__(self, port: int, setting: str) -> None:
        super().__init__(
            f"Port {port} is taken by another program. Stop that program, or set {setting} to a "
            "free port."
        )


class DatabaseAsleepError(SettingsError):
    """An operator command needs the embedded database, which runs only beside `cohort up`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"The embedded database in {folder} is not running. Start `cohort up` (or `make run`) "
            "beside this command, or set COHORT_DATABASE_URL."
        )


def reach_database() -> None:
    """This process works on the installation's database while everything else runs.

    Raises:
        DatabaseAsleepError: it is the embedded one, and nobody started it.
    """
    if core_settings().database_url is not None:
        return
    folder = core_settings().data_dir.resolve()
    postgres = EmbeddedPostgres(folder / "postgres")
    if not database.answers(postgres.owner_url):
        raise DatabaseAsleepError(folder)
    _set_environment(
        COHORT_DATA_DIR=str(folder),
        COHORT_DATABASE_URL=postgres.login_url,
        COHORT_DATABASE_SIGNER_URL=postgres.signer_url,
    )


def reach_keys() -> None:
    """This process works on the installation's database as the signer does.

    Raises:
        DatabaseAsleepError: it is the embedded one, and nobody started it.
        SettingsError: it is another one, and the settings do not say how the signer reaches it.
    """
    reach_database()
    _set_environment(COHORT_DATABASE_URL=database.signer_url())


@contextmanager
def running(console: Console, *, is_restored: bool = False) -> Iterator[Processes]:
    """Everything runs inside the block: database, chain, worker, web.

    Args:
        is_restored: the data is a backup, so nothing is signed until it has recovered.

    Raises:
        SettingsError: a sentence about what does not work and what to do.
    """
    memory.hide()  # it has the settings of every part
    folder = core_settings().data_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder) as lock:
        _check_version(folder)
        (folder / "run").mkdir(exist_ok=True, mode=0o700)
        _check_port(core_settings().host, core_settings().port, "COHORT_PORT")
        if mail.has_server():
            smtp.server()
        _set_environment(COHORT_DATA_DIR=str(folder))
        # An upload is spooled where it will be kept: elsewhere could be memory, or too small.
        (folder / "tmp").mkdir(exist_ok=True, mode=0o700)
        environment = {"TMPDIR": str(folder / "tmp")}
        processes = Processes(environment, inherited=(lock.fileno(),), console=console)
        try:
            _start(processes, folder, is_restored=is_restored)
            yield processes
        finally:
            processes.stop()


def _start(processes: Processes, folder: Path, *, is_restored: bool) -> None:
    postgres = EmbeddedPostgres(folder / "postgres")
    first = []
    if core_settings().database_url is None:
        postgres.initialise()
        first.append(parts.database(postgres))
    if chain_settings().is_embedded:
        _check_port("127.0.0.1", chain_settings().local_port, "CHAIN_LOCAL_PORT")
        first.append(parts.chain())
    processes.start(*first)
    if core_settings().database_url is None:
        _set_environment(
            COHORT_DATABASE_URL=postgres.login_url,
            COHORT_DATABASE_OWNER_URL=postgres.owner_url,
            COHORT_DATABASE_SIGNER_URL=postgres.signer_url,
        )
    database.prepare(*database.urls())
    if is_restored:
        with unit_of_work(role=Role.ENGINE) as session:
            recovery.restore_all(session)
    processes.set_environment(**_shared_environment())
    if wallet_settings().signer_socket is None:
        processes.start(parts.signer())
    prepare_installation(at=utc_now())
    processes.start(parts.worker(), parts.beat(), parts.web())
    processes.watch()


def _shared_environment() -> dict[str, str]:
    """What children must see of this process's settings, also of those it made itself."""
    names = ("COHORT_DATA_DIR", "COHORT_DATABASE_URL", "COHORT_PUBLIC_URL", "CHAIN_LOCAL_PORT")
    return {name: os.environ[name] for name in names if name in os.environ}


def _set_environment(**values: str) -> None:
    os.environ.update(values)
    core_settings.cache_clear()
    chain_settings.cache_clear()
    wallet_settings.cache_clear()
    forget_engine()


@contextmanager
def _locked(folder: Path) -> Iterator[IO[str]]:
    """This process, and then its children, hold the directory; a dead instance's rest may end."""
    with (folder / "lock").open("a+") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip()
                if _is_alive(holder) or time.monotonic() > deadline:
                    raise SecondInstanceError(folder, holder or "unknown") from None
                time.sleep(0.1)
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _check_version(folder: Path) -> None:
    path = folder / "VERSION"
    if not path.exists():
        _write_whole(path, f"{DATA_VERSION}\n")
    found = path.read_text().strip()
    if not found:
        raise EmptyVersionError(path)
    if not found.isdecimal() or int(found) > DATA_VERSION:
        raise NewerDirectoryError(folder, found)


def _write_whole(path: Path, text: str) -> None:
    """The file is whole or absent, also after a kill or a power cut."""
    draft = path.with_suffix(".part")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _check_port(host: str, port: int, setting: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise PortTakenError(port, setting) from None


def use_throwaway(folder: Path) -> None:
    """This process works in `folder`, on free ports, with the embedded parts."""
    port, chain_port = _free_port(), _free_port()
    for name in (
        *parts.OTHER_ROLES,
        "COHORT_DATABASE_URL",
        "CHAIN_RPC_URLS",
        "WALLETS_SIGNER_SOCKET",
        "COHORT_SMTP_URL",
    ):
        os.environ.pop(name, None)
    _set_environment(
        COHORT_DATA_DIR=str(folder),
        COHORT_PORT=str(port),
        COHORT_PUBLIC_URL=f"http://127.0.0.1:{port}",
        CHAIN_LOCAL_PORT=str(chain_port),
    )


def _free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

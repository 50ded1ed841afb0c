"""Where a Unix socket can be: the kernel takes a path of about a hundred bytes at the most."""

import os
import sys
from hashlib import sha256
from pathlib import Path

from core.errors import SettingsError

_LIMIT = 103 if sys.platform == "darwin" else 107


class ForeignFolderError(SettingsError):
    """Somebody else can put a socket where ours is looked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} belongs to somebody else or is open to others. Remove it, or use a shorter "
            "COHORT_DATA_DIR."
        )


def folder_for(folder: Path, name: str, *, owner: Path) -> Path:
    """`folder`, unless `name` in it would be too long: then a short folder that is `owner`'s.

    Whoever listens there makes it, with mode 0700.
    """
    if len(os.fsencode(folder / name)) <= _LIMIT:
        return folder
    digest = sha256(os.fsencode(owner)).hexdigest()[:16]
    return Path("/tmp") / f"cohort-{digest}"  # noqa: S108 - private, mode 0700


def refuse_foreign(folder: Path) -> None:
    """Nothing, if this user alone can write to the folder, or there is none yet.

    Raises:
        ForeignFolderError: others can.
    """
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ForeignFolderError(folder)

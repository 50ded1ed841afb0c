"""Where a Unix socket can be: the kernel takes a path of 107 bytes at the most."""

from hashlib import sha256
from pathlib import Path

_LIMIT = 107


def folder_for(folder: Path, name: str, *, owner: Path) -> Path:
    """`folder`, unless `name` in it would be too long: then a short folder that is `owner`'s.

    Whoever listens there makes it, with mode 0700.
    """
    if len(str(folder / name)) <= _LIMIT:
        return folder
    digest = sha256(str(owner).encode()).hexdigest()[:16]
    return Path("/tmp") / f"cohort-{digest}"  # noqa: S108 - private, mode 0700

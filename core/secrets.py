"""The installation's secret: keyed hashes of codes, tokens and forms.

Set by `COHORT_SECRET_KEY`; without it a development installation makes one in its data directory.
"""

import hmac
import os
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from core.errors import SettingsError
from core.settings import core_settings

_BYTES = 32


@cache
def _secret() -> bytes:
    configured = core_settings().secret_key
    if configured is not None:
        return _checked(configured.get_secret_value().encode(), "COHORT_SECRET_KEY")
    if core_settings().is_production:
        raise SettingsError("Set COHORT_SECRET_KEY to at least 32 random characters.")
    path = core_settings().data_dir / "secrets" / "secret_key"
    if not path.exists():
        _make(path)
    return _checked(path.read_bytes(), str(path))


def _make(path: Path) -> None:
    """The file appears whole: a link is made only after the bytes are on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=path.parent) as draft:
        draft.write(os.urandom(_BYTES))
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, path)


def _checked(secret: bytes, source: str) -> bytes:
    if len(secret) < _BYTES:
        raise SettingsError(
            f"The secret in {source} has {len(secret)} bytes; it needs at least {_BYTES}."
        )
    return secret


def fingerprint(purpose: str, value: str) -> bytes:
    """The keyed hash of a secret value: useless to whoever reads the database.

    Args:
        purpose: keeps the same value in two places from having the same fingerprint.

    References:
        RFC 2104 (HMAC), with SHA-256.
    """
    return hmac.new(_secret(), f"{purpose}\0{value}".encode(), sha256).digest()


def same(left: bytes, right: bytes) -> bool:
    """Whether two fingerprints are equal, in constant time."""
    return hmac.compare_digest(left, right)

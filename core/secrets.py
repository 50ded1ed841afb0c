"""The installation's secret: keyed hashes of codes, tokens and forms.

Set by `COHORT_SECRET_KEY`; without it a development installation makes one in its data directory.
"""

import hmac
import os
from functools import cache
from hashlib import sha256

from core.errors import SettingsError
from core.settings import core_settings

_BYTES = 32


@cache
def _secret() -> bytes:
    configured = core_settings().secret_key
    if configured is not None:
        return configured.get_secret_value().encode()
    if core_settings().is_production:
        raise SettingsError("Set COHORT_SECRET_KEY to at least 32 random characters.")
    path = core_settings().data_dir / "secrets" / "secret_key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        file.write(os.urandom(_BYTES))
    return path.read_bytes()


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

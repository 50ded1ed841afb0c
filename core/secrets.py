"""The installation's secret: keyed hashes of codes, tokens and forms, and sealed values.

Set by `COHORT_SECRET_KEY`; without it a development installation makes one in its data directory.
"""

import hmac
import os
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core.errors import SettingsError
from core.settings import core_settings

_BYTES = 32
_FORMAT = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16


class SealBrokenError(Exception):
    """The sealed value was changed, belongs elsewhere, or was sealed under another secret."""


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


def seal(purpose: str, value: bytes, *, bound_to: bytes) -> bytes:
    """The value, readable only by this installation, for this purpose and in this place.

    Args:
        purpose: has a key of its own; at most 2^32 values are sealed for one.
        bound_to: what the value belongs to, a row's id for instance; moved elsewhere it is broken.

    Returns:
        0x01, 12 random bytes, and the value encrypted by AES-256-GCM.

    References:
        RFC 5869 (HKDF), NIST SP 800-38D (GCM).
    """
    nonce = os.urandom(_NONCE_BYTES)
    return _FORMAT + nonce + _cipher(purpose).encrypt(nonce, value, _FORMAT + bound_to)


def unseal(purpose: str, sealed: bytes, *, bound_to: bytes) -> bytes:
    """What `seal` was given.

    Raises:
        SealBrokenError: it is not what `seal` returned for this purpose and place.
    """
    least = len(_FORMAT) + _NONCE_BYTES + _TAG_BYTES
    if len(sealed) < least or sealed[:1] != _FORMAT:
        raise SealBrokenError(purpose)
    nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return _cipher(purpose).decrypt(nonce, rest, _FORMAT + bound_to)
    except InvalidTag as error:
        raise SealBrokenError(purpose) from error


@cache
def _cipher(purpose: str) -> AESGCM:
    info = f"cohort/seal/v1/{purpose}".encode()
    return AESGCM(HKDF(hashes.SHA256(), length=32, salt=None, info=info).derive(_secret()))

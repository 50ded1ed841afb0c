"""The key-encryption key: wraps data keys, which in turn seal the private keys of wallets.

The file provider is for development and small installations: 32 random bytes, readable by their
owner only, made at first use beside the data they protect.
"""

import os
import stat
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.settings import core_settings
from wallets.errors import KeyEncryptionKeyError
from wallets.settings import wallet_settings

KEY_BYTES = 32
NONCE_BYTES = 12


class FileKek:
    """Wraps data keys with AES-256-GCM under a key that lives in one file.

    Args:
        path: the key file; made with mode 0600 when its folder has none yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        key = _read_or_make(path)
        self.id = sha256(b"cohort-kek" + key).hexdigest()[:16]
        self._cipher = AESGCM(key)

    def generate_dek(self, context: bytes) -> tuple[bytes, bytes]:
        """A new data key and its wrapped form, which opens under the same `context` only."""
        dek = os.urandom(KEY_BYTES)
        nonce = os.urandom(NONCE_BYTES)
        return dek, nonce + self._cipher.encrypt(nonce, dek, context)

    def unwrap(self, blob: bytes, context: bytes) -> bytes:
        """The data key inside `blob`.

        Raises:
            KeyEncryptionKeyError: wrapped under another key or context, or changed.
        """
        try:
            return self._cipher.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):  # a value error: cut bytes leave no whole nonce
            raise KeyEncryptionKeyError(
                f"The key-encryption key in {self._path} is not the one this data was sealed with. "
                "Put the original file back."
            ) from None


@cache
def key_provider() -> FileKek:
    """The provider of this process.

    Raises:
        KeyEncryptionKeyError: the key file is not safe to use.
    """
    settings = wallet_settings()
    if core_settings().is_production and not settings.allow_kek_file_in_production:
        raise KeyEncryptionKeyError(
            "In production keys are not protected by a file beside the data. Set "
            "WALLETS_ALLOW_KEK_FILE_IN_PRODUCTION=true only if the file is on a separate volume."
        )
    return FileKek(settings.kek_file or core_settings().data_dir / "secrets" / "kek")


def _read_or_make(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _make(path)
    return _read(path)


def _make(path: Path) -> None:
    """The file appears whole or not at all; of several makers the first wins."""
    handle, name = tempfile.mkstemp(prefix=".kek-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(name)
    finally:
        Path(name).unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """The entry survives a power cut: whatever is sealed from now on needs it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeyEncryptionKeyError(
            f"{path} can be read by others (mode {mode:o}). Run: chmod 600 {path}"
        )
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise KeyEncryptionKeyError(
            f"{path} holds {len(key)} bytes instead of {KEY_BYTES}. Put the original file back."
        )
    return key

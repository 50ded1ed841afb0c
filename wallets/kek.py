"""The key-encryption key: wraps data keys, which in turn seal the private keys of wallets.

The file provider is for development and small installations: 32 random bytes, readable by their
owner only, made at first use beside the data they protect.
"""

import os
import stat
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
        except InvalidTag:
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
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(handle, "wb") as file:
        file.write(os.urandom(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return _read(path)


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

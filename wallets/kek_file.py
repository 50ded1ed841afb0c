"""A key-encryption key in a file, for development and small installations.

32 random bytes, readable by their owner only, made at first use beside the data they protect.
"""

import os
import stat
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wallets.errors import KeyEncryptionKeyError
from wallets.kek import KEY_BYTES, DekContext, WrappedDek

NONCE_BYTES = 12


class FileKek:
    """Wraps data keys with AES-256-GCM under a key that lives in one file.

    Args:
        path: the key file, mode 0600.
        make: make the file when there is none; a key of earlier days is never made anew.
    """

    def __init__(self, path: Path, *, make: bool = True) -> None:
        self._path = path
        key = _read_or_make(path) if make else _read(path)
        self.id = sha256(b"cohort-kek" + key).hexdigest()[:16]
        self._cipher = AESGCM(key)

    def generate_dek(self, context: DekContext) -> tuple[bytes, WrappedDek]:
        """A new data key and its wrapped form, which opens under the same `context` only."""
        dek = os.urandom(KEY_BYTES)
        return dek, self.wrap(dek, context)

    def wrap(self, dek: bytes, context: DekContext) -> WrappedDek:
        """The data key under this key."""
        nonce = os.urandom(NONCE_BYTES)
        return WrappedDek(self.id, nonce + self._cipher.encrypt(nonce, dek, context.packed()))

    def unwrap(self, blob: bytes, context: DekContext) -> bytes:
        """The data key inside `blob`.

        Raises:
            KeyEncryptionKeyError: wrapped under another key or context, or changed.
        """
        try:
            return self._cipher.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], context.packed())
        except (InvalidTag, ValueError):  # a value error: cut bytes leave no whole nonce
            raise KeyEncryptionKeyError(
                f"The key-encryption key in {self._path} is not the one this data was sealed with. "
                "Put the original file back."
            ) from None

    def rewrap(self, blob: bytes, context: DekContext) -> WrappedDek:
        """The same data key under a fresh nonce: a file has one version.

        Raises:
            KeyEncryptionKeyError: wrapped under another key or context, or changed.
        """
        return self.wrap(self.unwrap(blob, context), context)

    def health(self) -> str:
        """The key's id: it was read when the process began.

        Raises:
            KeyEncryptionKeyError: the file is gone, unsafe, or another one by now.
        """
        if sha256(b"cohort-kek" + _read(self._path)).hexdigest()[:16] != self.id:
            raise KeyEncryptionKeyError(
                f"{self._path} was replaced while the program ran. Put the original file back."
            )
        return self.id


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
    if not path.exists():
        raise KeyEncryptionKeyError(f"There is no key file {path}. Put the original file back.")
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

"""The content store: files below one directory, named by what they contain.

A file appears whole or not at all and is checked against its name whenever it is read, so what
the gateway serves is what a token's metadata promised.
"""

import json
import os
import tempfile
from functools import cache
from pathlib import Path

from core.settings import core_settings
from minting.cid import cid_of_bytes, is_cid
from minting.errors import ContentCorruptError, ContentNotFoundError
from minting.ipfs import KuboClient
from minting.settings import content_settings

OTHER = "application/octet-stream"
_JSON_LIMIT = 1_000_000
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


class ContentStore:
    """Content by CID.

    Args:
        directory: created when missing; only this class writes below it.
        remote: a node that additionally pins what `pin` names.
    """

    def __init__(self, directory: Path, remote: KuboClient | None = None) -> None:
        self._directory = directory
        self._remote = remote

    def put(self, data: bytes) -> str:
        """The bytes are on disk under the returned CID; repeating it, or damage, changes nothing.

        Raises:
            OSError: the disk is full or not writable; nothing is left behind.
        """
        cid = cid_of_bytes(data)
        path = self._path(cid)
        if not path.is_file() or path.read_bytes() != data:
            _write_atomically(path, data)
        return cid

    def read(self, cid: str) -> bytes:
        """The bytes behind the name, just checked against it.

        Raises:
            ContentNotFoundError: not stored here, or no CID at all.
            ContentCorruptError: the file was changed.
        """
        try:
            data = self._path(cid).read_bytes()
        except FileNotFoundError:
            raise ContentNotFoundError(cid) from None
        if cid_of_bytes(data) != cid:
            raise ContentCorruptError(cid)
        return data

    def has(self, cid: str) -> bool:
        """True when something is stored under the name; False also for what is no CID."""
        return is_cid(cid) and self._path(cid).is_file()

    def pin(self, cid: str) -> None:
        """The content is readable here and, when an IPFS node is set, pinned there too.

        Raises:
            ContentNotFoundError: not stored here.
            ContentCorruptError: the file was changed.
            IpfsUnavailableError: the node did not take it; pin again later.
            IpfsMismatchError: the node knows the bytes by another name.
        """
        data = self.read(cid)
        if self._remote is not None:
            self._remote.add(data)

    def _path(self, cid: str) -> Path:
        """Sharded by the last two characters but one, as Kubo does: the first ones are constant."""
        if not is_cid(cid):
            raise ContentNotFoundError(cid)
        return self._directory / cid[-3:-1] / cid


def media_type_of(data: bytes) -> str:
    """What the gateway may call these bytes: an image kind, JSON, or a download.

    Never a type a browser runs (HTML, SVG, scripts), whatever the bytes pretend to be.
    """
    for magic, media_type in _IMAGES:
        if data.startswith(magic):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/json" if _is_json_object(data) else OTHER


def _is_json_object(data: bytes) -> bool:
    if not data.startswith(b"{") or len(data) > _JSON_LIMIT:
        return False
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _write_atomically(path: Path, data: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the folder: after a power cut it is whole or absent.

    References:
        rename(2) and fsync(2): the entry is durable only once its folder is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def content_store() -> ContentStore:
    """The store of this installation: `content` in its data directory."""
    settings = content_settings()
    remote = None if settings.api_url is None else KuboClient.from_settings(settings)
    return ContentStore(core_settings().data_dir / "content", remote)

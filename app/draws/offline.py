"""Where a published document comes from when there is no database: a file, or an address."""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from core.errors import InvalidError, UnavailableError

_GZIP = b"\x1f\x8b"
_PIECE = 1 << 16
_TIMEOUT_SECONDS = 30
_FILE = "draw.jsonl.gz"


class DocumentUnreadableError(InvalidError):
    """The file cannot be read."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"The document cannot be read: {detail}. Download it again.")


class DocumentUnreachableError(UnavailableError):
    """The address does not answer with a document."""

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(
            f"There is no document at {address}: {detail}. A draw is published once it is revealed."
        )


def lines_of(source: str) -> Iterator[bytes]:
    """The lines of a document, packed or not.

    Args:
        source: a file, the address of one, or that of the draw's page.

    Raises:
        DocumentUnreadableError: there is no such file, or it is packed and damaged.
        DocumentUnreachableError: the address does not answer with a document.
    """
    if urlsplit(source).scheme in ("http", "https"):
        return _split(_unpacked(_fetched(source)))
    return _split(_unpacked(_read(Path(source))))


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise DocumentUnreadableError(error.strerror or str(error)) from error


def _fetched(address: str) -> Iterator[bytes]:
    parts = urlsplit(address)
    if not parts.path.endswith((".jsonl", ".gz")):
        address = parts._replace(path=f"{parts.path.rstrip('/')}/{_FILE}").geturl()
    try:
        with httpx.stream("GET", address, timeout=_TIMEOUT_SECONDS) as answer:
            if answer.status_code != httpx.codes.OK:
                raise DocumentUnreachableError(address, f"the answer is {answer.status_code}")
            yield from answer.iter_bytes(_PIECE)
    except httpx.HTTPError as error:
        raise DocumentUnreachableError(address, type(error).__name__) from error


def _unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = None
    for number, piece in enumerate(pieces):
        if number == 0 and piece.startswith(_GZIP):
            packer = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            yield piece if packer is None else packer.decompress(piece)
        except zlib.error as error:
            raise DocumentUnreadableError("it is damaged") from error
    if packer is not None and not packer.eof:
        raise DocumentUnreadableError("its end is missing")


def _split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest

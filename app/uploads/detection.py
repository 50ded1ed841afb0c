"""Finds out how a file of separated values is written: encoding and delimiter, in one pass."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.uploads.records import Dialect

DELIMITERS = (",", ";", "\t", "|")
_HEAD_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 20
_MARKS = {BOM_UTF8: "utf-8", BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
_ZERO_SHARE = 3
"""Text of which one byte in so many is zero, always on the same side, is UTF-16."""


@dataclass(frozen=True)
class Detection:
    """What was found; `lines` is how many lines there are, near enough to tell progress."""

    dialect: Dialect
    lines: int


def detect(path: Path) -> Detection:
    """How the file is written, looking at every byte of it once, in constant memory.

    Raises:
        OSError: it is gone or cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    encoding = _marked(head) or _zeroed(head)
    lines, is_utf8 = _pass(path)
    if encoding is None:
        encoding = "utf-8" if is_utf8 else "cp1252"
    return Detection(Dialect(_delimiter(head.decode(encoding, errors="ignore")), encoding), lines)


def _marked(head: bytes) -> str | None:
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)


def _zeroed(head: bytes) -> str | None:
    """UTF-16 without a mark: latin letters leave every other byte empty."""
    if head[1::2].count(0) * _ZERO_SHARE > len(head) > 1 and not head[::2].count(0):
        return "utf-16-le"
    if head[::2].count(0) * _ZERO_SHARE > len(head) > 1 and not head[1::2].count(0):
        return "utf-16-be"
    return None


def _pass(path: Path) -> tuple[int, bool]:
    decoder = getincrementaldecoder("utf-8")()
    lines, is_utf8 = 1, True
    for block in _blocks(path):
        lines += max(block.count(b"\n"), block.count(b"\r"))
        if is_utf8:
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError:
                is_utf8 = False
    return lines, is_utf8


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in blocks; the last one is empty."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block
    yield b""


def _delimiter(text: str) -> str:
    """Whichever the first line has most of, outside quotes; a comma where it has none."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", first.removeprefix("\ufeff"))
    return max(DELIMITERS, key=bare.count)

"""Reads a table of separated values in a stream: records with their places. Pure."""

import csv
import io
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from app.uploads.errors import FileUnreadableError

CSV_CELL_LIMIT = 100_000
RECORD_LIMIT = 1_000_000
"""Characters of one record: a line without end must not be kept in memory."""

_MARKS = {"utf-8": BOM_UTF8, "utf-16-le": BOM_UTF16_LE, "utf-16-be": BOM_UTF16_BE}
GONE = "The uploaded file is gone or cannot be read. Upload it again; nothing is done twice."


@dataclass(frozen=True)
class Dialect:
    """How the bytes of a file become cells.

    Args:
        encoding: `utf-8`, `utf-16-le`, `utf-16-be` or `cp1252`; a byte order mark is no text.
    """

    delimiter: str
    encoding: str = "utf-8"


class Place(NamedTuple):
    """Where a record begins: its number from 0, its first line from 1, its first byte from 0."""

    number: int
    line: int
    byte: int


BEGINNING = Place(0, 1, 0)


class Record(NamedTuple):
    """One record of the file: where it begins, and its cells."""

    place: Place
    cells: list[str]


def read_records(path: Path, dialect: Dialect, *, start: Place = BEGINNING) -> Iterator[Record]:
    """Every record from `start` on, in constant memory; the first is number 0.

    Args:
        start: the place of a record read before, so that nothing in front of it is read again.

    Raises:
        FileUnreadableError: gone, not text in the encoding, a broken quote, a NUL byte, or a cell
            or record over the limits; the sentence names the line.
    """
    try:
        text, byte = _open(path, dialect.encoding, start.byte)
    except OSError:
        raise FileUnreadableError(GONE) from None
    with text:
        yield from _read(_Lines(text, byte), dialect.delimiter, start)


def _open(path: Path, encoding: str, byte: int) -> tuple[io.TextIOWrapper, int]:
    """The file as text from a byte on, and that byte, which a byte order mark moves."""
    raw = path.open("rb")
    mark = _MARKS.get(encoding, b"")
    if byte == 0 and raw.read(len(mark)) == mark:
        byte = len(mark)
    raw.seek(byte)
    return io.TextIOWrapper(raw, encoding=encoding, newline=""), byte


def _read(lines: "_Lines", delimiter: str, start: Place) -> Iterator[Record]:
    csv.field_size_limit(CSV_CELL_LIMIT)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    before, place = start.line - 1, start
    while True:
        lines.room = RECORD_LIMIT
        try:
            cells = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError:
            raise FileUnreadableError(
                f"The file is not UTF-8 text after line {before + reader.line_num}. "
                "Save it as “CSV UTF-8” and upload it again."
            ) from None
        except csv.Error as error:
            raise FileUnreadableError(f"Line {before + reader.line_num}: {error}.") from None
        except _LineError as error:
            number = before + reader.line_num + 1
            raise FileUnreadableError(f"Line {number}: {error}.") from None
        except OSError:
            raise FileUnreadableError(GONE) from None
        if cells:
            yield Record(place, cells)
        number = place.number + 1 if cells else place.number
        place = Place(number, before + reader.line_num + 1, lines.byte)


class _LineError(Exception):
    """The line cannot be part of a table; the message says why."""


class _Lines:
    """The lines of a text from a byte on; `byte` is where the next one begins.

    `room` is how many characters more may be read.
    """

    def __init__(self, text: io.TextIOWrapper, byte: int) -> None:
        self._text = text
        self._encoding = text.encoding
        self.byte = byte
        self.room = RECORD_LIMIT

    def __iter__(self) -> Iterator[str]:
        """Itself."""
        return self

    def __next__(self) -> str:
        """The next line with its ending."""
        line = self._text.readline(self.room + 1)
        if not line:
            raise StopIteration
        self.room -= len(line)
        if self.room < 0:
            raise _LineError(f"the row is longer than {RECORD_LIMIT:,} characters")
        if "\0" in line:
            raise _LineError("it holds a NUL byte, so it is no text")
        self.byte += len(line.encode(self._encoding))
        return line

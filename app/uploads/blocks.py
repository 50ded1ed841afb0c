"""Cuts a UTF-8 table into blocks of whole records and reads each into columns of text.

Blocks are found by byte, so reading begins anywhere it stopped before. Where a record begins in the
file is known by its line, also when cells hold line breaks.
"""

import re
from bisect import bisect_right
from codecs import BOM_UTF8, utf_8_decode
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as arrow_csv

from app.uploads.errors import FileUnreadableError
from app.uploads.records import GONE, RECORD_LIMIT


class Spot(NamedTuple):
    """Where a block begins: its first byte from 0, its first line from 1."""

    byte: int
    line: int


@dataclass(frozen=True)
class Block:
    """Whole records as columns of text.

    Args:
        columns: one for each of the table's columns; records of another width are not in them.
        lines: the first line of each of those records.
        misfits: records of another width: line and text.
        broken: lines of records that are not text in the encoding.
        after: where the next block begins.
        is_last: nothing follows.
    """

    columns: list[pa.StringArray]
    lines: list[int]
    misfits: list[tuple[int, str]]
    broken: frozenset[int]
    after: Spot
    is_last: bool


def beginning(path: Path) -> Spot:
    """Where the first record is: behind a byte order mark, which is no text.

    Raises:
        FileUnreadableError: gone.
    """
    try:
        with path.open("rb") as file:
            return Spot(len(BOM_UTF8) if file.read(len(BOM_UTF8)) == BOM_UTF8 else 0, 1)
    except OSError:
        raise FileUnreadableError(GONE) from None


def read_block(path: Path, delimiter: str, width: int, *, at: Spot, size: int) -> Block:
    """The records from a place on.

    Args:
        width: how many columns the table has.
        size: bytes to read; the block is shorter, by the record that was cut.

    Raises:
        FileUnreadableError: gone, a NUL byte, a quote that is never closed, or a record over the
            limit; the sentence names the line.
    """
    data, is_last = _read(path, at.byte, size)
    if b"\0" in data:
        line = at.line + data.count(b"\n", 0, data.index(b"\0"))
        raise FileUnreadableError(f"Line {line}: it holds a NUL byte, so it is no text.")
    length = _last_end(data, delimiter, is_last=is_last)
    if length == 0 and data:
        raise FileUnreadableError(f"Line {at.line}: {_endless(data, is_last=is_last)}.")
    data = data[:length]
    lines = _Lines(data, delimiter, at.line)
    data, spoilt = _as_text(data)
    columns, misfits = _parse(data, delimiter, width)
    after = Spot(at.byte + length, at.line + data.count(b"\n") + (not data.endswith(b"\n")))
    skipped = {number for number, _ in misfits}
    count = (len(columns[0]) if columns else 0) + len(misfits)
    return Block(
        columns,
        [line for number, line in enumerate(lines.of(count)) if number not in skipped],
        [(lines.one(number), text) for number, text in misfits],
        frozenset(lines.at(place) for place in spoilt),
        after,
        is_last,
    )


def read_all(path: Path, delimiter: str, width: int, *, at: Spot, size: int) -> Iterator[Block]:
    """Every block from a place on.

    Raises:
        FileUnreadableError: as `read_block`.
    """
    while True:
        block = read_block(path, delimiter, width, at=at, size=size)
        yield block
        if block.is_last:
            return
        at = block.after


def _read(path: Path, byte: int, size: int) -> tuple[bytes, bool]:
    try:
        with path.open("rb") as file:
            file.seek(byte)
            data = file.read(size)
            more = file.read(1)
            if data.endswith(b"\r") and more == b"\n":
                data, more = data + more, file.read(1)
    except OSError:
        raise FileUnreadableError(GONE) from None
    # A lone carriage return ends a line as well; as a line feed it keeps its place.
    if data.count(b"\r") != data.count(b"\r\n"):
        data = re.sub(rb"\r(?!\n)", b"\n", data)
    return data, not more


@cache
def _quoted(delimiter: str) -> re.Pattern[bytes]:
    """A cell in quotes; the group is empty where the quote is not closed."""
    mark = re.escape(delimiter.encode())
    return re.compile(rb"(?:(?<=[\n" + mark + rb'])|\A)"(?:[^"]++|"")*+("?)')


def _spans(data: bytes, delimiter: str) -> Iterator[tuple[int, int, bool]]:
    """Where cells in quotes hold line breaks or are not closed."""
    if b'"' in data:
        for found in _quoted(delimiter).finditer(data):
            start, end = found.span()
            if not found[1] or data.find(b"\n", start, end) >= 0:
                yield start, end, bool(found[1])


def _last_end(data: bytes, delimiter: str, *, is_last: bool) -> int:
    """The length of the whole records; 0 when there is none."""
    spans = list(_spans(data, delimiter))
    is_open = bool(spans) and not spans[-1][2]
    if is_last and not is_open:
        return len(data)
    end = spans.pop()[0] if is_open else len(data)
    place = data.rfind(b"\n", 0, end)
    while spans and place >= 0:
        start, stop, _ = spans.pop()
        if place >= stop:
            break
        place = data.rfind(b"\n", 0, start)
    # An open quote at the very end belongs to no record, whatever is before it.
    return 0 if is_last else place + 1


def _endless(data: bytes, *, is_last: bool) -> str:
    if is_last or b'"' in data:
        return "a quote is opened here or later and never closed"
    return f"the row is longer than {RECORD_LIMIT:,} characters"


class _Lines:
    """The lines records begin at, and the records that are at places of the data."""

    def __init__(self, data: bytes, delimiter: str, first: int) -> None:
        self._first = first
        self._shifts: list[tuple[int, int]] = []
        """From which record on the line is how much further than the records say."""
        self._data = data
        inside = list(_spans(data, delimiter))
        self._add(inside, self._blanks(data, inside))

    def _blanks(self, data: bytes, inside: list[tuple[int, int, bool]]) -> list[int]:
        """Places of empty lines outside of cells; they are no records."""
        if not (b"\n\n" in data or b"\n\r\n" in data or data[:2].startswith((b"\n", b"\r"))):
            return []
        starts = [start for start, _, _ in inside]
        found = []
        for blank in re.finditer(rb"(?:(?<=\n)|\A)\r?\n", data):
            place = bisect_right(starts, blank.start()) - 1
            if place < 0 or inside[place][1] <= blank.start():
                found.append(blank.start())
        return found

    def _add(self, inside: list[tuple[int, int, bool]], blanks: list[int]) -> None:
        marks = sorted([(start, end) for start, end, _ in inside] + [(it, it) for it in blanks])
        place = record = 0
        for start, end in marks:
            record += self._data.count(b"\n", place, start)
            if start == end:
                self._shifts.append((record, 1))
                place = self._data.index(b"\n", start) + 1
            else:
                self._shifts.append((record + 1, self._data.count(b"\n", start, end)))
                place = end

    def of(self, count: int) -> list[int]:
        """The line of each of so many records."""
        lines: list[int] = []
        line, record = self._first, 0
        for number, more in self._shifts:
            lines.extend(range(line + record, line + number))
            line, record = line + more, number
        lines.extend(range(line + record, line + count))
        return lines[:count]

    def one(self, record: int) -> int:
        """The line of a record."""
        return self._first + record + sum(more for number, more in self._shifts if number <= record)

    def at(self, place: int) -> int:
        """The first line of the record that is at a place."""
        line = self._first + self._data.count(b"\n", 0, place)
        firsts = list(accumulate((more for _, more in self._shifts), initial=0))
        for (record, more), before in zip(self._shifts, firsts, strict=False):
            start = self._first + record + before - 1
            if more and start <= line <= start + more:
                return start
        return line


def _as_text(data: bytes) -> tuple[bytes, list[int]]:
    """The data with what is no UTF-8 replaced, and where that was."""
    try:
        utf_8_decode(data, "strict", True)
    except UnicodeDecodeError:
        return _replaced(data)
    return data, []


def _replaced(data: bytes) -> tuple[bytes, list[int]]:
    spoilt: list[int] = []
    text, place = bytearray(data), 0
    while True:
        try:
            utf_8_decode(memoryview(data)[place:], "strict", True)
        except UnicodeDecodeError as error:
            start, place = place + error.start, place + error.end
            spoilt.append(start)
            text[start:place] = b"?" * (place - start)
        else:
            return bytes(text), spoilt


def _parse(
    data: bytes, delimiter: str, width: int
) -> tuple[list[pa.StringArray], list[tuple[int, str]]]:
    names = [str(number) for number in range(width)]
    misfits: list[tuple[int, str]] = []

    def keep(row: Any) -> str:
        misfits.append((row.number - 1, row.text))
        return "skip"

    if not data.strip(b"\r\n"):
        return [pa.array([], pa.string()) for _ in names], []
    table = arrow_csv.read_csv(
        pa.BufferReader(data),
        read_options=arrow_csv.ReadOptions(
            column_names=names, use_threads=False, block_size=len(data) + 1
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=keep
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), check_utf8=False
        ),
    )
    return [table.column(name).combine_chunks() for name in names], misfits

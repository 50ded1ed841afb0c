"""Finds people, or events, that a file names twice, over the whole file and in constant memory.

While the file is gone through, a short hash of each person and of each reference ID, or of each
event that has an ID, is appended to a file beside the upload, with its line. Afterwards those
hashes that occur twice decide which lines are refused; they are kept sorted in another file, of
which each part reads what concerns it. Both files can be made again from the upload.
"""

import os
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from app.users.imports import event_fields
from app.users.imports.models import OnDuplicate
from core.ids import new_id

_BYTES = 8
_PIECE = 50_000
"""Hashes that are looked at together."""
REASONS = ("duplicate_in_file", "reference_taken")


class Survey:
    """The files beside an upload that hold what was found in it so far."""

    def __init__(self, upload: Path) -> None:
        self._hashes = upload.with_suffix(".hashes")
        self._lines = upload.with_suffix(".lines")
        self._refused = upload.with_suffix(".refused")
        self._both = (self._hashes, self._lines)

    def begin(self) -> None:
        """Nothing is known."""
        self.forget()
        self._hashes.write_bytes(b"")
        self._lines.write_bytes(b"")

    def cut(self, size: int) -> bool:
        """Only the first so many hashes count; False when there are not so many."""
        if any(not it.exists() or it.stat().st_size < size * _BYTES for it in self._both):
            return False
        for path in self._both:
            with path.open("r+b") as file:
                file.truncate(size * _BYTES)
        return True

    def add(self, rows: pa.Table) -> int:
        """The people and references, or the events, of these rows are known.

        Args:
            rows: `app.users.imports.reading.Part.rows`.

        Returns:
            How many hashes there are now.
        """
        hashes, lines = bytearray(), array("q")
        numbers = rows["line"].to_pylist()
        for kind, column in enumerate(_identities(rows)):
            said = column.to_pylist()
            mark = partial(blake2b, digest_size=_BYTES, person=bytes([kind + 1]))
            hashes += b"".join(mark(text.encode()).digest() for text in said if text is not None)
            lines.extend(
                number * 2 + kind
                for number, text in zip(numbers, said, strict=True)
                if text is not None
            )
        for path, data in ((self._hashes, hashes), (self._lines, lines.tobytes())):
            with path.open("ab") as file:
                file.write(data)
        return self._lines.stat().st_size // _BYTES

    def end(self, rule: OnDuplicate) -> None:
        """It is decided which lines are refused."""
        groups: dict[int, list[int]] = defaultdict(list)
        twice = pa.array(sorted(self._twice()), pa.int64())
        for hashes, lines in self._pieces():
            found = pc.is_in(hashes, twice)
            pairs = zip(hashes.filter(found), lines.filter(found), strict=True)
            for mark, line in pairs:
                groups[mark.as_py()].append(line.as_py())
        refused = array("q", sorted(_refused(list(groups.values()), rule)))
        draft = self._refused.with_name(f"{new_id().hex}.part")
        with draft.open("wb") as file:
            file.write(refused.tobytes())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._refused)
        self._hashes.unlink()
        self._lines.unlink()

    def part(self, byte: int) -> Path:
        """Where the part that begins at a byte of the table is kept, once it is checked."""
        return self._refused.with_suffix(f".{byte}.part")

    def refused(self, line: int, end: int) -> dict[int, str]:
        """The lines from one to another, that one excluded, that are refused; with the reason."""
        known = array("q")
        known.frombytes(self._refused.read_bytes())
        first, last = bisect_left(known, line * 2), bisect_left(known, end * 2)
        return {it // 2: REASONS[it % 2] for it in known[first:last]}

    def is_decided(self) -> bool:
        """Whether `refused` can be asked."""
        return self._refused.exists()

    def forget(self) -> None:
        """Nothing is kept."""
        kept = self._refused.parent.glob(f"{self._refused.stem}.*.part")
        for path in (self._hashes, self._lines, self._refused, *kept):
            path.unlink(missing_ok=True)

    def _pieces(self) -> Iterator[tuple[pa.Array, pa.Array]]:
        with self._hashes.open("rb") as hashes, self._lines.open("rb") as lines:
            while piece := hashes.read(_PIECE * _BYTES):
                numbers = lines.read(len(piece))
                yield _integers(piece), _integers(numbers)

    def _twice(self) -> set[int]:
        """Hashes that occur more than once; a share of all is counted at a time."""
        shares = max(1, self._lines.stat().st_size // _BYTES // _PIECE)
        twice: set[int] = set()
        for share in range(shares):
            mine = []
            for hashes, _ in self._pieces():
                # The lowest bits of a hash are as good as any; int64 may be negative.
                rest = pc.bit_wise_and(hashes, 0xFFFF)
                low, high = share * 0x10000 // shares, (share + 1) * 0x10000 // shares
                mine.append(
                    hashes.filter(pc.and_(pc.greater_equal(rest, low), pc.less(rest, high)))
                )
            counted = pc.value_counts(pa.chunked_array(mine, pa.int64()))
            often = pc.greater(counted.field("counts"), 1)
            twice.update(counted.field("values").filter(often).to_pylist())
        return twice


def _identities(rows: pa.Table) -> list[pa.ChunkedArray]:
    """What a person is known by first; references that belong to one person second."""
    names = rows.column_names
    if event_fields.TIME in names:
        return _events(rows)
    if "email_key" not in names:
        return [rows["reference_id"]]
    return [rows[name] for name in ("email_key", "reference_id") if name in names]


def _events(rows: pa.Table) -> list[pa.ChunkedArray]:
    """What an event is known by, if by anything: its ID, which is of its type."""
    if event_fields.ID not in rows.column_names:
        return []
    if event_fields.TYPE not in rows.column_names:
        return [rows[event_fields.ID]]
    parts = rows[event_fields.TYPE], rows[event_fields.ID]
    return [pc.binary_join_element_wise(*parts, " ")]


def _integers(data: bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(data) // _BYTES, [None, pa.py_buffer(data)])


def _refused(groups: Sequence[list[int]], rule: OnDuplicate) -> set[int]:
    """Marks (line twice, plus one of a reference) of the rows that are refused."""
    refused: set[int] = set()
    for marks in (it for it in groups if it[0] % 2 == 0):
        ordered = sorted(marks)
        kept = {OnDuplicate.FIRST: ordered[:1], OnDuplicate.LAST: ordered[-1:]}.get(rule, [])
        refused.update(set(ordered) - set(kept))
    for marks in (it for it in groups if it[0] % 2 == 1):
        ordered = sorted(it for it in marks if it - 1 not in refused)
        refused.update(ordered[1:])
    return refused

"""One part of an import's file: rows to import, in columns, and rows that are refused."""

import csv
import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from app.uploads.blocks import Block
from app.users.errors import ValueInvalidError
from app.users.imports import cells, columns, event_fields
from app.users.imports.cells import Reading
from app.users.imports.mapping import Target, needed
from core.ids import new_id

_SAID = b"cohort"
_WITHOUT_COLUMN = (
    *("email_invalid", "date_ambiguous", "time_in_future", "type_reserved", "type_invalid"),
)
_MISSING = {
    "email": "email_missing",
    "reference_id": "reference_missing",
    event_fields.USER: "user_missing",
    event_fields.TIME: "time_missing",
    event_fields.TYPE: "type_missing",
}
"""Reasons of rows that lack what no row can be without."""
_PLACES = {
    "reference_taken": ("reference_id",),
    **dict.fromkeys(("unknown_user", "user_merged", "user_erased"), event_fields.WHO),
}
"""Fields a reason is about that is only found later; the first that the file has is named."""
HINTS = {
    "column_count": "The row has more or fewer cells than the table has columns.",
    "encoding": "The row is not text in the file's encoding.",
    "email_missing": "The row names no email address.",
    "reference_missing": "The row names no reference ID.",
    "user_missing": "The row names no user ID.",
    "time_missing": "The row does not say when it happened.",
    "type_missing": "The row does not say what happened.",
    "duplicate_in_file": "The file names this person, or this event, in another row as well.",
    "properties_too_long": f"One event holds {event_fields.DATA_BYTES:,} bytes of properties.",
    "unknown_user": "There is no such user, and the import shall create none.",
    "exists": "There is such a user already, and the import shall change none.",
    "user_erased": "This person was erased and is not created again.",
    "user_merged": "This person was merged into another one. Use that one's address.",
    "reference_taken": "The reference ID belongs to somebody else.",
}


@dataclass(frozen=True)
class Refusal:
    """A row that cannot be imported: where, why, and what it said.

    Args:
        position: the column that is wrong, where one is.
    """

    line: int
    reason: str
    position: int | None
    hint: str
    cells: list[str]


class End(NamedTuple):
    """How many rows a part has, and where the next one begins."""

    row_count: int
    byte: int
    line: int
    is_last: bool


class Part:
    """A block of the file under a mapping.

    Args:
        rows: what can be imported: `line`, then columns of users; a null is an empty cell.
        refusals: everything else of the block.
        block: reads the block, for what rows say that are refused later.
    """

    def __init__(
        self,
        rows: pa.Table,
        refusals: list[Refusal],
        end: End,
        *,
        targets: Sequence[Target],
        block: Callable[[], Block],
    ) -> None:
        self.rows = rows
        self.refusals = refusals
        self.end = end
        self._targets = targets
        self._read = block

    def save(self, path: Path) -> None:
        """The part can be read from there, instead of being checked once more."""
        said = {"end": self.end, "refusals": [asdict(it) for it in self.refusals]}
        rows = self.rows.replace_schema_metadata({_SAID: json.dumps(said)})
        draft = path.with_name(f"{new_id().hex}.part")
        with pa.OSFile(str(draft), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows)
        draft.replace(path)

    def refuse(self, reasons: dict[int, str]) -> None:
        """Rows that others know to be impossible are refused, too: line -> reason."""
        self.refusals += self.refusals_of(reasons)
        is_refused = pc.is_in(self.rows["line"], pa.array(list(reasons), pa.int64()))
        self.rows = self.rows.filter(pc.invert(is_refused))

    def refusals_of(self, reasons: dict[int, str]) -> list[Refusal]:
        """These lines of the block as refusals."""
        places = {target.field.key: target.position for target in self._targets}
        return [
            Refusal(
                line,
                reason,
                next((places[it] for it in _PLACES.get(reason, ()) if it in places), None),
                HINTS[reason],
                self._cells(line),
            )
            for line, reason in reasons.items()
        ]

    def _cells(self, line: int) -> list[str]:
        return cells_at(self._block, bisect_left(self._block.lines, line))

    @cached_property
    def _block(self) -> Block:
        return self._read()


def load(path: Path, targets: Sequence[Target], block: Callable[[], Block]) -> Part | None:
    """The part that was saved there, or None."""
    try:
        with pa.memory_map(str(path)) as file:
            rows = pa.ipc.open_file(file).read_all()
    except (OSError, pa.ArrowInvalid):
        return None
    said = json.loads(rows.schema.metadata[_SAID])
    refusals = [Refusal(**it) for it in said["refusals"]]
    end = End(*said["end"])
    return Part(rows, refusals, end, targets=targets, block=block)


def read(block: Block, targets: Sequence[Target], reading: Reading, delimiter: str) -> Part:
    """The block, checked."""
    rows, refusals = _Check(block, targets, reading, delimiter).result()
    count = len(block.lines) + len(block.misfits)
    end = End(count, *block.after, is_last=block.is_last)
    return Part(rows, refusals, end, targets=targets, block=lambda: block)


def cells_at(block: Block, place: int) -> list[str]:
    """What a row of the block says."""
    return [column[place].as_py() for column in block.columns]


class _Check:
    """Decides which rows of a block can be imported."""

    def __init__(
        self, block: Block, targets: Sequence[Target], reading: Reading, delimiter: str
    ) -> None:
        self._block = block
        self._targets = targets
        self._reading = reading
        self._delimiter = delimiter

    def result(self) -> tuple[pa.Table, list[Refusal]]:
        """Rows and refusals."""
        block = self._block
        texts = [columns.stripped(block.columns[it.position]) for it in self._targets]
        found = {"line": pa.array(block.lines, pa.int64())}
        problems: list[pa.Array] = []
        for target, text in zip(self._targets, texts, strict=True):
            checked = columns.check(target.field, text, self._reading)
            found |= checked.values
            problems.append(checked.problems)
        self._name(found)
        missing = self._missing(texts)
        is_broken = pc.is_in(found["line"], pa.array(sorted(block.broken), pa.int64()))
        is_bad = pc.or_(is_broken, missing)
        for problem in problems:
            is_bad = pc.or_(is_bad, pc.is_valid(problem))
        refusals = self._misfits()
        if pc.any(is_bad).as_py():
            for place in pc.indices_nonzero(is_bad).to_pylist():
                refusals.append(self._refusal(place, texts, problems))
        table = pa.table(found)
        return table.filter(pc.invert(is_bad)), refusals

    def _missing(self, texts: Sequence[pa.Array]) -> pa.Array:
        """Whether the row lacks what no row can be without."""
        missing = [pc.is_null(texts[self._targets.index(it)]) for it in self._needed]
        return reduce(pc.or_, missing)

    @cached_property
    def _needed(self) -> Sequence[Target]:
        return needed(self._targets)

    def _name(self, found: dict[str, pa.Array]) -> None:
        """The name somebody is sought by, of those whose name the file says."""
        parts = [found[key] for key in ("first_name", "last_name") if key in found]
        if parts:
            both = pc.binary_join_element_wise(parts[0], parts[-1], " ")
            alone = pc.fill_null(pc.coalesce(*parts), "")
            joined = alone if len(parts) == 1 else pc.coalesce(both, alone)
            found["name_key"] = columns.folded(joined)

    def _misfits(self) -> list[Refusal]:
        return [
            Refusal(line, "column_count", None, HINTS["column_count"], self._split(text))
            for line, text in self._block.misfits
        ]

    def _split(self, text: str) -> list[str]:
        return next(csv.reader([text], delimiter=self._delimiter), [])

    def _refusal(
        self, place: int, texts: Sequence[pa.Array], problems: Sequence[pa.Array]
    ) -> Refusal:
        line, said = self._block.lines[place], cells_at(self._block, place)
        if line in self._block.broken:
            return Refusal(line, "encoding", None, HINTS["encoding"], said)
        for target in self._needed:
            if not texts[self._targets.index(target)][place].is_valid:
                reason = _MISSING[target.field.key]
                return Refusal(line, reason, target.position, HINTS[reason], said)
        for target, text, problem in zip(self._targets, texts, problems, strict=True):
            reason = problem[place].as_py()
            if reason is not None:
                hint = self._hint(target, text[place].as_py())
                named = reason if reason in _WITHOUT_COLUMN else f"{reason}:{target.label}"
                return Refusal(line, named, target.position, hint, said)
        raise AssertionError("the row is not refused")

    def _hint(self, target: Target, text: str) -> str:
        try:
            cells.parse(target.field, text, self._reading)
        except ValueInvalidError as error:
            return str(error)
        raise AssertionError("columns and cells disagree")

"""Does the work of imports in parts, each of them one transaction with its checkpoint.

A part's members, list entries, events, undo rows, refusals and the checkpoint commit together, so
an import that is killed anywhere goes on at the next part and repeats nothing.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.uploads import blocks, tables
from app.uploads.blocks import Block, Spot
from app.uploads.errors import FileUnreadableError
from app.uploads.records import GONE
from app.users import properties, provisioning
from app.users.imports import event_loading, reading, service, undoing
from app.users.imports import mapping as mappings
from app.users.imports.duplicates import Survey
from app.users.imports.errors import RowsMovedError
from app.users.imports.event_loading import EventLoading
from app.users.imports.loading import Loading
from app.users.imports.models import ImportKind, ImportRefusal, ImportState, UserImport
from app.users.imports.reading import Part, Refusal
from app.users.imports.staging import Order, Outcome
from core.db import after_commit, choose_actor
from core.events import emit
from core.ids import encode_id
from core.types import ImportId

ROWS_A_PART = 20_000
PART_BYTES = (2 << 20, 3 << 20)
"""The smallest and the largest part: a record is never longer than the smallest."""
_SAMPLES = 20
_SAMPLE_BYTES = 1 << 16
_EXAMPLES = 5
_TRIES = 3
_AHEAD = timedelta(minutes=5)
"""Clocks of others may be ahead of ours by so much."""
_UNDOING = {
    ImportKind.USERS: undoing.run_part,
    ImportKind.EVENTS: event_loading.take_back_part,
}


def run_part(session: Session, import_id: ImportId, *, at: datetime) -> bool:
    """The next part of the work on the import is done.

    Returns:
        True while there is more to do.

    Locks: the import, then members that change.
    """
    row = session.scalar(
        select(UserImport)
        .where(UserImport.id == import_id, UserImport.state.in_(service.MOVING))
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if row is None:
        return False
    choose_actor(session, row.actor)
    properties.hold(session)
    try:
        if row.state is ImportState.UPLOADED:
            return _analyse(session, row)
        if row.state is ImportState.UNDOING:
            return _UNDOING[row.kind](session, row, at=at)
        return _Run(session, row, at=at).step()
    except FileUnreadableError as error:
        service.unreadable(row, error, at=at)
        return False


def _analyse(session: Session, row: UserImport) -> bool:
    """How the file is read is known, and its obvious mapping proposed."""
    upload, table = service.upload_path(row.id), service.table_path(row.id)
    layout = tables.look(upload) if row.layout is None else service.load_layout(row)
    tables.make(upload, table, layout)
    records = _first_records(table, layout.delimiter)
    if not records or (layout.has_header and len(records) == 1):
        raise FileUnreadableError("The table has a header but no rows. Export it again.")
    width = len(records[0])
    row.layout = asdict(layout)
    row.columns = (
        [cell.strip() for cell in records[0]]
        if layout.has_header
        else [f"Column {number}" for number in range(1, width + 1)]
    )
    row.samples = records[1 if layout.has_header else 0 :][:_SAMPLES]
    row.byte_count = table.stat().st_size
    _propose(session, row)
    row.state = ImportState.ANALYSED
    session.flush()
    return False


def _propose(session: Session, row: UserImport) -> None:
    names = [str(name) for name in row.columns]
    known = mappings.recall(session, row.kind, names)
    guess = mappings.guess(session, row.kind, names)
    guessed = {str(place): key for place, key in guess.items()}
    row.mapping = guessed if known is None else known.mapping
    row.options = service.Options().dump() if known is None else known.options


def _first_records(path: Any, delimiter: str) -> list[list[str]]:
    """The first records, cells of a record that is too wide or narrow included."""
    start = blocks.beginning(path)
    with path.open("rb") as file:
        file.seek(start.byte)
        head = file.read(_SAMPLE_BYTES)
    text = head.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    if len(head) == _SAMPLE_BYTES and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    found = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    records: list[list[str]] = []
    for record in found:
        if record and len(records) <= _SAMPLES:
            records.append(record)
    return records


class _Run:
    """One step of going through the file: to survey it, to try it, or to import it."""

    def __init__(self, session: Session, row: UserImport, *, at: datetime) -> None:
        self._session = session
        self._row = row
        self._at = at
        self._options = service.load_options(row.options)
        self._reading = replace(self._options.reading, latest=row.created_at + _AHEAD)
        self._targets = mappings.targets(session, row)
        self._survey = Survey(service.upload_path(row.id))

    def step(self) -> bool:
        """The next part is surveyed, tried or imported."""
        row = self._row
        if not row.is_surveyed:
            return self._look()
        if not self._survey.is_decided():
            raise FileUnreadableError(GONE)
        part = self._kept() or self._part()
        part.refuse(self._survey.refused(row.next_line, part.end.line))
        outcome = self._load(part)
        self._count(outcome, part)
        self._move(part)
        if not part.end.is_last:
            return True
        self._end()
        return False

    def _kept(self) -> Part | None:
        """The part as the survey left it."""
        return reading.load(self._survey.part(self._row.next_byte), self._targets, self._block)

    def _part(self) -> Part:
        delimiter = service.load_layout(self._row).delimiter
        return reading.read(self._block(), self._targets, self._reading, delimiter)

    def _block(self) -> Block:
        """The records from the checkpoint on, without the header."""
        row, layout = self._row, service.load_layout(self._row)
        table, width = service.table_path(row.id), len(row.columns)
        is_first = row.next_byte == 0
        at = blocks.beginning(table) if is_first else Spot(row.next_byte, row.next_line)
        block = blocks.read_block(table, layout.delimiter, width, at=at, size=self._size())
        if is_first and layout.has_header:
            kept = [column.slice(1) for column in block.columns]
            block = replace(block, columns=kept, lines=block.lines[1:])
        return block

    def _size(self) -> int:
        """So many bytes as about `ROWS_A_PART` rows have."""
        samples = max(len(self._row.samples), 1)
        said = sum(len(str(cell)) + 1 for record in self._row.samples for cell in record)
        smallest, largest = PART_BYTES
        return min(max(said * ROWS_A_PART // samples, smallest), largest)

    def _look(self) -> bool:
        """The next part is searched for people or events that are named twice."""
        row = self._row
        if row.next_byte == 0 or not self._survey.cut(row.surveyed_count):
            self._survey.begin()
            row.next_byte, row.next_line, row.done_count = 0, 1, 0
        part = self._part()
        part.save(self._survey.part(row.next_byte))
        row.surveyed_count = self._survey.add(part.rows)
        self._move(part)
        if part.end.is_last:
            self._survey.end(self._options.on_duplicate)
            row.is_surveyed, row.row_count, row.resumed_at = True, row.done_count, self._at
            row.next_byte, row.next_line, row.done_count = 0, 1, 0
            if row.row_count == 0:
                raise FileUnreadableError("The table has a header but no rows. Export it again.")
        return True

    def _move(self, part: Part) -> None:
        row = self._row
        row.next_byte, row.next_line = part.end.byte, part.end.line
        row.done_count += part.end.row_count
        self._session.flush()

    def _load(self, part: Part) -> Outcome:
        """What became of the rows; a collision with somebody else is tried again at once.

        Raises:
            RowsMovedError: they collide again and again; the sweep tries later.
        """
        is_trial = self._row.state is ImportState.PREVIEWING
        for _ in range(_TRIES):
            try:
                with self._session.begin_nested():
                    return self._loading(part).run(is_trial=is_trial)
            except (IntegrityError, RowsMovedError):
                continue
        raise RowsMovedError

    def _loading(self, part: Part) -> Loading | EventLoading:
        row = self._row
        order = Order(row.id, self._targets, self._options, row.list_id, row.actor, self._at)
        kind = EventLoading if row.kind is ImportKind.EVENTS else Loading
        return kind(self._session, order, part.rows)

    def _count(self, outcome: Outcome, part: Part) -> None:
        row = self._row
        refusals = [*part.refusals, *part.refusals_of(outcome.refused)]
        if row.state is ImportState.PREVIEWING:
            row.preview = _added(row.preview or _nothing(), outcome, refusals)
            return
        row.created_count += outcome.created
        row.updated_count += outcome.updated
        row.unchanged_count += outcome.unchanged
        row.listed_count += outcome.listed
        row.consent_count += outcome.consents
        row.rejected_count += len(refusals)
        _store(self._session, row, refusals)
        if outcome.created and row.kind is ImportKind.USERS:
            provisioning.nudge(self._session)

    def _end(self) -> None:
        row = self._row
        if row.state is ImportState.PREVIEWING:
            row.state = ImportState.PREVIEWED
            return
        row.finished_at = self._at
        is_whole = not row.rejected_count
        row.state = ImportState.COMPLETED if is_whole else ImportState.COMPLETED_WITH_ERRORS
        after_commit(self._session, partial(service.forget_files, row.id))
        emit(
            self._session,
            "cohort.import.completed",
            at=self._at,
            importId=encode_id("imp", row.id),
            rows=row.kind.value,
            created=row.created_count,
            updated=row.updated_count,
            rejected=row.rejected_count,
        )


def _nothing() -> dict[str, Any]:
    return {
        "created": 0,
        "updated": 0,
        "unchanged": 0,
        "consents": 0,
        "refused": {},
        "examples": {},
        "changes": [],
    }


def _added(report: dict[str, Any], outcome: Outcome, refusals: Sequence[Refusal]) -> dict[str, Any]:
    """The report of a trial, with another part."""
    refused = Counter(report["refused"])
    examples = {reason: list(found) for reason, found in report["examples"].items()}
    for refusal in refusals:
        refused[refusal.reason] += 1
        shown = examples.setdefault(refusal.reason, [])
        if len(shown) < _EXAMPLES:
            shown.append(asdict(refusal))
    return {
        "created": report["created"] + outcome.created,
        "updated": report["updated"] + outcome.updated,
        "unchanged": report["unchanged"] + outcome.unchanged,
        "consents": report["consents"] + outcome.consents,
        "refused": dict(refused),
        "examples": examples,
        "changes": [*report["changes"], *outcome.examples][:_EXAMPLES],
    }


def _store(session: Session, row: UserImport, refusals: Sequence[Refusal]) -> None:
    if refusals:
        session.execute(
            insert(ImportRefusal), [{"import_id": row.id, **asdict(it)} for it in refusals]
        )

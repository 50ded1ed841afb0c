"""Imports members from a file: analysed, mapped, then run in checkpointed parts.

A part is one transaction: its members, wallets, passes, refusals and the checkpoint commit
together, so an import killed anywhere goes on at the next part and repeats nothing.
"""

import csv
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app.users import table
from app.users.errors import (
    FileUnreadableError,
    ImportNotFoundError,
    ImportStateError,
)
from app.users.models import ImportRefusal, ImportState, User, UserImport
from app.users.service import create_users, name_key, new_row
from app.users.table import Field, Record, Refusal, Row
from core import jobs
from core.events import emit
from core.ids import new_id
from core.settings import core_settings
from core.types import ImportId

ROWS_A_PART = 1_000
TASK = "users.run_import"
_EDITABLE = (ImportState.ANALYSED, ImportState.PREVIEWED)


@dataclass(frozen=True)
class Forecast:
    """What running the import would do; counted over the whole file, nothing is written."""

    rows: int
    refused: dict[str, int]

    @property
    def accepted(self) -> int:
        """Rows that would create, update or find a member."""
        return self.rows - sum(self.refused.values())


def upload(session: Session, file_name: str, content: BinaryIO, *, at: datetime) -> UserImport:
    """The file is stored, readable, and its obvious mapping proposed.

    Raises:
        FileUnreadableError: it is no UTF-8 CSV table with a header and rows; nothing is kept.
    """
    import_id = ImportId(new_id())
    path = file_path(import_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("wb") as target:
        shutil.copyfileobj(content, target)
    try:
        sample = table.analyse(path)
    except FileUnreadableError:
        path.unlink()
        raise
    mapping = table.guess_mapping(sample.columns)
    row = UserImport(
        id=import_id,
        file_name=file_name or "members.csv",
        state=ImportState.ANALYSED,
        columns=sample.columns,
        mapping={str(position): field for position, field in mapping.items()},
        row_count=sample.row_count,
        actor=session.info["actor"],
        created_at=at,
    )
    session.add(row)
    session.flush()
    return row


def file_path(import_id: ImportId) -> Path:
    """Where the uploaded file is."""
    return core_settings().data_dir / "imports" / f"{import_id.hex}.csv"


def get(session: Session, import_id: ImportId) -> UserImport:
    """The import.

    Raises:
        ImportNotFoundError: this merchant has none with the id.
    """
    row = session.get(UserImport, import_id)
    if row is None:
        raise ImportNotFoundError(import_id)
    return row


def mapping_of(row: UserImport) -> dict[int, Field]:
    """Column position -> field."""
    return {int(position): Field(field) for position, field in row.mapping.items()}


def choose_mapping(session: Session, row: UserImport, mapping: dict[int, Field]) -> None:
    """The import will read its columns this way.

    Raises:
        MappingInvalidError: no email column, or a field twice.
        ImportStateError: it has started.
    """
    if row.state not in _EDITABLE:
        raise ImportStateError(row.id, row.state)
    table.check_mapping(mapping, [str(column) for column in row.columns])
    row.mapping = {str(position): field.value for position, field in mapping.items()}
    row.state = ImportState.PREVIEWED
    session.flush()


def forecast(row: UserImport) -> Forecast:
    """A dry run over the whole file."""
    refused: dict[str, int] = {}
    seen: set[str] = set()
    rows = 0
    for judged in _judged(row, from_row=0):
        rows += 1
        reason = None
        if isinstance(judged, Refusal):
            reason = judged.reason
        elif judged.email_key in seen:
            reason = "duplicate_in_file"
        else:
            seen.add(judged.email_key)
        if reason is not None:
            refused[reason] = refused.get(reason, 0) + 1
    return Forecast(rows, refused)


def start(session: Session, row: UserImport, *, at: datetime) -> None:
    """The import runs in the background from now on; starting it twice changes nothing.

    Raises:
        MappingInvalidError: the mapping is not complete.
    """
    if row.state not in _EDITABLE:
        return
    table.check_mapping(mapping_of(row), [str(column) for column in row.columns])
    row.state, row.started_at = ImportState.RUNNING, at
    session.flush()
    jobs.after_commit(session, TASK, row.merchant_id, row.id)


def run_part(session: Session, import_id: ImportId, *, at: datetime) -> bool:
    """The next part of the file is in the database.

    Returns:
        True while there is more to do.

    Locks: the import.
    """
    row = session.scalar(
        select(UserImport)
        .where(UserImport.id == import_id, UserImport.state == ImportState.RUNNING)
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return False
    try:
        part = list(islice(_judged(row, from_row=row.next_row), ROWS_A_PART))
    except (FileUnreadableError, OSError) as error:
        row.state, row.failure, row.finished_at = ImportState.FAILED, _sentence(error), at
        return False
    _load(session, row, part, at=at)
    row.next_row += len(part)
    if row.next_row < row.row_count:
        return True
    _finish(session, row, at=at)
    return False


def _sentence(error: Exception) -> str:
    if isinstance(error, FileUnreadableError):
        return str(error)
    return "The uploaded file is gone or cannot be read. Upload it again; nobody is imported twice."


def _judged(row: UserImport, *, from_row: int) -> Iterator[Row | Refusal]:
    mapping, width = mapping_of(row), len(row.columns)
    records: Iterator[Record] = table.read_records(file_path(row.id))
    for record in islice(records, 1 + from_row, None):
        yield table.judge(record, mapping, width)


def _load(
    session: Session, row: UserImport, part: Sequence[Row | Refusal], *, at: datetime
) -> None:
    refusals = [judged for judged in part if isinstance(judged, Refusal)]
    wanted: dict[str, Row] = {}
    for judged in part:
        if isinstance(judged, Row):
            if judged.email_key in wanted:
                refusals.append(_duplicate(judged))
            else:
                wanted[judged.email_key] = judged
    known = {
        user.email_key: user
        for user in session.scalars(select(User).where(User.email_key.in_(wanted)))
    }
    fresh = [judged for key, judged in wanted.items() if key not in known]
    fresh, taken = _without_taken_references(session, fresh)
    refusals += taken
    create_users(session, [_as_row(row, judged) for judged in fresh], at=at)
    row.created_count += len(fresh)
    for key, user in known.items():
        if user.last_import_id == row.id:
            refusals.append(_duplicate(wanted[key]))
        elif _apply(user, wanted[key]):
            row.updated_count += 1
        else:
            row.unchanged_count += 1
    _mark_seen(session, row, [user.id for user in known.values()])
    _store_refusals(session, row, refusals)


def _without_taken_references(
    session: Session, rows: Sequence[Row]
) -> tuple[list[Row], list[Refusal]]:
    """A reference id belongs to one member; a second one is refused, not overwritten."""
    references = [
        row.values[Field.REFERENCE_ID] for row in rows if Field.REFERENCE_ID in row.values
    ]
    taken = set(session.scalars(select(User.reference_id).where(User.reference_id.in_(references))))
    free, refused = [], []
    for row in rows:
        reference = row.values.get(Field.REFERENCE_ID)
        if reference is not None and reference in taken:
            refused.append(Refusal(row.line, "reference_taken", row.cells))
        else:
            free.append(row)
            taken |= {reference} - {None}
    return free, refused


def _duplicate(row: Row) -> Refusal:
    return Refusal(row.line, "duplicate_in_file", row.cells)


def _as_row(row: UserImport, judged: Row) -> dict[str, Any]:
    values: dict[str, Any] = {field.value: value for field, value in judged.values.items()}
    new = new_row(judged.email, judged.email_key, source="import", **values)
    return {**new, "last_import_id": row.id}


def _apply(user: User, judged: Row) -> bool:
    """Overwrite what the file says otherwise; True when something changed."""
    changes = {
        field.value: value
        for field, value in judged.values.items()
        if field is not Field.REFERENCE_ID and getattr(user, field.value) != value
    }
    for name, value in changes.items():
        setattr(user, name, value)
    user.name_key = name_key(user.first_name, user.last_name)
    return bool(changes)


def _mark_seen(session: Session, row: UserImport, users: Sequence[Any]) -> None:
    """Remember which known members this file named, so that a second row is a duplicate."""
    session.flush()
    session.execute(update(User).where(User.id.in_(users)).values(last_import_id=row.id))


def _store_refusals(session: Session, row: UserImport, refusals: Sequence[Refusal]) -> None:
    row.rejected_count += len(refusals)
    if refusals:
        session.execute(
            insert(ImportRefusal),
            [
                {
                    "import_id": row.id,
                    "line": refusal.line,
                    "reason": refusal.reason,
                    "cells": refusal.cells,
                }
                for refusal in refusals
            ],
        )


def _finish(session: Session, row: UserImport, *, at: datetime) -> None:
    row.finished_at = at
    row.state = ImportState.COMPLETED_WITH_ERRORS if row.rejected_count else ImportState.COMPLETED
    emit(
        session,
        "cohort.import.completed",
        at=at,
        created=row.created_count,
        updated=row.updated_count,
        rejected=row.rejected_count,
    )


def refusals_as_csv(session: Session, row: UserImport) -> Iterator[str]:
    """The error file: line, reason, then the cells as they were, safe to open in a spreadsheet."""
    buffer = _Line()
    writer = csv.writer(buffer)
    writer.writerow(["line", "reason", *(safe_cell(str(column)) for column in row.columns)])
    yield buffer.take()
    query = (
        select(ImportRefusal.line, ImportRefusal.reason, ImportRefusal.cells)
        .where(ImportRefusal.import_id == row.id)
        .order_by(ImportRefusal.line)
        .execution_options(yield_per=1000)
    )
    for line, reason, cells in session.execute(query):
        writer.writerow([line, reason, *(safe_cell(str(cell)) for cell in cells)])
        yield buffer.take()


def safe_cell(text: str) -> str:
    """A cell no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


class _Line:
    """A file-like target that hands over what was written since the last time."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def write(self, text: str) -> int:
        """Keep the text."""
        self._parts.append(text)
        return len(text)

    def take(self) -> str:
        """Everything written since the last take."""
        text = "".join(self._parts)
        self._parts.clear()
        return text

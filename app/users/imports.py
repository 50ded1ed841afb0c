"""Imports members from a file: analysed, mapped, then run in checkpointed parts.

A part is one transaction: its members, wallets, passes, refusals and the checkpoint commit
together, so an import killed anywhere goes on at the next part and repeats nothing.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import ColumnElement, Text, cast, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.uploads.errors import FileUnreadableError
from app.uploads.export import as_csv
from app.users import survey, table
from app.users.errors import ImportNotFoundError, ImportStateError
from app.users.models import ImportRefusal, ImportState, User, UserImport
from app.users.service import create_users, name_key, new_row
from app.users.survey import Forecast
from app.users.table import Field, Refusal, Row
from core import jobs
from core.events import emit
from core.ids import new_id
from core.settings import core_settings
from core.types import ImportId

ROWS_A_PART = 1_000
TASK = "users.run_import"
_EDITABLE = (ImportState.ANALYSED, ImportState.PREVIEWED)


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
        found = survey.survey(path)
    except FileUnreadableError:
        path.unlink()
        raise
    row = UserImport(
        id=import_id,
        file_name=file_name or "members.csv",
        state=ImportState.ANALYSED,
        columns=found.columns,
        mapping={str(position): field for position, field in found.mapping.items()},
        row_count=found.forecast.rows,
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
    """What running it with the proposed mapping would do, counted when it was uploaded.

    Raises:
        FileUnreadableError: the file is gone.
    """
    return survey.survey(file_path(row.id)).forecast


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
        part = _part(row)
    except FileUnreadableError as error:
        row.state, row.failure, row.finished_at = ImportState.FAILED, str(error), at
        return False
    _load(session, row, part, at=at)
    row.next_row += len(part)
    if row.next_row < row.row_count:
        return True
    _finish(session, row, at=at)
    return False


def _part(row: UserImport) -> list[Row | Refusal]:
    """The next rows of the file; at least one, because it has some left."""
    mapping, width = mapping_of(row), len(row.columns)
    records = survey.rows_from(file_path(row.id), row.next_row)
    part = [table.judge(record, mapping, width) for record in islice(records, ROWS_A_PART)]
    if not part:
        raise FileUnreadableError(
            f"The uploaded file ends after {row.next_row} of {row.row_count} rows. Upload it "
            "again; nobody is imported twice."
        )
    return part


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
        for user in session.scalars(select(User).where(_among(User.email_key, wanted)))
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


def _among(column: InstrumentedAttribute[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """The column is one of the values, as a join with a list of them.

    While the first import fills an empty table, the planner still thinks that it is empty and reads
    it whole; a list of a thousand would then be compared with every row of it.
    """
    return column.in_(select(func.unnest(cast(list(values), ARRAY(Text)))))


def _without_taken_references(
    session: Session, rows: Sequence[Row]
) -> tuple[list[Row], list[Refusal]]:
    """A reference id belongs to one member; a second one is refused, not overwritten."""
    references = [
        row.values[Field.REFERENCE_ID] for row in rows if Field.REFERENCE_ID in row.values
    ]
    taken = set(
        session.scalars(select(User.reference_id).where(_among(User.reference_id, references)))
    )
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
    query = (
        select(ImportRefusal.line, ImportRefusal.reason, ImportRefusal.cells)
        .where(ImportRefusal.import_id == row.id)
        .order_by(ImportRefusal.line)
        .execution_options(yield_per=1000)
    )
    refused = ((line, reason, *cells) for line, reason, cells in session.execute(query))
    return as_csv(chain([("line", "reason", *row.columns)], refused))

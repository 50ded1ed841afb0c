"""Exports: asked for, written in parts in the background, kept for seven days.

A part is one transaction. The file is on disk before its checkpoint is, and what is behind the
checkpoint is cut off, so an export that is killed goes on and has no row twice.
"""

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from app.users.exports.errors import ExportInvalidError, ExportNotFoundError
from app.users.exports.models import ExportFormat, ExportKind, ExportState, UserExport
from app.users.exports.rows import source, written
from core import jobs
from core.events import emit
from core.ids import encode_id, new_id
from core.settings import core_settings
from core.types import ExportId

TASK = "users.run_export"
ROWS_A_PART = 20_000
KEPT = timedelta(days=7)


def request(
    session: Session,
    kind: ExportKind,
    form: ExportFormat,
    options: dict[str, Any],
    *,
    at: datetime,
) -> UserExport:
    """The file is written in the background from now on.

    Args:
        options: of users `columns` (keys of fields) and perhaps `list` and `state`; of events
            perhaps `type`, `from` and `until` (ISO 8601).

    Raises:
        ExportInvalidError: no column is chosen.
    """
    if kind is ExportKind.USERS and not options.get("columns"):
        raise ExportInvalidError({"columns": "Choose at least one column."})
    row = UserExport(
        id=ExportId(new_id()),
        kind=kind,
        format=form,
        options=options,
        row_count=0,
        actor=session.info["actor"],
        created_at=at,
    )
    rows = source(session, row).query.subquery()
    row.row_count = session.scalar(select(func.count()).select_from(rows)) or 0
    session.add(row)
    session.flush()
    emit(session, "cohort.export.requested", at=at, exportId=encode_id("exp", row.id), of=kind)
    jobs.after_commit(session, TASK, row.merchant_id, row.id)
    return row


def get(session: Session, export_id: ExportId) -> UserExport:
    """The export.

    Raises:
        ExportNotFoundError: this merchant has none with the id.
    """
    row = session.get(UserExport, export_id)
    if row is None:
        raise ExportNotFoundError(export_id)
    return row


def list_exports(session: Session, *, limit: int = 20) -> list[UserExport]:
    """The newest exports."""
    return list(session.scalars(select(UserExport).order_by(UserExport.id.desc()).limit(limit)))


def file_path(row: UserExport) -> Path:
    """Where the file is."""
    return core_settings().data_dir / "exports" / f"{row.id.hex}.{row.format}"


def download(session: Session, row: UserExport, *, at: datetime) -> Path:
    """The finished file; that somebody takes it is written down.

    Raises:
        ExportNotFoundError: it is not finished, or its days are over.
    """
    path = file_path(row)
    is_kept = row.expires_at is not None and at < row.expires_at
    if row.state is not ExportState.COMPLETED or not is_kept or not path.exists():
        raise ExportNotFoundError(row.id)
    emit(session, "cohort.export.downloaded", at=at, exportId=encode_id("exp", row.id))
    return path


def is_due(at: datetime) -> ColumnElement[bool]:
    """Which exports have work to do: to be written, or their file to be deleted."""
    is_over = (UserExport.state == ExportState.COMPLETED) & (UserExport.expires_at <= at)
    return or_(UserExport.state == ExportState.RUNNING, is_over)


def run_part(session: Session, export_id: ExportId, *, at: datetime) -> bool:
    """The next rows are in the file, or an expired file is gone.

    Returns:
        True while there is more to do.

    Locks: the export.
    """
    row = session.scalar(
        select(UserExport)
        .where(UserExport.id == export_id, is_due(at))
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if row is None:
        return False
    if row.state is ExportState.COMPLETED:
        file_path(row).unlink(missing_ok=True)
        row.state = ExportState.EXPIRED
        return False
    rows = source(session, row)
    query = rows.query.order_by(rows.key).limit(ROWS_A_PART).add_columns(rows.key)
    if row.next_id is not None:
        query = query.where(rows.key > row.next_id)
    found = session.execute(query).all()
    cells = (rows.cells(it[:-1]) for it in found)
    lines = written(rows.columns, cells, row.format, is_first=row.byte_count == 0)
    row.byte_count = _append(file_path(row), row.byte_count, lines)
    row.done_count += len(found)
    if found:
        row.next_id = found[-1][-1]
    if len(found) == ROWS_A_PART:
        return True
    row.state, row.finished_at, row.expires_at = ExportState.COMPLETED, at, at + KEPT
    row.row_count = row.done_count
    emit(
        session,
        "cohort.export.completed",
        at=at,
        exportId=encode_id("exp", row.id),
        of=row.kind,
        rows=row.done_count,
    )
    return False


def _append(path: Path, size: int, lines: Iterable[str]) -> int:
    """The file has its first so many bytes and these lines, on disk; its new size."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(size)
        file.seek(size)
        for line in lines:
            file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
        return file.tell()

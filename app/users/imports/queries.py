"""Reads of imports for screens and files."""

from collections.abc import Iterator, Sequence
from itertools import chain

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.uploads.export import as_csv
from app.users.imports.models import ImportConflict, ImportRefusal, UserImport
from core.types import ImportId


def list_imports(session: Session, *, limit: int = 20) -> Sequence[UserImport]:
    """The newest imports."""
    return session.scalars(select(UserImport).order_by(UserImport.id.desc()).limit(limit)).all()


def list_refusals(
    session: Session, import_id: ImportId, *, limit: int = 100
) -> Sequence[ImportRefusal]:
    """The first refused rows of an import, by line."""
    return session.scalars(
        select(ImportRefusal)
        .where(ImportRefusal.import_id == import_id)
        .order_by(ImportRefusal.line)
        .limit(limit)
    ).all()


def list_conflicts(
    session: Session, import_id: ImportId, *, limit: int = 100
) -> Sequence[ImportConflict]:
    """The first values that undoing left alone."""
    return session.scalars(
        select(ImportConflict)
        .where(ImportConflict.import_id == import_id)
        .order_by(ImportConflict.user_id, ImportConflict.field)
        .limit(limit)
    ).all()


def refusals_as_csv(session: Session, row: UserImport) -> Iterator[str]:
    """The error file: line, reason, column, what it would take, then the cells as they were.

    Every cell is safe to open in a spreadsheet.
    """
    query = (
        select(ImportRefusal)
        .where(ImportRefusal.import_id == row.id)
        .order_by(ImportRefusal.line)
        .execution_options(yield_per=1000)
    )
    refused = (
        (it.line, it.reason, _column(row, it), it.hint or "", *it.cells)
        for it in session.scalars(query)
    )
    return as_csv(chain([("line", "reason", "column", "hint", *row.columns)], refused))


def _column(row: UserImport, refusal: ImportRefusal) -> str:
    return "" if refusal.position is None else str(row.columns[refusal.position])

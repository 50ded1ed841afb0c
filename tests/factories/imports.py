"""Files of users, uploaded and gone through as the worker does."""

import io
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.users.imports import queries, running, service
from app.users.imports.models import UserImport
from tests.conftest import NOW


def upload(session: Session, content: str | bytes, name: str = "members.csv") -> UserImport:
    """The file, looked at."""
    raw = content.encode() if isinstance(content, str) else content
    row = service.upload(session, name, io.BytesIO(raw), at=NOW)
    running.run_part(session, row.id, at=NOW)
    return row


def go_on(session: Session, row: UserImport) -> UserImport:
    """All that is to be done now."""
    while running.run_part(session, row.id, at=NOW):
        pass
    return row


def run(session: Session, content: str | bytes, **choices: Any) -> UserImport:
    """The import of this content, mapped as guessed, run to its end."""
    row = upload(session, content)
    mapping = choices.pop("mapping", {int(at): key for at, key in row.mapping.items()})
    if choices or mapping:
        service.choose_mapping(session, row, mapping, **choices)
    service.start(session, row, at=NOW)
    return go_on(session, row)


def counts(row: UserImport) -> tuple[int, int, int, int]:
    """Created, updated, unchanged, rejected."""
    return row.created_count, row.updated_count, row.unchanged_count, row.rejected_count


def refused(session: Session, row: UserImport) -> list[tuple[int, str]]:
    """Line and reason of every refused row."""
    return [(it.line, it.reason) for it in queries.list_refusals(session, row.id, limit=10_000)]


def count(session: Session, table: type[Any], **values: Any) -> int:
    """How many rows there are."""
    return session.scalar(select(func.count()).select_from(table).filter_by(**values)) or 0

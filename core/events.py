"""The append-only event table: what happened, to whom, by whom.

Segments, indicators, webhooks and exports read it by cursor. A row is written in the transaction
of the change it tells of, so an event exists exactly when the change does.

No row is changed or taken away, with two exceptions that functions of the tables' owner make for
events a file brought (`custom.`): they go when their import is undone, and are emptied when the
person they are of is forgotten.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Dialect,
    Index,
    Insert,
    PrimaryKeyConstraint,
    Select,
    Text,
    cast,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.types import UserDefinedType

from core.db import Base, TenantMixin, change, sql_id
from core.ids import new_id
from core.types import EventId, UserId


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, which never wraps."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The SQL spelling."""
        return "XID8"

    def bind_expression(self, bindvalue: BindParameter[int]) -> ColumnElement[int]:
        """PostgreSQL makes one of a text only."""
        return cast(cast(bindvalue, Text), self)

    def bind_processor(self, _dialect: Dialect) -> Callable[[int | None], str | None]:
        """Send digits."""
        return lambda value: None if value is None else str(value)

    def result_processor(
        self, _dialect: Dialect, _coltype: object
    ) -> Callable[[str | None], int | None]:
        """Read digits."""
        return lambda value: None if value is None else int(value)


class Event(TenantMixin, Base):
    """One fact.

    Readers page by (`xid`, `id`) below `pg_snapshot_xmin(pg_current_snapshot())`: by time or id
    alone they would skip rows of transactions that commit late.
    """

    __tablename__ = "events"
    __table_args__ = (
        PrimaryKeyConstraint("id", "occurred_at"),
        Index("ix_events_cursor", "xid", "id"),
        Index("ix_events_subject", "merchant_id", "user_id", "occurred_at"),
        Index("ix_events_type", "merchant_id", "type", "occurred_at", "user_id"),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )

    id: Mapped[EventId]
    occurred_at: Mapped[datetime]
    type: Mapped[str]
    user_id: Mapped[UserId | None] = mapped_column(PG_UUID(as_uuid=True))
    actor: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    xid: Mapped[int] = mapped_column(Xid8(), server_default=text("pg_current_xact_id()"))


def emit(
    session: Session, kind: str, *, at: datetime, user_id: UserId | None = None, **data: Any
) -> None:
    """Write one event in the caller's transaction.

    Args:
        kind: the event's name, for example `cohort.pass.issued`.
        data: JSON values without personal data.
    """
    emit_many(session, kind, [(user_id, data)], at=at)


def emit_many(
    session: Session,
    kind: str,
    facts: Sequence[tuple[UserId | None, dict[str, Any]]],
    *,
    at: datetime,
) -> None:
    """Write many events of one kind with one statement; `facts` are (user, data)."""
    if not facts:
        return
    actor = session.info["actor"]
    session.execute(
        insert(Event),
        [
            {
                "id": new_id(),
                "occurred_at": at,
                "type": kind,
                "user_id": user_id,
                "actor": actor,
                "data": data,
            }
            for user_id, data in facts
        ],
    )


def emit_each(
    session: Session, kind: str, facts: Select[UserId, dict[str, Any]], *, at: datetime
) -> int:
    """Write one event of this kind for each row of a query; the rows never leave the database.

    Args:
        facts: rows of user and data; it may end in a statement that changes rows and returns them.

    Returns:
        How many events were written.
    """
    user, data = facts.subquery().c
    rows = select(literal(kind), user, data)
    return change(session, insert_events(session, rows, at=at))


def insert_events(
    session: Session, facts: Select[str, UserId | None, dict[str, Any]], *, at: datetime
) -> Insert:
    """The statement that writes one event for each row of a query, alone or as a part of another.

    Args:
        facts: rows of kind, user and data.
    """
    return insert_events_by(facts, at=literal(at), actor=literal(session.info["actor"]))


def insert_events_by(
    facts: Select[str, UserId | None, dict[str, Any]],
    *,
    at: ColumnElement[datetime],
    actor: ColumnElement[str],
) -> Insert:
    """`insert_events` for a statement that is sent again: when and by whom are its parameters."""
    kind, user, data = facts.subquery().c
    rows = select(sql_id(), at, kind, user, actor, data)
    columns = ["id", "occurred_at", "type", "user_id", "actor", "data"]
    return insert(Event).from_select(columns, rows, include_defaults=False)

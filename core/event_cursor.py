"""Reads the event table in the order of commits, each reader from where it stopped.

An event is handed over once no transaction that could still add an earlier one is open: readers
page by (`xid`, `id`) below `pg_snapshot_xmin`. A reader moves its cursor in the transaction of what
it did, so each event has its effect exactly once.

A database restored into another server counts its transactions from the beginning again. A cursor
that lies in the future says so, and its reader starts from the tables instead of from events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import PrimaryKeyConstraint, Select, func, select, tuple_
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from core.db import Base, TenantMixin, merchant_of
from core.events import Event, Xid8
from core.types import EventId, UserId

BEFORE_ALL = EventId(UUID(int=0))


class EventCursor(TenantMixin, Base):
    """How far one reader has come with one merchant's events."""

    __tablename__ = "event_cursors"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "reader"),)

    reader: Mapped[str]
    xid: Mapped[int] = mapped_column(Xid8())
    event_id: Mapped[EventId]


@dataclass(frozen=True)
class Fact:
    """An event as readers see it."""

    id: EventId
    type: str
    user_id: UserId | None
    occurred_at: datetime
    data: dict[str, Any]


@dataclass(frozen=True)
class Page:
    """What a reader reads at once.

    Args:
        is_lost: the cursor lies in a future of another server; what was missed is not known.
        is_last: nothing more is to be read now.
    """

    facts: Sequence[Fact]
    is_last: bool
    is_lost: bool = False


def claim(session: Session, reader: str) -> EventCursor | None:
    """The reader's cursor, locked for this transaction; a new reader begins with the first event.

    Returns:
        None while another process reads.

    Locks: the cursor.
    """
    session.execute(
        insert(EventCursor)
        .values(merchant_id=merchant_of(session), reader=reader, xid=0, event_id=BEFORE_ALL)
        .on_conflict_do_nothing()
    )
    return session.scalar(
        select(EventCursor)
        .where(EventCursor.merchant_id == merchant_of(session), EventCursor.reader == reader)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )


def read(session: Session, cursor: EventCursor, *, limit: int) -> Page:
    """The next events after the cursor, which stands behind them from now on."""
    line = _line(session)
    if cursor.xid > line:
        return Page((), is_last=True, is_lost=True)
    rows = session.execute(_after(session, cursor, line).limit(limit)).all()
    if rows:
        last = rows[-1]
        cursor.xid, cursor.event_id = last.xid, last.id
        session.flush()
    facts = [Fact(it.id, it.type, it.user_id, it.occurred_at, it.data) for it in rows]
    return Page(facts, is_last=len(rows) < limit)


def skip(session: Session, cursor: EventCursor) -> None:
    """The cursor stands behind everything that can be read now."""
    cursor.xid, cursor.event_id = _line(session), BEFORE_ALL
    session.flush()


def is_behind(session: Session, cursor: EventCursor, *, by: int) -> bool:
    """Whether more than so many events wait to be read."""
    waiting = _after(session, cursor, _line(session)).limit(by + 1).subquery()
    return (session.scalar(select(func.count()).select_from(waiting)) or 0) > by


def is_up_to_date(session: Session, cursor: EventCursor) -> bool:
    """Whether nothing was committed after the cursor, but for what this transaction writes."""
    own = func.pg_current_xact_id(type_=Xid8())
    later = _after(session, cursor, None).where(Event.xid != own)
    return session.execute(later.limit(1)).first() is None


def _line(session: Session) -> int:
    """Every transaction before this one has ended."""
    line = func.pg_snapshot_xmin(func.pg_current_snapshot(), type_=Xid8())
    return session.scalars(select(line)).one()


def _after(
    session: Session, cursor: EventCursor, line: int | None
) -> Select[int, EventId, str, UserId | None, datetime, dict[str, Any]]:
    place = tuple_(Event.xid, Event.id)
    query = (
        select(Event.xid, Event.id, Event.type, Event.user_id, Event.occurred_at, Event.data)
        .where(
            Event.merchant_id == merchant_of(session),
            place > tuple_(cursor.xid, cursor.event_id, types=[Xid8(), PG_UUID(as_uuid=True)]),
        )
        .order_by(Event.xid, Event.id)
    )
    return query if line is None else query.where(Event.xid < line)

"""Codes that were scanned: whether somebody did before, and that each opens something once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.passes.models import SeenCode
from app.passes.tokens import Claims
from core.db import change, merchant_of

KEPT_USED = timedelta(days=8)
"""Longer than a scanner may be without connection."""
_KEPT_SEEN = timedelta(minutes=5)


@dataclass(frozen=True)
class Earlier:
    """What happened with the code before."""

    seen_at: datetime
    used_at: datetime | None


def see(session: Session, claims: Claims, *, at: datetime) -> Earlier | None:
    """The code is known as scanned; what is known from before, or None the first time.

    The primary key decides between scans at the same time: the later one waits and finds the row.
    """
    done = change(
        session,
        insert(SeenCode)
        .values(
            merchant_id=merchant_of(session),
            nonce=claims.nonce,
            seen_at=at,
            kept_until=claims.expires_at + _KEPT_SEEN,
        )
        .on_conflict_do_nothing(),
    )
    if done:
        return None
    row = session.execute(
        select(SeenCode.seen_at, SeenCode.used_at).where(SeenCode.nonce == claims.nonce)
    ).one()
    return Earlier(row.seen_at, row.used_at)


def use(session: Session, claims: Claims, *, at: datetime) -> datetime | None:
    """The code has opened something now; when it already had, nothing changes and that is told.

    Locks: the code, until the end of the transaction.
    """
    see(session, claims, at=at)
    done = change(
        session,
        update(SeenCode)
        .where(SeenCode.nonce == claims.nonce, SeenCode.used_at.is_(None))
        .values(used_at=at, kept_until=max(claims.expires_at, at) + KEPT_USED)
        .execution_options(synchronize_session=False),
    )
    if done:
        return None
    return session.scalar(select(SeenCode.used_at).where(SeenCode.nonce == claims.nonce))


def prune(session: Session, *, at: datetime) -> int:
    """How many rows of codes that nobody can show any more are gone."""
    return change(session, delete(SeenCode).where(SeenCode.kept_until <= at))

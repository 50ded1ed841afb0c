"""Members are told a month and a week before points of theirs end, each once for each day."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.points.earning import zone_of
from app.points.models import (
    PointsAccount,
    PointsLot,
    PointsTransaction,
    PointsUnit,
    PointsWarning,
)
from app.segments.badge_views import text_in
from app.users.mailing import write_to
from app.web.formats import last_day, number
from app.web.i18n import gettext as _
from core.db import merchant_of
from core.types import PointsAccountId, PointsUnitId, UserId

DAYS_BEFORE = (30, 7)
MORNING = 9
"""From this hour on, at the brand; points end at midnight, and nobody wants to hear of it then."""
MOST_AT_ONCE = 1_000


class Ending(NamedTuple):
    """Points of one account that end at one moment."""

    account_id: PointsAccountId
    user_id: UserId | None
    unit_id: PointsUnitId
    expires_at: datetime | None
    amount: int


def warn_due(session: Session, at: datetime) -> bool:
    """Some members whose points end soon are told; True while there may be more.

    Of two warnings that are due, a week's is enough; one whose day had passed when the points came
    is not given. The row of a warning is there once, so two workers tell nobody twice.
    """
    if at.astimezone(zone_of(session)).hour < MORNING:
        return False
    is_over = PointsWarning.expires_at < at - timedelta(days=1)
    session.execute(delete(PointsWarning).where(is_over))
    for days, following in zip(DAYS_BEFORE, (*DAYS_BEFORE[1:], 0), strict=True):
        found = [Ending(*it) for it in session.execute(_ending(session, days, following, at))]
        for row in found:
            _warn(session, row, days, at=at)
        if len(found) == MOST_AT_ONCE:
            return True
    return False


def _ending(
    session: Session, days: int, following: int, at: datetime
) -> Select[PointsAccountId, UserId | None, PointsUnitId, datetime | None, int]:
    """Accounts with points that end within so many days, and not within the fewer that follow."""
    is_told = exists().where(
        PointsWarning.account_id == PointsLot.account_id,
        PointsWarning.expires_at == PointsLot.expires_at,
        PointsWarning.days == days,
    )
    return (
        select(
            PointsLot.account_id,
            PointsAccount.user_id,
            PointsAccount.unit_id,
            PointsLot.expires_at,
            func.sum(PointsLot.remaining),
        )
        .join(PointsAccount, PointsAccount.id == PointsLot.account_id)
        .join(PointsTransaction, PointsTransaction.id == PointsLot.transaction_id)
        .where(
            PointsLot.merchant_id == merchant_of(session),
            PointsLot.remaining > 0,
            PointsLot.expires_at <= at + timedelta(days=days),
            PointsLot.expires_at > at + timedelta(days=following),
            PointsTransaction.created_at <= PointsLot.expires_at - timedelta(days=days),
            ~is_told,
        )
        .group_by(
            PointsLot.account_id,
            PointsAccount.user_id,
            PointsAccount.unit_id,
            PointsLot.expires_at,
        )
        .order_by(PointsLot.expires_at, PointsLot.account_id)
        .limit(MOST_AT_ONCE)
    )


def _warn(session: Session, row: Ending, days: int, *, at: datetime) -> None:
    told = insert(PointsWarning).values(
        account_id=row.account_id, expires_at=row.expires_at, days=days, told_at=at
    )
    assert row.user_id is not None and row.expires_at is not None  # as they were looked for
    end = row.expires_at
    if session.scalar(told.on_conflict_do_nothing().returning(PointsWarning.days)) is None:
        return
    unit = session.get_one(PointsUnit, row.unit_id)
    amount = int(row.amount)

    def words(merchant: Merchant, language: str) -> tuple[str, str]:
        said = {
            "count": number(amount),
            "points": text_in(unit.name if amount == 1 else unit.plural, language),
            "date": last_day(end),
            "brand": merchant.name,
        }
        subject = _("{count} {points} end on {date}").format(**said)
        text = _("{date} is the last day of {count} {points} you have at {brand}.").format(**said)
        return subject, f"{text} {_('What they are good for is here:')}"

    write_to(
        session,
        row.user_id,
        words,
        kind="points_ending",
        path="/space/points",
        at=at,
        valid_until=end,
    )

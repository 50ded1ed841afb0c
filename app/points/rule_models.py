"""Earning rules, and what each event did by each of them, once."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Numeric,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin, VersionMixin
from core.types import EventId, PointsRuleId, PointsTransactionId, PointsUnitId, UserId


class PointsRule(TenantMixin, VersionMixin, Base):
    """What events earn: a fixed amount, or a property of the event times a rate, rounded down.

    Days are the brand's. `spent` is what the rule has given less what it took back; it changes
    under the row's lock without a new version, because people edit the rest.
    """

    __tablename__ = "points_rules"
    __table_args__ = (
        UniqueConstraint("merchant_id", "name"),
        CheckConstraint("rate > 0", name="rate"),
        CheckConstraint("spent >= 0", name="spent"),
        CheckConstraint("member_day_cap > 0 AND member_cap > 0 AND budget > 0", name="limits"),
        CheckConstraint("cooldown_minutes > 0", name="cooldown"),
        CheckConstraint("last_day >= first_day", name="days"),
    )

    id: Mapped[PointsRuleId] = mapped_column(primary_key=True)
    unit_id: Mapped[PointsUnitId] = mapped_column(ForeignKey("points_units.id"))
    name: Mapped[str]
    event_type: Mapped[str]
    filters: Mapped[list[Any]]
    property: Mapped[str | None]
    rate: Mapped[Decimal] = mapped_column(Numeric(18, 6))
    member_day_cap: Mapped[int | None] = mapped_column(BigInteger)
    member_cap: Mapped[int | None] = mapped_column(BigInteger)
    cooldown_minutes: Mapped[int | None]
    budget: Mapped[int | None] = mapped_column(BigInteger)
    spent: Mapped[int] = mapped_column(BigInteger, default=0)
    first_day: Mapped[date]
    last_day: Mapped[date | None]
    is_on: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class EarningState(StrEnum):
    """What became of an event by a rule."""

    DUE = "due"
    EARNED = "earned"
    NOTHING = "nothing"
    """A limit stood in the way, or nobody is there any more; `reason` says which."""
    LEAVING = "leaving"
    """The event was taken back, and the points are about to be."""
    TAKEN_BACK = "taken_back"
    KEPT = "kept"
    """The event was taken back, and the points were spent already."""


OPEN_STATES = (EarningState.DUE, EarningState.LEAVING)


class PointsEarning(TenantMixin, Base):
    """One event under one rule.

    Args:
        user_id: of the event; an undone import may have removed the member since.
        wanted: what it earns by itself; `amount` is what the limits let through.
        day: of the event, at the brand.
    """

    __tablename__ = "points_earnings"
    __table_args__ = (
        PrimaryKeyConstraint("rule_id", "event_id"),
        Index("ix_points_earnings_member", "rule_id", "user_id", "day"),
        Index(
            "ix_points_earnings_open",
            "merchant_id",
            "event_id",
            postgresql_where=text("state IN ('due', 'leaving')"),
        ),
        Index("ix_points_earnings_kept", "rule_id", postgresql_where=text("state = 'kept'")),
        CheckConstraint("wanted > 0 AND amount BETWEEN 0 AND wanted", name="amount"),
    )

    rule_id: Mapped[PointsRuleId] = mapped_column(ForeignKey("points_rules.id"))
    event_id: Mapped[EventId]
    user_id: Mapped[UserId]
    occurred_at: Mapped[datetime]
    day: Mapped[date]
    wanted: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[EarningState] = mapped_column(default=EarningState.DUE)
    reason: Mapped[str | None]
    transaction_id: Mapped[PointsTransactionId | None] = mapped_column(
        ForeignKey("points_transactions.id"), unique=True
    )

"""Perks, who holds them, and how many of each anybody may have."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin, VersionMixin
from core.types import GrantId, HoldingId, PerkId, UserId


class PerkState(StrEnum):
    """Where a perk is; only a live one is given."""

    DRAFT = "draft"
    LIVE = "live"
    ARCHIVED = "archived"


class Redemption(StrEnum):
    """How a perk is used."""

    NONE = "none"


class Perk(TenantMixin, VersionMixin, Base):
    """Something a brand does for members, apart from any chain.

    `granted_count` is how many were promised, over all campaigns; empty limits are none.
    """

    __tablename__ = "perks"
    __table_args__ = (
        UniqueConstraint("merchant_id", "reference_id"),
        Index(
            "uq_perks_name",
            "merchant_id",
            "internal_name",
            unique=True,
            postgresql_where=text("state <> 'archived'"),
        ),
        CheckConstraint("granted_count >= 0", name="granted"),
        CheckConstraint("total_quantity IS NULL OR granted_count <= total_quantity", name="stock"),
    )

    id: Mapped[PerkId] = mapped_column(primary_key=True)
    internal_name: Mapped[str]
    title: Mapped[str]
    subtitle: Mapped[str]
    description: Mapped[str]
    reference_id: Mapped[str | None]
    redemption: Mapped[Redemption] = mapped_column(default=Redemption.NONE)
    total_quantity: Mapped[int | None] = mapped_column(BigInteger)
    max_per_user: Mapped[int | None]
    granted_count: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[PerkState] = mapped_column(default=PerkState.DRAFT)
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]


class PerkQuota(TenantMixin, Base):
    """How many of a perk a member was promised, beside the most there may be when it was promised:
    the constraint holds whoever promises at the same time.
    """

    __tablename__ = "perk_quotas"
    __table_args__ = (
        PrimaryKeyConstraint("perk_id", "user_id"),
        CheckConstraint("granted_count >= 0", name="granted"),
        CheckConstraint("max_per_user IS NULL OR granted_count <= max_per_user", name="limit"),
    )

    perk_id: Mapped[PerkId] = mapped_column(ForeignKey("perks.id"))
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    granted_count: Mapped[int]
    max_per_user: Mapped[int | None]


class HoldingState(StrEnum):
    """Where a holding is."""

    AVAILABLE = "available"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Holding(TenantMixin, Base):
    """A perk in a member's hands, through exactly one grant."""

    __tablename__ = "holdings"
    __table_args__ = (
        UniqueConstraint("grant_id"),
        Index("ix_holdings_owner", "user_id", "id"),
        Index("ix_holdings_perk", "perk_id", "id"),
    )

    id: Mapped[HoldingId] = mapped_column(primary_key=True)
    perk_id: Mapped[PerkId] = mapped_column(ForeignKey("perks.id"))
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    grant_id: Mapped[GrantId] = mapped_column(ForeignKey("grants.id"))
    state: Mapped[HoldingState] = mapped_column(default=HoldingState.AVAILABLE)
    received_at: Mapped[datetime]

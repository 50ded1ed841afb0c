"""Perks, who holds them, where and how they are used, and how many of each anybody may have."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

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

from app.perks.terms import Hours, Options, RedemptionType, Validity
from core.db import Base, TenantMixin, VersionMixin
from core.types import GrantId, HoldingId, PerkId, PlaceId, RedemptionId, RevocationId, UserId


class PerkState(StrEnum):
    """Where a perk is; only a live one is given, and a deleted one is seen by nobody."""

    DRAFT = "draft"
    LIVE = "live"
    ARCHIVED = "archived"
    DELETED = "deleted"


class Perk(TenantMixin, VersionMixin, Base):
    """Something a brand does for members, apart from any chain.

    `granted_count` is how many were promised, over all campaigns; empty limits are none.
    `code_count` is how many codes of the pool can be given or were: one that was voided after a
    member had it still counts, because it was given. While its validity is carried over to holdings
    that exist, `revalidate_after` is the last of them that has it.
    """

    __tablename__ = "perks"
    __table_args__ = (
        UniqueConstraint("merchant_id", "reference_id"),
        Index(
            "uq_perks_name",
            "merchant_id",
            "internal_name",
            unique=True,
            postgresql_where=text("state IN ('draft', 'live')"),
        ),
        CheckConstraint("granted_count >= 0", name="granted"),
        CheckConstraint("total_quantity IS NULL OR granted_count <= total_quantity", name="stock"),
        CheckConstraint("code_count >= 0", name="codes"),
        CheckConstraint("uses_per_holding BETWEEN 1 AND 1000", name="uses"),
    )

    id: Mapped[PerkId] = mapped_column(primary_key=True)
    internal_name: Mapped[str]
    title: Mapped[str]
    subtitle: Mapped[str]
    description: Mapped[str]
    conditions: Mapped[str] = mapped_column(default="")
    reference_id: Mapped[str | None]
    redemption: Mapped[RedemptionType] = mapped_column(default=RedemptionType.NONE)
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    visual_cid: Mapped[str | None]
    cta_label: Mapped[str] = mapped_column(default="")
    cta_url: Mapped[str] = mapped_column(default="")
    uses_per_holding: Mapped[int | None]
    validity: Mapped[Validity] = mapped_column(default=Validity.NONE)
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    valid_days: Mapped[int | None]
    usable_hours: Mapped[list[Any]] = mapped_column(default=list)
    undo_minutes: Mapped[int] = mapped_column(default=15)
    total_quantity: Mapped[int | None] = mapped_column(BigInteger)
    max_per_user: Mapped[int | None]
    granted_count: Mapped[int] = mapped_column(BigInteger, default=0)
    code_count: Mapped[int] = mapped_column(BigInteger, default=0)
    has_reserved_codes: Mapped[bool] = mapped_column(default=False)
    low_stock_percent: Mapped[int | None]
    low_stock_count: Mapped[int | None] = mapped_column(BigInteger)
    low_stock_told_at: Mapped[datetime | None]
    revalidate_after: Mapped[HoldingId | None]
    state: Mapped[PerkState] = mapped_column(default=PerkState.DRAFT)
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]

    @property
    def terms(self) -> Options:
        """The parameters of its redemption type."""
        return Options.load(self.options or {})

    @property
    def hours(self) -> Hours:
        """When in the week it can be used."""
        return Hours.load(self.usable_hours or [])

    @property
    def has_pool(self) -> bool:
        """Whether every holding has a code of its own."""
        return self.terms.needs_pool(self.redemption or RedemptionType.NONE)

    @property
    def stock(self) -> int | None:
        """How many there are in all, those that were given among them; None for no limit."""
        limits = [self.total_quantity, self.code_count if self.has_pool else None]
        return min((it for it in limits if it is not None), default=None)

    @property
    def left(self) -> int | None:
        """How many more can be promised; None for no limit."""
        stock = self.stock
        return None if stock is None else max(0, stock - self.granted_count)

    @property
    def is_low(self) -> bool:
        """Whether so few are left that the team is told."""
        stock, left = self.stock, self.left
        if stock is None or left is None:
            return False
        percent, count = self.low_stock_percent, self.low_stock_count
        is_few = count is not None and left <= count
        return is_few or (percent is not None and left * 100 <= stock * percent)

    def valid_span(self, at: datetime) -> tuple[datetime | None, datetime | None]:
        """From when and until when it can be used by who receives it at this moment."""
        if self.validity is Validity.DAYS and self.valid_days is not None:
            return None, at + timedelta(days=self.valid_days)
        return self.valid_from, self.valid_until


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


class Place(TenantMixin, VersionMixin, Base):
    """Where perks are used: a shop, a counter, an entrance."""

    __tablename__ = "places"
    __table_args__ = (
        Index(
            "uq_places_name",
            "merchant_id",
            "name",
            unique=True,
            postgresql_where=text("archived_at IS NULL"),
        ),
    )

    id: Mapped[PlaceId] = mapped_column(primary_key=True)
    name: Mapped[str]
    address: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class PerkPlace(TenantMixin, Base):
    """The perk is used at this place; one without any is used everywhere."""

    __tablename__ = "perk_places"
    __table_args__ = (PrimaryKeyConstraint("perk_id", "place_id"),)

    perk_id: Mapped[PerkId] = mapped_column(ForeignKey("perks.id"))
    place_id: Mapped[PlaceId] = mapped_column(ForeignKey("places.id"))


class HoldingState(StrEnum):
    """Where a holding is."""

    AVAILABLE = "available"
    USED = "used"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ShipmentState(StrEnum):
    """Where a physical item is."""

    ADDRESS_NEEDED = "address_needed"
    READY_TO_SHIP = "ready_to_ship"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    LAPSED = "lapsed"


class Holding(TenantMixin, Base):
    """A perk in a member's hands, through exactly one grant.

    `uses_left` is empty where it may be used without limit. `shipment` is of physical items alone,
    and `address_due_at` the moment at which one without an address lapses. The stock of one that
    `returns_to_giver` is not free for others then: whoever gave it gives it to somebody else.
    `is_grant_revoked` says that the grant of a revoked one is, too, which the sweep of grants sees
    to.
    """

    __tablename__ = "holdings"
    __table_args__ = (
        UniqueConstraint("grant_id"),
        Index("ix_holdings_owner", "user_id", "id"),
        Index("ix_holdings_perk", "perk_id", "id"),
        Index(
            "ix_holdings_ending",
            "valid_until",
            postgresql_where=text("state = 'available' AND valid_until IS NOT NULL"),
        ),
        Index(
            "ix_holdings_shipment",
            "shipment",
            "address_due_at",
            postgresql_where=text("shipment IS NOT NULL"),
        ),
        Index(
            "ix_holdings_revoked",
            "id",
            postgresql_where=text("state = 'revoked' AND NOT is_grant_revoked"),
        ),
        CheckConstraint("uses_left >= 0", name="uses_left"),
    )

    id: Mapped[HoldingId] = mapped_column(primary_key=True)
    perk_id: Mapped[PerkId] = mapped_column(ForeignKey("perks.id"))
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    grant_id: Mapped[GrantId] = mapped_column(ForeignKey("grants.id"))
    state: Mapped[HoldingState] = mapped_column(default=HoldingState.AVAILABLE)
    uses_left: Mapped[int | None]
    valid_from: Mapped[datetime | None]
    valid_until: Mapped[datetime | None]
    shipment: Mapped[ShipmentState | None]
    address_due_at: Mapped[datetime | None]
    returns_to_giver: Mapped[bool] = mapped_column(server_default=text("false"))
    is_grant_revoked: Mapped[bool] = mapped_column(server_default=text("false"))
    received_at: Mapped[datetime]


class Transition(StrEnum):
    """What happened to a holding."""

    USED = "used"
    UNDONE = "undone"
    EXPIRED = "expired"
    EXTENDED = "extended"
    REVOKED = "revoked"


class Channel(StrEnum):
    """Through whom a perk is used."""

    SELF = "self"
    STAFF = "staff"
    API = "api"
    INTEGRATION = "integration"


class Redemption(TenantMixin, Base):
    """One transition of a holding: what, when, by whom, where.

    `delta` is how many uses more are left by it: negative for a use, positive for its undoing, and
    then `undo_of` names the use. `channel`, `place_id` and `device` are of uses alone.
    """

    __tablename__ = "redemptions"
    __table_args__ = (
        UniqueConstraint("undo_of"),
        Index("ix_redemptions_holding", "holding_id", "id"),
        Index(
            "ix_redemptions_device",
            "device",
            "id",
            postgresql_where=text("device IS NOT NULL"),
        ),
    )

    id: Mapped[RedemptionId] = mapped_column(primary_key=True)
    holding_id: Mapped[HoldingId] = mapped_column(ForeignKey("holdings.id"))
    transition: Mapped[Transition]
    delta: Mapped[int] = mapped_column(default=0)
    channel: Mapped[Channel | None]
    actor: Mapped[str]
    place_id: Mapped[PlaceId | None] = mapped_column(ForeignKey("places.id"))
    device: Mapped[str | None]
    reason: Mapped[str | None]
    undo_of: Mapped[RedemptionId | None] = mapped_column(ForeignKey("redemptions.id"))
    occurred_at: Mapped[datetime]


class Revocation(TenantMixin, Base):
    """Many holdings of a perk are taken back, those of a state or all, a part a transaction.

    `after` is the last of them that was looked at.
    """

    __tablename__ = "revocations"
    __table_args__ = (
        Index("ix_revocations_perk", "perk_id", "id"),
        Index("ix_revocations_open", "merchant_id", postgresql_where=text("finished_at IS NULL")),
    )

    id: Mapped[RevocationId] = mapped_column(primary_key=True)
    perk_id: Mapped[PerkId] = mapped_column(ForeignKey("perks.id"))
    state: Mapped[HoldingState | None]
    reason: Mapped[str]
    actor: Mapped[str]
    after: Mapped[HoldingId]
    revoked_count: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Shipment(TenantMixin, Base):
    """Where a physical item is sent to, sealed for its holding, and how it is on its way.

    The address is gone 90 days after the delivery, and with whoever it is of.
    """

    __tablename__ = "shipments"
    __table_args__ = (
        Index(
            "ix_shipments_delivered",
            "delivered_at",
            postgresql_where=text("sealed IS NOT NULL AND delivered_at IS NOT NULL"),
        ),
    )

    holding_id: Mapped[HoldingId] = mapped_column(ForeignKey("holdings.id"), primary_key=True)
    sealed: Mapped[bytes | None]
    carrier: Mapped[str] = mapped_column(default="")
    tracking: Mapped[str] = mapped_column(default="")
    addressed_at: Mapped[datetime]
    shipped_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]

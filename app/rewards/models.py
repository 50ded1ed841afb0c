"""The grant ledger: the unique record that a source gives a reward to a recipient."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin
from core.types import AssetId, CampaignId, GrantId, PerkId, RewardLineId, UserId
from wallets.addresses import Address, ChecksumAddress

MOST_LINES = 10
MOST_PER_RECIPIENT = 100


class RewardLine(TenantMixin, Base):
    """One reward in one campaign, a digital asset or a perk, for each recipient so many.

    `quantity` is the most the campaign gives of it. `granted_count` is how many were promised, of a
    perk `delivered_count` how many of these were handed over; `skipped_count` is how many nobody
    was promised, for a reason of the recipient's.
    """

    __tablename__ = "reward_lines"
    __table_args__ = (
        UniqueConstraint("campaign_id", "position"),
        UniqueConstraint("campaign_id", "asset_id"),
        UniqueConstraint("campaign_id", "perk_id"),
        Index("ix_reward_lines_asset", "asset_id"),
        Index("ix_reward_lines_perk", "perk_id"),
        CheckConstraint("num_nonnulls(asset_id, perk_id) = 1", name="reward"),
        CheckConstraint(f"per_recipient BETWEEN 1 AND {MOST_PER_RECIPIENT}", name="per_recipient"),
        CheckConstraint("granted_count >= 0", name="granted"),
        CheckConstraint("delivered_count <= granted_count", name="delivered"),
        CheckConstraint("quantity IS NULL OR granted_count <= quantity", name="stock"),
    )

    id: Mapped[RewardLineId] = mapped_column(primary_key=True)
    campaign_id: Mapped[CampaignId] = mapped_column(ForeignKey("campaigns.id"))
    position: Mapped[int] = mapped_column(default=0)
    asset_id: Mapped[AssetId | None] = mapped_column(ForeignKey("digital_assets.id"))
    perk_id: Mapped[PerkId | None] = mapped_column(ForeignKey("perks.id"))
    per_recipient: Mapped[int] = mapped_column(default=1)
    quantity: Mapped[int | None] = mapped_column(BigInteger)
    granted_count: Mapped[int] = mapped_column(BigInteger, default=0)
    delivered_count: Mapped[int] = mapped_column(BigInteger, default=0)
    skipped_count: Mapped[int] = mapped_column(BigInteger, default=0)

    @property
    def reward_id(self) -> UUID:
        """Of what it gives: rewards are locked in this order, whatever campaign they are in."""
        reward = self.asset_id or self.perk_id
        assert reward is not None  # by the constraint
        return reward


class GrantSource(StrEnum):
    """What gave the reward."""

    AIRDROP = "airdrop"
    MANUAL = "manual"


class GrantState(StrEnum):
    """Where a grant is; one that is skipped promises nothing, and says why."""

    PENDING = "pending"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    REVOKED = "revoked"


class Grant(TenantMixin, Base):
    """This source gives this reward to this recipient, once: the natural key says so.

    The recipient is a member, or an address that is no member's wallet. Of several of a line,
    `ordinal` counts from 0. `reason` says why one was cancelled or skipped.
    """

    __tablename__ = "grants"
    __table_args__ = (
        UniqueConstraint(
            "merchant_id",
            "source_type",
            "source_id",
            "reward_line_id",
            "recipient_key",
            "ordinal",
            name="uq_grants_natural",
        ),
        # Whatever key names a recipient in the source, it is served once.
        UniqueConstraint(
            "user_id", "reward_line_id", "source_id", "ordinal", name="uq_grants_member"
        ),
        Index(
            "uq_grants_address",
            "address",
            "reward_line_id",
            "source_id",
            "ordinal",
            unique=True,
            postgresql_where=text("address IS NOT NULL"),
        ),
        CheckConstraint("num_nonnulls(user_id, address) = 1", name="recipient"),
        # Closing a grant changes no index, if every row of a page finds room there at once (HOT).
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[GrantId] = mapped_column(primary_key=True)
    source_type: Mapped[GrantSource]
    source_id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True))
    reward_line_id: Mapped[RewardLineId] = mapped_column(ForeignKey("reward_lines.id"))
    recipient_key: Mapped[str]
    ordinal: Mapped[int] = mapped_column(default=0)
    user_id: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    address: Mapped[ChecksumAddress | None] = mapped_column(Address)
    state: Mapped[GrantState] = mapped_column(default=GrantState.PENDING)
    reason: Mapped[str | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]

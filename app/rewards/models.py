"""The grant ledger: the unique record that a source gives a reward to a recipient."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin
from core.types import (
    AssetId,
    CampaignId,
    GrantId,
    GrantRefusalId,
    ManualGrantId,
    PerkId,
    RewardLineId,
    UserId,
)
from wallets.addresses import Address, ChecksumAddress

MOST_LINES = 10
MOST_PER_RECIPIENT = 100


class RewardLine(TenantMixin, Base):
    """One reward of one source, a digital asset or a perk, for each recipient so many.

    The source is a campaign, or whatever names the line: a grant by hand, a batch of claim codes.
    `quantity` is the most it gives of the reward; of a line that `is_reserved` the reward counts
    all of them as given from the start, so that none is missing later. `granted_count` is how many
    were promised, of a perk `delivered_count` how many of these were handed over; `skipped_count`
    is how many nobody was promised, for a reason of the recipient's. `waiting_since` is set while
    promised digital assets of a line outside campaigns are in no plan.
    """

    __tablename__ = "reward_lines"
    __table_args__ = (
        UniqueConstraint("campaign_id", "position"),
        UniqueConstraint("campaign_id", "asset_id"),
        UniqueConstraint("campaign_id", "perk_id"),
        Index("ix_reward_lines_asset", "asset_id"),
        Index("ix_reward_lines_perk", "perk_id"),
        Index(
            "ix_reward_lines_waiting",
            "waiting_since",
            postgresql_where=text("waiting_since IS NOT NULL"),
        ),
        CheckConstraint("num_nonnulls(asset_id, perk_id) = 1", name="reward"),
        CheckConstraint(f"per_recipient BETWEEN 1 AND {MOST_PER_RECIPIENT}", name="per_recipient"),
        CheckConstraint("granted_count >= 0", name="granted"),
        CheckConstraint("delivered_count <= granted_count", name="delivered"),
        CheckConstraint("quantity IS NULL OR granted_count <= quantity", name="stock"),
        CheckConstraint("NOT is_reserved OR quantity IS NOT NULL", name="reserved"),
    )

    id: Mapped[RewardLineId] = mapped_column(primary_key=True)
    campaign_id: Mapped[CampaignId | None] = mapped_column(ForeignKey("campaigns.id"))
    position: Mapped[int] = mapped_column(default=0)
    asset_id: Mapped[AssetId | None] = mapped_column(ForeignKey("digital_assets.id"))
    perk_id: Mapped[PerkId | None] = mapped_column(ForeignKey("perks.id"))
    per_recipient: Mapped[int] = mapped_column(default=1)
    quantity: Mapped[int | None] = mapped_column(BigInteger)
    is_reserved: Mapped[bool] = mapped_column(default=False)
    granted_count: Mapped[int] = mapped_column(BigInteger, default=0)
    delivered_count: Mapped[int] = mapped_column(BigInteger, default=0)
    skipped_count: Mapped[int] = mapped_column(BigInteger, default=0)
    waiting_since: Mapped[datetime | None]

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
    CLAIM = "claim"
    BOX = "box"
    TICKET = "ticket"
    UNLOCK = "unlock"


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
    `ordinal` counts from 0. `reason` says why one was cancelled, skipped or revoked.
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


class ManualGrant(TenantMixin, Base):
    """A member of the team gave a reward to members by hand, on a line of its own."""

    __tablename__ = "manual_grants"
    __table_args__ = (UniqueConstraint("reward_line_id"),)

    id: Mapped[ManualGrantId] = mapped_column(primary_key=True)
    reward_line_id: Mapped[RewardLineId] = mapped_column(ForeignKey("reward_lines.id"))
    reason: Mapped[str]
    actor: Mapped[str]
    created_at: Mapped[datetime]


class GrantRefusal(TenantMixin, Base):
    """Why a member did not get a reward: the answer that was given, kept for 400 days.

    `code` is the name of the error, `sentence` what it said then.
    """

    __tablename__ = "grant_refusals"
    __table_args__ = (
        Index("ix_grant_refusals_member", "user_id", "id"),
        Index("ix_grant_refusals_age", "refused_at"),
    )

    id: Mapped[GrantRefusalId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    source_type: Mapped[GrantSource]
    source_id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True))
    reward_line_id: Mapped[RewardLineId] = mapped_column(ForeignKey("reward_lines.id"))
    code: Mapped[str]
    sentence: Mapped[str]
    refused_at: Mapped[datetime]


class Unlock(TenantMixin, Base):
    """Whoever owns the asset receives the perk by this line, once.

    `is_due` says that somebody may own it who does not have the perk. `ended_at` is since when
    nobody more receives it.
    """

    __tablename__ = "unlocks"
    __table_args__ = (
        Index("ix_unlocks_due", "merchant_id", postgresql_where=text("is_due")),
        UniqueConstraint("reward_line_id"),
    )

    asset_id: Mapped[AssetId] = mapped_column(ForeignKey("digital_assets.id"), primary_key=True)
    perk_id: Mapped[PerkId] = mapped_column(ForeignKey("perks.id"), primary_key=True)
    reward_line_id: Mapped[RewardLineId] = mapped_column(ForeignKey("reward_lines.id"))
    is_due: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

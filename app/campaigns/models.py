"""Campaigns, airdrop runs and the previews they are published from."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from core.db import TENANT_VALUE, Base, TenantMixin, VersionMixin
from core.types import AudienceFileId, CampaignId, Gas, MerchantId, RunId, UserId, Wei
from wallets.addresses import Address, ChecksumAddress

PREVIEW_LIFETIME = timedelta(hours=24)


class CampaignType(StrEnum):
    """What kind of campaign; fixed at creation."""

    AIRDROP = "airdrop"


class CampaignState(StrEnum):
    """Where a campaign is."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PUBLISHED = "published"
    ENDED = "ended"
    ARCHIVED = "archived"


class AudienceKind(StrEnum):
    """Who a campaign is for; a file names each recipient, once and for all."""

    ALL = "all"
    LIST = "list"
    SEGMENT = "segment"
    FILE = "file"


class Campaign(TenantMixin, VersionMixin, Base):
    """Audience and reward lines, with the texts people see.

    Of an airdrop: whether members who join while it is published receive it too, when it starts if
    not at once, the planned gas of one transaction, and its limits in wei per gas and wei in all;
    empty for the installation's.
    """

    __tablename__ = "campaigns"
    __table_args__ = (
        UniqueConstraint("merchant_id", "slug"),
        Index("ix_campaigns_list", "merchant_id", "id"),
    )

    id: Mapped[CampaignId] = mapped_column(primary_key=True)
    type: Mapped[CampaignType]
    internal_title: Mapped[str]
    title: Mapped[str | None]
    description: Mapped[str | None]
    slug: Mapped[str | None]
    state: Mapped[CampaignState] = mapped_column(default=CampaignState.DRAFT)
    audience_kind: Mapped[AudienceKind | None]
    audience_id: Mapped[UUID | None] = mapped_column(PG_UUID(as_uuid=True))
    late_joiners: Mapped[bool] = mapped_column(default=True)
    starts_at: Mapped[datetime | None]
    max_batch_gas: Mapped[Gas | None]
    max_fee_per_gas: Mapped[Wei | None]
    max_total: Mapped[Wei | None]
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    @property
    def is_open_to_late_joiners(self) -> bool:
        """Whether more may come into the audience: a file names everybody there is."""
        is_live = self.state is CampaignState.PUBLISHED
        return is_live and self.late_joiners and self.audience_kind is not AudienceKind.FILE


class FileState(StrEnum):
    """Where the file of an audience is; a replaced one is only waiting to be deleted."""

    READING = "reading"
    CHECKING = "checking"
    READY = "ready"
    FAILED = "failed"
    REPLACED = "replaced"


class AudienceFile(TenantMixin, Base):
    """An uploaded list of recipients on its way into `audience_rows`.

    Args:
        layout: how the file is read, once that is known (`app.campaigns.columns.Layout`).
        line_count: lines of the file, near enough to tell progress.
        next_record, next_line, next_byte: the checkpoint; everything before it is in the rows.
        rejected: reason -> how many rows; known once the file is ready, like the other counts.
    """

    __tablename__ = "audience_files"
    __table_args__ = (UniqueConstraint("merchant_id", "id"),)

    id: Mapped[AudienceFileId] = mapped_column(primary_key=True)
    campaign_id: Mapped[CampaignId] = mapped_column(ForeignKey("campaigns.id"), index=True)
    file_name: Mapped[str]
    state: Mapped[FileState] = mapped_column(default=FileState.READING)
    layout: Mapped[dict[str, Any] | None]
    line_count: Mapped[int] = mapped_column(default=0)
    next_record: Mapped[int] = mapped_column(default=0)
    next_line: Mapped[int] = mapped_column(default=1)
    next_byte: Mapped[int] = mapped_column(BigInteger, default=0)
    row_count: Mapped[int] = mapped_column(default=0)
    rejected: Mapped[dict[str, Any]] = mapped_column(default=dict)
    failure: Mapped[str | None]
    actor: Mapped[str]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    @property
    def rejected_count(self) -> int:
        """How many rows name nobody who could receive anything."""
        return sum(self.rejected.values())

    @property
    def accepted_count(self) -> int:
        """How many rows name a recipient."""
        return self.row_count - self.rejected_count


class AudienceRow(TenantMixin, Base):
    """One row of the file: whom it names, or why it names nobody.

    `user_id` is the member behind the email or the address, once there is one. `text` is what the
    file said, kept of rejected rows only. Without a `quantity` the reward line says how many, and
    without a `reward` the row is for every line. File and merchant are one foreign key: each takes
    longer to check than the row takes to write.
    """

    __tablename__ = "audience_rows"
    __table_args__ = (
        PrimaryKeyConstraint("file_id", "line"),
        ForeignKeyConstraint(
            ["merchant_id", "file_id"],
            ["audience_files.merchant_id", "audience_files.id"],
            name="fk_audience_rows_file",
        ),
        Index(
            "ix_audience_rows_rejected",
            "file_id",
            "line",
            postgresql_where=text("reason IS NOT NULL"),
        ),
    )

    merchant_id: Mapped[MerchantId] = mapped_column(
        server_default=text(f"({TENANT_VALUE})"), info={"tenant": True}
    )
    file_id: Mapped[AudienceFileId]
    line: Mapped[int]
    email: Mapped[str | None]
    email_key: Mapped[str | None] = mapped_column(Text(collation="C"))
    address: Mapped[ChecksumAddress | None] = mapped_column(Address)
    quantity: Mapped[int | None]
    reward: Mapped[str | None]
    key: Mapped[str | None] = mapped_column(Text(collation="C"))
    user_id: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    reason: Mapped[str | None]
    text: Mapped[str | None]


class AirdropPreview(TenantMixin, Base):
    """A dry run: what publishing would do and cost, kept for a day."""

    __tablename__ = "airdrop_previews"

    id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True), primary_key=True)
    campaign_id: Mapped[CampaignId] = mapped_column(ForeignKey("campaigns.id"), index=True)
    campaign_version: Mapped[int]
    recipient_count: Mapped[int]
    report: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]

    def is_fresh(self, at: datetime) -> bool:
        """True while the report may still be published from."""
        return at - self.created_at <= PREVIEW_LIFETIME


class RunState(StrEnum):
    """Where an airdrop run is; in standby everybody is served and late joiners may come."""

    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    STANDBY = "standby"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class AirdropRun(TenantMixin, Base):
    """One execution of an airdrop campaign over the audience frozen at publish.

    `paused_by` is the team member who paused it; a run that pauses by itself has a reason only.
    `checked_at` is when the preview of one that starts later was repeated, `looked_at` when late
    joiners were last looked for; `refused_reason` is why some of them receive nothing.
    `recipient_count` is how many people and addresses it reaches, `reward_count` how many rewards
    they were promised.
    """

    __tablename__ = "airdrop_runs"
    __table_args__ = (UniqueConstraint("campaign_id"),)

    id: Mapped[RunId] = mapped_column(primary_key=True)
    campaign_id: Mapped[CampaignId] = mapped_column(ForeignKey("campaigns.id"))
    preview_id: Mapped[UUID] = mapped_column(ForeignKey("airdrop_previews.id"))
    state: Mapped[RunState] = mapped_column(default=RunState.PREPARING)
    pause_reason: Mapped[str | None]
    paused_by: Mapped[str | None]
    cancelled_by: Mapped[str | None]
    checked_at: Mapped[datetime | None]
    looked_at: Mapped[datetime | None]
    refused_reason: Mapped[str | None]
    recipient_count: Mapped[int]
    reward_count: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

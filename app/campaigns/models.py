"""Campaigns, airdrop runs and the previews they are published from."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin, VersionMixin
from core.types import CampaignId, Gas, RunId, Wei

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
    """Who a campaign is for."""

    ALL = "all"


class Campaign(TenantMixin, VersionMixin, Base):
    """Audience and reward lines, with the texts people see.

    Of an airdrop: whether members who join while it is published receive it too, the planned gas of
    one transaction, and its limits in wei per gas and wei in all; empty for the installation's.
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
    max_batch_gas: Mapped[Gas | None]
    max_fee_per_gas: Mapped[Wei | None]
    max_total: Mapped[Wei | None]
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


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
    `looked_at` is when late joiners were last looked for; `refused_reason` is why some of them
    receive nothing.
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
    looked_at: Mapped[datetime | None]
    refused_reason: Mapped[str | None]
    recipient_count: Mapped[int]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

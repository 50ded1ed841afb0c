"""Segments: rules and who meets them now; badges owned by being in one."""

from datetime import date, datetime
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

from core.db import TENANT_VALUE, Base, TenantMixin, VersionMixin
from core.types import BadgeId, ListId, MerchantId, SegmentId, UserId


class SegmentState(StrEnum):
    """Whether the members are known; an invalid segment keeps those it had."""

    BUILDING = "building"
    LIVE = "live"
    REBUILDING = "rebuilding"
    INVALID = "invalid"


class Segment(TenantMixin, VersionMixin, Base):
    """A set of members that meet a rule (`app.segments.rules`), kept right by itself.

    `rule_number` is the newest of `segment_versions`. `is_quiet` suppresses events and grants of
    the first build. `problem` says why it is invalid. What `is_proving` waits to be built again
    though nothing asked for it; how many enter and leave then should be none.
    """

    __tablename__ = "segments"
    __table_args__ = (
        UniqueConstraint("merchant_id", "reference_id"),
        CheckConstraint("member_count >= 0", name="count"),
    )

    id: Mapped[SegmentId] = mapped_column(primary_key=True)
    name: Mapped[str]
    reference_id: Mapped[str | None]
    rule: Mapped[dict[str, Any]]
    rule_number: Mapped[int] = mapped_column(default=1)
    state: Mapped[SegmentState] = mapped_column(default=SegmentState.BUILDING)
    problem: Mapped[str | None]
    is_quiet: Mapped[bool] = mapped_column(default=True)
    member_count: Mapped[int] = mapped_column(BigInteger, default=0)
    built_at: Mapped[datetime | None]
    is_proving: Mapped[bool] = mapped_column(default=False)
    proved_at: Mapped[datetime | None]
    proof_joined: Mapped[int | None] = mapped_column(BigInteger)
    proof_left: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]


class SegmentVersion(TenantMixin, Base):
    """A rule the segment had, from `at` on; it can be restored."""

    __tablename__ = "segment_versions"
    __table_args__ = (PrimaryKeyConstraint("segment_id", "number"),)

    segment_id: Mapped[SegmentId] = mapped_column(ForeignKey("segments.id"))
    number: Mapped[int]
    rule: Mapped[dict[str, Any]]
    actor: Mapped[str]
    at: Mapped[datetime]


class SegmentMember(Base):
    """A member is in a segment, since when.

    There may be a hundred million rows: no foreign keys, each of which would take longer to check
    than the row takes to write; segments and users delete what is theirs.
    """

    __tablename__ = "segment_members"
    __table_args__ = (PrimaryKeyConstraint("segment_id", "user_id"),)

    merchant_id: Mapped[MerchantId] = mapped_column(
        server_default=text(f"({TENANT_VALUE})"), info={"tenant": True}
    )
    segment_id: Mapped[SegmentId]
    user_id: Mapped[UserId]
    since: Mapped[datetime]


class SegmentCount(TenantMixin, Base):
    """How many members a segment had at the end of a day of the brand."""

    __tablename__ = "segment_counts"
    __table_args__ = (PrimaryKeyConstraint("segment_id", "day"),)

    segment_id: Mapped[SegmentId] = mapped_column(ForeignKey("segments.id"))
    day: Mapped[date]
    count: Mapped[int] = mapped_column(BigInteger)


class SegmentClock(TenantMixin, Base):
    """Until when everything that comes true or false by time alone has been looked at."""

    __tablename__ = "segment_clocks"
    __table_args__ = (PrimaryKeyConstraint("merchant_id"),)

    swept_at: Mapped[datetime]


class BadgeState(StrEnum):
    """Where a badge is."""

    DRAFT = "draft"
    LIVE = "live"
    ARCHIVED = "archived"


class BadgeVisibility(StrEnum):
    """Who sees a badge: everyone, outsiders locked, or its owners only."""

    EVERYONE = "everyone"
    OWNERS = "owners"


class Badge(TenantMixin, VersionMixin, Base):
    """A mark owned by being in one list or one segment.

    Texts are by language. `media_cid` is the picture, `locked_media_cid` what outsiders see.
    A sticky badge, once gained, is never taken.
    """

    __tablename__ = "badges"
    __table_args__ = (
        CheckConstraint("state = 'draft' OR num_nonnulls(list_id, segment_id) = 1", name="owners"),
        Index("ix_badges_list_id", "list_id", postgresql_where=text("list_id IS NOT NULL")),
        Index(
            "ix_badges_segment_id", "segment_id", postgresql_where=text("segment_id IS NOT NULL")
        ),
    )

    id: Mapped[BadgeId] = mapped_column(primary_key=True)
    internal_name: Mapped[str]
    title: Mapped[dict[str, Any]] = mapped_column(default=dict)
    description: Mapped[dict[str, Any]] = mapped_column(default=dict)
    locked_description: Mapped[dict[str, Any]] = mapped_column(default=dict)
    media_cid: Mapped[str | None]
    locked_media_cid: Mapped[str | None]
    list_id: Mapped[ListId | None] = mapped_column(ForeignKey("lists.id"))
    segment_id: Mapped[SegmentId | None] = mapped_column(ForeignKey("segments.id"))
    visibility: Mapped[BadgeVisibility] = mapped_column(default=BadgeVisibility.EVERYONE)
    is_sticky: Mapped[bool] = mapped_column(default=False)
    state: Mapped[BadgeState] = mapped_column(default=BadgeState.DRAFT)
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]


class BadgeOwner(TenantMixin, Base):
    """A member has a badge, since when; `celebrated_at` is when it was shown to them."""

    __tablename__ = "badge_owners"
    __table_args__ = (
        PrimaryKeyConstraint("badge_id", "user_id"),
        Index("ix_badge_owners_user", "user_id"),
    )

    badge_id: Mapped[BadgeId] = mapped_column(ForeignKey("badges.id"))
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    gained_at: Mapped[datetime]
    celebrated_at: Mapped[datetime | None]

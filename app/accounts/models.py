"""Organisations, merchants, the team, and the sign-in of everybody.

None of these tables carries a tenant policy: they hold what is needed to find the merchant.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.db import Base, VersionMixin
from core.types import MemberId, MerchantId, OrganisationId, UserId


class Organisation(VersionMixin, Base):
    """The brand's account; holds its merchants and its team."""

    __tablename__ = "organisations"

    id: Mapped[OrganisationId] = mapped_column(primary_key=True)
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime]


class Mode(StrEnum):
    """Whether a merchant's data is for trying out or real."""

    TEST = "test"
    LIVE = "live"


class Merchant(VersionMixin, Base):
    """One mode of an organisation; owns all business data."""

    __tablename__ = "merchants"
    __table_args__ = (UniqueConstraint("organisation_id", "mode"),)

    id: Mapped[MerchantId] = mapped_column(primary_key=True)
    organisation_id: Mapped[OrganisationId] = mapped_column(ForeignKey("organisations.id"))
    mode: Mapped[Mode]
    name: Mapped[str]
    brand_colour: Mapped[str]
    accent_colour: Mapped[str]
    contact_email: Mapped[str]
    time_zone: Mapped[str]
    language: Mapped[str]
    created_at: Mapped[datetime]

    organisation: Mapped[Organisation] = relationship()


class TeamRole(StrEnum):
    """What a team member may do, widest first."""

    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    ANALYST = "analyst"
    STAFF = "staff"


class MemberState(StrEnum):
    """Whether a team member may sign in."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


class TeamMember(VersionMixin, Base):
    """A person of the brand's team."""

    __tablename__ = "team_members"
    __table_args__ = (UniqueConstraint("organisation_id", "email_key"),)

    id: Mapped[MemberId] = mapped_column(primary_key=True)
    organisation_id: Mapped[OrganisationId] = mapped_column(ForeignKey("organisations.id"))
    email: Mapped[str]
    email_key: Mapped[str]
    role: Mapped[TeamRole]
    state: Mapped[MemberState] = mapped_column(default=MemberState.ACTIVE)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]


class Audience(StrEnum):
    """Who signs in: the team to the admin, members to the space."""

    TEAM = "team"
    SPACE = "space"


class LoginToken(Base):
    """One sent link and code; only hashes are stored.

    Rows of unknown addresses exist too, so that both cost the same and limits count both.
    """

    __tablename__ = "login_tokens"
    __table_args__ = (
        Index("ix_login_tokens_address", "audience", "realm_id", "email_key", "created_at"),
        Index("ix_login_tokens_ip", "ip_hash", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True), primary_key=True)
    audience: Mapped[Audience]
    realm_id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True))
    email_key: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    code_hash: Mapped[bytes]
    browser_hash: Mapped[bytes]
    ip_hash: Mapped[bytes]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    wrong_tries: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    consumed_at: Mapped[datetime | None]


class LoginSession(Base):
    """A signed-in browser; the cookie's secret is stored as a hash."""

    __tablename__ = "login_sessions"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    audience: Mapped[Audience]
    merchant_id: Mapped[MerchantId] = mapped_column(ForeignKey("merchants.id"))
    member_id: Mapped[MemberId | None] = mapped_column(ForeignKey("team_members.id"), index=True)
    user_id: Mapped[UserId | None] = mapped_column(PG_UUID(as_uuid=True), index=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

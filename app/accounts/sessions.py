"""Signed-in browsers: opaque 256-bit cookies, stored hashed, ended on the server."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from app.accounts.models import (
    Audience,
    LoginSession,
    MemberState,
    Merchant,
    TeamMember,
)
from core.secrets import fingerprint
from core.types import MemberId, MerchantId, UserId

TEAM_IDLE = timedelta(minutes=30)
TEAM_LIFETIME = timedelta(hours=12)
SPACE_LIFETIME = timedelta(days=30)
_TOUCH_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class SignedInMember:
    """The team member behind a request and the merchant they look at."""

    member: TeamMember
    merchant: Merchant


@dataclass(frozen=True)
class Visit:
    """The member of the brand behind a request.

    Args:
        is_extended: the session lives thirty days from now on, so its cookie has to, too.
    """

    merchant_id: MerchantId
    user_id: UserId
    is_extended: bool


def open_team_session(session: Session, member: TeamMember, *, at: datetime) -> str:
    """The member is signed in; the returned cookie value is stored as a hash only."""
    merchant = session.scalars(
        select(Merchant)
        .where(Merchant.organisation_id == member.organisation_id)
        .order_by(Merchant.created_at)
        .limit(1)
    ).one()
    member.last_seen_at = at
    return _open(
        session,
        LoginSession(
            audience=Audience.TEAM,
            merchant_id=merchant.id,
            member_id=member.id,
            expires_at=at + TEAM_LIFETIME,
        ),
        at=at,
    )


def open_space_session(
    session: Session, merchant: MerchantId, user: UserId, *, at: datetime
) -> str:
    """The brand's member is signed in for thirty days, counted anew with every visit."""
    row = LoginSession(
        audience=Audience.SPACE, merchant_id=merchant, user_id=user, expires_at=at + SPACE_LIFETIME
    )
    return _open(session, row, at=at)


def _open(session: Session, row: LoginSession, *, at: datetime) -> str:
    token = secrets.token_urlsafe(32)
    row.token_hash = fingerprint("session", token)
    row.created_at = row.seen_at = at
    session.add(row)
    session.flush()
    return token


def find_member(session: Session, token: str, *, at: datetime) -> SignedInMember | None:
    """Who is signed in to the admin with this cookie, or None."""
    row = _find(session, token, Audience.TEAM, at=at)
    if row is None or at - row.seen_at > TEAM_IDLE:
        return None
    member = session.get(TeamMember, row.member_id)
    if member is None or member.state is not MemberState.ACTIVE:
        return None
    _touch(row, at=at)
    return SignedInMember(member, session.get_one(Merchant, row.merchant_id))


def find_visit(session: Session, token: str, *, at: datetime) -> Visit | None:
    """Whose space session this cookie is, or None."""
    row = _find(session, token, Audience.SPACE, at=at)
    if row is None or row.user_id is None:
        return None
    is_extended = _touch(row, at=at)
    if is_extended:
        row.expires_at = at + SPACE_LIFETIME
    return Visit(row.merchant_id, row.user_id, is_extended)


def end(session: Session, token: str, *, at: datetime) -> None:
    """The cookie is worth nothing any more, wherever it is."""
    row = session.get(LoginSession, fingerprint("session", token))
    if row is not None and row.ended_at is None:
        row.ended_at = at


def end_all_of_member(session: Session, member: MemberId, *, at: datetime) -> None:
    """Every browser of the team member is signed out."""
    session.execute(
        update(LoginSession)
        .where(LoginSession.member_id == member, LoginSession.ended_at.is_(None))
        .values(ended_at=at)
    )


def end_all_of_users(session: Session, users: Select[UserId], *, at: datetime) -> None:
    """Every browser of these members of the brand is signed out."""
    session.execute(
        update(LoginSession)
        .where(LoginSession.user_id.in_(users), LoginSession.ended_at.is_(None))
        .values(ended_at=at)
        .execution_options(synchronize_session=False)
    )


def _find(session: Session, token: str, audience: Audience, *, at: datetime) -> LoginSession | None:
    row = session.get(LoginSession, fingerprint("session", token))
    if row is None or row.audience is not audience:
        return None
    return row if row.ended_at is None and row.expires_at > at else None


def _touch(row: LoginSession, *, at: datetime) -> bool:
    """Remember the visit, at most once a minute: reading pages should not write rows."""
    if at - row.seen_at < _TOUCH_AFTER:
        return False
    row.seen_at = at
    return True

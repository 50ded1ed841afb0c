"""Reads of segments for screens."""

from collections.abc import Sequence

from sqlalchemy import Select, Text, Uuid, column, select, table
from sqlalchemy.orm import Session

from app.segments.models import (
    Badge,
    BadgeState,
    Segment,
    SegmentCount,
    SegmentMember,
    SegmentVersion,
)
from app.users.models import User, UserList
from core.db import merchant_of
from core.events import Event
from core.ids import encode_id
from core.types import SegmentId, UserId
from minting.models import DigitalAsset

_DAYS_SHOWN = 30
# Of a feature above this one: rules name campaigns, and nothing else is asked of them.
_CAMPAIGNS = table(
    "campaigns",
    *(column(name, Uuid()) for name in ("id", "merchant_id")),
    *(column(name, Text()) for name in ("internal_title", "state")),
)
Choice = tuple[str, str]


def segments(*, is_archived: bool = False) -> Select[Segment]:
    """The segments in use, or those put away."""
    archived = Segment.archived_at
    return select(Segment).where(archived.is_not(None) if is_archived else archived.is_(None))


def members(segment_id: SegmentId) -> Select[SegmentMember]:
    """Who is in the segment."""
    return select(SegmentMember).where(SegmentMember.segment_id == segment_id)


def users_of(session: Session, ids: Sequence[UserId]) -> dict[UserId, User]:
    """These members, by id."""
    return {it.id: it for it in session.scalars(select(User).where(User.id.in_(ids)))}


def counts(session: Session, segment_id: SegmentId) -> Sequence[SegmentCount]:
    """How many members the segment had at the end of the last days, oldest first."""
    newest = (
        select(SegmentCount)
        .where(SegmentCount.segment_id == segment_id)
        .order_by(SegmentCount.day.desc())
        .limit(_DAYS_SHOWN)
    )
    return list(reversed(session.scalars(newest).all()))


def versions(session: Session, segment_id: SegmentId) -> Sequence[SegmentVersion]:
    """The rules the segment had, newest first."""
    return session.scalars(
        select(SegmentVersion)
        .where(SegmentVersion.segment_id == segment_id)
        .order_by(SegmentVersion.number.desc())
    ).all()


def event_types(session: Session) -> Sequence[str]:
    """The kinds of events that members have, by name; read from the index, one step a kind."""
    kinds: list[str] = []
    following = (
        select(Event.type)
        .where(Event.merchant_id == merchant_of(session))
        .order_by(Event.type)
        .limit(1)
    )
    found = session.scalar(following)
    while found is not None and len(kinds) < _MOST_KINDS:
        kinds.append(found)
        found = session.scalar(following.where(Event.type > found))
    return kinds


_MOST_KINDS = 200


def lists(session: Session) -> list[Choice]:
    """The lists in use, as public id and name."""
    rows = session.execute(
        select(UserList.id, UserList.name)
        .where(UserList.archived_at.is_(None))
        .order_by(UserList.name)
    )
    return [(str(it), name) for it, name in rows]


def other_segments(session: Session, besides: SegmentId | None) -> list[Choice]:
    """The segments a rule may name."""
    rows = session.execute(
        select(Segment.id, Segment.name)
        .where(Segment.archived_at.is_(None), Segment.id.is_distinct_from(besides))
        .order_by(Segment.name)
    )
    return [(str(it), name) for it, name in rows]


def badges(session: Session) -> list[Choice]:
    """The badges a rule may name."""
    rows = session.execute(
        select(Badge.id, Badge.internal_name)
        .where(Badge.state == BadgeState.LIVE)
        .order_by(Badge.internal_name)
    )
    return [(str(it), name) for it, name in rows]


def assets(session: Session) -> list[Choice]:
    """The collectibles a rule may name."""
    rows = session.execute(select(DigitalAsset.id, DigitalAsset.title).order_by(DigitalAsset.title))
    return [(str(it), title) for it, title in rows]


def campaigns(session: Session) -> list[Choice]:
    """The airdrops a rule may name: whatever was ever published."""
    rows = session.execute(
        select(_CAMPAIGNS.c.id, _CAMPAIGNS.c.internal_title)
        .where(_CAMPAIGNS.c.merchant_id == merchant_of(session), _CAMPAIGNS.c.state != "draft")
        .order_by(_CAMPAIGNS.c.internal_title)
    )
    return [(str(it), title) for it, title in rows]


def address(segment: Segment) -> str:
    """Where the segment's page is."""
    return f"/admin/segments/{encode_id('seg', segment.id)}"

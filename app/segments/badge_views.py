"""Reads of badges: as members see them, and as the team lists them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.segments.models import Badge, BadgeOwner, BadgeState, BadgeVisibility
from app.uploads.export import as_csv
from app.users.models import User
from core.ids import encode_id
from core.types import BadgeId, UserId


def all_badges() -> Select[Badge]:
    """All badges of the merchant."""
    return select(Badge)


def text_in(texts: Mapping[str, Any], language: str | None) -> str:
    """The text in this language, or in the first there is one in."""
    chosen = texts.get(language or "") or next((it for it in texts.values() if it), "")
    return str(chosen)


@dataclass(frozen=True)
class Shown:
    """A badge as one member sees it; `gained_at` is None of a locked one.

    Args:
        is_grey: it is locked and has no picture of its own for that.
    """

    title: str
    text: str
    media_cid: str | None
    gained_at: datetime | None
    is_grey: bool = False


def shown_to(session: Session, user: User) -> list[Shown]:
    """The live badges the member may know of: owned ones first, then those that are locked."""
    rows = session.execute(
        select(Badge, BadgeOwner.gained_at)
        .outerjoin(BadgeOwner, (BadgeOwner.badge_id == Badge.id) & (BadgeOwner.user_id == user.id))
        .where(Badge.state == BadgeState.LIVE)
        .order_by(BadgeOwner.gained_at.desc().nulls_last(), Badge.id)
    )
    return [
        _shown(badge, gained_at, user.lang)
        for badge, gained_at in rows
        if gained_at is not None or badge.visibility is BadgeVisibility.EVERYONE
    ]


def _shown(badge: Badge, gained_at: datetime | None, language: str | None) -> Shown:
    text = text_in(badge.description, language)
    media = badge.media_cid
    if gained_at is None:
        text = text_in(badge.locked_description, language) or text
        media = badge.locked_media_cid or media
    is_grey = gained_at is None and badge.locked_media_cid is None
    return Shown(text_in(badge.title, language), text, media, gained_at, is_grey)


def owners(badge_id: BadgeId) -> Select[User]:
    """The members who own the badge."""
    owned = BadgeOwner.badge_id == badge_id
    return select(User).join(BadgeOwner, BadgeOwner.user_id == User.id).where(owned)


def owners_as_csv(session: Session, badge_id: BadgeId) -> Iterator[str]:
    """Who owns the badge and since when, safe to open in a spreadsheet."""
    query = (
        select(User.id, User.email, User.first_name, User.last_name, BadgeOwner.gained_at)
        .join(BadgeOwner, BadgeOwner.user_id == User.id)
        .where(BadgeOwner.badge_id == badge_id)
        .order_by(BadgeOwner.gained_at, User.id)
        .execution_options(yield_per=1000)
    )
    rows = (
        (encode_id("usr", user), email, first or "", last or "", since.isoformat("T", "seconds"))
        for user, email, first, last, since in session.execute(query)
    )
    return as_csv(chain([("userId", "email", "firstName", "lastName", "gainedAt")], rows))


def gained_by(
    session: Session, badge_id: BadgeId, users: Sequence[UserId]
) -> dict[UserId, datetime]:
    """Since when these members own the badge."""
    rows = session.execute(
        select(BadgeOwner.user_id, BadgeOwner.gained_at).where(
            BadgeOwner.badge_id == badge_id, BadgeOwner.user_id.in_(users)
        )
    )
    return {user: since for user, since in rows}


def count_owners(session: Session, ids: Sequence[BadgeId]) -> dict[BadgeId, int]:
    """How many members own each of these badges."""
    rows = session.execute(
        select(BadgeOwner.badge_id, func.count())
        .where(BadgeOwner.badge_id.in_(ids))
        .group_by(BadgeOwner.badge_id)
    )
    return {badge_id: count for badge_id, count in rows}


def of_member(session: Session, user_id: UserId) -> Sequence[tuple[Badge, datetime]]:
    """The badges the member owns and since when, newest first."""
    rows = session.execute(
        select(Badge, BadgeOwner.gained_at)
        .join(BadgeOwner, BadgeOwner.badge_id == Badge.id)
        .where(BadgeOwner.user_id == user_id)
        .order_by(BadgeOwner.gained_at.desc(), Badge.id)
    )
    return [(badge, since) for badge, since in rows]

"""Badges: marks owned by being in one list or one segment.

Who is in when a badge is published has it at once; from then on the events of the list or segment
say who enters and leaves (`app.segments.badge_reader`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    Select,
    Uuid,
    and_,
    cast,
    delete,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.orm import Session

from app.segments.badge_errors import BadgeInvalidError, BadgeNotFoundError, BadgeStateError
from app.segments.models import Badge, BadgeOwner, BadgeState, BadgeVisibility, SegmentMember
from app.users.models import ListMember, User, UserState
from core import event_cursor
from core.db import merchant_of
from core.events import emit_each
from core.ids import encode_id, new_id
from core.types import BadgeId, ListId, SegmentId, UserId
from minting.content import ContentStore
from minting.media import Media

READER = "badges"
NAME_LENGTH, TITLE_LENGTH, DESCRIPTION_LENGTH = 120, 60, 500
_SHOWN_SIDE = 320
_MEMBERS = (UserState.ACTIVE, UserState.BLOCKED)


@dataclass(frozen=True)
class Draft:
    """What a badge shall be; texts are by language.

    Args:
        locked: what outsiders read; empty for the same as owners.
    """

    internal_name: str
    title: Mapping[str, str]
    description: Mapping[str, str]
    locked: Mapping[str, str]
    list_id: ListId | None = None
    segment_id: SegmentId | None = None
    visibility: BadgeVisibility = BadgeVisibility.EVERYONE
    is_sticky: bool = False


def create(session: Session, internal_name: str, *, at: datetime) -> Badge:
    """There is a draft with a name and nothing else.

    Raises:
        BadgeInvalidError: the name is missing or too long.
    """
    _check_name(internal_name)
    row = Badge(id=BadgeId(new_id()), internal_name=internal_name.strip(), created_at=at)
    session.add(row)
    session.flush()
    return row


def _check_name(name: str) -> None:
    if not 1 <= len(name.strip()) <= NAME_LENGTH or not name.strip().isprintable():
        raise BadgeInvalidError(
            {"internal_name": f"Enter a name of 1 to {NAME_LENGTH} printable characters."}
        )


def change(session: Session, row: Badge, draft: Draft, *, at: datetime) -> None:
    """The badge is so from now on; of a live one at once, its owners with it.

    Raises:
        BadgeInvalidError: a text is too long, or a live badge would lack what it needs.
        BadgeStateError: it is archived.
    """
    if row.state is BadgeState.ARCHIVED:
        raise BadgeStateError("An archived badge does not change. Duplicate it.")
    _check_name(draft.internal_name)
    problems = _problems(draft)
    owners_before = (row.list_id, row.segment_id)
    with session.no_autoflush:
        row.internal_name = draft.internal_name.strip()
        row.title, row.description = dict(draft.title), dict(draft.description)
        row.locked_description = dict(draft.locked)
        row.list_id, row.segment_id = draft.list_id, draft.segment_id
        row.visibility, row.is_sticky = draft.visibility, draft.is_sticky
        if row.state is BadgeState.LIVE:
            problems |= _missing(row)
    if problems:
        raise BadgeInvalidError(problems)
    if row.state is BadgeState.LIVE and owners_before != (row.list_id, row.segment_id):
        _hold_reader(session)
        row.published_at = at
        session.flush()
        settle(session, row, at=at)
    session.flush()


def _problems(draft: Draft) -> dict[str, str]:
    problems = {}
    texts = [*draft.description.values(), *draft.locked.values()]
    if any(len(it) > TITLE_LENGTH for it in draft.title.values()):
        problems["title"] = f"A title has at most {TITLE_LENGTH} characters."
    if any(len(it) > DESCRIPTION_LENGTH for it in texts):
        problems["description"] = f"A description has at most {DESCRIPTION_LENGTH} characters."
    if any("\0" in it for it in (*texts, *draft.title.values())):
        problems["title"] = "A text cannot hold a NUL character."
    if draft.list_id is not None and draft.segment_id is not None:
        problems["owners"] = "Choose one list or one segment."
    return problems


def _missing(row: Badge) -> dict[str, str]:
    problems = {}
    if not any(str(it).strip() for it in row.title.values()):
        problems["title"] = "Give it a title in one language at least."
    if row.media_cid is None:
        problems["image"] = "Choose a picture."
    if (row.list_id is None) == (row.segment_id is None):
        problems["owners"] = "Choose one list or one segment."
    return problems


def draw(
    session: Session, store: ContentStore, row: Badge, media: Media, *, is_locked: bool = False
) -> None:
    """The badge has this picture, in the size it is shown in.

    Args:
        is_locked: it is what outsiders see, in place of the grey picture of owners.
    """
    big_enough = [it for it in media.renditions if it.width >= _SHOWN_SIDE]
    chosen = big_enough[0] if big_enough else media.renditions[-1]
    cid = store.put(chosen.data)
    if is_locked:
        row.locked_media_cid = cid
    else:
        row.media_cid = cid
    session.flush()


def publish(session: Session, row: Badge, *, at: datetime) -> int:
    """The badge is live, and whoever is in its list or segment has it.

    Returns:
        How many members that is.

    Raises:
        BadgeInvalidError: title, picture or owners are missing.
        BadgeStateError: it is no draft.

    Locks: the cursor of the reader that goes on from here.
    """
    if row.state is not BadgeState.DRAFT:
        raise BadgeStateError("Only a draft can be published.")
    if problems := _missing(row):
        raise BadgeInvalidError(problems)
    _hold_reader(session)
    row.state, row.published_at = BadgeState.LIVE, at
    session.flush()
    return settle(session, row, at=at)


def _hold_reader(session: Session) -> None:
    """No event is read until this transaction ends: whoever enters meanwhile is told of later.

    Before the first badge nobody owned anything, so what happened until then is history.

    Locks: the reader's cursor.
    """
    event_cursor.claim(session, READER)
    mine = event_cursor.EventCursor.merchant_id == merchant_of(session)
    query = select(event_cursor.EventCursor).where(mine)
    cursor = session.scalars(
        query.where(event_cursor.EventCursor.reader == READER)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    if not cursor.xid:
        event_cursor.skip(session, cursor)


def settle(session: Session, row: Badge, *, at: datetime) -> int:
    """Exactly the members of its list or segment own the badge; of a sticky one, others as well.

    Returns:
        How many gained it.
    """
    if not row.is_sticky:
        outside = BadgeOwner.user_id.not_in(members_of(row))
        _take(session, row, outside, at=at)
    wanted = members_of(row).subquery()
    [user] = wanted.c
    return _give(session, row, select(user, literal(at)), at=at)


def members_of(row: Badge) -> Select[UserId]:
    """Who is in the badge's list or segment now."""
    if row.list_id is not None:
        return select(ListMember.user_id).where(ListMember.list_id == row.list_id)
    return select(SegmentMember.user_id).where(SegmentMember.segment_id == row.segment_id)


def give(
    session: Session,
    row: Badge,
    users: Sequence[tuple[UserId, datetime]],
    *,
    is_present: bool = False,
    at: datetime,
) -> int:
    """These members own the badge since these moments; who owns it already is told nothing.

    Args:
        is_present: only those who are in its list or segment now.
    """
    wanted = select(
        func.unnest(cast([user for user, _ in users], ARRAY(Uuid()))).label("user_id"),
        func.unnest(cast([since for _, since in users], ARRAY(DateTime(timezone=True)))),
    ).subquery()
    user, since = wanted.c
    query = select(user, since)
    if is_present:
        query = query.where(user.in_(members_of(row)))
    return _give(session, row, query, at=at)


def _give(session: Session, row: Badge, wanted: Select[Any, Any], *, at: datetime) -> int:
    user, since = wanted.subquery().c
    facts = select(literal(row.id), user, since, literal(row.merchant_id)).where(
        exists().where(User.id == user, User.state.in_(_MEMBERS))
    )
    gained = (
        insert(BadgeOwner)
        .from_select(
            ["badge_id", "user_id", "gained_at", "merchant_id"], facts, include_defaults=False
        )
        .on_conflict_do_nothing()
        .returning(BadgeOwner.user_id)
        .cte("gained")
    )
    return _tell(session, row, "cohort.badge.gained", gained, at=at)


def take(
    session: Session,
    row: Badge,
    users: Sequence[UserId],
    *,
    is_absent: bool = False,
    at: datetime,
) -> int:
    """These members do not own the badge any more; of a sticky one everybody keeps it.

    Args:
        is_absent: only those who are not in its list or segment now.
    """
    if row.is_sticky:
        return 0
    whose = [BadgeOwner.user_id.in_(users)]
    if is_absent:
        whose.append(BadgeOwner.user_id.not_in(members_of(row)))
    return _take(session, row, and_(*whose), at=at)


def _take(session: Session, row: Badge, whose: ColumnElement[bool], *, at: datetime) -> int:
    lost = (
        delete(BadgeOwner)
        .where(BadgeOwner.badge_id == row.id, whose)
        .returning(BadgeOwner.user_id)
        .cte("lost")
    )
    return _tell(session, row, "cohort.badge.lost", lost, at=at)


def _tell(session: Session, row: Badge, kind: str, whom: CTE, *, at: datetime) -> int:
    cohort = encode_id("lst", row.list_id) if row.list_id else encode_id("seg", _segment(row))
    data = {"badgeId": encode_id("bdg", row.id), "cohortId": cohort}
    return emit_each(session, kind, select(whom.c.user_id, literal(data, JSONB)), at=at)


def _segment(row: Badge) -> SegmentId:
    assert row.segment_id is not None  # one of both
    return row.segment_id


def archive(session: Session, row: Badge, *, at: datetime) -> None:
    """Nobody owns the badge any more, and nobody is told.

    Raises:
        BadgeStateError: it is not live.
    """
    if row.state is not BadgeState.LIVE:
        raise BadgeStateError("Only a live badge can be archived.")
    row.state, row.archived_at = BadgeState.ARCHIVED, at
    session.execute(delete(BadgeOwner).where(BadgeOwner.badge_id == row.id))
    session.flush()


def duplicate(session: Session, row: Badge, *, at: datetime) -> Badge:
    """A draft that is like the badge in everything."""
    copied = (
        *("title", "description", "locked_description", "media_cid", "locked_media_cid"),
        *("list_id", "segment_id", "visibility", "is_sticky"),
    )
    twin = Badge(
        id=BadgeId(new_id()),
        internal_name=f"{row.internal_name[: NAME_LENGTH - 7]} (copy)",
        created_at=at,
        **{name: getattr(row, name) for name in copied},
    )
    session.add(twin)
    session.flush()
    return twin


def delete_badge(session: Session, row: Badge) -> None:
    """The badge is gone.

    Raises:
        BadgeStateError: it is live.
    """
    if row.state is BadgeState.LIVE:
        raise BadgeStateError("Archive it first: members own it.")
    session.delete(row)
    session.flush()


def get(session: Session, badge_id: BadgeId) -> Badge:
    """The badge.

    Raises:
        BadgeNotFoundError: this merchant has none with the id.
    """
    row = session.get(Badge, badge_id)
    if row is None:
        raise BadgeNotFoundError(badge_id)
    return row

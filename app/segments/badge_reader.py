"""Gives and takes badges as the events of lists and segments say, each event once.

Events of one page are taken in their order; what does not touch the same member of the same list
or segment twice is one statement a badge. Events from before a badge was published only repeat what
publishing saw, so they count as far as they are still true.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.segments import badges
from app.segments.models import Badge, BadgeState
from core import event_cursor
from core.db import merchant_of
from core.event_cursor import Fact
from core.ids import encode_id
from core.types import UserId

FACTS_A_PAGE = 5_000
_JOINED = frozenset(("cohort.list.joined", "cohort.segment.joined"))
_LEFT = frozenset(("cohort.list.left", "cohort.segment.left"))

Wave = dict[tuple[str, UserId], Fact]


def follow(session: Session, *, at: datetime) -> bool:
    """Badges are where the next events put them; True while there are more.

    Args:
        session: as the engine's role, for one merchant.

    Locks: the reader's cursor.
    """
    cursor = event_cursor.claim(session, badges.READER)
    if cursor is None:
        return False
    owned = _live(session)
    page = event_cursor.read(session, cursor, limit=FACTS_A_PAGE)
    if page.is_lost:
        # The database was restored elsewhere: what was missed is in the tables.
        for row in (it for rows in owned.values() for it in rows):
            badges.settle(session, row, at=at)
        event_cursor.skip(session, cursor)
        return False
    for wave in _waves(page.facts, set(owned)):
        _apply(session, wave, owned, at=at)
    return not page.is_last


def _live(session: Session) -> dict[str, list[Badge]]:
    """The live badges by the public id of their list or segment."""
    found: dict[str, list[Badge]] = defaultdict(list)
    rows = session.scalars(
        select(Badge)
        .where(Badge.merchant_id == merchant_of(session), Badge.state == BadgeState.LIVE)
        .order_by(Badge.id)
        .execution_options(populate_existing=True)
    )
    for row in rows:
        if row.list_id is not None:
            found[encode_id("lst", row.list_id)].append(row)
        elif row.segment_id is not None:
            found[encode_id("seg", row.segment_id)].append(row)
    return found


def _waves(facts: Sequence[Fact], cohorts: set[str]) -> Iterator[Wave]:
    """The facts in their order, cut wherever a member enters or leaves the same again."""
    wave: Wave = {}
    for fact in facts:
        cohort = fact.data.get("listId") or fact.data.get("segmentId")
        if fact.type not in _JOINED | _LEFT or cohort not in cohorts or fact.user_id is None:
            continue
        key = (str(cohort), fact.user_id)
        if key in wave:
            yield wave
            wave = {}
        wave[key] = fact
    if wave:
        yield wave


def _apply(session: Session, wave: Wave, owned: dict[str, list[Badge]], *, at: datetime) -> None:
    by_cohort: dict[str, list[Fact]] = defaultdict(list)
    for (cohort, _), fact in wave.items():
        by_cohort[cohort].append(fact)
    for cohort, facts in by_cohort.items():
        for row in owned[cohort]:
            for is_old in (True, False):
                some = [it for it in facts if _is_before(it, row) == is_old]
                _move(session, row, some, is_old=is_old, at=at)


def _is_before(fact: Fact, row: Badge) -> bool:
    return row.published_at is not None and fact.occurred_at < row.published_at


def _move(
    session: Session, row: Badge, facts: Sequence[Fact], *, is_old: bool, at: datetime
) -> None:
    joined = [
        (it.user_id, it.occurred_at)
        for it in facts
        if it.type in _JOINED and it.user_id is not None
    ]
    left = [it.user_id for it in facts if it.type in _LEFT and it.user_id is not None]
    if joined:
        badges.give(session, row, joined, is_present=is_old, at=at)
    if left:
        badges.take(session, row, left, is_absent=is_old, at=at)

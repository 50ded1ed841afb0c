"""Keeps segments right: what happened, what time passed, and what has to be made anew.

One process at a time keeps a merchant's segments, the one that holds the cursor of their reader.
It first looks whose boundaries passed since it last looked, then at the events since then; both
decide about the members concerned and nobody else.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, literal, select, union_all, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.segments import book as books
from app.segments import dependencies, membership
from app.segments.book import Book
from app.segments.dependencies import Boundary
from app.segments.ground import FIRST, Ground, shift
from app.segments.models import Segment, SegmentClock, SegmentCount, SegmentState
from app.users.models import User
from core import event_cursor
from core.db import merchant_of
from core.event_cursor import Fact
from core.events import Event, emit_many
from core.ids import encode_id
from core.types import SegmentId, UserId

READER = "segments"
FACTS_A_STEP = 2_000
BACKLOG = 50_000
"""So many events are more work than deciding about everybody once."""
SWEEP_EVERY = timedelta(seconds=1)
_BY_EVENT = "event"
_BY_TIME = "time"

Concerned = Mapping[UserId, frozenset[SegmentId]]


def keep(session: Session, *, at: datetime) -> bool:
    """The merchant's segments are right but for what waits in the next step.

    Returns:
        True while there is more to do at once.

    Locks: the cursor, then the segments concerned.
    """
    cursor = event_cursor.claim(session, READER)
    if cursor is None:
        return False
    book = books.open_book(session)
    if cursor.xid == 0:
        # A reader that begins now needs nothing of what came before, if all is built after it.
        event_cursor.skip(session, cursor)
        make_anew(session, sorted(book.rules))
    clock = _clock(session, at)
    # Of two machines one may be behind: what was decided is never decided again for an earlier now.
    ground = books.ground(session, book.rules, at=max(at, clock.swept_at))
    if ground.now - clock.swept_at >= SWEEP_EVERY:
        passed = _passed(session, book, ground, clock.swept_at)
        _decide_each(session, passed, ground, _BY_TIME)
        _begin_day(session, book, ground, clock.swept_at)
        clock.swept_at = ground.now
    if event_cursor.is_behind(session, cursor, by=BACKLOG):
        event_cursor.skip(session, cursor)
        make_anew(session, book.rules)
        return False
    page = event_cursor.read(session, cursor, limit=FACTS_A_STEP)
    if page.is_lost:
        event_cursor.skip(session, cursor)
        make_anew(session, book.rules)
        return False
    _decide_each(session, _concerned(book, page.facts), ground, _BY_EVENT)
    return not page.is_last


def make_anew(session: Session, segments: Mapping[SegmentId, object] | Sequence[SegmentId]) -> None:
    """These segments are built again by whoever is free; until then they keep whom they have."""
    session.execute(
        update(Segment)
        .where(Segment.id.in_(list(segments)), Segment.state == SegmentState.LIVE)
        .values(state=SegmentState.REBUILDING)
        .execution_options(synchronize_session=False)
    )


def _clock(session: Session, at: datetime) -> SegmentClock:
    merchant = merchant_of(session)
    session.execute(
        insert(SegmentClock).values(merchant_id=merchant, swept_at=at).on_conflict_do_nothing()
    )
    return session.get_one(SegmentClock, merchant, populate_existing=True)


def _concerned(book: Book, facts: Sequence[Fact]) -> Concerned:
    """Whom the events concern, and in which segments they may enter or leave."""
    found: dict[UserId, frozenset[SegmentId]] = defaultdict(frozenset)
    for fact in facts:
        if fact.user_id is not None and not dependencies.is_own(fact):
            found[fact.user_id] |= book.reading(dependencies.touched(fact))
    return found


def _decide_each(session: Session, concerned: Concerned, ground: Ground, reason: str) -> None:
    """Members whom the same segments concern are decided about together."""
    together: dict[frozenset[SegmentId], list[UserId]] = defaultdict(list)
    for user, segments in concerned.items():
        if segments:
            together[segments].append(user)
    # In the order of their lowest segments, so that two who lock them never wait for each other.
    for segments, users in sorted(together.items(), key=lambda it: sorted(it[0])):
        membership.decide(session, segments, users, ground=ground, reason=reason)


def _passed(session: Session, book: Book, ground: Ground, since: datetime) -> Concerned:
    """Whose boundaries lie between then and now; those on either edge are looked at twice."""
    ordered = list(book.boundaries)
    queries = [
        query.add_columns(literal(number))
        for number, boundary in enumerate(ordered)
        if (query := _crossed(boundary, ground, since)) is not None
    ]
    found: dict[UserId, frozenset[SegmentId]] = defaultdict(frozenset)
    if queries:
        for user, number in session.execute(union_all(*queries)):
            found[user] |= book.boundaries[ordered[number]]
    return found


def _crossed(boundary: Boundary, ground: Ground, since: datetime) -> Select[Any] | None:
    """The members over whom the boundary went; None where it did not move."""
    kind, _, name = boundary.source.partition(":")
    if kind == _BY_EVENT:
        first, last = (shift(it, -boundary.offset) for it in (since, ground.now))
        return select(Event.user_id).where(
            Event.merchant_id == ground.merchant,
            Event.type == name,
            Event.occurred_at.between(first, last),
            Event.user_id.is_not(None),
        )
    field = ground.fields.get(name)
    if field is None:
        return None
    edges = [since, ground.now] if field.with_time else [_today(since, ground), ground.today]
    if edges[0] == edges[1]:
        return None
    first, last = (shift(it, -boundary.offset) for it in edges)
    return select(User.id).where(
        User.merchant_id == ground.merchant, field.sought.between(first, last)
    )


def _today(moment: datetime, ground: Ground) -> datetime:
    day = moment.astimezone(ground.zone).date()
    return FIRST.replace(year=day.year, month=day.month, day=day.day)


def _begin_day(session: Session, book: Book, ground: Ground, since: datetime) -> None:
    """With a new day come other anniversaries, and the counts of the old one are kept."""
    day = since.astimezone(ground.zone).date()
    if day == ground.today.date():
        return
    make_anew(session, sorted(book.daily))
    counts = select(Segment.merchant_id, Segment.id, literal(day), Segment.member_count).where(
        Segment.merchant_id == ground.merchant, Segment.archived_at.is_(None)
    )
    columns = ["merchant_id", "segment_id", "day", "count"]
    session.execute(insert(SegmentCount).from_select(columns, counts).on_conflict_do_nothing())


def rebuild_next(session: Session, *, at: datetime) -> SegmentId | None:
    """One segment that waits for it is built from its rule for everybody.

    Returns:
        The segment, or None when none waits that nobody else builds.

    Locks: the segment, skipping those that others build.
    """
    segment = session.scalar(
        select(Segment)
        .where(
            Segment.merchant_id == merchant_of(session),
            Segment.state.in_((SegmentState.BUILDING, SegmentState.REBUILDING)),
            Segment.archived_at.is_(None),
        )
        .order_by(Segment.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if segment is None:
        return None
    membership.build(session, segment, at=max(at, _clock(session, at).swept_at))
    return segment.id


def prove(session: Session, segments: Sequence[SegmentId]) -> None:
    """These segments wait to be built again though nothing asked for it: nobody should move."""
    session.execute(
        update(Segment)
        .where(Segment.id.in_(segments), Segment.state == SegmentState.LIVE)
        .values(is_proving=True)
        .execution_options(synchronize_session=False)
    )


def prove_next(session: Session, *, at: datetime) -> SegmentId | None:
    """One segment that waits to be proved is built from its rule, and what differed is told.

    Everything that happened is decided first, and nobody else decides meanwhile. Where something
    happened during the build itself, it is not told: it may be all there is to the difference.

    Returns:
        The segment, or None when none waits, or somebody else keeps them at this moment.

    Locks: the cursor, then the segment.
    """
    cursor = event_cursor.claim(session, READER)
    if cursor is None:
        return None
    while keep(session, at=at):
        pass
    segment = session.scalar(
        select(Segment)
        .where(
            Segment.merchant_id == merchant_of(session),
            Segment.state == SegmentState.LIVE,
            Segment.is_proving,
            Segment.archived_at.is_(None),
        )
        .order_by(Segment.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if segment is None:
        return None
    now = _clock(session, at).swept_at
    change = membership.build(session, segment, at=now)
    found = {"proof_joined": change.joined, "proof_left": change.left}
    membership.mark(session, segment, is_proving=False, proved_at=now, **found)
    if (change.joined or change.left) and event_cursor.is_up_to_date(session, cursor):
        detail = {"segmentId": encode_id("seg", segment.id), **vars(change)}
        fact = {"kind": "segment_differs", "detail": detail}
        emit_many(session, "cohort.alert.raised", [(None, fact)], at=at)
    return segment.id

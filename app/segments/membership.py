"""Who is in which segment: decided for given members, or made anew for all of them.

Both lock the segments' rows before they decide. So of two that decide about the same segment the
later one sees what the earlier one saw and whatever was committed since: the last word is right.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, literal, select, tuple_, union_all, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from app.segments import book as books
from app.segments import compile as compiler
from app.segments import questions
from app.segments.ground import GoneError, Ground
from app.segments.models import Segment, SegmentMember, SegmentState
from core.db import sql_ids, use_memory
from core.events import emit_many, insert_events
from core.ids import encode_id
from core.types import SegmentId, UserId

JOINED = "cohort.segment.joined"
LEFT = "cohort.segment.left"
REBUILD = "rebuild"
_DECIDED = (SegmentState.LIVE, SegmentState.REBUILDING)

Pair = tuple[SegmentId, UserId]


@dataclass(frozen=True)
class Moves:
    """Who entered and who left, as (segment, member)."""

    joined: Sequence[Pair]
    left: Sequence[Pair]


def decide(
    session: Session,
    segments: Collection[SegmentId],
    users: Sequence[UserId],
    *,
    ground: Ground,
    reason: str,
) -> Moves:
    """These members are in those of the segments whose rules they meet, and in no other of them.

    Segments that were never built are left alone: their first build decides for everybody. So are
    those that name what is gone: they keep whom they have.

    Locks: the segments, in the order of their ids.
    """
    locked = session.execute(
        select(Segment.id)
        .where(Segment.id.in_(segments), Segment.state.in_(_DECIDED))
        .order_by(Segment.id)
        .with_for_update()
    )
    rows = set(locked.scalars())
    # Read below the locks: a rule that changed while they were waited for has been built already.
    book = books.open_book(session)
    ground = replace(ground, known=book.rules)
    question = questions.question(book, frozenset(rows & book.rules.keys()), ground)
    live = question.segments
    if not live or not users:
        return Moves((), ())
    wanted = set(question.ask(session, users, ground))
    pair = tuple_(SegmentMember.segment_id, SegmentMember.user_id)
    present = session.execute(
        select(SegmentMember.segment_id, SegmentMember.user_id).where(
            SegmentMember.segment_id.in_(live), SegmentMember.user_id.in_(select(sql_ids(users)))
        )
    )
    now_in = {(segment, user) for segment, user in present}
    joined, left = sorted(wanted - now_in), sorted(now_in - wanted)
    if joined:
        session.execute(
            insert(SegmentMember),
            [
                {
                    "merchant_id": ground.merchant,
                    "segment_id": segment,
                    "user_id": user,
                    "since": ground.now,
                }
                for segment, user in joined
            ],
        )
    if left:
        session.execute(delete(SegmentMember).where(pair.in_(left)))
    _count(session, joined, left)
    _tell(session, JOINED, joined, reason=reason, at=ground.now)
    _tell(session, LEFT, left, reason=reason, at=ground.now)
    return Moves(joined, left)


def _count(session: Session, joined: Sequence[Pair], left: Sequence[Pair]) -> None:
    changes = Counter(segment for segment, _ in joined)
    changes.subtract(segment for segment, _ in left)
    for segment, change in changes.items():
        if change:
            session.execute(
                update(Segment)
                .where(Segment.id == segment)
                .values(member_count=Segment.member_count + change)
                .execution_options(synchronize_session=False)
            )


def _tell(session: Session, kind: str, pairs: Sequence[Pair], *, reason: str, at: datetime) -> None:
    facts: list[tuple[UserId | None, dict[str, Any]]] = [
        (user, _data(segment, reason)) for segment, user in pairs
    ]
    emit_many(session, kind, facts, at=at)


def _data(segment: SegmentId, reason: str) -> dict[str, Any]:
    name = encode_id("seg", segment)
    return {"cohortId": name, "segmentId": name, "reason": reason}


@dataclass(frozen=True)
class Change:
    """How many entered and left."""

    joined: int
    left: int


def build(session: Session, segment: Segment, *, at: datetime) -> Change:
    """The segment holds exactly who meets its rule now; one that cannot be decided says why.

    Locks: the segment, which the caller holds.
    """
    is_first = segment.state is SegmentState.BUILDING
    ground = books.ground(session, books.open_book(session).rules, at=at)
    use_memory(session)
    try:
        with session.begin_nested():
            change = _replace(session, segment, ground, is_told=not (is_first and segment.is_quiet))
    except GoneError as error:
        mark(session, segment, state=SegmentState.INVALID, problem=str(error))
        return Change(0, 0)
    count = Segment.member_count + change.joined - change.left
    mark(session, segment, state=SegmentState.LIVE, problem=None, built_at=at, member_count=count)
    return change


def mark(session: Session, segment: Segment, **values: Any) -> None:
    """The segment has these values, without a new version: no edit is overtaken by a build."""
    session.execute(
        update(Segment)
        .where(Segment.id == segment.id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    session.refresh(segment)


def _replace(session: Session, segment: Segment, ground: Ground, *, is_told: bool) -> Change:
    """The segment holds exactly who meets its rule now, found by one statement.

    The old members stay until the new ones are there: both are one transaction.

    Args:
        is_told: whether those who enter or leave hear of it.

    Raises:
        GoneError: the rule names something that is not there any more; nothing changed.

    Locks: the segment, which the caller holds.
    """
    wanted = compiler.wanted(ground.known[segment.id], ground)
    found = wanted.cte("wanted").prefix_with("MATERIALIZED")
    mine = SegmentMember.segment_id == segment.id
    gone = (
        delete(SegmentMember)
        .where(mine, SegmentMember.user_id.not_in(select(found.c.id)))
        .returning(SegmentMember.user_id)
        .cte("gone")
    )
    rows = select(
        literal(ground.merchant), literal(segment.id), found.c.id, literal(ground.now)
    ).where(found.c.id.not_in(select(SegmentMember.user_id).where(mine)))
    columns = ["merchant_id", "segment_id", "user_id", "since"]
    come = insert(SegmentMember).from_select(columns, rows).returning(SegmentMember.user_id)
    arrived = come.cte("come")
    counts = select(
        select(func.count()).select_from(arrived).scalar_subquery(),
        select(func.count()).select_from(gone).scalar_subquery(),
    )
    if is_told:
        data = literal(_data(segment.id, REBUILD), JSONB)
        moves = union_all(
            select(literal(JOINED).label("kind"), arrived.c.user_id.label("user_id")),
            select(literal(LEFT), gone.c.user_id),
        ).subquery()
        facts = select(moves.c.kind, moves.c.user_id, data)
        counts = counts.add_cte(insert_events(session, facts, at=ground.now).cte("told"))
    joined, left = session.execute(counts).one()
    return Change(joined, left)

"""Why somebody is in a segment or out: what each condition found, and when that may change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.segments import book as books
from app.segments import compile as compiler
from app.segments import dependencies
from app.segments.ground import GoneError, Ground, shift
from app.segments.models import Segment, SegmentMember
from app.segments.rules import Condition, EventCondition, PropertyCondition
from app.users import values
from app.users.models import User
from core.events import Event
from core.types import UserId


@dataclass(frozen=True)
class Answer:
    """One condition of the rule.

    Args:
        is_met: None where it cannot be decided, because what it names is gone.
        found: what the member has, in words.
        changes_at: when it may come true or false by time alone.
    """

    condition: Condition
    is_met: bool | None
    found: str | None = None
    changes_at: datetime | None = None


@dataclass(frozen=True)
class Explanation:
    """The rule with an answer for each condition; the member is in when a group is met whole."""

    groups: Sequence[Sequence[Answer]]
    is_in: bool
    since: datetime | None


def explain(session: Session, segment: Segment, user_id: UserId, *, at: datetime) -> Explanation:
    """Why the member is in the segment or out of it, decided now."""
    known = books.open_book(session).rules
    ground = books.ground(session, known, at=at).of_few()
    rule = known.get(segment.id)
    groups = (
        []
        if rule is None
        else [
            [_answer(session, it, user_id, ground) for it in group.conditions]
            for group in rule.groups
        ]
    )
    since = session.scalar(
        select(SegmentMember.since).where(
            SegmentMember.segment_id == segment.id, SegmentMember.user_id == user_id
        )
    )
    is_in = any(all(it.is_met for it in group) for group in groups)
    return Explanation(groups, is_in, since)


def _answer(session: Session, asked: Condition, user_id: UserId, ground: Ground) -> Answer:
    try:
        decided = compiler.condition(asked, ground)
    except GoneError:
        return Answer(asked, None)
    row = select(User.id).where(compiler.is_member(ground.merchant), User.id == user_id, decided)
    is_met = session.scalar(row) is not None
    moments = [
        moment
        for boundary in dependencies.boundaries({asked})
        for moment in _moments(session, boundary, user_id, ground)
        if moment > ground.now
    ]
    found = _found(session, asked, user_id, ground)
    return Answer(asked, is_met, found, min(moments, default=None))


def _found(session: Session, asked: Condition, user_id: UserId, ground: Ground) -> str | None:
    if isinstance(asked, PropertyCondition):
        field = ground.fields[asked.field]
        value: Any = session.scalar(select(field.value).where(User.id == user_id))
        if value is None:
            return None
        return values.show(value, field.kind, with_time=field.with_time)
    if isinstance(asked, EventCondition):
        times = select(func.count()).where(
            Event.merchant_id == ground.merchant,
            Event.user_id == user_id,
            Event.type == asked.type,
        )
        return str(session.scalar(times))
    return None


def _moments(
    session: Session, boundary: dependencies.Boundary, user_id: UserId, ground: Ground
) -> list[datetime]:
    """When the boundary goes over the member."""
    kind, _, name = boundary.source.partition(":")
    if kind == "event":
        happened = session.scalars(
            select(Event.occurred_at).where(
                Event.merchant_id == ground.merchant,
                Event.user_id == user_id,
                Event.type == name,
                Event.occurred_at > shift(ground.now, -boundary.offset),
            )
        )
        return [shift(it, boundary.offset) for it in happened]
    field = ground.fields.get(name)
    value = (
        None if field is None else session.scalar(select(field.sought).where(User.id == user_id))
    )
    return [] if value is None else [shift(value, boundary.offset)]

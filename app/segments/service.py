"""Segments: made, changed, counted while somebody edits, and explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, select, tablesample, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.segments import book as books
from app.segments import compile as compiler
from app.segments import keeping, rules
from app.segments.errors import (
    RuleInvalidError,
    SegmentCycleError,
    SegmentInUseError,
    SegmentInvalidError,
    SegmentNotFoundError,
)
from app.segments.ground import GoneError, Ground
from app.segments.models import Badge, BadgeState, Segment, SegmentState, SegmentVersion
from app.segments.rules import PropertyCondition, Rule
from app.users.fields import catalogue
from app.users.models import User
from core import jobs
from core.db import beyond_policies, merchant_of, sql_ids, use_memory
from core.ids import new_id
from core.types import SegmentId, UserId

TASK = "segments.build"
NAME_LENGTH = 120
PATIENCE_MS = 2_000
"""How long an exact count may take before an estimate is shown instead."""
SAMPLE = 20
_ESTIMATED_FROM = 5_000
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def create(
    session: Session,
    rule: Rule,
    *,
    name: str,
    reference_id: str | None = None,
    is_quiet: bool = True,
    at: datetime,
) -> Segment:
    """The segment exists and is built in the background.

    Raises:
        SegmentInvalidError: no name, or one that is too long or taken.
        RuleInvalidError: the rule asks what cannot be asked.
    """
    check(session, rule)
    segment = Segment(
        id=SegmentId(new_id()),
        name=_name(session, name),
        reference_id=(reference_id or "").strip() or None,
        rule=rule.dump(),
        is_quiet=is_quiet,
        created_at=at,
    )
    session.add(segment)
    session.flush()
    _remember(session, segment, at=at)
    _nudge(session)
    return segment


def change(
    session: Session,
    segment: Segment,
    rule: Rule,
    *,
    name: str,
    reference_id: str | None = None,
    at: datetime,
) -> None:
    """The segment is called so and asks this from now on.

    After a change of the rule its members stay until the new ones are known.

    Raises:
        SegmentInvalidError: no name, or one that is too long or taken; nothing changed.
        RuleInvalidError: the rule asks what cannot be asked; nothing changed.
        SegmentCycleError: it would read itself; nothing changed.

    Locks: the segment.
    """
    session.refresh(segment, with_for_update=True)
    check(session, rule, segment=segment.id)
    segment.name = _name(session, name, besides=segment.id)
    segment.reference_id = (reference_id or "").strip() or None
    if rule.dump() != segment.rule or segment.state is SegmentState.INVALID:
        _ask(session, segment, rule, at=at)
    session.flush()


def _ask(session: Session, segment: Segment, rule: Rule, *, at: datetime) -> None:
    segment.rule, segment.rule_number = rule.dump(), segment.rule_number + 1
    is_built = segment.built_at is not None
    segment.state = SegmentState.REBUILDING if is_built else SegmentState.BUILDING
    segment.problem = None
    session.flush()
    _remember(session, segment, at=at)
    keeping.make_anew(session, sorted(_dependents(session, segment.id)))
    _nudge(session)


def rebuild(session: Session, segment: Segment) -> None:
    """The segment is made anew from its rule, in the background."""
    keeping.make_anew(session, [segment.id])
    _nudge(session)


def archive(session: Session, segment: Segment, *, at: datetime) -> None:
    """Nobody is kept in the segment any more; who was in it stays written down.

    Raises:
        SegmentInUseError: another segment or a badge needs it.
    """
    users = used_by(session, segment.id)
    if users:
        raise SegmentInUseError(segment.name, users)
    segment.archived_at = segment.archived_at or at
    session.flush()


def used_by(session: Session, segment_id: SegmentId) -> list[str]:
    """The names of what needs the segment."""
    badges = session.scalars(
        select(Badge.internal_name).where(
            Badge.segment_id == segment_id, Badge.state != BadgeState.ARCHIVED
        )
    )
    rows = session.scalars(
        select(Segment).where(Segment.archived_at.is_(None), Segment.id != segment_id)
    )
    readers = [row.name for row in rows if segment_id in rules.referenced(rules.load(row.rule))]
    return [*badges, *readers]


def get(session: Session, segment_id: SegmentId) -> Segment:
    """The segment.

    Raises:
        SegmentNotFoundError: this merchant has none with the id.
    """
    segment = session.get(Segment, segment_id)
    if segment is None or segment.merchant_id != merchant_of(session):
        raise SegmentNotFoundError(segment_id)
    return segment


def parse(rule: dict[str, Any]) -> Rule:
    """The rule somebody sent.

    Raises:
        RuleInvalidError: it is none; the fields say where and why.
    """
    try:
        return rules.load(rule)
    except ValidationError as error:
        # A condition that cannot be read also makes its group too short; only the cause is said.
        causes = [it for it in error.errors() if it["type"] != "too_short"] or error.errors()
        fields = {".".join(map(str, it["loc"])): _sentence(it["type"], it["msg"]) for it in causes}
        raise RuleInvalidError(fields) from None


def _sentence(kind: str, message: str) -> str:
    """What to do, in words for people."""
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    known = {
        "uuid": "Choose one.",
        "string_too_short": "Enter something here.",
        "string_too_long": "Enter fewer characters.",
        "int": "Enter a whole number.",
        "date": "Enter a date such as 2026-03-31.",
        "greater_than_equal": f"{message}.",
        "less_than_equal": f"{message}.",
        "too_short": "Add a condition.",
        "too_long": "There are too many of them.",
    }
    return next((text for start, text in known.items() if kind.startswith(start)), f"{message}.")


def check(session: Session, rule: Rule, *, segment: SegmentId | None = None) -> None:
    """Everything the rule names is there and can be asked so, and it does not read itself.

    Args:
        segment: whose rule it shall be, when that exists already.

    Raises:
        RuleInvalidError: the fields say which condition, and why.
        SegmentCycleError: the segments on the way back to it.
    """
    fields = catalogue(session)
    problems = {}
    for number, group in enumerate(rule.groups):
        for place, condition in enumerate(group.conditions):
            if isinstance(condition, PropertyCondition):
                found = fields.get(condition.field)
                problem = (
                    "The property is not there any more. Choose another one."
                    if found is None
                    else rules.problem_with(condition, found)
                )
                if problem:
                    problems[f"groups.{number}.conditions.{place}"] = problem
    if problems:
        raise RuleInvalidError(problems)
    # Without another segment in it there is no way back, and nothing else of the book is needed.
    known = dict(books.open_book(session).rules) if rules.referenced(rule) else {}
    itself = segment or SegmentId(new_id())
    way = rules.cycle(itself, known | {itself: rule})
    if way is not None:
        names = dict(
            session.execute(select(Segment.id, Segment.name).where(Segment.id.in_(way))).all()
        )
        raise SegmentCycleError([names.get(it, "this segment") for it in way])
    try:
        compiler.meets(rule, books.ground(session, known | {itself: rule}, at=_ANY_TIME))
    except GoneError as error:
        raise RuleInvalidError({"groups": str(error)}) from None


@dataclass(frozen=True)
class Preview:
    """How many members a rule would take in, and some of them."""

    count: int
    is_exact: bool
    sample: Sequence[User]


def preview(session: Session, rule: Rule, *, at: datetime) -> Preview:
    """Whom the rule takes in now; where counting takes too long, an estimate.

    Raises:
        GoneError: it names what is not there any more.
    """
    ground = books.ground(session, books.open_book(session).rules, at=at)
    with beyond_policies(session):
        use_memory(session)
        try:
            with session.begin_nested():
                return _count(session, rule, ground)
        except OperationalError:
            return _estimate(session, rule, ground)


def _count(session: Session, rule: Rule, ground: Ground) -> Preview:
    """Exactly, in one pass, or not at all."""
    limit = text("SELECT set_config('statement_timeout', :limit, true)")
    session.execute(limit, {"limit": f"{PATIENCE_MS}ms"})
    found = compiler.wanted(rule, ground).cte("found").prefix_with("MATERIALIZED")
    some = select(found.c.id).limit(SAMPLE).scalar_subquery()
    total = select(func.count()).select_from(found).scalar_subquery()
    count, sample = session.execute(select(total, func.array(some))).one()
    session.execute(limit, {"limit": "0"})
    return Preview(count, True, _users(session, sample))


def _users(session: Session, ids: Sequence[UserId]) -> Sequence[User]:
    return session.scalars(select(User).where(User.id.in_(ids)).order_by(User.id.desc())).all()


def _estimate(session: Session, rule: Rule, ground: Ground) -> Preview:
    """Of some members by chance, how many meet the rule, and so how many of all."""
    everybody = compiler.is_member(ground.merchant)
    total = session.scalar(select(func.count()).select_from(User).where(everybody)) or 0
    percent = min(100.0, 100 * _ESTIMATED_FROM / max(total, 1))
    sample = tablesample(User.__table__, func.bernoulli(percent), name="some")
    picked = session.scalars(
        select(sample.c.id).where(sample.c.merchant_id == ground.merchant)
    ).all()
    meeting = session.scalars(
        select(User.id).where(
            everybody,
            User.id.in_(select(sql_ids(picked))),
            compiler.meets(rule, ground.of_few()),
        )
    ).all()
    count = round(len(meeting) * total / max(len(picked), 1))
    return Preview(count, False, _users(session, meeting[:SAMPLE]))


def _name(session: Session, name: str, *, besides: SegmentId | None = None) -> str:
    found = name.strip()
    if not 1 <= len(found) <= NAME_LENGTH or not found.isprintable():
        raise SegmentInvalidError(
            {"name": f"Enter a name of 1 to {NAME_LENGTH} printable characters."}
        )
    namesakes = session.scalars(
        select(Segment.id).where(Segment.name == found, Segment.archived_at.is_(None))
    )
    if set(namesakes) - {besides}:
        raise SegmentInvalidError({"name": "There is a segment with this name already."})
    return found


def _remember(session: Session, segment: Segment, *, at: datetime) -> None:
    session.add(
        SegmentVersion(
            segment_id=segment.id,
            number=segment.rule_number,
            rule=segment.rule,
            actor=session.info["actor"],
            at=at,
        )
    )
    session.flush()


def _dependents(session: Session, segment_id: SegmentId) -> set[SegmentId]:
    """The segments whose members depend on this one's rule, at any depth."""
    known = books.open_book(session).rules
    found: set[SegmentId] = set()
    waiting = {segment_id}
    while waiting:
        named = waiting.pop()
        readers = {it for it, rule in known.items() if named in rules.referenced(rule)}
        waiting |= readers - found
        found |= readers
    return found


def _nudge(session: Session) -> None:
    jobs.after_commit(session, TASK, merchant_of(session))

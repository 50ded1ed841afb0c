"""Events earn points by rules, each event once a rule.

Reading comes first: one process at a time goes on with the merchant's events and writes down which
of them concern which rules. Each of these is then settled in a transaction of its own, by whoever
is free, because the unit's own account is the last lock of each. What an undone import takes back
is found again by the same reader.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Numeric,
    Select,
    cast,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.points import ledger, moving
from app.points.errors import InsufficientPointsError, MemberGoneError
from app.points.ledger import MOST, Stamp
from app.points.limits import Earned, let_through
from app.points.models import PointsUnit, TransactionKind
from app.points.rule_models import OPEN_STATES, EarningState, PointsEarning, PointsRule
from app.segments.on_events import filtered, number
from app.segments.rules import Filter
from app.users.queries import identities
from core import event_cursor
from core.db import merchant_of
from core.event_cursor import Fact
from core.events import Event
from core.ids import encode_id
from core.types import UserId

READER = "points-rules"
FACTS_A_PAGE = 2_000
COUNTED = (EarningState.EARNED, EarningState.LEAVING, EarningState.KEPT)
"""What uses up the limits of a rule."""
REMOVED = "cohort.event.removed"
REMOVED_REASON = "removed"
GONE_REASON = "gone"
_REASON = "What earned these points was taken back."


def begin(session: Session) -> None:
    """Events are read from now on, if they were not before."""
    cursor = event_cursor.claim(session, READER)
    if cursor is not None and cursor.xid == 0:
        event_cursor.skip(session, cursor)


def follow(session: Session) -> bool:
    """What the next events earn is due; True while there are more.

    Args:
        session: as the engine's role, for one merchant.

    Locks: the reader's cursor, then what events that are gone had earned.
    """
    cursor = event_cursor.claim(session, READER)
    if cursor is None:
        return False
    read_until = cursor.event_id
    page = event_cursor.read(session, cursor, limit=FACTS_A_PAGE)
    rules = _rules_on(session)
    if page.is_lost:
        # The database was restored elsewhere. What was written after the last event that was read
        # has not been looked at; an event that has been does not count again.
        if read_until != event_cursor.BEFORE_ALL:
            _write_down(session, rules, Event.id > read_until)
        event_cursor.skip(session, cursor)
        return False
    types = {it.type for it in page.facts}
    concerned = [it for it in rules if it.event_type in types]
    if concerned:
        moments = [it.occurred_at for it in page.facts]
        _write_down(
            session,
            concerned,
            Event.id.in_([it.id for it in page.facts]),
            Event.occurred_at.between(min(moments), max(moments)),
        )
    _take_back(session, [it for it in page.facts if it.type == REMOVED])
    return not page.is_last


def _rules_on(session: Session) -> Sequence[PointsRule]:
    return session.scalars(
        select(PointsRule)
        .where(PointsRule.merchant_id == merchant_of(session), PointsRule.is_on)
        .order_by(PointsRule.id)
        .execution_options(populate_existing=True)
    ).all()


def matching(rule: PointsRule, zone: ZoneInfo) -> Select[Any]:
    """The events a rule counts: identifier, member, moment, day, and what each earns by itself."""
    wanted: ColumnElement[Any] = literal(rule.rate, Numeric())
    day = cast(func.timezone(zone.key, Event.occurred_at), Date)
    counted: list[ColumnElement[bool]] = [day >= rule.first_day]
    if rule.last_day is not None:
        counted.append(day <= rule.last_day)
    if rule.property is not None:
        found = number(rule.property)
        counted.append(found.is_not(None))
        wanted = func.floor(found * wanted)
    wanted = cast(func.least(wanted, MOST), BigInteger)
    return select(
        Event.id, Event.user_id, Event.occurred_at, day.label("day"), wanted.label("wanted")
    ).where(
        Event.merchant_id == rule.merchant_id,
        Event.type == rule.event_type,
        Event.user_id.is_not(None),
        *counted,
        *(filtered(Filter.model_validate(it)) for it in rule.filters),
        wanted > 0,
    )


def _write_down(session: Session, rules: Sequence[PointsRule], *some: ColumnElement[bool]) -> None:
    """What some events earn by these rules is due, once."""
    zone = zone_of(session)
    for rule in rules:
        found = matching(rule, zone).where(*some).subquery()
        rows = select(
            literal(rule.merchant_id), literal(rule.id), *found.c, literal(0), literal("due")
        )
        columns = ["merchant_id", "rule_id", "event_id", "user_id", "occurred_at", "day", "wanted"]
        session.execute(
            insert(PointsEarning)
            .from_select([*columns, "amount", "state"], rows)
            .on_conflict_do_nothing()
        )


def zone_of(session: Session) -> ZoneInfo:
    """Where the brand's days begin and end."""
    return ZoneInfo(session.get_one(Merchant, merchant_of(session)).time_zone)


def _take_back(session: Session, facts: Sequence[Fact]) -> None:
    """What events that are gone had earned is taken back; what they would earn is not given.

    Whoever had such an event is told once a type, so every event of theirs is looked for.
    """
    concerned: dict[str, set[UserId]] = defaultdict(set)
    for fact in facts:
        if fact.user_id is not None:
            concerned[str(fact.data.get("eventType"))].add(fact.user_id)
    is_there = (
        select(Event.id)
        .where(Event.id == PointsEarning.event_id, Event.occurred_at == PointsEarning.occurred_at)
        .exists()
    )
    for kind, users in sorted(concerned.items()):
        of_kind = select(PointsRule.id).where(
            PointsRule.merchant_id == merchant_of(session), PointsRule.event_type == kind
        )
        gone = (
            PointsEarning.rule_id.in_(of_kind),
            PointsEarning.user_id.in_(users),
            ~is_there,
        )
        # Whatever is settled meanwhile is not due any more, and the second statement finds it.
        for old, new in (
            (EarningState.DUE, EarningState.NOTHING),
            (EarningState.EARNED, EarningState.LEAVING),
        ):
            session.execute(
                update(PointsEarning)
                .where(*gone, PointsEarning.state == old)
                .values(state=new, reason=REMOVED_REASON)
                .execution_options(synchronize_session=False)
            )


def settle_next(session: Session, at: datetime) -> bool:
    """One event that is due has earned what the limits let through, or lost what it had earned.

    Returns:
        False when none is due that nobody else settles.

    Locks: what is due, skipping what others settle; then its rule, the member, the accounts.
    """
    row = session.scalar(
        select(PointsEarning)
        .where(
            PointsEarning.merchant_id == merchant_of(session), PointsEarning.state.in_(OPEN_STATES)
        )
        .order_by(PointsEarning.event_id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if row is None:
        return False
    rule = session.get_one(PointsRule, row.rule_id, with_for_update=True, populate_existing=True)
    if row.state is EarningState.DUE:
        _earn(session, rule, row, at=at)
    else:
        _lose(session, rule, row, at=at)
    session.flush()
    return True


def _earn(session: Session, rule: PointsRule, row: PointsEarning, *, at: datetime) -> None:
    try:
        owner = ledger.lock_member(session, row.user_id)
    except MemberGoneError:
        row.state, row.reason = EarningState.NOTHING, GONE_REASON
        return
    earned = _earned_so_far(session, rule, row, identities(session, owner))
    amount, limit = let_through(rule, row.wanted, earned)
    row.reason = limit
    if amount == 0:
        row.state = EarningState.NOTHING
        return
    key = f"{encode_id('prl', rule.id)}:{encode_id('evt', row.event_id)}"
    stamp = Stamp(f"rule:{key}", TransactionKind.EARN, f"rule:{key}", rule.name)
    unit = session.get_one(PointsUnit, rule.unit_id)
    posted = moving.post(session, unit, owner, amount, stamp, at=at)
    row.state, row.amount, row.transaction_id = EarningState.EARNED, amount, posted.id
    _spend(session, rule, amount)


def _earned_so_far(
    session: Session, rule: PointsRule, row: PointsEarning, ids: Sequence[UserId]
) -> Earned:
    is_today = PointsEarning.day == row.day
    apart = timedelta(minutes=rule.cooldown_minutes or 0)
    is_near = (PointsEarning.occurred_at > row.occurred_at - apart) & (
        PointsEarning.occurred_at < row.occurred_at + apart
    )
    today, ever, near = session.execute(
        select(
            func.coalesce(func.sum(PointsEarning.amount).filter(is_today), 0),
            func.coalesce(func.sum(PointsEarning.amount), 0),
            func.count().filter(is_near),
        ).where(
            PointsEarning.rule_id == rule.id,
            PointsEarning.user_id.in_(ids),
            PointsEarning.state.in_(COUNTED),
        )
    ).one()
    is_cooling = rule.cooldown_minutes is not None and near > 0
    return Earned(int(today), int(ever), rule.spent, is_cooling)


def _lose(session: Session, rule: PointsRule, row: PointsEarning, *, at: datetime) -> None:
    assert row.transaction_id is not None  # it had earned something
    try:
        moving.reverse(
            session, row.user_id, row.transaction_id, reason=_REASON, source="event", at=at
        )
    except (InsufficientPointsError, MemberGoneError):
        row.state = EarningState.KEPT
        return
    row.state = EarningState.TAKEN_BACK
    _spend(session, rule, -row.amount)


def _spend(session: Session, rule: PointsRule, amount: int) -> None:
    """By a statement, which makes no new version: nobody edited the rule."""
    session.execute(
        update(PointsRule)
        .where(PointsRule.id == rule.id)
        .values(spent=PointsRule.spent + amount)
        .execution_options(synchronize_session=False)
    )
    session.expire(rule, ["spent"])

"""Earning rules: made, changed, paused, and tried on what happened."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.points import earning
from app.points.errors import RuleChangedError, RuleInvalidError, RuleNotFoundError
from app.points.ledger import MOST
from app.points.limits import Earned, let_through
from app.points.models import PointsUnit
from app.points.rule_models import OPEN_STATES, EarningState, PointsEarning, PointsRule
from app.segments.rules import MOST_FILTERS, Filter
from app.users.models import User, UserState
from core.db import beyond_policies, merchant_of
from core.events import Event
from core.ids import new_id
from core.types import PointsRuleId, PointsUnitId, UserId

MOST_RULES = 100
NAME_LENGTH = 120
TYPE_LENGTH = 100
PROPERTY_LENGTH = 200
LONGEST_COOLDOWN = 525_600
HIGHEST_RATE = Decimal(1_000_000_000)
RATE_PLACES = 6
SPAN = timedelta(days=30)
MOST_TRIED = 100_000
_OWN = "cohort.points."
_RULES_LOCK = 1_025


@dataclass(frozen=True)
class RuleDraft:
    """What a rule shall be.

    Args:
        rate: points an event, whole; or points for each one of `property`.
        property: the number of the event that is multiplied, or None.
        first_day: at the brand, of the events that count; as `last_day` it counts itself.
        budget: of all the rule gives, whenever.
    """

    unit_id: PointsUnitId
    name: str
    event_type: str
    rate: Decimal
    first_day: date
    filters: tuple[Filter, ...] = ()
    property: str | None = None
    member_day_cap: int | None = None
    member_cap: int | None = None
    cooldown_minutes: int | None = None
    budget: int | None = None
    last_day: date | None = None


_CHANGEABLE = (
    *("name", "event_type", "rate", "property", "first_day", "last_day"),
    *("member_day_cap", "member_cap", "cooldown_minutes", "budget"),
)


def create(session: Session, draft: RuleDraft, *, at: datetime) -> PointsRule:
    """Events that are written from now on earn points by this rule.

    Raises:
        RuleInvalidError: the form says where.

    Locks: the merchant's rules, then the reader's cursor if nobody reads.
    """
    _lock_names(session)
    count = session.scalar(select(func.count()).select_from(PointsRule)) or 0
    problems = _problems(session, draft)
    if count >= MOST_RULES:
        problems["name"] = f"There can be {MOST_RULES} rules. Change one that is over."
    if problems:
        raise RuleInvalidError(problems)
    row = _row(draft, at=at)
    session.add(row)
    session.flush()
    earning.begin(session)
    return row


def _row(draft: RuleDraft, *, at: datetime) -> PointsRule:
    return PointsRule(
        id=PointsRuleId(new_id()),
        unit_id=draft.unit_id,
        filters=[it.model_dump(mode="json") for it in draft.filters],
        spent=0,
        is_on=True,
        created_at=at,
        **{name: getattr(draft, name) for name in _CHANGEABLE},
    )


def change(session: Session, row: PointsRule, draft: RuleDraft, *, version: int) -> None:
    """Events that are read from now on earn by the new terms; what was earned stays.

    Args:
        version: that the form was made of.

    Raises:
        RuleInvalidError: the form says where.
        RuleChangedError: there is a newer version.

    Locks: the merchant's rules, then the rule.
    """
    _lock_names(session)
    session.refresh(row, with_for_update=True)
    if row.version != version:
        raise RuleChangedError
    if problems := _problems(session, draft, row):
        raise RuleInvalidError(problems)
    for name in _CHANGEABLE:
        setattr(row, name, getattr(draft, name))
    row.filters = [it.model_dump(mode="json") for it in draft.filters]
    session.flush()


def switch(session: Session, row: PointsRule, *, is_on: bool) -> None:
    """The rule is on, or pauses: what is read meanwhile earns nothing by it, then or later.

    Locks: the rule.
    """
    session.refresh(row, with_for_update=True)
    row.is_on = is_on
    session.flush()


def _lock_names(session: Session) -> None:
    merchant = str(merchant_of(session))
    session.execute(select(func.pg_advisory_xact_lock(_RULES_LOCK, func.hashtext(merchant))))


def _problems(session: Session, draft: RuleDraft, row: PointsRule | None = None) -> dict[str, str]:
    problems = _problems_of_limits(draft)
    if not 1 <= len(draft.name) <= NAME_LENGTH or not draft.name.isprintable():
        problems["name"] = f"1 to {NAME_LENGTH} characters."
    taken = select(PointsRule.id).where(PointsRule.name == draft.name)
    if session.scalar(taken if row is None else taken.where(PointsRule.id != row.id)):
        problems["name"] = "Another rule has this name. Choose another."
    if row is None and session.get(PointsUnit, draft.unit_id) is None:
        problems["unit"] = "Choose the points it gives."
    if not 1 <= len(draft.event_type) <= TYPE_LENGTH or not draft.event_type.isprintable():
        problems["event_type"] = "Name the event, for example custom.order."
    elif draft.event_type.startswith(_OWN):
        problems["event_type"] = "Points cannot earn points. Choose another event."
    if draft.property is not None and not 1 <= len(draft.property) <= PROPERTY_LENGTH:
        problems["property"] = f"1 to {PROPERTY_LENGTH} characters, or none."
    if len(draft.filters) > MOST_FILTERS:
        problems["filters"] = f"At most {MOST_FILTERS} filters."
    return problems


def _problems_of_limits(draft: RuleDraft) -> dict[str, str]:
    problems = {}
    is_whole = draft.rate == draft.rate.to_integral_value()
    if draft.property is None and not (is_whole and 1 <= draft.rate <= HIGHEST_RATE):
        problems["rate"] = f"A whole number from 1 to {HIGHEST_RATE:,}."
    exponent = draft.rate.normalize().as_tuple().exponent
    is_exact = isinstance(exponent, int) and exponent >= -RATE_PLACES
    if draft.property is not None and not (is_exact and 0 < draft.rate <= HIGHEST_RATE):
        problems["rate"] = (
            f"More than 0 and at most {HIGHEST_RATE:,}, with {RATE_PLACES} places at most."
        )
    for name in ("member_day_cap", "member_cap", "budget"):
        value = getattr(draft, name)
        if value is not None and not 1 <= value <= MOST:
            problems[name] = f"A whole number from 1 to {MOST:,}, or nothing."
    cooldown = draft.cooldown_minutes
    if cooldown is not None and not 1 <= cooldown <= LONGEST_COOLDOWN:
        problems["cooldown_minutes"] = f"1 to {LONGEST_COOLDOWN:,} minutes, or nothing."
    if draft.last_day is not None and draft.last_day < draft.first_day:
        problems["last_day"] = "The last day is before the first."
    return problems


def get(session: Session, rule_id: PointsRuleId) -> PointsRule:
    """The rule.

    Raises:
        RuleNotFoundError: this merchant has none with the id.
    """
    row = session.get(PointsRule, rule_id)
    if row is None:
        raise RuleNotFoundError
    return row


def list_all(session: Session) -> Sequence[PointsRule]:
    """Every rule, the newest first."""
    return session.scalars(select(PointsRule).order_by(PointsRule.id.desc())).all()


@dataclass(frozen=True)
class Standing:
    """Events of a rule that are not done with.

    Args:
        waiting: to be settled.
        kept: taken back after their points were spent.
    """

    waiting: int = 0
    kept: int = 0


def standing(session: Session) -> dict[PointsRuleId, Standing]:
    """Of every rule that has such events."""
    counted = select(PointsEarning.rule_id, func.count()).group_by(PointsEarning.rule_id)
    waiting = session.execute(counted.where(PointsEarning.state.in_(OPEN_STATES)))
    kept = session.execute(counted.where(PointsEarning.state == EarningState.KEPT))
    found = [{rule: int(count) for rule, count in rows} for rows in (waiting, kept)]
    return {
        rule: Standing(found[0].get(rule, 0), found[1].get(rule, 0))
        for rule in found[0].keys() | found[1].keys()
    }


@dataclass(frozen=True)
class Trial:
    """What a rule would have given in the last 30 days, had it been there.

    Args:
        wanted: what the events earn by themselves; `given` is what the limits let through.
        is_cut: there are more events; only the first hundred thousand were looked at.
    """

    events: int
    members: int
    wanted: int
    given: int
    is_cut: bool


def try_out(session: Session, draft: RuleDraft, *, at: datetime) -> Trial:
    """The rule on what happened; nothing is written.

    Raises:
        RuleInvalidError: the form says where.
    """
    if problems := _problems_of_limits(draft):
        raise RuleInvalidError(problems)
    merchant, zone = merchant_of(session), earning.zone_of(session)
    rule = _row(draft, at=at)
    rule.merchant_id, rule.first_day, rule.last_day = merchant, date.min, None
    found = earning.matching(rule, zone).where(Event.occurred_at.between(at - SPAN, at)).subquery()
    query = (
        select(func.coalesce(User.merged_into_id, User.id), found.c.day, found.c.wanted)
        .add_columns(found.c.occurred_at)
        .join(User, User.id == found.c.user_id)
        .where(User.merchant_id == merchant, User.state != UserState.ERASED)
        .order_by(found.c.occurred_at, found.c.id)
        .limit(MOST_TRIED + 1)
    )
    with beyond_policies(session):
        rows = session.execute(query).all()
    days: dict[tuple[UserId, date], int] = {}
    members: dict[UserId, int] = {}
    newest: dict[UserId, datetime] = {}
    wanted, given = 0, 0
    apart = timedelta(minutes=rule.cooldown_minutes or 0)
    for user, day, amount, moment in rows[:MOST_TRIED]:
        is_cooling = user in newest and moment - newest[user] < apart
        earned = Earned(days.get((user, day), 0), members.get(user, 0), given, is_cooling)
        through, _ = let_through(rule, amount, earned)
        wanted, given = wanted + amount, given + through
        members[user] = members.get(user, 0) + through
        if through:
            days[user, day] = days.get((user, day), 0) + through
            newest[user] = moment
    return Trial(
        min(len(rows), MOST_TRIED), len(members), wanted, given, is_cut=len(rows) > MOST_TRIED
    )

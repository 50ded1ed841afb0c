"""Conditions on what happened to the member as SQL."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Numeric,
    Select,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    select,
)
from sqlalchemy.orm import aliased

from app.segments import rules
from app.segments.ground import INSTANT, Ground, among, compared, shift
from app.segments.rules import Between, Count, EventCondition, Filter, Last, Op, SinceJoined
from app.users.models import User
from core.events import Event

_DAY = timedelta(days=1)
_JOINED = aliased(User, name="joined")


def of_event(condition: EventCondition, ground: Ground) -> ColumnElement[bool]:
    found = select(Event.user_id).where(
        Event.merchant_id == ground.merchant,
        Event.type == condition.type,
        Event.user_id.is_not(None),
        *_window(condition, ground),
        *(filtered(it) for it in condition.filters),
    )
    if isinstance(condition.window, SinceJoined) and not ground.is_few:
        found = found.join(_JOINED, _JOINED.id == Event.user_id)
    measure, compare = _measure(condition)
    if measure is None:
        return among(found, Event.user_id, ground)
    if ground.is_few:
        each = found.with_only_columns(measure).where(Event.user_id == User.id).correlate(User)
        return compare(each.scalar_subquery())
    if condition.count is not Count.AT_LEAST and condition.aggregate is None:
        # Whoever has none is in no group, so those with too many are left out instead.
        return _rarely(found, condition)
    return User.id.in_(found.group_by(Event.user_id).having(compare(measure)))


def _window(condition: EventCondition, ground: Ground) -> list[ColumnElement[bool]]:
    window = condition.window
    if isinstance(window, Last):
        length = window.length
        return [Event.occurred_at >= ground.moment(lambda it: shift(it.now, -length), INSTANT)]
    if isinstance(window, Between):
        end = ground.begin(window.last + _DAY) if window.last < date.max else None
        bounds = [Event.occurred_at >= ground.begin(window.first)]
        return bounds if end is None else [*bounds, Event.occurred_at < end]
    if isinstance(window, SinceJoined):
        if ground.is_few:
            return [Event.occurred_at >= User.created_at]
        return [Event.occurred_at >= _JOINED.created_at]
    return []


def _measure(
    condition: EventCondition,
) -> tuple[ColumnElement[Any] | None, Callable[[ColumnElement[Any]], ColumnElement[bool]]]:
    """What is counted of the events, or None where one is enough, and what it must be."""
    if condition.aggregate is not None:
        asked = condition.aggregate
        numbers = number(asked.name)
        functions: dict[str, Callable[..., ColumnElement[Any]]] = {
            "sum": func.sum,
            "min": func.min,
            "max": func.max,
        }
        bound = [literal(rules.number_of(asked.value), Numeric())]
        measure = functions[asked.function.value](numbers)
        return measure, lambda it: func.coalesce(compared(asked.op, it, bound), false())
    if condition.count is Count.AT_LEAST and condition.times == 1:
        return None, lambda it: it.is_not(None)
    ops = {Count.AT_LEAST: Op.AT_LEAST, Count.AT_MOST: Op.AT_MOST, Count.EXACTLY: Op.IS}
    times = [literal(condition.times)]
    return func.count(), lambda it: compared(ops[condition.count], it, times)


def _rarely(found: Select[Any], condition: EventCondition) -> ColumnElement[bool]:
    counted = found.group_by(Event.user_id)
    too_often = not_(User.id.in_(counted.having(func.count() > condition.times)))
    if condition.count is Count.AT_MOST:
        return too_often
    if condition.times == 0:
        return too_often
    return User.id.in_(counted.having(func.count() == condition.times))


def filtered(asked: Filter) -> ColumnElement[bool]:
    """True of the events whose property compares so; never NULL."""
    value = Event.data[asked.name].astext
    if asked.op in (Op.LESS, Op.AT_MOST, Op.MORE, Op.AT_LEAST):
        bound = [literal(rules.number_of(asked.value), Numeric())]
        return func.coalesce(compared(asked.op, number(asked.name), bound), false())
    answers: dict[Op, ColumnElement[bool]] = {
        Op.IS: value == asked.value,
        Op.IS_NOT: value.is_distinct_from(asked.value),
        Op.CONTAINS: func.strpos(value, asked.value) > 0,
        Op.IS_SET: value.is_not(None),
        Op.IS_NOT_SET: value.is_(None),
    }
    return answers[asked.op]


def number(name: str) -> ColumnElement[Any]:
    """A number of the event's data; anything else is none."""
    value = Event.data[name]
    is_number = func.jsonb_typeof(value) == "number"
    return case((is_number, cast(value.astext, Numeric())))

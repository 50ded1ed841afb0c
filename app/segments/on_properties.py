"""Conditions on fields of the member as SQL."""

from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Numeric,
    Text,
    and_,
    any_,
    cast,
    extract,
    false,
    func,
    literal,
    not_,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.segments import rules
from app.segments.ground import INSTANT, GoneError, Ground, compared, shift
from app.segments.rules import Op, PropertyCondition
from app.users import slots
from app.users.fields import Field
from app.users.slots import FOLDED, SOUGHT_LENGTH, Kind

_AFTER_ALL = "\U0010ffff"
_DAY = timedelta(days=1)


def of_field(key: str, ground: Ground) -> Field:
    """The field of this name.

    Raises:
        GoneError: there is none any more.
    """
    found = ground.fields.get(key)
    if found is None:
        raise GoneError("A property that the rule names is not there any more.")
    return found


def of_property(condition: PropertyCondition, ground: Ground) -> ColumnElement[bool]:
    found = of_field(condition.field, ground)
    if condition.op is Op.IS_SET:
        return found.sought.is_not(None)
    if condition.op is Op.IS_NOT_SET:
        return found.sought.is_(None)
    if condition.op in (Op.IS_NOT, Op.NOT_CONTAINS):
        positive = Op.IS if condition.op is Op.IS_NOT else Op.CONTAINS
        asked = condition.model_copy(update={"op": positive})
        return or_(found.sought.is_(None), not_(_of_kind(asked, found, ground)))
    # Not NULL where there is no value, so that what is around it may negate it.
    return and_(found.sought.is_not(None), _of_kind(condition, found, ground))


def _of_kind(condition: PropertyCondition, found: Field, ground: Ground) -> ColumnElement[bool]:
    if found.kind is Kind.TEXT:
        return _text(condition, found)
    if found.kind is Kind.NUMBER:
        numbers = [rules.number_of(it) for it in condition.value]
        return compared(condition.op, found.sought, [literal(it, Numeric()) for it in numbers])
    if found.kind is Kind.BOOLEAN:
        return found.sought.is_(true() if condition.op is Op.TRUE else false())
    return _date(condition, found, ground)


def _text(condition: PropertyCondition, found: Field) -> ColumnElement[bool]:
    texts = [found.normalise(it) for it in condition.value]
    column, text = cast(found.sought, FOLDED), texts[0]
    if condition.op is Op.CONTAINS:
        return func.strpos(column, text) > 0
    if condition.op is Op.ENDS_WITH:
        return func.right(column, len(text)) == text if text else true()
    key = slots.beginning(found.sought) if found.is_cut else found.sought
    if condition.op is Op.STARTS_WITH:
        return and_(_begins(key, text[:SOUGHT_LENGTH]), _begins(column, text))
    heads = sorted({it[:SOUGHT_LENGTH] for it in texts})
    if not found.is_cut:
        return key == text if len(texts) == 1 else key == any_(_array(texts))
    if len(texts) == 1:
        is_short = len(text) < SOUGHT_LENGTH
        return key == text if is_short else and_(key == heads[0], column == text)
    return and_(key == any_(_array(heads)), column == any_(_array(texts)))


def _array(texts: list[str]) -> ColumnElement[Any]:
    return cast(texts, ARRAY(Text))


def _begins(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """A prefix match that uses an index."""
    return and_(column >= text, column < text + _AFTER_ALL)


def _date(condition: PropertyCondition, found: Field, ground: Ground) -> ColumnElement[bool]:
    column, op = found.sought, condition.op
    if op is Op.ANNIVERSARY_IN_NEXT:
        return _anniversary(column, found, ground, condition.days)
    if op in rules.BY_DAYS:
        then, with_time = timedelta(days=condition.days), found.with_time

        def at(by: timedelta) -> ColumnElement[Any]:
            return ground.moment(lambda it: shift(it.now if with_time else it.today, by), INSTANT)

        if op is Op.IN_LAST:
            return column.between(at(-then), at(timedelta()))
        if op is Op.IN_NEXT:
            return column.between(at(timedelta()), at(then))
        return column < at(-then)
    days = [rules.day_of(it) for it in condition.value]
    begins = [ground.begin(it.date()) for it in days] if found.with_time else days
    following = [shift(it, _DAY) for it in days]
    ends = [ground.begin(it.date()) for it in following] if found.with_time else following
    if op is Op.BEFORE:
        return column < begins[0]
    if op is Op.AFTER:
        return column >= ends[0]
    return and_(column >= begins[0], column < ends[-1])


def _anniversary(
    column: ColumnElement[Any], found: Field, ground: Ground, days: int
) -> ColumnElement[bool]:
    """The day returns between today and so many days later; 29 February returns on 28 February."""
    local = func.timezone(ground.zone.key if found.with_time else "UTC", column)
    day = cast(extract("month", local) * _MONTH + extract("day", local), Integer)
    wanted = ground.moment(lambda it: _returning(it.today.date(), days), ARRAY(Integer))
    return day == any_(wanted)


_MONTH = 100
_LEAP_DAY, _BEFORE_LEAP_DAY = 229, 228


def _returning(today: date, days: int) -> list[int]:
    """The days of the year, as month and day in one number, that return so soon."""
    coming = [today + it * _DAY for it in range(min(days, _A_YEAR) + 1)]
    found = {it.month * _MONTH + it.day for it in coming}
    if any(_stands_in(it) for it in coming):
        found.add(_LEAP_DAY)
    return sorted(found)


_A_YEAR = 366


def _stands_in(day: date) -> bool:
    """Whether it is the 28 February of a year without a 29th."""
    is_last = day.month * _MONTH + day.day == _BEFORE_LEAP_DAY
    return is_last and (day + _DAY).month != day.month

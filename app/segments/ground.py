"""What rules are decided on, and what the spellings of all conditions share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BindParameter, ColumnElement, DateTime, Select, bindparam, exists
from sqlalchemy.types import TypeEngine

from app.segments.rules import Op, Rule
from app.users.fields import Field
from app.users.models import User
from core.types import MerchantId, SegmentId, UserId

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


INSTANT = DateTime(timezone=True)
Moment = tuple[BindParameter[Any], "Callable[[Ground], Any]"]


@dataclass(frozen=True)
class Ground:
    """What a rule is decided on.

    Args:
        zone: of the brand; days begin and end there.
        known: every segment's rule, for rules that name them.
        is_few: members are given, and each looks for its own rows.
        moments: where what depends on now is written down, so that a statement can be asked again.
    """

    merchant: MerchantId
    fields: Mapping[str, Field]
    now: datetime
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    known: Mapping[SegmentId, Rule] = field(default_factory=dict)
    is_few: bool = False
    moments: list[Moment] = field(default_factory=list, compare=False)

    @cached_property
    def today(self) -> datetime:
        """The day it is at the brand, as its midnight in UTC."""
        return _midnight(self.now.astimezone(self.zone).date())

    def moment(self, of: "Callable[[Ground], Any]", kind: TypeEngine[Any]) -> BindParameter[Any]:
        """A parameter whose value depends on now."""
        parameter = bindparam("moment", of(self), kind, unique=True)
        self.moments.append((parameter, of))
        return parameter

    def of_few(self) -> "Ground":
        """The same, for members that are given."""
        return replace(self, is_few=True, moments=[])

    def begin(self, day: date) -> datetime:
        """When a day begins at the brand."""
        try:
            return datetime.combine(day, time(), self.zone).astimezone(UTC)
        except OverflowError:
            return FIRST if day.year == 1 else LAST


class GoneError(Exception):
    """The rule names something that is not there any more; the message says what."""


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def shift(moment: datetime, by: timedelta) -> datetime:
    """The moment so much later, or the first or last there is."""
    try:
        return moment + by
    except OverflowError:
        return FIRST if by < timedelta() else LAST


def compared(
    op: Op, column: ColumnElement[Any], bounds: Sequence[ColumnElement[Any]]
) -> ColumnElement[bool]:
    if op is Op.BETWEEN:
        return column.between(bounds[0], bounds[1])
    comparisons: dict[Op, Callable[[Any], ColumnElement[bool]]] = {
        Op.IS: column.__eq__,
        Op.LESS: column.__lt__,
        Op.AT_MOST: column.__le__,
        Op.MORE: column.__gt__,
        Op.AT_LEAST: column.__ge__,
    }
    return comparisons[op](bounds[0])


def among(
    found: Select[UserId | None], user: ColumnElement[Any] | Any, ground: Ground
) -> ColumnElement[bool]:
    """The member is in a set: made once of all, or asked for each of few."""
    if ground.is_few:
        return exists(found.where(user == User.id).correlate(User))
    return User.id.in_(found)

"""What a segment asks of a member: groups joined by OR, conditions inside a group by AND. Pure.

A rule says nothing of how it is decided; `app.segments.compile` makes SQL of it. What a condition
says of a value that is not there is one sentence: nothing is true of it but that it is not set, and
a negative operator is the negation of the positive one.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.users import values
from app.users.errors import ValueInvalidError
from app.users.fields import Field as UserField
from app.users.slots import Kind
from core.types import AssetId, BadgeId, CampaignId, ListId, SegmentId

MOST_GROUPS = 20
MOST_CONDITIONS = 20
MOST_CHOICES = 1_000
MOST_FILTERS = 10
MOST_TIMES = 10_000
LONGEST_DAYS = 36_500
DEEPEST = 10


class Op(StrEnum):
    """How a value is compared."""

    IS = "is"
    IS_NOT = "is_not"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    ONE_OF = "one_of"
    LESS = "less"
    AT_MOST = "at_most"
    MORE = "more"
    AT_LEAST = "at_least"
    BETWEEN = "between"
    ON = "on"
    BEFORE = "before"
    AFTER = "after"
    IN_LAST = "in_last"
    IN_NEXT = "in_next"
    MORE_THAN_AGO = "more_than_ago"
    ANNIVERSARY_IN_NEXT = "anniversary_in_next"
    TRUE = "true"
    FALSE = "false"
    IS_SET = "is_set"
    IS_NOT_SET = "is_not_set"


_PRESENCE = (Op.IS_SET, Op.IS_NOT_SET)
OPERATORS = {
    Kind.TEXT: (
        *(Op.IS, Op.IS_NOT, Op.CONTAINS, Op.NOT_CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH),
        *(Op.ONE_OF, *_PRESENCE),
    ),
    Kind.NUMBER: (
        *(Op.IS, Op.IS_NOT, Op.LESS, Op.AT_MOST, Op.MORE, Op.AT_LEAST, Op.BETWEEN),
        *_PRESENCE,
    ),
    Kind.DATE: (
        *(Op.ON, Op.BEFORE, Op.AFTER, Op.BETWEEN, Op.IN_LAST, Op.IN_NEXT, Op.MORE_THAN_AGO),
        *(Op.ANNIVERSARY_IN_NEXT, *_PRESENCE),
    ),
    Kind.BOOLEAN: (Op.TRUE, Op.FALSE, *_PRESENCE),
}
"""What can be asked of each kind of value."""

BY_DAYS = (Op.IN_LAST, Op.IN_NEXT, Op.MORE_THAN_AGO, Op.ANNIVERSARY_IN_NEXT)
WITHOUT_VALUE = (Op.TRUE, Op.FALSE, *_PRESENCE)

Text = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
Days = Annotated[int, Field(ge=0, le=LONGEST_DAYS)]
Times = Annotated[int, Field(ge=0, le=MOST_TIMES)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PropertyCondition(_Model):
    """A field of the member compares so.

    Args:
        value: one value as text, two for `between`, up to 1,000 for `one_of`, days for what is
            relative to now; none where the operator needs none.
    """

    kind: Literal["property"] = "property"
    field: Text
    op: Op
    value: tuple[Text, ...] = Field(default=(), max_length=MOST_CHOICES)

    @model_validator(mode="after")
    def _has_what_the_operator_needs(self) -> Self:
        wanted = {Op.BETWEEN: 2}.get(self.op, 0 if self.op in WITHOUT_VALUE else 1)
        count = len(self.value)
        if count < wanted or (count > wanted and self.op is not Op.ONE_OF):
            needed = ("This comparison takes no value.", "Enter a value.", "Enter two values.")
            raise ValueError(needed[wanted])
        if self.op in BY_DAYS and not (self.value[0].isascii() and self.value[0].isdigit()):
            raise ValueError("Enter how many days, as a whole number.")
        if self.op in BY_DAYS and int(self.value[0][:9]) > LONGEST_DAYS:
            raise ValueError(f"Enter at most {LONGEST_DAYS:,} days.")
        return self

    @property
    def days(self) -> int:
        """Of an operator relative to now."""
        return int(self.value[0])


class Unit(StrEnum):
    """Of a window of time."""

    HOURS = "hours"
    DAYS = "days"


class Ever(_Model):
    """Whenever it happened."""

    kind: Literal["ever"] = "ever"


class Last(_Model):
    """It happened at most so long ago."""

    kind: Literal["last"] = "last"
    amount: Annotated[int, Field(ge=1, le=LONGEST_DAYS)]
    unit: Unit = Unit.DAYS

    @property
    def length(self) -> timedelta:
        """As a span of time."""
        return timedelta(**{self.unit.value: self.amount})


class Between(_Model):
    """It happened from the first day to the last, in the brand's time zone."""

    kind: Literal["between"] = "between"
    first: date
    last: date


class SinceJoined(_Model):
    """It happened after the member joined."""

    kind: Literal["since_joined"] = "since_joined"


Window = Annotated[Ever | Last | Between | SinceJoined, Field(discriminator="kind")]

FILTER_OPERATORS = (
    *(Op.IS, Op.IS_NOT, Op.CONTAINS, Op.LESS, Op.AT_MOST, Op.MORE, Op.AT_LEAST),
    *(Op.IS_SET, Op.IS_NOT_SET),
)
_OF_NUMBERS = (Op.LESS, Op.AT_MOST, Op.MORE, Op.AT_LEAST)


class Filter(_Model):
    """A property of the event compares so: texts exactly, numbers by value."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    op: Op
    value: Annotated[str, StringConstraints(max_length=2_000)] = ""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.op not in FILTER_OPERATORS:
            raise ValueError("Events cannot be compared like this.")
        if self.op in _OF_NUMBERS:
            number_of(self.value)
        return self


AGGREGATE_OPERATORS = (Op.LESS, Op.AT_MOST, Op.MORE, Op.AT_LEAST, Op.IS)


class Function(StrEnum):
    """What many numbers become."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"


class Aggregate(_Model):
    """A number of all events together compares so; without any, nothing is true of it."""

    function: Function
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    op: Literal[Op.LESS, Op.AT_MOST, Op.MORE, Op.AT_LEAST, Op.IS]
    value: str

    @model_validator(mode="after")
    def _is_a_number(self) -> Self:
        number_of(self.value)
        return self


class Count(StrEnum):
    """How a count of events is compared."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    EXACTLY = "exactly"


class EventCondition(_Model):
    """Something happened to the member so many times, or did not."""

    kind: Literal["event"] = "event"
    type: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    is_done: bool = True
    count: Count = Count.AT_LEAST
    times: Times = 1
    window: Window = Ever()
    filters: tuple[Filter, ...] = Field(default=(), max_length=MOST_FILTERS)
    aggregate: Aggregate | None = None

    @model_validator(mode="after")
    def _counts_something(self) -> Self:
        if self.count is Count.AT_LEAST and self.times == 0:
            raise ValueError("At least 0 times is always true. Enter 1 or more.")
        return self


class ListCondition(_Model):
    """The member is on a list, or not."""

    kind: Literal["list"] = "list"
    id: ListId
    is_in: bool = True


class SegmentCondition(_Model):
    """The member meets another segment's rule, or not."""

    kind: Literal["segment"] = "segment"
    id: SegmentId
    is_in: bool = True


class BadgeCondition(_Model):
    """The member has a badge, or not."""

    kind: Literal["badge"] = "badge"
    id: BadgeId
    is_in: bool = True


class AssetCondition(_Model):
    """The member owns so many of a digital asset, or fewer."""

    kind: Literal["asset"] = "asset"
    id: AssetId
    times: Annotated[int, Field(ge=1, le=MOST_TIMES)] = 1
    is_in: bool = True


class CampaignCondition(_Model):
    """The member received something from an airdrop, or nothing."""

    kind: Literal["campaign"] = "campaign"
    id: CampaignId
    is_in: bool = True


class PassCondition(_Model):
    """The member's pass is active, or not."""

    kind: Literal["pass"] = "pass"
    is_in: bool = True


class ConsentCondition(_Model):
    """The member agreed to a purpose and did not take it back, or not."""

    kind: Literal["consent"] = "consent"
    purpose: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    is_in: bool = True


Condition = Annotated[
    PropertyCondition
    | EventCondition
    | ListCondition
    | SegmentCondition
    | BadgeCondition
    | AssetCondition
    | CampaignCondition
    | PassCondition
    | ConsentCondition,
    Field(discriminator="kind"),
]


class Group(_Model):
    """All of its conditions are met."""

    conditions: tuple[Condition, ...] = Field(min_length=1, max_length=MOST_CONDITIONS)


class Rule(_Model):
    """One of its groups is met."""

    groups: tuple[Group, ...] = Field(min_length=1, max_length=MOST_GROUPS)

    def conditions(self) -> Iterator[Condition]:
        """Every condition of every group."""
        for group in self.groups:
            yield from group.conditions

    def dump(self) -> dict[str, Any]:
        """The rule as JSON."""
        return self.model_dump(mode="json")


def load(rule: dict[str, Any]) -> Rule:
    """The rule that was dumped."""
    return Rule.model_validate(rule)


def number_of(text: str) -> Decimal:
    """The number behind a text.

    Raises:
        ValueError: it is none.
    """
    try:
        number = values.parse(text, Kind.NUMBER)
    except ValueInvalidError as error:
        raise ValueError(str(error)) from None
    assert isinstance(number, Decimal)
    return number


def problem_with(condition: PropertyCondition, field: UserField) -> str | None:
    """Why the condition cannot be asked of the field, or None."""
    if condition.op not in OPERATORS[field.kind]:
        return f"“{field.name}” cannot be compared like this."
    if condition.op in (*BY_DAYS, *WITHOUT_VALUE) or field.kind is Kind.TEXT:
        return None
    try:
        for text in condition.value:
            # Dates are compared by days, also those that carry a time.
            values.parse(text, field.kind)
    except ValueInvalidError as error:
        return str(error)
    return None


def day_of(text: str) -> datetime:
    """The day behind a text, as its midnight in UTC."""
    day = values.parse(text, Kind.DATE)
    assert isinstance(day, datetime)
    return day


def referenced(rule: Rule) -> set[SegmentId]:
    """The segments whose rules this one reads."""
    return {it.id for it in rule.conditions() if isinstance(it, SegmentCondition)}


def cycle(start: SegmentId, rules: dict[SegmentId, Rule]) -> list[SegmentId] | None:
    """The way from a segment back to itself, or None.

    Args:
        rules: every segment's rule, the start's as it shall be.
    """
    ways: list[list[SegmentId]] = [[start]]
    seen: set[SegmentId] = set()
    while ways:
        way = ways.pop()
        for target in sorted(referenced(rules[way[-1]]) & rules.keys()):
            if target == start:
                return [*way, start]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None


def depth(segment: SegmentId, rules: dict[SegmentId, Rule]) -> int:
    """How many rules are inside each other, itself counted; there is no cycle."""
    targets = referenced(rules[segment]) & rules.keys()
    return 1 + max((depth(it, rules) for it in targets), default=0)

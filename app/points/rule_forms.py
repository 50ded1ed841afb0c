"""An earning rule as somebody types it: a form's fields to a draft and back. Pure."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from app.points.errors import RuleInvalidError
from app.points.rule_models import PointsRule
from app.points.rules import RuleDraft
from app.segments.rules import MOST_FILTERS, Filter, Op
from app.users import values
from app.users.errors import ValueInvalidError
from app.users.slots import Kind
from core.ids import UnknownIdentifierError, decode_id, encode_id
from core.types import PointsUnitId

_LENGTH = 2_000
_FILTER = ("name", "op", "value")
_TEXTS = ("name", "event_type", "property")
_NUMBERS = ("member_day_cap", "member_cap", "cooldown_minutes", "budget")
_DAYS = ("first_day", "last_day")
FIELDS = ("unit", "rate", "version", *_TEXTS, *_NUMBERS, *_DAYS)
_NO_UNIT = PointsUnitId(UUID(int=0))
_NO_NUMBER = 0

Typed = dict[str, Any]
"""Every field as text, and `filters` as rows of name, op and value."""


def read(form: Mapping[str, Any]) -> Typed:
    """What was typed; empty rows of filters are none."""
    typed: Typed = {name: _text(form, name) for name in FIELDS}
    rows = [
        {part: _text(form, f"filters.{number}.{part}") for part in _FILTER}
        for number in range(MOST_FILTERS)
    ]
    typed["filters"] = [it for it in rows if it["name"] or it["value"]]
    return typed


def _text(form: Mapping[str, Any], name: str) -> str:
    value = form.get(name, "")
    return value[:_LENGTH].replace("\0", "").strip() if isinstance(value, str) else ""


def draft_of(typed: Typed) -> RuleDraft:
    """What the rule shall be; a number that is none is 0, which no rule has.

    Raises:
        RuleInvalidError: a day or a filter is none; the form says where.
    """
    problems: dict[str, str] = {}
    days = {name: _day(typed[name], name, problems) for name in _DAYS}
    filters = [_filter(row, number, problems) for number, row in enumerate(typed["filters"])]
    if not typed["first_day"]:
        problems["first_day"] = "Choose the first day whose events count."
    if problems:
        raise RuleInvalidError(problems)
    return RuleDraft(
        unit_id=_unit(typed["unit"]),
        name=typed["name"],
        event_type=typed["event_type"],
        rate=_rate(typed["rate"]),
        first_day=days["first_day"] or date.min,
        last_day=days["last_day"],
        filters=tuple(it for it in filters if it is not None),
        property=typed["property"] or None,
        **{name: _whole(typed[name]) for name in _NUMBERS},
    )


def typed_of(rule: PointsRule) -> Typed:
    """The rule as it would be typed."""
    typed: Typed = {name: _word(getattr(rule, name)) for name in (*_TEXTS, *_NUMBERS, *_DAYS)}
    return typed | {
        "unit": encode_id("pun", rule.unit_id),
        "rate": rate_text(rule.rate),
        "version": str(rule.version),
        "filters": [{part: it.get(part, "") for part in _FILTER} for it in rule.filters],
    }


def rate_text(rate: Decimal) -> str:
    """The rate without the zeros behind it."""
    return format(rate.normalize(), "f")


def version_of(typed: Typed) -> int:
    """Which version the form was made of; 0 of none."""
    return _whole(typed["version"]) or 0


def _word(value: object) -> str:
    return "" if value is None else str(value)


def _unit(text: str) -> PointsUnitId:
    with suppress(UnknownIdentifierError):
        return PointsUnitId(decode_id("pun", text))
    return _NO_UNIT


def _rate(text: str) -> Decimal:
    with suppress(ValueInvalidError):
        number = values.parse(text, Kind.NUMBER)
        assert isinstance(number, Decimal)
        return number
    return Decimal(_NO_NUMBER)


def _whole(text: str) -> int | None:
    if not text:
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= 15
    return int(text) if is_number else _NO_NUMBER


def _day(text: str, name: str, problems: dict[str, str]) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        problems[name] = "Enter a day such as 2026-12-31."
        return None


def _filter(row: dict[str, str], number: int, problems: dict[str, str]) -> Filter | None:
    op = row["op"] if row["op"] in set(Op) else Op.IS
    try:
        return Filter(name=row["name"], op=Op(op), value=row["value"])
    except ValidationError as error:
        said = error.errors()[0]
        is_named = said["loc"] == ("name",)
        sentence = (
            "Name the property." if is_named else str(said["msg"]).removeprefix("Value error, ")
        )
        problems[f"filters.{number}.name"] = f"Filter {number + 1}: {sentence}"
        return None

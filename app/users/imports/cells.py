"""What one cell says for one field, or what is wrong with it. Pure; columns decide the same."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from zoneinfo import available_timezones

from app.accounts.emails import EmailInvalidError, email_key
from app.users import values
from app.users.errors import ValueInvalidError
from app.users.fields import Field
from app.users.imports import event_fields
from app.users.slots import Kind
from app.users.values import Value

LENGTHS = {
    "first_name": 100,
    "last_name": 100,
    "reference_id": 128,
    event_fields.ID: event_fields.ID_LENGTH,
}
CODES = {"lang": "language", "country": "country"}
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_PHONE_MARKS = str.maketrans("", "", " -().")
_DATE = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2([0-9]{4})")


@dataclass(frozen=True)
class Reading:
    """How people write in this file.

    Args:
        decimal: the mark before the decimal places, `.` or `,`.
        date_order: `dmy` or `mdy` where a day cannot be told from a month; None refuses those.
        latest: when an event can have happened at the latest; it is never stored.
    """

    decimal: str = "."
    date_order: str | None = None
    latest: datetime | None = None


def parse(field: Field, text: str, reading: Reading = Reading()) -> Value:
    """The value in a cell that is not empty, without spaces around it.

    Raises:
        ValueInvalidError: it is none; `problem` names the reason.
    """
    if field.key == "email":
        return _email(text)
    if field.key == event_fields.TIME:
        return _happened_at(text, reading)
    if field.kind is Kind.NUMBER:
        return values.parse(plain_number(text, reading), field.kind)
    if field.kind is Kind.DATE:
        return _date(text, reading, with_time=field.with_time)
    if field.key in event_fields.TEXTS:
        return event_fields.TEXTS[field.key](text)
    if field.kind is Kind.BOOLEAN or (is_free_text(field) and field.key not in LENGTHS):
        return values.parse(text, field.kind)
    return _core(field.key, text)


def is_free_text(field: Field) -> bool:
    """Whether nothing but its length is asked of the field's texts."""
    is_own = field.property_id is not None or event_fields.is_property(field.key)
    return field.kind is Kind.TEXT and (is_own or field.key in LENGTHS)


def plain_number(text: str, reading: Reading) -> str:
    """With a point before the decimal places, and nothing between thousands."""
    return text.replace(".", "").replace(",", ".") if reading.decimal == "," else text


def _email(text: str) -> str:
    try:
        email_key(text)
    except EmailInvalidError:
        raise ValueInvalidError(
            "Enter an address such as name@example.com.", "email_invalid"
        ) from None
    return text


def _core(key: str, text: str) -> str:
    if key in LENGTHS:
        if len(text) > LENGTHS[key]:
            raise ValueInvalidError(f"It has at most {LENGTHS[key]} characters.", "value_too_long")
        return text
    if key in CODES:
        if not (len(text) == len("xx") and text.isalpha() and text.isascii()):
            raise ValueInvalidError(f"Enter the two letters of the {CODES[key]}.")
        return text.lower() if key == "lang" else text.upper()
    if key == "phone":
        plain = text.translate(_PHONE_MARKS)
        if not _PHONE.fullmatch(plain):
            raise ValueInvalidError("Enter a number with its country, such as +4930123456.")
        return plain
    if text not in _zones():
        raise ValueInvalidError("Enter a time zone such as Europe/Paris.")
    return text


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _happened_at(text: str, reading: Reading) -> datetime:
    moment = _date(text, reading, with_time=True)
    if reading.latest is not None and moment > reading.latest:
        raise ValueInvalidError("An event cannot lie in the future.", "time_in_future")
    return moment


def _date(text: str, reading: Reading, *, with_time: bool) -> datetime:
    day, separator, hour = text.partition(" ")
    found = _DATE.fullmatch(day)
    if found is None or (hour and not with_time):
        parsed = values.parse(text, Kind.DATE, with_time=with_time)
        assert isinstance(parsed, datetime)
        return parsed.astimezone(UTC)
    first, second, year = int(found[1]), int(found[3]), int(found[4])
    order = "dmy" if found[2] == "." else reading.date_order or _order(first, second)
    month, date = (second, first) if order == "dmy" else (first, second)
    iso = f"{year:04}-{month:02}-{date:02}{separator}{hour}"
    parsed = values.parse(iso, Kind.DATE, with_time=with_time)
    assert isinstance(parsed, datetime)
    return parsed


def _order(first: int, second: int) -> str:
    """Which of two numbers is the month, if only one can be."""
    months = 12
    if first != second and first <= months and second <= months:
        raise ValueInvalidError(
            "Day and month cannot be told apart. Say for the whole file which comes first.",
            "date_ambiguous",
        )
    return "mdy" if second > months else "dmy"

"""One value of a property: from what somebody typed to what is stored, and back. Pure."""

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from app.users.errors import ValueInvalidError
from app.users.slots import Kind

TEXT_LENGTH = 2_000
NUMBER_DIGITS = 28
NUMBER_PLACES = 10
_TRUE = frozenset(("true", "yes", "1", "y", "on"))
_FALSE = frozenset(("false", "no", "0", "n", "off"))

Value = str | Decimal | bool | datetime


def parse(text: str, kind: Kind, *, with_time: bool = False, zone: ZoneInfo | None = None) -> Value:
    """The value behind a text; a calendar date is stored as its midnight in UTC.

    Args:
        zone: what a time without an offset is in.

    Raises:
        ValueInvalidError: it is none; the sentence says what would be one.
    """
    if kind is Kind.TEXT:
        return _text(text)
    if kind is Kind.NUMBER:
        return _number(text)
    if kind is Kind.BOOLEAN:
        return _boolean(text)
    return _moment(text, zone or ZoneInfo("UTC")) if with_time else _date(text)


def show(value: Value, kind: Kind, *, with_time: bool = False) -> str:
    """The value as it is written to a file, which `parse` reads again."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        plain = format(value, "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        if kind is Kind.DATE and not with_time:
            return moment.date().isoformat()
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _text(text: str) -> str:
    if len(text) > TEXT_LENGTH:
        raise ValueInvalidError(f"A text has at most {TEXT_LENGTH:,} characters.", "value_too_long")
    if "\0" in text:
        raise ValueInvalidError("A text cannot hold a NUL character.")
    return text


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        raise ValueInvalidError("Enter a number such as 12 or 3.5.") from None
    if not number.is_finite():
        raise ValueInvalidError("Enter a number such as 12 or 3.5.")
    number = number.normalize()
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # it is finite
    before = max(len(digits) + exponent, 0)
    if max(-exponent, 0) > NUMBER_PLACES or before > NUMBER_DIGITS - NUMBER_PLACES:
        raise ValueInvalidError(
            f"A number has at most {NUMBER_DIGITS - NUMBER_PLACES} digits before the point and "
            f"{NUMBER_PLACES} after it."
        )
    return number


def _boolean(text: str) -> bool:
    plain = text.strip().casefold()
    if plain in _TRUE:
        return True
    if plain in _FALSE:
        return False
    raise ValueInvalidError("Enter true or false.")


def _date(text: str) -> datetime:
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise ValueInvalidError("Enter a date as year-month-day, such as 2026-03-31.") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _moment(text: str, zone: ZoneInfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueInvalidError("Enter a date with a time, such as 2026-03-31 14:30.") from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    try:
        return aware.astimezone(UTC)
    except OverflowError:
        raise ValueInvalidError("The date lies outside the years 1 to 9999.") from None

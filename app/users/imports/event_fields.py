"""What a row of a file of events says: who, when, what, and what else is known of it.

Names of a brand's own events begin with `custom.`; that beginning is written by SQL and never read
from a file, so no file can tell of what only the product itself tells of.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime, Numeric, Text, column
from sqlalchemy.types import TypeEngine

from app.users.errors import ValueInvalidError
from app.users.fields import CORE, Field
from app.users.imports.errors import MappingInvalidError
from app.users.slots import Kind, letter
from core.errors import NotFoundError
from core.ids import decode_id

PREFIX = "custom."
USER, TIME, TYPE, ID, DATA = "user_id", "event_time", "event_type", "event_id", "properties"
WHO = ("email", "reference_id", USER)
"""Fields that say whom an event is of; a file uses one of them."""
DATA_BYTES = 16_384
ID_LENGTH = 255
NAME_LENGTH = 60
COLUMN_TYPES = {TIME: "timestamptz", USER: "uuid", DATA: "jsonb"}
"""SQL types of the columns that are not text."""

_OWN = "property"
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,59}")
_RESERVED = ("cohort", "custom")
_EXPONENT = 1_000
"""Of a number in JSON; PostgreSQL holds a hundred times more."""


def _field(key: str, name: str, kind: Kind = Kind.TEXT) -> Field:
    where = column(key, DateTime(timezone=True) if kind is Kind.DATE else Text())
    return Field(key, name, kind, where, where, normalise=str.strip, with_time=kind is Kind.DATE)


FIELDS = {
    "email": CORE["email"],
    "reference_id": CORE["reference_id"],
    USER: _field(USER, "User ID"),
    TIME: _field(TIME, "Event time", Kind.DATE),
    TYPE: _field(TYPE, "Event type"),
    ID: _field(ID, "Event ID"),
    DATA: _field(DATA, "Properties as JSON"),
}
SPELLINGS = {
    "email": ("email", "emailaddress", "mail"),
    "reference_id": ("referenceid", "customerid"),
    USER: ("userid", "user"),
    TIME: ("eventtime", "time", "timestamp", "date", "datetime", "occurredat"),
    TYPE: ("eventtype", "eventname", "event", "type"),
    ID: ("eventid", "externalid"),
    DATA: ("properties", "data", "payload"),
}
"""Names of columns, as `mapping` compares them."""
_TYPES: dict[Kind, TypeEngine[Any]] = {
    Kind.TEXT: Text(),
    Kind.NUMBER: Numeric(),
    Kind.DATE: DateTime(timezone=True),
}


def property_key(kind: Kind, name: str) -> str:
    """The key of a column that becomes a property of the event."""
    return f"{_OWN}:{kind}:{name}"


def is_property(key: str) -> bool:
    """Whether the key is one of `property_key`."""
    return key.startswith(f"{_OWN}:")


def property_of(key: str) -> tuple[Kind, str]:
    """Kind and name of the property behind a key."""
    _, kind, name = key.split(":", 2)
    return Kind(kind), name


def known(mapping: Mapping[Any, str]) -> dict[str, tuple[Field, str]]:
    """The fields of events by key, and the properties this mapping names, with labels."""
    found = {key: (field, key) for key, field in FIELDS.items()}
    for position, key in mapping.items():
        if is_property(key):
            kind, name = property_of(key)
            # Its place names the column of the part: what somebody typed is never an identifier.
            where: Any = column(f"{letter(kind)}{int(position)}", _TYPES.get(kind))
            field = Field(key, name, kind, where, where, with_time=kind is Kind.DATE)
            found[key] = field, name
    return found


def check(mapping: Mapping[int, str], event_type: str | None) -> None:
    """The mapping says who, when and what.

    Args:
        event_type: of all rows, where no column says it.

    Raises:
        MappingInvalidError: the sentence says what is missing.
    """
    keys = list(mapping.values())
    if sum(key in WHO for key in keys) != 1:
        raise MappingInvalidError(
            "Choose one column that says whom an event is of: email, reference ID or user ID."
        )
    if TIME not in keys:
        raise MappingInvalidError("Choose which column says when an event happened.")
    if (TYPE in keys) == bool(event_type):
        raise MappingInvalidError(
            "Choose which column says what happened, or enter one event type for all rows."
        )
    if event_type:
        try:
            TEXTS[TYPE](event_type)
        except ValueInvalidError as error:
            raise MappingInvalidError(f"The event type cannot be used. {error}") from None
    _check_names([property_of(key)[1] for key in keys if is_property(key)])


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
            raise MappingInvalidError(
                f"A property of events has a name of 1 to {NAME_LENGTH} printable characters."
            )
        if names.count(name) > 1:
            raise MappingInvalidError(f"Two columns become the property “{name}”.")


def plain_type(text: str) -> str:
    """The name of an event type without its beginning.

    Raises:
        ValueInvalidError: it is none, or one of the product's own.
    """
    name = text.strip().removeprefix(PREFIX)
    if name.split(".")[0] in _RESERVED:
        raise ValueInvalidError(
            "Names that begin with “cohort” or “custom” are the product's own. Use another one.",
            "type_reserved",
        )
    if not _NAME.fullmatch(name):
        raise ValueInvalidError(
            "Use small letters, digits, dots, - and _, a letter first, 60 at most.", "type_invalid"
        )
    return name


def _user_id(text: str) -> str:
    try:
        return str(decode_id("usr", text))
    except NotFoundError:
        raise ValueInvalidError("Enter the ID of a user, which begins with usr_.") from None


def _data(text: str) -> str:
    """The text of a JSON object that PostgreSQL takes."""
    if len(text.encode()) > DATA_BYTES:
        raise ValueInvalidError(
            f"The properties of one event hold {DATA_BYTES:,} bytes at most.", "value_too_long"
        )
    try:
        found = json.loads(text, parse_constant=_no_constant, parse_float=_number)
        if not isinstance(found, dict):
            raise ValueError
        _check_texts(found)
    except (ValueError, ArithmeticError, RecursionError):
        raise ValueInvalidError('Enter a JSON object such as {"amount": 12.5}.') from None
    return text


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if abs(number.adjusted()) > _EXPONENT:
        raise ValueError(text)
    return number


def _check_texts(found: Any) -> None:
    """No text holds a NUL character or half a character."""
    waiting = [found]
    while waiting:
        it = waiting.pop()
        if isinstance(it, dict):
            waiting += [*it.keys(), *it.values()]
        elif isinstance(it, list):
            waiting += it
        elif isinstance(it, str) and b"\0" in it.encode():
            raise ValueError(it)


TEXTS: dict[str, Callable[[str], str]] = {USER: _user_id, TYPE: plain_type, DATA: _data}
"""What the texts of a field are, as the part's columns hold them."""

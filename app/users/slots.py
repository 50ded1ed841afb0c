"""Where the values of custom properties are: columns of the users table, handed out as slots.

A property of a merchant has a kind and a slot; slot 3 of kind number is the column `n3` of every
merchant's users, each for a property of its own. So a value is compared and sorted by an ordinary
index, and there are as many columns as the merchant with most properties needs. A column and its
index are made by an owner function when a slot is used for the first time.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    Numeric,
    Text,
    func,
    literal_column,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

MOST_SLOTS = 300
SOUGHT_LENGTH = 64
"""Characters of a folded text that its index holds; PostgreSQL refuses longer than 2,704 bytes."""


class Kind(StrEnum):
    """The type of a property's values."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"


_LETTERS = {Kind.TEXT: "t", Kind.NUMBER: "n", Kind.BOOLEAN: "b", Kind.DATE: "d"}
_TYPES: dict[Kind, TypeEngine[Any]] = {
    Kind.TEXT: Text(),
    Kind.NUMBER: Numeric(),
    Kind.BOOLEAN: Boolean(),
    Kind.DATE: DateTime(timezone=True),
}
FOLDED: Text = Text(collation="C")


def letter(kind: Kind) -> str:
    """What the columns of this kind begin with."""
    return _LETTERS[kind]


def value_name(kind: Kind, slot: int) -> str:
    """The column that holds the value as it is shown."""
    return f"{_LETTERS[kind]}{_checked(slot)}"


def sought_name(kind: Kind, slot: int) -> str:
    """The column that is compared and sorted by: of a text, its folded spelling."""
    return f"k{_checked(slot)}" if kind is Kind.TEXT else value_name(kind, slot)


def value_column(kind: Kind, slot: int) -> ColumnElement[Any]:
    """The value, in a query of users."""
    return literal_column(f"users.{value_name(kind, slot)}", _TYPES[kind])


def sought_column(kind: Kind, slot: int) -> ColumnElement[Any]:
    """What conditions compare, in a query of users."""
    if kind is Kind.TEXT:
        return literal_column(f"users.{sought_name(kind, slot)}", FOLDED)
    return value_column(kind, slot)


def beginning(sought: ColumnElement[Any]) -> ColumnElement[str]:
    """As much of a folded text as its index holds."""
    return func.left(sought, SOUGHT_LENGTH, type_=FOLDED)


def prepare(session: Session, kind: Kind, slot: int) -> None:
    """The columns and the index of the slot exist.

    Locks: the users table, for a moment, when the slot is used for the first time.
    """
    session.execute(
        select(func.cohort_add_property_slot(_LETTERS[kind], sql_cast(_checked(slot), Integer)))
    )


def _checked(slot: int) -> int:
    if not 1 <= slot <= MOST_SLOTS:
        raise ValueError("no such slot")
    return slot

"""Writes values of custom properties where they are kept, many members at a time.

The columns are not part of the model (`app.users.slots`), so they are named here; a name is a
letter and a number that were checked, never something anybody typed.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from app.users import slots
from app.users.fields import Field, fold
from app.users.slots import Kind
from app.users.values import Value
from core.db import change, merchant_of
from core.types import UserId

ROWS_A_PART = 20_000
_TYPES = {
    Kind.TEXT: "text",
    Kind.NUMBER: "numeric",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "timestamptz",
}


def write(
    session: Session, kind: Kind, slot: int, new: Sequence[tuple[UserId, Value | None]]
) -> int:
    """These members have these values; None takes away what was there.

    Returns:
        How many members there were.
    """
    if not new:
        return 0
    values: dict[str, Any] = {
        "merchant": merchant_of(session),
        "ids": [user for user, _ in new],
        "values": [value for _, value in new],
    }
    if kind is Kind.TEXT:
        values["folded"] = [None if value is None else fold(str(value)) for _, value in new]
    return change(session, _writing(kind, slot).bindparams(**values))


def write_one(session: Session, user_id: UserId, new: Sequence[tuple[Field, Value | None]]) -> None:
    """The member has these values, written together; None takes away what was there."""
    values: dict[str, Any] = {"merchant": merchant_of(session), "id": user_id}
    settings = []
    for field, value in new:
        for column, it in ((field.value, value), (field.sought, _sought(field, value))):
            name = str(column).removeprefix("users.")
            if name not in values:
                settings.append(f"{name} = :{name}")
                values[name] = it
    if settings:
        statement = text(
            f"UPDATE users SET {', '.join(settings)}"  # noqa: S608 - names of slots
            " WHERE id = :id AND merchant_id = :merchant"
        )
        session.execute(statement, values)


def _sought(field: Field, value: Value | None) -> Value | None:
    is_folded = field.kind is Kind.TEXT and value is not None
    return fold(str(value)) if is_folded else value


def _writing(kind: Kind, slot: int) -> TextClause:
    name, stored = slots.value_name(kind, slot), _TYPES[kind]
    more = ("", "", "")
    if kind is Kind.TEXT:
        sought = slots.sought_name(kind, slot)
        more = (f", {sought} = new.folded", ", CAST(:folded AS text[])", ", folded")
    return text(
        f"UPDATE users SET {name} = new.value{more[0]} FROM unnest("  # noqa: S608 - checked names
        f"CAST(:ids AS uuid[]), CAST(:values AS {stored}[]){more[1]}) AS new (id, value{more[2]})"
        " WHERE users.id = new.id AND users.merchant_id = :merchant"
    )


def clear_part(session: Session, kind: Kind, slot: int) -> bool:
    """Some members of the merchant have nothing in the slot any more; True while there are more.

    Args:
        session: as the engine's role: below a policy the search would not use the slot's index.
    """
    name = slots.value_name(kind, slot)
    nothing = f"{name} = NULL"
    if kind is Kind.TEXT:
        nothing += f", {slots.sought_name(kind, slot)} = NULL"
    statement = text(
        f"UPDATE users SET {nothing} WHERE id IN ("  # noqa: S608 - checked names
        f"SELECT id FROM users WHERE merchant_id = :merchant AND {name} IS NOT NULL LIMIT :most)"
    )
    values = {"merchant": merchant_of(session), "most": ROWS_A_PART}
    return change(session, statement.bindparams(**values)) > 0

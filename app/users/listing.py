"""The list of members: chosen columns, any order, pages by key, counts that do not pretend.

Read as the engine's role with the merchant named: an index on numbers or on pairs of a value and an
id is not used below a policy. Members without a value come after those with one, in either order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_, type_coerce
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.users.fields import Field
from app.users.models import User
from app.users.slots import FOLDED, Kind, beginning
from app.users.upkeep_models import UserColumns
from app.web.pagination import (
    PAGE_SIZE,
    Cursor,
    Page,
    UnknownCursorError,
    decode_cursor,
    encode_cursor,
)
from core.db import beyond_policies, merchant_of
from core.types import MemberId, UserId

PASS = "pass"
"""A column that is no field: the number of the member's pass."""
DEFAULT_COLUMNS = ("email", PASS, "state", "created_at")
MOST_COLUMNS = 30
MOST_COUNTED = 10_000
"""Above this a list says “more than”: nobody reads the number, and everybody waits for it."""


@dataclass(frozen=True)
class Row:
    """One member and the values of the fields that are shown, by key."""

    user: User
    values: dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What the list is sorted by.

    Args:
        whole: what says whether there is a value: of a text that the index cuts, the text itself,
            because the index is of members who have one.
        is_nullable: some members have none.
    """

    key: str
    column: ColumnElement[Any]
    whole: ColumnElement[Any]
    kind: Kind
    is_nullable: bool
    is_descending: bool


@dataclass(frozen=True)
class Count:
    """How many members match; `is_all` is False where there are more."""

    number: int
    is_all: bool


_ALWAYS_SET = ("email", "state", "source", "mail_status", "created_at")


def order_of(sort: str, fields: Mapping[str, Field]) -> Order:
    """The order behind `key` or `-key`; the newest first where it names no field."""
    is_descending, key = sort.startswith("-"), sort.removeprefix("-")
    field = fields.get(key)
    if field is None:
        return _by_age(is_descending=True)
    if key == "created_at":
        return _by_age(is_descending=is_descending)
    column = beginning(field.sought) if field.is_cut else field.sought
    if field.kind is Kind.TEXT:
        column = type_coerce(column, FOLDED)
    return Order(key, column, field.sought, field.kind, key not in _ALWAYS_SET, is_descending)


def _by_age(*, is_descending: bool) -> Order:
    """Ids are made in this order, and have the index."""
    identifier = User.id.expression
    return Order("created_at", identifier, identifier, Kind.DATE, False, is_descending)


def list_members(
    session: Session,
    conditions: Sequence[ColumnElement[bool]],
    order: Order,
    shown: Sequence[Field],
    *,
    cursor: str | None = None,
    size: int = PAGE_SIZE,
) -> Page[Row]:
    """One page of the members who meet the conditions.

    Raises:
        UnknownCursorError: `cursor` was made for another list.
    """
    place = _place(cursor, order) if cursor else None
    is_backward = place is not None and place.is_backward
    rows: list[tuple[Row, Any]] = []
    with beyond_policies(session):
        for statement in _statements(conditions, order, shown, place):
            found = session.execute(statement.limit(size + 1 - len(rows)))
            rows += [_read(it, shown) for it in found]
            if len(rows) > size:
                break
    has_more, rows = len(rows) > size, rows[:size]
    if is_backward:
        rows.reverse()
    has_previous = has_more if is_backward else place is not None
    has_next = has_more or is_backward
    return Page(
        items=[row for row, _ in rows],
        next=_edge(rows[-1], is_backward=False) if rows and has_next else None,
        previous=_edge(rows[0], is_backward=True) if rows and has_previous else None,
    )


@dataclass(frozen=True)
class _Place:
    """Where a page begins: behind this value and id, or behind this id among those without."""

    value: Any
    has_value: bool
    id: UUID
    is_backward: bool


def _statements(
    conditions: Sequence[ColumnElement[bool]],
    order: Order,
    shown: Sequence[Field],
    place: _Place | None,
) -> list[Select[Any]]:
    """What is read one after the other until the page is full."""
    is_backward = place is not None and place.is_backward
    downward = order.is_descending != is_backward
    base = select(User, order.column.label("place"), *(it.value for it in shown)).where(*conditions)
    if not order.is_nullable:
        by_id = order.key == "created_at"
        keys = (User.id.expression,) if by_id else (order.column, User.id.expression)
        return [_sorted(base, keys, place, downward=downward)]
    with_value = base.where(order.whole.is_not(None))
    without = base.where(order.whole.is_(None))
    parts = []
    if place is None or place.has_value or is_backward:
        keys = (order.column, User.id.expression)
        behind = place if place is not None and place.has_value else None
        parts.append(_sorted(with_value, keys, behind, downward=downward))
    if place is None or not place.has_value or not is_backward:
        behind = place if place is not None and not place.has_value else None
        parts.append(_sorted(without, (User.id.expression,), behind, downward=downward))
    return parts[::-1] if is_backward else parts


def _sorted(
    statement: Select[Any],
    keys: tuple[ColumnElement[Any], ...],
    place: _Place | None,
    *,
    downward: bool,
) -> Select[Any]:
    if place is not None:
        values = (literal(place.id),) if len(keys) == 1 else (place.value, literal(place.id))
        here, there = tuple_(*keys), tuple_(*values)
        statement = statement.where(here < there if downward else here > there)
    return statement.order_by(*(key.desc() if downward else key.asc() for key in keys))


def _read(found: Any, shown: Sequence[Field]) -> tuple[Row, Any]:
    user, place, *values = found
    return Row(user, {it.key: value for it, value in zip(shown, values, strict=True)}), place


def _edge(row: tuple[Row, Any], *, is_backward: bool) -> str:
    found, place = row
    has_value = place is not None
    values = (int(has_value), _spelled(place) if has_value else "", found.user.id)
    return encode_cursor(Cursor(values, is_backward=is_backward))


def _spelled(place: Any) -> str:
    return place.isoformat() if isinstance(place, datetime) else str(place)


def _place(text: str, order: Order) -> _Place:
    cursor = decode_cursor(text, (int, str, UUID))
    has_value, spelled, identifier = cursor.values
    value = None
    if has_value and order.key != "created_at":
        try:
            value = literal(_READERS[order.kind](spelled), order.column.type)
        except (ValueError, InvalidOperation, KeyError) as error:
            raise UnknownCursorError from error
    return _Place(value, bool(has_value), identifier, cursor.is_backward)


_READERS: Mapping[Kind, Any] = {
    Kind.TEXT: str,
    Kind.NUMBER: Decimal,
    Kind.BOOLEAN: {"True": True, "False": False}.__getitem__,
    Kind.DATE: datetime.fromisoformat,
}


def count(session: Session, conditions: Sequence[ColumnElement[bool]]) -> Count:
    """How many members meet the conditions, up to `MOST_COUNTED`."""
    found = select(User.id).where(*conditions).limit(MOST_COUNTED + 1).subquery()
    with beyond_policies(session):
        number = session.scalar(select(func.count()).select_from(found)) or 0
    return Count(min(number, MOST_COUNTED), is_all=number <= MOST_COUNTED)


def ids(session: Session, conditions: Sequence[ColumnElement[bool]], *, limit: int) -> list[UserId]:
    """The first members who meet the conditions, oldest first."""
    with beyond_policies(session):
        query = select(User.id).where(*conditions).order_by(User.id).limit(limit)
        return list(session.scalars(query))


def columns_of(session: Session, member: MemberId, fields: Mapping[str, Field]) -> list[str]:
    """The columns this member of the team sees; those of deleted properties are left out."""
    chosen = session.get(UserColumns, (merchant_of(session), member))
    keys = DEFAULT_COLUMNS if chosen is None else chosen.keys
    return [key for key in keys if key == PASS or key in fields]


def choose_columns(
    session: Session, member: MemberId, keys: Sequence[str], fields: Mapping[str, Field]
) -> None:
    """This member of the team sees these columns from now on, in the order of the catalogue."""
    offered = ("email", PASS, *(key for key in fields if key != "email"))
    chosen = [key for key in offered if key in set(keys)][:MOST_COLUMNS]
    statement = insert(UserColumns).values(
        merchant_id=merchant_of(session), member_id=member, keys=chosen
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["merchant_id", "member_id"], set_={"keys": statement.excluded["keys"]}
        )
    )

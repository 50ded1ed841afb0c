"""Keyset pages: a cursor names the row a page begins after, so rows that come or go shift nothing.

The cursor is opaque to callers, not secret: it repeats values of a row they have just seen.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.errors import InvalidError

PAGE_SIZE = 50
T = TypeVar("T")


class UnknownCursorError(InvalidError):
    """The cursor was not made for this list."""

    def __init__(self) -> None:
        super().__init__("This page of the list no longer exists. Go back to its beginning.")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a list, and the cursors of the pages around them; None where there is none."""

    items: Sequence[T]
    next: str | None = None
    previous: str | None = None


@dataclass(frozen=True)
class Cursor:
    """The keys of a row, and whether the page lies before it."""

    values: tuple[Any, ...]
    is_backward: bool = False


def encode_cursor(cursor: Cursor) -> str:
    """The cursor as text that fits an address."""
    values = [_plain(value) for value in cursor.values]
    text = json.dumps([int(cursor.is_backward), *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(text: str, types: Sequence[type]) -> Cursor:
    """The cursor behind `text`.

    Args:
        types: of the keys, in order: str, int, UUID or datetime.

    Raises:
        UnknownCursorError: not ours, or made for other keys.
    """
    try:
        direction, *plain = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        values = tuple(_typed(value, kind) for value, kind in zip(plain, types, strict=True))
    except (ValueError, TypeError, AttributeError) as error:
        raise UnknownCursorError from error
    return Cursor(values, is_backward=bool(direction))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _typed(value: Any, kind: type) -> Any:
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind is UUID:
        return UUID(value)
    if type(value) is not kind:
        raise TypeError(kind)
    return value


def list_page(
    session: Session,
    statement: Select[T],
    *,
    keys: Sequence[InstrumentedAttribute[Any]],
    is_descending: bool = False,
    cursor: str | None = None,
    size: int = PAGE_SIZE,
) -> Page[T]:
    """One page of `statement`, ordered by `keys`.

    Args:
        keys: columns without nulls, the last one unique; all in one direction.

    Raises:
        UnknownCursorError: `cursor` was made for another list.
    """
    at = decode_cursor(cursor, [key.type.python_type for key in keys]) if cursor else None
    is_backward = at is not None and at.is_backward
    downward = is_descending != is_backward
    if at is not None:
        statement = statement.where(_beyond(keys, at.values, downward=downward))
    order = [key.desc() if downward else key.asc() for key in keys]
    rows = list(session.scalars(statement.order_by(None).order_by(*order).limit(size + 1)))
    has_more, rows = len(rows) > size, rows[:size]
    if is_backward:
        rows.reverse()
    return Page(
        items=rows,
        next=_edge(rows, keys, is_backward=False) if has_more or is_backward else None,
        previous=_edge(rows, keys, is_backward=True)
        if (has_more if is_backward else at is not None)
        else None,
    )


def _beyond(
    keys: Sequence[InstrumentedAttribute[Any]], values: tuple[Any, ...], *, downward: bool
) -> ColumnElement[bool]:
    return tuple_(*keys) < values if downward else tuple_(*keys) > values


def _edge(
    rows: Sequence[Any], keys: Sequence[InstrumentedAttribute[Any]], *, is_backward: bool
) -> str | None:
    if not rows:
        return None
    row = rows[0] if is_backward else rows[-1]
    values = tuple(getattr(row, key.key) for key in keys)
    return encode_cursor(Cursor(values, is_backward=is_backward))

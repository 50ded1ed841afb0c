"""What the rows of an export are: one query for a part, and the cells of each row."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from app.uploads.export import as_csv
from app.users import values
from app.users.exports.models import ExportFormat, ExportKind, UserExport
from app.users.fields import Field, catalogue
from app.users.models import ListMember, User
from core.events import Event
from core.ids import decode_id, encode_id

EVENT_COLUMNS = (
    "eventTime",
    "eventType",
    "eventId",
    "userId",
    "email",
    "campaignId",
    "rewardId",
    "properties",
    "resources",
)
_APART = ("campaignId", "rewardId", "resources")
"""Parts of an event's data that have columns of their own."""


@dataclass(frozen=True)
class Source:
    """Where the rows come from.

    Args:
        query: rows whose first column is `key`; without order.
        cells: what a row says, in the order of `columns`.
    """

    columns: Sequence[str]
    query: Any
    key: ColumnElement[Any]
    cells: Callable[[Any], list[Any]]


def source(session: Session, row: UserExport) -> Source:
    """What the export is of."""
    if row.kind is ExportKind.EVENTS:
        return _events(row.options)
    return _users(session, row.options)


def _users(session: Session, options: dict[str, Any]) -> Source:
    known = catalogue(session)
    chosen = [known[key] for key in options["columns"] if key in known]
    query: Any = select(User.id, *(field.value for field in chosen))
    if options.get("list"):
        on_list = select(ListMember.user_id).where(
            ListMember.list_id == decode_id("lst", options["list"])
        )
        query = query.where(User.id.in_(on_list))
    if options.get("state"):
        query = query.where(User.state == options["state"])

    def cells(found: Any) -> list[Any]:
        said = zip(chosen, found[1:], strict=True)
        return [encode_id("usr", found[0]), *(_shown(field, value) for field, value in said)]

    return Source(["userId", *(field.name for field in chosen)], query, User.id.expression, cells)


def _shown(field: Field, value: Any) -> Any:
    if value is None:
        return None
    return values.show(value, field.kind, with_time=field.with_time)


def _events(options: dict[str, Any]) -> Source:
    query = select(Event, User.email).outerjoin(User, User.id == Event.user_id)
    conditions: list[ColumnElement[bool]] = []
    if options.get("type"):
        conditions.append(Event.type == options["type"])
    if options.get("from"):
        conditions.append(Event.occurred_at >= datetime.fromisoformat(options["from"]))
    if options.get("until"):
        conditions.append(Event.occurred_at < datetime.fromisoformat(options["until"]))
    return Source(
        EVENT_COLUMNS, query.where(and_(True, *conditions)), Event.id.expression, _event_cells
    )


def _event_cells(found: Any) -> list[Any]:
    event, email = found
    data = event.data
    return [
        event.occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        event.type,
        encode_id("evt", event.id),
        encode_id("usr", event.user_id) if event.user_id else None,
        email,
        data.get("campaignId"),
        data.get("rewardId"),
        {key: value for key, value in data.items() if key not in _APART},
        data.get("resources"),
    ]


def written(
    columns: Sequence[str], rows: Iterable[list[Any]], form: ExportFormat, *, is_first: bool
) -> Iterable[str]:
    """The rows as lines of the file; a spreadsheet takes no cell for a formula."""
    if form is ExportFormat.JSONL:
        return (
            json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n"
            for row in rows
        )
    head: list[Sequence[Any]] = [columns] if is_first else []
    return as_csv([*head, *([_cell(it) for it in row] for row in rows)])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)

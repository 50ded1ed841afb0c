"""What people choose on the mapping screen, read from its form and shown in it again."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from app.uploads.tables import ENCODINGS, Layout
from app.users import properties
from app.users.fields import of_property
from app.users.imports import mapping as mappings
from app.users.imports import service
from app.users.imports.cells import Reading
from app.users.imports.errors import MappingInvalidError
from app.users.imports.models import Mode, OnDuplicate, OnEmpty, UserImport
from app.users.imports.service import Options
from app.users.models import UserList
from app.users.slots import Kind
from core.ids import decode_id, encode_id, new_id
from core.types import ListId

NEW = "new"
_LISTS = 1_000


def choose(session: Session, row: UserImport, form: FormData, *, at: datetime) -> None:
    """The import goes by the form; new properties and a new list exist.

    Raises:
        MappingInvalidError, PropertyInvalidError: something chosen cannot be.
        ImportStateError: it has started.
    """
    known = mappings.fields(session)
    mapping: dict[int, str] = {}
    for position, name in enumerate(row.columns):
        key = _said(form, f"column-{position}")
        if key.startswith(f"{NEW}:"):
            kind = Kind(key.partition(":")[2])
            title = _said(form, f"name-{position}") or str(name)
            mapping[position] = of_property(properties.create(session, title, kind, at=at)).key
        elif key in known:
            mapping[position] = key
    service.choose_mapping(
        session,
        row,
        mapping,
        options=options_of(form),
        list_id=_list(session, form, at=at),
    )


def options_of(form: FormData) -> Options:
    """How the rows shall be taken; what is not said stays as it is by default.

    Raises:
        MappingInvalidError: an answer that was not offered.
    """
    try:
        return Options(
            Mode(_said(form, "mode") or Mode.CREATE_AND_UPDATE),
            OnEmpty(_said(form, "on_empty") or OnEmpty.SKIP),
            OnDuplicate(_said(form, "on_duplicate") or OnDuplicate.FIRST),
            Reading(
                "," if _said(form, "decimal") == "," else ".",
                {"dmy": "dmy", "mdy": "mdy"}.get(_said(form, "date_order")),
            ),
        )
    except ValueError:
        raise MappingInvalidError("Choose one of the options on the page.") from None


def layout_of(row: UserImport, form: FormData) -> Layout:
    """How the file shall be read."""
    layout = service.load_layout(row)
    encoding, delimiter = _said(form, "encoding"), str(form.get("delimiter", ""))
    sheet = _said(form, "sheet")
    return replace(
        layout,
        encoding=encoding if encoding in ENCODINGS else layout.encoding,
        delimiter={"tab": "\t"}.get(delimiter, delimiter)[:1] or layout.delimiter,
        has_header=_said(form, "has_header") == "1",
        sheet=int(sheet) if sheet.isdigit() and int(sheet) < len(layout.sheets) else layout.sheet,
    )


def choices(session: Session, row: UserImport, form: FormData | None) -> dict[str, Any]:
    """What the mapping screen offers, and what is chosen in it now."""
    chosen = {int(position): key for position, key in row.mapping.items()}
    options = service.load_options(row.options)
    if form is not None:
        said = ((at, _said(form, f"column-{at}")) for at in range(len(row.columns)))
        chosen = {position: key for position, key in said if key}
        options = options_of(form)
    return {
        "layout": service.load_layout(row),
        "fields": [(key, field) for key, (field, _) in mappings.fields(session).items()],
        "mapping": chosen,
        "options": options,
        "lists": list_choices(session),
        "list_id": encode_id("lst", row.list_id) if row.list_id else "",
    }


def _said(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()


def list_choices(session: Session) -> list[tuple[str, str]]:
    """The lists members can be on: public id and name."""
    query = select(UserList).where(UserList.archived_at.is_(None)).order_by(UserList.name)
    found = session.scalars(query.limit(_LISTS))
    return [(encode_id("lst", it.id), it.name) for it in found]


def _list(session: Session, form: FormData, *, at: datetime) -> ListId | None:
    name, chosen = _said(form, "list_name"), _said(form, "list")
    if name:
        made = UserList(id=ListId(new_id()), name=name[:120], created_at=at)
        session.add(made)
        session.flush()
        return made.id
    if not chosen:
        return None
    found = session.get(UserList, ListId(UUID(bytes=decode_id("lst", chosen).bytes)))
    return None if found is None else found.id

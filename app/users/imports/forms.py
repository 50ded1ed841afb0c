"""What people choose on the mapping screen, read from its form and shown in it again."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from app.uploads.tables import ENCODINGS, Layout
from app.users import lists, properties
from app.users.errors import ListArchivedError
from app.users.fields import Field, of_property
from app.users.imports import consent_fields, event_fields, service
from app.users.imports import mapping as mappings
from app.users.imports.cells import Reading
from app.users.imports.errors import MappingInvalidError
from app.users.imports.models import ImportKind, Mode, OnDuplicate, OnEmpty, UserImport
from app.users.imports.service import Options
from app.users.models import UserList
from app.users.slots import Kind
from core.ids import decode_id, encode_id
from core.types import ListId

NEW = "new"
_LISTS = 1_000


def choose(session: Session, row: UserImport, form: FormData, *, at: datetime) -> None:
    """The import goes by the form; new properties and a new list exist.

    Raises:
        MappingInvalidError, PropertyInvalidError: something chosen cannot be.
        ImportStateError: it has started.
    """
    known = mappings.known_fields(session, row)
    mapping: dict[int, str] = {}
    for position, name in enumerate(row.columns):
        key = _said(form, f"column-{position}")
        if key.startswith(f"{NEW}:"):
            title = _said(form, f"name-{position}") or str(name)
            mapping[position] = _new_key(session, row, key.partition(":")[2], title, at=at)
        elif key in known:
            mapping[position] = key
    service.choose_mapping(
        session,
        row,
        mapping,
        options=options_of(form),
        list_id=_list(session, form, at=at),
    )


def _new_key(session: Session, row: UserImport, said: str, title: str, *, at: datetime) -> str:
    """A property of events is a name in them; one of users is made."""
    if said == consent_fields.CONSENT and row.kind is ImportKind.USERS:
        return consent_fields.key_of(title.lower())
    if said not in list(Kind):
        raise MappingInvalidError("Choose one of the options on the page.")
    kind = Kind(said)
    if row.kind is ImportKind.EVENTS:
        return event_fields.property_key(kind, title)
    return of_property(properties.create(session, title, kind, at=at)).key


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
            _said(form, "event_type") or None,
            _said(form, "consent_basis") or None,
            _said(form, "is_recreating") == "1",
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
        sheet=int(sheet) if sheet in map(str, range(len(layout.sheets))) else layout.sheet,
    )


def choices(session: Session, row: UserImport, form: FormData | None) -> dict[str, Any]:
    """What the mapping screen offers, and what is chosen in it now."""
    chosen = {int(position): key for position, key in row.mapping.items()}
    options = service.load_options(row.options)
    names = {at: _said(form, f"name-{at}") for at in range(len(row.columns))} if form else {}
    if form is not None:
        said = ((at, _said(form, f"column-{at}")) for at in range(len(row.columns)))
        chosen = {position: key for position, key in said if key}
        options = options_of(form)
    for position, key in chosen.items():
        if event_fields.is_property(key):
            kind, names[position] = event_fields.property_of(key)
            chosen[position] = f"{NEW}:{kind}"
    return {
        "layout": service.load_layout(row),
        "fields": _offered(session, row),
        "mapping": chosen,
        "names": names,
        "options": options,
        "lists": list_choices(session),
        "list_id": encode_id("lst", row.list_id) if row.list_id else "",
    }


def _offered(session: Session, row: UserImport) -> list[tuple[str, Field]]:
    """Fields by key; properties of events are made by naming them."""
    known = mappings.known_fields(session, row)
    return [(key, it) for key, (it, _) in known.items() if not event_fields.is_property(key)]


def pasted(form: FormData) -> tuple[bytes, ImportKind, str]:
    """What was pasted, what its rows are, and the list its people come on."""
    said = _said(form, "kind")
    kind = ImportKind(said) if said in list(ImportKind) else ImportKind.USERS
    return str(form.get("text", "")).encode(), kind, _said(form, "list")


def _said(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()


def list_choices(session: Session) -> list[tuple[str, str]]:
    """The lists members can be on: public id and name."""
    query = select(UserList).where(UserList.archived_at.is_(None)).order_by(UserList.name)
    found = session.scalars(query.limit(_LISTS))
    return [(encode_id("lst", it.id), it.name) for it in found]


def _list(session: Session, form: FormData, *, at: datetime) -> ListId | None:
    name = _said(form, "list_name")
    return lists.create(session, name, at=at).id if name else list_of(session, _said(form, "list"))


def list_of(session: Session, chosen: str) -> ListId | None:
    """The list with this public id, if one was chosen.

    Raises:
        ListNotFoundError: this merchant has none.
        ListArchivedError: nobody is put on it any more.
    """
    if not chosen:
        return None
    row = lists.get(session, ListId(decode_id("lst", chosen)))
    if row.archived_at is not None:
        raise ListArchivedError(row.name)
    return row.id

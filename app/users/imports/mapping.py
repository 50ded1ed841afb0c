"""What the columns of a file mean: guessed from their names, remembered, and checked."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.users import properties
from app.users.fields import CORE, Field, fold, of_property
from app.users.imports import consent_fields, event_fields
from app.users.imports.errors import MappingInvalidError
from app.users.imports.models import ColumnMemory, ImportKind, UserImport

IMPORTED = (
    "email",
    "first_name",
    "last_name",
    "reference_id",
    "phone",
    "lang",
    "country",
    "time_zone",
)
"""Core fields a file can carry."""

_OF_ONE_FILE = ("consent_basis", "is_recreating")
"""Options that somebody answers for, so they are said anew for each file."""
_SPELLINGS = {
    "consent:marketing_email": ("marketingemail", "newsletter", "optin", "marketingconsent"),
    "email": ("email", "emailaddress", "mail"),
    "first_name": ("firstname", "givenname"),
    "last_name": ("lastname", "familyname", "surname"),
    "reference_id": ("referenceid", "customerid"),
    "phone": ("phone", "phonenumber", "mobile"),
    "lang": ("lang", "language"),
    "country": ("country",),
    "time_zone": ("timezone",),
}


@dataclass(frozen=True)
class Target:
    """A column of the file goes to a field; reasons of refusals call it by `label`."""

    position: int
    field: Field
    label: str


def fields(session: Session) -> dict[str, tuple[Field, str]]:
    """Every field of users a column can go to by its key, with the label of reasons."""
    core = {key: (CORE[key], key) for key in IMPORTED}
    own = ((of_property(row), row.reference_id) for row in properties.list_all(session))
    return {**core, **{field.key: (field, label) for field, label in own}}


def known_fields(session: Session, row: UserImport) -> dict[str, tuple[Field, str]]:
    """Every field a column of this import can go to by its key, with the label of reasons."""
    if row.kind is ImportKind.EVENTS:
        return event_fields.known(row.mapping)
    return {**fields(session), **consent_fields.known(session, row.mapping)}


def targets(session: Session, row: UserImport) -> list[Target]:
    """Where the columns of the import go, in their order; a deleted property is left out."""
    known = known_fields(session, row)
    places = sorted((int(place), key) for place, key in row.mapping.items() if key in known)
    return [Target(place, *known[key]) for place, key in places]


def needed(targets: Sequence[Target]) -> list[Target]:
    """What no row can be without: who it is of, and of an event also when it was and what."""
    keys = {target.field.key: target for target in targets}
    if event_fields.TIME in keys:
        wanted: Sequence[str] = (*event_fields.WHO, event_fields.TIME, event_fields.TYPE)
        return [keys[it] for it in wanted if it in keys]
    return [keys["email"] if "email" in keys else keys["reference_id"]]


def guess(session: Session, kind: ImportKind, columns: Sequence[str]) -> dict[int, str]:
    """The obvious mapping by column names; unknown columns are left out."""
    named = _own_names(session) if kind is ImportKind.USERS else {}
    spellings = _SPELLINGS if kind is ImportKind.USERS else event_fields.SPELLINGS
    named |= {name: key for key, names in spellings.items() for name in names}
    mapping: dict[int, str] = {}
    for position, name in enumerate(columns):
        key = named.get(_plain(name))
        is_second = kind is ImportKind.EVENTS and _says_who(key, mapping.values())
        if key is not None and key not in mapping.values() and not is_second:
            mapping[position] = key
    return mapping


def _own_names(session: Session) -> dict[str, str]:
    named: dict[str, str] = {}
    for row in properties.list_all(session):
        key = of_property(row).key
        named |= {_plain(row.name): key, _plain(row.reference_id): key}
    return named


def _says_who(key: str | None, chosen: Collection[str]) -> bool:
    """Whether the key says whom an event is of, which another one says already."""
    return key in event_fields.WHO and any(it in event_fields.WHO for it in chosen)


def _plain(name: str) -> str:
    return "".join(character for character in fold(name) if character.isalnum())


def check(
    kind: ImportKind,
    mapping: dict[int, str],
    columns: Sequence[str],
    *,
    event_type: str | None = None,
) -> None:
    """The mapping says who a row is of, and names every field once.

    Args:
        event_type: of all rows of a file of events, where no column says it.

    Raises:
        MappingInvalidError: the sentence says what is missing.
    """
    keys = list(mapping.values())
    if kind is ImportKind.EVENTS:
        event_fields.check(mapping, event_type)
    elif not {"email", "reference_id"} & set(keys):
        raise MappingInvalidError(
            "Choose which column holds the email address, or the reference ID of known people."
        )
    doubled = {key for key in keys if keys.count(key) > 1}
    if doubled:
        raise MappingInvalidError(f"Two columns are mapped to “{sorted(doubled)[0]}”.")
    if any(position >= len(columns) for position in mapping):
        raise MappingInvalidError("The mapping names a column the file does not have.")


def _signature(kind: ImportKind, columns: Sequence[str]) -> str:
    names = [_plain(name) for name in columns]
    said = json.dumps(names if kind is ImportKind.USERS else {kind.value: names})
    return hashlib.sha256(said.encode()).hexdigest()


def recall(session: Session, kind: ImportKind, columns: Sequence[str]) -> ColumnMemory | None:
    """How a file of this kind with these columns was mapped the last time."""
    signature = _signature(kind, columns)
    return session.scalar(select(ColumnMemory).where(ColumnMemory.signature == signature))


def remember(session: Session, row: UserImport) -> None:
    """The next file with these columns is proposed to be mapped like this one."""
    options = {name: it for name, it in row.options.items() if name not in _OF_ONE_FILE}
    said = {"mapping": row.mapping, "options": options, "used_at": row.started_at}
    session.execute(
        insert(ColumnMemory)
        .values(signature=_signature(row.kind, [str(name) for name in row.columns]), **said)
        .on_conflict_do_update(index_elements=["merchant_id", "signature"], set_=said)
    )

"""What the columns of a file mean: guessed from their names, remembered, and checked."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.users import properties
from app.users.fields import CORE, Field, fold, of_property
from app.users.imports.errors import MappingInvalidError
from app.users.imports.models import ColumnMemory, UserImport
from app.users.models import Property

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

_SPELLINGS = {
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
    """Every field a column can go to by its key, with the label of reasons."""
    core = {key: (CORE[key], key) for key in IMPORTED}
    own = ((of_property(row), row.reference_id) for row in properties.list_all(session))
    return {**core, **{field.key: (field, label) for field, label in own}}


def targets(session: Session, row: UserImport) -> list[Target]:
    """Where the columns of the import go, in their order; a deleted property is left out."""
    known = fields(session)
    places = sorted((int(place), key) for place, key in row.mapping.items() if key in known)
    return [Target(place, *known[key]) for place, key in places]


def guess(session: Session, columns: Sequence[str]) -> dict[int, str]:
    """The obvious mapping by column names; unknown columns are left out."""
    named = {name: key for key, names in _SPELLINGS.items() for name in names}
    own: dict[str, Property] = {}
    for row in properties.list_all(session):
        own |= {_plain(row.name): row, _plain(row.reference_id): row}
    mapping: dict[int, str] = {}
    for position, name in enumerate(columns):
        plain = _plain(name)
        key = named.get(plain) or (of_property(own[plain]).key if plain in own else None)
        if key is not None and key not in mapping.values():
            mapping[position] = key
    return mapping


def _plain(name: str) -> str:
    return "".join(character for character in fold(name) if character.isalnum())


def check(mapping: dict[int, str], columns: Sequence[str]) -> None:
    """The mapping says who a row is of, and names every field once.

    Raises:
        MappingInvalidError: the sentence says what is missing.
    """
    keys = list(mapping.values())
    if not {"email", "reference_id"} & set(keys):
        raise MappingInvalidError(
            "Choose which column holds the email address, or the reference ID of known people."
        )
    doubled = {key for key in keys if keys.count(key) > 1}
    if doubled:
        raise MappingInvalidError(f"Two columns are mapped to “{sorted(doubled)[0]}”.")
    if any(position >= len(columns) for position in mapping):
        raise MappingInvalidError("The mapping names a column the file does not have.")


def _signature(columns: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([_plain(name) for name in columns]).encode()).hexdigest()


def recall(session: Session, columns: Sequence[str]) -> ColumnMemory | None:
    """How a file with these columns was mapped the last time."""
    return session.scalar(select(ColumnMemory).where(ColumnMemory.signature == _signature(columns)))


def remember(session: Session, row: UserImport) -> None:
    """The next file with these columns is proposed to be mapped like this one."""
    said = {"mapping": row.mapping, "options": row.options, "used_at": row.started_at}
    session.execute(
        insert(ColumnMemory)
        .values(signature=_signature([str(name) for name in row.columns]), **said)
        .on_conflict_do_update(index_elements=["merchant_id", "signature"], set_=said)
    )

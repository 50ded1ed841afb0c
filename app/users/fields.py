"""What is known of a member, by name: the fields every member has and the brand's own properties.

Lists show them, imports and exports carry them, rules compare them. A field is known by its key:
the name of a core field, or the public id of a property, so that renaming changes nothing.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.users import slots
from app.users.models import Property, User
from app.users.slots import Kind
from core.ids import encode_id
from core.types import PropertyId


def fold(text: str) -> str:
    """The spelling texts are compared by: no case, no accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).strip()


@dataclass(frozen=True)
class Field:
    """One thing known of every member.

    Args:
        value: the column as it is shown.
        sought: the column that is compared; of texts folded by `normalise`.
        property_id: of a brand's own property.
        is_cut: the index holds `slots.beginning(sought)`, not the whole.
    """

    key: str
    name: str
    kind: Kind
    value: ColumnElement[Any]
    sought: ColumnElement[Any]
    normalise: Callable[[str], str] = fold
    property_id: PropertyId | None = None
    is_cut: bool = False
    with_time: bool = False
    is_sensitive: bool = False


def _core(
    key: str,
    name: str,
    value: InstrumentedAttribute[Any],
    sought: InstrumentedAttribute[Any] | None = None,
    normalise: Callable[[str], str] = str.strip,
    **more: Any,
) -> Field:
    kind = more.pop("kind", Kind.TEXT)
    sought_by = value if sought is None else sought
    return Field(key, name, kind, value.expression, sought_by.expression, normalise, **more)


CORE = {
    field.key: field
    for field in (
        _core("email", "Email", User.email, User.email_key, str.lower, is_sensitive=True),
        _core("first_name", "First name", User.first_name, User.first_key, fold, is_sensitive=True),
        _core("last_name", "Last name", User.last_name, User.last_key, fold, is_sensitive=True),
        _core("reference_id", "Reference ID", User.reference_id),
        _core("phone", "Phone", User.phone, is_sensitive=True),
        _core("lang", "Language", User.lang, normalise=str.lower),
        _core("country", "Country", User.country, normalise=str.upper),
        _core("time_zone", "Time zone", User.time_zone),
        _core("state", "State", User.state, normalise=str.lower),
        _core("source", "Source", User.source),
        _core("mail_status", "Mail status", User.mail_status, normalise=str.lower),
        _core("created_at", "Created", User.created_at, kind=Kind.DATE, with_time=True),
        _core("last_seen_at", "Last seen", User.last_seen_at, kind=Kind.DATE, with_time=True),
        _core(
            "email_verified_at",
            "Email verified",
            User.email_verified_at,
            kind=Kind.DATE,
            with_time=True,
        ),
    )
}


def catalogue(session: Session) -> dict[str, Field]:
    """Every field of this merchant's members by its key: core fields first, then properties."""
    found = session.scalars(
        select(Property).where(Property.deleted_at.is_(None)).order_by(Property.id)
    )
    return {**CORE, **{field.key: field for field in map(of_property, found)}}


def of_property(row: Property) -> Field:
    """A brand's own property as a field."""
    return Field(
        key=encode_id("prp", row.id),
        name=row.name,
        kind=row.kind,
        value=slots.value_column(row.kind, row.slot),
        sought=slots.sought_column(row.kind, row.slot),
        property_id=row.id,
        is_cut=row.kind is Kind.TEXT,
        with_time=row.with_time,
        is_sensitive=row.is_sensitive,
    )

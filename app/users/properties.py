"""The brand's own properties: what they are called, of which kind, and where values are kept."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.users import slots
from app.users.errors import ConversionStateError, PropertyInvalidError, PropertyNotFoundError
from app.users.fields import CORE, fold
from app.users.models import Property
from app.users.slots import MOST_SLOTS, Kind
from app.users.upkeep_models import Conversion, ConversionState
from core.db import merchant_of
from core.ids import new_id
from core.types import PropertyId

MOST_PROPERTIES = 300
NAME_LENGTH = 60
REFERENCE = re.compile(r"[a-z][a-z0-9_]{0,49}")
_PROPERTIES_LOCK = 1_014


@dataclass(frozen=True)
class Flags:
    """What a property may be used for.

    Args:
        with_time: a date carries a time of day.
        is_sensitive: hidden from team members who may not see personal data.
    """

    with_time: bool = False
    is_sensitive: bool = False
    is_user_visible: bool = False
    is_user_editable: bool = False


def create(
    session: Session,
    name: str,
    kind: Kind,
    *,
    reference_id: str | None = None,
    flags: Flags = Flags(),
    at: datetime,
) -> Property:
    """Every member has this property from now on, without a value.

    Args:
        reference_id: what files and the API call it; by default made from the name.

    Raises:
        PropertyInvalidError: the name or the reference is taken or misspelt, or there are too many.

    Locks: the merchant's properties; the users table when its slot is new to the installation.
    """
    lock(session)
    name, taken = name.strip(), list_all(session)
    reference = reference_id or default_reference(name, {row.reference_id for row in taken})
    problems = _problems(name, reference, taken)
    if len(taken) >= MOST_PROPERTIES:
        problems["name"] = f"There can be {MOST_PROPERTIES} properties. Delete one first."
    if problems:
        raise PropertyInvalidError(problems)
    row = Property(
        id=PropertyId(new_id()),
        name=name,
        reference_id=reference,
        kind=kind,
        slot=free_slot(session, kind),
        with_time=flags.with_time and kind is Kind.DATE,
        is_sensitive=flags.is_sensitive,
        is_user_visible=flags.is_user_visible,
        is_user_editable=flags.is_user_editable,
        created_at=at,
    )
    session.add(row)
    session.flush()
    return row


def rename(
    session: Session,
    row: Property,
    *,
    name: str,
    reference_id: str,
    flags: Flags | None = None,
) -> None:
    """The property is called so from now on, and used so where `flags` say something.

    Raises:
        PropertyInvalidError: the name or the reference is taken or misspelt.

    Locks: the merchant's properties.
    """
    lock(session)
    others = [it for it in list_all(session) if it.id != row.id]
    problems = _problems(name.strip(), reference_id.strip(), others)
    if problems:
        raise PropertyInvalidError(problems)
    row.name, row.reference_id = name.strip(), reference_id.strip()
    if flags is not None:
        row.is_sensitive = flags.is_sensitive
        row.is_user_visible = flags.is_user_visible
        row.is_user_editable = flags.is_user_editable
    session.flush()


def delete(session: Session, row: Property, *, at: datetime) -> None:
    """Nobody has the property from now on; its values are cleared in the background.

    Whoever calls it has made sure that nothing uses the property.

    Raises:
        ConversionStateError: its type is being changed.

    Locks: the merchant's properties.
    """
    lock(session)
    running = select(Conversion).where(
        Conversion.property_id == row.id, Conversion.state == ConversionState.RUNNING
    )
    if session.scalar(running) is not None:
        raise ConversionStateError("Its type is being changed now. Wait until that has ended.")
    row.deleted_at = at
    session.flush()


def get(session: Session, property_id: PropertyId) -> Property:
    """The property.

    Raises:
        PropertyNotFoundError: this merchant has none with the id.
    """
    row = session.get(Property, property_id)
    if row is None or row.deleted_at is not None:
        raise PropertyNotFoundError(property_id)
    return row


def list_all(session: Session) -> Sequence[Property]:
    """The merchant's properties, oldest first."""
    return session.scalars(
        select(Property).where(Property.deleted_at.is_(None)).order_by(Property.id)
    ).all()


def default_reference(name: str, taken: set[str]) -> str:
    """A free reference made from a name: `Shoe size (EU)` is `shoe_size_eu`."""
    plain = re.sub(r"[^a-z0-9]+", "_", fold(name)).strip("_")[:40]
    base = plain if REFERENCE.fullmatch(plain) else f"p_{plain}".rstrip("_")
    taken = taken | set(CORE)
    candidates = (base, *(f"{base}_{number}" for number in range(2, MOST_PROPERTIES + 3)))
    return next(it for it in candidates if it not in taken)


def free_slot(session: Session, kind: Kind) -> int:
    """The lowest slot nobody's values are in, ready to be written to.

    Locks: the users table when the slot is new to the installation.
    """
    used = set(session.scalars(select(Property.slot).where(Property.kind == kind)))
    used |= set(session.scalars(select(Property.retired_slot).where(Property.retired_kind == kind)))
    coming = select(Conversion.slot).where(
        Conversion.kind == kind, Conversion.state == ConversionState.RUNNING
    )
    used |= set(session.scalars(coming))
    slot = next((it for it in range(1, MOST_SLOTS + 1) if it not in used), None)
    if slot is None:
        raise PropertyInvalidError({"kind": "No room is left for properties of this kind."})
    slots.prepare(session, kind, slot)
    return slot


def _problems(name: str, reference: str, others: Sequence[Property]) -> dict[str, str]:
    problems = {}
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        problems["name"] = f"Enter a name of 1 to {NAME_LENGTH} printable characters."
    elif fold(name) in {fold(it.name) for it in others} | {fold(it.name) for it in CORE.values()}:
        problems["name"] = "There is a property with this name already."
    if not REFERENCE.fullmatch(reference):
        problems["reference_id"] = (
            "Use small letters, digits and _, beginning with a letter; 50 at most."
        )
    elif reference in {it.reference_id for it in others} | set(CORE):
        problems["reference_id"] = "There is a property with this reference ID already."
    return problems


def lock(session: Session) -> None:
    """One change of the merchant's properties at a time, and no value is written meanwhile."""
    session.execute(select(func.pg_advisory_xact_lock(_PROPERTIES_LOCK, _lock_key(session))))


def hold(session: Session) -> None:
    """Until this transaction ends, every property keeps its kind and its slot.

    Whoever writes values calls it before asking which fields there are: between the two the values
    could move elsewhere.
    """
    shared = func.pg_advisory_xact_lock_shared(_PROPERTIES_LOCK, _lock_key(session))
    session.execute(select(shared))


def _lock_key(session: Session) -> int:
    return merchant_of(session).int & 0x7FFFFFFF

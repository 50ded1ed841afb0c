"""Places: where perks are used."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.perks.errors import PlaceNotFoundError
from app.perks.models import PerkPlace, Place
from core.errors import InvalidError
from core.ids import new_id
from core.texts import tidy
from core.types import PlaceId


def save(session: Session, place: Place | None, name: str, address: str, *, at: datetime) -> Place:
    """The place is as typed; without one there is a new one.

    Raises:
        InvalidError: `fields` names what must change.
    """
    name, address = tidy(name), tidy(address)
    fields = {}
    if not 1 <= len(name) <= 120:
        fields["name"] = "Between 1 and 120 characters."
    if len(address) > 300:
        fields["address"] = "At most 300 characters."
    twin = session.scalar(select(Place).where(Place.name == name, Place.archived_at.is_(None)))
    if not fields and twin is not None and twin is not place:
        fields["name"] = "Another place has this name. Choose a different one."
    if fields:
        raise InvalidError("The place cannot be saved yet.", fields=fields)
    if place is None:
        place = Place(id=PlaceId(new_id()), created_at=at)
        session.add(place)
    place.name, place.address = name, address
    session.flush()
    return place


def archive(session: Session, place: Place, *, at: datetime) -> None:
    """Nothing is used there any more; what was used there says so still."""
    place.archived_at = place.archived_at or at
    session.execute(delete(PerkPlace).where(PerkPlace.place_id == place.id))
    session.flush()


def get(session: Session, place_id: PlaceId) -> Place:
    """The place.

    Raises:
        PlaceNotFoundError: this merchant has none with the id, or it is archived.
    """
    place = session.get(Place, place_id)
    if place is None or place.archived_at is not None:
        raise PlaceNotFoundError(place_id)
    return place


def list_open(session: Session) -> Sequence[Place]:
    """Places in use, by name."""
    query = select(Place).where(Place.archived_at.is_(None))
    return session.scalars(query.order_by(Place.name, Place.id)).all()

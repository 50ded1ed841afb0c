"""Members with values of properties, lists and what else the brand knows of people."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.users import conversions, properties, slots, stored, values
from app.users.models import Property, User
from app.users.slots import Kind
from app.users.values import Value
from core.db import Role, unit_of_work
from core.types import ConversionId, MerchantId, UserId
from tests.conftest import NOW


def make_property(session: Session, name: str, kind: Kind = Kind.TEXT) -> Property:
    """A property without values."""
    return properties.create(session, name, kind, at=NOW)


def set_values(session: Session, row: Property, texts: Mapping[UserId, str | None]) -> None:
    """The members have these values, whatever they had."""
    new = [
        (user, None if it is None else values.parse(it, row.kind, with_time=row.with_time))
        for user, it in texts.items()
    ]
    stored.write(session, row.kind, row.slot, new)


def values_of(session: Session, row: Property) -> dict[UserId, Value]:
    """The values of all members that have one."""
    value = slots.value_column(row.kind, row.slot)
    rows = session.execute(select(User.id, value).where(value.is_not(None)))
    return {user: it for user, it in rows}


def run_conversion(merchant: MerchantId, conversion_id: ConversionId, at: datetime = NOW) -> None:
    """The change of type goes on until it waits for somebody, or has ended."""
    more = True
    while more:
        with unit_of_work(merchant=merchant, role=Role.ENGINE) as session:
            more = conversions.run_part(session, conversion_id, at=at)

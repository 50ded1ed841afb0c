"""Physical items: the address is given, the item is sent, and the address is forgotten again.

An address is sealed for its holding and opened by whoever sends it; taking all of them out leaves
an event behind.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

from babel import Locale
from sqlalchemy import Select, Update, select, update
from sqlalchemy.orm import Session

from app.perks import using
from app.perks.errors import (
    AddressInvalidError,
    HoldingNotFoundError,
    HoldingTransitionError,
    TrackingInvalidError,
)
from app.perks.models import Channel, Holding, HoldingState, Perk, Shipment, ShipmentState
from app.perks.terms import Options
from app.uploads import tables
from app.uploads.export import as_csv
from app.uploads.records import Dialect, Record, read_records
from core import secrets
from core.events import emit
from core.ids import UnknownIdentifierError, decode_id, encode_id
from core.types import HoldingId, UserId

KEPT = timedelta(days=90)
MOST_ROWS = 10_000
FILE_BYTES = 5_000_000
CARRIER_LENGTH, TRACKING_LENGTH = 80, 120
_SEALED = "perk-address"
_LENGTHS = {
    "name": (1, 120),
    "line1": (1, 120),
    "line2": (0, 120),
    "postal_code": (1, 20),
    "city": (1, 80),
    "region": (0, 80),
    "phone": (0, 30),
}
_COLUMNS = ("holdingId", "carrier", "tracking", "state")
COUNTRIES = {
    code: name
    for code, name in Locale("en").territories.items()
    if len(code) == 2 and code.isalpha() and code not in ("EU", "EZ", "UN", "ZZ", "XA", "XB", "QO")
}


@dataclass(frozen=True)
class Address:
    """Where something is sent; `country` is an ISO 3166-1 code."""

    name: str = ""
    line1: str = ""
    line2: str = ""
    postal_code: str = ""
    city: str = ""
    region: str = ""
    country: str = ""
    phone: str = ""

    @classmethod
    def of(cls, typed: Mapping[str, str]) -> "Address":
        """What a form says."""
        return cls(**{name: typed.get(name, "").strip() for name in cls.__dataclass_fields__})

    def check(self, terms: Options) -> None:
        """Something can be sent there.

        Raises:
            AddressInvalidError: `fields` names what must change.
        """
        fields = {}
        for name, (least, most) in _LENGTHS.items():
            said = getattr(self, name)
            least = 1 if name == "phone" and terms.needs_phone else least
            if not least <= len(said) <= most or not said.isprintable():
                fields[name] = (
                    f"Between {least} and {most} characters."
                    if least
                    else f"At most {most} characters."
                )
        if self.country not in (terms.countries or COUNTRIES):
            fields["country"] = "Choose one of the countries we send to."
        if fields:
            raise AddressInvalidError(fields)


def give_address(
    session: Session, holding: Holding, address: Address, *, terms: Options, at: datetime
) -> None:
    """The item can be sent; until it is, another address may be given.

    Raises:
        AddressInvalidError: `fields` names what must change.
        HoldingTransitionError: it is sent, lapsed or no longer the member's.

    Locks: the holding.
    """
    session.refresh(holding, with_for_update=True)
    is_late = holding.address_due_at is not None and holding.address_due_at <= at
    is_first = holding.shipment is ShipmentState.ADDRESS_NEEDED
    is_open = holding.shipment is ShipmentState.READY_TO_SHIP or (is_first and not is_late)
    if holding.state is not HoldingState.AVAILABLE or not is_open:
        raise _refused(holding, "sent to another address", is_late=is_first and is_late)
    address.check(terms)
    row = session.get(Shipment, holding.id) or Shipment(holding_id=holding.id, addressed_at=at)
    row.sealed, row.addressed_at = _seal(holding.id, address), at
    session.add(row)
    holding.shipment = ShipmentState.READY_TO_SHIP
    session.flush()


def ship(
    session: Session, holding: Holding, *, carrier: str = "", tracking: str = "", at: datetime
) -> None:
    """The item is on its way, and by that the perk is used.

    Raises:
        HoldingTransitionError: nobody gave an address yet, it is sent already, or revoked.
        TrackingInvalidError: the carrier or the number is too long.

    Locks: the holding.
    """
    session.refresh(holding, with_for_update=True)
    is_ready = holding.shipment is ShipmentState.READY_TO_SHIP
    if not is_ready or holding.state is not HoldingState.AVAILABLE:
        raise _refused(holding, "sent")
    carrier, tracking = carrier.strip(), tracking.strip()
    if len(carrier) > CARRIER_LENGTH or len(tracking) > TRACKING_LENGTH:
        raise TrackingInvalidError(
            f"A carrier has at most {CARRIER_LENGTH} characters, a tracking number "
            f"{TRACKING_LENGTH}. Shorten it."
        )
    row = session.get_one(Shipment, holding.id)
    row.carrier, row.tracking, row.shipped_at = carrier, tracking, at
    holding.shipment = ShipmentState.SHIPPED
    session.flush()
    using.use(session, holding, channel=Channel.STAFF, actor=session.info["actor"], at=at)


def deliver(session: Session, holding: Holding, *, at: datetime) -> None:
    """The item has arrived; its address is forgotten 90 days later.

    Raises:
        HoldingTransitionError: it is not on its way, or revoked.

    Locks: the holding.
    """
    session.refresh(holding, with_for_update=True)
    is_revoked = holding.state is HoldingState.REVOKED
    if holding.shipment is not ShipmentState.SHIPPED or is_revoked:
        raise _refused(holding, "delivered")
    session.get_one(Shipment, holding.id).delivered_at = at
    holding.shipment = ShipmentState.DELIVERED
    session.flush()


def _refused(holding: Holding, action: str, *, is_late: bool = False) -> HoldingTransitionError:
    if holding.shipment is None:
        return HoldingTransitionError("nothing that is sent", action)
    if holding.state is HoldingState.REVOKED:
        return HoldingTransitionError(holding.state, action)
    words = holding.shipment.replace("_", " ")
    return HoldingTransitionError("past its deadline" if is_late else words, action)


def address_of(session: Session, holding: Holding) -> Address | None:
    """Where it is sent to; None before anybody said, and once it is forgotten."""
    row = session.get(Shipment, holding.id)
    if row is None or row.sealed is None:
        return None
    return Address(**json.loads(secrets.unseal(_SEALED, row.sealed, bound_to=holding.id.bytes)))


def _seal(holding_id: HoldingId, address: Address) -> bytes:
    return secrets.seal(_SEALED, json.dumps(asdict(address)).encode(), bound_to=holding_id.bytes)


def waiting(perk: Perk) -> Select[Holding]:
    """What is to be sent, as it became ready."""
    is_ready = (Holding.perk_id == perk.id) & (Holding.shipment == ShipmentState.READY_TO_SHIP)
    return select(Holding).where(is_ready, Holding.state == HoldingState.AVAILABLE)


def open_shipments(perk: Perk) -> Select[Holding]:
    """What is to be sent, and what is on its way."""
    moving = (ShipmentState.READY_TO_SHIP, ShipmentState.SHIPPED)
    is_moving = (Holding.perk_id == perk.id) & Holding.shipment.in_(moving)
    return select(Holding).where(is_moving, Holding.state != HoldingState.REVOKED)


def parcels_of(session: Session, holdings: Sequence[Holding]) -> dict[HoldingId, Shipment]:
    """How each of these is on its way."""
    ids = [it.id for it in holdings]
    found = session.scalars(select(Shipment).where(Shipment.holding_id.in_(ids)))
    return {row.holding_id: row for row in found}


def export(session: Session, perk: Perk, *, at: datetime) -> Iterator[str]:
    """What is to be sent, with its addresses, as lines of CSV; the event says who took them."""
    holdings = session.scalars(waiting(perk).order_by(Holding.id).limit(MOST_ROWS)).all()
    emit(
        session,
        "cohort.perk.addresses-exported",
        at=at,
        perkId=str(perk.id),
        count=len(holdings),
    )
    head = ("holdingId", *Address.__dataclass_fields__, "carrier", "tracking", "state")
    found = ((it, address_of(session, it)) for it in holdings)
    rows = (
        (encode_id("hld", it.id), *asdict(address).values(), "", "", "shipped")
        for it, address in found
        if address is not None
    )
    return as_csv(chain([head], rows))


def take_tracking(session: Session, perk: Perk, path: Path, *, at: datetime) -> int:
    """Whatever the file names is on its way, or has arrived; all of it, or nothing.

    Columns: `holdingId`, `carrier`, `tracking`, and `state`, which is `shipped` or `delivered`.

    Returns:
        How many holdings moved.

    Raises:
        FileUnreadableError: no table.
        TrackingInvalidError: a line names nothing that can be sent; the sentence says which.

    Locks: the holdings, as the file names them.
    """
    table = path.with_suffix(".table")
    try:
        layout = tables.look(path)
        tables.make(path, table, layout)
        records = list(_some(read_records(table, Dialect(layout.delimiter))))
    finally:
        table.unlink(missing_ok=True)
    if not records:
        raise TrackingInvalidError("The file is empty. Export the shipments and fill them in.")
    places = _places(records[0])
    for record in records[1:]:
        _take(session, perk, record, places, at=at)
    return len(records) - 1


def _some(records: Iterator[Record]) -> Iterator[Record]:
    for number, record in enumerate(records):
        if number > MOST_ROWS:
            raise TrackingInvalidError(f"At most {MOST_ROWS:,} lines at once. Cut the file.")
        yield record


def _places(head: Record) -> dict[str, int]:
    cells = [cell.strip().lower() for cell in head.cells]
    found = {name: cells.index(name.lower()) for name in _COLUMNS if name.lower() in cells}
    if "holdingId" not in found:
        raise TrackingInvalidError("The first line must name its columns, `holdingId` among them.")
    return found


_NAMED_BY_LINE = (
    UnknownIdentifierError,
    HoldingNotFoundError,
    HoldingTransitionError,
    TrackingInvalidError,
)


def _take(
    session: Session, perk: Perk, record: Record, places: dict[str, int], *, at: datetime
) -> None:
    def cell(name: str) -> str:
        place = places.get(name, len(record.cells))
        return record.cells[place].strip() if place < len(record.cells) else ""

    try:
        holding = get_holding(session, perk, HoldingId(decode_id("hld", cell("holdingId"))))
        if holding.shipment is ShipmentState.READY_TO_SHIP:
            ship(session, holding, carrier=cell("carrier"), tracking=cell("tracking"), at=at)
            if cell("state").lower() != "delivered":
                return
        deliver(session, holding, at=at)
    except _NAMED_BY_LINE as error:
        raise TrackingInvalidError(f"Line {record.place.line}: {error}") from None


def get_holding(session: Session, perk: Perk, holding_id: HoldingId) -> Holding:
    """The holding of this perk.

    Raises:
        HoldingNotFoundError: nobody has it of this perk.
    """
    holding = session.get(Holding, holding_id)
    if holding is None or holding.perk_id != perk.id:
        raise HoldingNotFoundError(holding_id)
    return holding


def forget_delivered(session: Session, *, at: datetime) -> int:
    """Addresses of what arrived more than 90 days ago are gone.

    Returns:
        How many.
    """
    is_over = Shipment.sealed.is_not(None) & (Shipment.delivered_at <= at - KEPT)
    return len(session.scalars(_forgetting().where(is_over).returning(Shipment.holding_id)).all())


def forget_addresses(users: Sequence[UserId]) -> Update:
    """A statement after which no address of these members is known."""
    theirs = select(Holding.id).where(Holding.user_id.in_(users))
    return _forgetting().where(Shipment.holding_id.in_(theirs))


def _forgetting() -> Update:
    return update(Shipment).values(sealed=None).execution_options(synchronize_session=False)

"""What devices accepted without connection, judged afterwards under the ids the devices gave it.

A device may do so where its place allows it, with signed codes alone, and each once. Nothing it
sends is lost: what cannot be honoured is listed for people, because somebody has had a coffee.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.passes import counting, keys, seen
from app.passes.tokens import Claims
from app.perks.errors import AlreadyUsedError, HoldingExpiredError
from app.perks.models import Channel, Redemption
from app.scanning import devices, looking, redeeming
from app.scanning.errors import (
    OfflineNotAllowedError,
    TokenExpiredError,
    TokenForgedError,
    TokenNotYetValidError,
)
from app.scanning.looking import FoundPerk
from app.scanning.models import OfflineScan, Outcome, ScanDevice
from app.scanning.scanner import Scanner
from app.web.formats import iso_milliseconds
from core.errors import AppError
from core.types import HoldingId

LONGEST = timedelta(days=7)
"""As long as keys are published after they signed, and less than used codes are remembered."""
_CLOCKS = timedelta(minutes=2)
"""A device's clock may be ahead as much."""


@dataclass(frozen=True)
class Queued:
    """One code that a device accepted.

    Args:
        id: made by the device; the same again is the same scan.
        scanned_at: by the device's clock.
    """

    id: UUID
    token: str
    scanned_at: datetime


def terms(session: Session, scanner: Scanner, *, at: datetime) -> dict[str, Any]:
    """What a device needs to go on alone; its keys are empty where it may not."""
    place = scanner.place_id
    is_allowed = place is not None and devices.is_offline_allowed(session, place)
    found = keys.as_document(scanner.merchant.id, keys.published(session) if is_allowed else [])
    return {"allowed": is_allowed, "now": iso_milliseconds(at), **found}


def sync(
    session: Session, scanner: Scanner, items: Sequence[Queued], *, at: datetime
) -> list[OfflineScan]:
    """A judgement of each, oldest first; one that was judged before is judged the same.

    Locks: the device, so that it sends one thing after the other; then each code and holding.
    """
    assert scanner.device is not None
    device = session.get_one(ScanDevice, scanner.device.id, with_for_update={"of": ScanDevice})
    return [
        session.get(OfflineScan, (device.id, item.id)) or _judge(session, scanner, item, at=at)
        for item in sorted(items, key=lambda it: (it.scanned_at, it.id))
    ]


def _judge(session: Session, scanner: Scanner, item: Queued, *, at: datetime) -> OfflineScan:
    assert scanner.device is not None
    row = OfflineScan(
        device_id=scanner.device.id, id=item.id, scanned_at=item.scanned_at, synced_at=at
    )
    try:
        with session.begin_nested():
            claims, redemption = _accept(session, scanner, item, at=at)
        row.outcome, row.holding_id = Outcome.ACCEPTED, claims.holding
        row.redemption_id = redemption.id if redemption else None
    except (HoldingExpiredError, TokenExpiredError, TokenNotYetValidError) as error:
        row.outcome, row.reason = Outcome.EXPIRED, error.code
    except AppError as error:
        row.outcome, row.reason = Outcome.CONFLICT, error.code
        row.first_at = error.first_at if isinstance(error, AlreadyUsedError) else None
    if row.holding_id is None:
        row.holding_id = _holding_of(session, scanner, item)
    session.add(row)
    session.flush()
    return row


def _accept(
    session: Session, scanner: Scanner, item: Queued, *, at: datetime
) -> tuple[Claims, Redemption | None]:
    """The scan as if it had been sent when it happened."""
    assert scanner.place_id is not None
    if not devices.is_offline_allowed(session, scanner.place_id):
        raise OfflineNotAllowedError
    if not at - LONGEST <= item.scanned_at <= at + _CLOCKS:
        raise TokenExpiredError(item.scanned_at)
    token = looking.as_token(item.token)
    if token is None:
        raise TokenForgedError
    then = item.scanned_at
    claims = looking.check_token(session, scanner, token, at=then).claims
    assert claims is not None
    counting.count_scan(session, place=scanner.place_id, at=then)
    if claims.holding is None:
        if first := seen.use(session, claims, at=then):
            raise AlreadyUsedError(first)
        return claims, None
    found = looking.held(session, claims)
    return claims, redeeming.redeem(session, scanner, found, uses=1, channel=Channel.STAFF, at=then)


def _holding_of(session: Session, scanner: Scanner, item: Queued) -> HoldingId | None:
    """Whose it would have been, where the code says so truly: the manager looks into it."""
    try:
        token = looking.as_token(item.token) or ""
        claims = looking.check_token(session, scanner, token, at=item.scanned_at).claims
        found = looking.held(session, claims) if claims and claims.holding else None
    except AppError:
        return None
    return found.holding.id if isinstance(found, FoundPerk) else None


def as_document(row: OfflineScan) -> dict[str, Any]:
    """What the device is told of one scan."""
    return {
        "id": str(row.id),
        "outcome": row.outcome,
        "reason": row.reason,
        "firstAt": iso_milliseconds(row.first_at) if row.first_at else None,
    }

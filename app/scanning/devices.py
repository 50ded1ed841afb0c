"""Devices: invited for five minutes, paired once, good for ninety days or until revoked.

Codes and keys are 256 random bits, stored as keyed hashes. They are presented before anybody knows
the merchant, so looking them up goes beyond the policies.
"""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.perks.models import Place
from app.scanning.errors import DeviceNotFoundError, PairingOverError
from app.scanning.models import OfflinePlace, ScanDevice
from core.db import beyond_policies, choose_merchant, merchant_of
from core.errors import InvalidError
from core.ids import new_id
from core.secrets import fingerprint
from core.types import DeviceId, PlaceId

PAIRING = timedelta(minutes=5)
LIFETIME = timedelta(days=90)
NAME_LENGTH = 60
_TOUCH_AFTER = timedelta(minutes=1)


def add(session: Session, name: str, place: Place, *, at: datetime) -> ScanDevice:
    """A device of this name will stand at the place.

    Raises:
        InvalidError: no name, or too long a one.
    """
    if not 1 <= len(name.strip()) <= NAME_LENGTH or not name.isprintable():
        sentence = f"A name of 1 to {NAME_LENGTH} characters, for example the counter's."
        raise InvalidError("The device cannot be added yet.", fields={"name": sentence})
    device = ScanDevice(
        id=DeviceId(new_id()), name=name.strip(), place_id=place.id, place=place, created_at=at
    )
    session.add(device)
    session.flush()
    return device


def get(session: Session, device_id: DeviceId) -> ScanDevice:
    """The device.

    Raises:
        DeviceNotFoundError: this merchant has none with the id.
    """
    found = session.get(ScanDevice, device_id)
    if found is None:
        raise DeviceNotFoundError(device_id)
    return found


def invite(session: Session, device: ScanDevice, *, at: datetime) -> str:
    """Whoever opens the returned code within five minutes is this device; earlier codes are not.

    A device that is paired goes on until then.

    Locks: the device.
    """
    session.refresh(device, with_for_update={"of": ScanDevice})
    code = secrets.token_urlsafe(32)
    device.pairing_hash, device.pairing_until = fingerprint("pairing", code), at + PAIRING
    session.flush()
    return code


def find_invited(session: Session, code: str, *, at: datetime) -> ScanDevice:
    """The device a code invites; opening consumes nothing. The session is its merchant's now.

    Raises:
        PairingOverError: used, replaced, older than five minutes, or never made.
    """
    device = _find(session, ScanDevice.pairing_hash == fingerprint("pairing", code))
    if device is None or device.pairing_until is None or device.pairing_until <= at:
        raise PairingOverError
    return device


def pair(session: Session, code: str, *, at: datetime) -> tuple[ScanDevice, str]:
    """The device and its key, which is told this once; whoever held its key before has none.

    Raises:
        PairingOverError: as `find_invited`; of two that open a code at once, one.

    Locks: the device.
    """
    device = find_invited(session, code, at=at)
    session.refresh(device, with_for_update={"of": ScanDevice})
    if device.pairing_hash != fingerprint("pairing", code):
        raise PairingOverError
    key = secrets.token_urlsafe(32)
    device.pairing_hash = device.pairing_until = device.revoked_at = None
    device.key_hash = fingerprint("device", key)
    device.paired_at, device.expires_at = at, at + LIFETIME
    session.flush()
    return device, key


def find(session: Session, key: str, *, at: datetime) -> ScanDevice | None:
    """The device that holds this key and may work, or None; the session is its merchant's now."""
    device = _find(session, ScanDevice.key_hash == fingerprint("device", key))
    if device is None or not device.may_work(at):
        return None
    if device.seen_at is None or at - device.seen_at >= _TOUCH_AFTER:
        device.seen_at = at
    return device


def revoke(session: Session, device: ScanDevice, *, at: datetime) -> None:
    """The device's key and its pairing code open nothing any more.

    Locks: the device.
    """
    session.refresh(device, with_for_update={"of": ScanDevice})
    device.key_hash = device.pairing_hash = device.pairing_until = None
    device.revoked_at = device.revoked_at or at
    session.flush()


def allow_offline(session: Session, place: PlaceId, *, is_allowed: bool, at: datetime) -> None:
    """Devices at the place go on without connection, or not any more."""
    if is_allowed:
        row = insert(OfflinePlace).values(
            place_id=place, merchant_id=merchant_of(session), allowed_at=at
        )
        session.execute(row.on_conflict_do_nothing())
    elif (found := session.get(OfflinePlace, place)) is not None:
        session.delete(found)
        session.flush()


def is_offline_allowed(session: Session, place: PlaceId) -> bool:
    """Whether devices at the place may go on without connection."""
    return session.get(OfflinePlace, place) is not None


def _find(session: Session, condition: ColumnElement[bool]) -> ScanDevice | None:
    with beyond_policies(session):
        device = session.scalar(select(ScanDevice).where(condition))
    if device is not None:
        choose_merchant(session, device.merchant_id)
    return device

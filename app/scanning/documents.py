"""What tills are told, as JSON: never whose anything is."""

from datetime import datetime
from typing import Any

from app.perks.models import Redemption
from app.scanning.looking import FoundPerk
from app.scanning.models import ScanDevice
from app.web.formats import iso_milliseconds
from core.ids import encode_id


def device(row: ScanDevice, key: str) -> dict[str, Any]:
    """A till that was paired just now, with the key it sends from here on."""
    assert row.expires_at is not None
    return {
        "deviceId": encode_id("dev", row.id),
        "name": row.name,
        "placeId": encode_id("plc", row.place_id),
        "key": key,
        "expiresAt": iso_milliseconds(row.expires_at),
    }


def perk(found: FoundPerk) -> dict[str, Any]:
    """A perk in somebody's hands."""
    holding = found.holding
    return {
        "kind": "perk",
        "holdingId": encode_id("hld", holding.id),
        "perkId": encode_id("prk", found.perk.id),
        "title": found.perk.title,
        "conditions": found.perk.conditions,
        "state": holding.state,
        "usesLeft": holding.uses_left,
        "validFrom": _time(holding.valid_from),
        "validUntil": _time(holding.valid_until),
    }


def redemption(row: Redemption, found: FoundPerk, *, external_id: str) -> dict[str, Any]:
    """Uses that were taken."""
    return {
        "id": encode_id("rdm", row.id),
        "externalId": external_id,
        "holdingId": encode_id("hld", found.holding.id),
        "perkId": encode_id("prk", found.perk.id),
        "title": found.perk.title,
        "uses": -row.delta,
        "usesLeft": found.holding.uses_left,
        "state": found.holding.state,
        "placeId": encode_id("plc", row.place_id) if row.place_id else None,
        "at": iso_milliseconds(row.occurred_at),
    }


def undoing(row: Redemption) -> dict[str, Any]:
    """Uses that were taken back."""
    assert row.undo_of is not None
    return {
        "id": encode_id("rdm", row.id),
        "undoOf": encode_id("rdm", row.undo_of),
        "uses": row.delta,
        "at": iso_milliseconds(row.occurred_at),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else iso_milliseconds(at)

"""Where the screens of a batch are."""

from sqlalchemy.orm import Session

from app.claims import service
from app.claims.models import ClaimBatch
from core.ids import decode_id, encode_id
from core.settings import core_settings
from core.types import ClaimBatchId, PlaceId


def batch_of(session: Session, text: str) -> ClaimBatch:
    """The batch an address names.

    Raises:
        BatchNotFoundError, UnknownIdentifierError: this merchant has none with the id.
    """
    return service.get(session, ClaimBatchId(decode_id("clb", text)))


def base_of(batch: ClaimBatch) -> str:
    """The address of the batch's screen."""
    return f"/admin/claims/{encode_id('clb', batch.id)}"


def path_of(code: str, place: PlaceId | None = None) -> str:
    """Where the code is claimed, and that it is put up at a place."""
    at = "" if place is None else f"/at/{encode_id('plc', place)}"
    return f"/claim/{code}{at}"


def link_of(code: str, place: PlaceId | None = None) -> str:
    """The same as it stands on paper and in QR codes."""
    return f"{core_settings().public_url}{path_of(code, place)}"

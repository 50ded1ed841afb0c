"""Where the screens of a batch are."""

from sqlalchemy.orm import Session

from app.claims import service
from app.claims.models import ClaimBatch
from core.ids import decode_id, encode_id
from core.settings import core_settings
from core.types import ClaimBatchId


def batch_of(session: Session, text: str) -> ClaimBatch:
    """The batch an address names.

    Raises:
        BatchNotFoundError, UnknownIdentifierError: this merchant has none with the id.
    """
    return service.get(session, ClaimBatchId(decode_id("clb", text)))


def base_of(batch: ClaimBatch) -> str:
    """The address of the batch's screen."""
    return f"/admin/claims/{encode_id('clb', batch.id)}"


def link_of(code: str) -> str:
    """Where the code is claimed, as it stands on paper and in QR codes."""
    return f"{core_settings().public_url}/claim/{code}"

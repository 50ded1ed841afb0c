"""The seed of a batch: kept sealed, and opened where its codes are shown or made."""

from app.claims.codes import code_at, new_seed
from app.claims.errors import BatchSealedError
from app.claims.models import ClaimBatch
from core.secrets import seal, unseal
from core.types import ClaimBatchId

_PURPOSE = "claim-seed"


def sealed_seed(batch_id: ClaimBatchId) -> bytes:
    """A new seed that only this installation opens, and only for this batch."""
    return seal(_PURPOSE, new_seed(), bound_to=batch_id.bytes)


def open_seed(batch: ClaimBatch) -> bytes:
    """The seed.

    Raises:
        BatchSealedError: it was destroyed.
    """
    if batch.seed is None:
        raise BatchSealedError
    return unseal(_PURPOSE, batch.seed, bound_to=batch.id.bytes)


def code_of(batch: ClaimBatch, position: int) -> str:
    """The code at this position.

    Raises:
        BatchSealedError: nobody can know it any more.
    """
    return code_at(open_seed(batch), position)

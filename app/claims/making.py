"""Codes are made in the background, a part a transaction, until a batch has as many as it should.

What is behind the batch's `made_count` does not exist, so a worker that is killed goes on, and the
same position has the same code whoever makes it. Written as the engine: COPY does not go through a
policy.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.claims.codes import code_at, code_fingerprint
from app.claims.models import ClaimBatch
from app.claims.seeds import open_seed
from core.events import emit
from core.ids import encode_id
from core.types import ClaimBatchId

TASK = "claims.make"
CODES_A_PART = 50_000
_LINES_A_BLOCK = 5_000
_COPY = (
    "COPY claim_codes (merchant_id, batch_id, position, fingerprint, uses_left, opened_count)"
    " FROM STDIN"
)


def is_unfinished() -> ColumnElement[bool]:
    """Which batches have fewer codes than they should."""
    return ClaimBatch.made_count < ClaimBatch.code_count


def run_part(session: Session, batch_id: ClaimBatchId, *, at: datetime) -> bool:
    """The next codes of the batch exist.

    Args:
        session: of the engine.

    Returns:
        True while there is more to do.

    Locks: the batch; while another process makes its codes nothing is done.
    """
    batch = session.scalar(
        select(ClaimBatch)
        .where(ClaimBatch.id == batch_id, is_unfinished())
        .with_for_update(skip_locked=True, key_share=True)
        .execution_options(populate_existing=True)
    )
    if batch is None:
        return False
    first = batch.made_count + 1
    last = min(batch.made_count + CODES_A_PART, batch.code_count)
    cursor: Any = session.connection().connection.cursor()
    with cursor, cursor.copy(_COPY) as copy:
        for block in _blocks(batch, first, last):
            copy.write(block)
    batch.made_count = last
    session.flush()
    if last < batch.code_count:
        return True
    name = encode_id("clb", batch.id)
    emit(session, "cohort.claim.generated", at=at, batchId=name, codes=batch.code_count)
    return False


def _blocks(batch: ClaimBatch, first: int, last: int) -> Iterator[str]:
    """Lines of COPY's text format."""
    seed = open_seed(batch)
    head = f"{batch.merchant_id}\t{batch.id}\t"
    tail = f"\t{batch.uses_per_code}\t0\n"
    for start in range(first, last + 1, _LINES_A_BLOCK):
        yield "".join(
            f"{head}{position}\t\\\\x{code_fingerprint(code_at(seed, position)).hex()}{tail}"
            for position in range(start, min(start + _LINES_A_BLOCK, last + 1))
        )

"""A pass over one relayer: who may run it, up to which block, and whether nonces and money agree.

A pass compares rows with blocks that are final, and ends below the first block that the pipeline
has not recorded yet; what it had a whole pass's time for and did not record is a difference.
No network connection is open inside a SQL transaction, so no lock can keep two passes apart:
a claim in the relayer's row does, and every write of a pass says that it still holds it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from eth_typing import ChecksumAddress
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, contains_eager, selectinload

from chain import witnesses
from chain.client import ChainClient
from chain.discrepancies import Standing
from chain.errors import ClaimLostError, RpcError
from chain.models import (
    OPEN_STATES,
    LaneReconciliation,
    LaneRole,
    NonceLane,
    Transaction,
)
from chain.networks import find_lane
from core.db import change, unit_of_work
from core.ids import new_id
from core.types import LaneId, MerchantId

log = structlog.get_logger(__name__)

CLAIM = timedelta(minutes=10)
"""Until a pass that writes nothing counts as dead."""

PATIENCE = timedelta(seconds=20)
"""What the pipeline has to record a final block; passes begin every thirty seconds."""

_ANY_NONCE = 2**63 - 1
_NOTHING = -1
"""No block was seen so long ago."""


Blocks = tuple[int, int]
"""The first and the last."""


@dataclass(frozen=True)
class Pass:
    """One comparison of a relayer and what it sent.

    Args:
        claim: what every write of it must still find in the relayer's row.
        seen_block: final a pass ago, so the pipeline has recorded everything up to it.
        overlap: blocks that are compared again, because they became final since the pass before.
        is_full: everything is compared, not only what is new.
    """

    merchant: MerchantId
    chain_id: int
    lane_id: LaneId
    relayer: ChecksumAddress
    base_nonce: int
    claim: UUID
    seen_block: int
    line: int
    overlap: int
    is_full: bool
    at: datetime

    def parts_after(self, last: int, known: Standing, *, first: int, end: int) -> list[Blocks]:
        """What to compare behind what was compared up to `last`, and once more.

        Args:
            known: differences that last; the pass looks where they are, too.
            first: the first block there is to compare.
        """
        if end < last or (end == last and known.count == 0):
            return []
        start = max(first, last + 1 - self.overlap)
        return [(block, block) for block in known.blocks if block < start] + [(start, end)]


def begin(
    merchant: MerchantId,
    chain_id: int,
    *,
    role: LaneRole = LaneRole.RELAYER,
    line: int,
    overlap: int,
    is_full: bool,
    at: datetime,
) -> Pass | None:
    """The merchant's lane on the chain is this pass's, or None while another pass runs.

    Locks: the lane's row of comparisons, for a moment.
    """
    claim = new_id()
    with unit_of_work(merchant=merchant) as session:
        lane = find_lane(session, chain_id, role)
        if lane is None:
            return None
        session.execute(
            insert(LaneReconciliation)
            .values(lane_id=lane.id, seen_block=_NOTHING, last_block=_NOTHING)
            .on_conflict_do_nothing()
        )
        is_free = LaneReconciliation.claim.is_(None) | (
            LaneReconciliation.claimed_until < func.clock_timestamp()
        )
        query = select(LaneReconciliation).where(LaneReconciliation.lane_id == lane.id, is_free)
        row = session.scalar(query.with_for_update(skip_locked=True))
        if row is None:
            return None
        row.claim, row.claimed_until = claim, func.clock_timestamp() + CLAIM
        return Pass(
            *(merchant, chain_id, lane.id, lane.address, lane.base_nonce, claim),
            *(_seen(row, at), line, overlap, is_full, at),
        )


def _seen(row: LaneReconciliation, at: datetime) -> int:
    """The block that was final long enough ago."""
    return row.seen_block if row.seen_at and at - row.seen_at >= PATIENCE else _NOTHING


def hold(session: Session, run: Pass) -> None:
    """The pass still is the only one, and is alive.

    Raises:
        ClaimLostError: it stood still for so long that another took over.

    Locks: the relayer's row of comparisons.
    """
    mine = update(LaneReconciliation).where(
        LaneReconciliation.lane_id == run.lane_id, LaneReconciliation.claim == run.claim
    )
    if change(session, mine.values(claimed_until=func.clock_timestamp() + CLAIM)) == 0:
        raise ClaimLostError


def finish(run: Pass) -> None:
    """Another pass may begin; if this one lost its claim, nothing changes."""
    with unit_of_work(merchant=run.merchant) as session:
        row = session.scalar(
            select(LaneReconciliation)
            .where(LaneReconciliation.lane_id == run.lane_id, LaneReconciliation.claim == run.claim)
            .with_for_update()
        )
        if row is None:
            return
        row.claim = row.claimed_until = None
        if row.seen_at is None or run.at - row.seen_at >= PATIENCE:
            row.seen_block, row.seen_at = run.line, run.at


def end_of(run: Pass, client: ChainClient, *, unsettled: int | None) -> int:
    """The last block to compare: below the first one whose record may still be under way.

    Args:
        unsettled: the first block of a final transaction whose effect is not in the tables yet.

    Raises:
        ChainUnavailableError: too few nodes answer.
    """
    blocks = [] if unsettled is None else [unsettled]
    for transaction in _open(run, below=_used(run, client)):
        for attempt in transaction.attempts:
            receipt = witnesses.receipt(client, attempt.tx_hash)
            if receipt is not None:
                blocks.append(receipt.block_number)
    young = [block for block in blocks if run.seen_block < block <= run.line]
    return min(young, default=run.line + 1) - 1


def _used(run: Pass, client: ChainClient) -> int:
    """How many nonces the relayer has used; where a node forgot, any may be."""
    try:
        return witnesses.transaction_count(client, run.relayer, block=run.line)
    except RpcError:
        return _ANY_NONCE


def _open(run: Pass, *, below: int) -> list[Transaction]:
    """Transactions that are not final in the tables although their nonces are used."""
    with unit_of_work(merchant=run.merchant) as session:
        query = (
            select(Transaction)
            .where(
                Transaction.lane_id == run.lane_id,
                Transaction.nonce < below,
                Transaction.state.in_(OPEN_STATES),
            )
            .options(selectinload(Transaction.attempts))
        )
        return list(session.scalars(query))


def progress(session: Session) -> list[LaneReconciliation]:
    """How far every relayer of the merchant was compared."""
    lane = contains_eager(LaneReconciliation.lane).joinedload(NonceLane.chain)
    query = select(LaneReconciliation).join(LaneReconciliation.lane).order_by(NonceLane.id)
    return list(session.scalars(query.options(lane)))

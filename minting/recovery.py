"""Recognises what a restored lane finds on the chain: its own batches, bumps and cancels.

A frozen batch says which bytes deliver it, so transactions that a backup has forgotten are found
again by their contract and calldata. They become the batch's transaction, and settlement follows
the chain as if nothing had been lost.
"""

from datetime import datetime
from hashlib import sha256

import structlog
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from chain import sightings
from chain.models import AttemptKind, Outcome, Transaction, TransactionKind, TransactionState
from chain.sightings import Found
from core.db import unit_of_work
from core.types import MerchantId
from minting.models import Batch, BatchState, Plan, PlanState

log = structlog.get_logger(__name__)


def recognise_found(merchant: MerchantId, *, chain_id: int, at: datetime) -> int:
    """What the chain showed of the merchant's restored lanes is bound to the rows it belongs to.

    Returns:
        How many transactions were recognised, as whatever they are.

    Locks: the lanes, then their batches.
    """
    with unit_of_work(merchant=merchant) as session:
        found = sightings.list_unrecognised(session, chain_id)
        for each in found:
            _let_go(session, each)
        session.flush()
        return sum(_recognise(session, each, at=at) for each in found)


def _let_go(session: Session, found: Found) -> None:
    """A batch whose nonce is used up by other bytes, finally, is planned again.

    Only where two backups of different pasts were restored one after the other.
    """
    row = found.row
    if row is None or row.batch_id is None or found.is_no_op or found.repeats_row:
        return
    batch = session.get_one(Batch, row.batch_id, with_for_update=True)
    row.batch_id = None
    if batch.state is BatchState.ASSIGNED:
        batch.state = BatchState.PLANNED
    log.warning("batch_let_go", batch=str(batch.id), nonce=found.nonce)


def _recognise(session: Session, found: Found, *, at: datetime) -> bool:
    """False while it is not yet certain."""
    if found.is_no_op:
        sightings.recognise(session, found, AttemptKind.CANCEL, at=at)
    elif found.repeats_row:
        sightings.recognise(session, found, AttemptKind.BUMP, at=at)
    else:
        candidates = _batches_of(session, found)
        if any(_is_open(session, batch) for batch in candidates):
            return False  # its transaction decides first
        free = [batch for batch in candidates if not _is_delivered(session, batch)]
        _bind(session, found, free[0], at=at) if free else _report(session, found, at=at)
    return True


def _batches_of(session: Session, found: Found) -> list[Batch]:
    """Batches that these bytes deliver and that are not known to be delivered."""
    payload = found.payload
    return list(
        session.scalars(
            select(Batch)
            .join(Plan)
            .where(
                Plan.chain_id == found.lane.chain_id,
                Plan.sender == found.lane.role,
                Plan.contract.is_not_distinct_from(payload.to),
                Batch.content_hash == sha256(payload.data).digest(),
                Batch.calldata == payload.data,
                Batch.state != BatchState.FINAL,
            )
            .order_by(Plan.ordinal, Batch.index)
            .with_for_update(of=Batch)
        )
    )


def _is_open(session: Session, batch: Batch) -> bool:
    is_open = (Transaction.batch_id == batch.id) & (Transaction.state != TransactionState.FINAL)
    return bool(session.scalar(select(exists().where(is_open))))


def _is_delivered(session: Session, batch: Batch) -> bool:
    is_its_end = (Transaction.batch_id == batch.id) & (Transaction.outcome != Outcome.CANCELLED)
    return bool(session.scalar(select(exists().where(is_its_end))))


def _bind(session: Session, found: Found, batch: Batch, *, at: datetime) -> None:
    row = sightings.recognise(session, found, AttemptKind.BUMP, at=at)
    kind = TransactionKind.DEPLOY if found.payload.to is None else TransactionKind.BATCH
    sightings.rename(row, found, kind, batch_id=batch.id)
    batch.state, batch.held_reason = BatchState.ASSIGNED, None
    if batch.plan.state is PlanState.HELD:
        batch.plan.state = PlanState.RUNNING
    session.flush()
    log.warning("batch_found", batch=str(batch.id), nonce=found.nonce)


def _report(session: Session, found: Found, *, at: datetime) -> None:
    """Nothing in this database asks for it: a person has to know."""
    row = sightings.recognise(session, found, AttemptKind.FORGOTTEN, at=at)
    kind = TransactionKind.DEPLOY if found.payload.to is None else TransactionKind.CALL
    sightings.rename(row, found, kind, batch_id=None)
    session.flush()
    log.critical("transaction_forgotten", nonce=found.nonce, to=found.payload.to)

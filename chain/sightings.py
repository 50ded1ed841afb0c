"""What the blocks show of a restored lane, and the rows it belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from eth_utils.crypto import keccak
from sqlalchemy import and_, exists, select
from sqlalchemy.orm import Session, selectinload

from chain.bindings.create import create_address
from chain.models import (
    Attempt,
    AttemptKind,
    LaneState,
    NonceLane,
    Recovery,
    Sighting,
    Transaction,
    TransactionKind,
    TransactionState,
)
from chain.pipeline import Intent
from chain.replacements import payload_of
from core.ids import new_id
from core.types import BatchId, TransactionId
from wallets.models import TransactionPayload

AT_ONCE = 100
"""Recognised in one step, so that watching them takes no minutes."""


@dataclass(frozen=True)
class Found:
    """Bytes that used a nonce of the lane, finally, and that no attempt has yet.

    Args:
        row: the lane's transaction with this nonce; None where the database never had one.
    """

    lane: NonceLane
    nonce: int
    raw: bytes
    payload: TransactionPayload
    row: Transaction | None

    @property
    def is_no_op(self) -> bool:
        """Whether it is the kind of transaction that cancels another."""
        return self.payload.to == self.lane.address and not self.payload.data

    @property
    def repeats_row(self) -> bool:
        """Whether the row was signed for just this, with other fees."""
        attempts = self.row.attempts if self.row is not None else []
        intended = [payload_of(it.raw) for it in attempts if it.kind is not AttemptKind.CANCEL]
        own = (self.payload.to, self.payload.data)
        return any((payload.to, payload.data) == own for payload in intended)


def missing(session: Session, recovery: Recovery) -> list[int]:
    """The nonces of which neither a final row nor a final block is known."""
    final = select(Transaction.nonce).where(
        Transaction.lane_id == recovery.lane_id,
        Transaction.nonce >= recovery.first_nonce,
        Transaction.state == TransactionState.FINAL,
    )
    sighted = select(Sighting.nonce).where(Sighting.lane_id == recovery.lane_id)
    known = set(session.scalars(final.union(sighted)))
    return [n for n in range(recovery.first_nonce, recovery.target) if n not in known]


def list_unrecognised(session: Session, chain_id: int) -> Sequence[Found]:
    """What has to be recognised: rows that exist first. Nothing of a lane until every nonce of it
    is found.

    Locks: the lanes, in the order of their ids.
    """
    lanes = session.execute(
        select(NonceLane, Recovery)
        .join(Recovery, Recovery.lane_id == NonceLane.id)
        .where(NonceLane.chain_id == chain_id, NonceLane.state == LaneState.RESTORED)
        .order_by(NonceLane.id)
        .with_for_update(of=NonceLane)
    ).all()
    return [
        found
        for lane, recovery in lanes
        if not missing(session, recovery)
        for found in _list_of(session, lane)
    ]


def _list_of(session: Session, lane: NonceLane) -> list[Found]:
    of_nonce = and_(Transaction.lane_id == lane.id, Transaction.nonce == Sighting.nonce)
    rows = session.execute(
        select(Sighting, Transaction)
        .outerjoin(Transaction, of_nonce)
        .where(
            Sighting.lane_id == lane.id,
            Transaction.state.is_distinct_from(TransactionState.FINAL),
            ~exists().where(Attempt.tx_hash == Sighting.tx_hash),
        )
        .order_by(Transaction.id.is_(None), Sighting.nonce)
        .limit(AT_ONCE)
        .options(selectinload(Transaction.attempts))
    )
    return [Found(lane, it.nonce, it.raw, payload_of(it.raw), row) for it, row in rows]


def recognise(session: Session, found: Found, kind: AttemptKind, *, at: datetime) -> Transaction:
    """The found bytes are an attempt of the row with their nonce, and `chain.pipeline` ends it.

    Locks: nothing; the caller holds the lane.
    """
    row = found.row if found.row is not None else _no_op_row(session, found, at=at)
    row.foreign_use_at = None
    if kind is AttemptKind.BUMP and not row.attempts:
        kind = AttemptKind.FIRST
    attempt = Attempt(
        seq=len(row.attempts),
        kind=kind,
        raw=found.raw,
        signed_at=at,
        tx_hash=keccak(found.raw),
        gas=found.payload.gas,
        max_fee_per_gas=found.payload.max_fee_per_gas,
        max_priority_fee_per_gas=found.payload.max_priority_fee_per_gas,
    )
    row.attempts.append(attempt)
    session.flush()
    return row


def rename(
    row: Transaction, found: Found, kind: TransactionKind, *, batch_id: BatchId | None
) -> None:
    """The row stands for what was found, and no longer for what used to be meant by it."""
    payload = found.payload
    row.kind, row.to, row.batch_id = kind, payload.to, batch_id
    row.intent_hash = Intent(kind, payload.to, payload.data, payload.gas).digest()
    is_creation = payload.to is None
    row.contract_address = create_address(found.lane.address, found.nonce) if is_creation else None


def _no_op_row(session: Session, found: Found, *, at: datetime) -> Transaction:
    payload = found.payload
    row = Transaction(
        id=TransactionId(new_id()),
        lane=found.lane,
        nonce=found.nonce,
        kind=TransactionKind.NOOP,
        intent_hash=Intent(TransactionKind.NOOP, payload.to, payload.data, payload.gas).digest(),
        to=payload.to,
        created_at=at,
        next_action_at=at,
    )
    session.add(row)
    return row

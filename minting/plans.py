"""Freezes decisions: from here on a batch's bytes never change, whatever the tables say later."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from sqlalchemy.orm import Session

from chain.models import LaneRole
from core.ids import new_id
from core.types import BatchId, Gas, PlanId
from minting.models import Batch, Plan, PlanKind
from wallets import approvals
from wallets.addresses import ChecksumAddress
from wallets.approvals import Call
from wallets.models import WalletKind


@dataclass(frozen=True)
class FrozenBatch:
    """One transaction's worth of a plan.

    Args:
        chain_key: what the contract refuses to repeat; unique for ever.
        recipient_count: members served; 0 for a deployment.
        gas: the forecast; without one the gas is measured before it is sent.
        data_nonce: the number of the data contract it makes, if it makes one.
    """

    chain_key: str
    calldata: bytes
    recipient_count: int = 0
    gas: Gas | None = None
    data_nonce: int | None = None


@dataclass(frozen=True)
class Target:
    """Where a plan's transactions go: a contract on a chain, or a new one."""

    chain_id: int
    contract: ChecksumAddress | None


def freeze(
    session: Session,
    kind: PlanKind,
    target: Target,
    batches: Sequence[FrozenBatch],
    *,
    subject_id: UUID | None,
    sender: LaneRole = LaneRole.RELAYER,
    at: datetime,
) -> Plan:
    """The plan and its batches are stored, ready to be sent in order, and may be signed.

    Args:
        sender: whose key signs them.

    Raises:
        IntegrityError: a batch of the same chain key exists; the same was planned before.
    """
    digest = sha256(b"".join(sha256(batch.calldata).digest() for batch in batches)).digest()
    plan = Plan(
        id=PlanId(new_id()),
        chain_id=target.chain_id,
        sender=sender,
        contract=target.contract,
        kind=kind,
        subject_id=subject_id,
        plan_hash=digest,
        created_at=at,
    )
    session.add(plan)
    first = 0
    for index, frozen in enumerate(batches):
        plan.batches.append(_batch(frozen, index=index, first=first))
        first += max(frozen.recipient_count, 1)
    session.flush()
    approve(session, plan, plan.batches, at=at)
    return plan


def approve(session: Session, plan: Plan, batches: Iterable[Batch], *, at: datetime) -> None:
    """The sender's key may sign these batches of the plan; a repeat changes nothing."""
    signer = WalletKind(plan.sender)
    calls = (Call(plan.chain_id, plan.contract, batch.calldata, signer) for batch in batches)
    approvals.approve(session, calls, at=at)


def _batch(frozen: FrozenBatch, *, index: int, first: int) -> Batch:
    return Batch(
        id=BatchId(new_id()),
        index=index,
        first_ordinal=first,
        last_ordinal=first + frozen.recipient_count - 1,
        content_hash=sha256(frozen.calldata).digest(),
        chain_key=frozen.chain_key,
        calldata=frozen.calldata,
        gas=frozen.gas,
        data_nonce=frozen.data_nonce,
    )

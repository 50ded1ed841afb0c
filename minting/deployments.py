"""Contracts that a merchant's relayer creates once on a chain: planned once, then found."""

from datetime import datetime

from eth_typing import ChecksumAddress
from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.bindings.create import create_address
from chain.models import NonceLane, Outcome, Transaction
from minting import plans
from minting.models import Batch, Plan, PlanKind
from minting.plans import FrozenBatch, Target


def deployed(session: Session, kind: PlanKind, lane: NonceLane) -> ChecksumAddress | None:
    """Where the contract of a deployment stands, once that is final and did not revert."""
    nonce = session.scalar(
        select(Transaction.nonce)
        .join(Batch, Batch.id == Transaction.batch_id)
        .join(Plan)
        .where(
            Plan.kind == kind,
            Plan.chain_id == lane.chain_id,
            Transaction.outcome == Outcome.SUCCESS,
        )
    )
    return None if nonce is None else create_address(lane.address, nonce)


def plan_once(
    session: Session, kind: PlanKind, lane: NonceLane, code: bytes, *, at: datetime
) -> None:
    """The contract is on its way, if nobody planned it before."""
    planned = session.scalar(
        select(Plan.id).where(Plan.kind == kind, Plan.chain_id == lane.chain_id)
    )
    if planned is None:
        key = f"deploy:{kind}:{lane.chain_id}:{lane.id}"
        batch = FrozenBatch(chain_key=key, calldata=code)
        target = Target(lane.chain_id, None)
        plans.freeze(session, kind, target, [batch], subject_id=None, at=at)

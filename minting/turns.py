"""Whose turn it is: the next batch of every plan, once what comes before it is in a block."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, ScalarSelect, and_, exists, func, select
from sqlalchemy.orm import Session, aliased

from chain import lanes
from chain.models import (
    Chain,
    LaneRole,
    LaneState,
    NonceLane,
    Outcome,
    Transaction,
    TransactionState,
)
from core.db import unit_of_work
from core.types import BatchId, Gas, LaneId, MerchantId, PlanId
from minting.models import Batch, BatchState, Plan, PlanKind, PlanState
from wallets.addresses import ChecksumAddress


@dataclass(frozen=True)
class Ready:
    """A batch whose turn it is, as last read."""

    batch_id: BatchId
    plan_id: PlanId
    lane_id: LaneId
    sender: ChecksumAddress
    to: ChecksumAddress | None
    calldata: bytes
    gas: Gas | None


def find(merchant: MerchantId, chain_id: int, sender: LaneRole) -> tuple[list[Ready], int]:
    """The batches whose turn it is, and the newest block that a transaction of the lane is in."""
    with unit_of_work(merchant=merchant) as session:
        lane = session.scalar(
            select(NonceLane).where(
                NonceLane.chain_id == chain_id,
                NonceLane.role == sender,
                NonceLane.state.in_((LaneState.ACTIVE, LaneState.UNFUNDED)),
            )
        )
        if lane is None:
            return [], 0
        rows = session.execute(
            select(Batch, Plan)
            .join(Plan, (Plan.id == Batch.plan_id) & (Batch.index == _first_planned()))
            .where(Plan.chain_id == chain_id, Plan.sender == sender, is_its_turn())
            .order_by(Plan.ordinal, Batch.index)
            .limit(lanes.room(session, lane.id))
        ).all()
        ready = [
            Ready(
                *(batch.id, plan.id, lane.id, lane.address),
                *(plan.contract, batch.calldata, batch.gas),
            )
            for batch, plan in rows
        ]
        return ready, known_block(session, lane.id)


def _first_planned() -> ScalarSelect[int]:
    """The plan's only batch whose turn it can be, so that thousands behind it are not looked at."""
    planned = aliased(Batch)
    return (
        select(func.min(planned.index))
        .where(planned.plan_id == Plan.id, planned.state == BatchState.PLANNED)
        .correlate(Plan)
        .scalar_subquery()
    )


def is_its_turn() -> ColumnElement[bool]:
    """Of a batch joined with its plan: it is planned, and what comes before it is in a block."""
    return and_(
        Plan.state == PlanState.RUNNING,
        Plan.is_paused.is_(False),
        Batch.state == BatchState.PLANNED,
        _no_unmined_predecessor(),
    )


def known_block(session: Session, lane_id: LaneId) -> int:
    """The newest block known of the lane's chain: final, or with a transaction of the lane."""
    mined = select(func.max(Transaction.block_number)).where(Transaction.lane_id == lane_id)
    query = select(func.greatest(Chain.final_number, mined.scalar_subquery()))
    return session.scalar(query.join(NonceLane).where(NonceLane.id == lane_id)) or 0


def _no_unmined_predecessor() -> ColumnElement[bool]:
    """No earlier batch of the sender for the same contract is still outside a block.

    Relayer and issuer do not wait for one another: whatever the order of what they send, each call
    does the same.
    """
    earlier, earlier_plan = aliased(Batch), aliased(Plan)
    in_block = exists().where(
        Transaction.batch_id == earlier.id,
        Transaction.state.in_((TransactionState.MINED, TransactionState.FINAL)),
        Transaction.outcome.is_distinct_from(Outcome.CANCELLED),
    )
    is_on_its_way = earlier.state.in_((BatchState.PLANNED, BatchState.ASSIGNED)) & ~in_block
    return ~(
        select(earlier.id)
        .join(earlier_plan, earlier_plan.id == earlier.plan_id)
        .where(
            earlier_plan.contract.is_not_distinct_from(Plan.contract),
            earlier_plan.sender == Plan.sender,
            _is_before(earlier_plan, earlier),
            is_on_its_way | stands_in_the_way(earlier_plan, earlier),
        )
        .exists()
    )


def _is_before(plan: type[Plan], batch: type[Batch]) -> ColumnElement[bool]:
    return (plan.ordinal < Plan.ordinal) | (
        (plan.ordinal == Plan.ordinal) & (batch.index < Batch.index)
    )


def stands_in_the_way(plan: type[Plan], batch: type[Batch]) -> ColumnElement[bool]:
    """A held batch of a kind that the contract numbers: it refuses everything after a gap."""
    return (batch.state == BatchState.HELD) & plan.kind.in_((PlanKind.PASSES, PlanKind.DROP))

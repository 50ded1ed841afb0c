"""Hands planned batches to the pipeline, one at a time and in order for each plan.

The gas of a batch is measured against the chain as its predecessors left it, so a batch is sent
once the one before it is in a block. Numbered batches depend on that order anyway.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session, aliased

from chain import pipeline
from chain.client import ChainClient
from chain.errors import LanePausedError, RpcError
from chain.fees import Fees, suggest, with_margin
from chain.models import LaneState, NonceLane, Transaction, TransactionKind, TransactionState
from chain.pipeline import Intent
from chain.settings import chain_settings
from core.db import unit_of_work
from core.types import BatchId, Gas, LaneId, MerchantId, PlanId, Wei
from minting.errors import BatchNotFoundError
from minting.models import Batch, BatchState, Plan, PlanState
from wallets.addresses import ChecksumAddress
from wallets.policy import MAX_GAS

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Ready:
    batch_id: BatchId
    plan_id: PlanId
    lane_id: LaneId
    sender: ChecksumAddress
    to: ChecksumAddress | None
    calldata: bytes


def assign_ready(merchant: MerchantId, client: ChainClient, *, chain_id: int, at: datetime) -> int:
    """Every plan's next batch is signed and stored, if the one before it is in a block.

    A batch that the contract would refuse is held with its words, and the plan stops. Where the gas
    cannot be measured for another reason, the next call tries again.

    Returns:
        How many batches became transactions.

    Raises:
        ChainUnavailableError: gas or fees could not be read; nothing was changed.
    """
    ready = _ready(merchant, chain_id)
    if not ready:
        return 0
    fees = _fees(client)
    return sum(_assign(merchant, client, item, fees=fees, at=at) for item in ready)


def _ready(merchant: MerchantId, chain_id: int) -> list[_Ready]:
    with unit_of_work(merchant=merchant) as session:
        lane = session.scalar(
            select(NonceLane).where(
                NonceLane.chain_id == chain_id, NonceLane.state == LaneState.ACTIVE
            )
        )
        if lane is None:
            return []
        rows = session.execute(
            select(Batch, Plan)
            .join(Plan)
            .where(
                Plan.chain_id == chain_id,
                Plan.state == PlanState.RUNNING,
                Batch.state == BatchState.PLANNED,
                _no_unmined_predecessor(),
            )
            .order_by(Plan.id, Batch.index)
        ).all()
        return [
            _Ready(batch.id, plan.id, lane.id, lane.address, plan.contract, batch.calldata)
            for batch, plan in rows
        ]


def _no_unmined_predecessor() -> ColumnElement[bool]:
    """No earlier batch for the same contract is still outside a block."""
    earlier, earlier_plan = aliased(Batch), aliased(Plan)
    in_block = exists().where(
        Transaction.batch_id == earlier.id,
        Transaction.state.in_((TransactionState.MINED, TransactionState.FINAL)),
    )
    same_contract = earlier_plan.contract.is_not_distinct_from(Plan.contract)
    return ~(
        select(earlier.id)
        .join(earlier_plan, earlier_plan.id == earlier.plan_id)
        .where(
            same_contract,
            (earlier_plan.id < Plan.id)
            | ((earlier_plan.id == Plan.id) & (earlier.index < Batch.index)),
            earlier.state.in_((BatchState.PLANNED, BatchState.ASSIGNED)),
            ~in_block,
        )
        .exists()
    )


def _fees(client: ChainClient) -> Fees:
    settings = chain_settings()
    cap = settings.max_fee_per_gas_wei
    return suggest(
        client.head().base_fee_per_gas,
        Wei(settings.priority_fee_per_gas_wei),
        cap=None if cap is None else Wei(cap),
    )


def _assign(
    merchant: MerchantId, client: ChainClient, ready: _Ready, *, fees: Fees, at: datetime
) -> int:
    try:
        gas = with_margin(client.estimate_gas(ready.sender, ready.to, ready.calldata))
    except RpcError as error:
        if error.is_revert:
            _hold(merchant, ready.batch_id, error.reason)
        else:
            log.warning("gas_not_measured", batch=str(ready.batch_id), reason=error.reason)
        return 0
    if gas > MAX_GAS:
        # The margin may pass the cap while the measured gas is below it.
        gas = Gas(MAX_GAS)
    try:
        with unit_of_work(merchant=merchant) as session:
            return _claim(session, ready, gas=gas, fees=fees, at=at)
    except LanePausedError:
        return 0


def _claim(session: Session, ready: _Ready, *, gas: Gas, fees: Fees, at: datetime) -> int:
    batch = session.scalar(
        select(Batch)
        .where(Batch.id == ready.batch_id, Batch.state == BatchState.PLANNED)
        .with_for_update(skip_locked=True)
    )
    if batch is None:
        return 0
    kind = TransactionKind.DEPLOY if ready.to is None else TransactionKind.BATCH
    intent = Intent(kind=kind, to=ready.to, data=batch.calldata, gas=gas, batch_id=batch.id)
    pipeline.enqueue(session, ready.lane_id, intent, fees=fees, at=at)
    batch.state = BatchState.ASSIGNED
    return 1


def release(session: Session, batch_id: BatchId) -> None:
    """A batch that was held before it was signed is tried again; any other stays as it is.

    Its bytes are the same, so the contract still refuses whatever it has done before.

    Raises:
        BatchNotFoundError: this merchant has no such batch.

    Locks: the batch.
    """
    batch = session.get(Batch, batch_id, with_for_update=True)
    if batch is None:
        raise BatchNotFoundError(batch_id)
    is_signed = session.scalar(select(exists().where(Transaction.batch_id == batch_id)))
    if batch.state is BatchState.HELD and not is_signed:
        batch.state, batch.held_reason = BatchState.PLANNED, None
        batch.plan.state = PlanState.RUNNING


def _hold(merchant: MerchantId, batch_id: BatchId, reason: str) -> None:
    with unit_of_work(merchant=merchant) as session:
        batch = session.get_one(Batch, batch_id, with_for_update=True)
        if batch.state is BatchState.PLANNED:
            batch.state, batch.held_reason = BatchState.HELD, reason
            batch.plan.state = PlanState.HELD
    log.error("batch_held", batch=str(batch_id), reason=reason)

"""Hands planned batches to the pipeline, one at a time and in order for each plan.

The gas of a batch is looked at on the chain as its predecessors left it, so a batch is sent once
the one before it is in a block, and looked at after that block: a node that lags behind must not
make a refusal out of its ignorance. Numbered batches depend on that order anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import ColumnElement, ScalarSelect, and_, exists, func, select
from sqlalchemy.orm import Session, aliased, contains_eager

from chain import lanes, pipeline, recovery
from chain.client import ChainClient
from chain.errors import LaneFullError, LanePausedError, RpcError
from chain.fees import Fees, current, with_margin
from chain.models import (
    Chain,
    LaneState,
    NonceLane,
    Outcome,
    Transaction,
    TransactionKind,
    TransactionState,
)
from chain.pipeline import Intent, Priced
from core.db import unit_of_work
from core.types import BatchId, Gas, LaneId, MerchantId, PlanId, Wei
from minting import limits
from minting.errors import BatchNotFoundError
from minting.limits import Offer
from minting.models import Batch, BatchState, Plan, PlanKind, PlanState
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
    gas: Gas | None


@dataclass(frozen=True)
class _Conditions:
    """What the chain offers now: the prices, and the block that gas is measured after."""

    fees: Fees
    base_fee: Wei
    block: int


def assign_ready(merchant: MerchantId, client: ChainClient, *, chain_id: int, at: datetime) -> int:
    """Every plan's next batch is signed and stored, if the one before it is in a block.

    A batch that the contract would refuse is held with its words, and the plan stops. Where the gas
    cannot be measured for another reason, the next call tries again.

    Where the chain knows more than this database, nothing is signed and the lane recovers first.

    Returns:
        How many batches became transactions.

    Raises:
        ChainUnavailableError: gas or fees could not be read; nothing was changed.
    """
    ready, known_block = _ready(merchant, chain_id)
    if not ready:
        return 0
    head = client.head()
    if head.number < known_block:
        log.warning("node_lags_behind", head=head.number, known=known_block)
        return 0
    if recovery.knows_less(merchant, client, ready[0].lane_id, ready[0].sender):
        return 0
    now = _Conditions(current(head.base_fee_per_gas), head.base_fee_per_gas, head.number)
    measured = [
        (item, gas) for item in ready if (gas := _measure(merchant, client, item, now)) is not None
    ]
    if not measured:
        return 0
    balance = client.balance(ready[0].sender)
    with unit_of_work(merchant=merchant) as session:
        return _claim_all(session, measured, now, balance, at=at)


def _ready(merchant: MerchantId, chain_id: int) -> tuple[list[_Ready], int]:
    """The batches whose turn it is, and the newest block that a transaction of the lane is in."""
    with unit_of_work(merchant=merchant) as session:
        lane = session.scalar(
            select(NonceLane).where(
                NonceLane.chain_id == chain_id,
                NonceLane.state.in_((LaneState.ACTIVE, LaneState.UNFUNDED)),
            )
        )
        if lane is None:
            return [], 0
        rows = session.execute(
            select(Batch, Plan)
            .join(Plan, (Plan.id == Batch.plan_id) & (Batch.index == _first_planned()))
            .where(Plan.chain_id == chain_id, _is_its_turn())
            .order_by(Plan.ordinal, Batch.index)
            .limit(lanes.room(session, lane.id))
        ).all()
        ready = [
            _Ready(
                *(batch.id, plan.id, lane.id, lane.address),
                *(plan.contract, batch.calldata, batch.gas),
            )
            for batch, plan in rows
        ]
        return ready, _known_block(session, lane.id)


def _first_planned() -> ScalarSelect[int]:
    """The plan's only batch whose turn it can be, so that thousands behind it are not looked at."""
    planned = aliased(Batch)
    return (
        select(func.min(planned.index))
        .where(planned.plan_id == Plan.id, planned.state == BatchState.PLANNED)
        .correlate(Plan)
        .scalar_subquery()
    )


def _is_its_turn() -> ColumnElement[bool]:
    return and_(
        Plan.state == PlanState.RUNNING,
        Plan.is_paused.is_(False),
        Batch.state == BatchState.PLANNED,
        _no_unmined_predecessor(),
    )


def _known_block(session: Session, lane_id: LaneId) -> int:
    """The newest block known of the lane's chain: final, or with a transaction of the lane."""
    mined = select(func.max(Transaction.block_number)).where(Transaction.lane_id == lane_id)
    query = select(func.greatest(Chain.final_number, mined.scalar_subquery()))
    return session.scalar(query.join(NonceLane).where(NonceLane.id == lane_id)) or 0


def _no_unmined_predecessor() -> ColumnElement[bool]:
    """No earlier batch for the same contract is still outside a block."""
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
            _is_before(earlier_plan, earlier),
            is_on_its_way | _stands_in_the_way(earlier_plan, earlier),
        )
        .exists()
    )


def _is_before(plan: type[Plan], batch: type[Batch]) -> ColumnElement[bool]:
    return (plan.ordinal < Plan.ordinal) | (
        (plan.ordinal == Plan.ordinal) & (batch.index < Batch.index)
    )


def _stands_in_the_way(plan: type[Plan], batch: type[Batch]) -> ColumnElement[bool]:
    """A held batch of a kind that the contract numbers: it refuses everything after a gap."""
    return (batch.state == BatchState.HELD) & plan.kind.in_((PlanKind.PASSES, PlanKind.DROP))


def blocking_reason(session: Session, plan: Plan) -> str | None:
    """Why the plan cannot go on: its own held batch, an earlier one of the same contract, held or
    paused, one of its limits, or the relayer's money."""
    held = session.scalar(
        select(Batch.held_reason)
        .join(Plan)
        .where(
            Batch.state == BatchState.HELD,
            (Plan.id == plan.id)
            | (
                (Plan.contract == plan.contract)
                & (Plan.ordinal < plan.ordinal)
                & _stands_in_the_way(Plan, Batch)
            ),
        )
        .order_by(Plan.ordinal.desc())
        .limit(1)
    )
    return held or _paused_before(session, plan) or plan.waiting_reason


def _paused_before(session: Session, plan: Plan) -> str | None:
    is_waiting = (
        Plan.is_paused & (Plan.contract == plan.contract) & (Plan.ordinal < plan.ordinal)
    ) & (Plan.state != PlanState.DONE)
    if not session.scalar(select(exists().where(is_waiting))):
        return None
    return "an earlier airdrop of the same collectible is paused"


def set_paused(session: Session, plan: Plan, *, is_paused: bool) -> None:
    """No batch of the plan is signed from now on, or they are again.

    Locks: the plan.
    """
    session.refresh(plan, with_for_update=True)
    plan.is_paused = is_paused
    session.flush()


def _measure(
    merchant: MerchantId, client: ChainClient, ready: _Ready, now: _Conditions
) -> Gas | None:
    try:
        return _gas_limit(client, ready, now)
    except RpcError as error:
        if error.is_revert:
            _hold(merchant, ready, error.reason, now)
        else:
            log.warning("gas_not_measured", batch=str(ready.batch_id), reason=error.reason)
        return None


def _claim_all(
    session: Session,
    measured: Sequence[tuple[_Ready, Gas]],
    now: _Conditions,
    balance: Wei,
    *,
    at: datetime,
) -> int:
    """As many of them as the lane takes, in one transaction: a commit a batch would cost more."""
    gas_of = {ready.batch_id: gas for ready, gas in measured}
    lane_id = measured[0][0].lane_id
    due = _lock_due(session, [ready for ready, _ in measured], now)
    left = balance - lanes.committed(session, lane_id)
    claimed: list[tuple[Batch, Priced]] = []
    is_short = False
    for batch in due:
        gas = gas_of[batch.id]
        offer = limits.offer(session, batch.plan, gas, now.fees, base_fee=now.base_fee)
        if isinstance(offer, str):
            _wait(batch.plan, offer)
        elif gas * offer.fees.max_fee_per_gas > left:
            is_short = True
            _wait(batch.plan, lanes.UNFUNDED)
        else:
            left -= gas * offer.fees.max_fee_per_gas
            _wait(batch.plan, None)
            claimed.append((batch, Priced(_intent(batch, gas, offer), offer.fees)))
    count = _sign(session, lane_id, claimed, at=at)
    if is_short:
        lanes.set_funded(session, lane_id, is_funded=False)
    return count


def _intent(batch: Batch, gas: Gas, offer: Offer) -> Intent:
    return Intent(
        kind=TransactionKind.DEPLOY if batch.plan.contract is None else TransactionKind.BATCH,
        to=batch.plan.contract,
        data=batch.calldata,
        gas=gas,
        batch_id=batch.id,
        fee_cap=offer.cap,
    )


def _sign(
    session: Session, lane_id: LaneId, claimed: Sequence[tuple[Batch, Priced]], *, at: datetime
) -> int:
    if not claimed:
        return 0
    lanes.set_funded(session, lane_id, is_funded=True)
    try:
        rows = pipeline.enqueue(session, lane_id, [priced for _, priced in claimed], at=at)
    except (LanePausedError, LaneFullError):
        return 0  # before a nonce was taken
    for (batch, _), _row in zip(claimed, rows, strict=False):
        batch.state = BatchState.ASSIGNED
    return len(rows)


def _wait(plan: Plan, reason: str | None) -> None:
    """The plan says what keeps it back, written only when that changes."""
    if plan.waiting_reason != reason:
        plan.waiting_reason = reason


def _gas_limit(client: ChainClient, ready: _Ready, now: _Conditions) -> Gas:
    """Gas that is enough: the forecast, if one call shows that it is, or else what is measured.

    A measurement executes the call a dozen times, which for a full batch takes seconds.

    Raises:
        RpcError: the contract refuses, or the node cannot say.
    """
    if ready.gas is not None and ready.to is not None:
        limit = min(with_margin(ready.gas), Gas(MAX_GAS))
        try:
            client.simulate(ready.sender, ready.to, ready.calldata, gas=limit, block=now.block)
        except RpcError as error:
            if error.is_revert:
                raise
            log.warning("forecast_too_low", batch=str(ready.batch_id), gas=limit)
        else:
            return limit
    measured = client.estimate_gas(ready.sender, ready.to, ready.calldata, block=now.block)
    # The margin may pass the cap while the measured gas is below it.
    return min(with_margin(measured), Gas(MAX_GAS))


def _lock_due(session: Session, ready: Sequence[_Ready], now: _Conditions) -> Sequence[Batch]:
    """Those whose turn it still is, if what the chain said is not from before what is known.

    Asking the chain takes long enough for everything to change.
    """
    if now.block < _known_block(session, ready[0].lane_id):
        return ()
    query = (
        select(Batch)
        .join(Batch.plan)
        .where(Batch.id.in_([item.batch_id for item in ready]), _is_its_turn())
        .order_by(Plan.ordinal, Batch.index)
        .options(contains_eager(Batch.plan))
        .with_for_update(of=Batch, skip_locked=True)
    )
    return session.scalars(query).all()


def release(session: Session, batch_id: BatchId) -> bool:
    """A held batch of which no signed bytes can get into a block any more is tried again.

    Any other stays as it is. Its call is the same as before, so the contract still refuses whatever
    it has done.

    Returns:
        Whether it is tried again.

    Raises:
        BatchNotFoundError: this merchant has no such batch.

    Locks: the batch.
    """
    batch = session.get(Batch, batch_id, with_for_update=True)
    if batch is None:
        raise BatchNotFoundError(batch_id)
    is_signed = session.scalar(
        select(
            exists().where(
                Transaction.batch_id == batch_id,
                Transaction.outcome.is_distinct_from(Outcome.CANCELLED),
            )
        )
    )
    if batch.state is not BatchState.HELD or is_signed:
        return False
    batch.state, batch.held_reason = BatchState.PLANNED, None
    batch.plan.state = PlanState.RUNNING
    return True


def _hold(merchant: MerchantId, ready: _Ready, reason: str, now: _Conditions) -> None:
    with unit_of_work(merchant=merchant) as session:
        due = _lock_due(session, [ready], now)
        if not due:
            return
        [batch] = due
        batch.state, batch.held_reason = BatchState.HELD, reason
        batch.plan.state = PlanState.HELD
    log.error("batch_held", batch=str(ready.batch_id), reason=reason)

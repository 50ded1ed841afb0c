"""Hands planned batches to the pipeline, one at a time and in order for each plan.

The gas of a batch is looked at on the chain as its predecessors left it, so a batch is sent once
the one before it is in a block, and looked at after that block: a node that lags behind must not
make a refusal out of its ignorance. Numbered batches depend on that order anyway.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import exists, select
from sqlalchemy.orm import Session, contains_eager

from chain import lanes, pipeline, recovery
from chain.client import ChainClient
from chain.errors import LaneFullError, LanePausedError, RpcError
from chain.fees import Fees, current, with_margin
from chain.models import (
    LaneRole,
    Outcome,
    Transaction,
    TransactionKind,
)
from chain.pipeline import Intent, Priced
from core.db import unit_of_work
from core.errors import UnavailableError
from core.types import BatchId, Gas, LaneId, MerchantId, Wei
from minting import limits, plans, turns
from minting.errors import BatchNotFoundError
from minting.limits import Offer
from minting.models import Batch, BatchState, Plan, PlanState
from minting.turns import Ready, is_its_turn, known_block, stands_in_the_way
from wallets.errors import SigningRefusedError
from wallets.policy import MAX_GAS

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Conditions:
    """What the chain offers now: the prices, and the block that gas is measured after."""

    fees: Fees
    base_fee: Wei
    block: int


def assign_ready(
    merchant: MerchantId,
    client: ChainClient,
    *,
    chain_id: int,
    sender: LaneRole = LaneRole.RELAYER,
    at: datetime,
) -> int:
    """Every plan's next batch is signed and stored, if the one before it is in a block.

    A batch that the contract would refuse is held with its words, and the plan stops. Where the gas
    cannot be measured for another reason, the next call tries again.

    Where the chain knows more than this database, nothing is signed and the lane recovers first.

    Args:
        sender: whose plans.

    Returns:
        How many batches became transactions.

    Raises:
        ChainUnavailableError: gas or fees could not be read; nothing was changed.
    """
    ready, known_block = turns.find(merchant, chain_id, sender)
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
    try:
        return _claim(merchant, measured, now, balance, at=at)
    except SigningRefusedError:  # of one of them, and nothing was signed
        return sum(_claim_or_hold(merchant, item, now, balance, at=at) for item in measured)
    except UnavailableError as error:
        _say(merchant, [ready for ready, _ in measured], str(error))
        raise


def _claim(
    merchant: MerchantId,
    measured: Sequence[tuple[Ready, Gas]],
    now: _Conditions,
    balance: Wei,
    *,
    at: datetime,
) -> int:
    with unit_of_work(merchant=merchant) as session:
        return _claim_all(session, measured, now, balance, at=at)


def _claim_or_hold(
    merchant: MerchantId,
    item: tuple[Ready, Gas],
    now: _Conditions,
    balance: Wei,
    *,
    at: datetime,
) -> int:
    """What the signer refuses waits for a person; the others of the relayer do not wait for it."""
    try:
        return _claim(merchant, [item], now, balance, at=at)
    except SigningRefusedError as error:
        _hold(merchant, item[0], f"the signer refuses: {error.reason}", now)
        return 0


def _say(merchant: MerchantId, ready: Sequence[Ready], reason: str) -> None:
    """Their plans say what they wait for, until something of them is signed."""
    with unit_of_work(merchant=merchant) as session:
        for plan_id in sorted({item.plan_id for item in ready}):
            _wait(session.get_one(Plan, plan_id, with_for_update=True), reason)


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
                & stands_in_the_way(Plan, Batch)
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
    merchant: MerchantId, client: ChainClient, ready: Ready, now: _Conditions
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
    measured: Sequence[tuple[Ready, Gas]],
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
        if _has_rival(session, batch.plan, [it.plan for it, _ in claimed]):
            continue
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


def _has_rival(session: Session, plan: Plan, claimed: Sequence[Plan]) -> bool:
    """Whether a plan under the same limit goes first, of those claimed now or before."""
    if plan.max_total is None:
        return False
    is_claimed = any(it.subject_id == plan.subject_id for it in claimed)
    return is_claimed or limits.has_rival(session, plan)


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


def _gas_limit(client: ChainClient, ready: Ready, now: _Conditions) -> Gas:
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


def _lock_due(session: Session, ready: Sequence[Ready], now: _Conditions) -> Sequence[Batch]:
    """Those whose turn it still is, if what the chain said is not from before what is known.

    Asking the chain takes long enough for everything to change.
    """
    if now.block < known_block(session, ready[0].lane_id):
        return ()
    query = (
        select(Batch)
        .join(Batch.plan)
        .where(Batch.id.in_([item.batch_id for item in ready]), is_its_turn())
        .order_by(Plan.ordinal, Batch.index)
        .options(contains_eager(Batch.plan))
        .with_for_update(of=Batch, skip_locked=True)
    )
    return session.scalars(query).all()


def release(session: Session, batch_id: BatchId, *, at: datetime) -> bool:
    """A held batch of which no signed bytes can get into a block any more is tried again.

    Any other stays as it is. Its call is the same as before, so the contract still refuses whatever
    it has done; whoever says so approves it, should that be what was missing.

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
    plan = batch.plan
    plan.state = PlanState.RUNNING
    plans.approve(session, plan, [batch], at=at)
    return True


def _hold(merchant: MerchantId, ready: Ready, reason: str, now: _Conditions) -> None:
    with unit_of_work(merchant=merchant) as session:
        due = _lock_due(session, [ready], now)
        if not due:
            return
        [batch] = due
        batch.state, batch.held_reason = BatchState.HELD, reason
        batch.plan.state = PlanState.HELD
    log.error("batch_held", batch=str(ready.batch_id), reason=reason)

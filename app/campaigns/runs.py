"""Airdrop runs: from frozen grants to delivered tokens, advanced by a periodic sweep."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.campaigns.errors import InvalidTransitionError
from app.campaigns.models import AirdropRun, Campaign, CampaignState, RunState
from app.rewards.models import GrantSource, RewardLine
from app.rewards.service import find_line, grant_many
from chain.models import Outcome, Transaction
from core.events import emit
from core.types import AssetId, Gas, UserId, Wei
from minting import airdrops, passes, sending, settlement
from minting.models import Batch, Plan, PlanKind
from wallets.addresses import ChecksumAddress

_OPEN = (RunState.PREPARING, RunState.RUNNING)
OVER = (RunState.COMPLETED, RunState.CANCELLED)


def prepare(
    session: Session,
    run: AirdropRun,
    recipients: Select[str, UserId | None, ChecksumAddress | None],
    *,
    at: datetime,
) -> int:
    """Every recipient has a grant and a queued token, and no pass waits for its window.

    Returns:
        How many recipients there are.

    Raises:
        StockExhaustedError, SupplyExhaustedError: fewer rewards are left.
    """
    line = _line(session, run)
    count = grant_many(
        session, line, recipients, source=GrantSource.AIRDROP, source_id=run.id, at=at
    )
    passes.freeze_queue(session, at=at)
    return count


def advance(session: Session, *, at: datetime) -> None:
    """Every open run of the merchant is one step further, if it can be.

    Locks: the runs, skipping those another process advances.
    """
    runs = session.scalars(
        select(AirdropRun)
        .where(AirdropRun.state.in_((*_OPEN, RunState.PAUSED)))
        # Oldest first: an asset's rounds reach its contract in the order they were taken.
        .order_by(AirdropRun.id)
        .with_for_update(skip_locked=True)
    ).all()
    for run in runs:
        if _plan(session, run) is None:
            _plan_when_ready(session, run, at=at)
        else:
            _follow(session, run, at=at)


def _plan_when_ready(session: Session, run: AirdropRun, *, at: datetime) -> None:
    if run.paused_by is not None:
        return
    line = _line(session, run)
    assert line.round is not None  # taken when the grants were made
    if airdrops.passes_missing(session, line.asset_id, line.round):
        run.pause_reason = passes.held_reason(session)
        passes.freeze_queue(session, at=at)
        return
    run.pause_reason = None
    airdrops.plan_drop(session, line.asset_id, round_number=line.round, subject_id=run.id, at=at)
    run.state, run.started_at = RunState.RUNNING, at


def _follow(session: Session, run: AirdropRun, *, at: datetime) -> None:
    plan = _plan(session, run)
    assert plan is not None  # planned when the run left PREPARING
    run.pause_reason = sending.blocking_reason(session, plan)
    is_paused = run.paused_by is not None or run.pause_reason is not None
    run.state = RunState.PAUSED if is_paused else RunState.RUNNING
    if settlement.is_closed(session, plan):
        run.state, run.completed_at = RunState.COMPLETED, at
        campaign = session.get_one(Campaign, run.campaign_id)
        campaign.state, campaign.ended_at = CampaignState.ENDED, at
        emit(session, "cohort.airdrop.completed", at=at, delivered=run.recipient_count)


def pause(session: Session, run: AirdropRun, *, by: str) -> None:
    """Nothing new is signed for the run; what is on its way finishes. A repeat changes nothing.

    Args:
        by: who says so, for people to read.

    Raises:
        InvalidTransitionError: it is over.

    Locks: the run, then its plan.
    """
    session.refresh(run, with_for_update=True)
    if run.state in OVER:
        raise InvalidTransitionError(run.state, "paused")
    run.paused_by, run.state = run.paused_by or by, RunState.PAUSED
    _let_plan(session, run, is_paused=True)


def resume(session: Session, run: AirdropRun) -> None:
    """The run goes on, unless something else holds it up. A repeat changes nothing.

    Raises:
        InvalidTransitionError: it is over.

    Locks: the run, then its plan.
    """
    session.refresh(run, with_for_update=True)
    if run.state in OVER:
        raise InvalidTransitionError(run.state, "resumed")
    run.paused_by = None
    plan = _let_plan(session, run, is_paused=False)
    run.state = RunState.PREPARING if plan is None else RunState.RUNNING


def _let_plan(session: Session, run: AirdropRun, *, is_paused: bool) -> Plan | None:
    plan = _plan(session, run)
    if plan is not None:
        sending.set_paused(session, plan, is_paused=is_paused)
    return plan


def _line(session: Session, run: AirdropRun) -> RewardLine:
    line = find_line(session, run.campaign_id)
    assert line is not None  # publish refused otherwise
    return line


def _plan(session: Session, run: AirdropRun) -> Plan | None:
    """The run's drop, once its members' passes are active."""
    return session.scalar(select(Plan).where(Plan.kind == PlanKind.DROP, Plan.subject_id == run.id))


@dataclass(frozen=True)
class Progress:
    """Where a run is, in numbers people watch.

    Args:
        delivered: members whose collectible is final on chain.
        gas: gas of the drop's transactions so far; `fee` what they cost in wei.
    """

    state: RunState
    total: int
    delivered: int
    waiting_for_pass: int
    transactions_total: int
    transactions_final: int
    gas: Gas
    fee: Wei
    seconds: float
    pause_reason: str | None
    paused_by: str | None

    @property
    def is_open(self) -> bool:
        """True while the numbers still move."""
        return self.state in _OPEN

    @property
    def is_over(self) -> bool:
        """True when nothing will happen any more."""
        return self.state in OVER

    @property
    def gas_a_recipient(self) -> int | None:
        """Gas of one delivered member, rounded down."""
        return self.gas // self.delivered if self.delivered else None


def progress(session: Session, run: AirdropRun, *, at: datetime) -> Progress:
    """The numbers of a run as they are now."""
    line = _line(session, run)
    plan = _plan(session, run)
    total, final, gas, fee = _transactions(session, plan)
    missing = 0
    if run.state is RunState.PREPARING and line.round is not None:
        missing = airdrops.passes_missing(session, AssetId(line.asset_id), line.round)
    ended = run.completed_at or at
    return Progress(
        state=run.state,
        total=run.recipient_count,
        delivered=0 if plan is None else settlement.closed_recipients(session, plan),
        waiting_for_pass=missing,
        transactions_total=total,
        transactions_final=final,
        gas=gas,
        fee=fee,
        seconds=(ended - run.created_at).total_seconds(),
        pause_reason=run.pause_reason,
        paused_by=run.paused_by,
    )


def _transactions(session: Session, plan: Plan | None) -> tuple[int, int, Gas, Wei]:
    if plan is None:
        return 0, 0, Gas(0), Wei(0)
    total, final, gas, fee = session.execute(
        select(
            func.count(Batch.id.distinct()),
            func.count(Transaction.id).filter(Transaction.outcome == Outcome.SUCCESS),
            func.coalesce(func.sum(Transaction.gas_used), 0),
            func.coalesce(func.sum(Transaction.gas_used * Transaction.effective_gas_price), 0),
        )
        .select_from(Batch)
        .outerjoin(Transaction, Transaction.batch_id == Batch.id)
        .where(Batch.plan_id == plan.id)
    ).one()
    return total, final, Gas(int(gas or 0)), Wei(int(fee or 0))

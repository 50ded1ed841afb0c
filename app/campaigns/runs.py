"""Airdrop runs: from frozen grants to delivered tokens, advanced by a periodic sweep."""

from datetime import datetime

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from app.campaigns import files
from app.campaigns.errors import InvalidTransitionError
from app.campaigns.models import AirdropRun, Campaign, CampaignState, RunState
from app.rewards.models import GrantSource, RewardLine
from app.rewards.service import cancel_withdrawn, find_line, grant_many
from core.events import emit
from core.types import UserId
from minting import airdrops, passes, sending, settlement, withdrawal
from minting.airdrops import Drop, Limits
from minting.models import Batch, BatchState, DigitalAsset, Plan, PlanKind, PlanState
from minting.planner import GAS_CEILING
from wallets.addresses import ChecksumAddress

OVER = (RunState.COMPLETED, RunState.CANCELLED)

CANCELLED_BY_MEMBER = "cancelled by the team"


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
    count = grant(session, run, recipients, at=at)
    if not airdrops.without_wallet(session, line_of(session, run).id):
        passes.freeze_queue(session, at=at)
    return count


def grant(
    session: Session,
    run: AirdropRun,
    recipients: Select[str, UserId | None, ChecksumAddress | None],
    *,
    at: datetime,
) -> int:
    """These recipients have a grant and a queued token of the run; a repeat changes nothing.

    Returns:
        How many are new.

    Raises:
        StockExhaustedError, SupplyExhaustedError: fewer rewards are left.
    """
    return grant_many(
        session,
        line_of(session, run),
        recipients,
        source=GrantSource.AIRDROP,
        source_id=run.id,
        at=at,
    )


def advance(session: Session, *, at: datetime) -> None:
    """Every unfinished run of the merchant is one step further, if it can be.

    Locks: the runs, skipping those another process advances.
    """
    runs = session.scalars(
        select(AirdropRun)
        .where(AirdropRun.completed_at.is_(None))
        .order_by(AirdropRun.id)  # the oldest is planned first
        .with_for_update(skip_locked=True)
    ).all()
    for run in runs:
        line, campaign = line_of(session, run), session.get_one(Campaign, run.campaign_id)
        if run.state is RunState.CANCELLED:
            _withdraw(session, run, line)
        else:
            _plan_more(session, run, line, campaign, at=at)
        _conclude(session, run, line, campaign, at=at)


def _plan_more(
    session: Session, run: AirdropRun, line: RewardLine, campaign: Campaign, *, at: datetime
) -> None:
    """Who can be planned is; at first everybody at once, so nobody's pass may be missing."""
    plan = _unfinished_plan(session, run)
    run.pause_reason = None if plan is None else sending.blocking_reason(session, plan)
    if plan is not None or run.paused_by is not None:
        return
    queue = airdrops.queue(session, line.id)
    if run.started_at is None and queue.without_pass:
        run.pause_reason = passes.held_reason(session)
        # Whoever still gets a wallet is waited for: frozen together, passes cost less.
        if not airdrops.without_wallet(session, line.id):
            passes.freeze_queue(session, at=at)
    elif queue.ready:
        planned = airdrops.plan_drop(session, _drop(run, line, campaign), at=at)
        if planned is None:
            run.pause_reason = _behind(session, line)
        else:
            line.round, run.started_at = planned.round, run.started_at or at


def _behind(session: Session, line: RewardLine) -> str | None:
    """What an earlier drop of the asset waits for; nothing while it just runs."""
    plan = airdrops.unfinished_plan(session, line.asset_id)
    if plan is None:
        return None
    if plan.is_paused:
        return "an earlier airdrop of the same collectible is paused"
    return sending.blocking_reason(session, plan)


def _conclude(
    session: Session, run: AirdropRun, line: RewardLine, campaign: Campaign, *, at: datetime
) -> None:
    """The run's state says where it is; the last of it ends the run."""
    is_served = (
        run.started_at is not None
        and settlement.is_closed(session, run.id)
        and airdrops.queue(session, line.id) == airdrops.Queue(0, 0)
    )
    if run.state is RunState.CANCELLED:
        run.completed_at = at if settlement.is_closed(session, run.id) else None
        files.discard_more(session, campaign)
    elif is_served and not campaign.is_open_to_late_joiners:
        run.state, run.completed_at = RunState.COMPLETED, at
        files.discard_more(session, campaign)
        campaign.state, campaign.ended_at = CampaignState.ENDED, campaign.ended_at or at
        emit(session, "cohort.airdrop.completed", at=at, delivered=run.recipient_count)
    elif run.paused_by is not None or run.pause_reason is not None:
        run.state = RunState.PAUSED
    elif run.started_at is None:
        run.state = RunState.PREPARING
    else:
        run.state = RunState.STANDBY if is_served else RunState.RUNNING


def halt(session: Session, chain_id: int, *, reason: str) -> None:
    """Unfinished runs on the chain say that they wait, and for what, until they advance again.

    Locks: the runs, skipping those another process advances.
    """
    found = session.scalars(
        select(AirdropRun)
        .join(RewardLine, RewardLine.campaign_id == AirdropRun.campaign_id)
        .join(DigitalAsset, DigitalAsset.id == RewardLine.asset_id)
        .where(AirdropRun.completed_at.is_(None), DigitalAsset.chain_id == chain_id)
        .order_by(AirdropRun.id)
        .with_for_update(of=AirdropRun, skip_locked=True)
    )
    for run in found:
        if run.state in (RunState.PREPARING, RunState.RUNNING, RunState.PAUSED):
            run.state, run.pause_reason = RunState.PAUSED, reason


def pause(session: Session, run: AirdropRun, *, by: str) -> None:
    """Nothing new is signed for the run; what is on its way finishes. A repeat changes nothing.

    Args:
        by: who says so, for people to read.

    Raises:
        InvalidTransitionError: it is over.

    Locks: the run, then its plan.
    """
    _lock_open(session, run, "paused")
    run.paused_by, run.state = run.paused_by or by, RunState.PAUSED
    _let_plan(session, run, is_paused=True)


def resume(session: Session, run: AirdropRun) -> None:
    """The run goes on, unless something else holds it up. A repeat changes nothing.

    Raises:
        InvalidTransitionError: it is over.

    Locks: the run, then its plan.
    """
    _lock_open(session, run, "resumed")
    run.paused_by = None
    _let_plan(session, run, is_paused=False)
    run.state = RunState.PREPARING if run.started_at is None else RunState.RUNNING


def cancel(session: Session, run: AirdropRun, *, by: str, at: datetime) -> None:
    """Nobody more receives anything from the run, but for those whose transaction is signed.

    Raises:
        InvalidTransitionError: it is over.

    Locks: the run, then the asset, its batches and plans, the reward line.
    """
    _lock_open(session, run, "cancelled")
    campaign = session.get_one(Campaign, run.campaign_id)
    campaign.state, campaign.ended_at = CampaignState.ENDED, at
    run.state, run.cancelled_by, run.pause_reason = RunState.CANCELLED, by, None
    line = line_of(session, run)
    _withdraw(session, run, line)
    _conclude(session, run, line, campaign, at=at)
    emit(session, "cohort.campaign.ended", at=at)


def retry(session: Session, run: AirdropRun, *, at: datetime) -> int:
    """Every batch of the run that is held, and can be, is tried again with the same bytes.

    Returns:
        How many are tried again.

    Raises:
        InvalidTransitionError: it is over.

    Locks: the run, then the batches.
    """
    _lock_open(session, run, "tried again")
    held = session.scalars(
        select(Batch.id)
        .join(Plan)
        .where(*plans_of(run), Batch.state == BatchState.HELD)
        .order_by(Batch.index)
    ).all()
    return sum(sending.release(session, batch_id, at=at) for batch_id in held)


def _lock_open(session: Session, run: AirdropRun, action: str) -> None:
    session.refresh(run, with_for_update=True)
    if run.state in OVER:
        raise InvalidTransitionError(run.state, action)


def _withdraw(session: Session, run: AirdropRun, line: RewardLine) -> None:
    """What nothing was signed for, or has failed for good by now, does not happen."""
    drop = _drop(run, line, session.get_one(Campaign, run.campaign_id))
    if withdrawal.withdraw(session, drop):
        cancel_withdrawn(session, line, reason=CANCELLED_BY_MEMBER)
    if withdrawal.give_round_back(session, drop):
        line.round = None
        session.flush()


def _drop(run: AirdropRun, line: RewardLine, campaign: Campaign) -> Drop:
    limits = Limits(
        batch_gas=campaign.max_batch_gas or GAS_CEILING,
        max_fee_per_gas=campaign.max_fee_per_gas,
        max_total=campaign.max_total,
    )
    return Drop(line.id, line.asset_id, run.id, line.round, limits)


def _let_plan(session: Session, run: AirdropRun, *, is_paused: bool) -> None:
    plan = _unfinished_plan(session, run)
    if plan is not None:
        sending.set_paused(session, plan, is_paused=is_paused)


def line_of(session: Session, run: AirdropRun) -> RewardLine:
    """What the run gives."""
    line = find_line(session, run.campaign_id)
    assert line is not None  # publish refused otherwise
    return line


def plans_of(run: AirdropRun) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Which plans are the run's: the first for everybody, the others for late joiners."""
    return Plan.kind == PlanKind.DROP, Plan.subject_id == run.id


def _unfinished_plan(session: Session, run: AirdropRun) -> Plan | None:
    return session.scalar(select(Plan).where(*plans_of(run), Plan.state != PlanState.DONE))

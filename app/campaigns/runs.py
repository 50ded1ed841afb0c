"""Airdrop runs: from frozen grants to delivered rewards, advanced by a periodic sweep.

A run goes on line by line: perks are handed over here, digital assets are planned and then travel
on their own. What locks a reward does so in the order of `RewardLine.reward_id`, over all runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, func, select, true
from sqlalchemy.orm import Session

from app.campaigns import audiences, files
from app.campaigns.errors import InvalidTransitionError
from app.campaigns.models import AirdropRun, AudienceFile, Campaign, CampaignState, RunState
from app.perks.errors import CodePoolEmptyError
from app.rewards.lines import lines_of
from app.rewards.models import Grant, GrantSource, RewardLine
from app.rewards.service import Recipients, Source, cancel_open, grant_many, hand_over
from core.events import emit
from core.types import RunId
from minting import airdrops, passes, sending, settlement, withdrawal
from minting.airdrops import Limits, Wanted
from minting.models import Batch, BatchState, DigitalAsset, Plan, PlanKind, PlanState
from minting.planner import GAS_CEILING

OVER = (RunState.COMPLETED, RunState.CANCELLED)

CANCELLED_BY_MEMBER = "cancelled by the team"


def start(session: Session, run: AirdropRun, campaign: Campaign, *, at: datetime) -> None:
    """The airdrop is published: its audience is frozen as grants.

    Raises:
        StockExhaustedError, SupplyExhaustedError, PerkExhaustedError: fewer rewards are left.
    """
    campaign.state, campaign.published_at = CampaignState.PUBLISHED, at
    session.flush()
    file = files.find(session, campaign)
    if file is not None:
        audiences.welcome(session, file.id, at=at)
    prepare(session, run, at=at)
    emit(session, "cohort.campaign.published", at=at, recipients=run.recipient_count)


def prepare(
    session: Session, run: AirdropRun, *, file: AudienceFile | None = None, at: datetime
) -> None:
    """Every recipient has a grant of each line, and a queued token of each digital asset; no pass
    waits for its window.

    Args:
        file: names the recipients, instead of the campaign's audience.

    Raises:
        StockExhaustedError, SupplyExhaustedError, PerkExhaustedError: fewer rewards are left.
    """
    campaign = session.get_one(Campaign, run.campaign_id)
    for given in in_order(audiences.given_by(session, campaign)):
        if file is None:
            chosen = audiences.recipients(session, campaign, given)
        else:
            chosen = audiences.recipients_of(session, file, given)
        grant(session, run, given.line, chosen, at=at)
    gives_assets = [it for it in lines_of(session, run.campaign_id) if it.asset_id is not None]
    if gives_assets and not _waits_for_wallets(session, gives_assets):
        passes.freeze_queue(session, at=at)


def _waits_for_wallets(session: Session, lines: Sequence[RewardLine]) -> bool:
    """Whoever still gets a wallet is waited for: frozen together, passes cost less."""
    return any(airdrops.without_wallet(session, line.id) for line in lines)


def in_order(given: Sequence[audiences.Given]) -> list[audiences.Given]:
    """The order in which rewards are locked."""
    return sorted(given, key=lambda one: one.line.reward_id)


def grant(
    session: Session, run: AirdropRun, line: RewardLine, recipients: Recipients, *, at: datetime
) -> int:
    """These recipients have the line's reward from the run; a repeat changes nothing.

    Returns:
        How many rewards are new.

    Raises:
        StockExhaustedError, SupplyExhaustedError, PerkExhaustedError: fewer rewards are left.
    """
    skipped = line.skipped_count
    source = Source(GrantSource.AIRDROP, run.id)
    count = grant_many(session, line, recipients, source=source, at=at)
    run.reward_count += count
    is_alone = len(lines_of(session, run.campaign_id)) == 1
    if is_alone and recipients.most == 1 and line.skipped_count == skipped:
        run.recipient_count += count
    elif count or line.skipped_count > skipped:
        run.recipient_count = _count_recipients(session, run)
    return count


def _count_recipients(session: Session, run: AirdropRun) -> int:
    """Whoever has anything of the run counts once."""
    of_run = (Grant.source_type == GrantSource.AIRDROP) & (Grant.source_id == run.id)
    everybody = select(Grant.user_id, Grant.address).where(of_run).distinct().subquery()
    return session.scalar(select(func.count()).select_from(everybody)) or 0


@dataclass(frozen=True)
class _Standing:
    """What a line of a run waits for, and whether anything of it moves."""

    reason: str | None = None
    is_moving: bool = False
    needs_passes: bool = False


def advance(session: Session, *, at: datetime, is_offline: bool = False) -> None:
    """Every unfinished run of the merchant is one step further, if it can be.

    Args:
        is_offline: only runs that give no digital asset; they need no chain.

    Locks: the runs, skipping those another process advances; then rewards in their order, then
    the pass contract.
    """
    runs = session.scalars(
        select(AirdropRun)
        .where(is_on_its_way(), ~_gives_assets() if is_offline else true())
        .order_by(AirdropRun.id)  # the oldest is planned first
        .with_for_update(skip_locked=True)
    ).all()
    lines = {run: lines_of(session, run.campaign_id) for run in runs}
    parts = [(line.reward_id, run.id, run, line) for run in runs for line in lines[run]]
    standings: dict[RunId, list[_Standing]] = {run.id: [] for run in runs}
    for _, run_id, run, line in sorted(parts, key=lambda part: part[:2]):
        standings[run_id].append(_go_on(session, run, line, at=at))
    is_needed = any(it.needs_passes for each in standings.values() for it in each)
    given = [line for each in lines.values() for line in each if line.asset_id is not None]
    if is_needed and not _waits_for_wallets(session, given):
        passes.freeze_queue(session, at=at)
    for run in runs:
        _conclude(session, run, lines[run], standings[run.id], at=at)


def is_on_its_way() -> ColumnElement[bool]:
    """Started and not over."""
    is_scheduled = exists().where(
        Campaign.id == AirdropRun.campaign_id, Campaign.state == CampaignState.SCHEDULED
    )
    return AirdropRun.completed_at.is_(None) & ~is_scheduled


def _gives_assets() -> ColumnElement[bool]:
    is_its_line = RewardLine.campaign_id == AirdropRun.campaign_id
    return exists().where(is_its_line, RewardLine.asset_id.is_not(None))


def _go_on(session: Session, run: AirdropRun, line: RewardLine, *, at: datetime) -> _Standing:
    if run.state is RunState.CANCELLED:
        _withdraw(session, run, line)
        return _Standing()
    if line.perk_id is not None:
        return _hand_over(session, run, line, at=at)
    return _plan_more(session, run, line, at=at)


def _hand_over(session: Session, run: AirdropRun, line: RewardLine, *, at: datetime) -> _Standing:
    """A pool that ran dry holds up its own line alone, until somebody adds codes."""
    try:
        count = hand_over(session, line, at=at) if run.paused_by is None else 0
    except CodePoolEmptyError as error:
        return _Standing(str(error))
    if count:
        run.started_at = run.started_at or at
    return _Standing(is_moving=count > 0)


def _plan_more(session: Session, run: AirdropRun, line: RewardLine, *, at: datetime) -> _Standing:
    """Who can be planned is; at first everybody at once, so nobody's pass may be missing."""
    plan = session.scalar(_plans(session, run, line).where(Plan.state != PlanState.DONE))
    if plan is not None:
        reason = sending.blocking_reason(session, plan)
        return _Standing(reason, is_moving=reason is None)
    if run.paused_by is not None:
        return _Standing()
    queue = airdrops.queue(session, line.id)
    if queue.without_pass and session.scalar(_plans(session, run, line).limit(1)) is None:
        reason = passes.held_reason(session)
        return _Standing(reason, is_moving=reason is None, needs_passes=True)
    if not queue.ready:
        return _Standing(is_moving=queue.without_pass > 0)
    wanted = _wanted(session, run, line)
    if airdrops.plan_drop(session, wanted, at=at) is None:
        reason = _behind(session, wanted)
        return _Standing(reason, is_moving=reason is None)
    run.started_at = run.started_at or at
    return _Standing(is_moving=True)


def _behind(session: Session, wanted: Wanted) -> str | None:
    """What an earlier drop of the asset waits for; nothing while it just runs."""
    plan = airdrops.unfinished_plan(session, wanted.asset_id)
    if plan is None:
        return None
    if plan.is_paused:
        return "an earlier airdrop of the same collectible is paused"
    return sending.blocking_reason(session, plan)


def _conclude(
    session: Session,
    run: AirdropRun,
    lines: Sequence[RewardLine],
    standings: Sequence[_Standing],
    *,
    at: datetime,
) -> None:
    """The run says where it is and what its lines wait for; the last of it ends the run."""
    campaign = session.get_one(Campaign, run.campaign_id)
    is_closed = settlement.is_closed(session, run.id)
    is_served = is_closed and all(_is_served(session, line) for line in lines)
    reasons = dict.fromkeys(it.reason for it in standings if it.reason is not None)
    run.pause_reason = "; ".join(reasons) or None
    if run.state is RunState.CANCELLED:
        run.completed_at = at if is_closed else None
        files.discard_more(session, campaign)
    elif is_served and not campaign.is_open_to_late_joiners:
        run.state, run.completed_at = RunState.COMPLETED, at
        files.discard_more(session, campaign)
        campaign.state, campaign.ended_at = CampaignState.ENDED, campaign.ended_at or at
        emit(session, "cohort.airdrop.completed", at=at, delivered=run.reward_count)
    elif run.paused_by is not None or _is_stuck(run, standings):
        run.state = RunState.PAUSED
    elif is_served:
        run.state = RunState.STANDBY
    else:
        run.state = RunState.PREPARING if run.started_at is None else RunState.RUNNING


def _is_stuck(run: AirdropRun, standings: Sequence[_Standing]) -> bool:
    """Whether a line waits for something and no other moves."""
    return run.pause_reason is not None and not any(it.is_moving for it in standings)


def _is_served(session: Session, line: RewardLine) -> bool:
    """Nothing of the line was promised that is not planned or handed over."""
    if line.perk_id is not None:
        return line.granted_count == line.delivered_count
    return airdrops.queue(session, line.id) == airdrops.Queue(0, 0)


def halt(session: Session, chain_id: int, *, reason: str) -> None:
    """Unfinished runs on the chain say that they wait, and for what, until they advance again.

    Locks: the runs, skipping those another process advances.
    """
    found = session.scalars(
        select(AirdropRun)
        .where(
            is_on_its_way(),
            exists().where(
                RewardLine.campaign_id == AirdropRun.campaign_id,
                DigitalAsset.id == RewardLine.asset_id,
                DigitalAsset.chain_id == chain_id,
            ),
        )
        .order_by(AirdropRun.id)
        .with_for_update(skip_locked=True)
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

    Locks: the run, then its plans.
    """
    _lock_open(session, run, "paused")
    run.paused_by, run.state = run.paused_by or by, RunState.PAUSED
    _let_plans(session, run, is_paused=True)


def resume(session: Session, run: AirdropRun) -> None:
    """The run goes on, unless something else holds it up. A repeat changes nothing.

    Raises:
        InvalidTransitionError: it is over.

    Locks: the run, then its plans.
    """
    _lock_open(session, run, "resumed")
    run.paused_by = None
    _let_plans(session, run, is_paused=False)
    run.state = RunState.PREPARING if run.started_at is None else RunState.RUNNING


def cancel(session: Session, run: AirdropRun, *, by: str, at: datetime) -> None:
    """Nobody more receives anything from the run, but for those whose transaction is signed.

    Raises:
        InvalidTransitionError: it is over.

    Locks: the run, then of each line the asset, its batches and plans, the line, the perk.
    """
    _lock_open(session, run, "cancelled")
    campaign = session.get_one(Campaign, run.campaign_id)
    campaign.state, campaign.ended_at = CampaignState.ENDED, at
    run.state, run.cancelled_by, run.pause_reason = RunState.CANCELLED, by, None
    lines = lines_of(session, run.campaign_id)
    for line in sorted(lines, key=lambda one: one.reward_id):
        _withdraw(session, run, line)
    _conclude(session, run, lines, (), at=at)
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
        .order_by(Plan.ordinal, Batch.index)
    ).all()
    return sum(sending.release(session, batch_id, at=at) for batch_id in held)


def _lock_open(session: Session, run: AirdropRun, action: str) -> None:
    session.refresh(run, with_for_update=True)
    if run.state in OVER:
        raise InvalidTransitionError(run.state, action)


def _withdraw(session: Session, run: AirdropRun, line: RewardLine) -> None:
    """What nothing was signed for, or has failed for good by now, does not happen."""
    if line.perk_id is not None:
        is_open = line.granted_count > line.delivered_count
    else:
        is_open = withdrawal.withdraw(session, _wanted(session, run, line)) > 0
    if is_open:
        cancel_open(session, line, reason=CANCELLED_BY_MEMBER)


def _wanted(session: Session, run: AirdropRun, line: RewardLine) -> Wanted:
    campaign = session.get_one(Campaign, run.campaign_id)
    assert line.asset_id is not None  # a perk is on no chain
    limits = Limits(
        batch_gas=campaign.max_batch_gas or GAS_CEILING,
        max_fee_per_gas=campaign.max_fee_per_gas,
        max_total=campaign.max_total,
    )
    return Wanted(line.id, line.asset_id, run.id, limits)


def _let_plans(session: Session, run: AirdropRun, *, is_paused: bool) -> None:
    unfinished = select(Plan).where(*plans_of(run), Plan.state != PlanState.DONE)
    for plan in session.scalars(unfinished.order_by(Plan.ordinal)).all():
        sending.set_paused(session, plan, is_paused=is_paused)


def plans_of(run: AirdropRun) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Which plans are the run's: of each asset a first for everybody, others for late joiners."""
    return Plan.kind == PlanKind.DROP, Plan.subject_id == run.id


def _plans(session: Session, run: AirdropRun, line: RewardLine) -> Select[Plan]:
    asset = session.get_one(DigitalAsset, line.asset_id)
    is_its_contract = (Plan.chain_id == asset.chain_id) & (Plan.contract == asset.address)
    return select(Plan).where(*plans_of(run), is_its_contract)

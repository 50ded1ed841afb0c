"""Airdrops that start later: the preview is repeated before, and only what it still says starts."""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.campaigns import audiences, runs, service
from app.campaigns.errors import InvalidTransitionError, PreviewStaleError
from app.campaigns.freshness import check_count, check_fresh
from app.campaigns.models import AirdropPreview, AirdropRun, Campaign, CampaignState, RunState
from app.campaigns.needs import needs
from app.rewards.errors import EXHAUSTED

log = structlog.get_logger(__name__)

AHEAD = timedelta(minutes=10)
"""How long before its start an airdrop is looked at once more."""


def start_due(session: Session, *, at: datetime) -> bool:
    """The next scheduled airdrop whose time has come is on its way; those that cannot be wait for a
    person and say why.

    One a transaction, so that rewards are locked in their order.

    Returns:
        Whether one has started.

    Locks: the runs, skipping those another process has; then what publishing locks.
    """
    due = session.execute(
        select(AirdropRun, Campaign)
        .join(Campaign, Campaign.id == AirdropRun.campaign_id)
        .where(
            Campaign.state == CampaignState.SCHEDULED,
            Campaign.starts_at <= at + AHEAD,
            AirdropRun.completed_at.is_(None),
        )
        .order_by(AirdropRun.id)
        .with_for_update(of=AirdropRun, skip_locked=True)
    ).all()
    return any(_go_on(session, run, campaign, at=at) for run, campaign in due)


def _go_on(session: Session, run: AirdropRun, campaign: Campaign, *, at: datetime) -> bool:
    is_due = campaign.starts_at is not None and campaign.starts_at <= at
    try:
        if run.checked_at is None:
            run.checked_at = at
            _check(session, run, campaign)
        if not is_due or run.pause_reason is not None or run.paused_by is not None:
            return False
        with session.begin_nested():
            runs.start(session, run, campaign, at=at)
    except (PreviewStaleError, *EXHAUSTED) as error:
        run.state, run.pause_reason = RunState.PAUSED, str(error)
        log.warning("airdrop_not_started", run=str(run.id), reason=str(error))
        return False
    return True


def _check(session: Session, run: AirdropRun, campaign: Campaign) -> None:
    """The preview is repeated: as many recipients as it counted, and enough for them.

    Raises:
        PreviewStaleError: not any more.
    """
    fields = service.failing_rules(session, campaign)
    if fields:
        raise PreviewStaleError(" ".join(fields.values()))
    preview = session.get_one(AirdropPreview, run.preview_id)
    check_count(preview, audiences.reach(session, campaign).total)
    short = [need.reward.title for need in needs(session, campaign) if need.missing]
    if short:
        raise PreviewStaleError(f"too few are left of {', '.join(short)}")


def confirm(session: Session, run: AirdropRun, preview: AirdropPreview, *, at: datetime) -> None:
    """A person has looked at a new preview, and the airdrop starts from that when it is time.

    Raises:
        InvalidTransitionError: it has started, or is over.
        PreviewStaleError: the preview is of another campaign, old, or wrong by now.

    Locks: the run.
    """
    campaign = _lock_scheduled(session, run, "confirmed")
    check_fresh(session, campaign, preview, at=at)
    run.preview_id, run.checked_at, run.pause_reason = preview.id, None, None
    run.state = RunState.PREPARING if run.paused_by is None else RunState.PAUSED
    session.flush()


def unschedule(session: Session, run: AirdropRun) -> None:
    """The campaign is a draft again; nobody was promised anything.

    Raises:
        InvalidTransitionError: it has started, or is over.

    Locks: the run.
    """
    campaign = _lock_scheduled(session, run, "edited")
    session.delete(run)
    campaign.state = CampaignState.DRAFT
    session.flush()


def _lock_scheduled(session: Session, run: AirdropRun, action: str) -> Campaign:
    session.refresh(run, with_for_update=True)
    campaign = session.get_one(Campaign, run.campaign_id, populate_existing=True)
    if campaign.state is not CampaignState.SCHEDULED:
        raise InvalidTransitionError(campaign.state, action)
    return campaign

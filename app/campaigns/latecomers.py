"""Late joiners: who comes into the audience while an airdrop is published receives it, too."""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import Select, Text, cast, exists, or_, select
from sqlalchemy.orm import Session

from app.campaigns import audiences, runs
from app.campaigns.models import (
    AirdropRun,
    AudienceKind,
    Campaign,
    CampaignState,
    RunState,
)
from app.rewards.errors import StockExhaustedError
from app.rewards.models import Grant, GrantSource
from app.rewards.service import members
from app.users.models import User
from core.ids import first_id_of
from core.types import UserId
from minting.errors import SupplyExhaustedError

log = structlog.get_logger(__name__)

_PAUSE = timedelta(seconds=5)
_RECENT = timedelta(hours=1)
"""Longer than any transaction that makes members; whoever was let in otherwise is found hourly."""


def look(session: Session, *, at: datetime) -> int:
    """Who has joined the audience of a published airdrop has a grant; a repeat changes nothing.

    Returns:
        How many are new.

    Locks: the runs, skipping those another process has; the reward line and the asset, if anybody
    is new.
    """
    due = session.scalars(
        select(AirdropRun)
        .join(Campaign)
        .where(
            Campaign.late_joiners,
            Campaign.audience_kind == AudienceKind.ALL,
            Campaign.state == CampaignState.PUBLISHED,
            AirdropRun.state.in_((RunState.RUNNING, RunState.STANDBY)),
            or_(AirdropRun.looked_at.is_(None), AirdropRun.looked_at <= at - _PAUSE),
        )
        .order_by(AirdropRun.id)
        .with_for_update(of=AirdropRun, skip_locked=True)
    ).all()
    return sum(_let_in(session, run, at=at) for run in due)


def _let_in(session: Session, run: AirdropRun, *, at: datetime) -> int:
    newcomers = _newcomers(session, run, at=at)
    run.looked_at = at
    if not session.scalar(select(newcomers.exists())):
        run.refused_reason = None
        return 0
    try:
        with session.begin_nested():
            count = runs.grant(session, run, members(newcomers), at=at)
    except (StockExhaustedError, SupplyExhaustedError) as error:
        run.refused_reason = str(error)
        return 0
    run.recipient_count += count
    run.refused_reason = None
    log.info("late_joiners", run=str(run.id), count=count)
    return count


def _newcomers(session: Session, run: AirdropRun, *, at: datetime) -> Select[UserId]:
    """Members of the audience without a grant of the run: the recent, and once an hour all."""
    query = audiences.members(session.get_one(Campaign, run.campaign_id)).where(
        ~exists().where(
            Grant.source_type == GrantSource.AIRDROP,
            Grant.source_id == run.id,
            Grant.reward_line_id == runs.line_of(session, run).id,
            Grant.recipient_key == cast(User.id, Text),
        )
    )
    if run.looked_at is None or run.looked_at.hour != at.hour:
        return query
    return query.where(User.id >= first_id_of(at - _RECENT))

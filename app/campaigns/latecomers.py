"""Late joiners: who comes into the audience while an airdrop is published receives it, too."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Select, Text, cast, exists, or_, select
from sqlalchemy.orm import Session

from app.campaigns import audiences, runs
from app.campaigns.audiences import Given
from app.campaigns.models import (
    AirdropRun,
    AudienceKind,
    Campaign,
    CampaignState,
    RunState,
)
from app.rewards.errors import EXHAUSTED
from app.rewards.models import Grant, GrantSource, RewardLine
from app.rewards.service import members
from app.users.models import User
from core.types import RunId, UserId

log = structlog.get_logger(__name__)

_PAUSE = timedelta(seconds=5)
_RECENT = timedelta(hours=1)
"""Longer than any transaction that makes members; whoever was let in otherwise is found hourly."""


def look(session: Session, *, at: datetime) -> int:
    """Who has joined the audience of a published airdrop has a grant; a repeat changes nothing.

    Returns:
        How many rewards are new.

    Locks: the runs, skipping those another process has; then of each line of which anybody is new,
    the line and its reward, in the order of the rewards.
    """
    due = session.scalars(
        select(AirdropRun)
        .join(Campaign)
        .where(
            Campaign.late_joiners,
            Campaign.audience_kind != AudienceKind.FILE,
            Campaign.state == CampaignState.PUBLISHED,
            AirdropRun.state.in_((RunState.RUNNING, RunState.STANDBY)),
            or_(AirdropRun.looked_at.is_(None), AirdropRun.looked_at <= at - _PAUSE),
        )
        .order_by(AirdropRun.id)
        .with_for_update(of=AirdropRun, skip_locked=True)
    ).all()
    reasons: dict[RunId, list[str]] = {run.id: [] for run in due}
    count = 0
    for _, run_id, run, given in _parts(session, due):
        try:
            count += _let_in(session, run, given, at=at)
        except EXHAUSTED as error:
            reasons[run_id].append(str(error))
    for run in due:
        run.looked_at, run.refused_reason = at, " ".join(reasons[run.id]) or None
    return count


def _parts(
    session: Session, due: Sequence[AirdropRun]
) -> list[tuple[UUID, RunId, AirdropRun, Given]]:
    """Every line of these runs, in the order in which rewards are locked."""
    parts = [
        (given.line.reward_id, run.id, run, given)
        for run in due
        for given in audiences.given_by(session, session.get_one(Campaign, run.campaign_id))
    ]
    return sorted(parts, key=lambda part: part[:2])


def _let_in(session: Session, run: AirdropRun, given: Given, *, at: datetime) -> int:
    newcomers = _newcomers(session, run, given.line, at=at)
    if not session.scalar(select(newcomers.exists())):
        return 0
    chosen = members(newcomers, quantity=given.line.per_recipient)
    with session.begin_nested():
        count = runs.grant(session, run, given.line, chosen, at=at)
    log.info("late_joiners", run=str(run.id), count=count)
    return count


def _newcomers(
    session: Session, run: AirdropRun, line: RewardLine, *, at: datetime
) -> Select[UserId]:
    """Members of the audience without a grant of the line: the recent, and once an hour all."""
    campaign = session.get_one(Campaign, run.campaign_id)
    query = audiences.members(campaign).where(
        ~exists().where(
            Grant.source_type == GrantSource.AIRDROP,
            Grant.source_id == run.id,
            Grant.reward_line_id == line.id,
            Grant.recipient_key == cast(User.id, Text),
        )
    )
    if run.looked_at is None or run.looked_at.hour != at.hour:
        return query
    return query.where(audiences.recent(campaign, at - _RECENT))

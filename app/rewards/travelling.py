"""Digital assets promised outside campaigns are planned: a few at a time, and many at once.

Whoever is promised one within the same moments travels in the same transaction. An asset has one
unfinished plan at a time, so what comes meanwhile gathers by itself.
"""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.rewards.models import RewardLine
from minting import airdrops
from minting.airdrops import Queue, Wanted

GATHERING = timedelta(seconds=10)
"""How long the first of several waits for others."""
_AT_ONCE = 1_000
"""So many wait for nobody."""


def plan_due(session: Session, *, at: datetime) -> int:
    """What has gathered long enough is planned; who has no pass yet waits for it.

    Returns:
        How many plans were made.

    Locks: the lines, skipping those another process plans, in the order of what they give; then
    the asset.
    """
    lines = session.scalars(
        select(RewardLine)
        .where(RewardLine.waiting_since.is_not(None))
        .order_by(RewardLine.asset_id, RewardLine.id)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    return sum(_plan(session, line, at=at) for line in lines)


def _plan(session: Session, line: RewardLine, *, at: datetime) -> bool:
    assert line.asset_id is not None and line.waiting_since is not None  # only these wait
    queue = airdrops.queue(session, line.id)
    if queue == Queue(0, 0):
        line.waiting_since = None
        return False
    is_due = at - line.waiting_since >= GATHERING or queue.ready >= _AT_ONCE
    if not is_due or not queue.ready:
        return False
    wanted = Wanted(line.id, line.asset_id, subject_id=line.id)
    return airdrops.plan_drop(session, wanted, at=at) is not None

"""Nonces: allocated under the lane's row lock, rolled back with the transaction that took them."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain import lanes
from chain.errors import LaneFullError, LanePausedError
from chain.models import LaneState, NonceLane
from core.types import LaneId


def allocate(session: Session, lane_id: LaneId, count: int) -> tuple[NonceLane, range]:
    """The lane, locked, and the nonces it hands out; a rollback gives them back.

    A PostgreSQL sequence would not roll back, and a nonce nobody signed stops every later one.

    Returns:
        As many nonces as were asked for, or for as many as there is room; never none.

    Raises:
        LanePausedError: the lane takes no transactions now, or lives in a restored database.
        LaneFullError: as many are on their way as nodes keep of one account.

    Locks: the lane, until the caller's transaction ends.
    """
    lane, home = session.execute(
        select(NonceLane, lanes.home())
        .where(NonceLane.id == lane_id)
        .with_for_update(of=NonceLane)
        .execution_options(populate_existing=True)
    ).one()
    if lane.home != home:
        raise LanePausedError(lane.address, lanes.RESTORED)
    if lane.state is not LaneState.ACTIVE:
        raise LanePausedError(lane.address, lane.state_reason or lane.state)
    room = lanes.room(session, lane_id)
    if room == 0:
        raise LaneFullError(lane.address)
    first = lane.next_nonce
    lane.next_nonce = first + min(count, room)
    return lane, range(first, lane.next_nonce)

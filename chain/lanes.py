"""What a lane may take on: how much is on its way, what that may cost, and who stopped it.

Every change is made under the lane's row lock.
"""

import structlog
from sqlalchemy import ColumnElement, Text, delete, func, select, update
from sqlalchemy.orm import Session

from chain.models import (
    Attempt,
    LaneState,
    NonceLane,
    Recovery,
    Sighting,
    Transaction,
    TransactionState,
)
from chain.settings import chain_settings
from core.db import change
from core.types import LaneId, Wei

log = structlog.get_logger(__name__)

UNMINED = (TransactionState.SIGNED, TransactionState.SENT)
REASON_LENGTH = 200

RESTORED = "the database was restored from a backup; what the network did since is looked up first"
UNFUNDED = "the sending account's balance is too low; fund it, and work goes on by itself"


def room(session: Session, lane_id: LaneId) -> int:
    """How many transactions more the lane takes: nodes keep only so many of one account.

    References:
        Go-ethereum keeps 16 executable transactions of an account (`--txpool.accountslots`).
    """
    query = select(func.count()).where(
        Transaction.lane_id == lane_id, Transaction.state.in_(UNMINED)
    )
    return max(0, chain_settings().in_flight - (session.scalar(query) or 0))


def committed(session: Session, lane_id: LaneId) -> Wei:
    """What the transactions on their way cost at the most: gas times the highest fee signed."""
    dearest = (
        select(func.max(Attempt.gas * Attempt.max_fee_per_gas).label("cost"))
        .join(Transaction)
        .where(Transaction.lane_id == lane_id, Transaction.state.in_(UNMINED))
        .group_by(Transaction.id)
        .subquery()
    )
    return Wei(int(session.scalar(select(func.coalesce(func.sum(dearest.c.cost), 0))) or 0))


def get_locked(session: Session, lane_id: LaneId) -> NonceLane:
    """The lane as it is now, locked until the caller's transaction ends."""
    return session.get_one(NonceLane, lane_id, with_for_update=True, populate_existing=True)


def pause(session: Session, lane_id: LaneId, reason: str) -> None:
    """New work would only make things worse; the bytes that exist stay as they are.

    Locks: the lane.
    """
    lane = get_locked(session, lane_id)
    if lane.state in (LaneState.ACTIVE, LaneState.UNFUNDED):
        lane.state, lane.state_reason = LaneState.PAUSED, reason[:REASON_LENGTH]
        log.error("lane_paused", lane=str(lane_id), reason=reason)


def resume(session: Session, lane_id: LaneId) -> None:
    """The lane takes transactions again; a quarantined lane stays as it is.

    Locks: the lane.
    """
    lane = get_locked(session, lane_id)
    if lane.state is LaneState.PAUSED:
        lane.state, lane.state_reason = LaneState.ACTIVE, None


def home() -> ColumnElement[str]:
    """The name of the database that is asked: another one after a restore or a failover."""
    return func.cohort_home(type_=Text)


def restore(session: Session, lane_id: LaneId) -> None:
    """The lane is a copy that may have forgotten something: nothing is signed until it recovered.

    A lane that a person paused recovers when it is resumed.

    Locks: the lane.
    """
    lane = get_locked(session, lane_id)
    for table in (Recovery, Sighting):
        session.execute(delete(table).where(table.lane_id == lane_id))
    lane.home = None
    if lane.state is not LaneState.PAUSED:
        lane.state, lane.state_reason = LaneState.RESTORED, RESTORED
        log.error("lane_restored", lane=str(lane_id))


def resync(session: Session, lane_id: LaneId) -> int:
    """Everything on its way is sent again at the next step, to every node.

    Returns:
        How many transactions that are.
    """
    found = update(Transaction).where(
        Transaction.lane_id == lane_id, Transaction.state == TransactionState.SENT
    )
    return change(session, found.values(state=TransactionState.SIGNED))


def quarantine(session: Session, lane_id: LaneId, reason: str) -> None:
    """Nothing is signed with the relayer's key any more, and nobody can resume it from a screen.

    Only `cohort recover` takes it back, after it found out what used the nonces.

    Locks: the lane.
    """
    lane = get_locked(session, lane_id)
    lane.state, lane.state_reason = LaneState.QUARANTINED, reason[:REASON_LENGTH]
    log.critical("lane_quarantined", lane=str(lane_id), reason=reason)


def set_funded(session: Session, lane_id: LaneId, *, is_funded: bool) -> None:
    """The lane waits for money, or takes transactions again; a stopped lane stays as it is.

    Locks: the lane.
    """
    lane = get_locked(session, lane_id)
    if is_funded and lane.state is LaneState.UNFUNDED:
        lane.state, lane.state_reason = LaneState.ACTIVE, None
        log.info("lane_funded", lane=str(lane_id))
    elif not is_funded and lane.state is LaneState.ACTIVE:
        lane.state, lane.state_reason = LaneState.UNFUNDED, UNFUNDED
        log.error("lane_unfunded", lane=str(lane_id))

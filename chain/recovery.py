"""What a restored database has to learn from the chain before it may sign again.

A backup has forgotten transactions that the network has: in blocks, or in pools, where they can
still get into one. So every nonce that they may have is used up first, by them or by a recorded
no-op. Once the account's count at finality has passed all of those nonces, whatever was forgotten
is final or dead for ever, and the blocks say which. `minting.recovery` recognises what they show;
`chain.pipeline` makes it final like everything else.

The in-flight limit is what makes the end known: no forgotten transaction is further above the
chain's count. Each step here is one SQL transaction under the lane's lock, so that a crash or a
second process repeats nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from eth_typing import ChecksumAddress
from sqlalchemy import delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from chain import lanes, sightings
from chain.client import ChainClient
from chain.errors import HistoryIncompleteError, ImplausibleCountError
from chain.fees import urgent
from chain.models import (
    AttemptKind,
    LaneState,
    NonceLane,
    Outcome,
    Recovery,
    Sighting,
    Transaction,
    TransactionKind,
    TransactionState,
)
from chain.pipeline import Intent, Priced, store
from chain.rebuilding import Seen
from chain.replacements import TRANSFER_GAS, payload_of
from chain.settings import chain_settings
from core.db import unit_of_work
from core.types import LaneId, MerchantId

log = structlog.get_logger(__name__)

BLOCKS_AT_ONCE = 200
"""Blocks read in one step, so that none takes minutes."""

MOST_UNFINAL = 1_000
"""Nonces above the final ones; a node that says more is not believed."""


@dataclass(frozen=True)
class Course:
    """How far a restored lane is.

    Args:
        missing: final nonces below the target of which neither a final row nor a block is known.
    """

    lane_id: LaneId
    address: ChecksumAddress
    target: int | None
    next_block: int
    missing: Sequence[int]


def restore_all(session: Session) -> int:
    """Every lane recovers before it signs again: the database was restored, says a person.

    Returns:
        How many lanes there are.

    Locks: the lanes, in the order of their ids.
    """
    found = session.scalars(select(NonceLane.id).order_by(NonceLane.id)).all()
    for lane_id in found:
        lanes.restore(session, lane_id)
    return len(found)


def knows_less(
    merchant: MerchantId, client: ChainClient, lane_id: LaneId, address: ChecksumAddress
) -> bool:
    """Whether the network has transactions that this database does not; then the lane recovers.

    The lane is read after the node was asked: what was in a block then had been stored before.
    """
    count = client.transaction_count(address)
    with unit_of_work(merchant=merchant) as session:
        if count <= session.get_one(NonceLane, lane_id).next_nonce:
            return False
        lanes.restore(session, lane_id)
        return True


def advance(
    merchant: MerchantId,
    client: ChainClient,
    *,
    chain_id: int,
    line: Callable[[], int],
    at: datetime,
) -> bool:
    """Each restored lane is one step further: nonces used up, blocks read, or recovered.

    Args:
        line: reads the newest block that counts as final.

    Returns:
        Whether a lane is still recovering, so that nothing new may be decided.

    Raises:
        ChainUnavailableError: a node gives no answer; only what all say is enough here.
        HistoryIncompleteError: the blocks do not show every final nonce. They are read anew.
        ImplausibleCountError: a node counts more than there can be.
    """
    with unit_of_work(merchant=merchant) as session:
        courses = _courses(session, chain_id)
    if not courses:
        return False
    final_line = line()
    going_on = [
        _advance(merchant, client, course, final_line=final_line, at=at) for course in courses
    ]
    return any(going_on)


def _advance(
    merchant: MerchantId, client: ChainClient, course: Course, *, final_line: int, at: datetime
) -> bool:
    if course.target is None:
        _use_up(merchant, client, course, final_line=final_line, at=at)
    elif course.missing:
        if client.least_transaction_count(course.address, block=final_line) >= course.target:
            _read_blocks(merchant, client, course, final_line=final_line)
    elif client.greatest_transaction_count(course.address) > course.target:
        # A reorganisation had hidden how far the chain had been.
        _use_up(merchant, client, course, final_line=final_line, at=at)
    else:
        return not _finish(merchant, course)
    return True


def _courses(session: Session, chain_id: int) -> list[Course]:
    """Of the lanes that have something to recover: those that live elsewhere than before, too."""
    found = session.execute(
        select(NonceLane, lanes.home() == func.coalesce(NonceLane.home, ""))
        .where(NonceLane.chain_id == chain_id)
        .order_by(NonceLane.id)
    ).all()
    for lane, is_at_home in found:
        if not is_at_home and lane.state in (LaneState.ACTIVE, LaneState.UNFUNDED):
            lanes.restore(session, lane.id)
    return [_course(session, lane) for lane, _ in found if lane.state is LaneState.RESTORED]


def _course(session: Session, lane: NonceLane) -> Course:
    recovery = session.get(Recovery, lane.id)
    if recovery is None:
        return Course(lane.id, lane.address, None, 0, ())
    missing = sightings.missing(session, recovery)
    return Course(lane.id, lane.address, recovery.target, recovery.next_block, missing)


# ------------------------------------------------------------------------- nonces are used up


def _use_up(
    merchant: MerchantId, client: ChainClient, course: Course, *, final_line: int, at: datetime
) -> None:
    """Every nonce that a forgotten transaction can have is the lane's, with a no-op to fill it.

    Final ones need none: what used them is found in the blocks.
    """
    used = client.greatest_transaction_count(course.address)
    final = client.least_transaction_count(course.address, block=final_line)
    if used - final > MOST_UNFINAL:
        raise ImplausibleCountError(course.address, used)
    money = client.greatest_balance(course.address)
    fees = urgent(client.head().base_fee_per_gas)
    with unit_of_work(merchant=merchant) as session:
        lane = lanes.get_locked(session, course.lane_id)
        recovery = session.get(Recovery, lane.id)
        is_as_seen = course.target == (None if recovery is None else recovery.target)
        if lane.state is not LaneState.RESTORED or not is_as_seen:
            return
        # What never used a nonce and has no money never signed: nobody signs without it.
        is_untouched = used == lane.next_nonce == lane.base_nonce and money == 0
        forgotten = 0 if is_untouched else chain_settings().in_flight
        target = max(lane.next_nonce, used + forgotten)
        unused = range(max(lane.next_nonce, final), target)
        if unused:
            no_op = Intent(TransactionKind.NOOP, to=lane.address, data=b"", gas=TRANSFER_GAS)
            wanted = [Priced(no_op, fees)] * len(unused)
            store(session, lane, unused, wanted, kind=AttemptKind.CANCEL, at=at)
        lane.next_nonce = target
        first = _first_unfinished(session, lane)
        start = _block_before(session, lane, first)
        progress = Recovery(lane_id=lane.id, first_nonce=first, target=target, next_block=start)
        session.merge(progress)
    log.warning("lane_recovers", lane=str(course.lane_id), target=target)


def _first_unfinished(session: Session, lane: NonceLane) -> int:
    """The lowest nonce without a final row."""
    following = aliased(Transaction)
    final = (Transaction.lane_id == lane.id, Transaction.state == TransactionState.FINAL)
    if not session.scalar(select(exists().where(*final, Transaction.nonce == lane.base_nonce))):
        return lane.base_nonce
    has_next = exists().where(
        following.lane_id == lane.id,
        following.state == TransactionState.FINAL,
        following.nonce == Transaction.nonce + 1,
    )
    last = session.execute(select(func.min(Transaction.nonce)).where(*final, ~has_next))
    return int(last.scalar_one()) + 1


def _block_before(session: Session, lane: NonceLane, nonce: int) -> int:
    """A block that nothing of the lane with this nonce, or a later one, can be below."""
    newest = select(func.max(Transaction.block_number)).where(
        Transaction.lane_id == lane.id,
        Transaction.nonce < nonce,
        Transaction.state == TransactionState.FINAL,
    )
    return session.scalar(newest) or lane.base_block


# ----------------------------------------------------------------------------- blocks are read


def _read_blocks(
    merchant: MerchantId, client: ChainClient, course: Course, *, final_line: int
) -> None:
    """Some blocks more have said which bytes used the lane's nonces."""
    end = min(final_line + 1, course.next_block + BLOCKS_AT_ONCE)
    seen: list[Seen] = []
    for number in range(course.next_block, end):
        seen += client.sent_by(course.address, block=number)
    with unit_of_work(merchant=merchant) as session:
        lanes.get_locked(session, course.lane_id)
        recovery = session.get(Recovery, course.lane_id)
        if recovery is None or recovery.next_block != course.next_block:
            return  # somebody else has read them
        if not _note(session, recovery, seen):
            return
        recovery.next_block = end
        session.flush()
        missing = sightings.missing(session, recovery)
        is_at_end = end > final_line
        if missing and is_at_end:
            lane = session.get_one(NonceLane, course.lane_id)
            recovery.next_block = _block_before(session, lane, recovery.first_nonce)
    if missing and is_at_end:
        raise HistoryIncompleteError(course.address, missing)


def _note(session: Session, recovery: Recovery, seen: Sequence[Seen]) -> bool:
    """False for a transaction that a relayer never signs; then its lane is quarantined."""
    wanted = [one for one in seen if recovery.first_nonce <= one.nonce < recovery.target]
    for one in wanted:
        if one.raw is None or payload_of(one.raw).value != 0:
            reason = f"somebody else has the relayer's key and used nonce {one.nonce}"
            lanes.quarantine(session, recovery.lane_id, reason)
            return False
        row = {"nonce": one.nonce, "tx_hash": one.tx_hash, "raw": one.raw}
        session.execute(
            insert(Sighting).values(lane_id=recovery.lane_id, **row).on_conflict_do_nothing()
        )
    return True


# --------------------------------------------------------------------- the lane goes on


def _finish(merchant: MerchantId, course: Course) -> bool:
    """Whether every nonce has a final row, so that the lane takes transactions again."""
    with unit_of_work(merchant=merchant) as session:
        lane = lanes.get_locked(session, course.lane_id)
        recovery = session.get(Recovery, course.lane_id)
        if lane.state is not LaneState.RESTORED or recovery is None:
            return False
        final, forgotten = _count_final(session, recovery)
        if final < recovery.target - recovery.first_nonce:
            return False
        session.execute(delete(Sighting).where(Sighting.lane_id == lane.id))
        session.delete(recovery)
        lane.home = session.scalar(select(lanes.home()))
        lane.state, lane.state_reason = LaneState.ACTIVE, None
        if forgotten:
            lanes.pause(session, lane.id, _pause_reason(forgotten))
    log.warning("lane_recovered", lane=str(course.lane_id), forgotten=forgotten)
    return True


def _count_final(session: Session, recovery: Recovery) -> tuple[int, int]:
    """The lane's final rows from the first nonce to the target, and how many nothing asks for."""
    is_forgotten = Transaction.outcome == Outcome.FORGOTTEN
    final, forgotten = session.execute(
        select(func.count(), func.count().filter(is_forgotten)).where(
            Transaction.lane_id == recovery.lane_id,
            Transaction.nonce >= recovery.first_nonce,
            Transaction.nonce < recovery.target,
            Transaction.state == TransactionState.FINAL,
        )
    ).one()
    return final, forgotten


def _pause_reason(count: int) -> str:
    """Shown on Operations, so in the length that a reason may have."""
    what = "transaction is" if count == 1 else "transactions are"
    return (
        f"{count} {what} on the chain that this backup knows nothing of. Restore a newer one and "
        "run `cohort recover`, or compare them with your campaigns before you resume"
    )

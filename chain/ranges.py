"""A contract's events, read in ranges that are whole: bounded, agreed on, and else halved.

The cursor of a contract moves over a range only when every node that answers has the same block at
both ends and the same events between. What cannot be read is marked in a transaction of its own,
so that the mark outlives the failure, and is asked again in halves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import structlog
from eth_typing import ChecksumAddress
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chain import witnesses
from chain.client import ChainClient
from chain.errors import NodesDisagreeError, RangeUnreadableError, RpcError
from chain.models import NonceLane, Outcome, Reconciliation, Transaction, TransactionState
from chain.witnesses import Move
from core.db import unit_of_work
from core.types import MerchantId

log = structlog.get_logger(__name__)

BLOCKS = 2_000
"""Of a range, at the most."""

CALLS = 8
"""Of ours in a range, at the most: each mints to 1,300 recipients or so, and providers send no more
than ten thousand events."""


@dataclass(frozen=True)
class Place:
    """A contract of a merchant on a chain: whose events these are."""

    merchant: MerchantId
    chain_id: int
    contract: ChecksumAddress


@dataclass(frozen=True)
class Events:
    """Everything a contract minted and burned in a range that was read whole."""

    first: int
    last: int
    last_hash: bytes
    mints: Sequence[Move]
    burns: Sequence[Move]


def open_cursor(session: Session, place: Place, *, first_block: int) -> Reconciliation:
    """The contract's cursor; a new one stands before the contract's first block.

    Locks: the cursor.
    """
    key = {"chain_id": place.chain_id, "contract": place.contract}
    fresh = {"first_block": first_block, "last_block": first_block - 1, "burned": 0}
    session.execute(insert(Reconciliation).values(**key, **fresh).on_conflict_do_nothing())
    return session.get_one(Reconciliation, tuple(key.values()), with_for_update=True)


def read_whole(client: ChainClient, place: Place, first: int, last: int) -> Iterator[Events]:
    """The events from block `first` to `last`, a range after the other.

    Raises:
        RangeUnreadableError: a single block cannot be read; what came before it was.
        ChainUnavailableError: too few nodes answer.
    """
    for start, end in _cut(_calls(place, first, last), first, last):
        left = [(start, end)]
        while left:
            part = left.pop()
            try:
                yield _read(client, place.contract, *part)
            except (NodesDisagreeError, RpcError) as error:
                with unit_of_work(merchant=place.merchant) as session:
                    _mark_bad(session, place, part, str(error))
                left += _halves(part, error)


def _halves(part: tuple[int, int], error: Exception) -> list[tuple[int, int]]:
    """The second and the first half: the last of them is read next."""
    first, last = part
    if first == last:
        raise RangeUnreadableError(first, str(error)) from error
    middle = (first + last) // 2
    return [(middle + 1, last), (first, middle)]


def _read(client: ChainClient, contract: ChecksumAddress, first: int, last: int) -> Events:
    mints = witnesses.mints(client, contract, first=first, last=last)
    burns = witnesses.burns(client, contract, first=first, last=last)
    # after the events: what they belong to is canonical now, on every node
    first_hash = witnesses.block_hash(client, first)
    last_hash = witnesses.block_hash(client, last)
    if first_hash is None or last_hash is None:
        raise NodesDisagreeError("eth_getBlockByNumber")
    return Events(first, last, last_hash, mints, burns)


def _calls(place: Place, first: int, last: int) -> Sequence[int]:
    """The blocks that hold our calls of the contract, in order."""
    with unit_of_work(merchant=place.merchant) as session:
        query = (
            select(Transaction.block_number)
            .join(NonceLane)
            .where(
                NonceLane.chain_id == place.chain_id,
                Transaction.to == place.contract,
                Transaction.state == TransactionState.FINAL,
                Transaction.outcome == Outcome.SUCCESS,
                Transaction.block_number.between(first, last),
            )
            .order_by(Transaction.block_number)
        )
        return [number for number in session.scalars(query) if number is not None]


def _cut(calls: Sequence[int], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Ranges of few enough blocks, with few enough calls in each.

    Args:
        calls: their blocks, ascending; more of them in one block stay together.
    """
    start, held = first, 0
    for block in [*calls, last]:
        while block - start >= BLOCKS:
            yield start, start + BLOCKS - 1
            start, held = start + BLOCKS, 0
        held += 1
        if held >= CALLS and start <= block < last:
            yield start, block
            start, held = block + 1, 0
    if start <= last:
        yield start, last


def _mark_bad(session: Session, place: Place, part: tuple[int, int], problem: str) -> None:
    cursor = session.get_one(Reconciliation, (place.chain_id, place.contract))
    cursor.bad_first, cursor.bad_last = part
    cursor.problem = problem
    log.warning("range_bad", contract=place.contract, first=part[0], last=part[1], reason=problem)


def advance(cursor: Reconciliation, events: Events) -> None:
    """The range was read whole and compared; the mark of one that could not be is gone with it."""
    if events.last > cursor.last_block:
        cursor.burned += sum(move.block_number > cursor.last_block for move in events.burns)
        cursor.last_block, cursor.last_hash = events.last, events.last_hash
    if cursor.bad_last is not None and cursor.bad_last <= events.last:
        cursor.bad_first = cursor.bad_last = cursor.problem = None


def rewind(cursor: Reconciliation) -> None:
    """Everything is read anew."""
    cursor.last_block, cursor.last_hash, cursor.burned = cursor.first_block - 1, None, 0

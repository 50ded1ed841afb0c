"""How a decision becomes a final transaction: store, send, watch, finalise.

One SQL transaction takes the nonce, signs, and stores the signed bytes with their hash. Only then
is anything sent. From then on receipts on the canonical chain decide and nothing else does: no
timeout, no error text and no missing receipt is evidence. The same bytes may be sent any number of
times, by any process, because their nonce can be used once.

Nothing here opens a network connection inside a SQL transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from eth_typing import ChecksumAddress
from eth_utils.crypto import keccak
from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager, selectinload

from chain import lanes, nonces, replacements, strangers
from chain.bindings.create import create_address
from chain.client import ChainClient, Receipt, SendResult
from chain.errors import ChainUnavailableError, SendAnswer
from chain.fees import Fees, current
from chain.models import (
    OPEN_STATES,
    Attempt,
    AttemptKind,
    LaneState,
    NonceLane,
    Outcome,
    Transaction,
    TransactionKind,
    TransactionState,
)
from chain.settings import chain_settings
from core.db import unit_of_work
from core.ids import new_id
from core.types import BatchId, Gas, LaneId, MerchantId, TransactionId, Wei
from wallets.models import TransactionPayload
from wallets.service import sign_transactions

log = structlog.get_logger(__name__)

_ANSWER_LENGTH = 200


@dataclass(frozen=True)
class Intent:
    """What a transaction shall do; replacements may change fees only.

    Args:
        to: the contract called; None creates one.
        batch_id: the frozen batch it executes, so that no second live transaction can.
        fee_cap: the highest price per gas it may ever have, in wei; None for the installation's.
    """

    kind: TransactionKind
    to: ChecksumAddress | None
    data: bytes
    gas: Gas
    batch_id: BatchId | None = None
    fee_cap: Wei | None = None

    def digest(self) -> bytes:
        """Fingerprint of everything a replacement must keep."""
        return keccak((self.to or "create").encode() + self.gas.to_bytes(8) + self.data)


@dataclass(frozen=True)
class Priced:
    """An intent and what is offered for it."""

    intent: Intent
    fees: Fees


def enqueue(
    session: Session, lane_id: LaneId, wanted: Sequence[Priced], *, at: datetime
) -> list[Transaction]:
    """The intents own nonces, and their signed bytes are stored; nothing is sent yet.

    Call it in the same transaction that claims the work: a rollback gives everything back.

    Returns:
        One for each intent, in order, as far as the lane has room; at least one.

    Raises:
        LanePausedError: the lane takes no transactions.
        LaneFullError: it has no room.
        SigningRefusedError: the relayer may not sign one of them.

    Locks: the lane.
    """
    lane, allotted = nonces.allocate(session, lane_id, len(wanted))
    return store(session, lane, allotted, wanted, kind=AttemptKind.FIRST, at=at)


def store(
    session: Session,
    lane: NonceLane,
    taken: range,
    wanted: Sequence[Priced],
    *,
    kind: AttemptKind,
    at: datetime,
) -> list[Transaction]:
    """The first intents are signed and stored for the nonces that the caller took.

    Locks: nothing; the caller holds the lane.
    """
    payloads = [_payload(lane, nonce, it) for nonce, it in zip(taken, wanted, strict=False)]
    rows = []
    for payload, it, signed in zip(
        payloads, wanted, sign_transactions(session, lane.address, payloads), strict=False
    ):
        row = _row(lane, payload.nonce, it.intent, at=at)
        row.attempts.append(replacements.attempt(signed, payload, seq=0, kind=kind, at=at))
        rows.append(row)
    session.add_all(rows)
    session.flush()
    return rows


def _row(lane: NonceLane, nonce: int, intent: Intent, *, at: datetime) -> Transaction:
    return Transaction(
        id=TransactionId(new_id()),
        lane=lane,
        nonce=nonce,
        batch_id=intent.batch_id,
        kind=intent.kind,
        fee_cap=intent.fee_cap,
        intent_hash=intent.digest(),
        to=intent.to,
        contract_address=create_address(lane.address, nonce) if intent.to is None else None,
        created_at=at,
        next_action_at=at,
    )


def _payload(lane: NonceLane, nonce: int, it: Priced) -> TransactionPayload:
    return TransactionPayload(
        chain_id=lane.chain_id,
        nonce=nonce,
        to=it.intent.to,
        data=it.intent.data,
        value=Wei(0),
        gas=it.intent.gas,
        max_fee_per_gas=it.fees.max_fee_per_gas,
        max_priority_fee_per_gas=it.fees.max_priority_fee_per_gas,
    )


@dataclass(frozen=True)
class _Open:
    """An unfinished transaction as last read; network work happens on this copy."""

    id: TransactionId
    lane_id: LaneId
    sender: ChecksumAddress
    nonce: int
    state: TransactionState
    version: int
    block_hash: bytes | None
    is_foreign: bool
    attempts: tuple["_Bytes", ...]
    """Oldest first."""


@dataclass(frozen=True)
class _Bytes:
    """One attempt as last read."""

    tx_hash: bytes
    raw: bytes
    signed_at: datetime
    last_sent_at: datetime | None


def watch(
    merchant: MerchantId,
    client: ChainClient,
    *,
    chain_id: int,
    line: Callable[[], int],
    at: datetime,
) -> int:
    """Every open transaction of the merchant on the chain is one step further, if it can be.

    Args:
        line: reads the newest block that counts as final; asked once, before any receipt.

    Returns:
        How many transactions are still open and can be expected in a block.

    Raises:
        ChainUnavailableError: the node does not answer; nothing is lost.
    """
    open_transactions = _open_transactions(merchant, chain_id)
    if not open_transactions:
        return 0
    final_line = line()
    waiting: set[LaneId] = set()
    for transaction in open_transactions:
        receipt = _find_receipt(client, transaction)
        if receipt is not None:
            is_final = receipt.block_number <= final_line and client.confirms(receipt)
            _record(merchant, transaction, receipt, is_final=is_final, at=at)
            continue
        transaction = _unmine(merchant, transaction, at=at)
        if transaction.lane_id not in waiting:  # those behind the lowest nonce wait for it only
            waiting.add(transaction.lane_id)
            transaction = _raise_fees(merchant, client, transaction, at=at)
        answer = _send_again(merchant, client, transaction, at=at)
        if answer is SendAnswer.NONCE_TOO_LOW:
            _look_for_foreign_use(merchant, client, transaction, final_line=final_line, at=at)
    return sum(not left.is_foreign for left in _open_transactions(merchant, chain_id))


def _open_transactions(merchant: MerchantId, chain_id: int) -> list[_Open]:
    with unit_of_work(merchant=merchant) as session:
        rows = session.scalars(
            select(Transaction)
            .join(Transaction.lane)
            .where(NonceLane.chain_id == chain_id, Transaction.state.in_(OPEN_STATES))
            .order_by(Transaction.lane_id, Transaction.nonce)
            .options(selectinload(Transaction.attempts), contains_eager(Transaction.lane))
        ).all()
        return [_copy(row) for row in rows]


def _copy(row: Transaction) -> _Open:
    return _Open(
        id=row.id,
        lane_id=row.lane_id,
        sender=row.lane.address,
        nonce=row.nonce,
        state=row.state,
        version=row.version,
        block_hash=row.block_hash,
        is_foreign=row.foreign_use_at is not None,
        attempts=tuple(
            _Bytes(it.tx_hash, it.raw, it.signed_at, it.last_sent_at) for it in row.attempts
        ),
    )


def _find_receipt(client: ChainClient, transaction: _Open) -> Receipt | None:
    """The receipt of any attempt whose block is the canonical one at its height."""
    for attempt in transaction.attempts:
        receipt = client.receipt(attempt.tx_hash)
        if receipt is not None and client.block_hash(receipt.block_number) == receipt.block_hash:
            return receipt
    return None


def _unmine(merchant: MerchantId, seen: _Open, *, at: datetime) -> _Open:
    """A transaction whose block is gone is signed again, with the same bytes."""
    if seen.state is not TransactionState.MINED:
        return seen
    with unit_of_work(merchant=merchant) as session:
        row = _lock(session, seen.id)
        if not _is_as_seen(row, seen):
            return seen
        row.state = TransactionState.SIGNED
        row.block_number = row.block_hash = row.mined_hash = None
        row.next_action_at = at
        session.flush()
        log.warning("transaction_left_chain", transaction=str(row.id))
        return _copy(row)


def _raise_fees(merchant: MerchantId, client: ChainClient, seen: _Open, *, at: datetime) -> _Open:
    """Bytes that have waited long enough get a successor with higher fees, stored before sent.

    Only what holds up its lane: a higher fee behind it would buy nothing.
    """
    newest = seen.attempts[-1]
    due = replacements.is_due(newest.signed_at, attempts=len(seen.attempts), at=at)
    if not due or newest.last_sent_at is None or seen.is_foreign:
        return seen
    suggested = current(client.head().base_fee_per_gas)
    with unit_of_work(merchant=merchant) as session:
        row = _lock(session, seen.id)
        if row.state not in lanes.UNMINED or not _is_as_seen(row, seen):
            return seen
        replacements.raise_due(session, row, suggested=suggested, at=at)
        return _copy(row)


def _send_again(
    merchant: MerchantId, client: ChainClient, transaction: _Open, *, at: datetime
) -> SendAnswer | None:
    """What the nodes said to the newest bytes, or None while the last send is recent."""
    newest = transaction.attempts[-1]
    patience = timedelta(seconds=chain_settings().rebroadcast_seconds)
    was_sent = transaction.state is TransactionState.SENT
    if was_sent and newest.last_sent_at is not None and at - newest.last_sent_at < patience:
        return None
    result = client.send_raw(newest.raw)
    _store_answer(merchant, transaction, newest.tx_hash, result, at=at)
    return result.answer


def _store_answer(
    merchant: MerchantId, seen: _Open, tx_hash: bytes, result: SendResult, *, at: datetime
) -> None:
    with unit_of_work(merchant=merchant) as session:
        row = _lock(session, seen.id)
        attempt = session.get_one(Attempt, tx_hash)
        attempt.first_sent_at = attempt.first_sent_at or at
        if result.answer in (SendAnswer.ACCEPTED, SendAnswer.KNOWN):
            attempt.accepted_at = attempt.accepted_at or at
        is_old = attempt.last_sent_at is not None and at < attempt.last_sent_at
        if is_old or not _is_as_seen(row, seen):
            return  # that bytes were sent stays true; what a node thought of them does not
        attempt.last_sent_at = at
        attempt.last_answer = f"{result.answer}: {result.text}"[:_ANSWER_LENGTH]
        if row.state is TransactionState.SIGNED:
            row.state = TransactionState.SENT
        if result.answer is SendAnswer.ACCEPTED and row.lane.state is LaneState.UNFUNDED:
            lanes.set_funded(session, row.lane_id, is_funded=True)
        elif result.answer is SendAnswer.INSUFFICIENT_FUNDS:
            lanes.set_funded(session, row.lane_id, is_funded=False)
        elif result.answer is SendAnswer.REJECTED:
            replacements.give_up(session, row, result.text, at=at)


def _look_for_foreign_use(
    merchant: MerchantId, client: ChainClient, seen: _Open, *, final_line: int, at: datetime
) -> None:
    """The lane is quarantined when other bytes, signed by its key, finally have the nonce.

    Never a new nonce: what the stranger sent may be these very bytes with other fees, after a
    restored backup.
    """
    try:
        use = strangers.find_use(client, seen.sender, seen.nonce, final_line=final_line)
    except ChainUnavailableError as error:
        log.warning("no_verdict_on_nonce", transaction=str(seen.id), reason=str(error))
        return
    if use is None:
        return
    with unit_of_work(merchant=merchant) as session:
        row = _lock(session, seen.id)
        is_ours = any(attempt.tx_hash == use.tx_hash for attempt in row.attempts)
        if is_ours or row.state is TransactionState.FINAL or row.foreign_use_at is not None:
            return
        if row.lane.state is LaneState.RESTORED:
            return  # whose bytes they are is being found out
        row.foreign_use_at = at
        reason = f"something else used the relayer's key: nonce {row.nonce} is not ours"
        lanes.quarantine(session, row.lane_id, reason)


def _record(
    merchant: MerchantId, seen: _Open, receipt: Receipt, *, is_final: bool, at: datetime
) -> None:
    if not is_final and seen.block_hash == receipt.block_hash:
        return
    with unit_of_work(merchant=merchant) as session:
        row = _lock(session, seen.id)
        is_stale = not is_final and not _is_as_seen(row, seen)
        if row.state is TransactionState.FINAL or is_stale:
            return
        outcome = _outcome(row, receipt)
        row.state = TransactionState.FINAL if is_final else TransactionState.MINED
        row.block_number, row.block_hash = receipt.block_number, receipt.block_hash
        row.mined_hash = receipt.tx_hash
        row.gas_used, row.effective_gas_price = receipt.gas_used, receipt.effective_gas_price
        row.data_fee = receipt.data_fee
        if is_final:
            row.outcome, row.finalized_at = outcome, at
        session.flush()
    log.info("transaction_final" if is_final else "transaction_mined", transaction=str(seen.id))


def _outcome(row: Transaction, receipt: Receipt) -> Outcome:
    [mined] = [attempt for attempt in row.attempts if attempt.tx_hash == receipt.tx_hash]
    if mined.kind is AttemptKind.CANCEL:
        return Outcome.CANCELLED
    if mined.kind is AttemptKind.FORGOTTEN:
        return Outcome.FORGOTTEN
    return Outcome.SUCCESS if receipt.succeeded else Outcome.REVERTED


def _is_as_seen(row: Transaction, seen: _Open) -> bool:
    """Whether what the chain was asked about is still what the row says.

    A process may sleep for an hour between the question and the write, and others go on: what was
    true of the row as it was then says nothing of the row as it is now.
    """
    return row.version == seen.version and row.attempts[-1].tx_hash == seen.attempts[-1].tx_hash


def _lock(session: Session, transaction_id: TransactionId) -> Transaction:
    return session.scalars(
        select(Transaction).where(Transaction.id == transaction_id).with_for_update()
    ).one()

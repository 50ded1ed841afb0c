"""Other bytes for a nonce that has some: with higher fees, or a no-op in their place.

They are stored before they are sent, and compete with every earlier attempt: one of them gets into
a block, and that one decides. Nothing but the fees changes, except in a recorded no-op.

References:
    Go-ethereum's price bump: both prices strictly higher, and by a tenth at least.
"""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from sqlalchemy.orm import Session

from chain import lanes
from chain.errors import FeeCapReachedError, TransactionMinedError, TransactionNotFoundError
from chain.fees import Fees, raised
from chain.models import Attempt, AttemptKind, Transaction
from chain.settings import chain_settings
from core.types import Gas, TransactionId, Wei
from wallets.errors import SigningRefusedError
from wallets.models import SignedTransaction, TransactionPayload
from wallets.policy import NO_OP_GAS
from wallets.service import sign_transactions

log = structlog.get_logger(__name__)

MAX_BUMPS = 10
TRANSFER_GAS = Gas(NO_OP_GAS)


def sign(
    session: Session,
    transaction: Transaction,
    payload: TransactionPayload,
    *,
    kind: AttemptKind,
    at: datetime,
) -> None:
    """One attempt more is stored."""
    [signed] = sign_transactions(session, transaction.lane.address, [payload])
    seq = len(transaction.attempts)
    transaction.attempts.append(attempt(signed, payload, seq=seq, kind=kind, at=at))


def attempt(
    signed: SignedTransaction,
    payload: TransactionPayload,
    *,
    seq: int,
    kind: AttemptKind,
    at: datetime,
) -> Attempt:
    """The row of signed bytes; its transaction is the caller's to name."""
    return Attempt(
        tx_hash=signed.tx_hash,
        seq=seq,
        kind=kind,
        max_fee_per_gas=payload.max_fee_per_gas,
        max_priority_fee_per_gas=payload.max_priority_fee_per_gas,
        gas=payload.gas,
        raw=signed.raw,
        signed_at=at,
    )


def is_due(signed_at: datetime, *, attempts: int, at: datetime) -> bool:
    """Whether a transaction with so many attempts has waited long enough for a higher fee.

    Args:
        signed_at: of the newest attempt; each is given twice the time of the one before.
    """
    bumps = attempts - 1
    patience = timedelta(seconds=chain_settings().bump_seconds * 2**bumps)
    return bumps < MAX_BUMPS and at - signed_at >= patience


def raise_fees(session: Session, row: Transaction, *, suggested: Fees | None, at: datetime) -> bool:
    """The newest intent is signed again with higher fees, if the cap leaves room for that.

    Args:
        suggested: what the chain asks for now, if that is known; never less than an eighth more.

    Returns:
        False at the cap: the bytes that exist are sent on, and a person is told.

    Locks: nothing; the caller holds the transaction.
    """
    newest = row.attempts[-1]
    fees = raised(highest_fees(row))
    cap = fee_cap(row)
    if cap is not None and fees.max_fee_per_gas > cap:
        log.error("fee_cap_reached", transaction=str(row.id), cap=cap)
        return False
    if suggested is not None:
        highest = max(fees.max_fee_per_gas, suggested.max_fee_per_gas)
        max_fee = Wei(highest if cap is None else min(highest, cap))
        tip = max(fees.max_priority_fee_per_gas, suggested.max_priority_fee_per_gas)
        fees = Fees(max_fee, Wei(min(tip, max_fee)))
    kind = AttemptKind.CANCEL if newest.kind is AttemptKind.CANCEL else AttemptKind.BUMP
    sign(session, row, _with_fees(payload_of(newest.raw), fees), kind=kind, at=at)
    log.info("fees_raised", transaction=str(row.id), max_fee_per_gas=fees.max_fee_per_gas)
    return True


def raise_due(session: Session, row: Transaction, *, suggested: Fees, at: datetime) -> None:
    """The fees are raised if cap and signer allow it; if not, the bytes that exist are sent on.

    Locks: nothing; the caller holds the transaction.
    """
    try:
        raise_fees(session, row, suggested=suggested, at=at)
    except SigningRefusedError as error:
        log.error("fees_not_raised", transaction=str(row.id), reason=error.reason)


def speed_up(session: Session, transaction_id: TransactionId, *, at: datetime) -> None:
    """A person does not want to wait: the newest intent has an eighth more, whatever its age.

    Raises:
        TransactionNotFoundError: this merchant has none with the id.
        TransactionMinedError: it is in a block.
        FeeCapReachedError: nobody agreed to pay that much.

    Locks: the transaction.
    """
    row = _get_unmined(session, transaction_id)
    if not raise_fees(session, row, suggested=None, at=at):
        raise FeeCapReachedError(fee_cap(row) or 0)


def cancel_unmined(session: Session, transaction_id: TransactionId, *, at: datetime) -> None:
    """A person wants the transaction not to happen: a no-op competes with it, and one of them wins.

    Raises:
        TransactionNotFoundError: this merchant has none with the id.
        TransactionMinedError: it is in a block.

    Locks: the transaction.
    """
    cancel(session, _get_unmined(session, transaction_id), at=at)


def _get_unmined(session: Session, transaction_id: TransactionId) -> Transaction:
    row = session.get(Transaction, transaction_id, with_for_update=True)
    if row is None:
        raise TransactionNotFoundError(transaction_id)
    if row.state not in lanes.UNMINED:
        raise TransactionMinedError(transaction_id)
    return row


def cancel(session: Session, row: Transaction, *, at: datetime) -> None:
    """A recorded no-op to the relayer itself competes for the nonce; a repeat changes nothing.

    Locks: nothing; the caller holds the transaction.
    """
    if row.attempts[-1].kind is AttemptKind.CANCEL:
        return
    no_op = replace(
        payload_of(row.attempts[-1].raw), to=row.lane.address, data=b"", gas=TRANSFER_GAS
    )
    payload = _with_fees(no_op, raised(highest_fees(row)))
    sign(session, row, payload, kind=AttemptKind.CANCEL, at=at)


def give_up(session: Session, row: Transaction, text: str, *, at: datetime) -> None:
    """The nonce of bytes that no node takes is filled by a recorded no-op.

    Bytes that any node accepted are watched on: the answer of another proves nothing. Even where
    an acceptance was never heard of, exactly one of the two gets into a block.

    Locks: nothing; the caller holds the transaction.
    """
    if any(attempt.accepted_at is not None for attempt in row.attempts):
        return
    if row.attempts[-1].kind is AttemptKind.CANCEL:
        lanes.pause(session, row.lane_id, f"a node refused the transaction itself: {text}")
        return
    cancel(session, row, at=at)
    log.error("transaction_given_up", transaction=str(row.id), reason=text)


def fee_cap(row: Transaction) -> int | None:
    """The highest price per gas that anybody agreed to for the transaction, in wei."""
    caps = [cap for cap in (row.fee_cap, chain_settings().max_fee_per_gas_wei) if cap is not None]
    return min(caps, default=None)


def highest_fees(row: Transaction) -> Fees:
    """The highest prices of any attempt ever stored: what a replacement has to beat."""
    return Fees(
        max(attempt.max_fee_per_gas for attempt in row.attempts),
        max(attempt.max_priority_fee_per_gas for attempt in row.attempts),
    )


def payload_of(raw: bytes) -> TransactionPayload:
    """What was signed (EIP-2718, EIP-1559)."""
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    to = bytes(fields["to"])
    return TransactionPayload(
        chain_id=int(fields["chainId"]),
        nonce=int(fields["nonce"]),
        to=to_checksum_address(to) if to else None,
        data=bytes(fields["data"]),
        value=Wei(int(fields["value"])),
        gas=Gas(int(fields["gas"])),
        max_fee_per_gas=Wei(int(fields["maxFeePerGas"])),
        max_priority_fee_per_gas=Wei(int(fields["maxPriorityFeePerGas"])),
    )


def _with_fees(payload: TransactionPayload, fees: Fees) -> TransactionPayload:
    return replace(
        payload,
        max_fee_per_gas=fees.max_fee_per_gas,
        max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
    )

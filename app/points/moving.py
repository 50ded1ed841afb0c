"""Credits and debits, corrections, and what becomes of a member's points when the member goes."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.points import holds, ledger
from app.points.errors import (
    AdjustmentInvalidError,
    ReversalRefusedError,
    TransactionNotFoundError,
)
from app.points.expiry import expires_at
from app.points.ledger import MOST, REASON_LENGTH, Stamp
from app.points.models import (
    AccountKind,
    PointsAccount,
    PointsEntry,
    PointsHold,
    PointsLot,
    PointsTransaction,
    PointsUnit,
    TransactionKind,
)
from core.db import merchant_of
from core.events import emit
from core.ids import encode_id, new_id
from core.types import PointsTransactionId, UserId

COUNTERS = {
    TransactionKind.EARN: AccountKind.ISSUED,
    TransactionKind.SPEND: AccountKind.REDEEMED,
    TransactionKind.ADJUST: AccountKind.ADJUSTED,
    TransactionKind.EXPIRE: AccountKind.EXPIRED,
    TransactionKind.CAPTURE: AccountKind.REDEEMED,
}
"""Where the points of a kind come from or go to."""
_WORDS = {
    TransactionKind.EARN: "earned",
    TransactionKind.SPEND: "spent",
    TransactionKind.ADJUST: "adjusted",
    TransactionKind.EXPIRE: "expired",
    TransactionKind.CAPTURE: "spent",
}


def post(
    session: Session, unit: PointsUnit, user_id: UserId, amount: int, stamp: Stamp, *, at: datetime
) -> PointsTransaction:
    """The member has so many more points, or fewer; a repeat of the key changes nothing.

    Args:
        amount: not zero; below zero points go, those that end first before the others.

    Raises:
        InsufficientPointsError: fewer are there, and the unit knows no debt.
        KeyReusedError: the key stands for something else.
        MemberGoneError: there is nobody any more.

    Locks: the member, then the accounts.
    """
    owner = ledger.lock_member(session, user_id)
    mine = ledger.lock_accounts(session, unit, owner)
    digest = stamp.digest(unit.id, user_id, amount)
    known = ledger.find_repeat(session, stamp, digest)
    if known is not None:
        return known
    if stamp.kind is TransactionKind.SPEND:
        ledger.check_spendable(unit)
    ledger.check_available(mine.available, -amount)
    row = ledger.begin(session, unit, stamp, digest, at=at)
    if amount > 0:
        size = ledger.growth(mine.available, amount)
        ledger.make_lot(session, row, mine.available, size, _end(session, unit, at))
    else:
        ledger.use_lots(session, row, mine.available, -amount)
    ledger.write(session, row, unit, [(mine.available, amount)], COUNTERS[stamp.kind])
    _tell(session, unit, row, mine.available, amount, at=at)
    return row


def adjust(
    session: Session,
    unit: PointsUnit,
    user_id: UserId,
    amount: int,
    *,
    key: str,
    reason: str,
    at: datetime,
) -> PointsTransaction:
    """Somebody of the team gave or took points and said why.

    Raises:
        AdjustmentInvalidError: no amount, one too large, or no reason.
        InsufficientPointsError, KeyReusedError, MemberGoneError: as `post`.
    """
    problems = {}
    if not 1 <= abs(amount) <= MOST:
        problems["amount"] = f"A whole number, at most {MOST:,}; with a minus to take points."
    _check_reason(reason, problems)
    if problems:
        raise AdjustmentInvalidError(problems)
    stamp = Stamp(f"manual:{key}", TransactionKind.ADJUST, "manual", reason.strip())
    return post(session, unit, user_id, amount, stamp, at=at)


def _check_reason(reason: str, problems: dict[str, str]) -> None:
    if not 1 <= len(reason.strip()) <= REASON_LENGTH or not reason.isprintable():
        problems["reason"] = f"Say why, in 1 to {REASON_LENGTH} characters on one line."


def reverse(
    session: Session,
    user_id: UserId,
    transaction_id: PointsTransactionId,
    *,
    reason: str,
    at: datetime,
    source: str = "manual",
) -> PointsTransaction:
    """A second transaction takes one of the member's back; a repeat changes nothing.

    Points that were spent come back with the end they had. Points that were earned are taken from
    their own lot first.

    Raises:
        TransactionNotFoundError: the member has none with the id.
        ReversalRefusedError: it only moved reserved points, or is a reversal itself.
        MemberGoneError: there is nobody any more.
        AdjustmentInvalidError: no reason.
        InsufficientPointsError: what was earned is spent.

    Locks: the member, then the accounts.
    """
    problems: dict[str, str] = {}
    _check_reason(reason, problems)
    if problems:
        raise AdjustmentInvalidError(problems)
    row = session.get(PointsTransaction, transaction_id)
    if row is None:
        raise TransactionNotFoundError
    if row.kind not in COUNTERS or row.reverses_id is not None:
        raise ReversalRefusedError("Only what was earned, spent, adjusted or expired is reversed.")
    unit = session.get_one(PointsUnit, row.unit_id)
    whose, moved = _of_member(session, row)
    owner = ledger.lock_member(session, user_id)
    if ledger.lock_member(session, whose) != owner:
        raise TransactionNotFoundError
    available = ledger.lock_accounts(session, unit, owner).available
    stamp = Stamp(f"reverse:{row.id}", row.kind, source, reason.strip(), row.id)
    known = session.scalar(select(PointsTransaction).where(PointsTransaction.key == stamp.key))
    if known is not None:
        return known
    amount = -moved
    ledger.check_available(available, -amount)
    back = ledger.begin(session, unit, stamp, stamp.digest(row.id), at=at)
    if amount > 0:
        size = ledger.growth(available, amount)
        rest = ledger.return_lots(session, back, _lots_used_by(session, row), size)
        ledger.make_lot(session, back, available, rest, _end(session, unit, at))
    else:
        own = session.scalar(select(PointsLot.id).where(PointsLot.transaction_id == row.id))
        ledger.use_lots(session, back, available, -amount, first=own)
    ledger.write(session, back, unit, [(available, amount)], COUNTERS[row.kind])
    _tell(session, unit, back, available, amount, at=at, kind=TransactionKind.ADJUST)
    return back


def _of_member(session: Session, row: PointsTransaction) -> tuple[UserId, int]:
    """Whose points moved, and how many came."""
    found = session.execute(
        select(PointsAccount.user_id, PointsEntry.amount)
        .join(PointsEntry, PointsEntry.account_id == PointsAccount.id)
        .where(PointsEntry.transaction_id == row.id, PointsAccount.user_id.is_not(None))
    ).one()
    assert found.user_id is not None
    return found.user_id, found.amount


def _lots_used_by(session: Session, row: PointsTransaction) -> PointsTransactionId:
    """What took from lots: of redeemed points, the transaction that reserved them."""
    hold = select(PointsHold.transaction_id).where(PointsHold.ended_by_id == row.id)
    return session.scalar(hold) or row.id


def _end(session: Session, unit: PointsUnit, at: datetime) -> datetime | None:
    zone = ZoneInfo(session.get_one(Merchant, merchant_of(session)).time_zone)
    return expires_at(unit.expiry, unit.expiry_count, at=at, zone=zone)


def _tell(
    session: Session,
    unit: PointsUnit,
    row: PointsTransaction,
    available: PointsAccount,
    amount: int,
    *,
    at: datetime,
    kind: TransactionKind | None = None,
) -> None:
    emit(
        session,
        f"cohort.points.{_WORDS[kind or row.kind]}",
        at=at,
        user_id=available.user_id,
        unit=unit.code,
        amount=amount,
        balance=available.balance,
        source=row.source,
        transactionId=encode_id("ltx", row.id),
    )


def expire_due(session: Session, at: datetime) -> bool:
    """Points of one member whose end has come are gone; False when nobody has any.

    One member a transaction, because the unit's account comes last in each, and whoever is first
    by the index: a million members may have the same end.

    Locks: the member, then the accounts.
    """
    account = session.scalar(
        select(PointsAccount)
        .join(PointsLot, PointsLot.account_id == PointsAccount.id)
        .where(
            PointsLot.merchant_id == merchant_of(session),
            PointsLot.remaining > 0,
            PointsLot.expires_at <= at,
        )
        .order_by(PointsLot.expires_at)
        .limit(1)
    )
    if account is None:
        return False
    assert account.user_id is not None  # by the constraint: lots are members'
    _expire(session, session.get_one(PointsUnit, account.unit_id), account.user_id, at=at)
    return True


def _expire(session: Session, unit: PointsUnit, user_id: UserId, *, at: datetime) -> None:
    owner = ledger.lock_member(session, user_id)
    available = ledger.lock_accounts(session, unit, owner).available
    due = session.scalars(
        select(PointsLot.remaining).where(
            PointsLot.account_id == available.id,
            PointsLot.remaining > 0,
            PointsLot.expires_at <= at,
        )
    ).all()
    if due:
        _take(session, unit, available, sum(due), source="expiry", at=at)


def _take(
    session: Session,
    unit: PointsUnit,
    available: PointsAccount,
    amount: int,
    *,
    source: str,
    at: datetime,
) -> None:
    """The lots that end first are gone; those that are due end before all others."""
    stamp = Stamp(f"expire:{new_id()}", TransactionKind.EXPIRE, source)
    row = ledger.begin(session, unit, stamp, stamp.digest(amount), at=at)
    ledger.use_lots(session, row, available, amount)
    ledger.write(session, row, unit, [(available, -amount)], AccountKind.EXPIRED)
    _tell(session, unit, row, available, -amount, at=at)


def move_all(session: Session, other: UserId, survivor: UserId, *, at: datetime) -> None:
    """Everything one member has is another's, by transactions; lots keep their ends.

    Locks: the accounts of both; the caller holds the members.
    """
    for unit in _units_of(session, [other]):
        first, second = sorted((other, survivor))
        both = {it: ledger.lock_accounts(session, unit, it) for it in (first, second)}
        theirs, mine = both[other], both[survivor]
        available, held = theirs.available.balance, theirs.held.balance
        ledger.hand_over_lots(session, theirs.available, mine.available)
        holds.hand_over(session, theirs.held, mine.held)
        moves = [
            (theirs.available, -available),
            (mine.available, available),
            (theirs.held, -held),
            (mine.held, held),
        ]
        moves = [it for it in moves if it[1]]
        if moves:
            stamp = Stamp(f"move:{new_id()}", TransactionKind.MOVE, "merge")
            row = ledger.begin(session, unit, stamp, stamp.digest(available, held), at=at)
            ledger.write(session, row, unit, moves)
            ledger.level_lots(session, row, mine.available)


def forfeit(session: Session, ids: Sequence[UserId], *, at: datetime) -> None:
    """Nobody is left to use them: what is reserved goes back, and all of it ends.

    Locks: the accounts; the caller holds the members.
    """
    for user_id in sorted(ids):
        units = _units_of(session, [user_id])
        for unit in units:
            holds.release_all(session, unit, user_id, at=at)
        for unit in units:
            available = ledger.lock_accounts(session, unit, user_id).available
            if available.balance > 0:
                _take(session, unit, available, available.balance, source="erasure", at=at)


def _units_of(session: Session, ids: Sequence[UserId]) -> Sequence[PointsUnit]:
    of_them = select(PointsAccount.unit_id).where(PointsAccount.user_id.in_(ids))
    return session.scalars(
        select(PointsUnit).where(PointsUnit.id.in_(of_them)).order_by(PointsUnit.id)
    ).all()

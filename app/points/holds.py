"""Points reserved for something: redeemed when it is there, given back when it never will be."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.points import ledger
from app.points.errors import HoldEndedError
from app.points.ledger import Stamp
from app.points.models import (
    AccountKind,
    HoldState,
    PointsAccount,
    PointsHold,
    PointsTransaction,
    PointsUnit,
    TransactionKind,
)
from core.db import merchant_of
from core.events import emit
from core.ids import encode_id, new_id
from core.types import PointsHoldId, UserId


def reserve(
    session: Session,
    unit: PointsUnit,
    user_id: UserId,
    amount: int,
    *,
    key: str,
    until: datetime | None,
    at: datetime,
) -> PointsHold:
    """So many points of the member are reserved; a repeat of the key changes nothing.

    Args:
        key: what they are reserved for, for example `order:ord_…`.
        until: when they go back by themselves.

    Raises:
        InsufficientPointsError, KeyReusedError, MemberGoneError: as `moving.post`.

    Locks: the member, then the accounts.
    """
    owner = ledger.lock_member(session, user_id)
    mine = ledger.lock_accounts(session, unit, owner)
    stamp = Stamp(f"hold:{key}", TransactionKind.HOLD, key)
    digest = stamp.digest(unit.id, user_id, amount)
    known = ledger.find_repeat(session, stamp, digest)
    if known is not None:
        return session.scalars(
            select(PointsHold).where(PointsHold.transaction_id == known.id)
        ).one()
    ledger.check_spendable(unit)
    ledger.check_available(mine.available, amount)
    row = ledger.begin(session, unit, stamp, digest, at=at)
    ledger.use_lots(session, row, mine.available, amount)
    ledger.write(session, row, unit, [(mine.available, -amount), (mine.held, amount)])
    hold = PointsHold(
        id=PointsHoldId(new_id()),
        account_id=mine.held.id,
        transaction_id=row.id,
        amount=amount,
        expires_at=until,
    )
    session.add(hold)
    session.flush()
    return hold


def capture(session: Session, hold: PointsHold, *, at: datetime) -> PointsTransaction:
    """The reserved points are redeemed; a repeat changes nothing.

    Raises:
        HoldEndedError: they went back.

    Locks: the member, then the accounts.
    """
    unit, accounts = _lock(session, hold)
    if hold.state is HoldState.CAPTURED:
        return session.get_one(PointsTransaction, hold.ended_by_id)
    if hold.state is not HoldState.OPEN:
        raise HoldEndedError
    stamp = Stamp(f"capture:{hold.id}", TransactionKind.CAPTURE, "hold")
    row = ledger.begin(session, unit, stamp, stamp.digest(hold.id), at=at)
    hold.state, hold.ended_by_id = HoldState.CAPTURED, row.id
    ledger.write(session, row, unit, [(accounts.held, -hold.amount)], AccountKind.REDEEMED)
    emit(
        session,
        "cohort.points.spent",
        at=at,
        user_id=accounts.held.user_id,
        unit=unit.code,
        amount=-hold.amount,
        balance=accounts.available.balance,
        source=row.source,
        transactionId=encode_id("ltx", row.id),
    )
    return row


def release(session: Session, hold: PointsHold, *, at: datetime) -> None:
    """The reserved points are available again, with the ends they had; a repeat changes nothing.

    Raises:
        HoldEndedError: they are redeemed.

    Locks: the member, then the accounts.
    """
    unit, accounts = _lock(session, hold)
    if hold.state is HoldState.RELEASED:
        return
    if hold.state is not HoldState.OPEN:
        raise HoldEndedError
    stamp = Stamp(f"release:{hold.id}", TransactionKind.RELEASE, "hold")
    row = ledger.begin(session, unit, stamp, stamp.digest(hold.id), at=at)
    hold.state, hold.ended_by_id = HoldState.RELEASED, row.id
    size = ledger.growth(accounts.available, hold.amount)
    rest = ledger.return_lots(session, row, hold.transaction_id, size)
    # What was reserved as debt and is paid meanwhile came from no lot, so it has no end.
    ledger.make_lot(session, row, accounts.available, rest, None)
    moves = [(accounts.held, -hold.amount), (accounts.available, hold.amount)]
    ledger.write(session, row, unit, moves)


def _lock(session: Session, hold: PointsHold) -> tuple[PointsUnit, ledger.Accounts]:
    account = session.get_one(PointsAccount, hold.account_id)
    unit = session.get_one(PointsUnit, account.unit_id)
    assert account.user_id is not None
    accounts = ledger.lock_accounts(session, unit, ledger.lock_member(session, account.user_id))
    session.refresh(hold)
    return unit, accounts


def release_due(session: Session, at: datetime) -> bool:
    """What was reserved for too long is given back, one at a time; True while there is more."""
    found = session.scalars(
        select(PointsHold)
        .where(
            PointsHold.merchant_id == merchant_of(session),
            PointsHold.state == HoldState.OPEN,
            PointsHold.expires_at <= at,
        )
        .order_by(PointsHold.expires_at, PointsHold.id)
        .limit(2)
    ).all()
    for hold in found[:1]:
        _lock(session, hold)
        if hold.state is HoldState.OPEN:
            release(session, hold, at=at)
    return len(found) > 1


def release_all(session: Session, unit: PointsUnit, user_id: UserId, *, at: datetime) -> None:
    """Nothing of the member is reserved in this unit any more."""
    held = ledger.lock_accounts(session, unit, user_id).held
    found = session.scalars(
        select(PointsHold).where(
            PointsHold.account_id == held.id, PointsHold.state == HoldState.OPEN
        )
    )
    for hold in found.all():
        release(session, hold, at=at)


def hand_over(session: Session, source: PointsAccount, target: PointsAccount) -> None:
    """What is reserved for one account is the other's."""
    session.execute(
        update(PointsHold)
        .where(PointsHold.account_id == source.id)
        .values(account_id=target.id)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()

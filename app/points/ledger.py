"""Writes transactions: entries that sum to zero, balances, and the lots that are used or made.

Whoever moves points locks the members, then their accounts, both in the order of their ids, and the
unit's own accounts last, so that nobody waits for each other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.points.errors import (
    InsufficientPointsError,
    KeyReusedError,
    MemberGoneError,
    NotSpendableError,
)
from app.points.models import (
    AccountKind,
    PointsAccount,
    PointsEntry,
    PointsLot,
    PointsLotUse,
    PointsTransaction,
    PointsUnit,
    TransactionKind,
)
from app.users.models import User, UserState
from core.db import merchant_of
from core.ids import new_id
from core.types import PointsAccountId, PointsLotId, PointsTransactionId, UserId

REASON_LENGTH = 200
MOST = 10**12
"""Of one transaction."""
_MEMBERS = (AccountKind.AVAILABLE, AccountKind.HELD)


@dataclass(frozen=True)
class Stamp:
    """What a transaction is, and the key that lets it happen once.

    Args:
        source: what moved the points, for example `manual` or `order:ord_…`.
    """

    key: str
    kind: TransactionKind
    source: str
    reason: str | None = None
    reverses: PointsTransactionId | None = None

    def digest(self, *details: object) -> bytes:
        """Tells a repeat from another request of the same key."""
        said = [self.kind, self.source, self.reason, str(self.reverses), *map(str, details)]
        return sha256(json.dumps(said).encode()).digest()


@dataclass(frozen=True)
class Accounts:
    """A member's accounts of a unit, locked."""

    available: PointsAccount
    held: PointsAccount


def lock_member(session: Session, user_id: UserId) -> UserId:
    """Who gets the member's points: the member, or whoever it was merged into.

    Raises:
        MemberGoneError: there is nobody any more.

    Locks: the member, against merging and erasing.
    """
    row = session.execute(
        select(User.state, User.merged_into_id)
        .where(User.id == user_id)
        .with_for_update(read=True, key_share=True)
    ).one_or_none()
    if row is None or row.state is UserState.ERASED:
        raise MemberGoneError
    return user_id if row.merged_into_id is None else lock_member(session, row.merged_into_id)


def lock_accounts(session: Session, unit: PointsUnit, user_id: UserId) -> Accounts:
    """The member's accounts of the unit; made when there are none.

    Locks: both.
    """
    rows = [
        _account(session, unit, kind, user_id, may_be_negative=unit.allows_debt)
        for kind in _MEMBERS
    ]
    session.execute(insert(PointsAccount).values(rows).on_conflict_do_nothing())
    found = session.scalars(
        select(PointsAccount)
        .where(
            PointsAccount.unit_id == unit.id,
            PointsAccount.user_id == user_id,
            PointsAccount.kind.in_(_MEMBERS),
        )
        .order_by(PointsAccount.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    by_kind = {it.kind: it for it in found}
    return Accounts(by_kind[AccountKind.AVAILABLE], by_kind[AccountKind.HELD])


def _account(
    session: Session,
    unit: PointsUnit,
    kind: AccountKind,
    user_id: UserId | None = None,
    *,
    may_be_negative: bool,
) -> dict[str, object]:
    return {
        "id": new_id(),
        "merchant_id": merchant_of(session),
        "unit_id": unit.id,
        "user_id": user_id,
        "kind": kind,
        "balance": 0,
        "may_be_negative": may_be_negative and kind is not AccountKind.HELD,
    }


def add_to_unit(
    session: Session, unit: PointsUnit, kind: AccountKind, amount: int
) -> PointsAccountId:
    """The unit's own account has so much more; it is locked until the end, so this comes last."""
    row = _account(session, unit, kind, may_be_negative=True) | {"balance": amount}
    statement = insert(PointsAccount).values(row)
    return session.scalars(
        statement.on_conflict_do_update(
            index_elements=["unit_id", "user_id", "kind"],
            set_={"balance": PointsAccount.balance + amount},
        ).returning(PointsAccount.id)
    ).one()


def find_repeat(session: Session, stamp: Stamp, digest: bytes) -> PointsTransaction | None:
    """The transaction this key stands for, or None; the accounts are locked by then.

    Raises:
        KeyReusedError: it is another one.
    """
    found = session.scalar(select(PointsTransaction).where(PointsTransaction.key == stamp.key))
    if found is not None and found.request_hash != digest:
        raise KeyReusedError
    return found


def begin(
    session: Session, unit: PointsUnit, stamp: Stamp, digest: bytes, *, at: datetime
) -> PointsTransaction:
    """There is a transaction, whose entries are written next.

    Raises:
        KeyReusedError: of two that use a key for different members at once, the second.
    """
    values = {
        "id": PointsTransactionId(new_id()),
        "unit_id": unit.id,
        "kind": stamp.kind,
        "key": stamp.key,
        "request_hash": digest,
        "source": stamp.source,
        "reason": stamp.reason,
        "reverses_id": stamp.reverses,
        "actor": session.info["actor"],
        "created_at": at,
    }
    made: PointsTransaction | None = session.scalar(
        insert(PointsTransaction)
        .values(values)
        .on_conflict_do_nothing(index_elements=["merchant_id", "key"])
        .returning(PointsTransaction)
    )
    if made is None:
        raise KeyReusedError
    return made


def write(
    session: Session,
    transaction: PointsTransaction,
    unit: PointsUnit,
    moves: Sequence[tuple[PointsAccount, int]],
    counter: AccountKind | None = None,
) -> None:
    """The entries and balances are there; the unit's account takes what is left to zero."""
    entries = []
    for account, amount in moves:
        account.balance += amount
        entries.append((account.id, amount))
    session.flush()
    if counter is not None:
        rest = -sum(amount for _, amount in moves)
        entries.append((add_to_unit(session, unit, counter, rest), rest))
    session.execute(
        insert(PointsEntry),
        [
            {"transaction_id": transaction.id, "account_id": account, "amount": amount}
            for account, amount in entries
        ],
    )


def check_spendable(unit: PointsUnit) -> None:
    """The unit is one that members spend.

    Raises:
        NotSpendableError: it counts for status alone.
    """
    if not unit.is_spendable:
        raise NotSpendableError


def check_available(account: PointsAccount, amount: int) -> None:
    """So much can go.

    Raises:
        InsufficientPointsError: it cannot.
    """
    if account.balance < amount and not account.may_be_negative:
        raise InsufficientPointsError(account.balance, amount)


def use_lots(
    session: Session,
    transaction: PointsTransaction,
    account: PointsAccount,
    amount: int,
    *,
    first: PointsLotId | None = None,
) -> None:
    """So much is taken out of lots, the earliest end first; what no lot has is debt.

    Args:
        first: a lot to take from before any other.
    """
    lots = session.scalars(
        select(PointsLot)
        .where(PointsLot.account_id == account.id, PointsLot.remaining > 0)
        .order_by(
            (PointsLot.id == first).desc() if first else PointsLot.expires_at.asc().nulls_last(),
            PointsLot.expires_at.asc().nulls_last(),
            PointsLot.id,
        )
        .execution_options(populate_existing=True)
    )
    for lot in lots:
        if amount == 0:
            break
        taken = min(amount, lot.remaining)
        lot.remaining -= taken
        amount -= taken
        _note_use(session, transaction, lot.id, taken)
    session.flush()


def return_lots(
    session: Session,
    transaction: PointsTransaction,
    used_by: PointsTransactionId,
    amount: int,
) -> int:
    """Lots have back what a transaction took, the latest end first, with the end they had.

    Returns:
        How much of the amount no lot takes back.
    """
    rows = session.execute(
        select(PointsLot, PointsLotUse.amount)
        .join(PointsLotUse, PointsLotUse.lot_id == PointsLot.id)
        .where(PointsLotUse.transaction_id == used_by, PointsLotUse.amount > 0)
        .order_by(PointsLot.expires_at.desc().nulls_first(), PointsLot.id.desc())
        .execution_options(populate_existing=True)
    )
    for lot, used in rows.all():
        given = min(used, amount)
        if given:
            lot.remaining += given
            amount -= given
            _note_use(session, transaction, lot.id, -given)
    session.flush()
    return amount


def make_lot(
    session: Session,
    transaction: PointsTransaction,
    account: PointsAccount,
    amount: int,
    expires_at: datetime | None,
) -> None:
    """So much is a lot of its own; nothing is none."""
    if amount > 0:
        session.add(
            PointsLot(
                id=PointsLotId(new_id()),
                account_id=account.id,
                transaction_id=transaction.id,
                amount=amount,
                remaining=amount,
                expires_at=expires_at,
            )
        )
        session.flush()


def growth(account: PointsAccount, amount: int) -> int:
    """How much of a credit is left once debt is paid; the account does not have it yet."""
    return max(account.balance + amount, 0) - max(account.balance, 0)


def level_lots(session: Session, transaction: PointsTransaction, account: PointsAccount) -> None:
    """The lots hold what is available and no more: what they hold beyond pays debt."""
    held = session.scalar(
        select(func.coalesce(func.sum(PointsLot.remaining), 0)).where(
            PointsLot.account_id == account.id
        )
    )
    excess = int(held or 0) - max(account.balance, 0)
    if excess > 0:
        use_lots(session, transaction, account, excess)


def _note_use(
    session: Session, transaction: PointsTransaction, lot: PointsLotId, amount: int
) -> None:
    session.add(PointsLotUse(transaction_id=transaction.id, lot_id=lot, amount=amount))


def hand_over_lots(session: Session, source: PointsAccount, target: PointsAccount) -> None:
    """The lots of one account are the other's, with what was taken from them."""
    session.execute(
        update(PointsLot)
        .where(PointsLot.account_id == source.id)
        .values(account_id=target.id)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()

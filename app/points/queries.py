"""Reads of points: balances, history, what ends soon, and what a unit has in all."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Update, func, select, update
from sqlalchemy.orm import Session, aliased

from app.points.models import (
    AccountKind,
    HoldState,
    PointsAccount,
    PointsEntry,
    PointsHold,
    PointsLot,
    PointsProof,
    PointsTransaction,
    PointsUnit,
)
from app.uploads.export import as_csv
from core.db import merchant_of
from core.ids import encode_id
from core.types import PointsTransactionId, PointsUnitId, UserId

SOON = timedelta(days=30)
MOST_SHOWN = 200


@dataclass(frozen=True)
class Balance:
    """What a member has of a unit, and what of it ends within a month, soonest first."""

    unit: PointsUnit
    available: int
    held: int
    soon: Sequence[tuple[datetime, int]]


@dataclass(frozen=True)
class Line:
    """One change of what is available.

    Args:
        is_captured: reserved points that were redeemed.
    """

    transaction: PointsTransaction
    unit: PointsUnit
    amount: int
    expires_at: datetime | None
    is_captured: bool


def balances(session: Session, ids: Sequence[UserId], *, at: datetime) -> list[Balance]:
    """Of every unit the member ever had points of."""
    rows: Iterable[Any] = session.execute(
        select(PointsUnit, PointsAccount.kind, func.sum(PointsAccount.balance))
        .join(PointsAccount, PointsAccount.unit_id == PointsUnit.id)
        .where(PointsAccount.user_id.in_(ids))
        .group_by(PointsUnit.id, PointsAccount.kind)
        .order_by(PointsUnit.id)
    )
    units: dict[PointsUnitId, PointsUnit] = {}
    sums: dict[tuple[PointsUnitId, AccountKind], int] = {}
    for unit, kind, total in rows:
        units[unit.id] = unit
        sums[unit.id, kind] = int(total)
    ends = _soon(session, ids, at=at)
    return [
        Balance(
            unit,
            sums.get((key, AccountKind.AVAILABLE), 0),
            sums.get((key, AccountKind.HELD), 0),
            [(moment, amount) for it, moment, amount in ends if it == key],
        )
        for key, unit in units.items()
    ]


def _soon(session: Session, ids: Sequence[UserId], *, at: datetime) -> Sequence[Any]:
    query = (
        select(PointsAccount.unit_id, PointsLot.expires_at, func.sum(PointsLot.remaining))
        .join(PointsLot, PointsLot.account_id == PointsAccount.id)
        .where(PointsAccount.user_id.in_(ids), PointsLot.remaining > 0)
        .where(PointsLot.expires_at <= at + SOON)
        .group_by(PointsAccount.unit_id, PointsLot.expires_at)
        .order_by(PointsLot.expires_at)
    )
    return session.execute(query).all()


def history(session: Session, ids: Sequence[UserId], *, most: int | None = None) -> Iterator[Line]:
    """What came and went, newest first."""
    rows = session.execute(
        select(PointsTransaction, PointsUnit, PointsEntry.amount, PointsLot, PointsHold.state)
        .join(PointsEntry, PointsEntry.transaction_id == PointsTransaction.id)
        .join(PointsAccount, PointsAccount.id == PointsEntry.account_id)
        .join(PointsUnit, PointsUnit.id == PointsTransaction.unit_id)
        .outerjoin(PointsLot, PointsLot.transaction_id == PointsTransaction.id)
        .outerjoin(PointsHold, PointsHold.transaction_id == PointsTransaction.id)
        .where(PointsAccount.user_id.in_(ids), PointsAccount.kind == AccountKind.AVAILABLE)
        .order_by(PointsTransaction.created_at.desc(), PointsTransaction.id.desc())
        .limit(most)
    )
    for transaction, unit, amount, lot, hold in rows:
        end = None if lot is None else lot.expires_at
        yield Line(transaction, unit, amount, end, hold is HoldState.CAPTURED)


def reversed_among(session: Session, lines: Sequence[Line]) -> set[PointsTransactionId]:
    """Which of these were taken back."""
    back = aliased(PointsTransaction)
    shown = [it.transaction.id for it in lines]
    found = session.scalars(select(back.reverses_id).where(back.reverses_id.in_(shown)))
    return {it for it in found if it is not None}


def history_as_csv(session: Session, ids: Sequence[UserId]) -> Iterator[str]:
    """The whole history as a table."""
    yield from as_csv([("time", "unit", "what", "amount", "expires", "reason", "transaction")])
    yield from as_csv(
        (
            it.transaction.created_at.isoformat(timespec="seconds"),
            it.unit.code,
            it.transaction.kind.value,
            it.amount,
            "" if it.expires_at is None else it.expires_at.isoformat(timespec="seconds"),
            it.transaction.reason or "",
            encode_id("ltx", it.transaction.id),
        )
        for it in history(session, ids)
    )


def totals(session: Session) -> dict[tuple[PointsUnitId, AccountKind], int]:
    """What each unit has in all, by account."""
    rows = session.execute(
        select(PointsAccount.unit_id, PointsAccount.kind, func.sum(PointsAccount.balance)).group_by(
            PointsAccount.unit_id, PointsAccount.kind
        )
    )
    return {(unit, kind): int(total) for unit, kind, total in rows}


def find_proof(session: Session) -> PointsProof | None:
    """The last nightly proof, or None before the first."""
    return session.get(PointsProof, merchant_of(session))


def reasons_of(ids: Sequence[UserId]) -> Update:
    """The statement that forgets why points of these members moved."""
    theirs = (
        select(PointsEntry.transaction_id)
        .join(PointsAccount, PointsAccount.id == PointsEntry.account_id)
        .where(PointsAccount.user_id.in_(ids))
    )
    return (
        update(PointsTransaction)
        .where(PointsTransaction.id.in_(theirs), PointsTransaction.reason.is_not(None))
        .values(reason=None)
    )

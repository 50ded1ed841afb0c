"""The nightly proof: balances are sums of entries, lots are what is available, holds what is held.

Each question is one statement, which sees one state of everything.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.points.models import (
    AccountKind,
    HoldState,
    PointsAccount,
    PointsEntry,
    PointsHold,
    PointsLot,
    PointsLotUse,
    PointsProof,
)
from core.db import merchant_of
from core.events import emit_many
from core.ids import encode_id

MOST_SHOWN = 100


def prove(session: Session, *, at: datetime) -> list[dict[str, Any]]:
    """What differs is written down, and told."""
    differences = [
        {"kind": kind, "about": encode_id(prefix, about), "says": int(says), "is": int(found)}
        for kind, prefix, query in _questions()
        for about, says, found in session.execute(query.limit(MOST_SHOWN))
    ]
    values = {"proved_at": at, "differences": differences}
    row = insert(PointsProof).values(merchant_id=merchant_of(session), **values)
    session.execute(
        row.on_conflict_do_update(index_elements=["merchant_id"], set_=values),
        execution_options={"synchronize_session": False},
    )
    if differences:
        detail = {"differences": len(differences)}
        fact = {"kind": "points_differ", "detail": detail}
        emit_many(session, "cohort.alert.raised", [(None, fact)], at=at)
    return differences


def _questions() -> list[tuple[str, str, Select[Any, Any, Any]]]:
    account = PointsAccount
    entries = _sum(PointsEntry.amount, PointsEntry.account_id == account.id)
    lots = _sum(PointsLot.remaining, PointsLot.account_id == account.id)
    is_open = PointsHold.state == HoldState.OPEN
    reserved = _sum(PointsHold.amount, (PointsHold.account_id == account.id) & is_open)
    used = _sum(PointsLotUse.amount, PointsLotUse.lot_id == PointsLot.id)
    total = func.sum(PointsEntry.amount)
    available = func.greatest(account.balance, 0)
    return [
        (
            "balance",
            "pac",
            select(account.id, account.balance, entries).where(account.balance != entries),
        ),
        (
            "lots",
            "pac",
            select(account.id, available, lots).where(
                account.kind == AccountKind.AVAILABLE, available != lots
            ),
        ),
        (
            "holds",
            "pac",
            select(account.id, account.balance, reserved).where(
                account.kind == AccountKind.HELD, account.balance != reserved
            ),
        ),
        (
            "uses",
            "lot",
            select(PointsLot.id, PointsLot.remaining, PointsLot.amount - used).where(
                PointsLot.remaining != PointsLot.amount - used
            ),
        ),
        (
            "sum",
            "ltx",
            select(PointsEntry.transaction_id, literal(0), total)
            .group_by(PointsEntry.transaction_id)
            .having(or_(total != 0, func.count() < 2)),
        ),
    ]


def _sum(column: ColumnElement[Any] | Any, condition: ColumnElement[bool]) -> Any:
    return select(func.coalesce(func.sum(column), 0)).where(condition).scalar_subquery()

"""Points: units, accounts, and a ledger whose transactions add up to nothing.

The database holds what a ledger is: entries of a transaction sum to zero when it commits, none is
added later, changed or taken away, and no balance is below zero where the unit knows no debt.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin, VersionMixin
from core.events import Xid8
from core.types import (
    PointsAccountId,
    PointsHoldId,
    PointsLotId,
    PointsTransactionId,
    PointsUnitId,
    UserId,
)


class Expiry(StrEnum):
    """When points of a unit end; `expiry_count` says how many of them later."""

    NEVER = "never"
    DAYS = "days"
    MONTH = "month"
    YEAR = "year"


class PointsUnit(TenantMixin, VersionMixin, Base):
    """A kind of points: names by language, and what it is for. Whether it knows debt is fixed."""

    __tablename__ = "points_units"
    __table_args__ = (
        UniqueConstraint("merchant_id", "code"),
        CheckConstraint("is_spendable OR is_status", name="use"),
        CheckConstraint("expiry_count >= 0", name="expiry"),
    )

    id: Mapped[PointsUnitId] = mapped_column(primary_key=True)
    code: Mapped[str]
    name: Mapped[dict[str, Any]]
    plural: Mapped[dict[str, Any]]
    icon: Mapped[str]
    expiry: Mapped[Expiry]
    expiry_count: Mapped[int] = mapped_column(default=0)
    is_spendable: Mapped[bool] = mapped_column(default=True)
    is_status: Mapped[bool] = mapped_column(default=False)
    allows_debt: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]


class AccountKind(StrEnum):
    """Two accounts of a member, and four of the unit, where points come from and go to."""

    AVAILABLE = "available"
    HELD = "held"
    ISSUED = "issued"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    ADJUSTED = "adjusted"


class PointsAccount(TenantMixin, Base):
    """A balance, which is the sum of its entries and changes in the same transaction."""

    __tablename__ = "points_accounts"
    __table_args__ = (
        UniqueConstraint("unit_id", "user_id", "kind", postgresql_nulls_not_distinct=True),
        Index("ix_points_accounts_user", "user_id"),
        CheckConstraint("balance >= 0 OR may_be_negative", name="balance"),
        CheckConstraint("(kind IN ('available', 'held')) = (user_id IS NOT NULL)", name="owner"),
    )

    id: Mapped[PointsAccountId] = mapped_column(primary_key=True)
    unit_id: Mapped[PointsUnitId] = mapped_column(ForeignKey("points_units.id"))
    user_id: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[AccountKind]
    balance: Mapped[int] = mapped_column(BigInteger, default=0)
    may_be_negative: Mapped[bool]


class TransactionKind(StrEnum):
    """What a transaction is to the member."""

    EARN = "earn"
    SPEND = "spend"
    ADJUST = "adjust"
    EXPIRE = "expire"
    HOLD = "hold"
    RELEASE = "release"
    CAPTURE = "capture"
    MOVE = "move"


class PointsTransaction(TenantMixin, Base):
    """Points that moved, once for its key.

    `request_hash` tells a repeat from another request of the same key. `xid` lets the database
    refuse entries that come later. Of the row only the reason is ever taken away, when the member
    is forgotten.
    """

    __tablename__ = "points_transactions"
    __table_args__ = (
        UniqueConstraint("merchant_id", "key"),
        Index(
            "uq_points_transactions_reversed",
            "reverses_id",
            unique=True,
            postgresql_where=text("reverses_id IS NOT NULL"),
        ),
        CheckConstraint("length(reason) <= 200", name="reason"),
    )

    id: Mapped[PointsTransactionId] = mapped_column(primary_key=True)
    unit_id: Mapped[PointsUnitId] = mapped_column(ForeignKey("points_units.id"))
    kind: Mapped[TransactionKind]
    key: Mapped[str]
    request_hash: Mapped[bytes]
    source: Mapped[str]
    reason: Mapped[str | None]
    actor: Mapped[str]
    reverses_id: Mapped[PointsTransactionId | None] = mapped_column(
        ForeignKey("points_transactions.id")
    )
    created_at: Mapped[datetime]
    xid: Mapped[int] = mapped_column(Xid8(), server_default=text("pg_current_xact_id()"))


class PointsEntry(TenantMixin, Base):
    """What a transaction adds to an account, or takes from it."""

    __tablename__ = "points_entries"
    __table_args__ = (
        PrimaryKeyConstraint("transaction_id", "account_id"),
        Index("ix_points_entries_account", "account_id", "transaction_id"),
        CheckConstraint("amount <> 0", name="amount"),
    )

    transaction_id: Mapped[PointsTransactionId] = mapped_column(
        ForeignKey("points_transactions.id")
    )
    account_id: Mapped[PointsAccountId] = mapped_column(ForeignKey("points_accounts.id"))
    amount: Mapped[int] = mapped_column(BigInteger)


class PointsLot(TenantMixin, Base):
    """What is left of a credit, and when it ends; the lots of an account are what is available."""

    __tablename__ = "points_lots"
    __table_args__ = (
        CheckConstraint("remaining BETWEEN 0 AND amount", name="remaining"),
        Index(
            "ix_points_lots_open",
            "account_id",
            "expires_at",
            "id",
            postgresql_where=text("remaining > 0"),
        ),
        Index(
            "ix_points_lots_due",
            "merchant_id",
            "expires_at",
            postgresql_where=text("remaining > 0"),
        ),
    )

    id: Mapped[PointsLotId] = mapped_column(primary_key=True)
    account_id: Mapped[PointsAccountId] = mapped_column(ForeignKey("points_accounts.id"))
    transaction_id: Mapped[PointsTransactionId] = mapped_column(
        ForeignKey("points_transactions.id"), unique=True
    )
    amount: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None]


class PointsLotUse(TenantMixin, Base):
    """How much a transaction took from a lot; below zero what it gave back."""

    __tablename__ = "points_lot_uses"
    __table_args__ = (
        PrimaryKeyConstraint("transaction_id", "lot_id"),
        Index("ix_points_lot_uses_lot", "lot_id"),
        CheckConstraint("amount <> 0", name="amount"),
    )

    transaction_id: Mapped[PointsTransactionId] = mapped_column(
        ForeignKey("points_transactions.id")
    )
    lot_id: Mapped[PointsLotId] = mapped_column(ForeignKey("points_lots.id"))
    amount: Mapped[int] = mapped_column(BigInteger)


class HoldState(StrEnum):
    """Where reserved points are."""

    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"


class PointsHold(TenantMixin, Base):
    """Points that are reserved until they are redeemed or given back."""

    __tablename__ = "points_holds"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_points_holds_open", "account_id", postgresql_where=text("state = 'open'")),
        Index(
            "ix_points_holds_due",
            "merchant_id",
            "expires_at",
            postgresql_where=text("state = 'open'"),
        ),
    )

    id: Mapped[PointsHoldId] = mapped_column(primary_key=True)
    account_id: Mapped[PointsAccountId] = mapped_column(ForeignKey("points_accounts.id"))
    transaction_id: Mapped[PointsTransactionId] = mapped_column(
        ForeignKey("points_transactions.id"), unique=True
    )
    ended_by_id: Mapped[PointsTransactionId | None] = mapped_column(
        ForeignKey("points_transactions.id"), unique=True
    )
    amount: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[HoldState] = mapped_column(default=HoldState.OPEN)
    expires_at: Mapped[datetime | None]


class PointsWarning(TenantMixin, Base):
    """That a member was told, so many days before, that points end at this moment."""

    __tablename__ = "points_warnings"
    __table_args__ = (PrimaryKeyConstraint("account_id", "expires_at", "days"),)

    account_id: Mapped[PointsAccountId] = mapped_column(ForeignKey("points_accounts.id"))
    expires_at: Mapped[datetime]
    days: Mapped[int]
    told_at: Mapped[datetime]


class PointsProof(TenantMixin, Base):
    """What the last nightly comparison of balances, entries, lots and holds found to differ."""

    __tablename__ = "points_proofs"
    __table_args__ = (PrimaryKeyConstraint("merchant_id"),)

    proved_at: Mapped[datetime]
    differences: Mapped[list[Any]] = mapped_column(default=list)

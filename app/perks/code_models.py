"""Pools of codes: a row a code, readable by this installation alone, and the files they came in."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin
from core.types import CodeFileId, HoldingId, PerkCodeId, PerkId


class CodeState(StrEnum):
    """Where a code is; one that was given is never free again."""

    FREE = "free"
    ASSIGNED = "assigned"
    VOID = "void"


class PerkCode(TenantMixin, Base):
    """One code of a perk's pool.

    `fingerprint` finds it, `sealed` holds it; nothing here tells it to whoever reads the database.
    `reserved_for` is the key of the address it is kept for while it is free. A voided one keeps its
    holding.
    """

    __tablename__ = "perk_codes"
    __table_args__ = (
        UniqueConstraint("perk_id", "fingerprint"),
        # The next one of anybody: the index holds what is free alone, so it shrinks with the pool.
        Index(
            "ix_perk_codes_next",
            "perk_id",
            "expires_at",
            "id",
            postgresql_where=text("state = 'free' AND reserved_for IS NULL"),
        ),
        Index(
            "ix_perk_codes_reserved",
            "reserved_for",
            "perk_id",
            postgresql_where=text("reserved_for IS NOT NULL"),
        ),
        Index(
            "ix_perk_codes_ending",
            "expires_at",
            postgresql_where=text("state = 'free' AND expires_at IS NOT NULL"),
        ),
        Index(
            "uq_perk_codes_holding",
            "holding_id",
            unique=True,
            postgresql_where=text("holding_id IS NOT NULL"),
        ),
        # Every row changes once, when it is given: there is room for that beside it, and the dead
        # ones are cleared away after every fiftieth of the table instead of every fifth.
        {
            "postgresql_with": {
                "fillfactor": 90,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_analyze_scale_factor": 0.02,
            }
        },
    )

    id: Mapped[PerkCodeId] = mapped_column(primary_key=True)
    perk_id: Mapped[PerkId] = mapped_column(ForeignKey("perks.id"))
    file_id: Mapped[CodeFileId] = mapped_column(ForeignKey("code_files.id"))
    fingerprint: Mapped[bytes]
    sealed: Mapped[bytes]
    expires_at: Mapped[datetime | None]
    reserved_for: Mapped[str | None]
    state: Mapped[CodeState] = mapped_column(default=CodeState.FREE)
    holding_id: Mapped[HoldingId | None] = mapped_column(ForeignKey("holdings.id"))
    void_reason: Mapped[str | None]


class CodeFileState(StrEnum):
    """Where a file of codes is."""

    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"


class CodeFile(TenantMixin, Base):
    """Codes on their way into a pool: from a file, or made by a pattern.

    The checkpoint (`next_byte`, `next_line`) commits with the codes before it.
    """

    __tablename__ = "code_files"
    __table_args__ = (
        Index("ix_code_files_perk", "perk_id", "id"),
        Index("ix_code_files_open", "merchant_id", postgresql_where=text("state = 'running'")),
    )

    id: Mapped[CodeFileId] = mapped_column(primary_key=True)
    perk_id: Mapped[PerkId] = mapped_column(ForeignKey("perks.id"))
    name: Mapped[str]
    pattern: Mapped[dict[str, Any] | None]
    layout: Mapped[dict[str, Any] | None]
    state: Mapped[CodeFileState] = mapped_column(default=CodeFileState.RUNNING)
    byte_count: Mapped[int] = mapped_column(BigInteger, default=0)
    next_byte: Mapped[int] = mapped_column(BigInteger, default=0)
    next_line: Mapped[int] = mapped_column(BigInteger, default=1)
    wanted_count: Mapped[int] = mapped_column(BigInteger, default=0)
    added_count: Mapped[int] = mapped_column(BigInteger, default=0)
    refused_count: Mapped[int] = mapped_column(BigInteger, default=0)
    failure: Mapped[str | None]
    actor: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class CodeRefusal(TenantMixin, Base):
    """A row of a file that is no code of the pool, and why. What it said is not kept."""

    __tablename__ = "code_refusals"
    __table_args__ = (PrimaryKeyConstraint("file_id", "line"),)

    file_id: Mapped[CodeFileId] = mapped_column(ForeignKey("code_files.id", ondelete="CASCADE"))
    line: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str]

"""Exports: what a team member asked to take out, written to a file in the background."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin, VersionMixin
from core.types import ExportId


class ExportKind(StrEnum):
    """What the rows of the file are."""

    USERS = "users"
    EVENTS = "events"


class ExportFormat(StrEnum):
    """How the file is written."""

    CSV = "csv"
    JSONL = "jsonl"


class ExportState(StrEnum):
    """Where an export is; of an expired one the file is gone."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"


class UserExport(TenantMixin, VersionMixin, Base):
    """One file on its way out.

    `options` says which rows and columns. `next_id` and `byte_count` are the checkpoint: rows up to
    that id are in the first so many bytes of the file.
    """

    __tablename__ = "exports"

    id: Mapped[ExportId] = mapped_column(primary_key=True)
    kind: Mapped[ExportKind]
    format: Mapped[ExportFormat]
    options: Mapped[dict[str, Any]]
    state: Mapped[ExportState] = mapped_column(default=ExportState.RUNNING)
    row_count: Mapped[int] = mapped_column(BigInteger)
    """How many there were when it was asked for."""
    done_count: Mapped[int] = mapped_column(BigInteger, default=0)
    next_id: Mapped[UUID | None]
    byte_count: Mapped[int] = mapped_column(BigInteger, default=0)
    failure: Mapped[str | None]
    actor: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]

"""Members of the brand, and the imports that bring them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, PrimaryKeyConstraint, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin, VersionMixin
from core.types import ImportId, UserId


class UserState(StrEnum):
    """Whether a member takes part; erased rows keep accounting only."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    ERASED = "erased"


class MailStatus(StrEnum):
    """Whether mail reaches the address."""

    OK = "ok"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


class User(TenantMixin, VersionMixin, Base):
    """One end customer of one merchant.

    `email_key` and `name_key` are folded by Python and collated "C", so that prefix searches use
    an index below a row-level-security policy.
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("merchant_id", "email_key"),
        UniqueConstraint("merchant_id", "reference_id"),
        Index("ix_users_list", "merchant_id", "id"),
        Index("ix_users_name", "merchant_id", "name_key"),
    )

    id: Mapped[UserId] = mapped_column(primary_key=True)
    email: Mapped[str]
    email_key: Mapped[str] = mapped_column(Text(collation="C"))
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    name_key: Mapped[str] = mapped_column(Text(collation="C"))
    lang: Mapped[str | None]
    country: Mapped[str | None]
    reference_id: Mapped[str | None] = mapped_column(Text(collation="C"))
    state: Mapped[UserState] = mapped_column(default=UserState.ACTIVE)
    source: Mapped[str]
    mail_status: Mapped[MailStatus] = mapped_column(default=MailStatus.OK)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]
    email_verified_at: Mapped[datetime | None]
    last_import_id: Mapped[ImportId | None] = mapped_column(ForeignKey("imports.id"))

    @property
    def display_name(self) -> str:
        """First and last name, or the address when neither is known."""
        return " ".join(part for part in (self.first_name, self.last_name) if part) or self.email


class ImportState(StrEnum):
    """Where an import is."""

    UPLOADED = "uploaded"
    ANALYSED = "analysed"
    PREVIEWED = "previewed"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"


class UserImport(TenantMixin, VersionMixin, Base):
    """One uploaded file on its way into the users table.

    `mapping` is column position (as text) -> field. `next_row` is the checkpoint: every row
    before it is in the database or among the refusals.
    """

    __tablename__ = "imports"

    id: Mapped[ImportId] = mapped_column(primary_key=True)
    file_name: Mapped[str]
    state: Mapped[ImportState] = mapped_column(default=ImportState.UPLOADED)
    columns: Mapped[list[Any]]
    mapping: Mapped[dict[str, Any]]
    row_count: Mapped[int] = mapped_column(default=0)
    next_row: Mapped[int] = mapped_column(default=0)
    created_count: Mapped[int] = mapped_column(default=0)
    updated_count: Mapped[int] = mapped_column(default=0)
    unchanged_count: Mapped[int] = mapped_column(default=0)
    rejected_count: Mapped[int] = mapped_column(default=0)
    failure: Mapped[str | None]
    actor: Mapped[str]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ImportRefusal(TenantMixin, Base):
    """A row of the file that was refused: its line, why, and what it said."""

    __tablename__ = "import_refusals"
    __table_args__ = (PrimaryKeyConstraint("import_id", "line"),)

    import_id: Mapped[ImportId] = mapped_column(ForeignKey("imports.id"))
    line: Mapped[int]
    reason: Mapped[str]
    cells: Mapped[list[Any]]

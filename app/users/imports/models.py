"""Imports: one uploaded file on its way into the users table, and what it changed there."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, PrimaryKeyConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db import TENANT_VALUE, Base, TenantMixin, VersionMixin
from core.types import EventId, ImportId, ListId, MerchantId, UserId


class ImportState(StrEnum):
    """Where an import is."""

    UPLOADED = "uploaded"
    ANALYSED = "analysed"
    PREVIEWING = "previewing"
    PREVIEWED = "previewed"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"
    UNDOING = "undoing"
    UNDONE = "undone"


class ImportKind(StrEnum):
    """What the rows of the file are."""

    USERS = "users"
    EVENTS = "events"


class Mode(StrEnum):
    """Which people of the file the import is for."""

    CREATE_AND_UPDATE = "create_and_update"
    UPDATE_ONLY = "update_only"
    CREATE_ONLY = "create_only"


class OnEmpty(StrEnum):
    """What an empty cell does to a value."""

    SKIP = "skip"
    CLEAR = "clear"


class OnDuplicate(StrEnum):
    """Which row of a person counts that the file names several times."""

    LAST = "last"
    FIRST = "first"
    REJECT = "reject"


class UserImport(TenantMixin, VersionMixin, Base):
    """One uploaded file on its way into the tables.

    `layout` is how the file is read, `mapping` column position (as text) -> key of a field, and
    `options` the rest of what was chosen. The rows are gone through twice: to find people that the
    file names twice (`is_surveyed` afterwards), then to import them. `next_byte` and `next_line`
    are the checkpoint: every row before it is in the database or among the refusals.
    """

    __tablename__ = "imports"

    id: Mapped[ImportId] = mapped_column(primary_key=True)
    kind: Mapped[ImportKind] = mapped_column(default=ImportKind.USERS)
    file_name: Mapped[str]
    state: Mapped[ImportState] = mapped_column(default=ImportState.UPLOADED)
    layout: Mapped[dict[str, Any] | None]
    columns: Mapped[list[Any]] = mapped_column(default=list)
    samples: Mapped[list[Any]] = mapped_column(default=list)
    mapping: Mapped[dict[str, Any]] = mapped_column(default=dict)
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    list_id: Mapped[ListId | None] = mapped_column(ForeignKey("lists.id"))
    is_surveyed: Mapped[bool] = mapped_column(default=False)
    surveyed_count: Mapped[int] = mapped_column(BigInteger, default=0)
    byte_count: Mapped[int] = mapped_column(BigInteger, default=0)
    next_byte: Mapped[int] = mapped_column(BigInteger, default=0)
    next_line: Mapped[int] = mapped_column(BigInteger, default=1)
    row_count: Mapped[int] = mapped_column(BigInteger, default=0)
    """Rows that were found by the survey."""
    done_count: Mapped[int] = mapped_column(BigInteger, default=0)
    """Rows before the checkpoint."""
    created_count: Mapped[int] = mapped_column(default=0)
    updated_count: Mapped[int] = mapped_column(default=0)
    unchanged_count: Mapped[int] = mapped_column(default=0)
    rejected_count: Mapped[int] = mapped_column(default=0)
    listed_count: Mapped[int] = mapped_column(default=0)
    consent_count: Mapped[int] = mapped_column(default=0)
    preview: Mapped[dict[str, Any] | None]
    conflict_count: Mapped[int] = mapped_column(default=0)
    failure: Mapped[str | None]
    actor: Mapped[str]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    resumed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]


class ImportRefusal(TenantMixin, Base):
    """A row of the file that was refused: its line, why, and what it said.

    `position` is the column that is wrong, where one is; `hint` says what it would take.
    """

    __tablename__ = "import_refusals"
    __table_args__ = (PrimaryKeyConstraint("import_id", "line"),)

    import_id: Mapped[ImportId] = mapped_column(ForeignKey("imports.id"))
    line: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str]
    position: Mapped[int | None]
    hint: Mapped[str | None]
    cells: Mapped[list[Any]]


class ImportChange(Base):
    """What an import did to a member, so that it can be undone.

    `changes` is key of a field -> value before and value after; null of a member it created.
    Nothing here refers to other tables by a constraint: there are as many rows as members, and
    looking each up again would cost as much as writing them.
    """

    __tablename__ = "import_changes"
    __table_args__ = (PrimaryKeyConstraint("import_id", "user_id"),)

    merchant_id: Mapped[MerchantId] = mapped_column(
        server_default=text(f"({TENANT_VALUE})"), info={"tenant": True}
    )
    import_id: Mapped[ImportId]
    user_id: Mapped[UserId]
    changes: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class ImportedEvent(Base):
    """An event that a file brought, so that it can be taken back and is never brought twice.

    `external_id` is what the file calls it: one of a type is one event, in whichever file. Like
    `ImportChange` it refers to other tables by no constraint.
    """

    __tablename__ = "imported_events"
    __table_args__ = (
        PrimaryKeyConstraint("import_id", "event_id"),
        Index(
            "uq_imported_events_external",
            "merchant_id",
            "type",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
    )

    merchant_id: Mapped[MerchantId] = mapped_column(
        server_default=text(f"({TENANT_VALUE})"), info={"tenant": True}
    )
    import_id: Mapped[ImportId]
    event_id: Mapped[EventId]
    occurred_at: Mapped[datetime]
    type: Mapped[str]
    external_id: Mapped[str | None]


class ImportConflict(TenantMixin, Base):
    """A value that undoing an import left alone, because it was changed since."""

    __tablename__ = "import_conflicts"
    __table_args__ = (PrimaryKeyConstraint("import_id", "user_id", "field"),)

    import_id: Mapped[ImportId] = mapped_column(ForeignKey("imports.id"))
    user_id: Mapped[UserId]
    field: Mapped[str]
    before: Mapped[str | None]
    imported: Mapped[str | None]
    now: Mapped[str | None]


class ColumnMemory(TenantMixin, Base):
    """How a file with these columns was mapped the last time."""

    __tablename__ = "import_mappings"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "signature"),)

    signature: Mapped[str]
    mapping: Mapped[dict[str, Any]]
    options: Mapped[dict[str, Any]]
    used_at: Mapped[datetime]

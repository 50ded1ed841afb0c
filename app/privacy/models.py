"""Members to be forgotten, and copies of everything that is known of them."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin, VersionMixin
from core.types import ErasureId, SubjectExportId, UserId


class Erasure(TenantMixin, VersionMixin, Base):
    """A member is to be forgotten, unless somebody takes it back before `due_at`.

    `reason` is a free text and so leaves with the member.
    """

    __tablename__ = "erasures"
    __table_args__ = (
        Index(
            "uq_erasures_open",
            "user_id",
            unique=True,
            postgresql_where=text("cancelled_at IS NULL AND erased_at IS NULL"),
        ),
    )

    id: Mapped[ErasureId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    reason: Mapped[str | None]
    actor: Mapped[str]
    requested_at: Mapped[datetime]
    due_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]
    keys_destroyed_at: Mapped[datetime | None]


class SubjectExportState(StrEnum):
    """Where a copy of everything about a member is."""

    QUEUED = "queued"
    READY = "ready"


class SubjectExport(TenantMixin, Base):
    """Everything tied to a member, as a file that is kept for a week."""

    __tablename__ = "subject_exports"

    id: Mapped[SubjectExportId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"), index=True)
    state: Mapped[SubjectExportState] = mapped_column(default=SubjectExportState.QUEUED)
    actor: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

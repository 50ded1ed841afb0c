"""What is done with members over time: types of properties changed, people forgotten or told what
is known of them; and what each member of the team wants to see.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.users.slots import Kind
from core.db import Base, TenantMixin, VersionMixin
from core.types import ConversionId, ErasureId, MemberId, PropertyId, SubjectExportId, UserId


class ConversionState(StrEnum):
    """Where a change of a property's kind is."""

    COUNTING = "counting"
    PREVIEWED = "previewed"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Conversion(TenantMixin, VersionMixin, Base):
    """A change of a property's kind: tried over all members first, then run.

    `failing` are the first members whose values would be lost, never the values: those are read
    where they are. `next_user_id` is the checkpoint of either pass, `slot` is where the new values
    go, `options` are the rules (`app.users.conversion_rules`). Members and values are counted when
    it begins.
    """

    __tablename__ = "property_conversions"
    __table_args__ = (
        Index(
            "uq_property_conversions_open",
            "property_id",
            unique=True,
            postgresql_where=text("state IN ('counting', 'previewed', 'running')"),
        ),
    )

    id: Mapped[ConversionId] = mapped_column(primary_key=True)
    property_id: Mapped[PropertyId] = mapped_column(ForeignKey("properties.id", ondelete="CASCADE"))
    kind: Mapped[Kind]
    with_time: Mapped[bool] = mapped_column(default=False)
    options: Mapped[dict[str, Any]]
    slot: Mapped[int | None]
    state: Mapped[ConversionState] = mapped_column(default=ConversionState.COUNTING)
    next_user_id: Mapped[UserId | None]
    user_count: Mapped[int]
    value_count: Mapped[int]
    seen_count: Mapped[int] = mapped_column(default=0)
    converted_count: Mapped[int] = mapped_column(default=0)
    failed_count: Mapped[int] = mapped_column(default=0)
    failing: Mapped[list[Any]] = mapped_column(default=list)
    actor: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    @property
    def empty_count(self) -> int:
        """Members without a value, who have none afterwards either."""
        return max(self.user_count - self.converted_count - self.failed_count, 0)


class UserColumns(TenantMixin, Base):
    """Which fields one member of the team sees in the list of users."""

    __tablename__ = "user_columns"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "member_id"),)

    member_id: Mapped[MemberId] = mapped_column(ForeignKey("team_members.id"))
    keys: Mapped[list[Any]]


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
    FAILED = "failed"


class SubjectExport(TenantMixin, Base):
    """Everything tied to a member, as a file that is kept for a week."""

    __tablename__ = "subject_exports"

    id: Mapped[SubjectExportId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"), index=True)
    state: Mapped[SubjectExportState] = mapped_column(default=SubjectExportState.QUEUED)
    actor: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

"""How properties change their type, and which of them each member of the team wants to see."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.users.slots import Kind
from core.db import Base, TenantMixin, VersionMixin
from core.types import ConversionId, MemberId, PropertyId, UserId


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

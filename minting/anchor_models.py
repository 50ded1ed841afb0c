"""Digests whose existence a chain shall tell."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, PrimaryKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin
from core.types import PlanId


class AnchoredDigest(TenantMixin, Base):
    """A digest that is to be anchored, or was: its plan says how far that is."""

    __tablename__ = "anchored_digests"
    __table_args__ = (
        PrimaryKeyConstraint("merchant_id", "digest"),
        Index(
            "ix_anchored_digests_waiting",
            "merchant_id",
            "requested_at",
            postgresql_where=text("plan_id IS NULL"),
        ),
    )

    digest: Mapped[bytes]
    plan_id: Mapped[PlanId | None] = mapped_column(ForeignKey("plans.id"))
    requested_at: Mapped[datetime]

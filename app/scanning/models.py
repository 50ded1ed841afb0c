"""Devices that scan, what their tills called a redemption, and what they did without connection."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, PrimaryKeyConstraint, text
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.perks.models import Place
from core.db import Base, TenantMixin, VersionMixin
from core.types import DeviceId, HoldingId, PlaceId, RedemptionId


class ScanDevice(TenantMixin, VersionMixin, Base):
    """A phone, tablet or till that may scan at one place, with a key of its own.

    `pairing_hash` is of the code that pairs it, until it is used; `key_hash` of the key it holds.
    """

    __tablename__ = "scan_devices"

    id: Mapped[DeviceId] = mapped_column(primary_key=True)
    name: Mapped[str]
    place_id: Mapped[PlaceId] = mapped_column(ForeignKey("places.id"))
    pairing_hash: Mapped[bytes | None] = mapped_column(unique=True)
    pairing_until: Mapped[datetime | None]
    key_hash: Mapped[bytes | None] = mapped_column(unique=True)
    paired_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    place: Mapped[Place] = relationship(lazy="joined", innerjoin=True)

    def may_work(self, at: datetime) -> bool:
        """Whether its key opens anything at this moment."""
        is_alive = self.expires_at is not None and at < self.expires_at
        return is_alive and self.revoked_at is None


class OfflinePlace(TenantMixin, Base):
    """At this place devices may go on without connection."""

    __tablename__ = "offline_places"

    place_id: Mapped[PlaceId] = mapped_column(ForeignKey("places.id"), primary_key=True)
    allowed_at: Mapped[datetime]


class RedemptionReceipt(TenantMixin, Base):
    """What a till called a redemption: the same name again gets the same answer.

    `request_hash` tells a repeat from another request of the same name; `answer` is empty only
    inside the transaction that redeems.
    """

    __tablename__ = "redemption_receipts"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "external_id"),)

    external_id: Mapped[str]
    request_hash: Mapped[bytes]
    redemption_id: Mapped[RedemptionId | None] = mapped_column(ForeignKey("redemptions.id"))
    answer: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]


class Outcome(StrEnum):
    """What the server says to something a device accepted alone."""

    ACCEPTED = "accepted"
    CONFLICT = "conflict"
    EXPIRED = "expired"


class OfflineScan(TenantMixin, Base):
    """One code that a device accepted without connection, under the id the device gave it."""

    __tablename__ = "offline_scans"
    __table_args__ = (
        PrimaryKeyConstraint("device_id", "id"),
        Index(
            "ix_offline_scans_conflicts",
            "merchant_id",
            "synced_at",
            postgresql_where=text("outcome <> 'accepted'"),
        ),
    )

    device_id: Mapped[DeviceId] = mapped_column(ForeignKey("scan_devices.id"))
    id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True))
    scanned_at: Mapped[datetime]
    synced_at: Mapped[datetime]
    outcome: Mapped[Outcome]
    reason: Mapped[str | None]
    first_at: Mapped[datetime | None]
    holding_id: Mapped[HoldingId | None] = mapped_column(ForeignKey("holdings.id"))
    redemption_id: Mapped[RedemptionId | None] = mapped_column(ForeignKey("redemptions.id"))

"""Keys that sign codes, codes that were seen, and how often anybody looked."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from core.db import Base, TenantMixin


class SigningKey(TenantMixin, Base):
    """An Ed25519 key of a merchant; `sealed` is its private part until the next key signs.

    `ends_at` is when the next key begins to sign; codes of this one are accepted a while longer.
    """

    __tablename__ = "signing_keys"
    __table_args__ = (UniqueConstraint("merchant_id", "ordinal"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int]
    public_key: Mapped[bytes]
    sealed: Mapped[bytes | None]
    signs_from: Mapped[datetime]
    ends_at: Mapped[datetime | None]


class VerifierMessage(TenantMixin, Base):
    """What whoever checks a pass of the brand reads, in a language."""

    __tablename__ = "verifier_messages"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "language"),)

    language: Mapped[str]
    text: Mapped[str]


class SeenCode(TenantMixin, Base):
    """A code that somebody scanned while it was valid; kept no longer than it is needed.

    `used_at` is when it opened something: a code does that once, however many uses are left.
    """

    __tablename__ = "seen_codes"
    __table_args__ = (
        PrimaryKeyConstraint("merchant_id", "nonce"),
        Index("ix_seen_codes_kept", "kept_until"),
    )

    nonce: Mapped[bytes]
    seen_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    kept_until: Mapped[datetime]


class ScanCount(TenantMixin, Base):
    """How many codes were scanned in an hour at a place; nobody knows whose.

    Codes that strangers look at have no place.
    """

    __tablename__ = "scan_counts"
    __table_args__ = (
        UniqueConstraint("merchant_id", "hour", "place_id", postgresql_nulls_not_distinct=True),
    )

    id: Mapped[UUID] = mapped_column(PG_UUID(as_uuid=True), primary_key=True)
    hour: Mapped[datetime]
    place_id: Mapped[UUID | None] = mapped_column(PG_UUID(as_uuid=True))
    scan_count: Mapped[int]

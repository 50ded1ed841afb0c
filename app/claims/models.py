"""Claim codes: batches of links, each of which gives a reward to whoever opens it first."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from core.db import TENANT_VALUE, Base, TenantMixin
from core.types import (
    ClaimBatchId,
    ClaimUseId,
    GrantId,
    MerchantId,
    PlaceId,
    RewardLineId,
    UserId,
)

MOST_CODES = 10_000_000
MOST_USES = 1_000_000
MOST_PER_USER = 100
KIOSK_SECONDS = (15, 300)


class ClaimAudience(StrEnum):
    """Who may claim."""

    ALL = "all"
    LIST = "list"
    SEGMENT = "segment"


class ChallengePolicy(StrEnum):
    """When a claim needs a proof of work."""

    OFF = "off"
    AFTER_FAILURES = "after_failures"
    ALWAYS = "always"


class BatchState(StrEnum):
    """What the codes of a batch are worth now."""

    BUILDING = "building"
    SCHEDULED = "scheduled"
    LIVE = "live"
    EXPIRED = "expired"
    ENDED = "ended"


class CodeState(StrEnum):
    """What one code is worth now, while its batch is open."""

    ACTIVE = "active"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    DISABLED = "disabled"


class ClaimBatch(TenantMixin, Base):
    """Codes that give one reward under the same conditions.

    `made_count` of `code_count` codes exist. All are derived from one random seed
    (`app.claims.codes`), which is kept sealed to print them again; `sealed_at` says when it was
    destroyed. A kiosk shows one code at a time: `kiosk_position` since `kiosk_shown_at`, on the
    screen that knows the link behind `kiosk_hash`.
    """

    __tablename__ = "claim_batches"
    __table_args__ = (
        UniqueConstraint("reward_line_id"),
        UniqueConstraint("kiosk_hash"),
        CheckConstraint("made_count BETWEEN 0 AND code_count", name="made"),
        CheckConstraint(f"code_count BETWEEN 1 AND {MOST_CODES}", name="codes"),
        CheckConstraint(f"uses_per_code BETWEEN 1 AND {MOST_USES}", name="uses"),
        CheckConstraint(f"max_per_user BETWEEN 1 AND {MOST_PER_USER}", name="per_user"),
        CheckConstraint("(seed IS NULL) = (sealed_at IS NOT NULL)", name="sealed"),
    )

    id: Mapped[ClaimBatchId] = mapped_column(primary_key=True)
    name: Mapped[str]
    reward_line_id: Mapped[RewardLineId] = mapped_column(ForeignKey("reward_lines.id"))
    code_count: Mapped[int]
    made_count: Mapped[int] = mapped_column(default=0)
    uses_per_code: Mapped[int] = mapped_column(default=1)
    max_per_user: Mapped[int] = mapped_column(default=1)
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    audience_kind: Mapped[ClaimAudience] = mapped_column(default=ClaimAudience.ALL)
    audience_id: Mapped[UUID | None] = mapped_column(PG_UUID(as_uuid=True))
    challenge: Mapped[ChallengePolicy] = mapped_column(default=ChallengePolicy.AFTER_FAILURES)
    seed: Mapped[bytes | None]
    sealed_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    kiosk_seconds: Mapped[int | None]
    kiosk_hash: Mapped[bytes | None]
    kiosk_position: Mapped[int] = mapped_column(default=0)
    kiosk_shown_at: Mapped[datetime | None]
    created_at: Mapped[datetime]

    def state(self, at: datetime) -> BatchState:
        """What its codes are worth at this moment."""
        if self.closed_at is not None:
            return BatchState.ENDED
        if self.valid_until is not None and self.valid_until <= at:
            return BatchState.EXPIRED
        if self.made_count < self.code_count:
            return BatchState.BUILDING
        return BatchState.SCHEDULED if self.valid_from > at else BatchState.LIVE


class ClaimCode(Base):
    """One code, known by its fingerprint; `position` counts from 1 in its batch.

    There may be ten million rows a batch: no foreign keys, each of which would take longer to check
    than the row takes to write; a batch is never deleted.
    """

    __tablename__ = "claim_codes"
    __table_args__ = (
        PrimaryKeyConstraint("batch_id", "position"),
        UniqueConstraint("fingerprint"),
        CheckConstraint("uses_left >= 0", name="uses_left"),
        # A use changes no index, if its page has room for the next version of the row (HOT).
        {"postgresql_with": {"fillfactor": 85}},
    )

    merchant_id: Mapped[MerchantId] = mapped_column(
        server_default=text(f"({TENANT_VALUE})"), info={"tenant": True}
    )
    batch_id: Mapped[ClaimBatchId]
    position: Mapped[int]
    fingerprint: Mapped[bytes]
    uses_left: Mapped[int]
    opened_count: Mapped[int] = mapped_column(BigInteger, default=0)
    disabled_at: Mapped[datetime | None]

    def state(self, batch: ClaimBatch, at: datetime) -> CodeState:
        """What it is worth at this moment."""
        if self.disabled_at is not None:
            return CodeState.DISABLED
        if self.uses_left == 0:
            return CodeState.EXHAUSTED
        is_over = batch.valid_until is not None and batch.valid_until <= at
        return CodeState.EXPIRED if is_over else CodeState.ACTIVE


class ClaimQuota(TenantMixin, Base):
    """How often a member used codes of a batch: the update that counts names the limit."""

    __tablename__ = "claim_quotas"
    __table_args__ = (
        PrimaryKeyConstraint("batch_id", "user_id"),
        CheckConstraint("used_count > 0", name="used"),
    )

    batch_id: Mapped[ClaimBatchId] = mapped_column(ForeignKey("claim_batches.id"))
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    used_count: Mapped[int]


class ClaimUse(TenantMixin, Base):
    """A member used a code, and has this for it."""

    __tablename__ = "claim_uses"
    __table_args__ = (
        UniqueConstraint("grant_id"),
        Index("ix_claim_uses_batch", "batch_id", "id"),
        Index("ix_claim_uses_code", "batch_id", "position"),
        Index("ix_claim_uses_member", "user_id"),
    )

    id: Mapped[ClaimUseId] = mapped_column(primary_key=True)
    batch_id: Mapped[ClaimBatchId] = mapped_column(ForeignKey("claim_batches.id"))
    position: Mapped[int]
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    grant_id: Mapped[GrantId] = mapped_column(ForeignKey("grants.id"))
    used_at: Mapped[datetime]


class ClaimOpening(TenantMixin, Base):
    """How often pages of a batch were opened within an hour."""

    __tablename__ = "claim_openings"
    __table_args__ = (PrimaryKeyConstraint("batch_id", "hour"),)

    batch_id: Mapped[ClaimBatchId] = mapped_column(ForeignKey("claim_batches.id"))
    hour: Mapped[datetime]
    opened_count: Mapped[int] = mapped_column(BigInteger)


class ClaimPlace(TenantMixin, Base):
    """How often codes of a batch that were put up at a place were opened and claimed there."""

    __tablename__ = "claim_places"
    __table_args__ = (PrimaryKeyConstraint("batch_id", "place_id"),)

    batch_id: Mapped[ClaimBatchId] = mapped_column(ForeignKey("claim_batches.id"))
    place_id: Mapped[PlaceId] = mapped_column(ForeignKey("places.id"))
    opened_count: Mapped[int] = mapped_column(BigInteger, default=0)
    claimed_count: Mapped[int] = mapped_column(BigInteger, default=0)


class ClaimGuess(TenantMixin, Base):
    """How many unknown codes came from a network within a minute; kept for 30 days.

    The network is a keyed hash: no address is stored.
    """

    __tablename__ = "claim_guesses"
    __table_args__ = (
        PrimaryKeyConstraint("merchant_id", "network", "minute"),
        Index("ix_claim_guesses_minute", "merchant_id", "minute"),
    )

    network: Mapped[bytes]
    minute: Mapped[datetime]
    guess_count: Mapped[int] = mapped_column(BigInteger)


class ClaimProof(TenantMixin, Base):
    """A challenge that was solved and used: nobody uses it again while it would be valid."""

    __tablename__ = "claim_proofs"
    __table_args__ = (PrimaryKeyConstraint("merchant_id", "nonce"),)

    nonce: Mapped[str]
    used_at: Mapped[datetime]

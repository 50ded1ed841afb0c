"""Digital assets, passes, tokens, and the frozen plans that put them on a chain."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    Text,
    UniqueConstraint,
    case,
    cast,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from chain.bindings.digital_asset import OUTSIDE, outside_token_id
from chain.models import LaneRole
from core.db import Base, TenantMixin, VersionMixin
from core.types import (
    AssetId,
    BatchId,
    DropId,
    Gas,
    GrantId,
    PassId,
    PlanId,
    RewardLineId,
    TokenRowId,
    UserId,
    WalletId,
    Wei,
)
from minting.numbers import pass_number, token_id_of
from wallets.addresses import Address, ChecksumAddress


class PlanKind(StrEnum):
    """What a plan puts on the chain."""

    IMPLEMENTATION = "implementation"
    FACTORY = "factory"
    PASS_CONTRACT = "pass_contract"
    PASSES = "passes"
    ASSET = "asset"
    DROP = "drop"
    DOCUMENTS = "documents"
    SUPPLY = "supply"
    ROYALTY = "royalty"
    REVOCATION = "revocation"
    ANCHOR_CONTRACT = "anchor_contract"
    ANCHOR = "anchor"


class PlanState(StrEnum):
    """Where a plan is; a held plan waits for a person."""

    RUNNING = "running"
    HELD = "held"
    DONE = "done"


class Plan(TenantMixin, Base):
    """A frozen decision: batches, their order and their bytes never change again.

    While it is paused no batch is signed; what was signed before finishes. Its limits are wei per
    gas and wei in all, over the plans of the subject; `waiting_reason` says which limit, or what
    else of the sender's, keeps the next batch back.

    `subject_id` is the pass contract, asset or airdrop run the plan belongs to. `ordinal` is the
    order of sending: taken from a counter of the database while the lock is held that numbers the
    plan's content, so that no clock can put a later pass batch or round first.
    """

    __tablename__ = "plans"
    __table_args__ = (
        Index("ix_plans_running", "merchant_id", postgresql_where=text("state = 'running'")),
        Index("ix_plans_subject", "subject_id"),
    )

    id: Mapped[PlanId] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(BigInteger, Identity(always=True), unique=True)
    chain_id: Mapped[int] = mapped_column(ForeignKey("chains.id"))
    kind: Mapped[PlanKind]
    subject_id: Mapped[UUID | None] = mapped_column(PG_UUID(as_uuid=True))
    sender: Mapped[LaneRole] = mapped_column(default=LaneRole.RELAYER)
    contract: Mapped[ChecksumAddress | None] = mapped_column(Address)
    plan_hash: Mapped[bytes]
    state: Mapped[PlanState] = mapped_column(default=PlanState.RUNNING)
    is_paused: Mapped[bool] = mapped_column(default=False)
    max_fee_per_gas: Mapped[Wei | None]
    max_total: Mapped[Wei | None]
    waiting_reason: Mapped[str | None]
    created_at: Mapped[datetime]

    batches: Mapped[list["Batch"]] = relationship(back_populates="plan", order_by="Batch.index")


class BatchState(StrEnum):
    """Where a batch is; only a transaction cancelled at finality takes it back to planned.

    A cancelled batch was withdrawn before anything was signed for it, or after its transaction had
    failed for good: it never happens.
    """

    PLANNED = "planned"
    ASSIGNED = "assigned"
    FINAL = "final"
    HELD = "held"
    CANCELLED = "cancelled"


class Batch(TenantMixin, Base):
    """One transaction's worth of a plan: frozen calldata for the recipients first to last.

    `chain_key` names what the contract refuses to repeat (a pass batch, the bits of a round), so
    two batches can never mean the same. `gas` is the forecast, where there is one. `data_nonce` is
    the number of the data contract it makes, if it makes one. `settled_at` is when this package's
    rows followed the chain, `closed_at` when whoever asked for it took note.
    """

    __tablename__ = "batches"
    __table_args__ = (
        UniqueConstraint("plan_id", "index"),
        UniqueConstraint("chain_key"),
        UniqueConstraint("plan_id", "first_ordinal"),
        CheckConstraint("first_ordinal <= last_ordinal + 1", name="ordinals"),
        Index(
            "ix_batches_unclosed",
            "merchant_id",
            postgresql_where=text("settled_at IS NOT NULL AND closed_at IS NULL"),
        ),
    )

    id: Mapped[BatchId] = mapped_column(primary_key=True)
    plan_id: Mapped[PlanId] = mapped_column(ForeignKey("plans.id"))
    index: Mapped[int]
    first_ordinal: Mapped[int]
    last_ordinal: Mapped[int]
    content_hash: Mapped[bytes]
    chain_key: Mapped[str]
    calldata: Mapped[bytes]
    state: Mapped[BatchState] = mapped_column(default=BatchState.PLANNED)
    held_reason: Mapped[str | None]
    gas: Mapped[Gas | None]
    data_nonce: Mapped[int | None]
    settled_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]

    plan: Mapped[Plan] = relationship(back_populates="batches")

    @property
    def recipient_count(self) -> int:
        """How many members or addresses the batch serves; 0 for a deployment."""
        return self.last_ordinal - self.first_ordinal + 1


class ContractState(StrEnum):
    """Where a contract of ours is; of one that was deleted the chain keeps everything."""

    DRAFT = "draft"
    PUBLISHING = "publishing"
    LIVE = "live"
    ARCHIVED = "archived"
    DELETED = "deleted"


class PassContract(TenantMixin, VersionMixin, Base):
    """A merchant's membership pass: its settings and its contract, the registry of members."""

    __tablename__ = "pass_contracts"
    __table_args__ = (UniqueConstraint("merchant_id"),)

    id: Mapped[AssetId] = mapped_column(primary_key=True)
    chain_id: Mapped[int] = mapped_column(ForeignKey("chains.id"))
    name: Mapped[str]
    symbol: Mapped[str]
    batch_window_seconds: Mapped[int] = mapped_column(default=3600)
    state: Mapped[ContractState] = mapped_column(default=ContractState.PUBLISHING)
    metadata_cid: Mapped[str]
    address: Mapped[ChecksumAddress | None] = mapped_column(Address)
    next_batch: Mapped[int] = mapped_column(default=0)
    next_single: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]


class PassState(StrEnum):
    """Where a member's pass is."""

    QUEUED = "queued"
    MINTING = "minting"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REISSUING = "reissuing"
    REVOKED = "revoked"


class MembershipPass(TenantMixin, Base):
    """A member's soulbound pass; its number is known once it is planned."""

    __tablename__ = "passes"
    __table_args__ = (
        UniqueConstraint("user_id"),
        UniqueConstraint("merchant_id", "batch_number", "index"),
        Index(
            "ix_passes_queued",
            "merchant_id",
            "id",
            postgresql_where=text("state = 'queued'"),
        ),
        CheckConstraint("(state = 'queued') = (batch_number IS NULL)", name="numbered"),
    )

    id: Mapped[PassId] = mapped_column(primary_key=True)
    user_id: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    wallet_id: Mapped[WalletId] = mapped_column(ForeignKey("wallets.id"))
    address: Mapped[ChecksumAddress] = mapped_column(Address)
    state: Mapped[PassState] = mapped_column(default=PassState.QUEUED)
    batch_id: Mapped[BatchId | None] = mapped_column(ForeignKey("batches.id"))
    batch_number: Mapped[int | None]
    index: Mapped[int | None]
    queued_at: Mapped[datetime]
    active_at: Mapped[datetime | None]

    @property
    def number(self) -> str | None:
        """The number people see, once it is known."""
        if self.batch_number is None or self.index is None:
            return None
        return pass_number(self.batch_number, self.index)

    @property
    def token_id(self) -> int | None:
        """The pass id on chain, once it is known."""
        if self.batch_number is None or self.index is None:
            return None
        return token_id_of(self.batch_number, self.index)


class Transferability(StrEnum):
    """Whether holders can pass a token on; fixed for life."""

    TRANSFERABLE = "transferable"
    SOULBOUND = "soulbound"


class DigitalAsset(TenantMixin, VersionMixin, Base):
    """One edition of collectibles: one contract, one metadata document for all tokens.

    `renditions` are `{cid, media_type, width, height}`, smallest first; the image of the token
    itself is `image_cid`. A royalty is in basis points of every sale. What the row says is what was
    decided; plans of the issuer bring the contract there.
    """

    __tablename__ = "digital_assets"
    __table_args__ = (
        UniqueConstraint("merchant_id", "reference_id"),
        CheckConstraint("max_supply IS NULL OR minted_count <= max_supply", name="supply"),
        CheckConstraint("(royalty_points IS NULL) = (royalty_receiver IS NULL)", name="royalty"),
        CheckConstraint("NOT revocable OR transferability = 'soulbound'", name="revocable"),
    )

    id: Mapped[AssetId] = mapped_column(primary_key=True)
    internal_name: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    symbol: Mapped[str]
    external_url: Mapped[str | None]
    attributes: Mapped[list[Any]]
    max_supply: Mapped[int | None] = mapped_column(BigInteger)
    transferability: Mapped[Transferability]
    revocable: Mapped[bool] = mapped_column(default=False)
    royalty_points: Mapped[int | None]
    royalty_receiver: Mapped[ChecksumAddress | None] = mapped_column(Address)
    reference_id: Mapped[str | None]
    renditions: Mapped[list[Any]]
    image_cid: Mapped[str]
    metadata_cid: Mapped[str | None]
    contract_cid: Mapped[str | None]
    state: Mapped[ContractState] = mapped_column(default=ContractState.DRAFT)
    failure: Mapped[str | None]
    chain_id: Mapped[int | None] = mapped_column(ForeignKey("chains.id"))
    address: Mapped[ChecksumAddress | None] = mapped_column(Address)
    minted_count: Mapped[int] = mapped_column(BigInteger, default=0)
    next_round: Mapped[int] = mapped_column(BigInteger, default=0)
    next_data_nonce: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]


class Drop(TenantMixin, Base):
    """The first, second, … of each recipient of a reward line: one round of the asset's contract.

    A round serves a member once, so whoever receives three of something is in three drops. The
    round is taken when the first of the drop is planned to a pass batch.
    """

    __tablename__ = "drops"
    __table_args__ = (
        UniqueConstraint("reward_line_id", "ordinal"),
        UniqueConstraint("asset_id", "round"),
    )

    id: Mapped[DropId] = mapped_column(primary_key=True)
    reward_line_id: Mapped[RewardLineId] = mapped_column(ForeignKey("reward_lines.id"))
    ordinal: Mapped[int]
    asset_id: Mapped[AssetId] = mapped_column(ForeignKey("digital_assets.id"))
    round: Mapped[int | None] = mapped_column(BigInteger)


class TokenState(StrEnum):
    """Where a token is."""

    QUEUED = "queued"
    MINTING = "minting"
    OWNED = "owned"
    TRANSFERRING = "transferring"
    EXTERNAL = "external"
    BURNED = "burned"


class Token(TenantMixin, Base):
    """One collectible of one member, or of an address that is no member's wallet; the row is the
    recipient in the plan of its drop.

    The id on chain is `round << 32 | pass id`, kept as its parts; for an address, or a pass outside
    the batches, which no bit can name, it is `1 << 128 | nonce << 16 | index` of the mint, and
    there is no round.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        UniqueConstraint("grant_id"),
        UniqueConstraint("drop_id", "pass_number"),
        Index(
            "uq_tokens_mint",
            "asset_id",
            "mint_nonce",
            "mint_index",
            unique=True,
            postgresql_where=text("mint_nonce IS NOT NULL"),
        ),
        Index(
            "uq_tokens_address",
            "drop_id",
            "address",
            unique=True,
            postgresql_where=text("address IS NOT NULL"),
        ),
        Index("ix_tokens_owner", "user_id", "asset_id"),
        Index("ix_tokens_batch", "batch_id"),
        CheckConstraint("(state = 'queued') = (batch_id IS NULL)", name="planned"),
        CheckConstraint("(mint_nonce IS NULL) = (mint_index IS NULL)", name="minted"),
        CheckConstraint("num_nonnulls(user_id, address) = 1", name="recipient"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    id: Mapped[TokenRowId] = mapped_column(primary_key=True)
    asset_id: Mapped[AssetId] = mapped_column(ForeignKey("digital_assets.id"))
    grant_id: Mapped[GrantId] = mapped_column(ForeignKey("grants.id"))
    user_id: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    address: Mapped[ChecksumAddress | None] = mapped_column(Address)
    drop_id: Mapped[DropId]
    round: Mapped[int | None] = mapped_column(BigInteger)
    pass_number: Mapped[int | None] = mapped_column(BigInteger)
    mint_nonce: Mapped[int | None]
    mint_index: Mapped[int | None]
    state: Mapped[TokenState] = mapped_column(default=TokenState.QUEUED)
    batch_id: Mapped[BatchId | None] = mapped_column(ForeignKey("batches.id"))
    created_at: Mapped[datetime]
    owned_at: Mapped[datetime | None]

    asset: Mapped[DigitalAsset] = relationship()

    @property
    def token_id(self) -> int | None:
        """The uint256 id on chain, once the token is planned."""
        if self.mint_nonce is not None and self.mint_index is not None:
            return outside_token_id(self.mint_nonce, self.mint_index)
        if self.round is None or self.pass_number is None:
            return None
        return self.round << 32 | self.pass_number


def sql_token_id() -> ColumnElement[str]:
    """The id on chain of a planned token, in decimals: `Token.token_id` of columns."""
    dropped = cast(Token.round, Numeric) * 2**32 + Token.pass_number
    minted = cast(Token.mint_nonce, Numeric) * 2**16 + Token.mint_index + literal(OUTSIDE, Numeric)
    return cast(case((Token.mint_nonce.is_(None), dropped), else_=minted), Text)

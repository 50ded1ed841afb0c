"""Chains, lanes, transactions and their attempts: the signing ledger of the installation."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from eth_typing import ChecksumAddress
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.db import Base, TenantMixin, VersionMixin
from core.types import BatchId, DiscrepancyId, Gas, LaneId, MerchantId, TransactionId, Wei
from wallets.addresses import Address


class ChainKind(StrEnum):
    """Who runs the chain."""

    EMBEDDED = "embedded"
    EXTERNAL = "external"


class Chain(Base):
    """One EVM chain this installation uses; the chain id is its key.

    `confirmations` empty means the node's `finalized` tag. The newest final block, once there is
    one, shows whether a node that answers still is the same chain. The asset implementation and
    its factory exist once a chain; empty until they are on it.
    """

    __tablename__ = "chains"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[ChainKind]
    name: Mapped[str]
    rpc_urls: Mapped[list[Any]]
    explorer_url: Mapped[str | None]
    native_symbol: Mapped[str]
    confirmations: Mapped[int | None]
    final_number: Mapped[int] = mapped_column(BigInteger, default=0)
    final_hash: Mapped[bytes | None]
    asset_implementation: Mapped[ChecksumAddress | None] = mapped_column(Address)
    asset_factory: Mapped[ChecksumAddress | None] = mapped_column(Address)


class ContractAddress(Base):
    """Which merchant a contract belongs to: what a public page needs to find the tenant."""

    __tablename__ = "contract_addresses"

    chain_id: Mapped[int] = mapped_column(ForeignKey("chains.id"), primary_key=True)
    address: Mapped[ChecksumAddress] = mapped_column(Address, primary_key=True)
    merchant_id: Mapped[MerchantId] = mapped_column(ForeignKey("merchants.id"))


class LaneState(StrEnum):
    """Whether a lane takes new transactions.

    `UNFUNDED` ends by itself with enough money, `RESTORED` once the chain has told what the
    database forgot, `PAUSED` by a person, `QUARANTINED` by nobody.
    """

    ACTIVE = "active"
    UNFUNDED = "unfunded"
    PAUSED = "paused"
    QUARANTINED = "quarantined"
    RESTORED = "restored"


class LaneRole(StrEnum):
    """Whose key a lane signs with: each of them sends what its contracts let it do."""

    RELAYER = "relayer"
    """Deploys and mints."""
    ISSUER = "issuer"
    """Owns the contracts: documents, terms, revocation."""


class NonceLane(TenantMixin, Base):
    """An account on a chain and the next nonce it will use; the row lock serialises it.

    A merchant has one of each role on a chain.

    `home` names the database that the row was written in. Elsewhere, or without one, it is a copy
    that may have forgotten what the network knows, and nothing is signed for it. `base_block` is
    the chain's head when the lane was made: none of its transactions is below.
    """

    __tablename__ = "lanes"
    __table_args__ = (
        UniqueConstraint("chain_id", "address"),
        UniqueConstraint("merchant_id", "chain_id", "role"),
    )

    id: Mapped[LaneId] = mapped_column(primary_key=True)
    chain_id: Mapped[int] = mapped_column(ForeignKey("chains.id"))
    role: Mapped[LaneRole] = mapped_column(default=LaneRole.RELAYER)
    address: Mapped[ChecksumAddress] = mapped_column(Address)
    next_nonce: Mapped[int] = mapped_column(BigInteger)
    base_nonce: Mapped[int] = mapped_column(BigInteger)
    base_block: Mapped[int] = mapped_column(BigInteger, default=0)
    home: Mapped[str | None] = mapped_column(server_default=text("cohort_home()"))
    state: Mapped[LaneState] = mapped_column(default=LaneState.ACTIVE)
    state_reason: Mapped[str | None]

    chain: Mapped[Chain] = relationship()


class TransactionKind(StrEnum):
    """What a transaction is for."""

    BATCH = "batch"
    DEPLOY = "deploy"
    CALL = "call"
    NOOP = "noop"


class TransactionState(StrEnum):
    """Where a transaction is; `SENT` informs people, nothing depends on it."""

    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"


class Outcome(StrEnum):
    """How a final transaction ended."""

    SUCCESS = "success"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    FORGOTTEN = "forgotten"
    """A restored backup knew nothing of it, and no plan asks for it."""


OPEN_STATES = (TransactionState.SIGNED, TransactionState.SENT, TransactionState.MINED)


class Transaction(TenantMixin, VersionMixin, Base):
    """One intent (to, data, value) bound to one nonce of one lane, for ever.

    Whoever asked the chain about a row says which version it asked about: evidence is for that one.

    `fee_cap` is the highest price per gas that whoever wants it agreed to, in wei.
    `foreign_use_at` is when other bytes than ours were found to have used the nonce. The row stays
    open: should a receipt of ours appear after all, it decides.
    """

    __tablename__ = "transactions"
    __table_args__ = (
        UniqueConstraint("lane_id", "nonce"),
        Index(
            "uq_transactions_live_batch",
            "batch_id",
            unique=True,
            postgresql_where=text("outcome IS DISTINCT FROM 'cancelled'"),
        ),
        Index("ix_transactions_due", "next_action_at", postgresql_where=text("state <> 'final'")),
        CheckConstraint("(state = 'final') = (outcome IS NOT NULL)", name="final_has_outcome"),
        CheckConstraint(
            "(state IN ('mined', 'final')) = (block_hash IS NOT NULL)", name="mined_has_block"
        ),
    )

    id: Mapped[TransactionId] = mapped_column(primary_key=True)
    lane_id: Mapped[LaneId] = mapped_column(ForeignKey("lanes.id"))
    nonce: Mapped[int] = mapped_column(BigInteger)
    batch_id: Mapped[BatchId | None] = mapped_column(ForeignKey("batches.id"))
    kind: Mapped[TransactionKind]
    fee_cap: Mapped[Wei | None]
    intent_hash: Mapped[bytes]
    to: Mapped[ChecksumAddress | None] = mapped_column(Address)
    contract_address: Mapped[ChecksumAddress | None] = mapped_column(Address)
    state: Mapped[TransactionState] = mapped_column(default=TransactionState.SIGNED)
    outcome: Mapped[Outcome | None]
    block_number: Mapped[int | None] = mapped_column(BigInteger)
    block_hash: Mapped[bytes | None]
    mined_hash: Mapped[bytes | None]
    gas_used: Mapped[Gas | None]
    effective_gas_price: Mapped[Wei | None]
    data_fee: Mapped[Wei | None]
    created_at: Mapped[datetime]
    next_action_at: Mapped[datetime]
    finalized_at: Mapped[datetime | None]
    foreign_use_at: Mapped[datetime | None]

    lane: Mapped[NonceLane] = relationship()
    attempts: Mapped[list["Attempt"]] = relationship(order_by="Attempt.seq")

    @property
    def fee_paid(self) -> Wei | None:
        """Gas used times price and what its data cost, once it is in a block."""
        if self.gas_used is None or self.effective_gas_price is None:
            return None
        return Wei(self.gas_used * self.effective_gas_price + (self.data_fee or 0))


class AttemptKind(StrEnum):
    """Why these bytes exist."""

    FIRST = "first"
    BUMP = "bump"
    CANCEL = "cancel"
    FORGOTTEN = "forgotten"


class Attempt(TenantMixin, Base):
    """Signed bytes of a transaction, stored before they are sent and never changed.

    `accepted_at` is when a node first said that it holds them.
    """

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("transaction_id", "seq"),)

    tx_hash: Mapped[bytes] = mapped_column(primary_key=True)
    transaction_id: Mapped[TransactionId] = mapped_column(ForeignKey("transactions.id"))
    seq: Mapped[int]
    kind: Mapped[AttemptKind]
    max_fee_per_gas: Mapped[Wei]
    max_priority_fee_per_gas: Mapped[Wei]
    gas: Mapped[Gas]
    raw: Mapped[bytes]
    signed_at: Mapped[datetime]
    first_sent_at: Mapped[datetime | None]
    last_sent_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    last_answer: Mapped[str | None]


class Recovery(TenantMixin, Base):
    """What the chain has to tell of a restored lane: all nonces from `first_nonce` below `target`.

    `next_block` is how far its blocks have been read.
    """

    __tablename__ = "recoveries"

    lane_id: Mapped[LaneId] = mapped_column(ForeignKey("lanes.id"), primary_key=True)
    first_nonce: Mapped[int] = mapped_column(BigInteger)
    target: Mapped[int] = mapped_column(BigInteger)
    next_block: Mapped[int] = mapped_column(BigInteger)


class Sighting(TenantMixin, Base):
    """Bytes of a restored lane's relayer that are in a final block; their nonce is used up."""

    __tablename__ = "sightings"

    lane_id: Mapped[LaneId] = mapped_column(ForeignKey("lanes.id"), primary_key=True)
    nonce: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tx_hash: Mapped[bytes]
    raw: Mapped[bytes]


class LaneReconciliation(TenantMixin, Base):
    """How far a relayer's nonces and money were compared with the chain.

    One pass at a time holds `claim`, and until `claimed_until` nobody else begins one. `seen_block`
    was final when a pass began, `seen_at` ago: by now the pipeline has recorded what is in it.
    `received` is everything that ever came in from outside; `balance` is what was left at
    `money_block`.
    """

    __tablename__ = "lane_reconciliations"

    lane_id: Mapped[LaneId] = mapped_column(ForeignKey("lanes.id"), primary_key=True)
    claim: Mapped[UUID | None]
    claimed_until: Mapped[datetime | None]
    seen_block: Mapped[int] = mapped_column(BigInteger, default=-1)
    seen_at: Mapped[datetime | None]
    last_block: Mapped[int] = mapped_column(BigInteger, default=-1)
    used_nonces: Mapped[int | None] = mapped_column(BigInteger)
    final_nonces: Mapped[int | None] = mapped_column(BigInteger)
    money_block: Mapped[int | None] = mapped_column(BigInteger)
    balance: Mapped[Wei | None]
    received: Mapped[Wei | None]
    problem: Mapped[str | None]
    compared_at: Mapped[datetime | None]
    full_at: Mapped[datetime | None]

    lane: Mapped[NonceLane] = relationship()


class Reconciliation(TenantMixin, Base):
    """How far a contract's events were compared with the tables: the cursor, and what was counted.

    Everything up to `last_block` was read whole, on every node that answers. `bad_first` to
    `bad_last` are blocks that could not be, and `problem` says why.
    """

    __tablename__ = "reconciliations"

    chain_id: Mapped[int] = mapped_column(ForeignKey("chains.id"), primary_key=True)
    contract: Mapped[ChecksumAddress] = mapped_column(Address, primary_key=True)
    first_block: Mapped[int] = mapped_column(BigInteger)
    last_block: Mapped[int] = mapped_column(BigInteger)
    last_hash: Mapped[bytes | None]
    burned: Mapped[int] = mapped_column(BigInteger, default=0)
    supply: Mapped[int | None] = mapped_column(BigInteger)
    recipients: Mapped[int | None] = mapped_column(BigInteger)
    bad_first: Mapped[int | None] = mapped_column(BigInteger)
    bad_last: Mapped[int | None] = mapped_column(BigInteger)
    problem: Mapped[str | None]
    compared_at: Mapped[datetime | None]
    full_at: Mapped[datetime | None]


class Rule(StrEnum):
    """What a comparison of database and chain asks.

    Forward: is everything recorded there? Backward: is everything there recorded?
    """

    FORWARD = "forward"
    BACKWARD = "backward"
    TOTALS = "totals"
    NONCES = "nonces"
    MONEY = "money"


class Discrepancy(TenantMixin, Base):
    """A difference between database and chain; resolved when a pass no longer finds it.

    `about` is the contract or the relayer, `subject` what of it, `severity` 1 for what somebody
    else did on the chain and 2 for records that differ. `expected` and `found` are sentences:
    what the database says and what the chain says. Without `block_number` it concerns no block.
    """

    __tablename__ = "discrepancies"
    __table_args__ = (
        Index(
            "uq_discrepancies_open",
            "chain_id",
            "about",
            "rule",
            "subject",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
    )

    id: Mapped[DiscrepancyId] = mapped_column(primary_key=True)
    chain_id: Mapped[int] = mapped_column(ForeignKey("chains.id"))
    about: Mapped[ChecksumAddress] = mapped_column(Address)
    rule: Mapped[Rule]
    severity: Mapped[int]
    subject: Mapped[str]
    block_number: Mapped[int | None] = mapped_column(BigInteger)
    expected: Mapped[str]
    found: Mapped[str]
    first_seen: Mapped[datetime]
    resolved_at: Mapped[datetime | None]

"""Wallets and the data keys that seal them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from eth_typing import ChecksumAddress
from sqlalchemy import BigInteger, ForeignKey, Identity, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, MappedColumn, mapped_column

from core.db import Base, TenantMixin
from core.types import DataKeyId, Gas, WalletId, Wei
from wallets.addresses import Address


class WalletKind(StrEnum):
    """What a key is for; the signing policy reads it."""

    MEMBER = "member"
    """Custodial: holds a member's pass and collectibles."""
    RELAYER = "relayer"
    """Pays gas and submits transactions; never owns a member's assets."""
    ISSUER = "issuer"
    """Owns the merchant's contracts; signs their documents, terms and revocations."""


def _only_for_the_signer(kind: LargeBinary | None = None) -> MappedColumn[bytes]:
    """A column that other roles may write and not read, so that no query names it by accident."""
    return mapped_column(kind or LargeBinary(), deferred=True, deferred_raiseload=True)


class DataKey(TenantMixin, Base):
    """One shard's data key, wrapped by the key-encryption key; seals at most 10 000 wallets.

    `kek_id` names the key that wrapped it, and its version. `fingerprint` recognises the data key
    once it is open; keys of the first releases have none until they are wrapped anew. A replaced
    key seals nothing more, and its row is deleted once it seals nothing any more.
    """

    __tablename__ = "data_keys"

    id: Mapped[DataKeyId] = mapped_column(primary_key=True)
    kek_id: Mapped[str]
    wrapped: Mapped[bytes] = _only_for_the_signer()
    fingerprint: Mapped[bytes | None]
    replaced_by_id: Mapped[DataKeyId | None] = mapped_column(ForeignKey("data_keys.id"))
    wallet_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]


class Wallet(TenantMixin, Base):
    """An externally owned account whose independent random key this installation holds.

    `owner_id` is the member for `MEMBER` wallets and empty otherwise; the unique key makes
    parallel first needs end in one wallet. A destroyed one has no key any more, sealed or not:
    nobody can move what its address holds.
    """

    __tablename__ = "wallets"
    __table_args__ = (
        UniqueConstraint("merchant_id", "kind", "owner_id"),
        UniqueConstraint("address"),
    )

    id: Mapped[WalletId] = mapped_column(primary_key=True)
    kind: Mapped[WalletKind]
    owner_id: Mapped[UUID | None] = mapped_column(PG_UUID(as_uuid=True))
    address: Mapped[ChecksumAddress] = mapped_column(Address)
    data_key_id: Mapped[DataKeyId] = mapped_column(ForeignKey("data_keys.id"), index=True)
    salt: Mapped[bytes] = _only_for_the_signer(LargeBinary(16))
    ciphertext: Mapped[bytes] = _only_for_the_signer()
    created_at: Mapped[datetime]
    destroyed_at: Mapped[datetime | None]


class Approval(TenantMixin, Base):
    """A call that a key of the merchant may sign; rows are never changed.

    `digest` is of merchant, chain, signer, contract and calldata (`wallets.approvals`).
    """

    __tablename__ = "approvals"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class Signature(TenantMixin, Base):
    """What was signed, written down before the bytes left the signer; rows are never changed.

    `digest` says which call, empty for a no-op. `caller` is the SQL transaction that asked, of the
    database named `home`: if it was rolled back, nobody has ever sent the bytes.
    """

    __tablename__ = "signatures"
    __table_args__ = (Index("ix_signatures_nonce", "chain_id", "address", "nonce"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    chain_id: Mapped[int] = mapped_column(BigInteger)
    address: Mapped[ChecksumAddress] = mapped_column(Address)
    nonce: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes]
    gas: Mapped[Gas]
    max_fee_per_gas: Mapped[Wei]
    max_priority_fee_per_gas: Mapped[Wei]
    tx_hash: Mapped[bytes]
    caller: Mapped[int] = mapped_column(BigInteger)
    home: Mapped[str] = mapped_column(server_default=text("cohort_home()"))
    signed_at: Mapped[datetime]


@dataclass(frozen=True)
class TransactionPayload:
    """An unsigned EIP-1559 transaction.

    Args:
        to: the contract called; None creates one.
    """

    chain_id: int
    nonce: int
    to: ChecksumAddress | None
    data: bytes
    value: Wei
    gas: Gas
    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei


@dataclass(frozen=True)
class SignedTransaction:
    """Signed bytes and their hash; the bytes may be sent any number of times."""

    raw: bytes
    tx_hash: bytes

"""What keys may sign: calls that somebody decided on, written down when they were frozen."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from eth_typing import ChecksumAddress
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.db import merchant_of
from core.types import MerchantId
from wallets.arrays import blobs
from wallets.models import Approval, WalletKind

_INSERT = text(
    "INSERT INTO approvals (digest, created_at)"
    " SELECT digest, :at FROM unnest(CAST(:digests AS bytea[])) AS new (digest)"
    " ON CONFLICT DO NOTHING"
)


class Call(NamedTuple):
    """What a transaction does on a chain, whatever its nonce, gas and fees are.

    Args:
        to: the contract called; None creates one.
        signer: whose key signs it, and no other's.
    """

    chain_id: int
    to: ChecksumAddress | None
    data: bytes
    signer: WalletKind = WalletKind.RELAYER


def digest_of(merchant: MerchantId, call: Call) -> bytes:
    """32 bytes that no other call, chain, merchant or kind of signer has."""
    target = b"\0" if call.to is None else b"\1" + bytes.fromhex(call.to[2:])
    if call.signer is not WalletKind.RELAYER:  # whose digests are older than there were others
        target = call.signer.encode() + target
    return sha256(merchant.bytes + call.chain_id.to_bytes(8) + target + call.data).digest()


def approve(session: Session, calls: Iterable[Call], *, at: datetime) -> None:
    """The merchant's keys may sign these calls from now on; a repeat changes nothing.

    Call it in the transaction that decides: a rollback takes the approval back.
    """
    merchant = merchant_of(session)
    digests = blobs(digest_of(merchant, call).hex() for call in calls)
    session.execute(_INSERT, {"digests": digests, "at": at})


def approved(session: Session, digests: Sequence[bytes]) -> set[bytes]:
    """Those of the digests that somebody approved."""
    return set(session.scalars(select(Approval.digest).where(Approval.digest.in_(digests))))

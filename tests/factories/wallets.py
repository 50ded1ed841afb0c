"""Wallets, bindings and payloads with values that differ in every field."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.types import Gas, Wei
from tests.conftest import NOW
from tests.signing import stolen_key
from wallets import approvals, signing
from wallets.approvals import Call
from wallets.models import SignedTransaction, TransactionPayload, Wallet, WalletKind
from wallets.service import create_wallets, sign_transactions
from wallets.vault import Binding

CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def make_wallet(
    session: Session, kind: WalletKind = WalletKind.RELAYER, owner: UUID | None = None
) -> Wallet:
    """A wallet with a key of its own."""
    [address] = create_wallets(session, kind, owners=[owner], at=NOW)
    return session.scalars(select(Wallet).where(Wallet.address == address)).one()


def make_payload(**changes: Any) -> TransactionPayload:
    """A payload that relayers may sign."""
    values: dict[str, Any] = {
        "chain_id": 31337,
        "nonce": 7,
        "to": CONTRACT,
        "data": b"\x01\x02",
        "value": Wei(0),
        "gas": Gas(100_000),
        "max_fee_per_gas": Wei(2_000_000_000),
        "max_priority_fee_per_gas": Wei(1_000_000_000),
    }
    return TransactionPayload(**{**values, **changes})


def sign(session: Session, address: str, payload: TransactionPayload) -> SignedTransaction:
    """The payload, approved and signed alone."""
    call = Call(payload.chain_id, payload.to, payload.data)
    approvals.approve(session, [call], at=NOW)
    [signed] = sign_transactions(session, address, [payload])
    return signed


def forge(session: Session, address: str, payload: TransactionPayload) -> SignedTransaction:
    """The payload signed with a stolen key, past policy and ledger."""
    return signing.sign_with(stolen_key(session, address), payload)


def make_binding(**changes: Any) -> Binding:
    """A binding of fixed values."""
    values: dict[str, Any] = {
        "environment": "development",
        "merchant_id": UUID(int=1),
        "owner_id": UUID(int=2),
        "wallet_id": UUID(int=3),
        "address": CONTRACT,
        "data_key_id": UUID(int=4),
        "purpose": "member",
    }
    return Binding(**{**values, **changes})

"""Signs transactions: inside the signer only, where the keys are.

Policy and ledger are asked first; what is signed is written down before it leaves.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from eth_account import Account
from eth_typing import ChecksumAddress
from sqlalchemy import select
from sqlalchemy.orm import Session, undefer

from core.db import merchant_of
from wallets import approvals, data_keys, ledger, policy, sealed
from wallets.approvals import Call
from wallets.errors import SigningRefusedError, WalletNotFoundError
from wallets.ledger import Entry
from wallets.models import DataKey, SignedTransaction, TransactionPayload, Wallet


def sign_all(
    session: Session,
    address: ChecksumAddress,
    payloads: Sequence[TransactionPayload],
    *,
    caller: int,
    at: datetime,
) -> list[SignedTransaction]:
    """All payloads signed by the wallet, or none; equal payloads give equal bytes (RFC 6979).

    Args:
        payloads: of one chain.
        caller: the SQL transaction that will store the bytes, or forget them.

    Raises:
        WalletNotFoundError: no wallet of this merchant has the address.
        SigningRefusedError: policy or ledger do not allow one of them.
        CiphertextError: the sealed key does not open.
        KekUnavailableError: the key-encryption key does not answer, and the data key is not open.
        KeyEncryptionKeyError: the data key does not open.

    Locks: the address on the chain, until the transaction ends.
    """
    [chain_id] = {payload.chain_id for payload in payloads}
    ledger.lock(session, chain_id, address)
    wallet, data_key = _find(session, address)
    entries = _allowed(session, wallet, payloads)
    if not ledger.is_open(session, caller):
        raise SigningRefusedError(wallet.kind, "the transaction that asks is over")
    reason = ledger.refusal(session, chain_id, address, entries)
    if reason is not None:
        raise SigningRefusedError(wallet.kind, reason)
    secret = sealed.open_key(data_keys.shard_of(data_key), wallet)
    signed = [sign_with(secret, payload) for payload in payloads]
    noted = [(entry, it.tx_hash) for entry, it in zip(entries, signed, strict=True)]
    ledger.record(session, chain_id, address, noted, caller=caller, at=at)
    return signed


def _find(session: Session, address: ChecksumAddress) -> tuple[Wallet, DataKey]:
    # One statement: its row and its data key are of one moment, whatever a rotation does.
    found = session.execute(
        select(Wallet, DataKey)
        .join(DataKey, Wallet.data_key_id == DataKey.id)
        .where(Wallet.address == address, Wallet.destroyed_at.is_(None))
        .options(undefer(Wallet.salt), undefer(Wallet.ciphertext), undefer(DataKey.wrapped))
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise WalletNotFoundError(address)
    return found[0], found[1]


def _allowed(
    session: Session, wallet: Wallet, payloads: Sequence[TransactionPayload]
) -> list[Entry]:
    """What the payloads are to the ledger, if the policy allows each of them."""
    merchant = merchant_of(session)
    digests = [
        approvals.digest_of(merchant, Call(payload.chain_id, payload.to, payload.data, wallet.kind))
        for payload in payloads
    ]
    approved = approvals.approved(session, digests)
    entries = []
    for payload, digest in zip(payloads, digests, strict=True):
        is_approved = digest in approved
        reason = policy.refusal(wallet.kind, wallet.address, payload, is_approved=is_approved)
        if reason is not None:
            raise SigningRefusedError(wallet.kind, reason)
        known = b"" if policy.is_no_op(wallet.address, payload) else digest
        fees = (payload.max_fee_per_gas, payload.max_priority_fee_per_gas)
        entries.append(Entry(payload.nonce, known, payload.gas, *fees))
    return entries


def sign_with(secret: bytes, payload: TransactionPayload) -> SignedTransaction:
    """The payload signed with this key, whoever asks."""
    signed = Account.sign_transaction(_as_fields(payload), secret)
    return SignedTransaction(raw=bytes(signed.raw_transaction), tx_hash=bytes(signed.hash))


def _as_fields(payload: TransactionPayload) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": 2,
        "chainId": payload.chain_id,
        "nonce": payload.nonce,
        "data": payload.data,
        "value": payload.value,
        "gas": payload.gas,
        "maxFeePerGas": payload.max_fee_per_gas,
        "maxPriorityFeePerGas": payload.max_priority_fee_per_gas,
    }
    return fields if payload.to is None else {**fields, "to": payload.to}

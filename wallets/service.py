"""Custodial keys: made, sealed and used here; no function returns one."""

import os
from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import UUID

from cachetools import TTLCache, cached
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from core.db import merchant_of
from core.ids import new_id
from core.settings import core_settings
from core.types import DataKeyId, MerchantId, WalletId
from wallets import policy, vault
from wallets.errors import CiphertextError, SigningRefusedError, WalletNotFoundError
from wallets.kek import key_provider
from wallets.models import DataKey, SignedTransaction, TransactionPayload, Wallet, WalletKind

WALLETS_A_DATA_KEY = 10_000
_CACHED_KEYS = 64
_CACHED_SECONDS = 300
_cache: TTLCache[Any, bytes] = TTLCache(maxsize=_CACHED_KEYS, ttl=_CACHED_SECONDS)


def create_wallets(
    session: Session, kind: WalletKind, *, owners: Sequence[UUID | None], at: datetime
) -> list[ChecksumAddress]:
    """Every owner has one wallet more of this kind; the addresses come in the order of `owners`.

    The rows, with their sealed keys, become durable with the caller's transaction: no address is
    shown to anybody before its key is stored.

    Locks: the newest data key of the merchant.
    """
    addresses: list[ChecksumAddress] = []
    rest = list(owners)
    while rest:
        data_key, room = _data_key_with_room(session, at=at)
        part, rest = rest[:room], rest[room:]
        rows = [_new_row(session, data_key, kind, owner, at=at) for owner in part]
        session.execute(insert(Wallet), rows)
        data_key.wallet_count += len(part)
        session.flush()
        addresses += [row["address"] for row in rows]
    return addresses


def sign_transaction(
    session: Session, address: ChecksumAddress, payload: TransactionPayload
) -> SignedTransaction:
    """The payload signed by the wallet at `address`; equal payloads give equal bytes (RFC 6979).

    Raises:
        WalletNotFoundError: no wallet of this merchant has the address.
        SigningRefusedError: the policy of its kind does not allow the payload.
        CiphertextError: the sealed key does not open.
    """
    wallet = session.scalar(select(Wallet).where(Wallet.address == address))
    if wallet is None:
        raise WalletNotFoundError(address)
    reason = policy.refusal(wallet.kind, payload)
    if reason is not None:
        raise SigningRefusedError(wallet.kind, reason)
    signed = Account.sign_transaction(_as_fields(payload), _open_key(session, wallet))
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


def _new_row(
    session: Session, data_key: DataKey, kind: WalletKind, owner: UUID | None, *, at: datetime
) -> dict[str, Any]:
    secret = os.urandom(32)
    address = _address_of(secret)
    wallet_id, salt = WalletId(new_id()), os.urandom(vault.SALT_BYTES)
    binding = _binding(merchant_of(session), kind, owner, wallet_id, address, data_key.id)
    return {
        "id": wallet_id,
        "kind": kind,
        "owner_id": owner,
        "address": address,
        "data_key_id": data_key.id,
        "salt": salt,
        "ciphertext": vault.seal(secret, data_key=_unwrap(data_key), salt=salt, binding=binding),
        "created_at": at,
    }


def _open_key(session: Session, wallet: Wallet) -> bytes:
    data_key = session.get_one(DataKey, wallet.data_key_id)
    binding = _binding(
        wallet.merchant_id, wallet.kind, wallet.owner_id, wallet.id, wallet.address, data_key.id
    )
    secret = vault.unseal(
        wallet.ciphertext, data_key=_unwrap(data_key), salt=wallet.salt, binding=binding
    )
    if _address_of(secret) != wallet.address:
        raise CiphertextError(wallet.address)
    return secret


def _binding(
    merchant: MerchantId,
    kind: WalletKind,
    owner: UUID | None,
    wallet_id: WalletId,
    address: str,
    data_key_id: DataKeyId,
) -> vault.Binding:
    return vault.Binding(
        environment=core_settings().environment,
        merchant_id=merchant,
        owner_id=owner,
        wallet_id=wallet_id,
        address=address,
        data_key_id=data_key_id,
        purpose=kind,
    )


def _data_key_with_room(session: Session, *, at: datetime) -> tuple[DataKey, int]:
    newest = session.scalar(
        select(DataKey)
        .order_by(DataKey.id.desc())
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if newest is None or newest.wallet_count >= WALLETS_A_DATA_KEY:
        newest = _new_data_key(session, at=at)
    return newest, WALLETS_A_DATA_KEY - newest.wallet_count


def _new_data_key(session: Session, *, at: datetime) -> DataKey:
    key_id = DataKeyId(new_id())
    _, wrapped = key_provider().generate_dek(_context(merchant_of(session), key_id))
    data_key = DataKey(
        id=key_id, kek_id=key_provider().id, wrapped=wrapped, wallet_count=0, created_at=at
    )
    session.add(data_key)
    session.flush()
    session.refresh(data_key)
    return data_key


def _context(merchant: MerchantId, key_id: DataKeyId) -> bytes:
    return b"data-key/v1" + merchant.bytes + key_id.bytes


def _unwrap(data_key: DataKey) -> bytes:
    return _unwrap_cached(data_key.merchant_id, data_key.id, data_key.wrapped)


@cached(_cache, lock=Lock())
def _unwrap_cached(merchant: MerchantId, key_id: DataKeyId, wrapped: bytes) -> bytes:
    return key_provider().unwrap(wrapped, _context(merchant, key_id))


def _address_of(secret: bytes) -> ChecksumAddress:
    return to_checksum_address(PrivateKey(secret).public_key.to_address())

"""Custodial keys: made, sealed and used here; no function returns one."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import UUID

from eth_account import Account
from eth_typing import ChecksumAddress
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.ids import new_id
from core.types import WalletId
from wallets import data_keys, policy, sealed
from wallets.addresses import address_of, to_checksum
from wallets.arrays import blobs, uuids
from wallets.errors import SigningRefusedError, WalletNotFoundError
from wallets.models import DataKey, SignedTransaction, TransactionPayload, Wallet, WalletKind
from wallets.sealed import Owner, Shard

_ROWS_A_STATEMENT = 1_000
_SECRET_BYTES = 32
_INSERT = text(
    "INSERT INTO wallets"
    " (id, kind, owner_id, address, data_key_id, salt, ciphertext, created_at)"
    " SELECT id, :kind, owner_id, address, :data_key_id, salt, ciphertext, :created_at FROM unnest("
    "CAST(:ids AS uuid[]), CAST(:owners AS uuid[]), CAST(:addresses AS bytea[]),"
    " CAST(:salts AS bytea[]), CAST(:ciphertexts AS bytea[])"
    ") AS new (id, owner_id, address, salt, ciphertext)"
)


def create_wallets(
    session: Session, kind: WalletKind, *, owners: Sequence[UUID | None], at: datetime
) -> list[ChecksumAddress]:
    """Every owner has one wallet more of this kind; the addresses come in the order of `owners`.

    The rows, with their sealed keys, become durable with the caller's transaction: no address is
    shown to anybody before its key is stored.

    Raises:
        KekUnavailableError: the key-encryption key does not answer, and a data key is not open.
        KeyEncryptionKeyError: the data key does not open.

    Locks: the newest data key of the merchant that has room.
    """
    addresses: list[ChecksumAddress] = []
    while len(addresses) < len(owners):
        data_key, room = data_keys.with_room(session, at=at)
        shard = data_keys.shard_of(data_key)
        part = owners[len(addresses) : len(addresses) + room]
        for wallets in _made_ahead(shard, kind, part):
            session.execute(
                _INSERT,
                {"kind": kind, "data_key_id": data_key.id, "created_at": at, **_columns(wallets)},
            )
            addresses += [owner.address for owner, _, _ in wallets]
        data_key.wallet_count += len(part)
        session.flush()
    return addresses


_NewWallet = tuple[Owner, bytes, bytes]


def _made_ahead(
    shard: Shard, kind: WalletKind, owners: Sequence[UUID | None]
) -> Iterator[list[_NewWallet]]:
    """New wallets in bounded lists; the next list is made while the database stores one."""
    starts = range(0, len(owners), _ROWS_A_STATEMENT)
    parts = [owners[start : start + _ROWS_A_STATEMENT] for start in starts]
    if len(parts) == 1:
        yield _make(shard, kind, parts[0])
        return
    with ThreadPoolExecutor(1, "wallets") as pool:
        coming = pool.submit(_make, shard, kind, parts[0])
        for part in parts[1:]:
            ready, coming = coming.result(), pool.submit(_make, shard, kind, part)
            yield ready
        yield coming.result()


def _make(shard: Shard, kind: WalletKind, owners: Sequence[UUID | None]) -> list[_NewWallet]:
    made = []
    secrets = os.urandom(len(owners) * _SECRET_BYTES)
    salts = os.urandom(len(owners) * sealed.SALT_BYTES)
    for number, owner_id in enumerate(owners):
        secret = secrets[number * _SECRET_BYTES : (number + 1) * _SECRET_BYTES]
        salt = salts[number * sealed.SALT_BYTES : (number + 1) * sealed.SALT_BYTES]
        owner = Owner(WalletId(new_id()), kind, owner_id, to_checksum(address_of(secret)))
        made.append((owner, salt, sealed.seal(shard, owner, secret, salt=salt)))
    return made


def _columns(wallets: Sequence[_NewWallet]) -> dict[str, str]:
    """One array literal a column: a tenth of the time of a parameter a value."""
    return {
        "ids": uuids(owner.wallet_id for owner, _, _ in wallets),
        "owners": uuids(owner.owner_id for owner, _, _ in wallets),
        "addresses": blobs(owner.address[2:] for owner, _, _ in wallets),
        "salts": blobs(salt.hex() for _, salt, _ in wallets),
        "ciphertexts": blobs(ciphertext.hex() for _, _, ciphertext in wallets),
    }


def sign_transaction(
    session: Session, address: ChecksumAddress, payload: TransactionPayload
) -> SignedTransaction:
    """The payload signed by the wallet at `address`; equal payloads give equal bytes (RFC 6979).

    Raises:
        WalletNotFoundError: no wallet of this merchant has the address.
        SigningRefusedError: the policy of its kind does not allow the payload.
        CiphertextError: the sealed key does not open.
        KekUnavailableError: the key-encryption key does not answer, and the data key is not open.
        KeyEncryptionKeyError: the data key does not open.
    """
    # One statement: its row and its data key are of one moment, whatever a rotation does.
    found = session.execute(
        select(Wallet, DataKey)
        .join(DataKey, Wallet.data_key_id == DataKey.id)
        .where(Wallet.address == address)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        raise WalletNotFoundError(address)
    wallet, data_key = found
    reason = policy.refusal(wallet.kind, payload)
    if reason is not None:
        raise SigningRefusedError(wallet.kind, reason)
    secret = sealed.open_key(data_keys.shard_of(data_key), wallet)
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

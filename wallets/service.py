"""Custodial wallets as the rest of the product sees them: made, stored, and asked to sign.

Keys are made, sealed and opened in the signer (`wallets.signer`); here they are ciphertexts.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any
from uuid import UUID

from eth_typing import ChecksumAddress
from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from core.types import DataKeyId
from wallets.arrays import uuids
from wallets.client import Answer, signer
from wallets.models import DataKey, SignedTransaction, TransactionPayload, WalletKind
from wallets.wire import to_fields

WALLETS_A_DATA_KEY = 10_000
_ROWS_A_STATEMENT = 1_000
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
        SignerUnavailableError: the signer does not answer.
        KekUnavailableError: the key-encryption key does not answer, and a data key is not open.
        KeyEncryptionKeyError: the data key does not open.

    Locks: the newest data key of the merchant that has room.
    """
    addresses: list[ChecksumAddress] = []
    while len(addresses) < len(owners):
        data_key_id, room = _with_room(session, at=at)
        part = owners[len(addresses) : len(addresses) + room]
        values = {"kind": kind, "data_key_id": data_key_id, "created_at": at}
        for made, columns in _made_ahead(session, data_key_id, kind, part):
            session.execute(_INSERT, {**values, **columns})
            addresses += made
        session.execute(
            update(DataKey)
            .where(DataKey.id == data_key_id)
            .values(wallet_count=DataKey.wallet_count + len(part))
        )
    return addresses


def _with_room(session: Session, *, at: datetime) -> tuple[DataKeyId, int]:
    """A data key that seals more wallets, and how many; a new one when all are full."""
    # Asked twice: whoever was waited for may have filled or replaced the one, and made another.
    return _find_room(session) or _find_room(session) or _add_data_key(session, at=at)


def _find_room(session: Session) -> tuple[DataKeyId, int] | None:
    found = session.execute(
        select(DataKey.id, DataKey.wallet_count)
        .where(DataKey.replaced_by_id.is_(None), DataKey.wallet_count < WALLETS_A_DATA_KEY)
        .order_by(DataKey.id.desc())
        .limit(1)
        .with_for_update()
    ).first()
    return (found.id, WALLETS_A_DATA_KEY - found.wallet_count) if found else None


def _add_data_key(session: Session, *, at: datetime) -> tuple[DataKeyId, int]:
    made = signer().ask(session, "generate_data_key", {})()
    data_key_id = DataKeyId(UUID(made["id"]))
    session.execute(
        insert(DataKey).values(
            id=data_key_id,
            kek_id=made["kek_id"],
            wrapped=bytes.fromhex(made["wrapped"]),
            fingerprint=bytes.fromhex(made["fingerprint"]),
            created_at=at,
        )
    )
    return data_key_id, WALLETS_A_DATA_KEY


def _made_ahead(
    session: Session, data_key_id: DataKeyId, kind: WalletKind, owners: Sequence[UUID | None]
) -> Iterator[tuple[list[ChecksumAddress], dict[str, str]]]:
    """New wallets in bounded lists; the next list is made while the database stores one."""
    starts = range(0, len(owners), _ROWS_A_STATEMENT)
    parts = [owners[start : start + _ROWS_A_STATEMENT] for start in starts]

    def ask(part: Sequence[UUID | None]) -> Answer:
        named = [owner.hex if owner else None for owner in part]
        arguments = {"data_key_id": data_key_id.hex, "kind": kind.value, "owners": named}
        return signer().ask(session, "make_wallets", arguments)

    coming = ask(parts[0])
    for part, following in zip_longest(parts, parts[1:]):
        made, columns = coming()
        if following:
            coming = ask(following)
        yield made, {**columns, "owners": uuids(part)}


def destroy_wallets(session: Session, owners: Sequence[UUID]) -> int:
    """These members' wallets have no key any more, at once: a rollback of the caller is too late.

    Whoever calls it has made sure that nothing of the wallets is queued or on its way, and has
    committed why.

    Returns:
        How many keys were destroyed; none the second time.

    Raises:
        SignerUnavailableError: the signer does not answer.
        WalletInUseError: one of them signed something.
    """
    arguments = {"owners": [owner.hex for owner in owners]}
    return int(signer().ask(session, "destroy_wallets", arguments)())


def sign_transactions(
    session: Session, address: ChecksumAddress, payloads: Sequence[TransactionPayload]
) -> list[SignedTransaction]:
    """All payloads signed by the wallet at `address`, or none; equal payloads give equal bytes.

    The caller stores the bytes in this transaction and sends them after its commit: the ledger
    takes a rollback for a promise that nobody has them.

    Args:
        payloads: of one chain.

    Raises:
        SignerUnavailableError: the signer does not answer.
        WalletNotFoundError: no wallet of this merchant has the address.
        SigningRefusedError: policy or ledger do not allow one of them.
        CiphertextError: the sealed key does not open.
        KekUnavailableError: the key-encryption key does not answer, and the data key is not open.
        KeyEncryptionKeyError: the data key does not open.

    References:
        RFC 6979.
    """
    arguments: dict[str, Any] = {
        "address": address,
        "payloads": [to_fields(payload) for payload in payloads],
    }
    signed = signer().ask(session, "sign", arguments)()
    return [
        SignedTransaction(raw=bytes.fromhex(raw), tx_hash=bytes.fromhex(tx_hash))
        for raw, tx_hash in signed
    ]

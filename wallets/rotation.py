"""Rotation: data keys wrapped anew, and wallets sealed anew under newer data keys.

Both work in small units that commit, so that they may be killed at any moment and started again,
while wallets are made and sign. At every moment each wallet row names the data key that opens it.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session, undefer

from core.db import Role, unit_of_work
from core.types import DataKeyId, MerchantId, WalletId
from wallets import data_keys, sealed
from wallets.arrays import blobs, uuids
from wallets.errors import CiphertextError
from wallets.keyring import key_provider
from wallets.models import DataKey, Wallet

log = structlog.get_logger(__name__)

ROWS_A_BATCH = 500
_MOVE = text(
    "UPDATE wallets SET data_key_id = :data_key_id, salt = moved.salt,"
    " ciphertext = moved.ciphertext FROM unnest("
    "CAST(:ids AS uuid[]), CAST(:salts AS bytea[]), CAST(:ciphertexts AS bytea[])"
    ") AS moved (id, salt, ciphertext) WHERE wallets.id = moved.id"
)

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


def _silent(_done: int, _all: int) -> None:
    """Nobody looks."""


@dataclass
class KekRotation:
    """What a rotation of the key-encryption key did.

    Args:
        left: data keys that the newest key does not wrap.
    """

    kek_id: str
    data_keys: int = 0
    wrapped_anew: int = 0
    left: int = 0


@dataclass
class DataKeyRotation:
    """What a rotation of data keys did.

    Args:
        wallets: sealed anew.
        damaged: wallets that do not open; they, and so their data key, stay.
        kept: replaced data keys that still seal something.
    """

    data_keys: int = 0
    wallets: int = 0
    destroyed: int = 0
    damaged: int = 0
    kept: int = 0


def rotate_kek(*, every: bool = False, progress: Progress = _silent) -> KekRotation:
    """Every data key of the installation is wrapped by the newest version of the current key.

    Wallets are not touched: the data keys stay what they are. Repeating does what is left.

    Args:
        every: wrap anew also what already carries the newest id.

    Raises:
        KekUnavailableError: a key does not answer; what is done stays done.
        KeyEncryptionKeyError: a data key does not open under any key that the settings name.
    """
    newest = key_provider().health()
    todo = _find(DataKey.kek_id != newest) if not every else _find()
    report = KekRotation(newest, data_keys=len(todo))
    for number, (merchant, key_id) in enumerate(todo, start=1):
        report.wrapped_anew += _wrap_anew(merchant, key_id)
        progress(number, len(todo))
    report.left = len(_find(DataKey.kek_id != newest))
    log.info("kek_rotated", kek_id=newest, wrapped_anew=report.wrapped_anew, left=report.left)
    return report


def rotate_data_keys(
    *, created_before: datetime, at: datetime, progress: Progress = _silent
) -> DataKeyRotation:
    """What older data keys sealed is sealed under new ones, and the old ones are destroyed.

    Rotations that were interrupted are finished first. A data key is destroyed only when the
    database counts nothing under it.

    Raises:
        KekUnavailableError: the key-encryption key does not answer; what is done stays done.
        KeyEncryptionKeyError: a data key does not open.
    """
    interrupted = _find(DataKey.replaced_by_id.is_not(None))
    aged = _find(DataKey.replaced_by_id.is_(None), DataKey.created_at < created_before)
    todo = interrupted + aged
    report = DataKeyRotation(data_keys=len(todo))
    total = _count_wallets(todo)
    for merchant, key_id in todo:
        if _replace(merchant, key_id, at=at):
            for moved, damaged in _move_all(merchant, key_id):
                report.wallets += moved
                report.damaged += damaged
                progress(report.wallets, total)
            _destroy(merchant, key_id, report)
    return report


def _count_wallets(keys: Sequence[tuple[MerchantId, DataKeyId]]) -> int:
    with unit_of_work(role=Role.SIGNER) as session:
        condition = Wallet.data_key_id.in_([key_id for _, key_id in keys])
        return session.scalar(select(func.count()).select_from(Wallet).where(condition)) or 0


def _find(*conditions: Any) -> list[tuple[MerchantId, DataKeyId]]:
    """Data keys of all merchants, oldest first."""
    with unit_of_work(role=Role.SIGNER) as session:
        query = select(DataKey.merchant_id, DataKey.id).where(*conditions).order_by(DataKey.id)
        return [(merchant, key_id) for merchant, key_id in session.execute(query)]


def _wrap_anew(merchant: MerchantId, key_id: DataKeyId) -> bool:
    """No lock is held while the key-encryption key is asked; whoever was faster wins."""
    with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
        data_key = session.get(DataKey, key_id, options=[undefer(DataKey.wrapped)])
    if data_key is None:
        return False
    wrapped, fingerprint = data_keys.wrap_anew(data_key)
    with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
        changed = session.execute(
            update(DataKey)
            .where(DataKey.id == key_id, DataKey.wrapped == data_key.wrapped)
            .values(kek_id=wrapped.kek_id, wrapped=wrapped.blob, fingerprint=fingerprint)
            .returning(DataKey.id)
        ).all()
    return len(changed) == 1


def _replace(merchant: MerchantId, key_id: DataKeyId, *, at: datetime) -> bool:
    """The data key has a successor, and seals nothing new from then on; False when it is gone.

    Locks: the data key. Whoever makes wallets under it holds the same lock until they are stored.
    """
    with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
        data_key = session.get(DataKey, key_id)
        if data_key is None or data_key.replaced_by_id is not None:
            return data_key is not None
    successor = data_keys.generate(merchant, at=at)
    with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
        data_key = _locked(session, key_id)
        if data_key is not None and data_key.replaced_by_id is None:
            # Its places are taken from the beginning by the wallets that will come.
            successor.wallet_count = data_key.wallet_count
            session.add(successor)
            session.flush()
            data_key.replaced_by_id = successor.id
    return data_key is not None


def _move_all(merchant: MerchantId, key_id: DataKeyId) -> Iterator[tuple[int, int]]:
    """Batch by batch, each committed: how many wallets moved, and how many do not open."""
    after: WalletId | None = None
    while True:
        with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
            wallets = _next_wallets(session, key_id, after)
            if not wallets:
                return
            moved = _move(session, key_id, wallets)
        after = wallets[-1].id
        yield moved, len(wallets) - moved


def _next_wallets(session: Session, key_id: DataKeyId, after: WalletId | None) -> Sequence[Wallet]:
    sealed_key = (undefer(Wallet.salt), undefer(Wallet.ciphertext))
    query = select(Wallet).where(Wallet.data_key_id == key_id).options(*sealed_key)
    query = query.order_by(Wallet.id)
    if after is not None:
        query = query.where(Wallet.id > after)
    return session.scalars(query.limit(ROWS_A_BATCH).with_for_update()).all()


def _move(session: Session, key_id: DataKeyId, wallets: Sequence[Wallet]) -> int:
    """The wallets that open are sealed under the successor; how many."""
    wrapped = undefer(DataKey.wrapped)
    old = session.get_one(DataKey, key_id, options=[wrapped])
    new = session.get_one(DataKey, old.replaced_by_id, options=[wrapped])
    old_shard, new_shard = data_keys.shard_of(old), data_keys.shard_of(new)
    ids, salts, ciphertexts = [], [], []
    for wallet in wallets:
        if wallet.destroyed_at is not None:
            # There is nothing to seal, and the old data key is not needed for it.
            ids.append(wallet.id)
            salts.append("")
            ciphertexts.append("")
            continue
        try:
            secret = sealed.open_key(old_shard, wallet)
        except CiphertextError:
            log.error("wallet_does_not_open", wallet_id=str(wallet.id), address=wallet.address)
            continue
        salt = os.urandom(sealed.SALT_BYTES)
        ids.append(wallet.id)
        salts.append(salt.hex())
        owner = sealed.owner_of(wallet)
        ciphertexts.append(sealed.seal(new_shard, owner, secret, salt=salt).hex())
    session.execute(
        _MOVE,
        {
            "data_key_id": new.id,
            "ids": uuids(ids),
            "salts": blobs(salts),
            "ciphertexts": blobs(ciphertexts),
        },
    )
    return len(ids)


def _destroy(merchant: MerchantId, key_id: DataKeyId, report: DataKeyRotation) -> None:
    """The data key's row is deleted, if nothing needs it; a foreign key holds that, too.

    Locks: the data key.
    """
    with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
        data_key = _locked(session, key_id)
        if data_key is None:
            return
        if _needed_by(session, key_id):
            report.kept += 1
            return
        session.delete(data_key)
    data_keys.forget(key_id)
    report.destroyed += 1
    log.info("data_key_destroyed", merchant=str(merchant), data_key_id=str(key_id))


def _needed_by(session: Session, key_id: DataKeyId) -> int:
    """Wallets under the data key, and replaced keys whose wallets are to come under it."""
    wallets = select(func.count()).select_from(Wallet).where(Wallet.data_key_id == key_id)
    keys = select(func.count()).select_from(DataKey).where(DataKey.replaced_by_id == key_id)
    return (session.scalar(wallets) or 0) + (session.scalar(keys) or 0)


def _locked(session: Session, key_id: DataKeyId) -> DataKey | None:
    return session.scalar(
        select(DataKey)
        .where(DataKey.id == key_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )

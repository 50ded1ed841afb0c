"""Inspection: does every key still open, and is it the key of its address?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session, undefer

from core.db import Role, unit_of_work
from core.types import DataKeyId, MerchantId
from wallets import data_keys, sealed
from wallets.errors import CiphertextError, KeyEncryptionKeyError
from wallets.models import DataKey, Wallet

_NAMED = 20


@dataclass
class Inspection:
    """What was looked at, and what is wrong.

    Args:
        data_keys_by_kek: how many data keys each version of each key-encryption key wraps.
        closed_data_keys: those that do not open; nothing under them could be looked at.
        unreadable_addresses: the first of them.
    """

    wallets: int = 0
    checked: int = 0
    sound: int = 0
    unreadable: int = 0
    data_keys: int = 0
    closed_data_keys: list[str] = field(default_factory=list)
    data_keys_by_kek: dict[str, int] = field(default_factory=dict)
    unreadable_addresses: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.unreadable and not self.closed_data_keys


def check_wallets(
    *, share_percent: int, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Inspection:
    """A random share of the wallets of every data key, at least one each, was opened.

    Each key was derived again to an address, which was compared with the stored one.

    Raises:
        KekUnavailableError: a key-encryption key does not answer.
    """
    found = Inspection()
    with unit_of_work(role=Role.SIGNER) as session:
        query = select(DataKey.merchant_id, DataKey.id).order_by(DataKey.id)
        todo = session.execute(query).all()
    for number, (merchant, key_id) in enumerate(todo, start=1):
        _check_data_key(merchant, key_id, share_percent, found)
        progress(number, len(todo))
    return found


def _check_data_key(
    merchant: MerchantId, key_id: DataKeyId, share_percent: int, found: Inspection
) -> None:
    with unit_of_work(merchant=merchant, role=Role.SIGNER) as session:
        data_key = session.get(DataKey, key_id, options=[undefer(DataKey.wrapped)])
        if data_key is None:
            return
        count, sample = _sample(session, key_id, share_percent)
    found.data_keys += 1
    by_kek = found.data_keys_by_kek
    by_kek[data_key.kek_id] = by_kek.get(data_key.kek_id, 0) + 1
    found.wallets += count
    try:
        shard = data_keys.shard_of(data_key)
    except KeyEncryptionKeyError:
        found.closed_data_keys.append(str(key_id))
        return
    for wallet in sample:
        _check_wallet(shard, wallet, found)


def _sample(
    session: Session, key_id: DataKeyId, share_percent: int
) -> tuple[int, Sequence[Wallet]]:
    # What was destroyed on purpose is not damaged.
    condition = (Wallet.data_key_id == key_id) & Wallet.destroyed_at.is_(None)
    count = session.scalar(select(func.count()).select_from(Wallet).where(condition)) or 0
    # Rounded up, so that a small share of a few is one.
    limit = -(-count * share_percent // 100)
    query = select(Wallet).where(condition).order_by(func.random()).limit(limit)
    query = query.options(undefer(Wallet.salt), undefer(Wallet.ciphertext))
    return count, session.scalars(query).all()


def _check_wallet(shard: sealed.Shard, wallet: Wallet, found: Inspection) -> None:
    found.checked += 1
    try:
        sealed.open_key(shard, wallet)
    except CiphertextError:
        found.unreadable += 1
        if len(found.unreadable_addresses) < _NAMED:
            found.unreadable_addresses.append(wallet.address)
    else:
        found.sound += 1

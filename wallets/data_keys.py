"""Data keys: made for a shard of wallets, opened by the key-encryption key, kept for minutes.

A key-encryption key that does not answer stops new openings; what is already open may be used
until it is forgotten.
"""

from datetime import datetime
from hmac import compare_digest
from threading import Lock
from typing import Any

from cachetools import TTLCache, cached
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db import merchant_of
from core.ids import new_id
from core.types import DataKeyId
from wallets.errors import KekUnavailableError
from wallets.kek import DekContext, WrappedDek
from wallets.keyring import key_provider, provider_of
from wallets.models import DataKey
from wallets.sealed import Shard

WALLETS_A_DATA_KEY = 10_000
_CACHED_KEYS = 64
_CACHED_SECONDS = 300
_cache: TTLCache[Any, bytes] = TTLCache(maxsize=_CACHED_KEYS, ttl=_CACHED_SECONDS)


def with_room(session: Session, *, at: datetime) -> tuple[DataKey, int]:
    """A data key that seals more wallets, and how many; a new one when the newest is full.

    Locks: the newest data key of the merchant.
    """
    newest = session.scalar(
        select(DataKey)
        .order_by(DataKey.id.desc())
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if newest is None or newest.wallet_count >= WALLETS_A_DATA_KEY:
        newest = _new(session, at=at)
    return newest, WALLETS_A_DATA_KEY - newest.wallet_count


def shard_of(data_key: DataKey) -> Shard:
    """The data key, open.

    Raises:
        KekUnavailableError: the key-encryption key does not answer, and nobody remembers the key.
        KeyEncryptionKeyError: wrapped under another key or context, or changed.
    """
    return Shard(data_key.merchant_id, data_key.id, _unwrap(data_key))


def _new(session: Session, *, at: datetime) -> DataKey:
    context = DekContext(merchant_of(session), DataKeyId(new_id()))
    wrapped = _generate(context)
    data_key = DataKey(
        id=context.data_key_id,
        kek_id=wrapped.kek_id,
        wrapped=wrapped.blob,
        wallet_count=0,
        created_at=at,
    )
    session.add(data_key)
    session.flush()
    session.refresh(data_key)
    return data_key


def _generate(context: DekContext) -> WrappedDek:
    """A wrapped data key that opens: whatever is sealed under it depends on that."""
    provider = key_provider()
    dek, wrapped = provider.generate_dek(context)
    if not compare_digest(provider.unwrap(wrapped.blob, context), dek):
        raise KekUnavailableError(provider.id, "a new data key does not open again")
    return wrapped


def _context(data_key: DataKey) -> DekContext:
    return DekContext(data_key.merchant_id, data_key.id)


@cached(_cache, key=lambda data_key: (data_key.merchant_id, data_key.id), lock=Lock())
def _unwrap(data_key: DataKey) -> bytes:
    return provider_of(data_key.kek_id).unwrap(data_key.wrapped, _context(data_key))

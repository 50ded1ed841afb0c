"""Data keys: made for a shard of wallets, opened by the key-encryption key, kept for minutes.

A key-encryption key that does not answer stops new openings; what is already open may be used
until it is forgotten.
"""

import hmac
from datetime import datetime
from threading import Lock
from typing import Any

from cachetools import TTLCache, cached
from sqlalchemy.orm import Session, undefer

from core.db import merchant_of
from core.ids import new_id
from core.types import DataKeyId, MerchantId
from wallets.errors import DataKeyNotFoundError, KekUnavailableError
from wallets.kek import DekContext, WrappedDek
from wallets.keyring import key_provider, provider_of
from wallets.models import DataKey
from wallets.sealed import Shard

_CACHED_KEYS = 64
_CACHED_SECONDS = 300
_FINGERPRINT = b"data-key/v1 fingerprint"
_FINGERPRINT_BYTES = 16
_cache: TTLCache[Any, bytes] = TTLCache(maxsize=_CACHED_KEYS, ttl=_CACHED_SECONDS)
_lock = Lock()


def generate(merchant: MerchantId, *, at: datetime, wallet_count: int = 0) -> DataKey:
    """A data key that is not stored yet; this process remembers it open for a while.

    It was opened once: whatever is sealed under it will depend on that.

    Raises:
        KekUnavailableError: the key-encryption key does not answer, or answers nonsense.
        KeyEncryptionKeyError: the key-encryption key refuses.
    """
    provider, context = key_provider(), DekContext(merchant, DataKeyId(new_id()))
    dek, wrapped = provider.generate_dek(context)
    if not hmac.compare_digest(provider.unwrap(wrapped.blob, context), dek):
        raise KekUnavailableError(provider.id, "a new data key does not open again")
    with _lock:
        _cache[merchant, context.data_key_id] = dek
    return DataKey(
        id=context.data_key_id,
        merchant_id=merchant,
        kek_id=wrapped.kek_id,
        wrapped=wrapped.blob,
        fingerprint=fingerprint_of(dek),
        wallet_count=wallet_count,
        created_at=at,
    )


def find_shard(session: Session, data_key_id: DataKeyId) -> Shard:
    """The merchant's data key of this id, open.

    One that was just generated is not stored yet, and remembered.

    Raises:
        DataKeyNotFoundError: no such key, or one that was forgotten before it was stored.
        KekUnavailableError: the key-encryption key does not answer, and nobody remembers the key.
        KeyEncryptionKeyError: wrapped under another key or context, or changed.
    """
    merchant = merchant_of(session)
    with _lock:
        remembered = _cache.get((merchant, data_key_id))
    if remembered is not None:
        return Shard(merchant, data_key_id, remembered)
    data_key = session.get(DataKey, data_key_id, options=[undefer(DataKey.wrapped)])
    if data_key is None:
        raise DataKeyNotFoundError(str(data_key_id))
    return shard_of(data_key)


def shard_of(data_key: DataKey) -> Shard:
    """The data key, open.

    Raises:
        KekUnavailableError: the key-encryption key does not answer, and nobody remembers the key.
        KeyEncryptionKeyError: wrapped under another key or context, or changed.
    """
    return Shard(data_key.merchant_id, data_key.id, _unwrap(data_key))


def wrap_anew(data_key: DataKey) -> tuple[WrappedDek, bytes]:
    """The same data key under the newest version of the current key, and its fingerprint.

    Raises:
        KekUnavailableError: no answer, or one that would lose the data key.
        KeyEncryptionKeyError: no key that the settings name opens it.
    """
    context, old, new = _context(data_key), provider_of(data_key.kek_id), key_provider()
    if old is new:
        wrapped = new.rewrap(data_key.wrapped, context)
    else:
        wrapped = new.wrap(old.unwrap(data_key.wrapped, context), context)
    expected = data_key.fingerprint or fingerprint_of(old.unwrap(data_key.wrapped, context))
    found = fingerprint_of(new.unwrap(wrapped.blob, context))
    if not hmac.compare_digest(found, expected):
        raise KekUnavailableError(new.id, "a data key wrapped anew does not open as the same")
    return wrapped, found


def fingerprint_of(dek: bytes) -> bytes:
    """What recognises an open data key and tells nothing about it."""
    return hmac.digest(dek, _FINGERPRINT, "sha256")[:_FINGERPRINT_BYTES]


def _context(data_key: DataKey) -> DekContext:
    return DekContext(data_key.merchant_id, data_key.id)


# By id alone: wrapping a data key anew does not change it, so nobody has to open it again.
@cached(_cache, key=lambda data_key: (data_key.merchant_id, data_key.id), lock=_lock)
def _unwrap(data_key: DataKey) -> bytes:
    provider = provider_of(data_key.kek_id)
    dek = provider.unwrap(data_key.wrapped, _context(data_key))
    known = data_key.fingerprint
    if known is not None and not hmac.compare_digest(fingerprint_of(dek), known):
        raise KekUnavailableError(provider.id, "it opened another data key than was wrapped")
    return dek


def forget(data_key_id: DataKeyId | None = None) -> None:
    """This process opens the data key anew at its next need, or every one."""
    with _lock:
        for key in list(_cache):
            if data_key_id is None or key[1] == data_key_id:
                _cache.pop(key, None)


def forget_expired() -> None:
    """What may no longer be used is not kept either."""
    with _lock:
        _cache.expire()

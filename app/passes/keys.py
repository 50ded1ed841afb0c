"""A merchant's signing keys: one signs, and its neighbours are known a week before and after.

Whoever keeps the public keys, a scanner without connection for instance, therefore knows a key
before the first code it signs, and still has it when the last of them arrives.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.passes.errors import SigningKeyGoneError
from app.passes.models import SigningKey
from app.passes.tokens import TAG_LENGTH, merchant_tag, to_base64url
from core.db import beyond_policies, merchant_of
from core.secrets import seal, unseal
from core.types import MerchantId

PERIOD = timedelta(days=90)
OVERLAP = timedelta(days=7)
_GRACE = timedelta(minutes=5)
"""Whoever read a key just before its successor took over may still sign with it."""
_PURPOSE = "signing-key"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def current(session: Session, *, at: datetime) -> SigningKey:
    """The key that signs now; the merchant's first one is made when it is asked for."""
    found = _signing(session, at=at)
    if found is not None:
        return found
    _make(session, ordinal=1, signs_from=at)
    return session.scalars(select(SigningKey).where(SigningKey.ordinal == 1)).one()


def private_part(key: SigningKey) -> bytes:
    """The raw private key.

    Raises:
        SigningKeyGoneError: another one signs since.
        SealBrokenError: the row was tampered with, or the installation's secret is another one.
    """
    if key.sealed is None:
        raise SigningKeyGoneError(key.id)
    return unseal(_PURPOSE, key.sealed, bound_to=key.id.encode())


def rotate(session: Session, *, at: datetime) -> None:
    """The next key is there a week before it signs, and nothing is left of those that are over.

    Locks: the newest key.
    """
    newest = session.scalar(
        select(SigningKey).order_by(SigningKey.ordinal.desc()).limit(1).with_for_update()
    )
    if newest is not None and newest.signs_from + PERIOD - OVERLAP <= at:
        # After a long standstill the next one still is known a week before it signs.
        newest.ends_at = max(newest.signs_from + PERIOD, at + OVERLAP)
        _make(session, ordinal=newest.ordinal + 1, signs_from=newest.ends_at)
    session.flush()
    is_over = SigningKey.ends_at <= at - _GRACE
    session.execute(update(SigningKey).where(is_over).values(sealed=None))
    session.execute(delete(SigningKey).where(SigningKey.ends_at <= at - OVERLAP))


def find(session: Session, key_id: str) -> tuple[MerchantId, bytes] | None:
    """Whose key this is, and its public part; None for a key nobody has.

    A code names its key before anybody knows the merchant, so this looks beyond the policies.
    """
    with beyond_policies(session):
        row = session.execute(
            select(SigningKey.merchant_id, SigningKey.public_key).where(SigningKey.id == key_id)
        ).one_or_none()
    return None if row is None else (row[0], row[1])


def published(session: Session) -> Sequence[SigningKey]:
    """Every key whose codes are accepted, and the next one; oldest first."""
    return session.scalars(select(SigningKey).order_by(SigningKey.ordinal)).all()


def as_document(merchant_id: MerchantId, keys: Sequence[SigningKey]) -> dict[str, Any]:
    """What `/.well-known/pass-keys.json` says.

    References:
        RFC 8037 (Ed25519 keys as JWK), RFC 7517 §5 (sets of them).
    """
    return {
        "merchant": merchant_tag(merchant_id),
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "use": "sig",
                "kid": key.id,
                "x": to_base64url(key.public_key),
                "signsFrom": key.signs_from.isoformat(timespec="seconds"),
                "signsUntil": key.ends_at.isoformat(timespec="seconds") if key.ends_at else None,
            }
            for key in keys
        ],
    }


def _signing(session: Session, *, at: datetime) -> SigningKey | None:
    return session.scalar(
        select(SigningKey)
        .where(SigningKey.signs_from <= at)
        .order_by(SigningKey.ordinal.desc())
        .limit(1)
    )


def _make(session: Session, *, ordinal: int, signs_from: datetime) -> None:
    """The key of this ordinal exists; of several that are made at once one stays."""
    private = Ed25519PrivateKey.generate()
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(TAG_LENGTH))
    session.execute(
        insert(SigningKey)
        .values(
            id=key_id,
            merchant_id=merchant_of(session),
            ordinal=ordinal,
            public_key=private.public_key().public_bytes_raw(),
            sealed=seal(_PURPOSE, private.private_bytes_raw(), bound_to=key_id.encode()),
            signs_from=signs_from,
        )
        .on_conflict_do_nothing(index_elements=["merchant_id", "ordinal"])
    )

"""Proof of work: a browser shows that it spent a moment, and nobody else is asked.

A challenge is a random value that we signed for one network. It is solved by a number with which
its hash begins with eighteen zero bits: about a quarter of a million hashes, one second of a phone.
A solution is used once.
"""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import ColumnElement, delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.claims.models import ClaimProof
from core.db import change
from core.secrets import fingerprint, same

BITS = 18
LIFETIME = timedelta(minutes=10)
_NONCE_BYTES = 8
_LONGEST = 200


def new_challenge(network: bytes, *, at: datetime) -> str:
    """A challenge for this network: `<nonce>.<expires>.<signature>`."""
    nonce = secrets.token_hex(_NONCE_BYTES)
    expires = int((at + LIFETIME).timestamp())
    return f"{nonce}.{expires}.{_signature(network, nonce, str(expires))}"


def is_proven(session: Session, network: bytes, answer: str, *, at: datetime) -> bool:
    """Whether the answer solves a challenge of ours that was not used yet; now it is used.

    Args:
        answer: the challenge, a colon, and the number that was found.
    """
    if len(answer) > _LONGEST:
        return False
    challenge, _, number = answer.partition(":")
    nonce, expires, signature = (*challenge.split("."), "", "", "")[:3]
    expected = _signature(network, nonce, expires)
    if not same(signature.encode(), expected.encode()) or int(expires) <= at.timestamp():
        return False
    return is_solution(nonce, number) and _use(session, nonce, at=at)


def is_solution(nonce: str, number: str, *, bits: int = BITS) -> bool:
    """Whether SHA-256 of `<nonce>:<number>` begins with so many zero bits."""
    digest = sha256(f"{nonce}:{number}".encode()).digest()
    return int.from_bytes(digest) >> (8 * len(digest) - bits) == 0


def _use(session: Session, nonce: str, *, at: datetime) -> bool:
    row = insert(ClaimProof).values(nonce=nonce, used_at=at).on_conflict_do_nothing()
    return change(session, row) == 1


def _signature(network: bytes, nonce: str, expires: str) -> str:
    return fingerprint("claim-challenge", f"{network.hex()}.{nonce}.{expires}").hex()


def is_old(at: datetime) -> ColumnElement[bool]:
    """Which solutions are of challenges that are void by now."""
    return ClaimProof.used_at < at - LIFETIME


def forget_old(session: Session, *, at: datetime) -> int:
    """Solutions nobody could use again anyway are deleted.

    Returns:
        How many there were.
    """
    return change(session, delete(ClaimProof).where(is_old(at)))

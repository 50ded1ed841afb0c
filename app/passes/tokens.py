"""Rotating codes: what one says, how it is written, and whether its signature is genuine.

No table is known here: whoever has the public keys can check a code as this module does.

References:
    RFC 8785 (canonical JSON), RFC 4648 §5 (base64url, without padding), RFC 8032 (Ed25519).
"""

import base64
import json
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.ids import UnknownIdentifierError, decode_id, encode_id
from core.types import HoldingId, MerchantId
from minting.numbers import pass_number, split_pass_number

VERSION = 1
STEP = timedelta(seconds=30)
"""A new code is shown as often."""
EARLY = timedelta(seconds=30)
LIFE = timedelta(seconds=90)
TAG_LENGTH = 8
NONCE_BYTES = 8
_SIGNATURE_BYTES = 64
_LONGEST = 600
_LAST_SECOND = 4_102_444_799
"""Of the year 2099: far from where a calendar ends."""
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_TAG = re.compile(r"[0-9a-hjkmnp-tv-z]{8}")


class Reason(StrEnum):
    """Why a code is not valid, in the order in which it is found out."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    OWNER_MISMATCH = "owner_mismatch"


class MalformedTokenError(Exception):
    """The text is no code, or not written in the one way a code is written."""


@dataclass(frozen=True)
class Claims:
    """What a code says: whose it is, of which pass or holding, and when it was made.

    Args:
        merchant: the merchant's tag.
        issued_at: seconds since 1970.
        nonce: tells codes of the same second apart.
        number: of the pass, as people see it; or
        holding: the perk in a member's hands.
    """

    merchant: str
    key_id: str
    issued_at: int
    nonce: bytes
    number: str | None = None
    holding: HoldingId | None = None

    @property
    def made_at(self) -> datetime:
        """When it was made for, to the second."""
        return datetime.fromtimestamp(self.issued_at, UTC)

    @property
    def starts_at(self) -> datetime:
        """From here on the code is valid."""
        return self.made_at - EARLY

    @property
    def expires_at(self) -> datetime:
        """Up to here, inclusive."""
        return self.made_at + LIFE

    def for_holding(self, holding: HoldingId) -> "Claims":
        """As a code of this perk: the code of a pass opens each of its holder's perks once."""
        if self.holding == holding:
            return self
        nonce = sha256(self.nonce + holding.bytes).digest()[:NONCE_BYTES]
        return replace(self, nonce=nonce, number=None, holding=holding)

    def out_of_time(self, at: datetime) -> Reason | None:
        """Why the code is not valid at this moment, if it is not."""
        if at > self.expires_at:
            return Reason.EXPIRED
        return Reason.NOT_YET_VALID if at < self.starts_at else None


@dataclass(frozen=True)
class SignedToken:
    """A code that is written as it must be; its signature has not been checked."""

    claims: Claims
    payload: bytes
    signature: bytes

    def is_signed_by(self, public_key: bytes) -> bool:
        """Whether the owner of this raw Ed25519 key signed exactly this payload."""
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(self.signature, self.payload)
        except InvalidSignature:
            return False
        return True


def merchant_tag(merchant_id: MerchantId) -> str:
    """The short id of a merchant: the last eight characters of its identifier, all random."""
    return encode_id("mer", merchant_id)[-TAG_LENGTH:]


def new_nonce() -> bytes:
    """Eight random bytes."""
    return secrets.token_bytes(NONCE_BYTES)


def sign(claims: Claims, private_key: bytes) -> str:
    """The code of these claims, under a raw Ed25519 key."""
    payload = payload_of(claims)
    signature = Ed25519PrivateKey.from_private_bytes(private_key).sign(payload)
    return f"{to_base64url(payload)}.{to_base64url(signature)}"


def payload_of(claims: Claims) -> bytes:
    """The one way to write these claims: keys sorted, nothing between them."""
    subject = {"n": claims.number}
    if claims.holding is not None:
        subject = {"h": encode_id("hld", claims.holding)}
    fields = {
        "j": to_base64url(claims.nonce),
        "k": claims.key_id,
        "m": claims.merchant,
        "t": claims.issued_at,
        "v": VERSION,
        **subject,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def parse(text: str) -> SignedToken:
    """The code that the text is.

    Raises:
        MalformedTokenError: it is none, or another spelling of one.
    """
    head, dot, tail = text.partition(".")
    if not dot or len(text) > _LONGEST:
        raise MalformedTokenError
    payload, signature = from_base64url(head), from_base64url(tail)
    claims = _read(payload)
    if len(signature) != _SIGNATURE_BYTES or payload_of(claims) != payload:
        raise MalformedTokenError
    return SignedToken(claims, payload, signature)


def _read(payload: bytes) -> Claims:
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        raise MalformedTokenError from None
    if not isinstance(fields, dict) or type(fields.get("t")) is not int:
        raise MalformedTokenError
    if not 0 <= fields["t"] <= _LAST_SECOND:
        raise MalformedTokenError
    return Claims(
        merchant=_tag(fields.get("m")),
        key_id=_tag(fields.get("k")),
        issued_at=fields["t"],
        nonce=_nonce(fields.get("j")),
        number=_number(fields["n"]) if "n" in fields else None,
        holding=_holding(fields.get("h")) if "n" not in fields else None,
    )


def _tag(value: Any) -> str:
    if not isinstance(value, str) or not _TAG.fullmatch(value):
        raise MalformedTokenError
    return value


def _nonce(value: Any) -> bytes:
    nonce = from_base64url(value) if isinstance(value, str) else b""
    if len(nonce) != NONCE_BYTES:
        raise MalformedTokenError
    return nonce


def _number(value: Any) -> str:
    text = value if isinstance(value, str) and value.isascii() else ""
    place = split_pass_number(text)
    if place is None or pass_number(*place) != text:
        raise MalformedTokenError
    return text


def _holding(value: Any) -> HoldingId:
    try:
        return HoldingId(decode_id("hld", value if isinstance(value, str) else ""))
    except UnknownIdentifierError:
        raise MalformedTokenError from None


def to_base64url(data: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The bytes; each has one spelling.

    Raises:
        MalformedTokenError: padding, another alphabet, or stray bits at the end.
    """
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise MalformedTokenError
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(data) != text:
        raise MalformedTokenError
    return data

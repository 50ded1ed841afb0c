"""Addresses people are sent to: placeholders filled in, and signed for the site behind them."""

import hmac
from collections.abc import Mapping
from hashlib import sha256

from app.perks.models import Holding, Perk
from app.perks.terms import fill, placeholders
from app.users.models import User
from core import secrets
from core.ids import encode_id


def key_of(perk: Perk) -> str:
    """The key under which the perk's links are signed, for the site that checks them."""
    return secrets.fingerprint("perk-link", str(perk.id)).hex()


def sign(perk: Perk, url: str) -> str:
    """The address with its signature as the last parameter, if the perk wants one.

    References:
        RFC 2104 (HMAC), with SHA-256, over everything before the parameter.
    """
    name = perk.terms.signature
    if not name:
        return url
    digest = hmac.new(key_of(perk).encode(), url.encode(), sha256).hexdigest()
    return f"{url}{'&' if '?' in url else '?'}{name}={digest}"


def values_for(user: User, holding: Holding, *, code: str | None) -> Mapping[str, str]:
    """What the placeholders stand for."""
    return {
        "code": code or "",
        "userId": encode_id("usr", user.id),
        "holdingId": encode_id("hld", holding.id),
        "email_hash": sha256(user.email_key.encode()).hexdigest(),
        "lang": user.lang or "en",
    }


def address_for(perk: Perk, url: str, user: User, holding: Holding, *, code: str | None) -> str:
    """Where this member is sent."""
    return sign(perk, fill(url, values_for(user, holding, code=code)))


def needs_code(url: str) -> bool:
    """Whether the address says the holding's code."""
    return "code" in placeholders(url)

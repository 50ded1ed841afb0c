"""Passes with numbers, and codes of any moment."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.passes import keys, tokens
from app.passes.tokens import Claims, merchant_tag
from core.db import merchant_of
from minting.models import MembershipPass, PassState
from tests.factories.brand import make_members

NUMBER = "12-0345"


def make_pass(session: Session, email: str = "ada@example.com", **changes: Any) -> MembershipPass:
    """The pass of a new member: number 12-0345, confirmed on chain."""
    [user] = make_members(session, email)
    membership = session.scalars(select(MembershipPass).where(MembershipPass.user_id == user)).one()
    values = {"state": PassState.ACTIVE, "batch_number": 12, "index": 345, **changes}
    for name, value in values.items():
        setattr(membership, name, value)
    session.flush()
    return membership


def make_code(session: Session, at: datetime, *, number: str = NUMBER, **changes: Any) -> str:
    """A code of the merchant's key, made for this moment."""
    key = keys.current(session, at=at)
    values: dict[str, Any] = {
        "merchant": merchant_tag(merchant_of(session)),
        "key_id": key.id,
        "issued_at": int(at.timestamp()),
        "nonce": tokens.new_nonce(),
        "number": None if "holding" in changes else number,
        **changes,
    }
    return tokens.sign(Claims(**values), keys.private_part(key))

"""The codes a member shows: one for now, and those of the next ten minutes."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.passes import keys, tokens
from app.passes.tokens import Claims, merchant_tag
from core.db import merchant_of
from core.settings import core_settings
from core.types import HoldingId
from minting.models import MembershipPass, PassState

AHEAD = 30
"""Codes a page keeps for the time without connection. It asks for new ones every five minutes, so
that those of ten minutes are always there."""
_SHOWN = frozenset({PassState.MINTING, PassState.ACTIVE, PassState.REISSUING})


@dataclass(frozen=True)
class Code:
    """What is shown from `starts_at` (seconds since 1970) until the next one."""

    starts_at: int
    address: str


def of_pass(
    session: Session, membership: MembershipPass, *, ahead: int = 0, at: datetime
) -> list[Code]:
    """The code of a pass for now and so many after it; none while it is not to be shown."""
    if membership.number is None or membership.state not in _SHOWN:
        return []
    return _codes(session, ahead=ahead, at=at, number=membership.number)


def of_holding(session: Session, holding: HoldingId, *, ahead: int = 0, at: datetime) -> list[Code]:
    """The code of a perk in a member's hands for now, and so many after it."""
    return _codes(session, ahead=ahead, at=at, holding=holding)


def _codes(
    session: Session,
    *,
    ahead: int,
    at: datetime,
    number: str | None = None,
    holding: HoldingId | None = None,
) -> list[Code]:
    key = keys.current(session, at=at)
    private, tag = keys.private_part(key), merchant_tag(merchant_of(session))
    now, step = int(at.timestamp()), int(tokens.STEP.total_seconds())
    return [
        Code(
            starts_at=moment,
            address=address_of(
                tokens.sign(
                    Claims(tag, key.id, moment, tokens.new_nonce(), number, holding), private
                )
            ),
        )
        for moment in range(now, now + (ahead + 1) * step, step)
    ]


def address_of(token: str) -> str:
    """Where a code leads whoever scans it with a phone's camera."""
    return f"{core_settings().public_url}/v/{token}"

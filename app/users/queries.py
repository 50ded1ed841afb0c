"""Reads of members for screens."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from app.users.fields import fold
from app.users.models import User
from core.events import Event
from core.types import UserId
from minting.models import (
    MembershipPass,
    PassContract,
    PassState,
    Token,
)
from minting.numbers import split_pass_number
from wallets.models import Wallet

_LAST = "\U0010ffff"


def users(search: str = "") -> Select[User]:
    """Members, all or those that match.

    Args:
        search: the beginning of an address, a name or a reference id; a wallet address; or a
            pass number such as 0-0042.
    """
    text = search.strip()
    query: Select[User] = select(User)
    return query.where(_matches(text)) if text else query


def passes_of(session: Session, user_ids: Sequence[UserId]) -> dict[UserId, MembershipPass]:
    """The passes of these members, by member."""
    found = session.scalars(select(MembershipPass).where(MembershipPass.user_id.in_(user_ids)))
    return {row.user_id: row for row in found}


def _matches(search: str) -> ColumnElement[bool]:
    folded = fold(search)
    choices = [
        _begins(User.email_key, search.lower()),
        _begins(User.name_key, folded),
        _begins(User.last_key, folded),
        _begins(User.reference_id, search),
    ]
    if search.lower().startswith("0x"):
        wallets = select(Wallet.owner_id).where(Wallet.address == _address(search))
        choices.append(User.id.in_(wallets))
    place = split_pass_number(search)
    if place is not None:
        holders = select(MembershipPass.user_id).where(
            MembershipPass.batch_number == place[0], MembershipPass.index == place[1]
        )
        choices.append(User.id.in_(holders))
    return or_(*choices)


def _begins(column: InstrumentedAttribute[Any], text: str) -> ColumnElement[bool]:
    """A prefix match that uses an index below a policy, which LIKE does not."""
    return and_(column >= text, column < text + _LAST)


def _address(text: str) -> str:
    digits = text[2:].lower()
    is_address = len(digits) == 40 and all(c in "0123456789abcdef" for c in digits)
    return text if is_address else "0x" + "00" * 20


def count_users(session: Session) -> int:
    """How many members the merchant has."""
    return session.scalar(select(func.count()).select_from(User)) or 0


def find_pass(session: Session, user_id: UserId) -> MembershipPass | None:
    """The member's pass, or None."""
    return session.scalar(select(MembershipPass).where(MembershipPass.user_id == user_id))


def count_passes(session: Session) -> dict[PassState, int]:
    """How many passes are in each state."""
    rows = session.execute(
        select(MembershipPass.state, func.count()).group_by(MembershipPass.state)
    )
    return dict(rows.all())


def find_pass_contract(session: Session) -> PassContract | None:
    """The merchant's pass contract, or None before it is defined."""
    return session.scalar(select(PassContract))


def tokens_of(session: Session, user_id: UserId) -> Sequence[Token]:
    """The member's collectibles with their assets, newest first."""
    return session.scalars(
        select(Token)
        .where(Token.user_id == user_id)
        .order_by(Token.id.desc())
        .options(joinedload(Token.asset))
    ).all()


def events_of(session: Session, user_id: UserId, *, limit: int = 50) -> Sequence[Event]:
    """The newest facts about the member."""
    return session.scalars(
        select(Event)
        .where(Event.user_id == user_id)
        .order_by(Event.occurred_at.desc(), Event.id.desc())
        .limit(limit)
    ).all()

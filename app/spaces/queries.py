"""Reads for the member's own pages."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from app.spaces.errors import CollectibleNotFoundError
from app.users.queries import identities
from core.types import TokenRowId, UserId
from minting.models import MembershipPass, PassContract, Token


def find_pass(session: Session, user_id: UserId) -> MembershipPass | None:
    """The member's pass, or None."""
    return session.scalar(select(MembershipPass).where(MembershipPass.user_id == user_id))


def find_pass_contract(session: Session) -> PassContract | None:
    """The brand's pass contract, or None before it is defined."""
    return session.scalar(select(PassContract))


def list_collectibles(session: Session, user_id: UserId) -> Sequence[Token]:
    """The member's collectibles with their assets, newest first."""
    return session.scalars(
        select(Token)
        .where(Token.user_id.in_(identities(session, user_id)))
        .order_by(Token.id.desc())
        .options(joinedload(Token.asset))
    ).all()


def get_collectible(session: Session, user_id: UserId, token: TokenRowId) -> Token:
    """One of the member's collectibles with its asset.

    Raises:
        CollectibleNotFoundError: unknown, or somebody else's.
    """
    found = session.scalar(
        select(Token)
        .where(Token.id == token, Token.user_id.in_(identities(session, user_id)))
        .options(joinedload(Token.asset))
    )
    if found is None:
        raise CollectibleNotFoundError
    return found

"""Reads for the member's own pages."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from app.draws.models import Box, Ticket
from app.draws.queries import list_boxes, list_tickets
from app.spaces.errors import CollectibleNotFoundError
from app.users.queries import identities
from core.ids import encode_id
from core.types import TokenRowId, UserId
from minting.models import MembershipPass, PassContract, Token, TokenState

_SHOWN = 50


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
        .where(Token.user_id.in_(identities(session, user_id)), Token.state != TokenState.BURNED)
        .order_by(Token.id.desc())
        .options(joinedload(Token.asset))
    ).all()


def list_entries(session: Session, user_id: UserId) -> list[tuple[Box | Ticket, str]]:
    """The member's boxes and tickets, the sealed ones first, each with the address of its page."""
    mine = identities(session, user_id)
    boxes = list_boxes(session, mine, limit=_SHOWN)
    tickets = list_tickets(session, mine, limit=_SHOWN)
    return [
        *((it, f"/space/boxes/{encode_id('box', it.id)}") for it in boxes),
        *((it, f"/space/boxes/{encode_id('tkt', it.id)}") for it in tickets),
    ]


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

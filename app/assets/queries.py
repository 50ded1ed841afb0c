"""Reads of digital assets for screens."""

from collections.abc import Sequence

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.users.models import User
from core.types import AssetId
from minting.models import DigitalAsset, MembershipPass, Token, TokenState


def assets() -> Select[DigitalAsset]:
    """All digital assets of the merchant."""
    return select(DigitalAsset)


def tokens(asset_id: AssetId) -> Select[Token]:
    """All tokens of an asset."""
    return select(Token).where(Token.asset_id == asset_id)


def owners_of(
    session: Session, rows: Sequence[Token]
) -> dict[object, tuple[User, MembershipPass | None]]:
    """The member and the pass behind each of these tokens that has one, by member id."""
    found = session.execute(
        select(User, MembershipPass)
        .outerjoin(MembershipPass, MembershipPass.user_id == User.id)
        .where(User.id.in_([row.user_id for row in rows]))
    )
    return {user.id: (user, membership) for user, membership in found}


def owned_counts(session: Session, asset_ids: Sequence[AssetId]) -> dict[AssetId, int]:
    """How many tokens of each asset are on the chain for good."""
    rows = session.execute(
        select(Token.asset_id, func.count())
        .where(Token.asset_id.in_(asset_ids), Token.state == TokenState.OWNED)
        .group_by(Token.asset_id)
    )
    return dict(rows.all())

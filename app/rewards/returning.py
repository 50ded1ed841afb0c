"""What a source gave and nothing came of is taken back, and its line can give it again."""

from datetime import datetime

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from app.perks import returning
from app.perks import service as perks
from app.perks.models import Holding
from app.rewards.models import Grant, GrantState, RewardLine
from app.rewards.service import Source
from minting.models import Token, TokenState
from minting.withdrawal import withdraw_queued

_GIVEN = (
    *(GrantState.PENDING, GrantState.DELIVERING, GrantState.DELIVERED),
    GrantState.REVOKED,  # its stock has not returned, which that of a cancelled one has
)


def is_returnable() -> ColumnElement[bool]:
    """True of grants of a perk nobody used, or of an asset that is in no plan for the chain yet."""
    of_perk = exists().where(Holding.grant_id == Grant.id, returning.is_returnable())
    of_asset = exists().where(Token.grant_id == Grant.id, Token.state == TokenState.QUEUED)
    return Grant.state.in_(_GIVEN) & (of_perk | of_asset)


def take_back(
    session: Session, line: RewardLine, *, source: Source, reason: str, at: datetime
) -> bool:
    """The member has it no more, and the line, which is reserved, can give it to somebody else.

    The grant is cancelled: its stock has returned.

    Returns:
        Whether it was taken back. What was used, sent, or is on its way to the chain stays.

    Raises:
        PerkExhaustedError: it had a code, which cannot be given again; roll back.

    Locks: the line, the perk or the asset, the holding.
    """
    session.refresh(line, with_for_update=True)
    is_its = (
        (Grant.source_type == source.type)
        & (Grant.source_id == source.id)
        & (Grant.reward_line_id == line.id)
    )
    taken = _take_token if line.perk_id is None else _take_holding
    grant = taken(session, line, is_its, reason, at)
    if grant is None:
        return False
    grant.state, grant.reason = GrantState.CANCELLED, reason
    line.granted_count -= 1
    session.flush()
    return True


def _take_holding(
    session: Session, line: RewardLine, is_its: ColumnElement[bool], reason: str, at: datetime
) -> Grant | None:
    assert line.perk_id is not None  # as the caller saw
    perk = perks.lock(session, line.perk_id)
    held = select(Holding).join(Grant, Grant.id == Holding.grant_id).where(is_its)
    locked = held.with_for_update(of=Holding).execution_options(populate_existing=True)
    holding = session.scalar(locked)
    grant = session.scalar(select(Grant).where(is_its, is_returnable()))
    if holding is None or grant is None:
        return None
    returning.take_back(session, perk, holding, reason=reason, at=at)
    line.delivered_count -= 1
    return grant


def _take_token(
    session: Session, line: RewardLine, is_its: ColumnElement[bool], _reason: str, _at: datetime
) -> Grant | None:
    assert line.asset_id is not None  # one of both
    grant = session.scalar(select(Grant).where(is_its, is_returnable()))
    if grant is None or not withdraw_queued(session, line.asset_id, grant.id):
        return None
    return grant

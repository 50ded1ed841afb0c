"""Reads of grants for screens."""

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.rewards.models import Grant
from app.users.models import User
from core.types import RewardLineId, UserId
from minting.models import ContractState, DigitalAsset


def grants_of(line_id: RewardLineId) -> Select[Grant]:
    """Everything a line gave or refused."""
    return select(Grant).where(Grant.reward_line_id == line_id)


def members_of(session: Session, grants: Sequence[Grant]) -> dict[UserId, User]:
    """The members among these recipients, by id."""
    ids = [grant.user_id for grant in grants if grant.user_id is not None]
    return {user.id: user for user in session.scalars(select(User).where(User.id.in_(ids)))}


def list_live_assets(session: Session) -> Sequence[DigitalAsset]:
    """Digital assets that can be given, newest first."""
    live = select(DigitalAsset).where(DigitalAsset.state == ContractState.LIVE)
    return session.scalars(live.order_by(DigitalAsset.id.desc())).all()

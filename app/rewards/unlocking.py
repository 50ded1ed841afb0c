"""What whoever owns a digital asset receives besides: up to ten perks, each once for a member.

Nothing is lost and nothing is doubled, because the grants are the record: a member who owns a token
and has no grant of the unlock is due. The asset's deliveries and each new unlock say that somebody
may be; a sweep then gives what there is, and what runs out is given when there is more.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import Select, exists, func, select, update
from sqlalchemy.orm import Session

from app.perks import service as perks
from app.perks.errors import CodePoolEmptyError
from app.perks.models import Perk, PerkState
from app.rewards import service
from app.rewards.errors import UnlockInvalidError
from app.rewards.lines import Choice, make_line
from app.rewards.models import Grant, GrantSource, RewardLine, Unlock
from app.rewards.service import Source
from app.users.models import User, UserState
from core.types import AssetId, PerkId, UserId
from minting.models import DigitalAsset, Token, TokenState

log = structlog.get_logger(__name__)

MOST = 10
AT_ONCE = 5_000


def add(session: Session, asset: DigitalAsset, perk_id: PerkId, *, at: datetime) -> Unlock:
    """Whoever owns the asset receives the perk, who owns it already too; repeating changes nothing.

    Raises:
        UnlockInvalidError: the asset has ten already.
        RewardNotLiveError: the perk is not published.
        PerkNotFoundError: this merchant has none with the id.

    Locks: the asset.
    """
    session.refresh(asset, with_for_update=True)
    known = session.get(Unlock, (asset.id, perk_id))
    if known is None:
        if len(list_of(session, asset.id)) >= MOST:
            raise UnlockInvalidError(f"A digital asset unlocks at most {MOST} perks.")
        line = make_line(session, Choice(perk_id=perk_id))
        known = Unlock(asset_id=asset.id, perk_id=perk_id, reward_line_id=line.id, created_at=at)
        session.add(known)
    known.ended_at, known.is_due = None, True
    session.flush()
    return known


def remove(session: Session, asset_id: AssetId, perk_id: PerkId, *, at: datetime) -> None:
    """Nobody more receives the perk with the asset; who has it keeps it."""
    ended = update(Unlock).where(Unlock.asset_id == asset_id, Unlock.perk_id == perk_id)
    session.execute(ended.values(ended_at=func.coalesce(Unlock.ended_at, at), is_due=False))


def list_of(session: Session, asset_id: AssetId) -> Sequence[tuple[Perk, RewardLine]]:
    """The perks that the asset unlocks, and the lines that count them."""
    rows = session.execute(
        select(Perk, RewardLine)
        .join(Unlock, Unlock.perk_id == Perk.id)
        .join(RewardLine, RewardLine.id == Unlock.reward_line_id)
        .where(Unlock.asset_id == asset_id, Unlock.ended_at.is_(None))
        .order_by(Unlock.created_at, Perk.id)
    )
    return [(perk, line) for perk, line in rows]


def mark_due(session: Session, asset_ids: Select[AssetId]) -> None:
    """Somebody has one of these assets who may not have what it unlocks."""
    due = update(Unlock).where(
        Unlock.asset_id.in_(asset_ids), Unlock.ended_at.is_(None), ~Unlock.is_due
    )
    session.execute(due.values(is_due=True).execution_options(synchronize_session=False))


def give_due(session: Session, at: datetime) -> bool:
    """Some owners of one asset have one perk that it unlocks, as far as there are enough.

    Only active members receive it.

    Returns:
        True while there may be more to do.

    Locks: the unlock, its line, then the perk.
    """
    for asset_id, perk_id in session.execute(_due()).all():
        unlock = session.get(Unlock, (asset_id, perk_id), with_for_update={"skip_locked": True})
        if unlock is None or not unlock.is_due:
            continue  # somebody else is at it
        line = session.get_one(RewardLine, unlock.reward_line_id)
        left = perks.lock(session, perk_id).left
        most = AT_ONCE if left is None else min(AT_ONCE, left)
        owners = session.scalars(_owners_without(unlock).limit(most or 1)).all()
        is_open = line.granted_count > line.delivered_count
        unlock.is_due = is_open or bool(owners)
        if is_open or owners[:most]:
            return _give(session, unlock, line, owners[:most], at=at)
    return False


def _due() -> Select[AssetId, PerkId]:
    return (
        select(Unlock.asset_id, Unlock.perk_id)
        .join(Perk, Perk.id == Unlock.perk_id)
        .where(Unlock.is_due, Perk.state == PerkState.LIVE)
        .order_by(Unlock.asset_id, Unlock.perk_id)
    )


def _owners_without(unlock: Unlock) -> Select[UserId]:
    """Active members who own the asset and were not given the perk for it."""
    known = exists().where(Grant.user_id == User.id, Grant.reward_line_id == unlock.reward_line_id)
    owns = exists().where(
        Token.asset_id == unlock.asset_id,
        Token.state == TokenState.OWNED,
        Token.user_id == User.id,
    )
    return select(User.id).where(User.state == UserState.ACTIVE, owns, ~known).order_by(User.id)


def _give(
    session: Session, unlock: Unlock, line: RewardLine, owners: Sequence[UserId], *, at: datetime
) -> bool:
    """False where there is nothing left to give; it is tried again later."""
    chosen = service.members(select(User.id).where(User.id.in_(owners)))
    source = Source(GrantSource.UNLOCK, unlock.asset_id)
    try:
        service.grant_many(session, line, chosen, source=source, at=at)
        service.hand_over(session, line, at=at)
    except CodePoolEmptyError as error:
        log.warning("unlock_waits_for_codes", perk=str(unlock.perk_id), reason=str(error))
        return False
    return True

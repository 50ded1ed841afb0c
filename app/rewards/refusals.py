"""Why a member did not get something: the answer that was given, for as long as it may be asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.perks.models import Perk
from app.rewards.models import Grant, GrantRefusal, GrantState, RewardLine
from app.rewards.service import Source
from core.db import change
from core.errors import AppError
from core.ids import new_id
from core.types import GrantRefusalId, UserId
from minting.models import DigitalAsset

KEPT = timedelta(days=400)
_SKIPPED = {
    "perk_needs_user": "The recipient is no member, and a perk needs one.",
    "per_user_limit": "The member had as many of the perk as anybody may have.",
}
_MOST_SHOWN = 100


@dataclass(frozen=True)
class Refused:
    """Something the member did not get.

    Args:
        reward: what it was called.
        source: what would have given it.
        code: the stable name of the reason, and `sentence` the reason.
    """

    reward: str
    source: str
    code: str
    sentence: str
    at: datetime


def note(
    session: Session,
    line: RewardLine,
    user_id: UserId,
    error: AppError,
    *,
    source: Source,
    at: datetime,
) -> None:
    """The answer is remembered."""
    session.add(
        GrantRefusal(
            id=GrantRefusalId(new_id()),
            user_id=user_id,
            source_type=source.type,
            source_id=source.id,
            reward_line_id=line.id,
            code=error.code,
            sentence=str(error),
            refused_at=at,
        )
    )
    session.flush()


def of_members(session: Session, user_ids: Sequence[UserId]) -> list[Refused]:
    """What these members did not get, newest first: refused, or skipped among many."""
    asked = session.execute(
        select(GrantRefusal, DigitalAsset.title, Perk.title)
        .join(RewardLine, RewardLine.id == GrantRefusal.reward_line_id)
        .outerjoin(DigitalAsset, DigitalAsset.id == RewardLine.asset_id)
        .outerjoin(Perk, Perk.id == RewardLine.perk_id)
        .where(GrantRefusal.user_id.in_(user_ids))
        .order_by(GrantRefusal.id.desc())
        .limit(_MOST_SHOWN)
    )
    found = [
        Refused(asset or perk or "", row.source_type, row.code, row.sentence, row.refused_at)
        for row, asset, perk in asked
    ]
    skipped = session.execute(
        select(Grant, DigitalAsset.title, Perk.title)
        .join(RewardLine, RewardLine.id == Grant.reward_line_id)
        .outerjoin(DigitalAsset, DigitalAsset.id == RewardLine.asset_id)
        .outerjoin(Perk, Perk.id == RewardLine.perk_id)
        .where(Grant.user_id.in_(user_ids), Grant.state.in_(_UNGIVEN))
        .order_by(Grant.id.desc())
        .limit(_MOST_SHOWN)
    )
    for row, asset, perk in skipped:
        code = row.reason or row.state
        sentence = _SKIPPED.get(code, code[:1].upper() + code[1:])
        found.append(Refused(asset or perk or "", row.source_type, code, sentence, row.created_at))
    return sorted(found, key=lambda it: it.at, reverse=True)[:_MOST_SHOWN]


_UNGIVEN = (GrantState.SKIPPED, GrantState.CANCELLED, GrantState.FAILED)


def forget_old(session: Session, *, at: datetime) -> int:
    """Answers older than 400 days are deleted.

    Returns:
        How many there were.
    """
    return change(session, delete(GrantRefusal).where(GrantRefusal.refused_at < at - KEPT))

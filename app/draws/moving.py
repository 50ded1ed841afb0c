"""What every step of a draw needs: its lock, its lines, its winners served, its stock returned."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.draws import seeds
from app.draws.algorithm import Params
from app.draws.errors import DrawStateError, QuantityExceedsStockError
from app.draws.models import Draw, DrawLine, DrawState
from app.perks import service as perks
from app.rewards import granting, returning
from app.rewards import lines as reward_lines
from app.rewards.errors import EXHAUSTED, UserNotActiveError
from app.rewards.lines import Choice
from app.rewards.models import RewardLine
from app.rewards.service import Source
from app.users.models import User, UserState
from core.events import emit
from core.ids import encode_id
from core.settings import core_settings
from core.types import DrawId, UserId
from minting.models import DigitalAsset


def lock(session: Session, draw_id: DrawId) -> Draw:
    """The draw and its lines as they are now; they stay so until the transaction ends.

    Locks: the draw.
    """
    return session.get_one(Draw, draw_id, with_for_update=True, populate_existing=True)


def facts(draw: Draw) -> dict[str, Any]:
    """What every event of the draw says."""
    campaign = None if draw.campaign_id is None else encode_id("cmp", draw.campaign_id)
    return {"drawId": encode_id("drw", draw.id), "campaignId": campaign}


def lines_of(draw: Draw) -> list[DrawLine]:
    """The lines, in the order of the parameters: what is drawn is what was committed to."""
    rows = {line.name: line for line in draw.lines}
    return [rows[name] for name, _ in Params.read(draw.params).lines]


def give(
    session: Session, line: DrawLine, user_id: UserId, *, source: Source, at: datetime
) -> str | None:
    """The winner has the prize, or why there is nobody to have it: `blocked`, `erased`.

    Who was merged wins as the member they are now.

    Locks: the member (shared), the reward line, what it gives.
    """
    row = session.get_one(RewardLine, line.reward_line_id)
    user = session.get_one(User, user_id, populate_existing=True)
    if user.state is UserState.MERGED and user.merged_into_id is not None:
        user = session.get_one(User, user.merged_into_id, populate_existing=True)
    if user.state is not UserState.ACTIVE:
        return user.state.value
    try:
        granting.grant(session, row, user.id, source=source, at=at)
    except UserNotActiveError:
        session.refresh(user)
        return user.state.value
    return None


def reward_name(session: Session, line: DrawLine) -> str:
    """How the outside names what the line gives."""
    row = session.get_one(RewardLine, line.reward_line_id)
    return encode_id("prk" if row.perk_id else "das", row.reward_id)


def take_back(
    session: Session, line: DrawLine, source: Source, *, reason: str, at: datetime
) -> bool:
    """What the line gave is taken back, if nothing came of it, and the line can give it again.

    Returns:
        Whether it was.

    Raises:
        QuantityExceedsStockError: it had a code, and there is no other one; roll back.

    Locks: the reward line, what it gives, the holding.
    """
    row = session.get_one(RewardLine, line.reward_line_id)
    try:
        return returning.take_back(session, row, source=source, reason=reason, at=at)
    except EXHAUSTED as error:
        raise QuantityExceedsStockError(title_of(session, row), wanted=1, left=0) from error


def set_aside_another(session: Session, line: DrawLine) -> None:
    """The line can give one more, although all that was set aside has been given or has gone back.

    Raises:
        QuantityExceedsStockError: the reward has none left; roll back.

    Locks: the reward line, then what it gives.
    """
    row = session.get_one(RewardLine, line.reward_line_id)
    try:
        reward_lines.reserve_more(session, row, 1)
    except EXHAUSTED as error:
        raise QuantityExceedsStockError(title_of(session, row), wanted=1, left=0) from error


def title_of(session: Session, row: RewardLine | Choice) -> str:
    """What members call what the line gives."""
    if row.asset_id is not None:
        return session.get_one(DigitalAsset, row.asset_id).title
    assert row.perk_id is not None  # one of both
    return perks.get(session, row.perk_id).title


def return_stock(session: Session, draw: Draw) -> None:
    """What nobody won or could have is free for others.

    Locks: the lines, in the order of what they give, each with that.
    """
    for row in _reward_lines(session, draw):
        reward_lines.give_back(session, row)


def _reward_lines(session: Session, draw: Draw) -> Sequence[RewardLine]:
    query = select(RewardLine).where(
        RewardLine.id.in_([line.reward_line_id for line in draw.lines])
    )
    return sorted(session.scalars(query), key=lambda row: str(row.reward_id))


def reveal(session: Session, draw: Draw, *, at: datetime) -> None:
    """The seed is public, so that anybody can recompute the draw; what is left goes back.

    Raises:
        DrawStateError: the winners are not known yet.

    Locks: the draw, which the caller may hold; then its lines and what they give.
    """
    lock(session, draw.id)
    if draw.state is not DrawState.DRAWN:
        raise DrawStateError(draw.state, "revealed")
    seed = seeds.read(session, draw, purpose="reveal")
    draw.state, draw.server_seed, draw.revealed_at = DrawState.REVEALED, seed, at
    return_stock(session, draw)
    emit(session, "cohort.draw.revealed", at=at, **_revealed(draw, seed))
    session.flush()


def _revealed(draw: Draw, seed: bytes) -> dict[str, Any]:
    return {
        **facts(draw),
        "seed": seed.hex(),
        "ticketsRoot": draw.tickets_root and draw.tickets_root.hex(),
        "verifyUrl": verify_url(draw),
    }


def verify_url(draw: Draw) -> str:
    """Where anybody recomputes the draw."""
    return f"{core_settings().public_url}/verify/draw/{encode_id('drw', draw.id)}"

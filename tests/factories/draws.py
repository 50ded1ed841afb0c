"""Draws over perks, committed to and ready to be handed out from."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.draws import service
from app.draws.algorithm import Mode
from app.draws.models import Draw
from app.draws.service import DrawDraft
from app.rewards.lines import Choice
from app.users.models import User
from core.ids import new_id
from core.types import UserId
from tests.conftest import NOW
from tests.factories.brand import make_perk

DRAW_AT = NOW + timedelta(days=3)


def make_draw(session: Session, *quantities: int, **changes: Any) -> Draw:
    """An instant draw of a new perk for each quantity; by default a prize and two boxes."""
    lines = [
        Choice(perk_id=make_perk(session, f"Prize {new_id()}").id, quantity=quantity)
        for quantity in quantities or (1,)
    ]
    values: dict[str, Any] = {"name": "Summer", "mode": Mode.INSTANT, "lines": lines, "boxes": 2}
    return service.commit(session, DrawDraft(**{**values, **changes}), at=NOW)


def make_raffle(session: Session, *quantities: int, **changes: Any) -> Draw:
    """A raffle that is drawn in three days."""
    values = {"mode": Mode.RAFFLE, "boxes": None, "draw_at": DRAW_AT}
    return make_draw(session, *quantities, **{**values, **changes})


def hand_out(session: Session, draw: Draw, *users: UserId, times: int = 1) -> int:
    """Boxes or tickets for these members, so many each."""
    chosen = select(User.id).where(User.id.in_(users))
    return sum(
        service.hand_out(session, draw, chosen, source_id=new_id(), at=NOW) for _ in range(times)
    )

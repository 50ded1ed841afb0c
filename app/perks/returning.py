"""Holdings of which nothing came go back to whoever gave them, to be given to somebody else."""

from datetime import datetime

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.orm import Session

from app.perks import service as perks
from app.perks import using
from app.perks.models import Holding, HoldingState, Perk, Redemption, ShipmentState


def is_returnable() -> ColumnElement[bool]:
    """True of holdings of which no use is taken, so that nothing was sent either.

    One that lapsed is among them if its stock was left to its giver; one that expired is not.
    """
    deltas = select(func.sum(Redemption.delta)).where(Redemption.holding_id == Holding.id)
    is_unused = func.coalesce(deltas.correlate(Holding).scalar_subquery(), 0) == 0
    has_lapsed = Holding.shipment.is_not_distinct_from(ShipmentState.LAPSED)
    is_here = Holding.state.in_((HoldingState.AVAILABLE, HoldingState.REVOKED)) & ~has_lapsed
    return is_unused & (is_here | (has_lapsed & Holding.returns_to_giver))


def take_back(session: Session, perk: Perk, holding: Holding, *, reason: str, at: datetime) -> None:
    """The member has it no more, and one of the perk is set aside for somebody else instead.

    The caller has seen under the lock of the holding that it can be returned.

    Raises:
        PerkExhaustedError: a code that was given is never given again, and no other one is left;
            roll back.

    Locks: the holding, which the caller holds, as the perk, then its code and its shipment.
    """
    if holding.state is HoldingState.AVAILABLE:
        using.revoke(session, holding, reason=reason, at=at)
    released = select(literal(holding.user_id).label("user_id")).cte("released")
    perks.take_back(session, perk, released)
    perks.take_stock(perk, 2 if perk.has_pool else 1)
    session.flush()

"""Many holdings change their state by one statement, each with its row in the log and its event."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, insert, select, text, update
from sqlalchemy.orm import Session

from app.perks.models import Holding, Redemption, Transition
from core.events import emit_many
from core.ids import new_id
from core.types import HoldingId, PerkId, UserId

Ended = Sequence[tuple[HoldingId, UserId, PerkId]]


def end(
    session: Session, is_due: ColumnElement[bool], changes: Mapping[str, object], *, most: int
) -> Ended:
    """The next available holdings of which this is true are changed, at most so many.

    Locks: the holdings; what somebody has in hand waits for the next time.
    """
    chosen = (
        select(Holding.id)
        .where(text("holdings.state = 'available'"), is_due)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("chosen")  # a subquery might be asked again, and then takes the next ones
    )
    return change_those(session, Holding.id.in_(select(chosen.c.id)), changes)


def change_those(
    session: Session, condition: ColumnElement[bool], changes: Mapping[str, object]
) -> Ended:
    """The holdings of which this is true are changed."""
    rows = session.execute(
        update(Holding)
        .where(condition)
        .values(dict(changes))
        .returning(Holding.id, Holding.user_id, Holding.perk_id)
        .execution_options(synchronize_session=False)
    ).all()
    return [(holding, user, perk) for holding, user, perk in rows]


def tell(
    session: Session,
    ended: Ended,
    transition: Transition,
    *,
    reason: str | None = None,
    at: datetime,
) -> None:
    """The log and the events say that these holdings went through the transition."""
    if not ended:
        return
    actor = session.info["actor"]
    session.execute(
        insert(Redemption),
        [
            {
                "id": new_id(),
                "holding_id": holding,
                "transition": transition,
                "delta": 0,
                "actor": actor,
                "reason": reason,
                "occurred_at": at,
            }
            for holding, _, _ in ended
        ],
    )
    told = [
        (user, {"perkId": str(perk), "holdingId": str(holding)}) for holding, user, perk in ended
    ]
    emit_many(session, f"cohort.perk.{transition}", told, at=at)

"""Grants whose perk was taken back are revoked, with the reason that was given for it."""

from datetime import datetime

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.perks.models import Holding, Redemption, Transition
from app.rewards.models import Grant, GrantState

AT_ONCE = 5_000


def revoke_taken_back(session: Session, _at: datetime) -> bool:
    """The grants of the next revoked holdings are revoked; their stock does not return.

    Returns:
        True while there may be more.

    Locks: the holdings, then their grants.
    """
    is_due = text("holdings.state = 'revoked' AND NOT holdings.is_grant_revoked")
    some = (
        select(Holding.id)
        .where(is_due)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
        .cte("some")
    )
    marked = (
        update(Holding)
        .where(Holding.id.in_(select(some.c.id)))
        .values(is_grant_revoked=True)
        .returning(Holding.id, Holding.grant_id)
        .cte("marked")
    )
    reason = (
        select(Redemption.reason)
        .where(Redemption.holding_id == marked.c.id, Redemption.transition == Transition.REVOKED)
        .scalar_subquery()
    )
    revoked = (
        update(Grant)
        .where(Grant.id == marked.c.grant_id, Grant.state == GrantState.DELIVERED)
        .values(state=GrantState.REVOKED, reason=reason)
        .returning(Grant.id)
        .cte("revoked")
    )
    found = session.scalars(select(marked.c.id).add_cte(revoked)).all()
    return len(found) == AT_ONCE

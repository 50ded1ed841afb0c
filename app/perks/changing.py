"""What the team changes of everybody's at once: a new validity, and taking many back.

Asked for in a request, done by the sweep in parts, each of them one transaction and a checkpoint.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Interval, func, literal, select, update
from sqlalchemy.orm import Session

from app.perks import ending, using
from app.perks.code_models import CodeState, PerkCode
from app.perks.models import (
    Holding,
    HoldingState,
    Perk,
    Revocation,
    Shipment,
    Transition,
)
from app.perks.terms import Validity
from core.db import choose_actor
from core.ids import new_id
from core.types import HoldingId, RevocationId

AT_ONCE = 5_000
_FIRST = HoldingId(UUID(int=0))


def carry_over_validity(session: Session, perk: Perk) -> None:
    """Whoever can use the perk now has its present validity soon, counted from the receipt."""
    perk.revalidate_after = _FIRST
    session.flush()


def revalidate(session: Session, _at: datetime) -> bool:
    """The next holdings of a perk have its present validity.

    Locks: the perk, then the holdings.
    """
    perk = session.scalar(
        select(Perk)
        .where(Perk.revalidate_after.is_not(None))
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if perk is None or perk.revalidate_after is None:
        return False
    ids = _next_of(session, Holding.perk_id == perk.id, perk.revalidate_after)
    session.execute(
        update(Holding)
        .where(Holding.id.in_(ids), Holding.state == HoldingState.AVAILABLE)
        .values(valid_from=perk.valid_from, valid_until=_limit(perk))
        .execution_options(synchronize_session=False)
    )
    perk.revalidate_after = ids[-1] if len(ids) == AT_ONCE else None
    session.flush()
    return True


def _limit(perk: Perk) -> ColumnElement[Any]:
    """Until when a holding is valid: as the perk says, and never longer than its code."""
    limit: ColumnElement[Any]
    if perk.validity is Validity.DAYS and perk.valid_days is not None:
        limit = Holding.received_at + literal(timedelta(days=perk.valid_days), Interval)
    else:
        limit = literal(perk.valid_until, type_=Holding.valid_until.type)
    if not perk.has_pool:
        return limit
    of_code = select(PerkCode.expires_at).where(PerkCode.holding_id == Holding.id)
    return func.least(limit, of_code.correlate(Holding).scalar_subquery())


def revoke_many(
    session: Session, perk: Perk, *, state: HoldingState | None, reason: str, at: datetime
) -> Revocation:
    """Every holding of the perk that has this state, or any, is being taken back.

    Raises:
        ReasonMissingError: nobody said why.
    """
    using.check_reason(reason)
    row = Revocation(
        id=RevocationId(new_id()),
        perk_id=perk.id,
        state=state,
        reason=reason.strip(),
        actor=session.info["actor"],
        after=_FIRST,
        created_at=at,
    )
    session.add(row)
    session.flush()
    return row


def revoke_due(session: Session, at: datetime) -> bool:
    """The next holdings that are to be taken back are: their codes void, their addresses forgotten.

    Locks: the revocation, then the holdings, their codes and shipments.
    """
    row = session.scalar(
        select(Revocation)
        .where(Revocation.finished_at.is_(None))
        .order_by(Revocation.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if row is None:
        return False
    choose_actor(session, row.actor)
    is_meant = (Holding.perk_id == row.perk_id) & (Holding.received_at <= row.created_at)
    ids = _next_of(session, is_meant, row.after)
    wanted = Holding.state != HoldingState.REVOKED
    if row.state is not None:
        wanted = Holding.state == row.state
    changes = {"state": HoldingState.REVOKED}
    ended = ending.change_those(session, Holding.id.in_(ids) & wanted, changes)
    gone = [holding for holding, _, _ in ended]
    session.execute(
        update(PerkCode)
        .where(PerkCode.holding_id.in_(gone), PerkCode.state == CodeState.ASSIGNED)
        .values(state=CodeState.VOID, void_reason=row.reason)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(Shipment)
        .where(Shipment.holding_id.in_(gone))
        .values(sealed=None)
        .execution_options(synchronize_session=False)
    )
    ending.tell(session, ended, Transition.REVOKED, reason=row.reason, at=at)
    row.revoked_count += len(ended)
    row.after = ids[-1] if ids else row.after
    row.finished_at = at if len(ids) < AT_ONCE else None
    session.flush()
    return True


def _next_of(
    session: Session, condition: ColumnElement[bool], after: HoldingId
) -> Sequence[HoldingId]:
    query = select(Holding.id).where(condition, Holding.id > after)
    return session.scalars(query.order_by(Holding.id).limit(AT_ONCE)).all()


def open_revocations(session: Session, perk: Perk) -> Sequence[Revocation]:
    """What is being taken back of the perk."""
    query = select(Revocation).where(Revocation.perk_id == perk.id)
    return session.scalars(query.where(Revocation.finished_at.is_(None))).all()

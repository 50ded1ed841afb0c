"""Reads of perks for screens, and for whoever stands above."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.perks.models import Holding, HoldingState, Perk, PerkState, Redemption
from app.users.models import User
from core.types import HoldingId, PerkId, UserId


def perks(*, state: PerkState | None = None) -> Select[Perk]:
    """Perks in a state, or all that are neither archived nor deleted."""
    if state is None:
        return select(Perk).where(Perk.state.in_((PerkState.DRAFT, PerkState.LIVE)))
    return select(Perk).where(Perk.state == state)


def holdings(perk_id: PerkId) -> Select[Holding]:
    """Everybody's of a perk."""
    return select(Holding).where(Holding.perk_id == perk_id)


def owners_of(session: Session, rows: Sequence[Holding]) -> dict[UserId, User]:
    """The members behind these holdings, by id."""
    found = session.scalars(select(User).where(User.id.in_([row.user_id for row in rows])))
    return {user.id: user for user in found}


def received_counts(session: Session, perk_ids: Sequence[PerkId]) -> dict[PerkId, int]:
    """How many of each of these perks are in members' hands."""
    rows = session.execute(
        select(Holding.perk_id, func.count())
        .where(Holding.perk_id.in_(perk_ids))
        .group_by(Holding.perk_id)
    )
    return dict(rows.all())


@dataclass(frozen=True)
class Held:
    """A perk that a member has."""

    holding: Holding
    perk: Perk


def list_held(session: Session, user_ids: Sequence[UserId]) -> list[Held]:
    """The perks of these members, newest first."""
    rows = session.execute(
        select(Holding, Perk)
        .join(Perk, Perk.id == Holding.perk_id)
        .where(Holding.user_id.in_(user_ids), Perk.state != PerkState.DELETED)
        .order_by(Holding.id.desc())
    )
    return [Held(holding, perk) for holding, perk in rows]


def available_of(user_ids: Sequence[UserId]) -> Select[Holding]:
    """What these members can still use."""
    is_theirs = Holding.user_id.in_(user_ids)
    query = select(Holding).where(is_theirs, Holding.state == HoldingState.AVAILABLE)
    return query.order_by(Holding.id)


def log_of(session: Session, holding_ids: Sequence[HoldingId]) -> Sequence[Redemption]:
    """What happened to these holdings, newest first."""
    query = select(Redemption).where(Redemption.holding_id.in_(holding_ids))
    return session.scalars(query.order_by(Redemption.id.desc())).all()

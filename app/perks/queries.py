"""Reads of perks for screens, and for whoever stands above."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.perks.errors import HoldingNotFoundError
from app.perks.models import Holding, HoldingState, Perk, PerkState, Place, Redemption
from app.users.models import User
from core.types import HoldingId, PerkId, PlaceId, UserId


def perks(*, state: PerkState | None = None) -> Select[Perk]:
    """Perks in a state, or all that are neither archived nor deleted."""
    if state is None:
        return select(Perk).where(Perk.state.in_((PerkState.DRAFT, PerkState.LIVE)))
    return select(Perk).where(Perk.state == state)


def holdings(perk_id: PerkId, *, state: HoldingState | None = None) -> Select[Holding]:
    """Everybody's of a perk, or those in a state."""
    query = select(Holding).where(Holding.perk_id == perk_id)
    return query if state is None else query.where(Holding.state == state)


def count_available(session: Session, perk_id: PerkId) -> int:
    """How many of the perk can be used now."""
    query = holdings(perk_id, state=HoldingState.AVAILABLE)
    return session.scalar(select(func.count()).select_from(query.subquery())) or 0


def count_revocable(session: Session, perk_id: PerkId, *, state: HoldingState | None) -> int:
    """How many of the perk taking back those of a state, or all, would take back."""
    query = holdings(perk_id, state=state).where(Holding.state != HoldingState.REVOKED)
    return session.scalar(select(func.count()).select_from(query.subquery())) or 0


def place_names(session: Session, rows: Sequence[Redemption]) -> dict[PlaceId, str]:
    """What the places of these rows are called, archived ones among them."""
    ids = {row.place_id for row in rows if row.place_id is not None}
    found = session.execute(select(Place.id, Place.name).where(Place.id.in_(ids)))
    return {place_id: name for place_id, name in found}


def owners_of(session: Session, rows: Sequence[Holding]) -> dict[UserId, User]:
    """The members behind these holdings, by id."""
    found = session.scalars(select(User).where(User.id.in_([row.user_id for row in rows])))
    return {user.id: user for user in found}


@dataclass(frozen=True)
class Counts:
    """How many of a perk members received, and how many of these are used."""

    received: int = 0
    used: int = 0


def counts_of(session: Session, perk_ids: Sequence[PerkId]) -> dict[PerkId, Counts]:
    """How many of each of these perks are where."""
    is_used = Holding.state == HoldingState.USED
    rows = session.execute(
        select(Holding.perk_id, func.count(), func.count().filter(is_used))
        .where(Holding.perk_id.in_(perk_ids))
        .group_by(Holding.perk_id)
    )
    found = {perk_id: Counts(received, used) for perk_id, received, used in rows}
    return {perk_id: found.get(perk_id, Counts()) for perk_id in perk_ids}


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


def get_held(session: Session, holding_id: HoldingId, user_ids: Sequence[UserId]) -> Held:
    """What one of these members has, unless it was revoked.

    Raises:
        HoldingNotFoundError: somebody else's, nobody's, or not any more.
    """
    row = session.execute(
        select(Holding, Perk)
        .join(Perk, Perk.id == Holding.perk_id)
        .where(
            Holding.id == holding_id,
            Holding.user_id.in_(user_ids),
            Holding.state != HoldingState.REVOKED,
            Perk.state != PerkState.DELETED,
        )
    ).one_or_none()
    if row is None:
        raise HoldingNotFoundError(holding_id)
    return Held(row[0], row[1])


def available_of(user_ids: Sequence[UserId]) -> Select[Holding]:
    """What these members can still use."""
    is_theirs = Holding.user_id.in_(user_ids)
    query = select(Holding).where(is_theirs, Holding.state == HoldingState.AVAILABLE)
    return query.order_by(Holding.id)


def log_of(session: Session, holding_ids: Sequence[HoldingId]) -> Sequence[Redemption]:
    """What happened to these holdings, newest first."""
    query = select(Redemption).where(Redemption.holding_id.in_(holding_ids))
    return session.scalars(query.order_by(Redemption.id.desc())).all()

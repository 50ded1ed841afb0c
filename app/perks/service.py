"""Perks: drafted, published, archived, and put into members' hands by statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Select, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.perks.errors import (
    PerkExhaustedError,
    PerkInUseError,
    PerkNotFoundError,
    PerkTransitionError,
)
from app.perks.models import Holding, HoldingState, Perk, PerkQuota, PerkState
from core.db import sql_id
from core.errors import InvalidError
from core.ids import new_id
from core.types import GrantId, PerkId, UserId

MOST = 100_000_000
MOST_PER_USER = 1_000


@dataclass(frozen=True)
class PerkDraft:
    """What people choose of a perk; empty limits are none."""

    internal_name: str
    title: str
    subtitle: str = ""
    description: str = ""
    reference_id: str | None = None
    total_quantity: int | None = None
    max_per_user: int | None = None


def create(session: Session, draft: PerkDraft, *, at: datetime) -> Perk:
    """A draft perk exists.

    Raises:
        InvalidError: `fields` names what must change.
    """
    perk = Perk(id=PerkId(new_id()), state=PerkState.DRAFT, granted_count=0, created_at=at)
    _apply(session, perk, draft)
    session.add(perk)
    session.flush()
    return perk


def edit(session: Session, perk: Perk, draft: PerkDraft) -> None:
    """The perk is as drafted, for whoever has it, too.

    Raises:
        InvalidError: `fields` names what must change.

    Locks: the perk.
    """
    session.refresh(perk, with_for_update=True)
    _apply(session, perk, draft)
    session.flush()


def get(session: Session, perk_id: PerkId) -> Perk:
    """The perk.

    Raises:
        PerkNotFoundError: this merchant has none with the id.
    """
    perk = session.get(Perk, perk_id)
    if perk is None:
        raise PerkNotFoundError(perk_id)
    return perk


def publish(session: Session, perk: Perk, *, at: datetime) -> None:
    """The perk can be given; an archived one can again.

    Raises:
        PerkTransitionError: it is live already.
        InvalidError: another perk has its internal name meanwhile.

    Locks: the perk.
    """
    session.refresh(perk, with_for_update=True)
    if perk.state is PerkState.LIVE:
        raise PerkTransitionError(perk.state, "published")
    _refuse_twin(session, perk, perk.internal_name)
    perk.state, perk.published_at = PerkState.LIVE, perk.published_at or at
    session.flush()


def archive(session: Session, perk: Perk, *, is_in_use: bool) -> None:
    """The perk is given no more; who has it keeps it.

    Args:
        is_in_use: whether a campaign that is not over gives it.

    Raises:
        PerkTransitionError: it is no live perk.
        PerkInUseError: a campaign still gives it.

    Locks: the perk.
    """
    session.refresh(perk, with_for_update=True)
    if perk.state is not PerkState.LIVE:
        raise PerkTransitionError(perk.state, "archived")
    if is_in_use:
        raise PerkInUseError(perk.title)
    perk.state = PerkState.ARCHIVED
    session.flush()


def _apply(session: Session, perk: Perk, draft: PerkDraft) -> None:
    problems = {
        "internal_name": _length(draft.internal_name, 1, 120),
        "title": _length(draft.title, 1, 80),
        "subtitle": _length(draft.subtitle, 0, 120),
        "description": _length(draft.description, 0, 5_000),
        "reference_id": _length(draft.reference_id or "", 0, 64),
        "total_quantity": _range(draft.total_quantity, max(1, perk.granted_count), MOST),
        "max_per_user": _range(draft.max_per_user, 1, MOST_PER_USER),
    }
    fields = {name: problem for name, problem in problems.items() if problem}
    if fields:
        raise InvalidError("The perk cannot be saved yet.", fields=fields)
    _refuse_twin(session, perk, draft.internal_name, reference_id=draft.reference_id)
    for name, value in vars(draft).items():
        setattr(perk, name, value)


def _refuse_twin(
    session: Session, perk: Perk, internal_name: str, *, reference_id: str | None = None
) -> None:
    others = select(Perk.id).where(Perk.id != perk.id)
    is_named = (Perk.internal_name == internal_name) & (Perk.state != PerkState.ARCHIVED)
    taken = "Another perk has it. Choose a different one."
    fields = {}
    if session.scalar(others.where(is_named)):
        fields["internal_name"] = taken
    if reference_id and session.scalar(others.where(Perk.reference_id == reference_id)):
        fields["reference_id"] = taken
    if fields:
        raise InvalidError("The perk cannot be saved yet.", fields=fields)


def _length(text: str, least: int, most: int) -> str | None:
    if least <= len(text) <= most:
        return None
    return f"Between {least} and {most:,} characters." if least else f"At most {most:,} characters."


def _range(number: int | None, least: int, most: int) -> str | None:
    if number is None or least <= number <= most:
        return None
    return f"Between {least:,} and {most:,}, or empty for no limit."


def promise(perk: Perk, promised: CTE) -> CTE:
    """A statement that notes how many more each member was promised, to be added to another.

    Args:
        promised: rows of `user_id`, one for each of the perk.
    """
    facts: dict[InstrumentedAttribute[Any], Any] = {
        PerkQuota.perk_id: literal(perk.id),
        PerkQuota.user_id: promised.c.user_id,
        PerkQuota.granted_count: func.count(),
        PerkQuota.max_per_user: literal(perk.max_per_user, type_=PerkQuota.max_per_user.type),
    }
    rows = select(*facts.values()).select_from(promised).group_by(promised.c.user_id)
    noted = insert(PerkQuota).from_select([it.key for it in facts], rows, include_defaults=False)
    return (
        noted.on_conflict_do_update(
            index_elements=[PerkQuota.perk_id, PerkQuota.user_id],
            set_={
                "granted_count": PerkQuota.granted_count + noted.excluded.granted_count,
                "max_per_user": noted.excluded.max_per_user,
            },
        )
        .returning(PerkQuota.user_id)
        .cte("noted")
    )


def left_of(_session: Session, perk: Perk) -> int | None:
    """How many more can be promised; None for no limit."""
    return None if perk.total_quantity is None else perk.total_quantity - perk.granted_count


def take_stock(perk: Perk, count: int) -> None:
    """So many more are promised; the perk is locked.

    Raises:
        PerkExhaustedError: fewer are left; roll back.
    """
    left = None if perk.total_quantity is None else perk.total_quantity - perk.granted_count
    if left is not None and count > left:
        raise PerkExhaustedError(perk.title, wanted=count, left=left)
    perk.granted_count += count


def take_back(session: Session, perk: Perk, released: CTE) -> int:
    """What was promised and does not happen is free for others.

    Args:
        released: rows of `user_id`, one for each of the perk; it may change rows and return them.

    Returns:
        How many there are.

    Locks: the perk.
    """
    session.refresh(perk, with_for_update=True)
    less = select(released.c.user_id, func.count().label("count")).group_by(released.c.user_id)
    each = less.subquery()
    lowered = (
        update(PerkQuota)
        .where(PerkQuota.perk_id == perk.id, PerkQuota.user_id == each.c.user_id)
        .values(granted_count=PerkQuota.granted_count - each.c.count)
        .returning(each.c.count)
        .cte("lowered")
    )
    count = int(session.scalar(select(func.sum(lowered.c.count))) or 0)
    perk.granted_count -= count
    session.flush()
    return count


def hand_over(perk: Perk, grants: Select[GrantId, UserId], *, at: datetime) -> CTE:
    """A statement that makes a holding for each of these grants, and returns them."""
    grant, user = grants.subquery().c
    facts: dict[InstrumentedAttribute[Any], Any] = {
        Holding.id: sql_id(),
        Holding.perk_id: literal(perk.id),
        Holding.user_id: user,
        Holding.grant_id: grant,
        Holding.state: literal(HoldingState.AVAILABLE, type_=Holding.state.type),
        Holding.received_at: literal(at),
    }
    rows = select(*facts.values())
    return (
        insert(Holding)
        .from_select([it.key for it in facts], rows, include_defaults=False)
        .returning(Holding.id, Holding.user_id, Holding.grant_id)
        .cte("handed_over")
    )


def lock(session: Session, perk_id: PerkId) -> Perk:
    """The perk, as it is now, and as it stays until the transaction ends."""
    return session.get_one(Perk, perk_id, with_for_update=True, populate_existing=True)


def list_live(session: Session) -> Sequence[Perk]:
    """Perks that can be given, newest first."""
    query = select(Perk).where(Perk.state == PerkState.LIVE).order_by(Perk.id.desc())
    return session.scalars(query).all()

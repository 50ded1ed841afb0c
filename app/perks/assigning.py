"""Codes find their holdings: one statement for one grant and for twenty thousand.

Each code is locked where it is free and skipped where somebody else has it in hand, so that
hand-overs at the same time never wait for each other and never give one code twice. Codes meet
grants by their number alone, which no estimate of the planner can make slow.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    Select,
    func,
    null,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from app.perks.code_models import CodeState, PerkCode
from app.perks.models import Perk
from app.users.models import User
from core.db import sql_id
from core.types import GrantId, UserId

_IDS: ARRAY[Any] = ARRAY(UUID(as_uuid=True))
_ENDS: ARRAY[Any] = ARRAY(DateTime(timezone=True))
# Literals, not parameters: only so does the planner see that the partial indexes fit.
_IS_ANYBODYS = text("perk_codes.state = 'free' AND perk_codes.reserved_for IS NULL")
_IS_RESERVED = text("perk_codes.state = 'free' AND perk_codes.reserved_for IS NOT NULL")


def match(perk: Perk, grants: Select[GrantId, UserId], *, at: ColumnElement[datetime]) -> CTE:
    """A statement that locks a free code for each of these grants, as far as there are any.

    Codes that are kept for the member come first, then those that expire first.

    Returns:
        Rows of `holding_id`, which is new, `grant_id`, `user_id`, `code_id` and `expires_at`.
    """
    grant, user = grants.subquery().c
    due = select(grant.label("grant_id"), user.label("user_id")).cte("code_due")
    if not perk.has_reserved_codes:
        return _numbered(perk, select(due.c.grant_id, due.c.user_id), at=at).cte("code_matched")
    mine = _reserved(perk, due, at=at)
    others = select(due.c.grant_id, due.c.user_id).where(
        due.c.grant_id.not_in(select(mine.c.grant_id))
    )
    return union_all(select(mine), _numbered(perk, others, at=at)).cte("code_matched")


def _numbered(perk: Perk, due: Select[Any], *, at: ColumnElement[datetime]) -> Select[Any]:
    """The n-th of these grants with the n-th of anybody's codes."""
    grant, user = due.subquery().c
    turns = select(grant, user, func.row_number().over(order_by=grant).label("turn")).cte(
        "code_turns"
    )
    locked = (
        select(PerkCode.id, PerkCode.expires_at)
        .where(PerkCode.perk_id == perk.id, _IS_ANYBODYS, _is_fresh(at))
        .order_by(PerkCode.expires_at, PerkCode.id)
        .limit(select(func.count()).select_from(turns).scalar_subquery())
        .with_for_update(skip_locked=True, of=PerkCode)
        .cte("code_locked")
    )
    order = (locked.c.expires_at, locked.c.id)
    ids = func.array_agg(locked.c.id, type_=_IDS).aggregate_order_by(*order)
    ends = func.array_agg(locked.c.expires_at, type_=_ENDS).aggregate_order_by(*order)
    stacked = select(ids.label("ids"), ends.label("ends")).cte("code_stacks")
    return select(
        sql_id().label("holding_id"),
        turns.c.grant_id,
        turns.c.user_id,
        stacked.c.ids[turns.c.turn].label("code_id"),
        stacked.c.ends[turns.c.turn].label("expires_at"),
    ).where(turns.c.turn <= func.cardinality(stacked.c.ids))


def _reserved(perk: Perk, due: CTE, *, at: ColumnElement[datetime]) -> CTE:
    """The n-th grant of a member with the n-th of the codes that are kept for the address."""
    turn = func.row_number().over(partition_by=due.c.user_id, order_by=due.c.grant_id)
    asked = (
        select(due.c.grant_id, due.c.user_id, User.email_key, turn.label("turn"))
        .join(User, User.id == due.c.user_id)
        .cte("code_asked")
    )
    locked = (
        select(PerkCode.id, PerkCode.reserved_for, PerkCode.expires_at)
        .where(
            PerkCode.perk_id == perk.id,
            _IS_RESERVED,
            _is_fresh(at),
            PerkCode.reserved_for.in_(select(asked.c.email_key)),
        )
        .with_for_update(skip_locked=True, of=PerkCode)
        .cte("code_kept")
    )
    order = (locked.c.expires_at, locked.c.id)
    place = func.row_number().over(partition_by=locked.c.reserved_for, order_by=order)
    placed = select(locked, place.label("turn")).cte("code_placed")
    return (
        select(
            sql_id().label("holding_id"),
            asked.c.grant_id,
            asked.c.user_id,
            placed.c.id.label("code_id"),
            placed.c.expires_at,
        )
        .join(
            placed, (placed.c.reserved_for == asked.c.email_key) & (placed.c.turn == asked.c.turn)
        )
        .cte("code_mine")
    )


def _is_fresh(at: ColumnElement[datetime]) -> Any:
    return PerkCode.expires_at.is_(None) | (PerkCode.expires_at > at)


def assign(matched: CTE) -> CTE:
    """A statement that gives the locked codes to their holdings."""
    return (
        update(PerkCode)
        .where(PerkCode.id == matched.c.code_id)
        .values(
            state=CodeState.ASSIGNED,
            holding_id=matched.c.holding_id,
            reserved_for=null(),
        )
        .returning(PerkCode.id)
        .cte("code_assigned")
    )

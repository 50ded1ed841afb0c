"""Perks handed over: a holding for each grant, with its code, made by one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, DateTime, Select, bindparam, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute

from app.perks import assigning
from app.perks.models import Holding, HoldingState, Perk, ShipmentState
from app.perks.terms import RedemptionType, deadline
from core.db import sql_id
from core.types import GrantId, UserId

_MOMENT = DateTime(timezone=True)
_PARAMETERS = ("when_at", "when_valid_from", "when_valid_until", "when_address_due_at")


@dataclass(frozen=True)
class Moment:
    """When a perk is received, and what follows from that, as parts of a statement."""

    at: ColumnElement[datetime]
    valid_from: ColumnElement[datetime | None]
    valid_until: ColumnElement[datetime | None]
    address_due_at: ColumnElement[datetime | None]

    @classmethod
    def of(cls, perk: Perk, at: datetime) -> "Moment":
        """This moment."""
        parts: Any = (literal(value, _MOMENT) for value in cls.values(perk, at).values())
        return cls(*parts)

    @classmethod
    def to_come(cls) -> "Moment":
        """Parameters of a statement that is sent again; `values` says what they are then."""
        parts: Any = (bindparam(name, type_=_MOMENT) for name in _PARAMETERS)
        return cls(*parts)

    @staticmethod
    def values(perk: Perk, at: datetime) -> dict[str, datetime | None]:
        """What the parameters are at this moment."""
        is_physical = perk.redemption is RedemptionType.PHYSICAL
        due_at = deadline(perk.terms, at) if is_physical else None
        return dict(zip(_PARAMETERS, (at, *perk.valid_span(at), due_at), strict=True))


def hand_over(
    perk: Perk,
    grants: Select[GrantId, UserId],
    *,
    returns_to_giver: bool = False,
    at: datetime | Moment,
) -> CTE:
    """A statement that makes a holding for each of these grants.

    With a pool each holding has a free code, assigned by the same statement; where fewer codes are
    free, fewer holdings come back: the caller compares the counts and rolls back with
    `CodePoolEmptyError`.

    Args:
        returns_to_giver: the stock of what lapses is not free for others.

    Returns:
        Rows of `id`, `user_id` and `grant_id`.
    """
    when = at if isinstance(at, Moment) else Moment.of(perk, at)
    if not perk.has_pool:
        grant, user = grants.subquery().c
        return _holdings(
            perk, sql_id(), user, grant, when=when, ends=None, returns=returns_to_giver
        )
    matched = assigning.match(perk, grants, at=when.at)
    found = matched.c
    made = _holdings(
        perk,
        found.holding_id,
        found.user_id,
        found.grant_id,
        when=when,
        ends=found.expires_at,
        returns=returns_to_giver,
    )
    return (
        select(made.c.id, made.c.user_id, made.c.grant_id)
        .add_cte(assigning.assign(matched))
        .cte("with_codes")
    )


def _holdings(
    perk: Perk,
    holding: ColumnElement[Any],
    user: ColumnElement[Any],
    grant: ColumnElement[Any],
    *,
    when: Moment,
    ends: ColumnElement[Any] | None,
    returns: bool,
) -> CTE:
    until: ColumnElement[Any] = when.valid_until
    is_physical = perk.redemption is RedemptionType.PHYSICAL
    shipment = ShipmentState.ADDRESS_NEEDED if is_physical else None
    facts: dict[InstrumentedAttribute[Any], Any] = {
        Holding.id: holding,
        Holding.perk_id: literal(perk.id),
        Holding.user_id: user,
        Holding.grant_id: grant,
        Holding.state: literal(HoldingState.AVAILABLE, type_=Holding.state.type),
        Holding.uses_left: literal(perk.uses_per_holding, type_=Holding.uses_left.type),
        Holding.valid_from: when.valid_from,
        Holding.valid_until: until if ends is None else func.least(until, ends),
        Holding.shipment: literal(shipment, type_=Holding.shipment.type),
        Holding.address_due_at: when.address_due_at,
        Holding.returns_to_giver: literal(returns),
        Holding.received_at: when.at,
    }
    return (
        insert(Holding)
        .from_select([it.key for it in facts], select(*facts.values()), include_defaults=False)
        .returning(Holding.id, Holding.user_id, Holding.grant_id)
        .cte("handed_over")
    )

"""The machine of physical items: what its table lists happens, and every other pair is refused."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.perks import shipping, sweeping, using
from app.perks.models import Holding, HoldingState, Redemption, Shipment, ShipmentState, Transition
from app.perks.shipping import Address
from app.perks.terms import Options, RedemptionType
from core.errors import ConflictError
from tests.conftest import NOW
from tests.factories.perks import hold, perk_of

HOME = Address("Ada L.", "1 Long Lane", "", "1000", "Brussels", "", "BE", "")
TERMS = Options(deadline_days=10)
LATE = NOW + timedelta(days=10)
Act = Callable[[Session, Holding], object]


def _undo(session: Session, holding: Holding) -> object:
    used = select(Redemption).where(Redemption.transition == Transition.USED)
    row = session.scalars(used).one()
    return using.undo(session, row, actor="test", at=NOW, is_admin=True)


def _lapse(session: Session, holding: Holding) -> object:
    """The deadline passes; the sweep passes over what is not due."""
    sweeping.lapse_due(session, LATE)
    session.refresh(holding)
    return None


ACTS: dict[str, Act] = {
    "give": lambda s, it: shipping.give_address(s, it, HOME, terms=TERMS, at=NOW),
    "give too late": lambda s, it: shipping.give_address(s, it, HOME, terms=TERMS, at=LATE),
    "ship": lambda s, it: shipping.ship(s, it, at=NOW),
    "deliver": lambda s, it: shipping.deliver(s, it, at=NOW),
    "undo": _undo,
    "extend": lambda s, it: using.extend(s, it, until=LATE, at=NOW),
}
LIVES = {
    "address_needed": (),
    "ready_to_ship": ("give",),
    "shipped": ("give", "ship"),
    "delivered": ("give", "ship", "deliver"),
}
"""By which acts an item gets where it is; beside them it lapses, and is revoked at any point."""
LISTED = {
    ("address_needed", "give"): "ready_to_ship",
    ("ready_to_ship", "give"): "ready_to_ship",
    ("ready_to_ship", "give too late"): "ready_to_ship",
    ("ready_to_ship", "ship"): "shipped",
    ("shipped", "deliver"): "delivered",
    ("shipped", "undo"): "ready_to_ship",
}
"""Who gave an address in time may change it until the item is sent."""
STATES = (*LIVES, "lapsed", *(f"{life}, revoked" for life in LIVES))


def _in_state(session: Session, state: str) -> Holding:
    holding = hold(session, perk_of(session, RedemptionType.PHYSICAL, terms=TERMS))
    for act in LIVES.get(state.split(",")[0], ()):
        ACTS[act](session, holding)
    if state == "lapsed":
        _lapse(session, holding)
    if state.endswith("revoked"):
        using.revoke(session, holding, reason="refunded", at=NOW)
    assert holding.shipment == state.split(",")[0]
    return holding


def _facts(session: Session, holding: Holding) -> tuple[object, ...]:
    session.expire_all()
    row = session.get(Shipment, holding.id)
    sealed = None if row is None else (row.sealed, row.shipped_at, row.delivered_at)
    log = len(session.scalars(select(Redemption)).all())
    return (holding.state, holding.shipment, holding.uses_left, sealed, log)


def test_every_state_is_reached() -> None:
    assert {it.split(",")[0] for it in STATES} == set(ShipmentState)


@pytest.mark.parametrize(("state", "act"), LISTED)
def test_what_is_listed_happens(session: Session, state: str, act: str) -> None:
    holding = _in_state(session, state)
    ACTS[act](session, holding)
    assert holding.shipment == LISTED[state, act]
    is_gone = holding.shipment in (ShipmentState.SHIPPED, ShipmentState.DELIVERED)
    assert holding.state is (HoldingState.USED if is_gone else HoldingState.AVAILABLE)


def _has_no_use(pair: tuple[str, str]) -> bool:
    return pair[1] == "undo" and pair[0].split(",")[0] not in ("shipped", "delivered")


UNLISTED = [it for it in product(STATES, ACTS) if it not in LISTED and not _has_no_use(it)]


@pytest.mark.parametrize(("state", "act"), UNLISTED)
def test_every_other_pair_is_refused(session: Session, state: str, act: str) -> None:
    holding = _in_state(session, state)
    before = _facts(session, holding)
    with pytest.raises(ConflictError) as refused:
        ACTS[act](session, holding)
    assert (refused.value.status, refused.value.code) == (409, "invalid_transition")
    assert _facts(session, holding) == before


@pytest.mark.parametrize("state", STATES)
def test_only_what_waits_for_an_address_lapses(session: Session, state: str) -> None:
    holding = _in_state(session, state)
    before = _facts(session, holding)
    _lapse(session, holding)
    if state == "address_needed":
        assert (holding.shipment, holding.state) == (ShipmentState.LAPSED, HoldingState.EXPIRED)
    else:
        assert _facts(session, holding) == before

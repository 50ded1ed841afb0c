"""The machine of perks: what its table lists happens, and every other pair is refused."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.perks import service
from app.perks.drafting import draft_of
from app.perks.errors import (
    PerkHeldError,
    PerkInUseError,
    PerkInvalidError,
    PerkTransitionError,
)
from app.perks.models import HoldingState, Perk, PerkState
from app.perks.terms import Options, RedemptionType
from tests.conftest import NOW
from tests.factories.brand import make_perk
from tests.factories.perks import hold, perk_of

Act = Callable[[Session, Perk], object]

ACTS: dict[str, Act] = {
    "publish": lambda session, it: service.publish(session, it, at=NOW),
    "archive": lambda session, it: service.archive(session, it, is_in_use=False),
    "delete": lambda session, it: service.delete(session, it, is_in_use=False),
    "edit": lambda session, it: service.edit(session, it, draft_of(session, it)),
}
LISTED = {
    ("draft", "publish"): "live",
    ("draft", "delete"): "deleted",
    ("draft", "edit"): "draft",
    ("live", "archive"): "archived",
    ("live", "edit"): "live",
    ("archived", "publish"): "live",
    ("archived", "delete"): "deleted",
    ("archived", "edit"): "archived",
}
UNLISTED = [pair for pair in product(PerkState, ACTS) if pair not in LISTED]


@pytest.mark.parametrize(("state", "act"), LISTED)
def test_what_is_listed_happens(session: Session, state: str, act: str) -> None:
    perk = make_perk(session, state=PerkState(state))
    ACTS[act](session, perk)
    assert perk.state == LISTED[state, act]


@pytest.mark.parametrize(("state", "act"), UNLISTED)
def test_every_other_pair_is_refused(session: Session, state: PerkState, act: str) -> None:
    perk = make_perk(session, state=state)
    with pytest.raises(PerkTransitionError) as refused:
        ACTS[act](session, perk)
    assert (refused.value.status, refused.value.code) == (409, "invalid_transition")
    assert perk.state is state


@pytest.mark.parametrize(("state", "act"), [("live", "archive"), ("archived", "delete")])
def test_what_a_campaign_gives_stays(session: Session, state: str, act: str) -> None:
    perk = make_perk(session, state=PerkState(state))
    with pytest.raises(PerkInUseError) as refused:
        getattr(service, act)(session, perk, is_in_use=True)
    assert (refused.value.status, refused.value.code) == (409, "reward_in_use")
    assert perk.state == state


@pytest.mark.parametrize("state", ["available", "used", "expired", "revoked"])
def test_what_a_member_can_still_use_is_not_deleted(session: Session, state: str) -> None:
    perk = make_perk(session)
    holding = hold(session, perk)
    holding.state, perk.state = HoldingState(state), PerkState.ARCHIVED
    session.flush()
    if state != "available":
        service.delete(session, perk, is_in_use=False)
        assert perk.state is PerkState.DELETED
        return
    with pytest.raises(PerkHeldError) as refused:
        service.delete(session, perk, is_in_use=False)
    assert (refused.value.status, perk.state) == (409, PerkState.ARCHIVED)


FROZEN: dict[str, dict[str, Any]] = {
    "redemption": {"redemption": RedemptionType.SCAN, "terms": Options()},
    "uses_per_holding": {"uses_per_holding": 2},
    "redemption, by its pool": {"terms": Options(url="https://a.example/{{code}}")},
}


@pytest.mark.parametrize("name", FROZEN)
def test_what_holders_were_promised_is_frozen_once_there_is_one(
    session: Session, name: str
) -> None:
    terms = Options(url="https://a.example/")
    perk = perk_of(session, RedemptionType.LINK, terms=terms)
    wanted = replace(draft_of(session, perk), **FROZEN[name])
    before = draft_of(session, perk)
    service.edit(session, perk, wanted)
    service.edit(session, perk, before)
    hold(session, perk)
    with pytest.raises(PerkInvalidError) as refused:
        service.edit(session, perk, wanted)
    assert list(refused.value.fields) == [name.split(",")[0]]
    assert draft_of(session, perk) == before
    service.edit(session, perk, replace(before, title="Tea", total_quantity=9))
    assert perk.title == "Tea"

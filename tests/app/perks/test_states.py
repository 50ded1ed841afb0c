"""The machine of perks: what its table lists happens, and every other pair is refused."""

from collections.abc import Callable
from itertools import product

import pytest
from sqlalchemy.orm import Session

from app.perks import service
from app.perks.drafting import draft_of
from app.perks.errors import PerkInUseError, PerkTransitionError
from app.perks.models import Perk, PerkState
from tests.conftest import NOW
from tests.factories.brand import make_perk

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

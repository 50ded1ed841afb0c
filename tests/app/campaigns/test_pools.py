"""Airdrops of perks whose codes come from a pool: never more than there are, and never stuck."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.campaigns import runs, service
from app.campaigns.models import Campaign, RunState
from app.campaigns.needs import needs
from app.campaigns.service import Delivery
from app.perks import codes
from app.perks.errors import PerkExhaustedError
from app.perks.models import Holding, Perk
from app.perks.terms import RedemptionType
from app.rewards import service as grants
from app.rewards.models import Grant, GrantState
from tests.conftest import NOW
from tests.factories.brand import give, make_campaign, make_members, make_perk, make_preview
from tests.factories.perks import codes_of, load, perk_of


@pytest.fixture
def campaign(session: Session) -> Campaign:
    """A draft for three members; nobody joins late."""
    make_members(session, *(f"m{n}@example.com" for n in range(3)))
    campaign = make_campaign(session)
    service.choose_delivery(session, campaign, Delivery(late_joiners=False))
    return campaign


def pool(session: Session, *values: str) -> Perk:
    perk = perk_of(session, RedemptionType.UNIQUE_CODE)
    load(session, perk, "\n".join(values), name="c.txt")
    return perk


def held(session: Session, perk: Perk) -> int:
    query = select(func.count()).select_from(Holding).where(Holding.perk_id == perk.id)
    return session.scalar(query) or 0


class TestBefore:
    def test_what_is_missing_is_known_and_refused(
        self, session: Session, campaign: Campaign
    ) -> None:
        give(session, campaign, pool(session, "A", "B"))
        [need] = needs(session, campaign)
        assert (need.needed, need.missing) == (3, 1)
        with pytest.raises(PerkExhaustedError) as refused, session.begin_nested():
            service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        assert (refused.value.wanted, refused.value.left) == (3, 2)


class TestDuring:
    def test_everybody_has_a_code_of_their_own(self, session: Session, campaign: Campaign) -> None:
        perk = pool(session, "A", "B", "C", "D")
        give(session, campaign, perk)
        run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        runs.advance(session, at=NOW)
        assert (held(session, perk), perk.left) == (3, 1)
        given = {it.holding_id for it in codes_of(session, perk).values()}
        assert len(given - {None}) == 3
        runs.advance(session, at=NOW)
        assert run.state is RunState.COMPLETED

    def test_a_pool_that_ran_dry_stops_its_line_alone_and_goes_on_with_more(
        self, session: Session, campaign: Campaign
    ) -> None:
        perk, other = pool(session, "A", "B", "C"), make_perk(session, "Tea")
        give(session, campaign, perk, other)
        run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        codes.void_typed(session, perk, "B", reason="leaked", at=NOW)
        runs.advance(session, at=NOW)
        assert (held(session, perk), held(session, other)) == (0, 3)
        assert run.pause_reason is not None and "needs 3 codes, but 2 are free" in run.pause_reason
        states = session.scalars(select(Grant.state).where(Grant.state == GrantState.PENDING))
        assert len(states.all()) == 3
        load(session, perk, "E\n", name="more.txt")
        runs.advance(session, at=NOW)
        assert held(session, perk) == 3 and run.pause_reason is None
        runs.advance(session, at=NOW)
        assert run.state is RunState.COMPLETED

    def test_many_are_handed_over_part_by_part(
        self, session: Session, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(grants, "_AT_ONCE", 2)
        perk = pool(session, "A", "B", "C")
        give(session, campaign, perk)
        service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        runs.advance(session, at=NOW)
        assert held(session, perk) == 2
        runs.advance(session, at=NOW)
        assert held(session, perk) == 3

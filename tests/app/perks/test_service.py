"""Perks: drafted, published, archived, never more than there may be."""

from dataclasses import replace

import pytest
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.perks import service
from app.perks.drafting import PerkDraft
from app.perks.errors import PerkInUseError, PerkNotFoundError, PerkTransitionError
from app.perks.models import Perk, PerkState
from app.perks.terms import RedemptionType
from core.db import unit_of_work
from core.errors import InvalidError
from tests.conftest import NOW
from tests.factories.brand import make_other_merchant, make_perk

DRAFT = PerkDraft("Coffee, internally", "Coffee", "On us", "One a day.", "COF-1", 100, 2)


class TestCreate:
    def test_makes_a_draft_with_what_was_chosen(self, session: Session) -> None:
        perk = service.create(session, DRAFT, at=NOW)
        assert (perk.state, perk.redemption, perk.granted_count) == (
            *(PerkState.DRAFT, RedemptionType.NONE, 0),
        )
        assert (perk.title, perk.reference_id, perk.total_quantity) == ("Coffee", "COF-1", 100)

    def test_without_limits_there_are_none(self, session: Session) -> None:
        perk = service.create(session, PerkDraft("Seat", "Seat"), at=NOW)
        assert (perk.total_quantity, perk.max_per_user, perk.reference_id) == (None, None, None)

    def test_a_name_or_reference_is_one_perks_alone(self, session: Session) -> None:
        service.create(session, DRAFT, at=NOW)
        with pytest.raises(InvalidError) as refused:
            service.create(session, DRAFT, at=NOW)
        assert set(refused.value.fields) == {"internal_name", "reference_id"}

    def test_the_name_of_an_archived_one_is_free(self, session: Session) -> None:
        make_perk(session, internal_name=DRAFT.internal_name, state=PerkState.ARCHIVED)
        assert service.create(session, DRAFT, at=NOW).internal_name == DRAFT.internal_name


class TestEdit:
    def test_changes_a_live_one_too(self, session: Session) -> None:
        perk = make_perk(session)
        service.edit(session, perk, replace(DRAFT, title="Tea"))
        assert (perk.title, perk.state) == ("Tea", PerkState.LIVE)

    def test_keeps_its_own_name(self, session: Session) -> None:
        perk = service.create(session, DRAFT, at=NOW)
        service.edit(session, perk, replace(DRAFT, title="Tea"))

    def test_there_are_never_fewer_than_were_given(self, session: Session) -> None:
        perk = make_perk(session, granted_count=5, total_quantity=10)
        service.edit(session, perk, replace(DRAFT, total_quantity=5))
        with pytest.raises(InvalidError) as refused:
            service.edit(session, perk, replace(DRAFT, total_quantity=4))
        assert "Between 5 and" in refused.value.fields["total_quantity"]


class TestStates:
    def test_a_draft_is_published_archived_and_published_again(self, session: Session) -> None:
        perk = service.create(session, DRAFT, at=NOW)
        service.publish(session, perk, at=NOW)
        assert (perk.state, perk.published_at) == (PerkState.LIVE, NOW)
        service.archive(session, perk, is_in_use=False)
        assert perk.state is PerkState.ARCHIVED
        service.publish(session, perk, at=NOW)
        assert service.list_live(session) == [perk]

    def test_a_live_one_is_not_published_again(self, session: Session) -> None:
        with pytest.raises(PerkTransitionError, match="is live cannot be published"):
            service.publish(session, make_perk(session), at=NOW)

    def test_a_draft_is_not_archived(self, session: Session) -> None:
        with pytest.raises(PerkTransitionError, match="is draft cannot be archived"):
            service.archive(session, service.create(session, DRAFT, at=NOW), is_in_use=False)

    def test_nor_is_one_that_a_campaign_gives(self, session: Session) -> None:
        perk = make_perk(session)
        with pytest.raises(PerkInUseError):
            service.archive(session, perk, is_in_use=True)
        assert perk.state is PerkState.LIVE

    def test_an_archived_one_whose_name_was_taken_stays_archived(self, session: Session) -> None:
        perk = make_perk(session, state=PerkState.ARCHIVED)
        make_perk(session)
        with pytest.raises(InvalidError):
            service.publish(session, perk, at=NOW)


class TestGet:
    def test_finds_the_merchants_own_only(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk: Perk = make_perk(session)
            assert service.get(session, perk.id) is perk
        with (
            pytest.raises(PerkNotFoundError),
            unit_of_work(merchant=make_other_merchant(merchant)) as session,
        ):
            service.get(session, perk.id)

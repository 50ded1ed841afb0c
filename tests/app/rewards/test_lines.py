"""Reward lines: what a campaign gives, and what a file may call it."""

import pytest
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.campaigns.models import Campaign
from app.perks.errors import PerkNotFoundError
from app.perks.models import PerkState
from app.rewards.errors import LinesInvalidError, RewardNotLiveError
from app.rewards.lines import Choice, lines_of, names_of, rewards_of, set_lines
from core.db import unit_of_work
from core.ids import new_id
from core.types import PerkId
from minting.errors import AssetNotFoundError
from minting.models import ContractState
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_other_merchant,
    make_perk,
)


@pytest.fixture
def campaign(session: Session) -> Campaign:
    """A draft."""
    return make_campaign(session)


class TestSetLines:
    def test_assets_and_perks_stand_in_their_order(
        self, session: Session, campaign: Campaign
    ) -> None:
        mug, coffee = make_asset(session), make_perk(session)
        choices = [Choice(perk_id=coffee.id, per_recipient=2), Choice(mug.id, quantity=5)]
        set_lines(session, campaign.id, choices)
        lines = lines_of(session, campaign.id)
        assert [(it.reward_id, it.per_recipient, it.quantity) for it in lines] == [
            (coffee.id, 2, None),
            (mug.id, 1, 5),
        ]

    def test_a_second_choice_replaces_the_first_and_keeps_what_stays(
        self, session: Session, campaign: Campaign
    ) -> None:
        mug, cup, coffee = make_asset(session), make_asset(session, title="Cup"), make_perk(session)
        first = set_lines(session, campaign.id, [Choice(mug.id), Choice(cup.id)])
        second = set_lines(
            session, campaign.id, [Choice(perk_id=coffee.id), Choice(cup.id, per_recipient=3)]
        )
        assert second[1].id == first[1].id
        assert [it.reward_id for it in lines_of(session, campaign.id)] == [coffee.id, cup.id]

    def test_ten_are_enough(self, session: Session, campaign: Campaign) -> None:
        perks = [Choice(perk_id=make_perk(session, f"Perk {n}").id) for n in range(11)]
        assert len(set_lines(session, campaign.id, perks[:10])) == 10
        for choices in ([], perks):
            with pytest.raises(LinesInvalidError, match="cannot be saved"):
                set_lines(session, campaign.id, choices)
        assert len(lines_of(session, campaign.id)) == 10

    def test_the_same_twice_is_refused(self, session: Session, campaign: Campaign) -> None:
        mug = Choice(make_asset(session).id)
        with pytest.raises(LinesInvalidError) as refused:
            set_lines(session, campaign.id, [mug, mug])
        assert "twice" in refused.value.fields["rewards"]

    @pytest.mark.parametrize(
        "amounts", [{"per_recipient": 0}, {"per_recipient": 101}, {"quantity": 0}]
    )
    def test_amounts_have_their_range(
        self, session: Session, campaign: Campaign, amounts: dict[str, int]
    ) -> None:
        with pytest.raises(LinesInvalidError):
            set_lines(session, campaign.id, [Choice(make_asset(session).id, **amounts)])

    @pytest.mark.parametrize("state", [ContractState.DRAFT, ContractState.PUBLISHING])
    def test_an_asset_that_is_not_live_is_refused(
        self, session: Session, campaign: Campaign, state: ContractState
    ) -> None:
        with pytest.raises(RewardNotLiveError) as refused:
            give(session, campaign, make_asset(session, state=state).id)
        assert "rewards" in refused.value.fields
        assert lines_of(session, campaign.id) == []

    @pytest.mark.parametrize("state", [PerkState.DRAFT, PerkState.ARCHIVED])
    def test_a_perk_neither(self, session: Session, campaign: Campaign, state: PerkState) -> None:
        with pytest.raises(RewardNotLiveError):
            give(session, campaign, make_perk(session, state=state))

    def test_what_is_another_merchants_does_not_exist(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            asset = make_asset(session)
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            campaign = make_campaign(session)
            with pytest.raises(AssetNotFoundError):
                give(session, campaign, asset.id)
            with pytest.raises(PerkNotFoundError):
                give(session, campaign, Choice(perk_id=PerkId(new_id())))


class TestNames:
    def test_are_the_reference_and_what_people_call_it(
        self, session: Session, campaign: Campaign
    ) -> None:
        give(
            session,
            campaign,
            make_asset(session, reference_id="M-1").id,
            make_perk(session, reference_id="C-1"),
        )
        mug, coffee = lines_of(session, campaign.id)
        assert names_of(rewards_of(session, campaign.id)) == {
            **{"M-1": mug.id, "Mug": mug.id},
            **{"C-1": coffee.id, "Coffee": coffee.id, "Coffee, internally": coffee.id},
        }

    def test_that_two_share_mean_neither_but_for_a_reference(
        self, session: Session, campaign: Campaign
    ) -> None:
        first = make_asset(session, internal_name="one", reference_id="two")
        second = make_asset(session, internal_name="two")
        give(session, campaign, first.id, second.id)
        line = lines_of(session, campaign.id)[0]
        assert names_of(rewards_of(session, campaign.id)) == {"one": line.id, "two": line.id}


class TestLeft:
    def test_the_smallest_limit_counts(self, session: Session, campaign: Campaign) -> None:
        edition = make_asset(session, max_supply=10, minted_count=4)
        endless = make_perk(session)
        few = make_perk(session, "Seat", total_quantity=5, granted_count=3)
        give(session, campaign, Choice(edition.id, quantity=8), endless, few)
        assert [it.left for it in rewards_of(session, campaign.id)] == [6, None, 2]

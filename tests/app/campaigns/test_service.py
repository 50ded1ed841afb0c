"""Campaigns: drafts are edited, published from a fresh preview, and published once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.campaigns import audiences, previews, queries, service
from app.campaigns.errors import (
    CampaignNotFoundError,
    CampaignNotPublishableError,
    InvalidTransitionError,
    PreviewStaleError,
)
from app.campaigns.models import (
    AirdropPreview,
    AirdropRun,
    AudienceKind,
    Campaign,
    CampaignState,
    RunState,
)
from app.rewards.errors import RewardNotLiveError
from app.rewards.lines import Choice, lines_of
from app.rewards.models import Grant
from app.users.models import User, UserState
from core.db import unit_of_work
from core.errors import InvalidError
from core.types import RunId
from minting.errors import SupplyExhaustedError
from minting.models import ContractState, MembershipPass, PassState
from tests.conftest import NOW, make_merchant
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_members,
    make_other_merchant,
    make_pass_contract,
    make_preview,
)


def make_ready(session: Session, *, members: int = 3, **asset: Any) -> Campaign:
    """A campaign that only waits for its publishing."""
    make_pass_contract(session)
    make_members(session, *(f"m{n}@example.com" for n in range(members)))
    campaign = make_campaign(session)
    give(session, campaign, make_asset(session, **asset).id)
    return campaign


@pytest.fixture
def ready(session: Session) -> Campaign:
    """A campaign for three members."""
    return make_ready(session)


def count(session: Session, table: type[Any]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


class TestDraft:
    def test_begins_with_an_internal_title(self, session: Session) -> None:
        campaign = service.create_airdrop(session, "  Winter  ", at=NOW)
        assert (campaign.internal_title, campaign.state) == ("Winter", CampaignState.DRAFT)

    @pytest.mark.parametrize("title", ["", "   ", "x" * 121])
    def test_without_one_it_is_refused(self, session: Session, title: str) -> None:
        with pytest.raises(InvalidError) as refused:
            service.create_airdrop(session, title, at=NOW)
        assert list(refused.value.fields) == ["internal_title"]
        assert count(session, Campaign) == 0

    def test_everything_wrong_with_the_texts_is_said_at_once(self, session: Session) -> None:
        campaign = service.create_airdrop(session, "Winter", at=NOW)
        with pytest.raises(InvalidError) as refused:
            service.describe(session, campaign, title=" ", description="x" * 5001)
        assert set(refused.value.fields) == {"title", "description"}
        assert campaign.title is None

    def test_the_longest_texts_are_taken(self, session: Session) -> None:
        campaign = service.create_airdrop(session, "x" * 120, at=NOW)
        service.describe(session, campaign, title="y" * 80, description="z" * 5000)
        assert campaign.title == "y" * 80

    def test_a_reward_that_is_not_live_is_refused(self, session: Session) -> None:
        campaign = make_campaign(session)
        asset = make_asset(session, state=ContractState.DRAFT)
        with pytest.raises(RewardNotLiveError):
            give(session, campaign, asset.id)

    def test_one_of_another_merchant_does_not_exist(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            campaign = make_campaign(session)
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            with pytest.raises(CampaignNotFoundError):
                service.get(session, campaign.id)
            assert session.scalars(queries.campaigns()).all() == []


class TestSlug:
    def test_equal_titles_get_slugs_of_their_own(self, session: Session) -> None:
        slugs = [make_campaign(session, "Merci, Joëlle!").slug for _ in range(3)]
        assert slugs == ["merci-joelle", "merci-joelle-2", "merci-joelle-3"]

    def test_stays_when_the_title_changes(self, session: Session) -> None:
        campaign = make_campaign(session, "First")
        service.describe(session, campaign, title="Second", description="")
        assert campaign.slug == "first"

    def test_a_title_without_latin_letters_gets_one_too(self, session: Session) -> None:
        assert [make_campaign(session, title).slug for title in ("谢谢", "ευχαριστώ")] == [
            "campaign",
            "campaign-2",
        ]

    def test_a_slug_that_begins_alike_is_no_obstacle(self, session: Session) -> None:
        slugs = [make_campaign(session, title).slug for title in ("Tea 2", "Tea", "Tea")]
        assert slugs == ["tea-2", "tea", "tea-3"]


class TestFailingRules:
    def test_all_are_named_at_once(self, session: Session) -> None:
        campaign = service.create_airdrop(session, "Winter", at=NOW)
        assert set(service.failing_rules(session, campaign)) == {
            "title_missing",
            "audience_empty",
            "reward_missing",
        }
        campaign.audience_kind = None
        assert "audience_missing" in service.failing_rules(session, campaign)

    def test_none_is_left_of_a_complete_one(self, session: Session, ready: Campaign) -> None:
        assert service.failing_rules(session, ready) == {}

    def test_neither_preview_nor_publishing_gets_past_them(
        self, session: Session, ready: Campaign
    ) -> None:
        preview = make_preview(session, ready)
        draft = service.create_airdrop(session, "Winter", at=NOW)
        with pytest.raises(CampaignNotPublishableError) as refused:
            service.publish(session, draft, preview, at=NOW)
        assert set(refused.value.fields) == {"title_missing", "reward_missing"}
        with pytest.raises(CampaignNotPublishableError):
            previews.make(session, draft, at=NOW)


class TestAudience:
    def test_is_every_active_member(self, session: Session, ready: Campaign) -> None:
        blocked = session.scalars(select(User)).first()
        assert blocked is not None
        blocked.state = UserState.BLOCKED
        session.flush()
        assert audiences.reach(session, ready).total == 2
        assert blocked.id not in session.scalars(audiences.members(ready)).all()


class TestPublish:
    def test_freezes_the_audience_and_gives_every_pass_its_number(
        self, session: Session, ready: Campaign
    ) -> None:
        run = service.publish(session, ready, make_preview(session, ready), at=NOW)
        assert (run.state, run.recipient_count) == (RunState.PREPARING, 3)
        assert (ready.state, ready.published_at) == (CampaignState.PUBLISHED, NOW)
        assert count(session, Grant) == 3
        session.expire_all()
        assert set(session.scalars(select(MembershipPass.state))) == {PassState.MINTING}

    def test_who_joins_later_is_not_in_it(self, session: Session, ready: Campaign) -> None:
        service.publish(session, ready, make_preview(session, ready), at=NOW)
        make_members(session, "late@example.com")
        assert count(session, Grant) == 3

    def test_again_answers_the_same_run(self, session: Session, ready: Campaign) -> None:
        preview = make_preview(session, ready)
        first = service.publish(session, ready, preview, at=NOW)
        assert service.publish(session, ready, preview, at=NOW).id == first.id
        assert (count(session, AirdropRun), count(session, Grant)) == (1, 3)

    def test_too_small_an_edition_publishes_nothing(self, session: Session) -> None:
        campaign = make_ready(session, max_supply=2)
        with pytest.raises(SupplyExhaustedError), session.begin_nested():
            service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        session.expire_all()
        assert campaign.state is CampaignState.DRAFT
        assert count(session, Grant) == count(session, AirdropRun) == 0

    def test_by_several_at_once_is_one_run(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            campaign_id = make_ready(session).id
        with unit_of_work(merchant=merchant) as session:
            preview_id = make_preview(session, service.get(session, campaign_id)).id
        together = Barrier(4)

        def publish(_: int) -> RunId:
            with unit_of_work(merchant=merchant) as session:
                campaign = service.get(session, campaign_id)
                preview = session.get_one(AirdropPreview, preview_id)
                together.wait(20)
                return service.publish(session, campaign, preview, at=NOW).id

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(publish, range(4)))) == 1
        with unit_of_work(merchant=merchant) as session:
            assert (count(session, AirdropRun), count(session, Grant)) == (1, 3)


class TestStalePreview:
    def refused(
        self, session: Session, campaign: Campaign, preview: AirdropPreview, **late: float
    ) -> str:
        with pytest.raises(PreviewStaleError) as error:
            service.publish(session, campaign, preview, at=NOW + timedelta(**late))
        assert campaign.state is CampaignState.DRAFT
        assert count(session, AirdropRun) == 0
        return str(error.value)

    def test_by_a_changed_campaign(self, session: Session, ready: Campaign) -> None:
        preview = make_preview(session, ready)
        service.describe(session, ready, title="Another", description="")
        assert "was changed since" in self.refused(session, ready, preview)

    def test_of_another_campaign(self, session: Session, ready: Campaign) -> None:
        other = make_campaign(session, "Other")
        preview = make_preview(session, ready, campaign_id=other.id)
        assert "was changed since" in self.refused(session, ready, preview)

    def test_by_its_age(self, session: Session, ready: Campaign) -> None:
        preview = make_preview(session, ready)
        assert "older than a day" in self.refused(session, ready, preview, hours=24, seconds=1)
        service.publish(session, ready, preview, at=NOW + timedelta(hours=24))

    def test_by_another_reward(self, session: Session, ready: Campaign) -> None:
        preview = make_preview(session, ready)
        give(session, ready, make_asset(session, title="Cup").id)
        assert "the rewards were changed" in self.refused(session, ready, preview)

    @pytest.mark.parametrize(
        ("counted", "now", "stale"),
        [(50, 51, False), (50, 49, False), (49, 50, True), (50, 52, True), (50, 48, True)],
    )
    def test_by_an_audience_that_moved_by_more_than_two_percent(
        self, session: Session, counted: int, now: int, stale: bool
    ) -> None:
        campaign = make_ready(session, members=now)
        preview = make_preview(session, campaign, recipient_count=counted)
        if stale:
            assert f"it counted {counted}" in self.refused(session, campaign, preview)
        else:
            service.publish(session, campaign, preview, at=NOW)

    def test_the_preview_is_found_at_its_own_campaign_only(
        self, session: Session, ready: Campaign
    ) -> None:
        preview = make_preview(session, ready)
        assert previews.find(session, ready, preview.id) is preview
        assert previews.newest(session, ready) is preview
        assert previews.find(session, make_campaign(session), preview.id) is None


class TestAfterPublishing:
    def test_nothing_can_be_edited(self, session: Session, ready: Campaign) -> None:
        service.publish(session, ready, make_preview(session, ready), at=NOW)
        [line] = lines_of(session, ready.id)
        with pytest.raises(InvalidTransitionError):
            service.describe(session, ready, title="Another", description="")
        with pytest.raises(InvalidTransitionError):
            service.choose_audience(session, ready, AudienceKind.ALL)
        with pytest.raises(InvalidTransitionError):
            give(session, ready, Choice(line.asset_id, per_recipient=2))

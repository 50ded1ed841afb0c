"""Airdrops that start later: looked at once more before, and started once."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from rich.console import Console
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.campaigns import latecomers, runs, schedule, service
from app.campaigns.errors import InvalidTransitionError, PreviewStaleError
from app.campaigns.models import AirdropRun, Campaign, CampaignState, RunState
from app.campaigns.service import Delivery
from app.campaigns.terminal import follow
from app.perks.models import Perk
from app.rewards.models import Grant
from core.db import unit_of_work
from core.ids import encode_id
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW, make_merchant
from tests.factories.brand import (
    give,
    make_campaign,
    make_members,
    make_perk,
    make_preview,
)
from tests.factories.chain import CHAIN_ID

START = NOW + timedelta(hours=2)
SOON = START - timedelta(minutes=10)


def make_scheduled(session: Session) -> AirdropRun:
    """A perk for three members, two hours from now."""
    make_members(session, *(f"m{n}@example.com" for n in range(3)))
    campaign = make_campaign(session)
    give(session, campaign, make_perk(session, total_quantity=3))
    service.choose_delivery(session, campaign, Delivery(late_joiners=False, starts_at=START))
    return service.publish(session, campaign, make_preview(session, campaign), at=NOW)


@pytest.fixture
def run(session: Session) -> AirdropRun:
    """The same, in the transaction of the test."""
    return make_scheduled(session)


def campaign_of(session: Session, run: AirdropRun) -> Campaign:
    return session.get_one(Campaign, run.campaign_id)


def grants(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Grant)) or 0


class TestPublish:
    def test_promises_nothing_before_its_time(self, session: Session, run: AirdropRun) -> None:
        assert campaign_of(session, run).state is CampaignState.SCHEDULED
        runs.advance(session, at=NOW)
        runs.advance(session, at=NOW, is_offline=True)
        runs.halt(session, CHAIN_ID, reason="the chain is silent")
        latecomers.look(session, at=NOW)
        assert (run.state, run.pause_reason, grants(session)) == (RunState.PREPARING, None, 0)

    def test_nobody_follows_it_in_a_terminal_before_its_time(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_scheduled(session)
        assert follow(Console(quiet=True), is_once=True) == 0
        with unit_of_work(merchant=merchant.id) as session:
            schedule.start_due(session, at=START)
        assert follow(Console(quiet=True), is_once=True) == 1

    def test_of_a_time_that_has_passed_starts_at_once(self, session: Session) -> None:
        make_members(session, "m@example.com")
        campaign = make_campaign(session)
        give(session, campaign, make_perk(session))
        service.choose_delivery(session, campaign, Delivery(starts_at=NOW))
        service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        assert (campaign.state, grants(session)) == (CampaignState.PUBLISHED, 1)


class TestStart:
    @pytest.mark.parametrize(
        ("at", "started"), [(SOON, False), (START - timedelta(seconds=1), False), (START, True)]
    )
    def test_is_at_its_time(
        self, session: Session, run: AirdropRun, at: datetime, started: bool
    ) -> None:
        assert schedule.start_due(session, at=at) is started
        assert grants(session) == 3 * started
        assert campaign_of(session, run).published_at == (at if started else None)

    def test_is_once(self, session: Session, run: AirdropRun) -> None:
        assert [schedule.start_due(session, at=START) for _ in range(2)] == [True, False]
        runs.advance(session, at=START)
        assert (run.state, grants(session)) == (RunState.COMPLETED, 3)

    def test_by_many_at_once_is_once(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            make_scheduled(session)
        together = Barrier(3)

        def start(_: int) -> bool:
            with unit_of_work(merchant=merchant) as session:
                together.wait(20)
                return schedule.start_due(session, at=START)

        with ThreadPoolExecutor(3) as pool:
            assert sorted(pool.map(start, range(3))) == [False, False, True]
        with unit_of_work(merchant=merchant) as session:
            assert grants(session) == 3

    def test_waits_for_who_paused_it(self, session: Session, run: AirdropRun) -> None:
        runs.pause(session, run, by="Ada")
        assert not schedule.start_due(session, at=START)
        runs.resume(session, run)
        assert schedule.start_due(session, at=START)

    def test_of_a_cancelled_one_does_not_happen(self, session: Session, run: AirdropRun) -> None:
        runs.cancel(session, run, by="Ada", at=NOW)
        assert (run.state, run.completed_at) == (RunState.CANCELLED, NOW)
        assert not schedule.start_due(session, at=START)


class TestStale:
    def test_an_audience_that_moved_is_said_ten_minutes_before(
        self, session: Session, run: AirdropRun
    ) -> None:
        make_members(session, "one.more@example.com")
        schedule.start_due(session, at=SOON - timedelta(seconds=1))
        assert run.state is RunState.PREPARING
        schedule.start_due(session, at=SOON)
        assert run.state is RunState.PAUSED
        assert "counted 3 recipients, now there are 4" in (run.pause_reason or "")
        assert not schedule.start_due(session, at=START)

    def test_so_is_a_reward_of_which_too_few_are_left(
        self, session: Session, run: AirdropRun
    ) -> None:
        session.execute(update(Perk).values(total_quantity=2))
        session.expire_all()
        schedule.start_due(session, at=SOON)
        assert "too few are left of Coffee" in (run.pause_reason or "")

    def test_what_went_between_check_and_start_stops_it_too(
        self, session: Session, run: AirdropRun
    ) -> None:
        schedule.start_due(session, at=SOON)
        session.execute(update(Perk).values(total_quantity=2))
        session.expire_all()
        assert not schedule.start_due(session, at=START)
        assert "has 2 left" in (run.pause_reason or "")
        assert (grants(session), campaign_of(session, run).state) == (0, CampaignState.SCHEDULED)

    def test_a_person_lets_it_go_on_from_a_new_preview(
        self, session: Session, run: AirdropRun
    ) -> None:
        make_members(session, "one.more@example.com")
        session.execute(update(Perk).values(total_quantity=4))
        session.expire_all()
        schedule.start_due(session, at=SOON)
        preview = make_preview(session, campaign_of(session, run))
        schedule.confirm(session, run, preview, at=SOON)
        assert (run.state, run.pause_reason) == (RunState.PREPARING, None)
        assert schedule.start_due(session, at=START)
        assert grants(session) == 4

    def test_not_from_one_that_is_wrong_again(self, session: Session, run: AirdropRun) -> None:
        preview = make_preview(session, campaign_of(session, run), recipient_count=9)
        with pytest.raises(PreviewStaleError):
            schedule.confirm(session, run, preview, at=SOON)

    def test_nor_once_it_has_started(self, session: Session, run: AirdropRun) -> None:
        schedule.start_due(session, at=START)
        preview = make_preview(session, campaign_of(session, run))
        with pytest.raises(InvalidTransitionError):
            schedule.confirm(session, run, preview, at=START)
        with pytest.raises(InvalidTransitionError):
            schedule.unschedule(session, run)


class TestUnschedule:
    def test_makes_it_a_draft_that_can_be_published_again(
        self, session: Session, run: AirdropRun
    ) -> None:
        campaign = campaign_of(session, run)
        schedule.unschedule(session, run)
        assert campaign.state is CampaignState.DRAFT
        service.choose_delivery(session, campaign, Delivery())
        service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        assert grants(session) == 3


class TestPages:
    def test_it_is_scheduled_looked_at_again_and_taken_back(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_members(session, "ada@example.com")
            campaign = make_campaign(session)
            give(session, campaign, make_perk(session))
        page = f"/admin/campaigns/{encode_id('cmp', campaign.id)}"

        def send(act: str, **fields: str) -> tuple[int, str]:
            token = token_in(admin.get(page, headers=HTML, follow_redirects=True).text)
            headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
            answer = admin.post(f"{page}/{act}", headers=headers, data=fields)
            return answer.status_code, answer.headers.get("location") or answer.text

        status, text = send("delivery", starts_at="tomorrow")
        assert status == 422 and "A date and a time" in text
        assert send("delivery", starts_at="2999-01-01T12:30") == (303, f"{page}/review")
        review = admin.get(f"{page}/review", headers=HTML).text
        assert "1 Jan 2999, 12:30" in review and "Schedule this airdrop?" in review
        assert send("publish", preview=preview_in(review)) == (303, page)
        shown = admin.get(page, headers=HTML).text
        assert (
            "It starts 1 Jan 2999, 12:30" in re.sub("<[^>]+>", "", shown)
            and f"{page}/confirm" in shown
        )
        again = admin.get(f"{page}/confirm", headers=HTML).text
        assert "Start from this preview" in again
        assert send("confirm", preview=preview_in(again)) == (303, page)
        assert send("unschedule") == (303, f"{page}/review")
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(Campaign, campaign.id).state is CampaignState.DRAFT


def preview_in(page: str) -> str:
    """The preview that the page would act on."""
    return page.split('name="preview" value="')[1].split('"')[0]

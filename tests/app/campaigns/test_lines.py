"""Several rewards in one airdrop: promised, planned, paused and counted line by line."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.campaigns import audiences, deliveries, files, latecomers, runs, service
from app.campaigns.models import AirdropRun, Campaign, CampaignState, RunState
from app.campaigns.needs import needs
from app.campaigns.previews import make
from app.campaigns.progress import progress
from app.campaigns.service import Delivery
from app.perks.models import Holding, Perk
from app.rewards.closing import close_delivered
from app.rewards.lines import Choice, lines_of
from app.rewards.models import Grant, GrantState
from core.db import unit_of_work
from core.events import Event
from core.types import AssetId, CampaignId, MerchantId
from minting.models import (
    BatchState,
    DigitalAsset,
    Plan,
    PlanState,
    Token,
    TokenState,
)
from tests.conftest import NOW, make_merchant
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
    make_perk,
    make_preview,
)
from tests.factories.campaigns import choose, read, upload
from tests.factories.minting import activate_passes, rounds

CUP = "0x" + "77" * 20
ADDRESS = "0x000000000000000000000000000000000000dEaD"


@pytest.fixture
def campaign(session: Session) -> Campaign:
    """A draft for three members; nobody joins late."""
    make_pass_contract(session)
    make_members(session, *(f"m{n}@example.com" for n in range(3)))
    campaign = make_campaign(session)
    service.choose_delivery(session, campaign, Delivery(late_joiners=False))
    return campaign


def start(session: Session, campaign: Campaign, *given: AssetId | Perk | Choice) -> AirdropRun:
    """The campaign gives these, is published, and its members have their passes."""
    give(session, campaign, *given)
    run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
    activate_passes(session)
    runs.advance(session, at=NOW)
    return run


def plans(session: Session, run: AirdropRun) -> Sequence[Plan]:
    return session.scalars(select(Plan).where(*runs.plans_of(run)).order_by(Plan.ordinal)).all()


def serve(session: Session, plan: Plan) -> None:
    """All of the plan is on the chain and the grants are closed."""
    for batch in plan.batches:
        batch.state, batch.settled_at = BatchState.FINAL, NOW
        owned = update(Token).where(Token.batch_id == batch.id).values(state=TokenState.OWNED)
        session.execute(owned)
    plan.state = PlanState.DONE
    session.flush()
    close_delivered(session, at=NOW)
    session.expire_all()


def states(session: Session) -> dict[GrantState, int]:
    rows = session.execute(select(Grant.state, func.count()).group_by(Grant.state))
    return dict(rows.all())


class TestTwoCollectibles:
    @pytest.fixture
    def run(self, session: Session, campaign: Campaign) -> AirdropRun:
        """Two mugs and a cup each, planned."""
        mug, cup = make_asset(session), make_asset(session, title="Cup", address=CUP)
        return start(session, campaign, Choice(mug.id, per_recipient=2), cup.id)

    def test_have_a_plan_each_and_count_together(self, session: Session, run: AirdropRun) -> None:
        assert run.state is RunState.RUNNING
        assert [len(plan.batches) for plan in plans(session, run)] == [2, 1]
        numbers = progress(session, run, at=NOW)
        assert (numbers.recipients, numbers.total, numbers.transactions_total) == (3, 9, 3)

    def test_the_run_is_over_when_both_are(self, session: Session, run: AirdropRun) -> None:
        first, second = plans(session, run)
        serve(session, first)
        runs.advance(session, at=NOW)
        assert run.state is RunState.RUNNING
        serve(session, second)
        runs.advance(session, at=NOW)
        assert run.state is RunState.COMPLETED
        assert progress(session, run, at=NOW).delivered == 9
        done = session.scalars(select(Event).where(Event.type == "cohort.airdrop.completed")).one()
        assert done.data["delivered"] == 9

    def test_one_that_is_held_does_not_pause_the_other(
        self, session: Session, run: AirdropRun
    ) -> None:
        first, second = plans(session, run)
        first.state, first.batches[0].state = PlanState.HELD, BatchState.HELD
        first.batches[0].held_reason = "no gas"
        runs.advance(session, at=NOW)
        assert (run.state, run.pause_reason) == (RunState.RUNNING, "no gas")
        serve(session, second)
        runs.advance(session, at=NOW)
        assert (run.state, run.pause_reason) == (RunState.PAUSED, "no gas")
        assert runs.retry(session, run, at=NOW) == 1
        runs.advance(session, at=NOW)
        assert (run.state, run.pause_reason) == (RunState.RUNNING, None)

    def test_a_person_pauses_and_resumes_both(self, session: Session, run: AirdropRun) -> None:
        runs.pause(session, run, by="Ada")
        assert [plan.is_paused for plan in plans(session, run)] == [True, True]
        runs.advance(session, at=NOW)
        assert run.state is RunState.PAUSED
        runs.resume(session, run)
        assert [plan.is_paused for plan in plans(session, run)] == [False, False]

    def test_cancelled_what_is_signed_of_one_is_served(
        self, session: Session, run: AirdropRun
    ) -> None:
        first, second = plans(session, run)
        first.batches[0].state = BatchState.ASSIGNED
        session.flush()
        runs.cancel(session, run, by="Ada", at=NOW)
        mugs, cups = lines_of(session, run.campaign_id)
        assert (rounds(session, mugs), rounds(session, cups)) == ([0, None], [None])
        assert (mugs.granted_count, cups.granted_count, run.completed_at) == (3, 0, None)
        assert states(session) == {GrantState.PENDING: 3, GrantState.CANCELLED: 6}
        serve_only = first.batches[0]
        serve_only.settled_at, serve_only.state = NOW, BatchState.FINAL
        owned = update(Token).where(Token.batch_id == serve_only.id)
        session.execute(owned.values(state=TokenState.OWNED))
        session.flush()
        close_delivered(session, at=NOW)
        runs.advance(session, at=NOW)
        assert run.completed_at == NOW
        numbers = progress(session, run, at=NOW)
        assert (numbers.delivered, numbers.cancelled, numbers.total) == (3, 6, 9)
        assert second.state is PlanState.DONE

    def test_an_earlier_airdrop_holds_up_its_own_collectible_only(
        self, session: Session, run: AirdropRun
    ) -> None:
        mug = lines_of(session, run.campaign_id)[0].asset_id
        assert mug is not None
        other = make_campaign(session, "More")
        vase = make_asset(session, title="Vase", address="0x" + "55" * 20)
        give(session, other, mug, vase.id)
        later = service.publish(session, other, make_preview(session, other), at=NOW)
        runs.advance(session, at=NOW)
        assert [plan.contract for plan in plans(session, later)] == [vase.address]
        for plan in plans(session, run):
            serve(session, plan)
        runs.advance(session, at=NOW)
        assert len(plans(session, later)) == 2


class TestPerksAlone:
    def test_are_handed_over_without_a_chain(self, session: Session) -> None:
        make_members(session, *(f"m{n}@example.com" for n in range(3)))  # nor a registry of passes
        campaign = make_campaign(session)
        service.choose_delivery(session, campaign, Delivery(late_joiners=False))
        give(session, campaign, Choice(perk_id=make_perk(session).id, per_recipient=2))
        preview = make(session, campaign, at=NOW)
        assert (preview.report["is_on_chain"], preview.report["transactions"]) == (False, 0)
        run = service.publish(session, campaign, preview, at=NOW)
        assert (run.state, states(session)) == (RunState.PREPARING, {GrantState.PENDING: 6})
        runs.advance(session, at=NOW, is_offline=True)
        assert (run.state, campaign.state) == (RunState.COMPLETED, CampaignState.ENDED)
        assert (run.started_at, states(session)) == (NOW, {GrantState.DELIVERED: 6})
        assert session.scalars(select(Plan)).all() == session.scalars(select(Token)).all() == []
        assert progress(session, run, at=NOW).delivered == 6

    def test_paused_before_nothing_is_handed_over(
        self, session: Session, campaign: Campaign
    ) -> None:
        give(session, campaign, make_perk(session))
        run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        runs.pause(session, run, by="Ada")
        runs.advance(session, at=NOW)
        assert (run.state, states(session)) == (RunState.PAUSED, {GrantState.PENDING: 3})
        runs.resume(session, run)
        runs.advance(session, at=NOW)
        assert (run.state, states(session)) == (RunState.COMPLETED, {GrantState.DELIVERED: 3})

    def test_cancelled_before_nobody_has_it_and_the_stock_is_back(
        self, session: Session, campaign: Campaign
    ) -> None:
        perk = make_perk(session, total_quantity=3)
        give(session, campaign, perk)
        run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        runs.cancel(session, run, by="Ada", at=NOW)
        assert (run.state, run.completed_at) == (RunState.CANCELLED, NOW)
        assert states(session) == {GrantState.CANCELLED: 3}
        assert perk.granted_count == 0
        assert session.scalars(select(Holding)).all() == []

    def test_a_run_with_collectibles_waits_for_the_chain(
        self, session: Session, campaign: Campaign
    ) -> None:
        give(session, campaign, make_asset(session).id, make_perk(session))
        service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        runs.advance(session, at=NOW, is_offline=True)
        assert states(session) == {GrantState.PENDING: 6}


class TestPerksAndCollectibles:
    def test_perks_come_at_once_and_the_run_ends_with_the_last_collectible(
        self, session: Session, campaign: Campaign
    ) -> None:
        run = start(session, campaign, make_perk(session), make_asset(session).id)
        assert states(session) == {GrantState.DELIVERED: 3, GrantState.PENDING: 3}
        assert run.state is RunState.RUNNING
        [plan] = plans(session, run)
        serve(session, plan)
        runs.advance(session, at=NOW)
        assert (run.state, states(session)) == (RunState.COMPLETED, {GrantState.DELIVERED: 6})
        numbers = progress(session, run, at=NOW)
        assert (numbers.delivered, numbers.on_chain, numbers.recipients) == (6, 3, 3)

    def test_who_joins_late_receives_every_line(self, session: Session, campaign: Campaign) -> None:
        service.choose_delivery(session, campaign, Delivery(late_joiners=True))
        perk = make_perk(session, total_quantity=4)
        run = start(session, campaign, perk, Choice(make_asset(session).id, per_recipient=2))
        serve(session, plans(session, run)[0])
        runs.advance(session, at=NOW)
        assert run.state is RunState.STANDBY
        make_members(session, "late@example.com")
        assert latecomers.look(session, at=NOW) == 3
        assert (run.recipient_count, run.reward_count) == (4, 12)
        runs.advance(session, at=NOW)
        assert perk.granted_count == session.scalar(select(func.count()).select_from(Holding)) == 4

    def test_of_what_is_exhausted_late_joiners_receive_the_rest(
        self, session: Session, campaign: Campaign
    ) -> None:
        service.choose_delivery(session, campaign, Delivery(late_joiners=True))
        run = start(session, campaign, make_perk(session, total_quantity=3), make_asset(session).id)
        make_members(session, "late@example.com")
        assert latecomers.look(session, at=NOW) == 1
        assert "has 0 left" in (run.refused_reason or "")
        assert (run.recipient_count, run.reward_count) == (4, 7)
        session.execute(update(Perk).values(total_quantity=4))
        session.expire_all()
        assert latecomers.look(session, at=NOW + timedelta(seconds=5)) == 1
        assert (run.recipient_count, run.reward_count, run.refused_reason) == (4, 8, None)


FILE = f"""email,quantity,reward
m0@example.com,3,MUG
m0@example.com,2,coffee
m1@example.com,,
new@example.com,1,MUG
{ADDRESS},2,
"""


class TestFile:
    @pytest.fixture
    def named(self, session: Session, campaign: Campaign) -> Campaign:
        """Mugs and coffees to whom a file names, with quantities."""
        mug = make_asset(session, reference_id="MUG", max_supply=100)
        coffee = make_perk(session, "Coffee", reference_id="coffee", max_per_user=2)
        give(session, campaign, mug.id, Choice(perk_id=coffee.id, per_recipient=2))
        return campaign

    def test_says_how_many_of_which_reward(self, session: Session, named: Campaign) -> None:
        file = read(session, choose(session, named, FILE))
        assert file.rejected == {}
        reach = audiences.reach(session, named)
        assert (reach.known, reach.newcomers, reach.addresses, reach.total) == (2, 1, 1, 4)
        forecast = needs(session, named)
        assert [(it.needed, it.skipped, it.missing) for it in forecast] == [(7, 0, 0), (4, 2, 0)]
        run = service.publish(session, named, make_preview(session, named), at=NOW)
        mugs, coffees = lines_of(session, named.id)
        assert (mugs.granted_count, coffees.granted_count, coffees.skipped_count) == (7, 4, 2)
        assert (run.recipient_count, run.reward_count) == (4, 11)
        activate_passes(session)
        runs.advance(session, at=NOW)
        assert states(session) == {
            **{GrantState.PENDING: 7, GrantState.DELIVERED: 4, GrantState.SKIPPED: 2}
        }
        assert rounds(session, mugs) == [0, 1, 2]

    def test_the_same_again_adds_nothing(self, session: Session, named: Campaign) -> None:
        read(session, choose(session, named, FILE))
        run = service.publish(session, named, make_preview(session, named), at=NOW)
        more = FILE.replace("m0@example.com,3", "m0@example.com,9")
        file = read(session, upload(session, named, more))
        assert service.add_rows(session, run, file, at=NOW) == 0
        assert run.reward_count == 11
        file = read(session, upload(session, named, f"{FILE}m2@example.com,2,Mug\n"))
        assert service.add_rows(session, run, file, at=NOW) == 1
        assert (run.recipient_count, run.reward_count) == (5, 13)

    def test_a_row_that_an_earlier_one_covers_is_a_duplicate(
        self, session: Session, named: Campaign
    ) -> None:
        content = (
            "email,reward\na@example.com,MUG\na@example.com,Mug\na@example.com,coffee\n"
            "b@example.com,\nb@example.com,MUG\nc@example.com,MUG\nc@example.com,\n"
            "d@example.com,vase\n"
        )
        file = read(session, choose(session, named, content))
        assert file.rejected == {"duplicate_row": 2, "unknown_reward": 1}
        assert [row.line for row in files.sample_rejected(session, file)] == [3, 6, 9]

    def test_what_is_missing_shows_before_publishing(
        self, session: Session, named: Campaign
    ) -> None:
        session.execute(update(DigitalAsset).values(max_supply=6))
        session.expire_all()
        read(session, choose(session, named, FILE))
        assert [it.missing for it in needs(session, named)] == [1, 0]


class TestRecipients:
    def rows(self, session: Session, run: AirdropRun, **filters: object) -> list[tuple[str, ...]]:
        query = deliveries.recipients(run, **filters).order_by(*deliveries.KEYS)  # type: ignore[arg-type]
        found = deliveries.details(session, run, session.scalars(query).all())
        return [(it.reward.title, str(it.grant.ordinal), it.state.value) for it in found]

    def test_there_is_a_row_for_each_reward(self, session: Session, campaign: Campaign) -> None:
        run = start(
            session, campaign, Choice(make_asset(session).id, per_recipient=2), make_perk(session)
        )
        rows = self.rows(session, run)
        assert sorted(set(rows)) == [
            *(("Coffee", "0", "delivered"), ("Mug", "0", "granting"), ("Mug", "1", "granting")),
        ]
        assert len(rows) == 9
        coffee = lines_of(session, campaign.id)[1]
        assert {title for title, *_ in self.rows(session, run, line=coffee.id)} == {"Coffee"}

    def test_of_a_paused_perk_they_are_queued(self, session: Session, campaign: Campaign) -> None:
        give(session, campaign, make_perk(session))
        run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        queued = deliveries.RecipientState.QUEUED
        assert self.rows(session, run, state=queued) == [("Coffee", "0", "queued")] * 3


class TestAtOnce:
    def publish(self, merchant: MerchantId, campaign: CampaignId, together: Barrier) -> int:
        with unit_of_work(merchant=merchant) as session:
            row = session.get_one(Campaign, campaign)
            preview = make_preview(session, row)
            together.wait(20)
            return service.publish(session, row, preview, at=NOW).reward_count

    def test_airdrops_of_the_same_rewards_in_another_order_do_not_stop_each_other(
        self, committed: None
    ) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            make_pass_contract(session)
            make_members(session, *(f"m{n}@example.com" for n in range(30)))
            given = (make_asset(session).id, make_perk(session), make_perk(session, "Seat"))
            campaigns = []
            for turn in range(3):
                campaign = make_campaign(session, f"Turn {turn}")
                give(session, campaign, *given[turn:], *given[:turn])
                campaigns.append(campaign.id)
        together = Barrier(3)
        with ThreadPoolExecutor(3) as pool:
            done = pool.map(lambda it: self.publish(merchant, it, together), campaigns)
            assert list(done) == [90, 90, 90]

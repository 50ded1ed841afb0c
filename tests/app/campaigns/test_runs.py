"""A run follows its drop: it pauses when a batch is held, and goes on when it is released."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.campaigns import latecomers, runs, service
from app.campaigns.errors import InvalidTransitionError
from app.campaigns.models import AirdropRun, Campaign, CampaignState, RunState
from app.campaigns.progress import progress
from app.campaigns.service import Delivery
from app.rewards.closing import close_delivered
from app.rewards.models import Grant, GrantState, RewardLine
from minting.models import Batch, BatchState, DigitalAsset, Drop, Plan, PlanState, Token, TokenState
from tests.conftest import NOW
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
    make_preview,
)
from tests.factories.chain import CHAIN_ID
from tests.factories.minting import activate_passes, rounds


@pytest.fixture
def campaign(session: Session) -> Campaign:
    """A draft for three members; nobody joins late."""
    make_pass_contract(session)
    make_members(session, *(f"m{n}@example.com" for n in range(3)))
    campaign = make_campaign(session)
    give(session, campaign, make_asset(session).id)
    service.choose_delivery(session, campaign, Delivery(late_joiners=False))
    return campaign


@pytest.fixture
def run(session: Session, campaign: Campaign) -> AirdropRun:
    """A published airdrop to three members whose passes are active, planned."""
    run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
    activate_passes(session)
    runs.advance(session, at=NOW)
    return run


def drop(session: Session, run: AirdropRun) -> tuple[Plan, Batch]:
    plan = session.query(Plan).filter(Plan.subject_id == run.id).one()
    return plan, plan.batches[0]


class TestAdvance:
    def test_it_waits_for_passes_and_then_plans(self, run: AirdropRun, session: Session) -> None:
        assert run.state is RunState.RUNNING
        assert drop(session, run)[1].recipient_count == 3

    def test_a_held_batch_pauses_it_with_the_reason(
        self, run: AirdropRun, session: Session
    ) -> None:
        plan, batch = drop(session, run)
        plan.state, batch.state, batch.held_reason = PlanState.HELD, BatchState.HELD, "no gas"
        runs.advance(session, at=NOW)
        assert (run.state, run.pause_reason) == (RunState.PAUSED, "no gas")

    def test_a_released_batch_lets_it_go_on(self, run: AirdropRun, session: Session) -> None:
        plan, batch = drop(session, run)
        plan.state, batch.state = PlanState.HELD, BatchState.HELD
        runs.advance(session, at=NOW)
        plan.state, batch.state = PlanState.RUNNING, BatchState.PLANNED
        runs.advance(session, at=NOW)
        assert (run.state, run.pause_reason) == (RunState.RUNNING, None)

    def test_it_completes_once_everybody_is_served(self, run: AirdropRun, session: Session) -> None:
        _, batch = drop(session, run)
        batch.state, batch.settled_at = BatchState.FINAL, NOW
        session.flush()
        runs.advance(session, at=NOW)
        assert run.state is RunState.RUNNING
        tokens = update(Token).where(Token.batch_id == batch.id).values(state=TokenState.OWNED)
        session.execute(tokens)
        assert close_delivered(session, at=NOW) == 3
        runs.advance(session, at=NOW)
        campaign = session.get_one(Campaign, run.campaign_id)
        assert (run.state, campaign.state) == (RunState.COMPLETED, CampaignState.ENDED)
        runs.advance(session, at=NOW)
        assert run.completed_at == NOW


class TestHalt:
    def test_it_says_what_it_waits_for_until_it_advances(
        self, run: AirdropRun, session: Session
    ) -> None:
        runs.halt(session, CHAIN_ID, reason="the chain is silent")
        assert (run.state, run.pause_reason) == (RunState.PAUSED, "the chain is silent")
        runs.advance(session, at=NOW)
        assert (run.state, run.pause_reason) == (RunState.RUNNING, None)

    def test_another_chain_is_nothing_to_it(self, run: AirdropRun, session: Session) -> None:
        runs.halt(session, CHAIN_ID + 1, reason="the chain is silent")
        assert (run.state, run.pause_reason) == (RunState.RUNNING, None)

    def test_whoever_paused_it_stays_its_reason(self, run: AirdropRun, session: Session) -> None:
        runs.pause(session, run, by="Ada")
        runs.halt(session, CHAIN_ID, reason="the chain is silent")
        runs.advance(session, at=NOW)
        assert (run.state, run.paused_by) == (RunState.PAUSED, "Ada")

    def test_what_is_over_stays_over(self, run: AirdropRun, session: Session) -> None:
        runs.cancel(session, run, by="Ada", at=NOW)
        runs.halt(session, CHAIN_ID, reason="the chain is silent")
        assert run.state is RunState.CANCELLED


class TestPause:
    def test_it_stops_the_plan_and_says_who(self, run: AirdropRun, session: Session) -> None:
        runs.pause(session, run, by="ana@example.com")
        runs.advance(session, at=NOW)
        assert (run.state, run.paused_by) == (RunState.PAUSED, "ana@example.com")
        assert drop(session, run)[0].is_paused

    def test_the_first_to_pause_is_named(self, run: AirdropRun, session: Session) -> None:
        runs.pause(session, run, by="ana@example.com")
        runs.pause(session, run, by="bo@example.com")
        assert run.paused_by == "ana@example.com"

    def test_resumed_it_goes_on(self, run: AirdropRun, session: Session) -> None:
        runs.pause(session, run, by="ana@example.com")
        runs.resume(session, run)
        runs.advance(session, at=NOW)
        assert (run.state, run.paused_by) == (RunState.RUNNING, None)
        assert not drop(session, run)[0].is_paused

    def test_resumed_it_stays_paused_by_what_is_held(
        self, run: AirdropRun, session: Session
    ) -> None:
        plan, batch = drop(session, run)
        runs.pause(session, run, by="ana@example.com")
        plan.state, batch.state, batch.held_reason = PlanState.HELD, BatchState.HELD, "no gas"
        runs.resume(session, run)
        runs.advance(session, at=NOW)
        assert (run.state, run.pause_reason) == (RunState.PAUSED, "no gas")

    def test_before_its_plan_it_is_not_planned(self, session: Session) -> None:
        make_pass_contract(session)
        make_members(session, "one@example.com")
        campaign = make_campaign(session)
        give(session, campaign, make_asset(session).id)
        run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        runs.pause(session, run, by="ana@example.com")
        activate_passes(session)
        runs.advance(session, at=NOW)
        assert session.query(Plan).filter(Plan.subject_id == run.id).count() == 0
        runs.resume(session, run)
        assert run.state is RunState.PREPARING
        runs.advance(session, at=NOW)
        assert run.state is RunState.RUNNING

    def test_what_was_signed_finishes_and_completes_it(
        self, run: AirdropRun, session: Session
    ) -> None:
        runs.pause(session, run, by="ana@example.com")
        _, batch = drop(session, run)
        batch.state, batch.settled_at, batch.closed_at = BatchState.FINAL, NOW, NOW
        session.flush()
        runs.advance(session, at=NOW)
        assert run.state is RunState.COMPLETED
        for act in (lambda: runs.pause(session, run, by="x"), lambda: runs.resume(session, run)):
            with pytest.raises(InvalidTransitionError, match="is completed cannot be"):
                act()


def serve(session: Session, run: AirdropRun) -> None:
    """Everything planned is on the chain, and the run has looked."""
    batches = session.scalars(
        select(Batch).join(Plan).where(Plan.subject_id == run.id, Batch.state == BatchState.PLANNED)
    ).all()
    for batch in batches:
        batch.state, batch.settled_at, batch.plan.state = BatchState.FINAL, NOW, PlanState.DONE
        owned = update(Token).where(Token.batch_id == batch.id).values(state=TokenState.OWNED)
        session.execute(owned)
    session.flush()
    close_delivered(session, at=NOW)
    session.expire_all()
    runs.advance(session, at=NOW)


def states(session: Session) -> list[GrantState]:
    return sorted(session.scalars(select(Grant.state)))


class TestCancel:
    def test_what_was_not_signed_does_not_happen(self, run: AirdropRun, session: Session) -> None:
        runs.cancel(session, run, by="ana@example.com", at=NOW)
        assert (run.state, run.cancelled_by, run.completed_at) == (
            *(RunState.CANCELLED, "ana@example.com", NOW),
        )
        campaign = session.get_one(Campaign, run.campaign_id)
        assert (campaign.state, campaign.ended_at) == (CampaignState.ENDED, NOW)
        assert states(session) == [GrantState.CANCELLED] * 3
        line = session.scalars(select(RewardLine)).one()
        asset = session.scalars(select(DigitalAsset)).one()
        assert (line.granted_count, rounds(session, line)) == (0, [None])
        assert (asset.minted_count, asset.next_round) == (0, 0)
        numbers = progress(session, run, at=NOW)
        assert (numbers.cancelled, numbers.delivered, numbers.transactions_total) == (3, 0, 0)

    def test_what_was_signed_is_delivered(self, run: AirdropRun, session: Session) -> None:
        _, batch = drop(session, run)
        batch.state = BatchState.ASSIGNED
        session.flush()
        runs.cancel(session, run, by="ana@example.com", at=NOW)
        assert (run.state, run.completed_at) == (RunState.CANCELLED, None)
        batch.state = BatchState.PLANNED
        serve(session, run)
        assert states(session) == [GrantState.DELIVERED] * 3
        assert (run.state, run.completed_at) == (RunState.CANCELLED, NOW)

    def test_the_next_airdrop_of_the_collectible_goes_on(
        self, run: AirdropRun, session: Session
    ) -> None:
        other = make_campaign(session, "More")
        give(session, other, session.scalars(select(DigitalAsset)).one().id)
        after = service.publish(session, other, make_preview(session, other), at=NOW)
        runs.pause(session, run, by="ana@example.com")
        runs.advance(session, at=NOW)
        assert after.state is RunState.PAUSED and "is paused" in (after.pause_reason or "")
        runs.cancel(session, run, by="ana@example.com", at=NOW)
        runs.advance(session, at=NOW)
        assert (after.state, after.pause_reason) == (RunState.RUNNING, None)
        lines = session.scalars(select(RewardLine).order_by(RewardLine.id)).all()
        assert [rounds(session, line) for line in lines] == [[None], [0]]

    def test_it_is_done_once(self, run: AirdropRun, session: Session) -> None:
        runs.cancel(session, run, by="ana@example.com", at=NOW)
        with pytest.raises(InvalidTransitionError, match="is cancelled cannot be"):
            runs.resume(session, run)
        with pytest.raises(InvalidTransitionError, match="is cancelled cannot be"):
            runs.retry(session, run, at=NOW)
        with pytest.raises(InvalidTransitionError, match="is cancelled cannot be cancelled"):
            runs.cancel(session, run, by="ana@example.com", at=NOW)


class TestRetry:
    def test_what_failed_is_tried_again(self, run: AirdropRun, session: Session) -> None:
        plan, batch = drop(session, run)
        plan.state, batch.state, batch.held_reason = PlanState.HELD, BatchState.HELD, "no gas"
        session.flush()
        assert progress(session, run, at=NOW).failed == 3
        assert runs.retry(session, run, at=NOW) == 1
        assert (plan.state, batch.state) == (PlanState.RUNNING, BatchState.PLANNED)
        assert runs.retry(session, run, at=NOW) == 0


class TestLateJoiners:
    @pytest.fixture
    def open_run(self, session: Session, campaign: Campaign) -> AirdropRun:
        """An airdrop that serves late joiners, after it has served everybody of its first day."""
        service.choose_delivery(session, campaign, Delivery(late_joiners=True))
        run = service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        activate_passes(session)
        runs.advance(session, at=NOW)
        serve(session, run)
        return run

    def look(self, session: Session, *, seconds: int = 0) -> int:
        return latecomers.look(session, at=NOW + timedelta(seconds=seconds))

    def test_who_comes_later_receives_it_too(self, open_run: AirdropRun, session: Session) -> None:
        assert open_run.state is RunState.STANDBY
        make_members(session, "late@example.com")
        assert self.look(session) == 1
        assert self.look(session, seconds=60) == 0
        runs.advance(session, at=NOW)
        assert open_run.state is RunState.RUNNING  # until the pass is there
        activate_passes(session)
        runs.advance(session, at=NOW)
        serve(session, open_run)
        assert (open_run.state, open_run.recipient_count) == (RunState.STANDBY, 4)
        assert states(session) == [GrantState.DELIVERED] * 4
        assert session.scalars(select(Drop.round)).all() == [0]

    def test_nobody_is_looked_for_more_often_than_needed(
        self, open_run: AirdropRun, session: Session
    ) -> None:
        self.look(session)
        make_members(session, "late@example.com")
        assert self.look(session, seconds=1) == 0
        assert self.look(session, seconds=5) == 1

    def test_after_the_end_nobody_joins(self, open_run: AirdropRun, session: Session) -> None:
        campaign = session.get_one(Campaign, open_run.campaign_id)
        service.end(session, campaign, title=campaign.internal_title, at=NOW)
        make_members(session, "late@example.com")
        assert self.look(session) == 0
        runs.advance(session, at=NOW)
        assert open_run.state is RunState.COMPLETED

    def test_switched_off_nobody_joins(self, run: AirdropRun, session: Session) -> None:
        make_members(session, "late@example.com")
        assert self.look(session) == 0

    def test_an_exhausted_edition_says_so(self, open_run: AirdropRun, session: Session) -> None:
        asset = session.scalars(select(DigitalAsset)).one()
        asset.max_supply = 3
        make_members(session, "late@example.com")
        assert self.look(session) == 0
        assert "has 0 tokens left" in (open_run.refused_reason or "")
        assert open_run.recipient_count == 3
        asset.max_supply = 4
        assert self.look(session, seconds=5) == 1
        assert open_run.refused_reason is None

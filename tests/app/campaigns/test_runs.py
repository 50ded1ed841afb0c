"""A run follows its drop: it pauses when a batch is held, and goes on when it is released."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.campaigns import runs, service
from app.campaigns.errors import InvalidTransitionError
from app.campaigns.models import AirdropRun, Campaign, CampaignState, RunState
from app.rewards.service import close_delivered
from minting.models import Batch, BatchState, Plan, PlanState, Token, TokenState
from tests.conftest import NOW
from tests.factories.brand import (
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
    make_preview,
)
from tests.factories.minting import activate_passes


@pytest.fixture
def run(session: Session) -> AirdropRun:
    """A published airdrop to three members whose passes are active, planned."""
    make_pass_contract(session)
    make_members(session, *(f"m{n}@example.com" for n in range(3)))
    campaign = make_campaign(session)
    service.choose_reward(session, campaign, make_asset(session).id)
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
        service.choose_reward(session, campaign, make_asset(session).id)
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

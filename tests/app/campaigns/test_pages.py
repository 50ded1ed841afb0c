"""The live numbers of an airdrop, as the team sees them while something stands still."""

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.campaigns import runs, service
from app.campaigns.models import AirdropRun, RunState
from core.db import unit_of_work
from core.ids import encode_id
from minting.models import Batch, BatchState, Plan, PlanKind, PlanState
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import (
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
    make_preview,
)

REASON = "Execution reverted: NotMinter()"
PAUSED = "The airdrop is paused"


@pytest.fixture
def page(merchant: Merchant) -> str:
    """The page of a run that waits for the passes of its two members."""
    with unit_of_work(merchant=merchant.id) as session:
        make_pass_contract(session)
        make_members(session, "ada@example.com", "bob@example.com")
        campaign = make_campaign(session)
        service.choose_reward(session, campaign, make_asset(session).id)
        service.publish(session, campaign, make_preview(session, campaign), at=NOW)
        return f"/admin/campaigns/{encode_id('cmp', campaign.id)}"


def advance(
    merchant: Merchant, batch_state: BatchState, reason: str | None
) -> tuple[RunState, str | None]:
    """The run one step later, with the pass batch in this state."""
    with unit_of_work(merchant=merchant.id) as session:
        plan, batch = session.execute(
            select(Plan, Batch).join(Batch).where(Plan.kind == PlanKind.PASSES)
        ).one()
        batch.state, batch.held_reason = batch_state, reason
        plan.state = PlanState.HELD if reason else PlanState.RUNNING
        session.flush()
        runs.advance(session, at=NOW)
        run = session.scalars(select(AirdropRun)).one()
        return run.state, run.pause_reason


class TestHeldPasses:
    def test_show_their_reason_while_the_airdrop_waits_for_them(
        self, admin: TestClient, merchant: Merchant, page: str
    ) -> None:
        assert advance(merchant, BatchState.HELD, REASON) == (RunState.PREPARING, REASON)
        for headers in (HTML, {**HTML, "hx-request": "true"}):
            text = admin.get(page, headers=headers).text
            assert PAUSED in text and REASON in text
            # The screen goes on asking: a release lets the run go on.
            assert 'hx-trigger="every 1s"' in text

    def test_say_nothing_while_they_are_on_their_way(
        self, admin: TestClient, merchant: Merchant, page: str
    ) -> None:
        assert advance(merchant, BatchState.PLANNED, None) == (RunState.PREPARING, None)
        text = admin.get(page, headers=HTML).text
        assert PAUSED not in text and "Waiting for a pass" in text

    def test_that_were_released_take_the_reason_away(
        self, admin: TestClient, merchant: Merchant, page: str
    ) -> None:
        advance(merchant, BatchState.HELD, REASON)
        assert advance(merchant, BatchState.PLANNED, None) == (RunState.PREPARING, None)
        assert REASON not in admin.get(page, headers=HTML).text


def press(client: TestClient, page: str, act: str) -> tuple[int, str | None]:
    """Status and target of a button on the page."""
    token = token_in(client.get(page, headers=HTML).text)
    headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
    answer = client.post(f"{page}/{act}", headers=headers)
    return answer.status_code, answer.headers.get("location")


class TestPause:
    def test_a_person_pauses_and_resumes(self, admin: TestClient, page: str) -> None:
        assert f'action="{page}/pause"' in admin.get(page, headers=HTML).text
        assert press(admin, page, "pause") == (303, page)
        text = admin.get(page, headers=HTML).text
        assert PAUSED in text and "Paused by " in text
        assert f'action="{page}/resume"' in text and f'action="{page}/pause"' not in text
        assert press(admin, page, "resume") == (303, page)
        assert PAUSED not in admin.get(page, headers=HTML).text

    @pytest.mark.parametrize("act", ["pause", "resume"])
    def test_an_analyst_is_refused(
        self, browse: Browse, merchant: Merchant, page: str, act: str
    ) -> None:
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        assert press(client, page, act) == (403, None)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(AirdropRun)).one().paused_by is None

    @pytest.mark.parametrize("act", ["pause", "resume"])
    def test_a_draft_has_nothing_to_pause(
        self, admin: TestClient, merchant: Merchant, page: str, act: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            draft = service.create_airdrop(session, "Later", at=NOW)
            path = f"/admin/campaigns/{encode_id('cmp', draft.id)}"
        token = token_in(admin.get(page, headers=HTML).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
        assert admin.post(f"{path}/{act}", headers=headers).status_code == 409

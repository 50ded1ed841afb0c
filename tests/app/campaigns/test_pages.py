"""The live numbers of an airdrop, as the team sees them while something stands still."""

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.campaigns import runs, service
from app.campaigns.models import AirdropRun, Campaign, CampaignState, RunState
from app.rewards.models import RewardLine
from core.db import unit_of_work
from core.ids import encode_id
from minting.models import Batch, BatchState, Plan, PlanKind, PlanState
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import (
    give,
    make_asset,
    make_campaign,
    make_members,
    make_pass_contract,
    make_perk,
    make_preview,
)

REASON = "Execution reverted: NotMinter()"
PAUSED = "The airdrop is paused"


@pytest.fixture
def draft(merchant: Merchant) -> str:
    """The page of a draft for two members who wait for their passes."""
    with unit_of_work(merchant=merchant.id) as session:
        make_pass_contract(session)
        make_members(session, "ada@example.com", "bob@example.com")
        campaign = make_campaign(session)
        give(session, campaign, make_asset(session).id)
        return f"/admin/campaigns/{encode_id('cmp', campaign.id)}"


@pytest.fixture
def page(merchant: Merchant, draft: str) -> str:
    """The same, published."""
    with unit_of_work(merchant=merchant.id) as session:
        campaign = session.scalars(select(Campaign)).one()
        service.publish(session, campaign, make_preview(session, campaign), at=NOW)
    return draft


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
        assert advance(merchant, BatchState.HELD, REASON) == (RunState.PAUSED, REASON)
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


def press(client: TestClient, page: str, act: str, **fields: str) -> tuple[int, str | None]:
    """Status and target of a button on the page."""
    token = token_in(client.get(page, headers=HTML, follow_redirects=True).text)
    headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
    answer = client.post(f"{page}/{act}", headers=headers, data=fields)
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

    @pytest.mark.parametrize("act", ["pause", "resume", "retry", "end", "cancel"])
    def test_an_analyst_is_refused(
        self, browse: Browse, merchant: Merchant, page: str, act: str
    ) -> None:
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        assert press(client, page, act) == (403, None)
        with unit_of_work(merchant=merchant.id) as session:
            run = session.scalars(select(AirdropRun)).one()
            assert (run.paused_by, run.cancelled_by) == (None, None)

    @pytest.mark.parametrize("act", ["pause", "resume", "retry", "end", "cancel"])
    def test_a_draft_has_nothing_to_pause(
        self, admin: TestClient, merchant: Merchant, page: str, act: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            draft = service.create_airdrop(session, "Later", at=NOW)
            path = f"/admin/campaigns/{encode_id('cmp', draft.id)}"
        token = token_in(admin.get(page, headers=HTML).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
        assert admin.post(f"{path}/{act}", headers=headers).status_code == 409


class TestEnd:
    @pytest.mark.parametrize("act", ["end", "cancel"])
    def test_another_title_changes_nothing(
        self, admin: TestClient, merchant: Merchant, page: str, act: str
    ) -> None:
        assert press(admin, page, act, title="Something else") == (422, None)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(Campaign)).one().state is CampaignState.PUBLISHED

    def test_ended_it_lets_nobody_in(
        self, admin: TestClient, merchant: Merchant, page: str
    ) -> None:
        assert press(admin, page, "end", title="Thanks, internally") == (303, page)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(Campaign)).one().state is CampaignState.ENDED
            assert session.scalars(select(AirdropRun)).one().state is RunState.PREPARING
        assert press(admin, page, "end", title="Thanks, internally") == (409, None)

    def test_cancelled_it_says_so(self, admin: TestClient, merchant: Merchant, page: str) -> None:
        assert press(admin, page, "cancel", title="Thanks, internally") == (303, page)
        text = admin.get(page, headers=HTML).text
        assert "Cancelled by" in text and "Cancelled" in text
        assert 'hx-trigger="every 1s"' not in text and f'action="{page}/pause"' not in text
        assert press(admin, page, "resume") == (409, None)


class TestDelivery:
    def test_what_is_typed_is_kept_to_the_last_digit(
        self, admin: TestClient, merchant: Merchant, draft: str
    ) -> None:
        fields = {"late_joiners": "true", "max_fee_per_gas": "1.5", "max_total": "0.1"}
        assert press(admin, draft, "delivery", **fields) == (303, f"{draft}/review")
        with unit_of_work(merchant=merchant.id) as session:
            found = session.scalars(select(Campaign)).one()
            assert (found.max_fee_per_gas, found.max_total) == (1_500_000_000, 10**17)
            assert (found.late_joiners, found.max_batch_gas) == (True, None)
        text = admin.get(f"{draft}/delivery", headers=HTML).text
        assert 'value="1.5"' in text and 'value="0.1"' in text

    def test_an_unticked_box_is_a_no(
        self, admin: TestClient, merchant: Merchant, draft: str
    ) -> None:
        assert press(admin, draft, "delivery")[0] == 303
        with unit_of_work(merchant=merchant.id) as session:
            assert not session.scalars(select(Campaign)).one().late_joiners

    @pytest.mark.parametrize(
        ("field", "typed"),
        [
            ("max_fee_per_gas", "cheap"),
            ("max_fee_per_gas", "-1"),
            ("max_fee_per_gas", "0"),
            ("max_total", "0.0000000000000000001"),
            ("max_total", "NaN"),
            ("max_total", "1e99"),
            ("max_batch_gas", "100000"),
            ("max_batch_gas", "16000000"),
        ],
    )
    def test_what_is_no_limit_comes_back_as_typed(
        self, admin: TestClient, draft: str, field: str, typed: str
    ) -> None:
        token = token_in(admin.get(draft, headers=HTML, follow_redirects=True).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
        answer = admin.post(f"{draft}/delivery", headers=headers, data={field: typed})
        assert answer.status_code == 422
        assert f'value="{typed}"' in answer.text and f'id="error-{field}"' in answer.text


class TestRewards:
    def choose(self, admin: TestClient, draft: str, **fields: object) -> tuple[int, str]:
        token = token_in(admin.get(draft, headers=HTML, follow_redirects=True).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
        answer = admin.post(f"{draft}/rewards", headers=headers, data=fields)
        return answer.status_code, answer.headers.get("location") or answer.text

    @pytest.fixture
    def ids(self, merchant: Merchant, draft: str) -> list[str]:
        """A live asset and a live perk, as the page names them."""
        with unit_of_work(merchant=merchant.id) as session:
            asset, perk = make_asset(session, title="Cup"), make_perk(session)
            return [encode_id("das", asset.id), encode_id("prk", perk.id)]

    def test_several_are_chosen_with_their_amounts(
        self, admin: TestClient, merchant: Merchant, draft: str, ids: list[str]
    ) -> None:
        fields = {"chosen": ids, "reward": ids, "each": ["3", ""], "most": ["", "1,000"]}
        assert self.choose(admin, draft, **fields) == (303, f"{draft}/delivery")
        with unit_of_work(merchant=merchant.id) as session:
            lines = session.scalars(select(RewardLine).order_by(RewardLine.position)).all()
            amounts = [(line.per_recipient, line.quantity) for line in lines]
        assert amounts == [(3, None), (1, 1_000)]
        page = admin.get(f"{draft}/rewards", headers=HTML).text
        assert page.count(" checked") == 2 and 'value="1000"' in page

    def test_perks_are_reviewed_without_asking_a_chain(
        self, admin: TestClient, merchant: Merchant, draft: str, ids: list[str]
    ) -> None:
        fields = {"chosen": ids[1:], "reward": ids[1:], "each": ["3"], "most": ["6"]}
        self.choose(admin, draft, **fields)
        page = admin.get(f"{draft}/review", headers=HTML).text
        assert "Coffee × 3" in page and "Perks need no transaction" in page
        assert "Publish airdrop" in page
        self.choose(admin, draft, **{**fields, "most": ["5"]})
        page = admin.get(f"{draft}/review", headers=HTML).text
        assert "Not enough in stock" in page and "Publish airdrop" not in page

    @pytest.mark.parametrize(
        ("each", "said"), [("many", "Whole numbers only"), ("101", "between 1 and 100")]
    )
    def test_what_was_typed_wrong_comes_back(
        self, admin: TestClient, draft: str, ids: list[str], each: str, said: str
    ) -> None:
        fields = {"chosen": ids[:1], "reward": ids, "each": [each, ""], "most": ["", ""]}
        status, page = self.choose(admin, draft, **fields)
        assert status == 422 and said in page and f'value="{each}"' in page

    def test_nothing_is_not_enough(self, admin: TestClient, draft: str) -> None:
        status, page = self.choose(admin, draft)
        assert status == 422 and "between 1 and 10" in page


class TestRecipients:
    def test_everybody_is_there_with_state_and_reason(
        self, admin: TestClient, merchant: Merchant, page: str
    ) -> None:
        text = admin.get(f"{page}/recipients", headers=HTML).text
        assert "ada@example.com" in text and "bob@example.com" in text and "Queued" in text
        press(admin, page, "cancel", title="Thanks, internally")
        text = admin.get(f"{page}/recipients?state=cancelled", headers=HTML).text
        assert "ada@example.com" in text and "Cancelled by the team" in text

    def test_they_are_found_and_filtered(self, admin: TestClient, page: str) -> None:
        text = admin.get(f"{page}/recipients?q=ada", headers=HTML).text
        assert "ada@example.com" in text and "bob@example.com" not in text
        assert "Nobody here" in admin.get(f"{page}/recipients?state=failed", headers=HTML).text

    def test_they_are_a_file(self, admin: TestClient, page: str) -> None:
        answer = admin.get(f"{page}/recipients.csv", headers=HTML)
        lines = answer.text.splitlines()
        assert lines[0] == "recipient,reward,number,state,reason,token,transaction,delivered"
        assert sorted(line.split(",")[:4] for line in lines[1:]) == [
            ["ada@example.com", "Mug", "1", "queued"],
            ["bob@example.com", "Mug", "1", "queued"],
        ]
        assert len(admin.get(f"{page}/recipients.csv?q=bob").text.splitlines()) == 2

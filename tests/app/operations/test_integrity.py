"""Integrity: people see what was compared, what differs, and what somebody else did."""

from typing import Any

import pytest
from sqlalchemy import update

from app.accounts.models import Merchant, TeamRole
from chain.discrepancies import Finding, Looked, record
from chain.models import Discrepancy, LaneReconciliation, Reconciliation, Rule
from core.db import unit_of_work
from core.types import MerchantId, Wei
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient
from tests.conftest import NOW
from tests.factories.brand import make_other_merchant
from tests.factories.chain import CHAIN_ID, make_lane
from tests.factories.minting import PASS_ADDRESS, make_pass_contract

PAGE = "/admin/operations/integrity"
FOREIGN = Finding(Rule.BACKWARD, "0x" + 64 * "a", "no such transaction", "it made token 7", 1, 12)
DIFFERENT = Finding(Rule.TOTALS, "total", "5 tokens were delivered", "there are 4 tokens")


def compare(merchant: MerchantId, *findings: Finding, **changes: Any) -> None:
    """The pass contract was compared, and this was found."""
    with unit_of_work(merchant=merchant) as session:
        lane = make_lane(session)
        make_pass_contract(session, name="Harbour pass")
        row: dict[str, Any] = {"first_block": 1, "last_block": 42, "supply": 5, "recipients": 5}
        row |= {"burned": 0, "compared_at": NOW, "full_at": NOW}
        session.add(Reconciliation(chain_id=CHAIN_ID, contract=PASS_ADDRESS, **{**row, **changes}))
        money = {"received": Wei(5 * 10**18), "balance": Wei(10**18), "money_block": 42}
        nonces = {"used_nonces": 9, "final_nonces": 8}
        session.add(
            LaneReconciliation(lane_id=lane.id, compared_at=NOW, full_at=NOW, **money, **nonces)
        )
        session.flush()
        find(session, *findings)


def find(session: Any, *findings: Finding) -> None:
    for blocks in (None, (0, 99)):
        looked = Looked(CHAIN_ID, PASS_ADDRESS, tuple(Rule), blocks)
        wanted = [it for it in findings if (it.block_number is None) == (blocks is None)]
        record(session, looked, wanted, at=NOW)


def page_of(client: TestClient) -> str:
    return client.get(PAGE, headers=HTML).text


class TestPage:
    def test_before_the_first_comparison_says_when_it_comes(self, admin: TestClient) -> None:
        assert "Not compared yet" in page_of(admin)

    def test_where_all_agrees_says_when_it_was_compared(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        compare(merchant.id)
        page = page_of(admin)
        assert "Database and chain agree" in page and "Last compared" in page
        assert "Harbour pass" in page and ">42<" in page
        assert "5 ETH" in page and "1 ETH" in page

    def test_shows_each_difference_with_both_sides(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        compare(merchant.id, FOREIGN, DIFFERENT)
        page = page_of(admin)
        assert "Database and chain agree" not in page
        for sentence in ("No such transaction", "It made token 7", "There are 4 tokens"):
            assert sentence in page
        assert page.index("It made token 7") < page.index("There are 4 tokens")
        assert page.count("somebody else has the relayer") == 1

    def test_shows_what_could_not_be_compared(self, admin: TestClient, merchant: Merchant) -> None:
        compare(merchant.id, bad_first=43, bad_last=44, problem="The nodes disagree.")
        page = page_of(admin)
        assert "Not compared: Harbour pass" in page and "Blocks 43 to 44: The nodes dis" in page

    def test_a_resolved_one_is_gone(self, admin: TestClient, merchant: Merchant) -> None:
        compare(merchant.id, DIFFERENT)
        with unit_of_work(merchant=merchant.id) as session:
            session.execute(update(Discrepancy).values(resolved_at=NOW))
        assert "There are 4 tokens" not in page_of(admin)

    def test_those_of_another_merchant_are_not_shown(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        compare(make_other_merchant(merchant), FOREIGN)
        assert "It made token 7" not in page_of(admin)
        assert "token 7" not in admin.get("/admin", headers=HTML).text

    def test_an_editor_may_see_it_and_an_analyst_not(
        self, browse: Browse, merchant: Merchant
    ) -> None:
        compare(merchant.id, DIFFERENT)
        assert "There are 4 tokens" in page_of(browser_as(browse, merchant, TeamRole.EDITOR))
        analyst = browser_as(browse, merchant, TeamRole.ANALYST)
        assert analyst.get(PAGE, headers=HTML).status_code == 403

    def test_a_stranger_may_not(self, stranger: TestClient) -> None:
        assert stranger.get(PAGE, headers=HTML).status_code in (302, 303, 401)

    def test_operations_lead_there(self, admin: TestClient) -> None:
        assert f'href="{PAGE}"' in admin.get("/admin/operations", headers=HTML).text


class TestHome:
    @pytest.mark.parametrize(("finding", "shown"), [(FOREIGN, True), (DIFFERENT, False)])
    def test_names_what_somebody_else_did(
        self, admin: TestClient, merchant: Merchant, finding: Finding, shown: bool
    ) -> None:
        compare(merchant.id, finding)
        page = admin.get("/admin", headers=HTML).text
        assert ("the chain says" in page) is shown
        assert ("Harbour pass" in page) is shown

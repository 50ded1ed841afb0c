"""The member's pass page: a code for now, codes for the time without connection."""

import re

import pytest

from app.accounts import sessions
from app.accounts.models import Merchant
from app.passes import codes
from core.db import unit_of_work
from core.types import utc_now
from minting.models import PassState
from tests.app.conftest import Browse
from tests.app.web.client import HTML, TestClient
from tests.factories.brand import make_pass_contract
from tests.factories.passes import NUMBER, make_pass

_PART = {**HTML, "hx-request": "true"}


@pytest.fixture
def holder(browse: Browse, merchant: Merchant) -> TestClient:
    """The browser of a member whose pass is confirmed."""
    return holder_with(browse, merchant)


def holder_with(browse: Browse, merchant: Merchant, **changes: object) -> TestClient:
    with unit_of_work(merchant=merchant.id) as session:
        make_pass_contract(session)
        user = make_pass(session, **changes).user_id
        token = sessions.open_space_session(session, merchant.id, user, at=utc_now())
    client = browse()
    client.cookies.set("cohort_space", token)
    return client


class TestPage:
    def test_shows_card_number_and_code_and_asks_for_the_reserve(self, holder: TestClient) -> None:
        page = holder.get("/space/pass", headers=HTML)
        assert page.status_code == 200
        assert NUMBER in page.text and 'id="live-code"' in page.text
        assert 'hx-trigger="load, every 300s, wake"' in page.text
        assert "Verify on chain" in page.text

    def test_the_parts_refresh_alone(self, holder: TestClient) -> None:
        code = holder.get("/space/pass/code", headers=_PART).text
        assert code.strip().startswith('<div class="live-code"') and "data-bits" not in code
        reserve = holder.get("/space/pass/reserve", headers=_PART).text
        assert reserve.strip().startswith('<div id="code-reserve"')
        assert len(re.findall(r"data-bits=", reserve)) == codes.AHEAD >= 20
        assert 'hx-trigger="every 300s, wake"' in reserve
        assert "<html" not in code + reserve

    def test_a_suspended_pass_says_why_it_has_no_code(
        self, browse: Browse, merchant: Merchant
    ) -> None:
        client = holder_with(browse, merchant, state=PassState.SUSPENDED)
        page = client.get("/space/pass", headers=HTML).text
        assert "live-code" not in page and "is suspended" in page
        assert "live-code" not in client.get("/space/pass/code", headers=_PART).text

    def test_one_without_a_number_says_that_it_comes(
        self, browse: Browse, merchant: Merchant
    ) -> None:
        client = holder_with(
            browse, merchant, state=PassState.QUEUED, batch_number=None, index=None
        )
        page = client.get("/space/pass", headers=HTML).text
        assert "live-code" not in page and "appear here soon" in page

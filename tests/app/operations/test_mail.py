"""Operations → Mail: what waits, what the server said, and what nobody but the brand sees."""

from datetime import timedelta
from typing import Any

import pytest

from app.accounts.models import Merchant, TeamRole
from core.db import unit_of_work
from core.ids import new_id
from core.mail import MailState, OutgoingMail
from core.types import MailId, MerchantId
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient
from tests.conftest import NOW
from tests.factories.brand import make_other_merchant

PAGE = "/admin/operations/mail"
ANSWER = "550 5.1.1 no such mailbox"


def keep(merchant: MerchantId, **changes: Any) -> None:
    """A message that has not left."""
    fields: dict[str, Any] = {
        "recipient": "ada@example.com",
        "kind": "sign_in",
        "state": MailState.QUEUED,
        "tries": 2,
        "next_try_at": NOW + timedelta(minutes=2),
        "created_at": NOW,
        "error": "451 later",
    }
    with unit_of_work(merchant=merchant) as session:
        session.add(OutgoingMail(id=MailId(new_id()), **{**fields, **changes}))


class TestPage:
    def test_without_a_server_leads_to_where_messages_are(self, admin: TestClient) -> None:
        page = admin.get(PAGE, headers=HTML).text
        assert 'href="/outbox"' in page and "Nothing stands still" in page

    def test_shows_what_was_put_off_and_what_was_given_up(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        keep(merchant.id)
        keep(merchant.id, state=MailState.FAILED, recipient="bo@example.com", error=ANSWER)
        keep(merchant.id, state=MailState.DISCARDED, recipient="stranger@example.com", error=None)
        page = admin.get(PAGE, headers=HTML).text
        assert page.index("Put off") < page.index("451 later") < page.index("Given up")
        assert page.index("Given up") < page.index("bo@example.com") < page.index(ANSWER)
        assert "stranger@example.com" not in page and "Nothing stands still" not in page

    def test_says_what_to_set_where_nothing_can_leave(
        self, admin: TestClient, set_environment: Any
    ) -> None:
        set_environment(COHORT_SMTP_URL="smtp://u:hunter2@host/path")
        page = admin.get(PAGE, headers=HTML).text
        assert "No mail leaves" in page and "COHORT_SMTP_URL" in page
        assert "hunter2" not in page

    def test_names_the_server_and_not_its_password(
        self, admin: TestClient, set_environment: Any
    ) -> None:
        url = "smtp://u:hunter2@mail.example.com"
        set_environment(COHORT_SMTP_URL=url, COHORT_MAIL_FROM="hello@example.com")
        page = admin.get(PAGE, headers=HTML).text
        assert "mail.example.com" in page and "hunter2" not in page

    def test_another_brands_messages_are_not_shown(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        keep(make_other_merchant(merchant), recipient="theirs@example.com")
        assert "theirs@example.com" not in admin.get(PAGE, headers=HTML).text

    def test_an_editor_may_see_it_and_an_analyst_may_not(
        self, browse: Browse, merchant: Merchant, stranger: TestClient
    ) -> None:
        for role, status in ((TeamRole.EDITOR, 200), (TeamRole.ANALYST, 403)):
            assert browser_as(browse, merchant, role).get(PAGE, headers=HTML).status_code == status
        assert stranger.get(PAGE, headers=HTML).status_code == 303


class TestHome:
    @pytest.mark.parametrize(
        ("changes", "is_told"),
        [({}, True), ({"tries": 1}, False), ({"state": MailState.FAILED}, False)],
    )
    def test_says_when_messages_stay(
        self, admin: TestClient, merchant: Merchant, changes: dict[str, Any], is_told: bool
    ) -> None:
        keep(merchant.id, **changes)
        page = admin.get("/admin", headers=HTML).text
        assert ("Mail does not leave: 451 later" in page) is is_told

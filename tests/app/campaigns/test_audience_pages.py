"""The audience step: a file is uploaded, its reading watched, its rejected rows taken home."""

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.campaigns import files
from app.campaigns.models import AudienceFile, AudienceKind, Campaign
from app.main import _LARGER_BODIES
from app.web.security import BodyLimit
from core.db import unit_of_work
from core.ids import encode_id
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import make_campaign

CONTENT = b"email\nada@example.com\n=1+1\n"


@pytest.fixture
def page(merchant: Merchant) -> str:
    """The audience step of a draft."""
    with unit_of_work(merchant=merchant.id) as session:
        return f"/admin/campaigns/{encode_id('cmp', make_campaign(session).id)}/audience"


def send(client: TestClient, page: str, kind: str, content: bytes | None = None) -> tuple[int, str]:
    """Status, and the target or the text, of the form."""
    token = token_in(client.get("/admin/campaigns", headers=HTML).text)
    upload = {"file": ("to.csv", content or b"")} if content is not None else None
    answer = client.post(
        page,
        headers={"origin": ORIGIN, "x-csrf-token": token, **HTML},
        data={"audience": kind},
        files=upload,
    )
    return answer.status_code, answer.headers.get("location") or answer.text


def read(merchant: Merchant) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        file = session.scalars(select(AudienceFile)).one()
        while files.run_part(session, file.id, at=NOW):
            pass


class TestUpload:
    def test_is_read_while_the_page_looks_on_and_then_shows_what_it_found(
        self, admin: TestClient, merchant: Merchant, page: str
    ) -> None:
        assert send(admin, page, "file", CONTENT) == (303, page)
        for headers in (HTML, {**HTML, "hx-request": "true"}):
            text = admin.get(page, headers=headers).text
            assert "Reading “to.csv”" in text and 'hx-trigger="every 1s"' in text
        read(merchant)
        text = admin.get(page, headers=HTML).text
        assert "not an email address" in text and "=1+1" in text
        assert 'hx-trigger="every 1s"' not in text
        part = admin.get(page, headers={**HTML, "hx-request": "true"})
        assert part.headers["hx-refresh"] == "true"
        assert send(admin, page, "file") == (303, page.replace("/audience", "/rewards"))

    def test_that_cannot_be_read_says_why(
        self, admin: TestClient, merchant: Merchant, page: str
    ) -> None:
        send(admin, page, "file", b"name\nAda\n")
        read(merchant)
        assert "“to.csv” cannot be read" in admin.get(page, headers=HTML).text

    def test_without_a_file_is_refused(
        self, admin: TestClient, merchant: Merchant, page: str
    ) -> None:
        status, text = send(admin, page, "file")
        assert status == 422 and "Choose the file that names the recipients." in text
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(Campaign.audience_kind)).one() is AudienceKind.ALL

    def test_of_every_member_needs_none(self, admin: TestClient, page: str) -> None:
        assert send(admin, page, "all") == (303, page.replace("/audience", "/rewards"))

    def test_by_an_analyst_is_refused(self, browse: Browse, merchant: Merchant, page: str) -> None:
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        assert send(client, page, "file", CONTENT)[0] == 403
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(AudienceFile)).all() == []

    def test_may_be_a_gigabyte_here_and_nowhere_else(self, page: str) -> None:
        async def nothing(*_: object) -> None:
            """Never called."""

        limit = BodyLimit(nothing, _LARGER_BODIES)
        assert limit._limit(page) > 1_000_000_000
        assert limit._limit(page.replace("/audience", "/texts")) < 10_000_000


class TestRejectedRows:
    def test_are_downloaded_safe_to_open(
        self, admin: TestClient, merchant: Merchant, page: str
    ) -> None:
        send(admin, page, "file", CONTENT)
        read(merchant)
        answer = admin.get(f"{page}/rejected.csv")
        assert answer.text == "line,reason,row\r\n3,email_invalid,'=1+1\r\n"
        assert "attachment" in answer.headers["content-disposition"]

    def test_of_no_file_do_not_exist(self, admin: TestClient, page: str) -> None:
        assert admin.get(f"{page}/rejected.csv").status_code == 404

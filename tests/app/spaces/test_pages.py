"""Sign-in of members as a browser does it, and what a team's link is worth here."""

import re
from datetime import timedelta

import pytest
from httpx import Response
from sqlalchemy import select

from app.accounts import sessions
from app.accounts.models import LoginSession, Merchant, TeamMember
from app.users.models import User, UserState
from core.db import unit_of_work
from core.mail import outbox
from core.types import utc_now
from tests.app.conftest import Browse
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.factories.brand import make_members

OWNER = "owner@example.com"
DOORS = {"admin": "/admin/sign-in", "space": "/space/login"}
OTHER = {"admin": "space", "space": "admin"}
HOMES = {"admin": "/admin", "space": "/space/home"}
_LINK = re.compile(r"/(?:admin/sign-in|space/login)/([\w-]{20,})")


def post(client: TestClient, path: str, **fields: str) -> tuple[int, str]:
    """Status and target of a form sent from the door of its side."""
    door = DOORS["admin" if path.startswith("/admin") else "space"]
    token = token_in(client.get(door, headers=HTML).text)
    headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
    answer = client.post(path, data=fields, headers=headers)
    return answer.status_code, answer.headers.get("location", "")


def ask(client: TestClient, side: str) -> str:
    """The token of the link in the mail that asking brings."""
    assert post(client, DOORS[side], email=OWNER)[0] == 200
    found = _LINK.search(outbox()[0].text)
    assert found is not None and found[0].startswith(DOORS[side])
    return found[1]


class TestLink:
    @pytest.fixture(autouse=True)
    def both(self, merchant: Merchant) -> None:
        """The owner's address is a member's, too."""
        with unit_of_work(merchant=merchant.id) as session:
            make_members(session, OWNER)

    @pytest.mark.parametrize("side", ["admin", "space"])
    def test_of_one_side_opens_nothing_on_the_other(self, stranger: TestClient, side: str) -> None:
        token, other = ask(stranger, side), OTHER[side]
        page = stranger.get(f"{DOORS[other]}/{token}", headers=HTML)
        assert page.status_code == 404 and "no longer works" in page.text
        assert post(stranger, f"{DOORS[other]}/{token}")[0] == 404
        assert stranger.get(HOMES[other], headers=HTML).status_code == 303

    @pytest.mark.parametrize("side", ["admin", "space"])
    def test_opens_its_own_side_once_and_no_more(self, stranger: TestClient, side: str) -> None:
        path = f"{DOORS[side]}/{ask(stranger, side)}"
        assert stranger.get(path, headers=HTML).status_code == 200
        assert post(stranger, path) == (303, HOMES[side])
        assert stranger.get(HOMES[side], headers=HTML).status_code == 200
        assert stranger.get(HOMES[OTHER[side]], headers=HTML).status_code == 303
        assert post(stranger, path)[0] == 404


class TestDestination:
    """The link in the mail leads where its reader was going, and nowhere else."""

    def ask(self, client: TestClient, destination: str) -> str:
        """The path of the link in the mail."""
        fields = {"email": "ada@example.com", "destination": destination}
        assert post(client, "/space/login", **fields)[0] == 200
        found = re.search(r"/space/login/\S+", outbox()[0].text)
        assert found is not None
        return found[0]

    def test_is_in_the_link_and_behind_its_button(self, stranger: TestClient) -> None:
        claim = "/claim/" + "A" * 26
        path = self.ask(stranger, claim)
        page = stranger.get(path, headers=HTML)
        assert f'name="destination" value="{claim}"' in page.text
        assert post(stranger, path.partition("?")[0], destination=claim) == (303, claim)

    def test_outlives_a_link_that_is_opened_in_another_browser(
        self, stranger: TestClient, browse: Browse
    ) -> None:
        claim = "/claim/" + "A" * 26
        page = browse().get(self.ask(stranger, claim), headers=HTML)
        assert page.status_code == 404 and f'name="destination" value="{claim}"' in page.text

    @pytest.mark.parametrize("asked", ["/space/home", "/admin", "//evil.example", "/claim/a b"])
    def test_is_home_where_it_is_not_ours(self, stranger: TestClient, asked: str) -> None:
        path = self.ask(stranger, asked)
        assert "destination" not in path
        page = stranger.get(f"{path}?destination={asked}", headers=HTML)
        assert 'name="destination" value="/space/home"' in page.text
        assert post(stranger, path, destination=asked) == (303, "/space/home")


class TestCookie:
    """The browser keeps its cookie as long as the server keeps the session."""

    DAYS_30 = 30 * 86_400

    def visit(self, browse: Browse, merchant: Merchant, *, seen: timedelta, path: str) -> Response:
        """A member whose last visit was so long ago comes to a page."""
        with unit_of_work(merchant=merchant.id) as session:
            [user] = make_members(session, "ada@example.com")
            self.token = sessions.open_space_session(
                session, merchant.id, user, at=utc_now() - seen
            )
        client = browse()
        client.cookies.set("cohort_space", self.token)
        return client.get(path, headers=HTML)

    def test_is_set_anew_with_every_visit_that_extends_the_session(
        self, browse: Browse, merchant: Merchant
    ) -> None:
        page = self.visit(browse, merchant, seen=timedelta(days=29), path="/space/home")
        assert page.status_code == 200
        [cookie] = page.headers.get_list("set-cookie")
        assert cookie.startswith(f"cohort_space={self.token};")
        assert f"Max-Age={self.DAYS_30}" in cookie and "HttpOnly" in cookie

    def test_stays_as_it_is_where_the_session_does(
        self, browse: Browse, merchant: Merchant
    ) -> None:
        page = self.visit(browse, merchant, seen=timedelta(seconds=30), path="/space/home")
        assert page.status_code == 200
        assert "set-cookie" not in page.headers

    def test_of_a_session_that_ended_is_not(self, browse: Browse, merchant: Merchant) -> None:
        page = self.visit(browse, merchant, seen=timedelta(days=31), path="/space/home")
        assert page.status_code == 303
        assert "set-cookie" not in page.headers

    def test_of_a_blocked_member_is_not(self, browse: Browse, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            [user] = make_members(session, "eve@example.com")
            old = utc_now() - timedelta(days=1)
            token = sessions.open_space_session(session, merchant.id, user, at=old)
            session.get_one(User, user).state = UserState.BLOCKED
        client = browse()
        client.cookies.set("cohort_space", token)
        page = client.get("/space/home", headers=HTML)
        assert page.status_code == 303 and "set-cookie" not in page.headers

    def test_of_the_team_is_not_because_twelve_hours_end_it_anyway(
        self, browse: Browse, merchant: Merchant
    ) -> None:
        with unit_of_work() as session:
            owner = session.scalars(select(TeamMember)).one()
            old = utc_now() - timedelta(minutes=20)
            token = sessions.open_team_session(session, owner, at=old)
        client = browse()
        client.cookies.set("cohort_admin", token)
        page = client.get("/admin", headers=HTML)
        assert page.status_code == 200 and "set-cookie" not in page.headers
        with unit_of_work() as session:
            row = session.scalars(select(LoginSession)).one()
            assert row.expires_at == old + sessions.TEAM_LIFETIME


class TestCode:
    def test_of_the_team_is_worth_nothing_in_the_space(self, stranger: TestClient) -> None:
        ask(stranger, "admin")
        code = re.search(r"code there: (\d{6})", outbox()[0].text)
        assert code is not None
        assert post(stranger, "/space/login/code", email=OWNER, code=code[1])[0] == 422
        assert post(stranger, "/admin/sign-in/code", email=OWNER, code=code[1])[0] == 303

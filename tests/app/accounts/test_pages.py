"""Sign-in of the team as a browser does it: ask, open the link, press the button."""

import re

import pytest

from app.accounts.deps import own_path
from core.mail import outbox
from tests.app.conftest import Browse
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in

OWNER = "owner@example.com"
_LINK = re.compile(r"/admin/sign-in/[\w-]{20,}")
_SALT = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{64}")


def post(client: TestClient, path: str, **fields: str) -> tuple[int, str, str]:
    """Status, page and target of a form sent from the sign-in page."""
    token = token_in(client.get("/admin/sign-in", headers=HTML).text)
    headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
    answer = client.post(path, data=fields, headers=headers)
    return answer.status_code, answer.text, answer.headers.get("location", "")


def link() -> str:
    """The newest link in the mail to the owner."""
    found = _LINK.search(next(mail.text for mail in outbox() if mail.to == OWNER))
    assert found is not None
    return found[0]


class TestAsking:
    def test_looks_the_same_for_the_team_and_for_strangers(self, browse: Browse) -> None:
        pages = []
        for email in (OWNER, "someone@example.net"):
            status, page, _ = post(browse(), "/admin/sign-in", email=email)
            assert status == 200
            pages.append(_SALT.sub("", page).replace(email, "-"))
        assert pages[0] == pages[1]

    def test_again_at_once_is_refused_and_keeps_the_address(self, stranger: TestClient) -> None:
        post(stranger, "/admin/sign-in", email=OWNER)
        status, page, _ = post(stranger, "/admin/sign-in", email=OWNER)
        assert status == 429
        assert f'value="{OWNER}"' in page

    def test_with_no_address_marks_the_field(self, stranger: TestClient) -> None:
        status, page, _ = post(stranger, "/admin/sign-in", email="owner@")
        assert status == 422
        assert 'aria-invalid="true"' in page and 'value="owner@"' in page


class TestLink:
    def test_opening_it_consumes_nothing_and_its_button_signs_in_once(
        self, stranger: TestClient
    ) -> None:
        post(stranger, "/admin/sign-in", email=OWNER)
        path = link()
        for _ in range(3):
            assert "One click more" in stranger.get(path, headers=HTML).text
        assert stranger.get("/admin", headers=HTML).status_code == 303
        assert post(stranger, path)[::2] == (303, "/admin")
        assert stranger.get("/admin", headers=HTML).status_code == 200
        assert "no longer works" in stranger.get(path, headers=HTML).text

    def test_opens_nothing_in_another_browser(self, browse: Browse) -> None:
        asking, other = browse(), browse()
        post(asking, "/admin/sign-in", email=OWNER)
        post(other, "/admin/sign-in", email="other@example.com")
        path = link()
        assert "no longer works" in other.get(path, headers=HTML).text
        assert post(other, path)[0] == 404
        assert post(asking, path)[0] == 303

    def test_its_cookie_is_out_of_reach_of_scripts(self, stranger: TestClient) -> None:
        post(stranger, "/admin/sign-in", email=OWNER)
        token = token_in(stranger.get("/admin/sign-in", headers=HTML).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
        cookie = stranger.post(link(), headers=headers).headers["set-cookie"]
        assert "cohort_admin=" in cookie
        assert "HttpOnly" in cookie and "samesite=lax" in cookie.lower()


class TestCode:
    def code(self) -> str:
        found = re.search(r"code there: (\d{6})", outbox()[0].text)
        assert found is not None
        return found[1]

    def test_signs_in_and_leads_where_one_wanted_to_go(self, stranger: TestClient) -> None:
        post(stranger, "/admin/sign-in", email=OWNER)
        fields = {"email": OWNER, "code": self.code(), "destination": "/admin/users"}
        assert post(stranger, "/admin/sign-in/code", **fields)[::2] == (303, "/admin/users")

    def test_a_wrong_one_is_marked_and_five_lock(self, stranger: TestClient) -> None:
        post(stranger, "/admin/sign-in", email=OWNER)
        right = self.code()
        wrong = f"{(int(right) + 1) % 10**6:06d}"
        pages = [
            post(stranger, "/admin/sign-in/code", email=OWNER, code=wrong)[1] for _ in range(5)
        ]
        assert "not the code in the newest mail" in pages[0]
        assert "Wait 15 minutes" in pages[4]
        assert post(stranger, "/admin/sign-in/code", email=OWNER, code=right)[0] == 422
        assert stranger.get("/admin", headers=HTML).status_code == 303


class TestDestination:
    @pytest.mark.parametrize("path", ["/admin", "/admin/users", "/admin/campaigns/cmp_0/review"])
    def test_below_the_door_is_followed(self, path: str) -> None:
        assert own_path(path, below="/admin") == path

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/",
            "/space/home",
            "/administrator",
            "//evil.example/admin",
            "/admin//evil.example",
            "https://evil.example/admin",
            "/admin/\\evil",
            "/admin/a?next=//evil",
            "/admin/\r\nset-cookie: a=b",
            "/admin/ü",
            "javascript:alert(1)",
        ],
    )
    def test_anything_else_leads_to_the_front_page(self, path: str) -> None:
        assert own_path(path, below="/admin") == "/admin"

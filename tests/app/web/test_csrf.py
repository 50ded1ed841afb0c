"""A request that changes something comes from our own page, with the token of its session."""

import pytest

from app.web.cookies import Surface, cookie_name
from core.settings import CoreSettings
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in

MINE = {"origin": ORIGIN}


@pytest.fixture
def token(client: TestClient) -> str:
    """The token of a signed-in session."""
    client.cookies.set(cookie_name(Surface.SPACE), "session-one")
    return token_in(client.get("/page", headers=HTML).text)


class TestAccepted:
    def test_token_in_the_form(self, client: TestClient, token: str) -> None:
        assert client.post("/act", data={"csrf": token}, headers=MINE).status_code == 200

    def test_token_in_the_form_with_a_file(self, client: TestClient, token: str) -> None:
        files = {"file": ("a.csv", b"email")}
        answer = client.post("/act", data={"csrf": token}, files=files, headers=MINE)
        assert answer.status_code == 200

    def test_token_in_the_header(self, client: TestClient, token: str) -> None:
        assert client.post("/act", headers={**MINE, "x-csrf-token": token}).status_code == 200

    def test_same_origin_by_fetch_metadata(self, client: TestClient, token: str) -> None:
        headers = {"sec-fetch-site": "same-origin"}
        assert client.post("/act", data={"csrf": token}, headers=headers).status_code == 200

    def test_a_page_without_a_session(self, client: TestClient) -> None:
        token = token_in(client.get("/page", headers=HTML).text)
        assert client.post("/act", data={"csrf": token}, headers=MINE).status_code == 200

    def test_a_bearer_key_needs_no_token(self, client: TestClient) -> None:
        assert client.post("/act", headers={"authorization": "Bearer key"}).status_code == 200

    def test_every_page_spells_the_token_anew(self, client: TestClient, token: str) -> None:
        assert token_in(client.get("/page", headers=HTML).text) != token


class TestOwnNames:
    """A form may be sent from the address people use, or on this machine from loopback."""

    def post(self, client: TestClient, token: str, *, host: str, origin: str) -> int:
        headers = {"host": host, "origin": origin}
        return client.post("/act", data={"csrf": token}, headers=headers).status_code

    @pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "localhost:81", "[::1]:8000"])
    def test_loopback_names_are_ours_on_plain_http(
        self, client: TestClient, token: str, host: str
    ) -> None:
        assert self.post(client, token, host=host, origin=f"http://{host}") == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "x@y:z"],
    )
    def test_any_other_name_that_leads_here_is_not(
        self, client: TestClient, token: str, host: str
    ) -> None:
        assert self.post(client, token, host=host, origin=f"http://{host}") == 403

    @pytest.mark.parametrize(
        "origin", ["http://localhost:8001", "https://localhost:8000", "http://127.0.0.1:8000"]
    )
    def test_a_neighbour_on_loopback_is_not(
        self, client: TestClient, token: str, origin: str
    ) -> None:
        assert self.post(client, token, host="localhost:8000", origin=origin) == 403

    def test_the_public_address_is_ours_under_whatever_name_it_came(
        self, client: TestClient, token: str
    ) -> None:
        assert self.post(client, token, host="inside:8000", origin=ORIGIN) == 200

    def test_loopback_is_not_ours_where_people_arrive_over_https(
        self, client: TestClient, settings: CoreSettings
    ) -> None:
        settings.public_url = "https://brand.example"
        token = token_in(client.get("/page", headers=HTML).text)
        own = "https://brand.example"
        assert self.post(client, token, host="localhost", origin=own) == 200
        assert self.post(client, token, host="localhost", origin="http://localhost") == 403


class TestRefused:
    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "http://testserver.evil.example"},
            {"origin": "https://testserver"},
            {"origin": "http://testserver:81"},
            {"origin": "null"},
            {"origin": ""},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-site": "none"},
            {},
        ],
    )
    def test_foreign_or_missing_origin(
        self, client: TestClient, token: str, headers: dict[str, str]
    ) -> None:
        assert client.post("/act", data={"csrf": token}, headers=headers).status_code == 403

    @pytest.mark.parametrize("sent", [None, "", "x", "x.y", "é.ü"])
    def test_no_token_or_nonsense(self, client: TestClient, token: str, sent: str | None) -> None:
        data = {} if sent is None else {"csrf": sent}
        assert client.post("/act", data=data, headers=MINE).status_code == 403

    def test_token_of_another_session(self, client: TestClient, token: str) -> None:
        client.cookies.set(cookie_name(Surface.SPACE), "session-two")
        assert client.post("/act", data={"csrf": token}, headers=MINE).status_code == 403

    def test_token_from_before_signing_in(self, client: TestClient) -> None:
        old = token_in(client.get("/page", headers=HTML).text)
        client.cookies.set(cookie_name(Surface.SPACE), "session-one")
        assert client.post("/act", data={"csrf": old}, headers=MINE).status_code == 403

    def test_token_of_the_other_surface(self, client: TestClient, token: str) -> None:
        assert client.post("/admin/act", data={"csrf": token}, headers=MINE).status_code == 403

    def test_token_in_plain_text(self, client: TestClient, token: str) -> None:
        headers = {**MINE, "content-type": "text/plain"}
        answer = client.post("/act", content=f"csrf={token}", headers=headers)
        assert answer.status_code == 403

    def test_a_method_in_the_form_overrides_nothing(self, client: TestClient, token: str) -> None:
        answer = client.post("/page", data={"_method": "GET", "csrf": token}, headers=MINE)
        assert answer.status_code == 405

    def test_a_bearer_key_beside_a_cookie(self, client: TestClient, token: str) -> None:
        assert client.post("/act", headers={"authorization": "Bearer key"}).status_code == 403

    def test_another_host_over_https(
        self, client: TestClient, token: str, settings: CoreSettings
    ) -> None:
        settings.public_url = "https://brand.example"
        client.cookies.set(cookie_name(Surface.SPACE), "session-one")
        assert client.post("/act", data={"csrf": token}, headers=MINE).status_code == 403

    def test_get_changes_nothing(self, client: TestClient) -> None:
        assert client.get("/act").status_code == 405
        assert client.head("/act").status_code == 405

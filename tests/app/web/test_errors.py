"""Every error in its three forms: problem document, page, fragment."""

import html

import pytest

from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.app.web.conftest import ERRORS, SECRET

STATUS = {
    "app": 500,
    "not_found": 404,
    "forbidden": 403,
    "conflict": 409,
    "invalid": 422,
    "too_many": 429,
    "unavailable": 503,
    "bug": 500,
}
HTMX = {"hx-request": "true", "accept": "*/*"}
NAMES = sorted(ERRORS)


def sentence(name: str) -> str:
    inside = STATUS[name] == 500
    return "Something broke on our side" if inside else html.escape(str(ERRORS[name]()))


@pytest.mark.parametrize("name", NAMES)
class TestTriple:
    def test_problem_document(self, client: TestClient, name: str) -> None:
        answer = client.get(f"/v1/raise/{name}")
        body = answer.json()
        assert answer.status_code == body["status"] == STATUS[name]
        assert answer.headers["content-type"] == "application/problem+json"
        assert body["code"] == ("internal" if STATUS[name] == 500 else name)
        assert body["detail"].startswith(sentence(name))
        assert body["requestId"] == answer.headers["x-request-id"]

    def test_page(self, client: TestClient, name: str) -> None:
        answer = client.get(f"/raise/{name}", headers=HTML)
        assert answer.status_code == STATUS[name]
        assert answer.text.startswith("<!doctype html>")
        assert sentence(name) in answer.text
        assert answer.headers["x-request-id"] in answer.text

    def test_fragment(self, client: TestClient, name: str) -> None:
        answer = client.get(f"/raise/{name}", headers=HTMX)
        assert answer.status_code == STATUS[name]
        assert answer.text.startswith('<div class="toast-note toast-red"')
        assert answer.headers["hx-retarget"] == "#toasts"
        assert sentence(name) in answer.text
        assert answer.headers["x-request-id"] in answer.text

    @pytest.mark.parametrize("headers", [HTML, HTMX, {"accept": "application/json"}])
    def test_nothing_of_the_inside_leaks(
        self, client: TestClient, name: str, headers: dict[str, str]
    ) -> None:
        text = client.get(f"/raise/{name}", headers=headers).text
        assert SECRET not in text
        assert "Traceback" not in text


class TestDetails:
    def test_fields_are_named_to_machines_and_people(self, client: TestClient) -> None:
        body = client.get("/v1/raise/invalid").json()
        assert body["errors"] == [
            {"pointer": "/name", "code": "invalid", "detail": "Give it a name."}
        ]
        assert "Give it a name." in client.get("/raise/invalid", headers=HTML).text

    @pytest.mark.parametrize(("name", "seconds"), [("too_many", "30"), ("unavailable", "7")])
    def test_a_limit_says_when_to_return(self, client: TestClient, name: str, seconds: str) -> None:
        assert client.get(f"/raise/{name}").headers["retry-after"] == seconds

    def test_an_unknown_address_is_told_in_json_by_accept(self, client: TestClient) -> None:
        answer = client.get("/nope", headers={"accept": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    def test_a_wrong_method_is_a_page_for_people(self, client: TestClient) -> None:
        answer = client.delete("/page", headers=HTML)
        assert answer.status_code == 405
        assert "works differently" in answer.text

    def test_missing_values_are_named(self, client: TestClient) -> None:
        token = token_in(client.get("/page", headers=HTML).text)
        data = {"csrf": token, "age": "old"}
        answer = client.post("/form", data=data, headers={"origin": ORIGIN, **HTML})
        assert answer.status_code == 422
        assert "<strong>name</strong>" in answer.text
        assert "<strong>age</strong>" in answer.text

    def test_forgery_is_refused_before_the_values_are_looked_at(self, client: TestClient) -> None:
        assert client.post("/form", data={}).status_code == 403

    def test_an_oversized_body_is_a_page_too(self, client: TestClient) -> None:
        token = token_in(client.get("/page", headers=HTML).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
        answer = client.post("/small", content=b"x" * 2_000_001, headers=headers)
        assert answer.status_code == 413
        assert "too large" in answer.text


def test_without_a_free_connection_somebody_is_asked_to_wait(client: TestClient) -> None:
    answer = client.get("/raise/busy", headers=HTML)
    assert answer.status_code == 503 and "Try again in a moment." in answer.text
    assert answer.headers["retry-after"] == "5"

"""Headers, request ids and the limit on bodies."""

from collections.abc import Iterator

import pytest

from core.settings import CoreSettings
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in

PATHS = ["/page", "/nope", "/raise/bug", "/raise/unavailable", "/v1/raise/app", "/static/x/none"]


class TestHeaders:
    @pytest.mark.parametrize("path", PATHS)
    def test_every_answer_carries_them_errors_included(self, client: TestClient, path: str) -> None:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "strict-origin-when-cross-origin"

    def test_https_is_demanded_where_people_arrive_over_it(
        self, client: TestClient, settings: CoreSettings
    ) -> None:
        settings.public_url = "https://brand.example"
        assert "max-age=63072000" in client.get("/nope").headers["strict-transport-security"]

    def test_https_is_not_demanded_on_plain_loopback(self, client: TestClient) -> None:
        assert "strict-transport-security" not in client.get("/nope").headers

    def test_every_request_has_another_id_and_none_is_taken_from_outside(
        self, client: TestClient
    ) -> None:
        first = client.get("/page", headers={"x-request-id": "mine"}).headers["x-request-id"]
        second = client.get("/page").headers["x-request-id"]
        assert first.startswith("req_")
        assert first != second


class TestBodyLimit:
    def send(self, client: TestClient, path: str, size: int, *, chunked: bool = False) -> int:
        token = token_in(client.get("/page", headers=HTML).text)

        def pieces() -> Iterator[bytes]:
            for _ in range(0, size, 500_000):
                yield b"x" * 500_000

        content = pieces() if chunked else b"x" * size
        headers = {"origin": ORIGIN, "x-csrf-token": token}
        return client.post(path, content=content, headers=headers).status_code

    def test_a_body_within_the_limit_arrives(self, client: TestClient) -> None:
        assert self.send(client, "/small", 2_000_000) == 200

    def test_a_larger_one_is_refused_by_its_declared_length(self, client: TestClient) -> None:
        assert self.send(client, "/small", 2_000_001) == 413

    def test_a_larger_one_is_refused_while_it_arrives(self, client: TestClient) -> None:
        assert self.send(client, "/small", 2_500_000, chunked=True) == 413

    def test_a_route_with_uploads_takes_more(self, client: TestClient) -> None:
        assert self.send(client, "/upload/file", 2_500_000, chunked=True) == 200

    def test_and_still_has_a_limit(self, client: TestClient) -> None:
        assert self.send(client, "/upload/file", 3_000_001) == 413

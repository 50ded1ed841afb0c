"""Static files are named by their content and kept for ever."""

from pathlib import Path

import pytest

from app.web.static import load_tree, static_tree, static_url
from tests.app.web.client import TestClient


class TestStaticUrl:
    def test_the_address_holds_the_hash_of_the_tree(self) -> None:
        digest = static_tree().digest
        assert static_url("bundle/space.css") == f"/static/{digest}/bundle/space.css"

    def test_a_file_that_does_not_exist_has_no_address(self) -> None:
        with pytest.raises(KeyError, match="nothing"):
            static_url("nothing.css")

    def test_another_content_is_another_address(self, tmp_path: Path) -> None:
        (tmp_path / "a.css").write_text("a{}")
        before = load_tree(tmp_path, {}).digest
        assert load_tree(tmp_path, {}).digest == before
        (tmp_path / "a.css").write_text("b{}")
        assert load_tree(tmp_path, {}).digest != before


class TestServing:
    def test_the_current_hash_is_kept_for_ever(self, client: TestClient) -> None:
        answer = client.get(static_url("bundle/app.js"))
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].startswith("text/javascript")
        assert answer.headers["content-encoding"] == "gzip"

    def test_an_old_hash_answers_but_is_not_kept(self, client: TestClient) -> None:
        answer = client.get("/static/000000000000/css/tokens.css")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"

    def test_a_client_without_gzip_gets_the_same_bytes(self, client: TestClient) -> None:
        address = static_url("css/tokens.css")
        plain = client.get(address, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == client.get(address).content

    @pytest.mark.parametrize("name", ["none.css", "../web/static.py", "%2e%2e/web/csrf.py"])
    def test_nothing_outside_the_tree_is_served(self, client: TestClient, name: str) -> None:
        assert client.get(f"/static/{static_tree().digest}/{name}").status_code == 404


class TestBudgets:
    @pytest.mark.parametrize(
        ("name", "bytes_gzipped"),
        [("bundle/space.css", 20_000), ("bundle/admin.css", 100_000), ("bundle/app.js", 25_000)],
    )
    def test_a_bundle_stays_small(self, name: str, bytes_gzipped: int) -> None:
        gzipped = static_tree().assets[name].gzipped
        assert gzipped is not None
        assert len(gzipped) <= bytes_gzipped

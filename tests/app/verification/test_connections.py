"""While a node is asked, no connection to the database is held."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, QueuePool

from app.verification.deps import _limiter
from chain.networks import register_contract
from core.db import unit_of_work
from core.types import utc_now
from tests.app.verification.test_pages import DOCUMENT, PAGE, serving
from tests.app.verification.test_reader import FakeNode
from tests.app.verification.test_scans import VERIFY
from tests.app.web.client import HTML, TestClient, client_of, submit
from tests.conftest import make_merchant
from tests.factories.brand import ASSET_CONTRACT, make_asset, make_pass_contract
from tests.factories.chain import CHAIN_ID, make_chain
from tests.factories.passes import make_code, make_pass
from tests.factories.scanning import make_device


class WatchingNode(FakeNode):
    """Notes how many connections are in use whenever it is asked."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        assert isinstance(engine.pool, QueuePool)
        self.pool = engine.pool
        self.held: list[int] = []

    def answer(self, request: dict[str, object]) -> dict[str, object]:
        """One JSON-RPC response."""
        self.held.append(self.pool.checkedout())
        return super().answer(request)


@pytest.fixture
def node(committed: None, engine: Engine) -> Iterator[WatchingNode]:
    """A node that knows one token of ours."""
    _limiter.cache_clear()
    with WatchingNode(engine) as server, serving(server):
        with unit_of_work(merchant=make_merchant().id) as session:
            make_chain(session, rpc_urls=[server.url])
            make_asset(session)
            register_contract(session, CHAIN_ID, ASSET_CONTRACT)
        yield server


@pytest.fixture
def browser(whole_app: FastAPI) -> Iterator[TestClient]:
    """A stranger."""
    with client_of(whole_app) as client:
        yield client


@pytest.fixture
def code(node: WatchingNode) -> str:
    """The code of a pass that is confirmed."""
    with unit_of_work(merchant=make_merchant().id) as session:
        make_pass_contract(session)
        make_pass(session)
        return make_code(session, utc_now())


class TestConnections:
    def test_of_a_code_either(self, browser: TestClient, node: WatchingNode, code: str) -> None:
        assert browser.get(f"/v/{code}", headers=HTML).status_code == 200
        assert browser.post(VERIFY, json={"token": code}).json()["reason"] == "owner_mismatch"
        assert len(node.held) > 2 and set(node.held) == {0}

    def test_of_a_scanner_either(self, browser: TestClient, node: WatchingNode, code: str) -> None:
        with unit_of_work(merchant=make_merchant().id) as session:
            _, key = make_device(session, at=utc_now())
        headers = {"authorization": f"Bearer {key}"}
        answer = browser.post("/v1/redemptions/lookup", json={"token": code}, headers=headers)
        assert (answer.status_code, answer.json()["kind"]) == (200, "pass")
        browser.cookies.set("cohort_scan", key)
        page = submit(browser, "/scan/lookup", page="/scan", code=code)
        assert "NOT VALID" in page.text
        assert node.held and set(node.held) == {0}

    @pytest.mark.parametrize("path", [PAGE, DOCUMENT])
    def test_are_given_back_before_the_node_is_asked(
        self, browser: TestClient, node: WatchingNode, path: str
    ) -> None:
        assert browser.get(path, headers=HTML).status_code == 200
        assert node.held and set(node.held) == {0}

    def test_are_seen_by_this_test_where_they_are_held(self, node: WatchingNode) -> None:
        with unit_of_work():
            assert node.pool.checkedout() == 1

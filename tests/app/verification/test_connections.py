"""While a node is asked, no connection to the database is held."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, QueuePool

from app.verification.deps import _limiter
from chain.networks import register_contract
from core.db import unit_of_work
from tests.app.verification.test_pages import DOCUMENT, PAGE, serving
from tests.app.verification.test_reader import FakeNode
from tests.app.web.client import HTML, TestClient, client_of
from tests.conftest import make_merchant
from tests.factories.brand import ASSET_CONTRACT, make_asset
from tests.factories.chain import CHAIN_ID, make_chain


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


class TestConnections:
    @pytest.mark.parametrize("path", [PAGE, DOCUMENT])
    def test_are_given_back_before_the_node_is_asked(
        self, browser: TestClient, node: WatchingNode, path: str
    ) -> None:
        assert browser.get(path, headers=HTML).status_code == 200
        assert node.held and set(node.held) == {0}

    def test_are_seen_by_this_test_where_they_are_held(self, node: WatchingNode) -> None:
        with unit_of_work():
            assert node.pool.checkedout() == 1

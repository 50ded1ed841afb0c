"""Public proofs as strangers see them: the page, the JSON, and what is said when nobody knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant
from app.users.models import User, UserState
from app.verification import abi, service
from app.verification.deps import _limiter
from app.verification.errors import ChainUnavailableError, UnknownContractError
from chain.networks import register_contract
from core.db import unit_of_work
from minting.content import content_store
from minting.models import PassState
from tests.app.conftest import Browse
from tests.app.verification.test_reader import OWNER, TOKEN, FakeNode, string_answer
from tests.app.web.client import HTML, TestClient
from tests.factories.brand import ASSET_CONTRACT, PASS_CONTRACT, make_asset, make_pass_contract
from tests.factories.chain import CHAIN_ID, make_chain
from tests.factories.passes import NUMBER, make_pass

STRANGE = "0x" + "11" * 20
PAGE = f"/verify/t/{CHAIN_ID}/{ASSET_CONTRACT}/{TOKEN}"
DOCUMENT = f"/v1/public/ownership/{CHAIN_ID}/{ASSET_CONTRACT}/{TOKEN}"


@contextmanager
def serving(server: FakeNode) -> Iterator[FakeNode]:
    """The scripted node answers inside the block."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """A node that knows one token; its document is in our store."""
    with FakeNode() as server, serving(server):
        server.calls[abi.TOKEN_URI] = string_answer(f"ipfs://{content_store().put(b'{}')}")
        yield server


@pytest.fixture(autouse=True)
def brand(merchant: Merchant, node: FakeNode) -> Merchant:
    """A merchant with an asset and a registry on the scripted chain."""
    _limiter.cache_clear()
    with unit_of_work(merchant=merchant.id) as session:
        make_chain(session, rpc_urls=[node.url], explorer_url="https://scan.example/{address}")
        make_asset(session, title="Harbour mug")
        make_pass_contract(session)
        for address in (ASSET_CONTRACT, PASS_CONTRACT):
            register_contract(session, CHAIN_ID, address)
    return merchant


class TestProve:
    def prove(self, contract: str = ASSET_CONTRACT, token: str = str(TOKEN)) -> service.Proof:
        return service.prove(CHAIN_ID, contract, token, claimed=None)

    def test_an_asset_and_a_pass_are_told_apart(self) -> None:
        asset, membership = self.prove(), self.prove(PASS_CONTRACT)
        assert (asset.kind, asset.title, asset.is_owned) == ("digital_asset", "Harbour mug", True)
        assert (membership.kind, membership.title) == ("membership_pass", "Test Pass")

    def test_the_document_is_compared_with_its_content_id(self, node: FakeNode) -> None:
        assert self.prove().metadata_matches is True
        node.calls[abi.TOKEN_URI] = string_answer("ipfs://bafkreinowhere")
        assert self.prove().metadata_matches is False

    @pytest.mark.parametrize(
        ("contract", "token"),
        [
            (STRANGE, "1"),
            ("0x12", "1"),
            (ASSET_CONTRACT[2:], "1"),
            ("0x" + "zz" * 20, "1"),
            (ASSET_CONTRACT, "-1"),
            (ASSET_CONTRACT, "0x1"),
            (ASSET_CONTRACT, ""),
            (ASSET_CONTRACT, "٣"),
            (ASSET_CONTRACT, str(2**256)),
        ],
    )
    def test_what_is_no_contract_or_number_of_ours_asks_no_node(
        self, node: FakeNode, contract: str, token: str
    ) -> None:
        with pytest.raises(UnknownContractError):
            self.prove(contract, token)
        assert node.asked == []

    def test_the_largest_number_is_asked(self) -> None:
        assert self.prove(token=str(2**256 - 1)).token_id == 2**256 - 1

    def test_a_node_that_does_not_answer_names_nobody(self, node: FakeNode) -> None:
        node.raw = (500, b"down")
        with pytest.raises(ChainUnavailableError) as refused:
            self.prove()
        assert OWNER not in str(refused.value)


class TestPage:
    def test_says_genuine_and_who_owns_it(self, stranger: TestClient) -> None:
        answer = stranger.get(PAGE, headers=HTML)
        assert answer.status_code == 200
        for text in ("verdict-green", "Genuine", "Harbour mug", f"6352211e{TOKEN:064x}"):
            assert text in answer.text
        assert OWNER in answer.text.lower()

    def test_of_a_pass_says_so(self, stranger: TestClient) -> None:
        answer = stranger.get(f"/verify/t/{CHAIN_ID}/{PASS_CONTRACT}/3", headers=HTML)
        assert "A valid membership pass" in answer.text

    def test_a_token_that_never_was_is_red(self, stranger: TestClient, node: FakeNode) -> None:
        node.burned()
        answer = stranger.get(PAGE, headers=HTML)
        assert answer.status_code == 200
        assert "verdict-red" in answer.text and "Does not exist" in answer.text
        assert OWNER not in answer.text.lower()

    def test_a_burned_token_is_grey(self, stranger: TestClient, node: FakeNode) -> None:
        node.burned()
        node.methods["eth_getLogs"] = [{}]
        assert "No longer exists" in stranger.get(PAGE, headers=HTML).text

    def test_names_a_claim_that_is_wrong(self, stranger: TestClient) -> None:
        right = stranger.get(PAGE, params={"owner": OWNER.upper().replace("X", "x")}, headers=HTML)
        assert "Genuine" in right.text
        wrong = stranger.get(PAGE, params={"owner": STRANGE}, headers=HTML)
        assert "verdict-red" in wrong.text and "Belongs to somebody else" in wrong.text

    def test_a_contract_of_a_stranger_does_not_exist(self, stranger: TestClient) -> None:
        path = f"/verify/t/{CHAIN_ID}/{STRANGE}/1"
        assert stranger.get(path, headers=HTML).status_code == 404
        elsewhere = f"/verify/t/1/{ASSET_CONTRACT}/{TOKEN}"
        assert stranger.get(elsewhere, headers=HTML).status_code == 404

    def test_a_chain_that_is_down_says_so_and_when_to_come_back(
        self, stranger: TestClient, node: FakeNode
    ) -> None:
        node.raw = (502, b"bad gateway")
        answer = stranger.get(PAGE, headers=HTML)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "cannot be read at the moment" in answer.text
        assert OWNER not in answer.text.lower() and "verdict-" not in answer.text


class TestDocument:
    def test_answers_every_origin_with_the_whole_proof(
        self, stranger: TestClient, brand: Merchant
    ) -> None:
        answer = stranger.get(DOCUMENT, headers={"origin": "https://elsewhere.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
        body = answer.json()
        assert (body["status"], body["owner"], body["matches"]) == ("owned", OWNER, None)
        assert (body["tokenId"], body["chainId"]) == (str(TOKEN), CHAIN_ID)
        assert body["issuer"]["name"] == brand.name
        assert body["block"]["timestamp"] == "2023-11-14T22:13:20.000Z"
        assert body["explorerUrl"] == f"https://scan.example/{ASSET_CONTRACT}"
        assert body["metadataMatchesCid"] is True
        assert body["howToCheck"] == {
            "method": "eth_call",
            "to": ASSET_CONTRACT,
            "data": f"0x6352211e{TOKEN:064x}",
        }

    @pytest.mark.parametrize(
        ("claim", "matches"), [(OWNER, True), (f" {OWNER} ", True), (STRANGE, False), ("me", False)]
    )
    def test_compares_a_claim(self, stranger: TestClient, claim: str, matches: bool) -> None:
        body = stranger.get(DOCUMENT, params={"owner": claim}).json()
        assert body["matches"] is matches

    def test_of_nothing_matches_no_claim(self, stranger: TestClient, node: FakeNode) -> None:
        node.burned()
        body = stranger.get(DOCUMENT, params={"owner": OWNER}).json()
        assert (body["status"], body["owner"], body["matches"]) == ("never_minted", None, False)

    def test_of_a_chain_that_is_down_is_a_problem_without_owner(
        self, stranger: TestClient, node: FakeNode
    ) -> None:
        node.raw = (200, b"not json")
        answer = stranger.get(DOCUMENT, params={"owner": OWNER})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert (body["code"], body["retryable"]) == ("chain_unavailable", True)
        assert OWNER not in answer.text

    @pytest.mark.parametrize(
        "path",
        [
            f"{CHAIN_ID}/{STRANGE}/1",
            f"1/{ASSET_CONTRACT}/1",
            f"-1/{ASSET_CONTRACT}/1",
            f"{10**30}/{ASSET_CONTRACT}/1",
        ],
    )
    def test_of_a_strange_contract_does_not_exist(self, stranger: TestClient, path: str) -> None:
        answer = stranger.get(f"/v1/public/ownership/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_contract")

    def test_of_no_number_is_refused(self, stranger: TestClient) -> None:
        path = f"/v1/public/ownership/main/{ASSET_CONTRACT}/1"
        assert stranger.get(path).status_code == 422


class TestLimit:
    def test_the_sixty_first_look_up_of_a_minute_is_refused(
        self, browse: Browse, node: FakeNode
    ) -> None:
        busy, other = browse(host="10.0.0.1"), browse(host="10.0.0.2")
        path = f"/v1/public/ownership/{CHAIN_ID}/{STRANGE}/1"
        for _ in range(60):
            assert busy.get(path).status_code == 404
        for refused in (busy.get(path), busy.get(PAGE, headers=HTML)):
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert node.asked == []
        assert other.get(path).status_code == 404


class TestPass:
    """The page of a number on somebody's pass."""

    PATH = f"/verify/pass/{NUMBER}"

    def membership(self, brand: Merchant, **changes: Any) -> None:
        with unit_of_work(merchant=brand.id) as session:
            make_pass(session, "canary@example.com", **changes)

    def test_says_that_it_stands_and_whose_it_is_on_chain(
        self, stranger: TestClient, node: FakeNode, brand: Merchant
    ) -> None:
        self.membership(brand)
        answer = stranger.get(self.PATH, headers=HTML)
        assert answer.status_code == 200
        token = 12 << 16 | 345
        for text in ("verdict-green", "A valid membership pass", f"№ {NUMBER}", f"{token:064x}"):
            assert text in answer.text
        assert OWNER in answer.text.lower() and "https://scan.example/0x" in answer.text
        assert "canary" not in answer.text and "usr_" not in answer.text

    @pytest.mark.parametrize("spelt", ["12-345", "12-0345"])
    def test_however_the_number_is_written(
        self, stranger: TestClient, brand: Merchant, spelt: str
    ) -> None:
        self.membership(brand)
        assert f"№ {NUMBER}" in stranger.get(f"/verify/pass/{spelt}", headers=HTML).text

    @pytest.mark.parametrize("state", [PassState.SUSPENDED, PassState.REVOKED])
    def test_says_that_the_brand_does_not_accept_it(
        self, stranger: TestClient, brand: Merchant, state: PassState
    ) -> None:
        self.membership(brand, state=state)
        page = stranger.get(self.PATH, headers=HTML).text
        assert "verdict-red" in page and state.value.title() in page

    def test_of_who_is_blocked_neither(self, stranger: TestClient, brand: Merchant) -> None:
        self.membership(brand)
        with unit_of_work(merchant=brand.id) as session:
            session.scalars(select(User)).one().state = UserState.BLOCKED
        page = stranger.get(self.PATH, headers=HTML).text
        assert "verdict-red" in page and "Suspended" in page

    def test_says_that_it_is_on_its_way(
        self, stranger: TestClient, node: FakeNode, brand: Merchant
    ) -> None:
        self.membership(brand, state=PassState.MINTING)
        node.burned()
        page = stranger.get(self.PATH, headers=HTML).text
        assert "verdict-grey" in page and "On its way" in page
        assert OWNER not in page.lower()

    def test_that_nobody_has_the_chain_alone_speaks_of(
        self, stranger: TestClient, node: FakeNode
    ) -> None:
        node.burned()
        answer = stranger.get("/verify/pass/S-0007", headers=HTML)
        assert answer.status_code == 200 and "Does not exist" in answer.text
        assert f"{1 << 32 | 7:064x}" in answer.text

    def test_names_a_claim_that_is_wrong(self, stranger: TestClient, brand: Merchant) -> None:
        self.membership(brand)
        wrong = stranger.get(self.PATH, params={"owner": STRANGE}, headers=HTML)
        assert "verdict-red" in wrong.text and "Belongs to somebody else" in wrong.text

    @pytest.mark.parametrize("number", ["0", "x-1", "12-99999", "12345678-9012", "usr_1"])
    def test_what_is_no_number_asks_no_node(
        self, stranger: TestClient, node: FakeNode, number: str
    ) -> None:
        answer = stranger.get(f"/verify/pass/{number}", headers=HTML)
        assert answer.status_code == 404 and "no pass with this number" in answer.text
        assert node.asked == []

    def test_while_no_node_answers_no_owner_is_named(
        self, stranger: TestClient, node: FakeNode, brand: Merchant
    ) -> None:
        self.membership(brand)
        node.raw = (500, b"down")
        answer = stranger.get(self.PATH, headers=HTML)
        assert answer.status_code == 503 and "retry-after" in answer.headers
        assert OWNER not in answer.text.lower() and "verdict-green" not in answer.text

"""The verdict on a rotating code: page, document, order of reasons, and nothing personal in any."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from html import escape
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.passes import keys, tokens
from app.passes.models import ScanCount, SigningKey
from app.users.models import User, UserState
from app.verification import abi, passes
from app.verification.deps import _limiter
from app.web.formats import short
from core.db import unit_of_work
from core.types import utc_now
from minting.models import MembershipPass, PassState
from tests.app.conftest import Browse
from tests.app.verification.test_pages import serving
from tests.app.verification.test_reader import FakeNode, address_word
from tests.app.web.client import HTML, TestClient
from tests.conftest import NOW
from tests.factories.brand import PASS_CONTRACT, make_other_merchant, make_pass_contract
from tests.factories.chain import CHAIN_ID, make_chain
from tests.factories.passes import NUMBER, make_code, make_pass

VERIFY = "/v1/public/passes/verify"
STRANGE = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
CANARIES = ("ada@example.com", "Adaline", "Lovelace-Canary", "+33123456789")


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """A node whose contract knows one token."""
    with FakeNode() as server, serving(server):
        yield server


@pytest.fixture(autouse=True)
def membership(merchant: Merchant, node: FakeNode) -> MembershipPass:
    """A confirmed pass, owned on chain by the wallet on record."""
    _limiter.cache_clear()
    with unit_of_work(merchant=merchant.id) as session:
        make_chain(session, rpc_urls=[node.url], explorer_url="https://scan.example/{address}")
        make_pass_contract(session)
        membership = make_pass(session, CANARIES[0])
        holder = session.get_one(User, membership.user_id)
        holder.first_name, holder.last_name, holder.phone = CANARIES[1:]
    node.calls[abi.OWNER_OF] = address_word(membership.address)
    return membership


def code(merchant: Merchant, at: datetime = NOW, **changes: Any) -> str:
    with unit_of_work(merchant=merchant.id) as session:
        return make_code(session, at, **changes)


def change(merchant: Merchant, row: type[Any], **values: Any) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        session.execute(update(row).values(**values))


def document(token: str, at: datetime = NOW) -> dict[str, Any]:
    return passes.as_document(passes.verify(token, at=at))


class TestValid:
    def test_says_whose_it_is_and_where_it_was_read(
        self, merchant: Merchant, membership: MembershipPass
    ) -> None:
        assert document(code(merchant)) == {
            "valid": True,
            "reason": None,
            "mode": "test",
            "brand": merchant.name,
            "number": NUMBER,
            "holder": short(membership.address),
            "tier": None,
            "registered": {
                "status": "owned",
                "chainId": CHAIN_ID,
                "contract": PASS_CONTRACT,
                "tokenId": str(12 << 16 | 345),
                "block": 16,
                "explorerUrl": f"https://scan.example/{PASS_CONTRACT}",
                "source": "chain",
            },
            "issuedAt": "2026-06-01T12:00:00.000Z",
            "expiresAt": "2026-06-01T12:01:30.000Z",
            "seenBefore": None,
            "message": None,
        }

    def test_asks_the_chain_for_exactly_this_token(
        self, merchant: Merchant, node: FakeNode
    ) -> None:
        passes.verify(code(merchant), at=NOW)
        asked = [params[0]["data"] for method, params in node.asked if method == "eth_call"]
        assert abi.call(abi.OWNER_OF, abi.word(12 << 16 | 345)) in asked

    @pytest.mark.parametrize(("seconds", "valid"), [(89, True), (91, False), (-29, True)])
    def test_for_ninety_seconds(self, merchant: Merchant, seconds: int, valid: bool) -> None:
        at = NOW + timedelta(seconds=seconds)
        assert document(code(merchant), at)["valid"] is valid

    def test_one_on_its_way_is_pending_and_asks_nobody(
        self, merchant: Merchant, node: FakeNode
    ) -> None:
        change(merchant, MembershipPass, state=PassState.MINTING)
        found = document(code(merchant))
        assert (found["valid"], found["registered"]["status"]) == (True, "pending")
        assert found["registered"]["block"] is None and node.asked == []

    def test_while_the_chain_is_silent_it_is_unverified(
        self, merchant: Merchant, node: FakeNode
    ) -> None:
        node.raw = (500, b"down")
        found = document(code(merchant))
        assert (found["valid"], found["registered"]["status"]) == (True, "unverified")
        assert (found["registered"]["block"], found["registered"]["source"]) == (None, "record")


class TestReasons:
    """Each reason is told before all that stand behind it."""

    def spoil(self, merchant: Merchant, node: FakeNode) -> None:
        """The pass is refused for everything that is asked last."""
        change(merchant, MembershipPass, state=PassState.SUSPENDED)
        node.calls[abi.OWNER_OF] = address_word(STRANGE)

    def reason(self, token: str, at: datetime = NOW) -> str:
        found = document(token, at)
        assert found["valid"] is False and found["holder"] is None and found["registered"] is None
        return str(found["reason"])

    def test_malformed(self, merchant: Merchant, node: FakeNode) -> None:
        self.spoil(merchant, node)
        assert self.reason("nonsense") == "malformed"
        assert self.reason(code(merchant) + "=") == "malformed"

    def test_unknown_key_before_bad_signature(self, merchant: Merchant, node: FakeNode) -> None:
        self.spoil(merchant, node)
        assert self.reason(code(merchant, key_id="zzzzzzzz")) == "unknown_key"

    def test_the_key_of_another_brand_is_unknown(self, merchant: Merchant) -> None:
        other = make_other_merchant(merchant)
        with unit_of_work(merchant=other) as session:
            tag = tokens.merchant_tag(merchant.id)
            assert self.reason(make_code(session, NOW, merchant=tag)) == "unknown_key"

    def test_bad_signature_before_expired(self, merchant: Merchant, node: FakeNode) -> None:
        self.spoil(merchant, node)
        head, _, _ = code(merchant).partition(".")
        _, _, tail = code(merchant).partition(".")
        late = NOW + timedelta(minutes=5)
        assert self.reason(f"{head}.{tail}", late) == "bad_signature"

    def test_expired_and_not_yet_valid_before_suspended(
        self, merchant: Merchant, node: FakeNode
    ) -> None:
        self.spoil(merchant, node)
        assert self.reason(code(merchant), NOW + timedelta(seconds=91)) == "expired"
        assert self.reason(code(merchant), NOW - timedelta(seconds=31)) == "not_yet_valid"

    def test_suspended_before_the_chain_is_asked(self, merchant: Merchant, node: FakeNode) -> None:
        self.spoil(merchant, node)
        assert self.reason(code(merchant)) == "suspended"
        assert node.asked == []

    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            (UserState.BLOCKED, "suspended"),
            (UserState.ERASED, "revoked"),
            (UserState.MERGED, "revoked"),
        ],
    )
    def test_of_whom_the_brand_blocked_or_forgot(
        self, merchant: Merchant, state: UserState, reason: str
    ) -> None:
        change(merchant, User, state=state)
        assert self.reason(code(merchant)) == reason

    def test_revoked(self, merchant: Merchant) -> None:
        change(merchant, MembershipPass, state=PassState.REVOKED)
        assert self.reason(code(merchant)) == "revoked"

    def test_a_number_nobody_has_is_revoked(self, merchant: Merchant) -> None:
        assert self.reason(code(merchant, number="12-0346")) == "revoked"

    def test_owner_mismatch_when_the_chain_names_somebody_else(
        self, merchant: Merchant, node: FakeNode
    ) -> None:
        node.calls[abi.OWNER_OF] = address_word(STRANGE)
        assert self.reason(code(merchant)) == "owner_mismatch"

    def test_owner_mismatch_when_the_row_was_altered(self, merchant: Merchant) -> None:
        change(merchant, MembershipPass, address=STRANGE)
        assert self.reason(code(merchant)) == "owner_mismatch"

    def test_owner_mismatch_when_the_chain_knows_no_owner(
        self, merchant: Merchant, node: FakeNode
    ) -> None:
        node.burned()
        assert self.reason(code(merchant)) == "owner_mismatch"

    def test_the_code_of_a_perk_is_no_pass(self, merchant: Merchant, session: Session) -> None:
        assert self.reason(make_code(session, NOW, holding=session.info["merchant"])) == "malformed"


class TestReplay:
    def test_the_second_scan_is_told_of_the_first(self, merchant: Merchant) -> None:
        token = code(merchant)
        assert document(token)["seenBefore"] is None
        found = document(token, NOW + timedelta(seconds=12))
        assert (found["valid"], found["seenBefore"]) == (True, "2026-06-01T12:00:00.000Z")

    def test_another_code_of_the_same_pass_is_no_replay(self, merchant: Merchant) -> None:
        document(code(merchant))
        assert document(code(merchant))["seenBefore"] is None

    def test_one_that_was_refused_was_not_seen(self, merchant: Merchant) -> None:
        token = code(merchant)
        document(token, NOW + timedelta(seconds=91))
        assert document(token)["seenBefore"] is None


class TestCounts:
    def test_are_by_hour_and_say_nothing_else(self, merchant: Merchant) -> None:
        for minutes in (0, 1, 61):
            at = NOW + timedelta(minutes=minutes)
            document(code(merchant, at), at)
        document("nonsense")
        columns = {column.name for column in ScanCount.__table__.columns}
        assert columns == {"id", "merchant_id", "hour", "place_id", "scan_count"}
        with unit_of_work(merchant=merchant.id) as session:
            rows = session.execute(
                select(ScanCount.hour, ScanCount.place_id, ScanCount.scan_count).order_by(
                    ScanCount.hour
                )
            ).all()
        assert rows == [(NOW, None, 2), (NOW + timedelta(hours=1), None, 1)]


class TestRoutes:
    def test_page_of_a_valid_pass(self, stranger: TestClient, merchant: Merchant) -> None:
        page = stranger.get(f"/v/{code(merchant, utc_now())}", headers=HTML)
        assert page.status_code == 200
        brand = escape(merchant.name)
        for text in ("verdict-green", "VALID PASS", brand, NUMBER, "on chain at block 16"):
            assert text in page.text

    def test_page_of_one_that_is_not(self, stranger: TestClient, merchant: Merchant) -> None:
        page = stranger.get(f"/v/{code(merchant)}", headers=HTML)
        assert page.status_code == 200 and "verdict-red" in page.text
        assert "NOT VALID" in page.text and "older than 90 seconds" in page.text
        assert "NOT VALID" in stranger.get("/v/nonsense", headers=HTML).text

    def test_page_while_the_chain_is_silent_is_amber(
        self, stranger: TestClient, merchant: Merchant, node: FakeNode
    ) -> None:
        node.raw = (500, b"down")
        page = stranger.get(f"/v/{code(merchant, utc_now())}", headers=HTML)
        assert "verdict-yellow" in page.text and "verdict-green" not in page.text

    def test_page_of_a_replay_says_so(self, stranger: TestClient, merchant: Merchant) -> None:
        path = f"/v/{code(merchant, utc_now())}"
        assert "already scanned" not in stranger.get(path, headers=HTML).text
        assert "already scanned" in stranger.get(path, headers=HTML).text

    def test_document_for_every_origin(self, stranger: TestClient, merchant: Merchant) -> None:
        headers = {"origin": "https://elsewhere.example"}
        asked = {"token": code(merchant, utc_now())}
        answer = stranger.post(VERIFY, json=asked, headers=headers)
        assert (answer.status_code, answer.json()["valid"]) == (200, True)
        assert answer.headers["access-control-allow-origin"] == "*"
        allowed = stranger.options(VERIFY, headers=headers)
        assert allowed.headers["access-control-allow-headers"] == "Content-Type"

    def test_document_of_nonsense_is_an_answer(self, stranger: TestClient) -> None:
        answer = stranger.post(VERIFY, json={"token": "x"})
        assert (answer.status_code, answer.json()["reason"]) == (200, "malformed")

    @pytest.mark.parametrize("body", [{}, {"token": 7}, {"token": "x" * 5000}, []])
    def test_a_question_without_a_code_is_refused(self, stranger: TestClient, body: Any) -> None:
        assert stranger.post(VERIFY, json=body).status_code == 422

    def test_a_browser_with_a_session_needs_the_token_of_its_page(self, member: TestClient) -> None:
        headers = {"origin": "https://elsewhere.example"}
        answer = member.post(VERIFY, json={"token": "x"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forged_request")

    def test_no_answer_holds_anything_personal(
        self, stranger: TestClient, merchant: Merchant, membership: MembershipPass, node: FakeNode
    ) -> None:
        said = []
        for prepare in (
            lambda: None,
            lambda: node.calls.update({abi.OWNER_OF: address_word(STRANGE)}),
            lambda: change(merchant, MembershipPass, state=PassState.SUSPENDED),
            lambda: change(merchant, MembershipPass, state=PassState.REVOKED),
        ):
            prepare()
            token = code(merchant, utc_now())
            said.append(stranger.get(f"/v/{token}", headers=HTML).text)
            said.append(stranger.post(VERIFY, json={"token": token}).text)
            said.append(tokens.parse(token).payload.decode())
        assert len(said) == 12 and NUMBER in said[0]
        for text in said:
            for canary in (*CANARIES, str(membership.user_id), membership.address):
                assert canary not in text

    def test_the_hundred_and_twenty_first_of_a_minute_is_refused(self, browse: Browse) -> None:
        busy, other = browse(host="10.0.0.1"), browse(host="10.0.0.2")
        for _ in range(120):
            assert busy.post(VERIFY, json={"token": "x"}).status_code == 200
        refused = busy.get("/v/x", headers=HTML)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert other.get("/v/x", headers=HTML).status_code == 200

    def test_keys_are_published_without_their_private_parts(
        self, stranger: TestClient, merchant: Merchant
    ) -> None:
        token = code(merchant)
        answer = stranger.get("/.well-known/pass-keys.json")
        [key] = answer.json()["keys"]
        assert answer.headers["access-control-allow-origin"] == "*"
        assert (key["kty"], key["crv"]) == ("OKP", "Ed25519") and "d" not in key
        assert answer.json()["merchant"] == tokens.merchant_tag(merchant.id)
        signed = tokens.parse(token)
        assert signed.claims.key_id == key["kid"]
        assert signed.is_signed_by(tokens.from_base64url(key["x"]))
        with unit_of_work(merchant=merchant.id) as session:
            private = keys.private_part(session.scalars(select(SigningKey)).one())
        assert tokens.to_base64url(private) not in answer.text

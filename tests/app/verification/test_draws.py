"""A draw as strangers see it: its promise at once, its document once it is revealed."""

import gzip
import json
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import select, text

from app.accounts.models import Merchant
from app.draws import boxes, heads, raffles, seeds, verifier
from app.draws.models import Box, Draw, DrawHead
from app.users.models import User
from app.verification.deps import _limiter
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import DrawId
from tests.app.draws.test_documents import MADE, revealed_instant
from tests.app.web.client import HTML, TestClient
from tests.conftest import NOW
from tests.factories.brand import make_members, make_other_merchant
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle

JSON = {"accept": "application/json"}


@pytest.fixture(autouse=True)
def unlimited() -> Iterator[None]:
    """Every test begins with all of its look-ups."""
    _limiter.cache_clear()
    yield
    _limiter.cache_clear()


def address(draw: Draw) -> str:
    return f"/verify/draw/{encode_id('drw', draw.id)}"


def make(merchant: Merchant, kind: str) -> Draw:
    with unit_of_work(merchant=merchant.id, actor="test") as session:
        return MADE[kind](session)


@pytest.mark.parametrize("kind", MADE)
class TestRevealed:
    def test_the_document_holds_as_it_is_served(
        self, stranger: TestClient, merchant: Merchant, kind: str
    ) -> None:
        draw = make(merchant, kind)
        answer = stranger.get(f"{address(draw)}/draw.jsonl.gz")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/gzip"
        assert "content-encoding" not in answer.headers
        params = stranger.get(f"{address(draw)}/params.json").content
        lines = gzip.decompress(answer.content).splitlines()
        assert verifier.verify(lines, params=params).is_sound

    def test_the_page_lists_the_steps_of_the_verifier(
        self, stranger: TestClient, merchant: Merchant, kind: str
    ) -> None:
        draw = make(merchant, kind)
        page = stranger.get(address(draw), headers=HTML).text
        lines = gzip.decompress(stranger.get(f"{address(draw)}/draw.jsonl.gz").content)
        steps = [step.name for step in verifier.verify(lines.splitlines()).steps]
        assert re.findall(r'data-step="(\w+)"', page) == steps

    def test_programs_are_told_the_seed(
        self, stranger: TestClient, merchant: Merchant, kind: str
    ) -> None:
        draw = make(merchant, kind)
        answer = stranger.get(f"/v1/draws/{encode_id('drw', draw.id)}")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.json()["serverSeed"] == (draw.server_seed or b"").hex()

    def test_nobody_is_named(self, stranger: TestClient, merchant: Merchant, kind: str) -> None:
        draw = make(merchant, kind)
        shown = [
            stranger.get(address(draw), headers=HTML).text,
            stranger.get(f"/v1/draws/{encode_id('drw', draw.id)}").text,
        ]
        with unit_of_work(merchant=merchant.id) as session:
            for user in session.scalars(select(User)):
                for page in shown:
                    assert user.email not in page and str(user.id) not in page


class TestBefore:
    @pytest.mark.parametrize("state", ["committed", "open", "closed", "drawn", "void"])
    @pytest.mark.parametrize("kind", ["instant", "raffle"])
    def test_nothing_gives_the_seed_away(
        self, stranger: TestClient, merchant: Merchant, kind: str, state: str
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_draw(session) if kind == "instant" else make_raffle(session)
            hand_out(session, draw, *make_members(session, "a@example.com"))
            if kind == "raffle":
                raffles.close(session, draw, at=DRAW_AT)
            seed = seeds.read(session, draw, purpose="test")
            session.flush()
            order = {"committed": 0, "open": 1, "closed": 2}
            if order.get(state, 9) >= order.get(draw.state, 0):
                session.execute(text("UPDATE draws SET state = :state"), {"state": state})
        identifier = encode_id("drw", draw.id)
        page = stranger.get(address(draw), headers=HTML)
        summary = stranger.get(f"/v1/draws/{identifier}")
        document = stranger.get(f"{address(draw)}/draw.jsonl.gz", headers=JSON)
        assert (page.status_code, summary.status_code, document.status_code) == (200, 200, 409)
        assert document.json()["code"] == "draw_not_revealed"
        for answer in (page, summary, document):
            assert seed.hex() not in answer.text
        assert summary.json()["serverSeed"] is None
        assert summary.json()["commitment"] == draw.commitment.hex()

    def test_the_page_says_who_supplied_the_randomness(
        self, stranger: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_raffle(session)
        page = stranger.get(address(draw), headers=HTML).text
        assert "The organiser alone supplied the randomness" in page

    def test_heads_of_the_log_are_public_while_it_is_written(
        self, stranger: TestClient, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(heads, "EVERY", 1)
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_draw(session, boxes=80)
            hand_out(session, draw, *make_members(session, "a@example.com"), times=60)
            for box in session.scalars(select(Box).order_by(Box.id).limit(55)).all():
                boxes.open_box(session, box, nonce=None, at=NOW)
            rows = session.scalars(heads.of_draw(draw.id).order_by(DrawHead.number)).all()
            hashes = [row.hash.hex() for row in rows]
        first = stranger.get(address(draw), headers=HTML).text
        assert [it in first for it in hashes] == [False] * 5 + [True] * 50
        cursor = re.findall(r"\?cursor=([\w-]+)", first)[0]
        second = stranger.get(f"{address(draw)}?cursor={cursor}", headers=HTML).text
        # The newest stands on every page, as the end of the log.
        assert [it in second for it in hashes] == [True] * 5 + [False] * 49 + [True]
        said = stranger.get(f"/v1/draws/{encode_id('drw', draw.id)}").json()["heads"]
        assert [it["logHash"] for it in said] == hashes[:-21:-1]

    def test_of_a_raffle_there_are_none(self, stranger: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_raffle(session)
        assert "The log as it was published" not in stranger.get(address(draw), headers=HTML).text
        assert stranger.get(f"/v1/draws/{encode_id('drw', draw.id)}").json()["heads"] == []

    def test_odds_are_shown_unless_the_brand_hides_them(
        self, stranger: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_draw(session, 7, boxes=1234)
        assert "1,234" in stranger.get(address(draw), headers=HTML).text
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            session.get_one(Draw, draw.id).shows_odds = False
        assert "1,234" not in stranger.get(address(draw), headers=HTML).text


class TestAddress:
    def test_of_any_merchant_is_found(self, stranger: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant), actor="test") as session:
            draw = revealed_instant(session)
        page = stranger.get(address(draw), headers=HTML)
        assert page.status_code == 200 and "Other" in page.text
        assert stranger.get(f"{address(draw)}/draw.jsonl.gz").status_code == 200

    @pytest.mark.parametrize("rest", ["", "/params.json", "/draw.jsonl.gz"])
    def test_of_nothing_is_404(self, stranger: TestClient, rest: str) -> None:
        for identifier in ("drw_0", encode_id("drw", DrawId(new_id()))):
            answer = stranger.get(f"/verify/draw/{identifier}{rest}", headers=HTML)
            assert answer.status_code == 404

    def test_is_asked_sixty_times_a_minute(self, stranger: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_draw(session)
        path = f"/v1/draws/{encode_id('drw', draw.id)}"
        codes = [stranger.get(path).status_code for _ in range(61)]
        assert codes == [200] * 60 + [429]

    def test_json_is_json(self, stranger: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            draw = make_draw(session)
        params = json.loads(stranger.get(f"{address(draw)}/params.json").content)
        assert params["algorithm"] == "draw-v1"

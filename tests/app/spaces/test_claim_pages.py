"""The page behind a code: what a stranger sees, what a member gets, and what each refusal says."""

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import func, select

from app.accounts.models import Merchant
from app.claims import challenge, service
from app.claims.models import ChallengePolicy, ClaimBatch, ClaimCode, ClaimPlace, ClaimUse
from app.claims.paths import path_of
from app.claims.seeds import code_of
from app.perks.models import Holding
from app.rewards.lines import Choice
from app.rewards.models import Grant, GrantRefusal
from app.spaces.pages import _DOOR
from app.users import lists
from core.db import unit_of_work
from core.ids import encode_id
from core.mail import outbox
from core.types import utc_now
from tests.app.conftest import Browse
from tests.app.web.client import HTML, ORIGIN, TestClient, submit, token_in
from tests.conftest import NOW
from tests.factories.brand import make_asset, make_perk
from tests.factories.claims import make_batch
from tests.factories.perks import make_place

UNKNOWN = "/claim/" + "A" * 26
OFFER = ">Coffee</h1>"
JSON = {"accept": "application/json"}
Stage = Callable[..., str]


@pytest.fixture
def stage(merchant: Merchant) -> Stage:
    """Make a batch; returns the address of its first code."""

    def make(change: Callable[..., Any] | None = None, **changes: Any) -> str:
        with unit_of_work(merchant=merchant.id) as session:
            batch = make_batch(session, **changes)
            if change is not None:
                change(session, batch)
            return f"/claim/{code_of(batch, 1)}"

    return make


def claim(client: TestClient, path: str, **fields: str) -> Any:
    return submit(client, path, page="/claim", **fields)


def uses_of(merchant: Merchant) -> int | None:
    with unit_of_work(merchant=merchant.id) as session:
        return session.scalar(select(func.count()).select_from(ClaimUse))


class TestStranger:
    def test_sees_the_reward_and_the_way_in_and_uses_nothing_up(
        self, stranger: TestClient, stage: Stage, merchant: Merchant
    ) -> None:
        path = stage(valid_until=utc_now() + timedelta(days=3))
        for _ in range(3):
            page = stranger.get(path, headers=HTML)
            assert page.status_code == 200 and OFFER in page.text and "Until" in page.text
        assert f"/space/login?destination={path}" in page.text
        assert 'method="post"' not in page.text
        assert page.headers["referrer-policy"] == "same-origin"
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(ClaimCode.uses_left)).one() == 1

    def test_comes_back_after_signing_in(self, stranger: TestClient, stage: Stage) -> None:
        path = stage()
        assert stranger.get(f"/space/login?destination={path}", headers=HTML).status_code == 200
        fields = {"email": "new@example.com", "destination": path}
        submit(stranger, "/space/login", page="/space/login", **fields)
        found = re.search(r"\b(\d{6})\b", outbox()[0].subject)
        assert found is not None
        entered = submit(
            stranger, "/space/login/code", page="/space/login", code=found[1], **fields
        )
        assert (entered.status_code, entered.headers["location"]) == (303, path)
        assert "Claim" in stranger.get(path, headers=HTML).text
        assert claim(stranger, path).status_code == 200

    @pytest.mark.parametrize(
        "elsewhere", ["/claimed", "/admin", "//evil.example/claim/x", "https://evil.example/claim"]
    )
    def test_comes_back_to_nothing_else(self, elsewhere: str) -> None:
        assert _DOOR.enter("cookie", elsewhere).headers["location"] == "/space/home"
        assert _DOOR.enter("cookie", UNKNOWN).headers["location"] == UNKNOWN

    def test_reads_the_conditions_of_a_perk(self, stranger: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session, "Cake", conditions="Not on Sundays.")
            path = f"/claim/{code_of(make_batch(session, choice=Choice(perk_id=perk.id)), 1)}"
        assert "Not on Sundays." in stranger.get(path, headers=HTML).text

    def test_cannot_claim(self, stranger: TestClient, stage: Stage, merchant: Merchant) -> None:
        answer = claim(stranger, stage())
        assert answer.status_code == 401 and uses_of(merchant) == 0

    def test_types_a_code_from_paper(self, stranger: TestClient, stage: Stage) -> None:
        path = stage()
        code = path.removeprefix("/claim/")
        typed = f" {code[:7].lower()}-{code[7:]} "
        answer = submit(stranger, "/claim", page="/claim", code=typed)
        assert (answer.status_code, answer.headers["location"]) == (303, path)
        answer = submit(stranger, "/claim", page="/claim", code="nonsense")
        assert answer.status_code == 404 and "Unknown code" in answer.text


class TestMember:
    def test_claims_and_has_it(self, member: TestClient, stage: Stage, merchant: Merchant) -> None:
        path = stage()
        assert member.get(path, headers=HTML).text.count('method="post"') == 2  # and sign-out
        answer = claim(member, path)
        assert answer.status_code == 200 and "It is yours" in answer.text
        assert uses_of(merchant) == 1
        assert ">Coffee<" in member.get("/space/home", headers=HTML).text
        again = claim(member, path)
        assert again.status_code == 409 and "Yours already" in again.text
        seen = member.get(path, headers=HTML)
        assert seen.status_code == 409 and "Yours already" in seen.text

    def test_a_program_reads_what_it_got(
        self, member: TestClient, stage: Stage, merchant: Merchant
    ) -> None:
        path = stage()
        token = token_in(member.get("/claim", headers=HTML).text)
        answer = member.post(path, headers={**JSON, "origin": ORIGIN, "x-csrf-token": token})
        with unit_of_work(merchant=merchant.id) as session:
            held = session.scalars(select(Holding)).one()
            batch = session.scalars(select(ClaimBatch)).one()
        assert answer.json() == {
            "batchId": encode_id("clb", batch.id),
            "rewardId": encode_id("prk", held.perk_id),
            "holdingId": encode_id("hld", held.id),
        }

    def test_a_digital_asset_is_shown_with_its_picture(
        self, member: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            batch = make_batch(session, choice=Choice(make_asset(session).id))
            path = f"/claim/{code_of(batch, 1)}"
        assert "/ipfs/" in member.get(path, headers=HTML).text
        assert "being recorded" in claim(member, path).text

    def test_is_told_why_not(self, member: TestClient, stage: Stage, merchant: Merchant) -> None:
        gone = make_gone(merchant)
        for path, status, code, sentence in (
            (stage(lambda s, b: service.close(s, b, at=NOW)), 410, "code_disabled", "withdrawn"),
            (stage(expire), 410, "code_expired", "has expired"),
            (stage(valid_from=utc_now() + timedelta(days=1)), 409, "code_not_open", "works from"),
            (stage(only_guests), 403, "not_in_audience", "a group of members"),
            (stage(use_up), 409, "code_used", "was used already"),
            (gone, 409, "stock_exhausted", "Nothing is left"),
            (UNKNOWN, 404, "code_unknown", "do not know this code"),
            ("/claim/ü", 404, "code_unknown", "do not know this code"),
        ):
            answer = claim(member, path)
            assert (answer.status_code, sentence in answer.text) == (status, True), code
            token = token_in(member.get("/claim", headers=HTML).text)
            headers = {**JSON, "origin": ORIGIN, "x-csrf-token": token}
            said = member.post(path, headers=headers)
            assert (said.status_code, said.json()["code"]) == (status, code)
        assert uses_of(merchant) == 0
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(func.count()).select_from(Grant)) == 0
            noted = set(session.scalars(select(GrantRefusal.code)))
        assert noted == {
            *("code_disabled", "code_expired", "code_not_open", "not_in_audience"),
            *("code_used", "stock_exhausted"),
        }


def expire(session: Any, batch: ClaimBatch) -> None:
    batch.valid_until = NOW


def use_up(session: Any, batch: ClaimBatch) -> None:
    session.scalars(select(ClaimCode).where(ClaimCode.batch_id == batch.id)).one().uses_left = 0


def only_guests(session: Any, batch: ClaimBatch) -> None:
    batch.audience_kind = "list"
    batch.audience_id = lists.create(session, "Guests", at=NOW).id


def make_gone(merchant: Merchant) -> str:
    with unit_of_work(merchant=merchant.id) as session:
        perk = make_perk(session, "Cake", total_quantity=1)
        batch = make_batch(session, choice=Choice(perk_id=perk.id))
        perk.granted_count = 1
        return f"/claim/{code_of(batch, 1)}"


class TestGuesses:
    def test_of_anybody_are_counted_and_then_take_a_proof(
        self, stranger: TestClient, member: TestClient, stage: Stage, browse: Browse
    ) -> None:
        good = stage()
        for _ in range(10):
            assert stranger.get(UNKNOWN, headers=HTML).status_code == 404
        page = stranger.get(UNKNOWN, headers=HTML)
        assert (page.status_code, page.headers["retry-after"]) == (429, "1")
        assert "Sign in to claim it" in page.text
        page = member.get(good, headers=HTML)
        assert page.status_code == 429 and "challenge.js" in page.text and OFFER not in page.text
        assert claim(member, good).status_code == 429
        assert claim(member, good, answer=solved(page.text)).status_code == 200
        elsewhere = browse(host="192.0.2.77")
        assert elsewhere.get(UNKNOWN, headers=HTML).status_code == 404

    def test_fifty_close_the_door_for_an_hour(
        self, stranger: TestClient, member: TestClient, stage: Stage, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("app.claims.guessing.FREE", 1_000)
        good = stage()
        for _ in range(50):
            stranger.get(UNKNOWN, headers=HTML)
        answer = member.get(good, headers=HTML)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3600")
        assert "Too many tries" in answer.text
        assert stranger.get(good, headers=JSON).json()["code"] == "too_many_guesses"

    def test_a_batch_that_always_asks(self, member: TestClient, stage: Stage) -> None:
        path = stage(challenge=ChallengePolicy.ALWAYS)
        page = member.get(path, headers=HTML)
        assert page.status_code == 200 and OFFER in page.text
        assert claim(member, path).status_code == 429
        assert claim(member, path, answer=solved(page.text)).status_code == 200


def solved(page: str) -> str:
    found = re.search(r'data-challenge="([^"]+)"', page)
    assert found is not None
    nonce = found[1].split(".")[0]
    number = next(it for it in count() if challenge.is_solution(nonce, str(it)))
    return f"{found[1]}:{number}"


class TestLog:
    def test_never_holds_a_code(
        self,
        member: TestClient,
        stage: Stage,
        caplog: pytest.LogCaptureFixture,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = stage()
        caplog.set_level("DEBUG")
        for _ in range(2):
            member.get(path, headers=HTML)
            claim(member, path)
        member.get(UNKNOWN, headers=JSON)
        member.post(path, headers=JSON)  # forged: refused and logged
        lines = caplog.text + "".join(capsys.readouterr())
        assert "forged" in lines or "refused" in lines  # something was said
        assert path.removeprefix("/claim/") not in lines
        assert "AAAAAA" not in lines


class TestPlace:
    """A code that is put up at a place says so in its link."""

    def test_is_counted_from_the_page_to_the_claim(
        self, stranger: TestClient, member: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            bar = make_place(session, "Bar").id
            batch = make_batch(session)
        path = path_of(code_of(batch, 1), bar)
        page = stranger.get(path, headers=HTML)
        assert page.status_code == 200 and f"/space/login?destination={path}" in page.text
        offered = member.get(path, headers=HTML).text
        assert f'action="{path}"' in offered
        assert submit(member, path, page=path).status_code == 200
        with unit_of_work(merchant=merchant.id) as session:
            row = session.scalars(select(ClaimPlace)).one()
        # The stranger's look, the member's two: once by hand, once for the token of the page.
        assert (row.place_id, row.opened_count, row.claimed_count) == (bar, 3, 1)

    @pytest.mark.parametrize("place", ["bar", "plc_1", "plc_00000000000000000000000000"])
    def test_that_is_none_of_the_brands_is_nowhere(
        self, member: TestClient, merchant: Merchant, place: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            batch = make_batch(session)
        path = f"/claim/{code_of(batch, 1)}/at/{place}"
        assert submit(member, path, page=path).status_code == 200
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(ClaimPlace)).all() == []
            assert len(session.scalars(select(ClaimUse)).all()) == 1

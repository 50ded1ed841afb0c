"""Screens of claim codes, as a team uses them."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.claims import claiming, guessing
from app.claims.claiming import Attempt, Claimed, claim
from app.claims.guessing import network_of
from app.claims.models import (
    ChallengePolicy,
    ClaimAudience,
    ClaimBatch,
    ClaimCode,
    ClaimOpening,
)
from app.claims.paths import base_of
from app.claims.seeds import code_of
from app.users import lists
from app.users.models import User
from core.db import unit_of_work
from core.events import Event
from core.ids import encode_id, new_id
from core.types import utc_now
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_asset, make_members, make_perk
from tests.factories.claims import make_batch, make_codes
from tests.factories.perks import make_place

CLAIMS = "/admin/claims"


def only_batch(merchant: Merchant) -> ClaimBatch:
    with unit_of_work(merchant=merchant.id) as session:
        return session.scalars(select(ClaimBatch)).one()


@pytest.fixture
def batch(merchant: Merchant) -> ClaimBatch:
    """Three codes for a perk."""
    with unit_of_work(merchant=merchant.id) as session:
        return make_batch(session, codes=3)


def use(merchant: Merchant, position: int, email: str) -> None:
    """A member uses a code now."""
    with unit_of_work(merchant=merchant.id) as session:
        row = session.scalars(select(ClaimBatch)).one()
        user = session.get_one(User, make_members(session, email)[0])
        tried = Attempt(code_of(row, position), network_of("192.0.2.1"))
        claiming.look(session, tried, user, at=utc_now())
        assert isinstance(claim(session, user, tried, at=utc_now()), claiming.Claimed)


class TestNew:
    def test_is_made_as_typed(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk, guests = make_perk(session), lists.create(session, "Guests", at=NOW)
        form = admin.get(f"{CLAIMS}/new", headers=HTML).text
        assert "Coffee, internally" in form and "List: Guests" in form
        answer = submit(
            admin,
            f"{CLAIMS}/new",
            name="Flyers",
            reward=encode_id("prk", perk.id),
            code_count="1,000",
            uses_per_code="1",
            max_per_user="2",
            valid_until="2090-01-02T03:04",
            audience=encode_id("lst", guests.id),
            challenge="always",
            kiosk_seconds="30",
        )
        made = only_batch(merchant)
        assert (answer.status_code, answer.headers["location"]) == (303, base_of(made))
        assert (made.name, made.code_count, made.max_per_user) == ("Flyers", 1_000, 2)
        assert made.audience_kind is ClaimAudience.LIST and made.audience_id == guests.id
        assert made.challenge is ChallengePolicy.ALWAYS and made.kiosk_seconds == 30
        assert made.valid_until is not None and made.valid_until.year == 2090
        assert "Flyers" in admin.get(CLAIMS, headers=HTML).text

    def test_begins_at_the_reward(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_perk(session, "Cake")
            perk = encode_id("prk", make_perk(session).id)
            asset = encode_id("das", make_asset(session).id)
            make_perk(session, "Tea")
        for page, reward in ((f"perks/{perk}", perk), (f"assets/{asset}", asset)):
            path = f"{CLAIMS}/new?reward={reward}"
            assert f'href="{path}"' in admin.get(f"/admin/{page}", headers=HTML).text
            assert f'value="{reward}" selected' in admin.get(path, headers=HTML).text

    def test_for_a_digital_asset(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            asset = encode_id("das", make_asset(session).id)
        assert submit(admin, f"{CLAIMS}/new", name="x", reward=asset).status_code == 303

    @pytest.mark.parametrize(
        ("field", "typed"),
        [
            ("name", ""),
            ("name", "x" * 121),
            ("reward", ""),
            ("reward", "prk_nothing"),
            ("code_count", "many"),
            ("code_count", "0"),
            ("code_count", "10,000,001"),
            ("code_count", "9" * 40),
            ("uses_per_code", "1,000,001"),
            ("max_per_user", "101"),
            ("valid_from", "soon"),
            ("valid_until", "2020-01-01T00:00"),
            ("audience", "lst_nothing"),
            ("audience", encode_id("seg", new_id())),
            ("kiosk_seconds", "14"),
            ("kiosk_seconds", "301"),
            ("kiosk_seconds", "x"),
        ],
    )
    def test_what_cannot_be_comes_back_with_its_reason(
        self, admin: TestClient, merchant: Merchant, field: str, typed: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = encode_id("prk", make_perk(session).id)
        fields: dict[str, Any] = {"name": "Flyers", "reward": perk, field: typed}
        answer = submit(admin, f"{CLAIMS}/new", **fields)
        assert answer.status_code == 422
        assert f'id="error-{field}"' in answer.text
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(ClaimBatch)).all() == []

    def test_a_screen_takes_codes_of_one_use(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = encode_id("prk", make_perk(session).id)
        fields = {"name": "x", "reward": perk, "uses_per_code": "2", "kiosk_seconds": "20"}
        assert submit(admin, f"{CLAIMS}/new", **fields).status_code == 422

    def test_without_rewards_the_page_says_what_to_do(self, admin: TestClient) -> None:
        assert "Nothing to give yet" in admin.get(f"{CLAIMS}/new", headers=HTML).text


class TestShow:
    def test_shows_how_far_it_is_until_all_are_made(
        self, admin: TestClient, merchant: Merchant, batch: ClaimBatch
    ) -> None:
        page = base_of(batch)
        assert submit(admin, f"{page}/top-up", count="5").status_code == 303
        part = admin.get(page, headers={**HTML, "hx-request": "true"})
        assert "3 of 8" in part.text and "hx-refresh" not in part.headers
        with unit_of_work(merchant=merchant.id) as session:
            make_codes(session, session.get_one(ClaimBatch, batch.id))
        part = admin.get(page, headers={**HTML, "hx-request": "true"})
        assert part.headers["hx-refresh"] == "true"
        assert "used once each" in admin.get(page, headers=HTML).text

    def test_it_is_prolonged_closed_opened_and_sealed(
        self, admin: TestClient, merchant: Merchant, batch: ClaimBatch
    ) -> None:
        page = base_of(batch)
        assert submit(admin, f"{page}/extend", valid_until="2090-05-01T10:00").status_code == 303
        until = only_batch(merchant).valid_until
        assert until is not None and until.year == 2090
        assert submit(admin, f"{page}/extend", valid_until="").status_code == 303
        assert only_batch(merchant).valid_until is None
        for typed in ("2020-01-01T00:00", "soon"):
            answer = submit(admin, f"{page}/extend", valid_until=typed)
            assert answer.status_code == 422 and "error-valid_until" in answer.text
        assert submit(admin, f"{page}/top-up", count="0").status_code == 422
        submit(admin, f"{page}/close")
        assert only_batch(merchant).closed_at is not None
        assert "Ended" in admin.get(page, headers=HTML).text
        submit(admin, f"{page}/reopen")
        assert only_batch(merchant).closed_at is None
        assert submit(admin, f"{page}/seal").status_code == 303
        assert only_batch(merchant).seed is None
        assert submit(admin, f"{page}/top-up", count="1").status_code == 409
        with unit_of_work(merchant=merchant.id) as session:
            told = select(Event.type).where(Event.type.startswith("cohort.claim-batch."))
            kinds = [it.rsplit(".", 1)[1] for it in session.scalars(told.order_by(Event.id))]
        assert kinds == ["created", "extended", "extended", "closed", "reopened", "sealed"]

    def test_an_analyst_reads_numbers_and_no_codes(
        self, browse: Browse, merchant: Merchant, batch: ClaimBatch
    ) -> None:
        client, page = browser_as(browse, merchant, TeamRole.ANALYST), base_of(batch)
        for path in ("", "/uses", "/analytics"):
            assert client.get(page + path, headers=HTML).status_code == 200
        for path in ("/codes", "/codes/1", "/output", "/codes.csv", "/codes.zip", "/codes.pdf"):
            assert client.get(page + path, headers=HTML).status_code == 403, path
        assert client.get(f"{page}/uses.csv", headers=HTML).status_code == 403
        for act in ("close", "seal", "kiosk", "top-up", "extend", "codes/1/disable"):
            assert submit(client, f"{page}/{act}").status_code == 403, act

    def test_the_team_is_told_of_guessing(
        self, admin: TestClient, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            for _ in range(3):
                guessing.count(session, b"n", at=utc_now())
        assert "Somebody is guessing" not in admin.get(CLAIMS, headers=HTML).text
        monkeypatch.setattr(guessing, "ALARM", 3)
        assert "Somebody is guessing" in admin.get(CLAIMS, headers=HTML).text


class TestCodes:
    def test_are_shown_with_their_links_until_they_are_sealed(
        self, admin: TestClient, batch: ClaimBatch
    ) -> None:
        page, code = base_of(batch), code_of(batch, 2)
        listed = admin.get(f"{page}/codes", headers=HTML).text
        assert f"http://testserver/claim/{code}" in listed
        shown = admin.get(f"{page}/codes/2", headers=HTML).text
        assert 'class="qr"' in shown and f"http://testserver/claim/{code}" in shown
        assert admin.get(f"{page}/codes/4", headers=HTML).status_code == 404
        submit(admin, f"{page}/seal")
        for path in ("/codes", "/codes/2", "/output"):
            sealed = admin.get(page + path, headers=HTML)
            assert sealed.status_code == 200 and code not in sealed.text
            assert "sealed" in sealed.text
        assert admin.get(f"{page}/codes.csv", headers=HTML).status_code == 409

    def test_one_is_disabled_and_enabled(
        self, admin: TestClient, merchant: Merchant, batch: ClaimBatch
    ) -> None:
        page = f"{base_of(batch)}/codes/2"
        for act, is_off in (("disable", True), ("enable", False)):
            assert submit(admin, f"{page}/{act}").headers["location"] == page
            assert ("Disabled" in admin.get(page, headers=HTML).text) is is_off
            with unit_of_work(merchant=merchant.id) as session:
                rows = session.scalars(select(ClaimCode).order_by(ClaimCode.position))
                assert [it.disabled_at is not None for it in rows] == [False, is_off, False]
        assert submit(admin, f"{base_of(batch)}/codes/9/disable").status_code == 404


class TestUses:
    def test_say_who_and_when(
        self, admin: TestClient, merchant: Merchant, batch: ClaimBatch
    ) -> None:
        page = base_of(batch)
        assert "Nobody yet" in admin.get(f"{page}/uses", headers=HTML).text
        use(merchant, 2, "ada@example.com")
        for path in ("/uses", "/codes/2"):
            assert "ada@example.com" in admin.get(page + path, headers=HTML).text
        assert "Nobody yet" in admin.get(f"{page}/codes/1", headers=HTML).text

    def test_are_exported_and_no_cell_is_a_formula(
        self, admin: TestClient, merchant: Merchant, batch: ClaimBatch, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("app.claims.taking._ROWS_A_PART", 1)
        use(merchant, 1, "=1+2@example.com")
        use(merchant, 2, "ada@example.com")
        file = admin.get(f"{base_of(batch)}/uses.csv", headers=HTML)
        lines = file.text.splitlines()
        assert lines[0] == "time,code_number,user_id,email,grant_id"
        assert len(lines) == 3 and ",'=1+2@example.com," in lines[1]
        assert ",2,usr_" in lines[2]

    def test_are_counted_by_day_and_hour(
        self, admin: TestClient, merchant: Merchant, batch: ClaimBatch
    ) -> None:
        page = base_of(batch)
        assert "Nothing happened lately" in admin.get(f"{page}/analytics", headers=HTML).text
        use(merchant, 1, "ada@example.com")
        use(merchant, 2, "bob@example.com")
        hour = utc_now().replace(minute=0, second=0, microsecond=0)
        with unit_of_work(merchant=merchant.id) as session:
            session.add(
                ClaimOpening(batch_id=batch.id, hour=hour - timedelta(days=9), opened_count=71)
            )
        by_day = admin.get(f"{page}/analytics", headers=HTML).text
        assert f"{hour:%Y-%m-%d}" in by_day and ">71<" in by_day
        by_hour = admin.get(f"{page}/analytics?by=hour", headers=HTML).text
        assert f"{hour:%Y-%m-%d, %H:00}" in by_hour and ">71<" not in by_hour
        assert re.search(r'data-label="Opened">2<.*?data-label="Claimed">2<', by_hour, re.S)

    def test_are_counted_by_place(
        self, admin: TestClient, merchant: Merchant, batch: ClaimBatch
    ) -> None:
        page = f"{base_of(batch)}/analytics"
        assert "By place" not in admin.get(page, headers=HTML).text
        with unit_of_work(merchant=merchant.id) as session:
            bar = make_place(session, "Bar").id
            user = session.get_one(User, make_members(session, "ada@example.com")[0])
            network = guessing.network_of("192.0.2.1")
            for position in (1, 2):
                claiming.look(
                    session, Attempt(code_of(batch, position), network, place=bar), at=utc_now()
                )
            tried = Attempt(code_of(batch, 1), network, place=bar)
            assert isinstance(claiming.claim(session, user, tried, at=utc_now()), Claimed)
            again = claiming.claim(session, user, tried, at=utc_now())
            assert not isinstance(again, Claimed)
        text = admin.get(page, headers=HTML).text
        row = r'<bdi>Bar</bdi>.*?data-label="Opened">2<.*?data-label="Claimed">1<'
        assert re.search(row, text, re.S)

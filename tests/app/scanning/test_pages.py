"""The scanner in a browser: who comes in, what the screens say, what admins decide."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from app.accounts import sessions
from app.accounts.models import Merchant, TeamRole
from app.accounts.service import add_member
from app.passes.tokens import parse
from app.perks import places
from app.perks.models import Holding, PerkPlace, Place
from app.scanning.models import OfflineScan, ScanDevice
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.mail import outbox
from core.settings import core_settings
from core.types import utc_now
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, ORIGIN, TestClient, submit, token_in
from tests.conftest import NOW
from tests.factories.brand import make_other_merchant
from tests.factories.perks import make_place
from tests.factories.scanning import code_for, make_device, make_holding

DEVICES = "/admin/settings/devices"
_PART = {**HTML, "hx-request": "true"}
_PAIRING = re.compile(r"/scan/pair/[\w-]{43}")
_TICKET = re.compile(r'name="ticket" value="([\w-]+)"')


@pytest.fixture
def device(browse: Browse, merchant: Merchant) -> TestClient:
    """The browser of a paired device."""
    with unit_of_work(merchant=merchant.id) as session:
        _, key = make_device(session, at=utc_now())
    client = browse()
    client.cookies.set("cohort_scan", key)
    return client


def new_code(merchant: Merchant, **changes: Any) -> str:
    with unit_of_work(merchant=merchant.id) as session:
        holding = make_holding(session, title="Free coffee", **changes)
        return code_for(session, holding, utc_now())


def staff(browse: Browse, merchant: Merchant, role: TeamRole) -> TestClient:
    """Somebody of the team, signed in to the scanner."""
    with unit_of_work() as session:
        found = session.get_one(Merchant, merchant.id)
        member = add_member(
            session, found.organisation, f"{role}.scans@example.com", role=role, at=NOW
        )
        token = sessions.open_team_session(session, member, at=utc_now())
    client = browse()
    client.cookies.set("cohort_scan", token)
    return client


class TestPairing:
    def pairing_page(self, admin: TestClient, merchant: Merchant) -> str:
        with unit_of_work(merchant=merchant.id) as session:
            place = encode_id("plc", make_place(session).id)
        answer = submit(admin, DEVICES, name="Till 1", place=place)
        assert answer.status_code == 200 and 'class="qr"' in answer.text
        found = _PAIRING.search(answer.text)
        assert found is not None
        return found[0]

    def test_from_the_admins_screen_to_a_scanner_that_works(
        self, admin: TestClient, browse: Browse, merchant: Merchant
    ) -> None:
        path = self.pairing_page(admin, merchant)
        phone = browse()
        page = phone.get(path, headers=HTML)
        assert "Till 1" in page.text and "90 days" in page.text
        answer = submit(phone, path, page=path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/scan")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie
        assert f"Max-Age={90 * 86_400}" in cookie
        assert "Till 1" in phone.get("/scan", headers=HTML).text
        used = browse().get(path, headers=HTML)
        assert used.status_code == 404 and "no longer works" in used.text

    def test_its_cookie_is_a_hosts_own_over_https(
        self, admin: TestClient, browse: Browse, merchant: Merchant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = self.pairing_page(admin, merchant)
        phone = browse()
        token = token_in(phone.get(path, headers=HTML).text)
        monkeypatch.setattr(core_settings(), "public_url", "https://testserver")
        headers = {"origin": "https://testserver", "x-csrf-token": token, **HTML}
        answer = phone.post(path, headers=headers)
        assert answer.headers["set-cookie"].startswith("__Host-cohort_scan=")
        assert "Secure" in answer.headers["set-cookie"]

    def test_what_was_typed_wrong_comes_back(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            place = encode_id("plc", make_place(session).id)
        for fields in ({"name": "", "place": place}, {"name": "Till", "place": "plc_1"}):
            answer = submit(admin, DEVICES, **fields)
            assert answer.status_code == 422 and "cannot be added yet" in answer.text

    def test_a_revoked_device_is_asked_to_sign_in(
        self, admin: TestClient, device: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = session.scalars(select(ScanDevice)).one()
        page = admin.get(DEVICES, headers=HTML).text
        assert "Revoke “Till”?" in page
        answer = submit(admin, f"{DEVICES}/{encode_id('dev', row.id)}/revoke")
        assert answer.status_code == 303
        refused = device.get("/scan", headers=HTML)
        assert refused.headers["location"] == "/scan/sign-in?destination=/scan"
        assert "Revoked" in admin.get(DEVICES, headers=HTML).text

    @pytest.mark.parametrize("act", ["pair", "revoke"])
    def test_unknown_devices_do_not_exist(self, admin: TestClient, act: str) -> None:
        path = f"{DEVICES}/{encode_id('dev', new_id())}/{act}"
        assert submit(admin, path).status_code == 404

    def test_is_an_admins_to_decide(self, browse: Browse, merchant: Merchant) -> None:
        client = browser_as(browse, merchant, TeamRole.EDITOR)
        assert client.get(DEVICES, headers=HTML).status_code == 403


class TestStaff:
    def test_signs_in_by_the_code_in_the_mail(self, browse: Browse, merchant: Merchant) -> None:
        with unit_of_work() as session:
            found = session.get_one(Merchant, merchant.id)
            add_member(session, found.organisation, "bo@example.com", role=TeamRole.STAFF, at=NOW)
        phone, door = browse(), "/scan/sign-in"
        page = submit(phone, door, page=door, email="bo@example.com")
        assert page.status_code == 200 and "Check your mail" in page.text
        text = outbox()[0].text
        assert "/scan/sign-in/" in text
        code = re.search(r"code there: (\d{6})", text)
        assert code is not None
        answer = submit(phone, f"{door}/code", page=door, email="bo@example.com", code=code[1])
        assert (answer.status_code, answer.headers["location"]) == (303, "/scan")
        assert phone.get("/scan", headers=HTML).status_code == 200
        assert phone.get("/admin", headers=HTML).status_code == 303

    @pytest.mark.parametrize(
        ("role", "status"),
        [
            (TeamRole.OWNER, 200),
            (TeamRole.ADMIN, 200),
            (TeamRole.EDITOR, 200),
            (TeamRole.ANALYST, 403),
            (TeamRole.STAFF, 200),
        ],
    )
    def test_scans_as_the_role_says(
        self, browse: Browse, merchant: Merchant, role: TeamRole, status: int
    ) -> None:
        assert staff(browse, merchant, role).get("/scan", headers=HTML).status_code == status

    def test_the_cookie_of_the_admin_does_not_scan(self, admin: TestClient) -> None:
        assert admin.get("/scan", headers=HTML).status_code == 303

    def test_validates_without_a_place(self, browse: Browse, merchant: Merchant) -> None:
        client = staff(browse, merchant, TeamRole.STAFF)
        page = submit(client, "/scan/lookup", page="/scan", code=new_code(merchant))
        ticket = _TICKET.search(page.text)
        assert ticket is not None
        done = submit(client, "/scan/redeem", page="/scan", ticket=ticket[1])
        assert "VALIDATED" in done.text

    def test_signs_out(self, browse: Browse, merchant: Merchant) -> None:
        client = staff(browse, merchant, TeamRole.STAFF)
        assert submit(client, "/scan/sign-out", page="/scan").status_code == 303
        assert client.get("/scan", headers=HTML).status_code == 303


class TestScreen:
    def test_from_a_code_to_validated_and_undone(
        self, device: TestClient, merchant: Merchant
    ) -> None:
        code = new_code(merchant, uses_per_holding=3)
        page = submit(device, "/scan/lookup", page="/scan", code=code)
        assert page.status_code == 200
        for text in ("scan-green", "VALID", "Free coffee", "3 uses left", 'max="3"', "Cancel"):
            assert text in page.text
        ticket = _TICKET.search(page.text)
        assert ticket is not None
        done = submit(device, "/scan/redeem", page="/scan", ticket=ticket[1], uses=2)
        for text in ("scan-green", "VALIDATED", "1 use left", "data-next autofocus"):
            assert text in done.text
        assert "Validated today: 1" in done.text and "Undo" in done.text
        undo = re.search(r'action="(/scan/undo/rdm_\w+)"', done.text)
        assert undo is not None
        back = submit(device, undo[1], page="/scan")
        assert "TAKEN BACK" in back.text and "Validated today: 0" in back.text

    def test_htmx_gets_the_answer_alone_and_a_nudge(
        self, device: TestClient, merchant: Merchant
    ) -> None:
        token = token_in(device.get("/scan", headers=HTML).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token, **_PART}
        found = device.post("/scan/lookup", data={"code": new_code(merchant)}, headers=headers)
        assert "<html" not in found.text and "hx-trigger" not in found.headers
        ticket = _TICKET.search(found.text)
        assert ticket is not None
        done = device.post("/scan/redeem", data={"ticket": ticket[1]}, headers=headers)
        assert done.headers["hx-trigger"] == "validated"
        again = device.post("/scan/redeem", data={"ticket": ticket[1]}, headers=headers)
        assert "ALREADY USED" in again.text and "hx-trigger" not in again.headers
        recent = device.get("/scan/recent", headers=_PART)
        assert recent.text.strip().startswith('<section class="scan-recent"')

    @pytest.mark.parametrize(
        ("code", "word"), [("NOTHING", "UNKNOWN CODE"), ("/v/nonsense", "NOT GENUINE")]
    )
    def test_what_is_refused_is_red_in_a_word(
        self, device: TestClient, code: str, word: str
    ) -> None:
        page = submit(device, "/scan/lookup", page="/scan", code=code)
        assert page.status_code == 200 and "scan-red" in page.text and word in page.text

    def test_says_nothing_of_the_member(self, device: TestClient, merchant: Merchant) -> None:
        page = submit(device, "/scan/lookup", page="/scan", code=new_code(merchant))
        assert "ada@example.com" not in page.text and "Free coffee" in page.text


class TestWorker:
    def test_sees_nothing_but_the_scanner(self, stranger: TestClient) -> None:
        answer = stranger.get("/scan/worker.js")
        assert answer.headers["service-worker-allowed"] == "/scan"
        assert answer.headers["content-type"].startswith("text/javascript")
        assert 'pathname === "/scan"' in answer.text


class TestOffline:
    @pytest.fixture
    def allowed(self, admin: TestClient, device: TestClient, merchant: Merchant) -> Iterator[None]:
        """The device's place allows it."""
        with unit_of_work(merchant=merchant.id) as session:
            place = session.scalars(select(ScanDevice)).one().place_id
        path = f"{DEVICES}/places/{encode_id('plc', place)}/offline"
        assert submit(admin, path, allowed="true").status_code == 303
        yield
        assert submit(admin, path, allowed="false").status_code == 303
        assert device.get("/scan/offline").json()["allowed"] is False

    def sync(self, device: TestClient, *items: dict[str, str]) -> Any:
        token = token_in(device.get("/scan", headers=HTML).text)
        headers = {"origin": ORIGIN, "x-csrf-token": token, "accept": "application/json"}
        return device.post("/scan/sync", json={"items": list(items)}, headers=headers)

    def item(self, token: str) -> dict[str, str]:
        return {"id": str(uuid4()), "token": token, "scannedAt": utc_now().isoformat()}

    def test_is_off_by_default(self, device: TestClient) -> None:
        terms = device.get("/scan/offline").json()
        assert (terms["allowed"], terms["keys"]) == (False, [])

    def test_gives_the_keys_and_judges_what_comes_back(
        self, allowed: None, admin: TestClient, device: TestClient, merchant: Merchant
    ) -> None:
        code = new_code(merchant)
        terms = device.get("/scan/offline").json()
        assert parse(code).claims.key_id in [key["kid"] for key in terms["keys"]]
        first, second = self.item(code), self.item(code)
        for _ in range(2):
            answer = self.sync(device, first, second)
            assert [item["outcome"] for item in answer.json()["items"]] == ["accepted", "conflict"]
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(Holding.uses_left)).one() == 0
            assert len(session.scalars(select(OfflineScan.id)).all()) == 2
        page = admin.get(DEVICES, headers=HTML).text
        assert "Accepted without connection, but not honoured" in page
        assert "it was used already" in page

    def test_people_without_a_device_do_not_sync(self, browse: Browse, merchant: Merchant) -> None:
        client = staff(browse, merchant, TeamRole.STAFF)
        assert client.get("/scan/offline").json()["allowed"] is False
        answer = self.sync(client, self.item("x"))
        assert (answer.status_code, answer.json()["code"]) == (401, "device_key_refused")

    @pytest.mark.parametrize(
        "change", [{"id": "1"}, {"token": ""}, {"scannedAt": "2026-06-01T12:00:00"}]
    )
    def test_what_is_not_whole_is_refused(self, device: TestClient, change: dict[str, str]) -> None:
        answer = self.sync(device, {**self.item("x"), **change})
        assert answer.status_code == 422

    def test_a_hundred_at_once_and_no_more(self, device: TestClient) -> None:
        assert self.sync(device, *[self.item("x")] * 101).status_code == 422


class TestStanding:
    """Somebody of the team says where they stand; a device stands where it was put."""

    def stand(self, client: TestClient, place: str) -> Any:
        return submit(client, "/scan/place", page="/scan", place=place)

    def scan(self, client: TestClient, code: str) -> str:
        answer = submit(client, "/scan/lookup", page="/scan", code=code)
        return answer.text

    def test_perks_of_a_place_are_validated_by_who_stands_there(
        self, browse: Browse, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            bar, door = make_place(session, "Bar"), make_place(session, "Door")
            holding = make_holding(session)
            session.add(PerkPlace(perk_id=holding.perk_id, place_id=bar.id))
            code = code_for(session, holding, utc_now())
        client = staff(browse, merchant, TeamRole.STAFF)
        assert "No place" in client.get("/scan", headers=HTML).text
        assert "NOT HERE" in self.scan(client, code)
        for place, word in ((door, "NOT HERE"), (bar, "VALID")):
            answer = self.stand(client, encode_id("plc", place.id))
            assert (answer.status_code, answer.headers["location"]) == (303, "/scan")
            assert "HttpOnly" in answer.headers["set-cookie"]
            page = self.scan(client, code)
            assert f">{word}<" in page and f"<summary>{place.name}</summary>" in page
        self.stand(client, "")
        assert "NOT HERE" in self.scan(client, code)

    def test_a_place_that_is_none_of_the_brands_is_nowhere(
        self, browse: Browse, merchant: Merchant
    ) -> None:
        client = staff(browse, merchant, TeamRole.STAFF)
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            theirs = encode_id("plc", make_place(session, "Theirs").id)
        with unit_of_work(merchant=merchant.id) as session:
            bar = make_place(session, "Bar")
        for place in (theirs, "plc_1", "bar"):
            self.stand(client, place)
            client.cookies.set("cohort_scan_place", place)
            assert "<summary>No place</summary>" in client.get("/scan", headers=HTML).text
        client.cookies.delete("cohort_scan_place")
        self.stand(client, encode_id("plc", bar.id))
        with unit_of_work(merchant=merchant.id) as session:
            places.archive(session, session.get_one(Place, bar.id), at=utc_now())
            make_place(session, "Door")
        assert "<summary>No place</summary>" in client.get("/scan", headers=HTML).text

    def test_a_device_stays_where_it_is(self, device: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            bar = encode_id("plc", make_place(session, "Bar").id)
        answer = self.stand(device, bar)
        assert answer.status_code == 409 and "Place of Till" in answer.text
        device.cookies.set("cohort_scan_place", bar)
        assert "Place of Till · Till" in device.get("/scan", headers=HTML).text

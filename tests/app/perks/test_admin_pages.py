"""Screens of the team: terms, codes, holdings, places, shipments."""

import io
import re
from typing import Any, ClassVar

import pytest
from PIL import Image
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.perks import changing, code_loading, shipping, using
from app.perks.code_models import CodeFile, PerkCode
from app.perks.models import (
    Channel,
    Holding,
    HoldingState,
    Perk,
    PerkState,
    Place,
    ShipmentState,
)
from app.perks.shipping import Address
from app.perks.terms import Options, RedemptionType, Validity
from core.db import unit_of_work
from core.ids import encode_id
from core.types import utc_now
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import make_perk
from tests.factories.perks import code_of, hold, load, make_place, perk_of

PERKS = "/admin/perks"
CSRF: dict[str, str] = {"origin": ORIGIN, **HTML}


def post(client: TestClient, path: str, files: Any = None, **fields: Any) -> tuple[int, str]:
    """Status, and the target or the page that came back."""
    token = token_in(client.get(PERKS, headers=HTML).text)
    headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
    answer = client.post(path, headers=headers, data=fields, files=files)
    return answer.status_code, answer.headers.get("location") or answer.text


def page_of(perk: Perk) -> str:
    return f"{PERKS}/{encode_id('prk', perk.id)}"


def held_page(perk: Perk, holding: Holding) -> str:
    return f"{page_of(perk)}/holdings/{encode_id('hld', holding.id)}"


def the_perk(merchant: Merchant) -> Perk:
    with unit_of_work(merchant=merchant.id) as session:
        return session.scalars(select(Perk)).one()


class TestForm:
    FULL: ClassVar[dict[str, Any]] = {
        "title": "Lunch",
        "conditions": "Not on Sundays.",
        "redemption": "link",
        "url": "https://shop.example/?who={{userId}}",
        "used_on": "click",
        "signature": "sig",
        "cta_label": "Order",
        "uses_per_holding": "",
        "validity": "window",
        "valid_from": "2027-01-01T08:00",
        "valid_until": "2027-02-01T08:00",
        "hours": ["9:00-12:00", "", "", "", "", "", "22:00-02:00"],
        "undo_minutes": "5",
        "low_stock": "25",
    }

    def test_everything_typed_is_kept_and_shown_again(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            place = make_place(session, "Counter 1")
        fields = {**self.FULL, "places": [encode_id("plc", place.id)]}
        status, page = post(admin, f"{PERKS}/new", **fields)
        assert status == 303
        perk = the_perk(merchant)
        assert (perk.redemption, perk.terms.signature, perk.uses_per_holding) == (
            *(RedemptionType.LINK, "sig", None),
        )
        assert (perk.validity, perk.undo_minutes) == (Validity.WINDOW, 5)
        assert (perk.low_stock_percent, perk.low_stock_count) == (None, 25)
        assert perk.hours.ranges == ((0, 0, 120), (0, 540, 720), (6, 1320, 1440))
        text = admin.get(f"{page}/edit", headers=HTML).text
        for said in ("Not on Sundays.", 'value="sig"', 'value="2027-01-01T08:00"', "Counter 1"):
            assert said in text
        assert 'value="25"' in text and re.search(r'value="plc_\w+" checked', text)
        shown = admin.get(page, headers=HTML).text
        assert "Counter 1" in shown and "Key of the signature" in shown

    def test_saved_and_published_at_once(self, admin: TestClient, merchant: Merchant) -> None:
        assert post(admin, f"{PERKS}/new", title="Tea", act="publish")[0] == 303
        assert the_perk(merchant).state is PerkState.LIVE

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"redemption": "unique_code"}, "No code is free"),
            ({"redemption": "link", "url": "http://shop.example"}, "begins with https"),
            ({"redemption": "link", "url": "https://{{code}}.example"}, "begins with https"),
            ({"redemption": "link", "url": "https://a.example/{{nobody}}"}, "stands for nothing"),
            ({"redemption": "shared_code", "uses_per_holding": ""}, "Type the code"),
            ({"validity": "until", "valid_until": "2020-01-01T00:00"}, "is over"),
            ({"cta_url": "https://a.example/{{code}}"}, "stands for nothing"),
        ],
    )
    def test_what_is_missing_is_said_and_nothing_is_kept(
        self, admin: TestClient, merchant: Merchant, fields: dict[str, str], sentence: str
    ) -> None:
        fields = {"title": "Tea", "uses_per_holding": "1", "act": "publish", **fields}
        status, text = post(admin, f"{PERKS}/new", **fields)
        assert status == 422 and sentence in text
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(Perk)).all() == []

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"uses_per_holding": "0"}, "Between 1 and 1,000"),
            ({"redemption": "scan", "uses_per_holding": ""}, "Between 1 and 1,000"),
            ({"redemption": "physical", "uses_per_holding": "2"}, "sent once"),
            ({"redemption": "physical", "deadline_days": "366"}, "Between 1 and 365"),
            ({"redemption": "physical", "countries": "BEL"}, "two letters"),
            ({"redemption": "physical", "validity": "days", "valid_days": "3"}, "deadline"),
            ({"redemption": "link", "signature": "a b"}, "Letters, digits"),
            ({"redemption": "shared_code", "code": "x" * 65}, "64 printable"),
            ({"validity": "days", "valid_days": "3651"}, "Between 1 and 3,650"),
            ({"validity": "until"}, "A day and a time"),
            ({"validity": "until", "valid_until": "soon"}, "A day and a time"),
            (
                {
                    "validity": "window",
                    "valid_from": "2027-01-01T00:00",
                    "valid_until": "2027-01-01T00:00",
                },
                "After the beginning",
            ),
            ({"hours": ["9"]}, "no time of day"),
            ({"low_stock": "51%"}, "between 0 and 50"),
            ({"undo_minutes": "1441"}, "Between 0 and 1,440"),
            ({"cta_label": "x" * 41}, "At most 40"),
        ],
    )
    def test_what_cannot_be_is_said(
        self, admin: TestClient, fields: dict[str, Any], sentence: str
    ) -> None:
        fields = {"title": "Tea", "uses_per_holding": "1", **fields}
        status, text = post(admin, f"{PERKS}/new", **fields)
        assert status == 422 and sentence in text

    def test_what_holders_were_promised_stays(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
            hold(session, perk)
        fields = {"title": "Tea", "internal_name": "Tea", "uses_per_holding": "1"}
        for changed in ({"redemption": "scan"}, {"uses_per_holding": "2"}):
            status, text = post(admin, f"{page_of(perk)}/edit", **{**fields, **changed})
            assert status == 422 and "Somebody has it already" in text
        assert post(admin, f"{page_of(perk)}/edit", **fields)[0] == 303


class TestPicture:
    def picture(self, side: int = 640) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (side, side), (200, 120, 40)).save(buffer, "PNG")
        return buffer.getvalue()

    def test_is_shown_to_the_team_and_copied_with_the_perk(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
        files = {"image": ("p.png", self.picture(), "image/png")}
        assert post(admin, f"{page_of(perk)}/visual", files=files) == (303, page_of(perk))
        cid = the_perk(merchant).visual_cid
        assert cid is not None and f"/ipfs/{cid}" in admin.get(page_of(perk), headers=HTML).text
        assert admin.get(f"/ipfs/{cid}").headers["content-type"] == "image/webp"
        post(admin, f"{page_of(perk)}/duplicate", internal_name="Copy")
        with unit_of_work(merchant=merchant.id) as session:
            assert set(session.scalars(select(Perk.visual_cid))) == {cid}

    @pytest.mark.parametrize("content", [b"", b"GIF89a nothing", b"small"])
    def test_what_is_none_is_refused(
        self, admin: TestClient, merchant: Merchant, content: bytes
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
        content = self.picture(80) if content == b"small" else content
        files = {"image": ("p.png", content, "image/png")}
        status, text = post(admin, f"{page_of(perk)}/visual", files=files)
        assert status == 422 and 'id="form-errors"' in text
        assert the_perk(merchant).visual_cid is None


class TestManage:
    def test_a_duplicate_is_a_draft_without_codes_and_reference(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = perk_of(session, RedemptionType.UNIQUE_CODE, reference_id="R1")
            load(session, perk, "A\n")
        status, page = post(admin, f"{page_of(perk)}/duplicate", internal_name="Copy")
        assert status == 303 and page != page_of(perk)
        with unit_of_work(merchant=merchant.id) as session:
            copy = session.scalars(select(Perk).where(Perk.internal_name == "Copy")).one()
            assert (copy.state, copy.redemption, copy.reference_id, copy.code_count) == (
                *(PerkState.DRAFT, RedemptionType.UNIQUE_CODE, None, 0),
            )
        assert post(admin, f"{page_of(perk)}/duplicate", internal_name="Copy")[0] == 422

    def test_a_draft_is_deleted_and_a_live_one_not(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            live = make_perk(session)
            draft = make_perk(session, "Tea", state=PerkState.DRAFT)
        assert post(admin, f"{page_of(live)}/delete")[0] == 409
        assert post(admin, f"{page_of(draft)}/delete") == (303, PERKS)
        assert admin.get(page_of(draft), headers=HTML).status_code == 404
        assert "Tea" not in admin.get(f"{PERKS}?state=draft", headers=HTML).text

    def test_an_archived_one_waits_until_nobody_can_use_it(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
            holding = hold(session, perk)
            perk.state = PerkState.ARCHIVED
        status, text = post(admin, f"{page_of(perk)}/delete")
        assert status == 409 and "can still use" in text
        post(admin, f"{held_page(perk, holding)}/revoke", reason="season is over")
        assert post(admin, f"{page_of(perk)}/delete")[0] == 303

    def test_few_left_is_said_on_the_list_and_the_page(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            values = {"total_quantity": 10, "granted_count": 9, "low_stock_percent": 10}
            perk = make_perk(session, **values)
        for path in (PERKS, page_of(perk)):
            assert "1 of 10 are left" in admin.get(path, headers=HTML).text


class TestCodes:
    @pytest.fixture
    def perk(self, merchant: Merchant) -> Perk:
        """A perk with an empty pool."""
        with unit_of_work(merchant=merchant.id) as session:
            return perk_of(session, RedemptionType.UNIQUE_CODE)

    def read(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            for row in session.scalars(select(CodeFile)).all():
                while code_loading.run_part(session, row.id, at=NOW):
                    pass

    def test_a_file_is_on_its_way_and_then_in_the_pool(
        self, admin: TestClient, merchant: Merchant, perk: Perk
    ) -> None:
        page = f"{page_of(perk)}/codes"
        content = ("codes.csv", b"code\nSECRET-1\nSECRET-1\n", "text/csv")
        assert post(admin, page, files={"file": content}) == (303, page)
        assert "hx-get" in admin.get(page, headers=HTML).text
        self.read(merchant)
        text = admin.get(page, headers=HTML).text
        assert "hx-get" not in text and "codes.csv" in text and "SECRET-1" not in text
        [refused] = re.findall(r'href="([^"]+refused\.csv)"', text)
        assert admin.get(refused, headers=HTML).text == "line,reason\r\n3,duplicate_in_file\r\n"
        part = admin.get(page, headers={**HTML, "hx-request": "true"})
        assert part.headers["hx-refresh"] == "true" and "<html" not in part.text

    def test_without_a_file_the_page_says_so(self, admin: TestClient, perk: Perk) -> None:
        status, text = post(admin, f"{page_of(perk)}/codes")
        assert status == 422 and "Choose a file" in text

    def test_codes_are_made(self, admin: TestClient, merchant: Merchant, perk: Perk) -> None:
        page = f"{page_of(perk)}/codes"
        fields = {"prefix": "A-", "alphabet": "0123456789", "length": "12", "count": "50"}
        assert post(admin, f"{page}/made", **fields) == (303, page)
        self.read(merchant)
        with unit_of_work(merchant=merchant.id) as session:
            assert len(session.scalars(select(PerkCode)).all()) == 50
        status, text = post(admin, f"{page}/made", **{**fields, "length": "3", "count": "x"})
        assert status == 422 and "whole number" in text and 'value="A-"' in text

    def test_only_admins_take_codes_out_or_void_them(
        self, browse: Browse, merchant: Merchant, admin: TestClient, perk: Perk
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            load(session, session.get_one(Perk, perk.id), "A1\nB2\n", name="c.txt")
        page = f"{page_of(perk)}/codes"
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        for act in ("export", "void", "void-free"):
            assert post(editor, f"{page}/{act}", reason="x")[0] == 403
        status, text = post(admin, f"{page}/export")
        assert status == 200 and {"A1,free,,,", "B2,free,,,"} < set(text.splitlines())
        status, text = post(admin, f"{page}/void", typed="A1\nZ9", reason="")
        assert status == 422 and "Say why" in text
        status, text = post(admin, f"{page}/void", typed="A1\nZ9", reason="leaked")
        assert status == 200 and "1 free and 0 given codes are void; 1 are unknown" in text
        status, text = post(admin, f"{page}/void-free", reason="over")
        assert "1 free and 0 given" in text


class TestHoldings:
    def test_the_log_says_who_did_what_and_an_admin_takes_it_back(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk, place = make_perk(session), make_place(session, "Counter 1")
            holding = hold(session, perk)
            facts: dict[str, Any] = {"actor": "test", "place": place.id, "at": NOW}
            using.use(session, holding, channel=Channel.STAFF, **facts)
        page = held_page(perk, holding)
        text = admin.get(page, headers=HTML).text
        assert "Counter 1" in text and "by staff" in text
        [use] = re.findall(r'name="use" value="(rdm_\w+)"', text)
        assert post(admin, f"{page}/undo", use=use) == (303, page)
        assert post(admin, f"{page}/undo", use=use)[0] == 409
        assert "Taken back" in admin.get(page, headers=HTML).text
        listed = admin.get(f"{page_of(perk)}/holdings?state=available", headers=HTML).text
        assert encode_id("hld", holding.id) in listed

    def test_one_is_revoked_with_a_reason(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
            holding = hold(session, perk)
        page = held_page(perk, holding)
        assert post(admin, f"{page}/revoke", reason=" ")[0] == 422
        assert post(admin, f"{page}/revoke", reason="refunded") == (303, page)
        assert "refunded" in admin.get(page, headers=HTML).text
        assert post(admin, f"{page}/revoke", reason="refunded")[0] == 409

    def test_a_revoked_item_is_no_more_on_its_way(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="system") as session:
            perk = perk_of(session, RedemptionType.PHYSICAL)
            holding = hold(session, perk)
        pages = (f"{page_of(perk)}/holdings", held_page(perk, holding))
        for page in pages:
            assert "Address needed" in admin.get(page, headers=HTML).text
        post(admin, f"{pages[1]}/revoke", reason="refunded")
        for page in pages:
            text = admin.get(page, headers=HTML).text
            assert "Address needed" not in text and ">Revoked<" in text

    def test_an_expired_one_is_extended(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = perk_of(session, RedemptionType.NONE, valid_until=NOW)
            holding = hold(session, perk)
            using.expire(session, holding, at=NOW)
        page = held_page(perk, holding)
        for until in ("", "soon", "2020-01-01T00:00"):
            assert post(admin, f"{page}/extend", until=until)[0] == 422
        assert post(admin, f"{page}/extend", until="2099-01-01T00:00") == (303, page)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(Holding, holding.id).state is HoldingState.AVAILABLE

    def test_many_are_revoked_by_an_admin_who_saw_how_many(
        self, browse: Browse, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
            for number in range(3):
                hold(session, perk, f"m{number}@example.com")
        page = f"{page_of(perk)}/holdings"
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        assert post(editor, page, reason="recalled")[0] == 403
        assert "Revoke all 3?" in admin.get(f"{page}?state=available", headers=HTML).text
        assert "Revoke all" not in admin.get(f"{page}?state=used", headers=HTML).text
        assert post(admin, page, reason="")[0] == 422
        assert post(admin, page, state="available", reason="recalled") == (303, page)
        assert "Being revoked" in admin.get(page, headers=HTML).text
        with unit_of_work(merchant=merchant.id) as session:
            while changing.revoke_due(session, utc_now()):
                pass
            assert {it.state for it in session.scalars(select(Holding))} == {HoldingState.REVOKED}

    def test_a_new_validity_is_for_those_who_have_it_if_so_chosen(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
            hold(session, perk)
        page = f"{page_of(perk)}/edit"
        assert "Also for the 1 who can use it now" in admin.get(page, headers=HTML).text
        fields = {"title": "Tea", "uses_per_holding": "1", "validity": "days", "valid_days": "9"}
        assert post(admin, page, **fields)[0] == 303
        assert the_perk(merchant).revalidate_after is None
        assert post(admin, page, **fields, for_all="1")[0] == 303
        assert the_perk(merchant).revalidate_after is not None

    def test_of_another_perk_it_does_not_exist(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            holding = hold(session, make_perk(session))
            other = make_perk(session, "Tea")
        assert admin.get(held_page(other, holding), headers=HTML).status_code == 404

    def test_an_editor_revokes_and_takes_back_nothing(
        self, browse: Browse, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
            holding = hold(session, perk)
        client = browser_as(browse, merchant, TeamRole.EDITOR)
        for act in ("revoke", "undo"):
            assert post(client, f"{held_page(perk, holding)}/{act}", reason="x")[0] == 403
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(Holding, holding.id).state is HoldingState.AVAILABLE

    def test_an_analyst_looks_and_changes_nothing(self, browse: Browse, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = make_perk(session)
            holding = hold(session, perk)
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        page = held_page(perk, holding)
        assert client.get(page, headers=HTML).status_code == 200
        for act in ("revoke", "extend", "undo"):
            assert post(client, f"{page}/{act}", reason="x")[0] == 403


class TestPlaces:
    def test_one_is_added_changed_and_put_away(self, admin: TestClient, merchant: Merchant) -> None:
        assert post(admin, "/admin/places", name="Here", address="Street 1")[0] == 303
        with unit_of_work(merchant=merchant.id) as session:
            place = session.scalars(select(Place)).one()
        page = f"/admin/places/{encode_id('plc', place.id)}"
        assert 'value="Here"' in admin.get(page, headers=HTML).text
        assert post(admin, page, name="There", address="")[0] == 303
        assert "There" in admin.get("/admin/places", headers=HTML).text
        assert post(admin, f"{page}/archive")[0] == 303
        assert "There" not in admin.get("/admin/places", headers=HTML).text
        assert admin.get(page, headers=HTML).status_code == 404

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"name": ""}, "Between 1 and 120"),
            ({"name": "Here"}, "Another place"),
            ({"name": "Far", "address": "x" * 301}, "At most 300"),
        ],
    )
    def test_what_cannot_be_is_said(
        self, admin: TestClient, merchant: Merchant, fields: dict[str, str], sentence: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_place(session, "Here")
        status, text = post(admin, "/admin/places", **fields)
        assert status == 422 and sentence in text


class TestShipments:
    def test_are_taken_out_by_admins_and_tracked(
        self, browse: Browse, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = perk_of(session, RedemptionType.PHYSICAL, title="Mug")
            held = [hold(session, perk, f"m{n}@example.com") for n in range(2)]
            for holding in held:
                home = Address("Ada", "1 Lane", "", "1000", "Brussels", "", "BE")
                shipping.give_address(session, holding, home, terms=Options(), at=NOW)
        page = f"{page_of(perk)}/shipments"
        assert "1 Lane" not in admin.get(page, headers=HTML).text
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        assert post(editor, f"{page}/export")[0] == 403
        status, text = post(admin, f"{page}/export")
        assert status == 200 and text.count("1 Lane") == 2
        names = [encode_id("hld", it.id) for it in held]
        assert post(editor, f"{page}/{names[0]}/sent", carrier="Post", tracking="1Z")[0] == 303
        assert "1Z" in admin.get(page, headers=HTML).text
        assert post(editor, f"{page}/{names[0]}/delivered")[0] == 303
        assert post(editor, f"{page}/{names[1]}/delivered")[0] == 409
        table = ("t.csv", f"holdingId,tracking\n{names[1]},2Z\n".encode(), "text/csv")
        status, text = post(editor, f"{page}/tracking", files={"file": table})
        assert status == 200 and "1 line is taken" in text and "2Z" in text
        wrong = ("t.csv", f"holdingId\n{names[1]}\nnobody\n".encode(), "text/csv")
        status, text = post(editor, f"{page}/tracking", files={"file": wrong})
        assert status == 422 and "Line 3" in text
        with unit_of_work(merchant=merchant.id) as session:
            states = [session.get_one(Holding, it.id).shipment for it in held]
        assert states == [ShipmentState.DELIVERED, ShipmentState.SHIPPED]

    def test_without_a_file_the_page_says_so(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = perk_of(session, RedemptionType.PHYSICAL)
        status, text = post(admin, f"{page_of(perk)}/shipments/tracking")
        assert status == 422 and "Choose a file" in text


def test_the_code_of_a_holding_is_on_no_screen_of_the_team(
    admin: TestClient, merchant: Merchant
) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE)
        load(session, perk, "VERY-SECRET\n", name="c.txt")
        holding = hold(session, perk)
        assert code_of(session, holding) == "VERY-SECRET"
    for path in (page_of(perk), f"{page_of(perk)}/holdings", held_page(perk, holding)):
        assert "VERY-SECRET" not in admin.get(path, headers=HTML).text

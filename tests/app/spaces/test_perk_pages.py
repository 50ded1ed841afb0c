"""The member's own perks, on a telephone."""

import hmac
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any, ClassVar

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant
from app.passes import codes
from app.perks import links, shipping, using
from app.perks.models import Channel, Holding, HoldingState, Perk, ShipmentState
from app.perks.terms import (
    Display,
    Options,
    RedemptionType,
    UsedOn,
    Validation,
    parse_hours,
)
from app.users.service import find_by_email
from core.db import unit_of_work
from core.events import Event
from core.ids import encode_id, new_id
from core.types import utc_now
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import make_perk
from tests.factories.perks import hold, load, perk_of

ADA = "ada@example.com"
LIST = "/space/perks"
Give = Callable[..., str]


@pytest.fixture
def give(member: TestClient, merchant: Merchant) -> Give:
    """The member has a perk of this kind; answers where its page is."""

    def new(kind: RedemptionType, codes: str = "", email: str = ADA, **changes: Any) -> str:
        with unit_of_work(merchant=merchant.id) as session:
            perk = perk_of(session, kind, **changes)
            if codes:
                load(session, perk, codes, name="c.txt")
            holding = hold(session, perk, email)
            return f"{LIST}/{encode_id('hld', holding.id)}"

    return new


def post(client: TestClient, path: str, **fields: str) -> tuple[int, str]:
    """Status, and the target or the page that came back."""
    token = token_in(client.get(LIST, headers=HTML).text)
    headers = {"origin": ORIGIN, "x-csrf-token": token, **HTML}
    answer = client.post(path, headers=headers, data=fields)
    return answer.status_code, answer.headers.get("location") or answer.text


def text_of(client: TestClient, path: str) -> str:
    answer = client.get(path, headers=HTML)
    assert answer.status_code == 200
    return answer.text


def the_holding(merchant: Merchant) -> Holding:
    with unit_of_work(merchant=merchant.id) as session:
        return session.scalars(select(Holding)).one()


def reveals(merchant: Merchant) -> int:
    with unit_of_work(merchant=merchant.id) as session:
        kind = Event.type == "cohort.perk.code-revealed"
        return len(session.scalars(select(Event).where(kind)).all())


class TestList:
    def test_shows_what_can_be_used_and_what_was(
        self, member: TestClient, merchant: Merchant, give: Give
    ) -> None:
        assert "Nothing to use" in text_of(member, LIST)
        page = give(RedemptionType.NONE)
        gone = give(RedemptionType.NONE, title="Tea")
        with unit_of_work(merchant=merchant.id) as session:
            tea = session.scalars(select(Holding).order_by(Holding.id.desc())).first()
            assert tea is not None
            using.revoke(session, tea, reason="wrong person", at=NOW)
        text = text_of(member, LIST)
        assert page in text and gone not in text and "Tea" in text and "Revoked" in text
        assert page in text_of(member, "/space/home")
        assert "Tea" not in text_of(member, "/space/home")

    def test_the_picture_is_on_the_card_and_the_page(self, member: TestClient, give: Give) -> None:
        page = give(RedemptionType.NONE, visual_cid="bafkqaaa")
        for path in (LIST, page):
            assert 'src="/ipfs/bafkqaaa"' in text_of(member, path)

    @pytest.mark.parametrize("act", ["", "/code", "/use", "/follow", "/address"])
    def test_what_somebody_else_has_does_not_exist(
        self, member: TestClient, give: Give, act: str
    ) -> None:
        theirs = give(RedemptionType.NONE, email="eve@example.com")
        for path in (theirs, f"{LIST}/{encode_id('hld', new_id())}", f"{LIST}/hld_1"):
            if act:
                assert post(member, path + act)[0] == 404
            else:
                assert member.get(path, headers=HTML).status_code == 404

    def test_what_was_revoked_has_no_page(
        self, member: TestClient, merchant: Merchant, give: Give
    ) -> None:
        page = give(RedemptionType.NONE)
        with unit_of_work(merchant=merchant.id) as session:
            using.revoke(session, session.scalars(select(Holding)).one(), reason="x", at=NOW)
        assert member.get(page, headers=HTML).status_code == 404


class TestUse:
    def test_the_member_confirms_twice(
        self, member: TestClient, merchant: Merchant, give: Give
    ) -> None:
        page = give(RedemptionType.NONE, terms=Options(validation=Validation.SELF))
        text = text_of(member, page)
        assert 'href="#use"' in text and "Confirm it in front of the staff" in text
        assert post(member, f"{page}/use") == (303, page)
        assert the_holding(merchant).state is HoldingState.USED
        status, text = post(member, f"{page}/use")
        assert status == 409 and "used already" in text
        assert "What happened" in text_of(member, page)

    def test_what_staff_validates_has_no_button(self, member: TestClient, give: Give) -> None:
        page = give(RedemptionType.NONE)
        text = text_of(member, page)
        assert "Show this code to the staff" in text and f"{page}/use" not in text
        status, text = post(member, f"{page}/use")
        assert status == 409 and "cannot be used through" in text

    def test_outside_its_hours_it_says_so(self, member: TestClient, give: Give) -> None:
        yesterday = (utc_now().weekday() - 1) % 7
        hours = parse_hours([("10:00-10:01" if day == yesterday else "") for day in range(7)])
        terms = Options(validation=Validation.SELF)
        page = give(RedemptionType.NONE, terms=terms, usable_hours=hours.dump())
        assert "10:00–10:01" in text_of(member, page)
        status, text = post(member, f"{page}/use")
        assert status == 409 and "at this hour" in text


class TestCode:
    def test_of_everybody_is_on_the_page(self, member: TestClient, give: Give) -> None:
        page = give(RedemptionType.SHARED_CODE, terms=Options(code="SUNNY"))
        text = text_of(member, page)
        assert "SUNNY" in text and 'data-copy="SUNNY"' in text and f"{page}/use" in text

    def test_of_ones_own_is_shown_on_demand_and_told_of(
        self, member: TestClient, merchant: Merchant, give: Give
    ) -> None:
        page = give(RedemptionType.UNIQUE_CODE, "MY-OWN-1\n")
        assert "MY-OWN-1" not in text_of(member, page) and reveals(merchant) == 0
        status, text = post(member, f"{page}/code")
        assert (
            status == 200
            and 'data-copy="MY-OWN-1"' in text
            and "<svg" not in text.split("perk-act")[1].split("perk-code")[0]
        )
        assert reveals(merchant) == 1
        post(member, f"{page}/use")
        assert "MY-OWN-1" not in text_of(member, page)

    @pytest.mark.parametrize("display", list(Display))
    def test_is_drawn_if_the_brand_says_so(
        self, member: TestClient, give: Give, display: Display
    ) -> None:
        page = give(RedemptionType.UNIQUE_CODE, "MY-OWN-1\n", terms=Options(display=display))
        text = post(member, f"{page}/code")[1]
        assert ('class="qr"' in text) is (display is Display.QR)
        assert ('class="barcode"' in text) is (display is Display.CODE128)
        assert ("barcode-stacked" in text) is (display is Display.PDF417)
        assert "MY-OWN-1" in text

    def test_of_thirteen_digits_is_drawn_as_an_article_number(
        self, member: TestClient, give: Give
    ) -> None:
        terms = Options(display=Display.EAN13)
        page = give(RedemptionType.UNIQUE_CODE, "4006381333931\n", terms=terms)
        assert 'class="barcode"' in post(member, f"{page}/code")[1]

    def test_what_has_none_shows_none(self, member: TestClient, give: Give) -> None:
        assert post(member, give(RedemptionType.NONE) + "/code")[0] == 404


class TestLink:
    URL = (
        "https://shop.example/?c={{code}}&u={{userId}}&h={{holdingId}}&e={{email_hash}}&l={{lang}}"
    )

    def target(self, text: str) -> str:
        [found] = re.findall(r'content="0; url=([^"]+)"', text)
        return found.replace("&amp;", "&")

    def test_says_who_comes_percent_encoded_and_signed(
        self, member: TestClient, merchant: Merchant, give: Give
    ) -> None:
        terms = Options(url=self.URL, signature="sig")
        page = give(RedemptionType.LINK, "A&B=1\n", terms=terms)
        assert "A&amp;B" not in text_of(member, page)
        status, text = post(member, f"{page}/follow")
        assert status == 200
        url = self.target(text)
        with unit_of_work(merchant=merchant.id) as session:
            perk = session.scalars(select(Perk)).one()
            user = find_by_email(session, ADA)
            assert user is not None
            key = links.key_of(perk)
        before, _, signature = url.rpartition("&sig=")
        assert before == (
            f"https://shop.example/?c=A%26B%3D1&u={encode_id('usr', user.id)}"
            f"&h={page.rpartition('/')[2]}&e={sha256(ADA.encode()).hexdigest()}&l=en"
        )
        assert signature == hmac.new(key.encode(), before.encode(), sha256).hexdigest()
        assert reveals(merchant) == 1
        assert the_holding(merchant).state is HoldingState.AVAILABLE

    def test_is_used_by_the_click_if_the_brand_says_so(
        self, member: TestClient, merchant: Merchant, give: Give
    ) -> None:
        terms = Options(url="https://shop.example/", used_on=UsedOn.CLICK)
        page = give(RedemptionType.LINK, terms=terms)
        assert self.target(post(member, f"{page}/follow")[1]) == "https://shop.example/"
        assert the_holding(merchant).state is HoldingState.USED
        assert post(member, f"{page}/follow")[0] == 409

    def test_a_further_button_leads_elsewhere(self, member: TestClient, give: Give) -> None:
        page = give(RedemptionType.NONE, cta_url="https://menu.example/?u={{userId}}")
        assert f"{page}/follow" in text_of(member, page)
        assert "menu.example/?u=usr_" in self.target(post(member, f"{page}/follow")[1])

    def test_without_an_address_there_is_none(self, member: TestClient, give: Give) -> None:
        assert post(member, give(RedemptionType.NONE) + "/follow")[0] == 409


class TestAddress:
    HOME: ClassVar[dict[str, str]] = {
        **{"name": "Ada L.", "line1": "1 Lane", "postal_code": "1000", "city": "Brussels"},
        **{"country": "BE"},
    }

    def test_is_given_changed_and_then_waited_for(
        self, member: TestClient, merchant: Merchant, give: Give
    ) -> None:
        page = give(RedemptionType.PHYSICAL, terms=Options(countries=("BE", "FR")))
        text = text_of(member, page)
        assert "Where do we send it?" in text and "Belgium" in text and "Germany" not in text
        assert post(member, f"{page}/address", **self.HOME)[0] == 409
        # The deadline of a holding of the tests' time is long over.
        with unit_of_work(merchant=merchant.id) as session:
            session.scalars(select(Holding)).one().address_due_at = None
        status, text = post(member, f"{page}/address", **{**self.HOME, "city": ""})
        assert status == 422 and 'value="1 Lane"' in text
        assert post(member, f"{page}/address", **self.HOME) == (303, page)
        assert 'value="1 Lane"' in text_of(member, page)
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            holding = session.scalars(select(Holding)).one()
            assert holding.shipment is ShipmentState.READY_TO_SHIP
            shipping.ship(session, holding, carrier="Post", tracking="1Z", at=NOW)
        text = text_of(member, page)
        assert "number 1Z" in text and "Where do we send it?" not in text
        assert post(member, f"{page}/address", **self.HOME)[0] == 409


def test_every_use_is_on_its_page(member: TestClient, merchant: Merchant) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        perk = make_perk(session, uses_per_holding=3)
        holding = hold(session, perk)
        using.use(session, holding, channel=Channel.STAFF, actor="test", at=NOW)
    text = text_of(member, f"{LIST}/{encode_id('hld', holding.id)}")
    assert "2 uses left" in text and "1 Jun 2026" in text


class TestLiveCode:
    """What staff scans: a signed code of this holding, while it can be used."""

    @pytest.mark.parametrize("kind", [RedemptionType.SCAN, RedemptionType.NONE])
    def test_is_on_the_page_which_asks_for_those_of_the_next_minutes(
        self, member: TestClient, give: Give, kind: RedemptionType
    ) -> None:
        page = give(kind)
        text = member.get(page, headers=HTML).text
        assert 'id="live-code"' in text and f'hx-get="{page}/live"' in text
        assert f'hx-get="{page}/reserve"' in text and "load, every 300s" in text

    def test_its_parts_refresh_alone(self, member: TestClient, give: Give) -> None:
        page = give(RedemptionType.SCAN)
        code = member.get(f"{page}/live", headers={**HTML, "hx-request": "true"})
        assert code.text.strip().startswith('<div class="live-code"')
        assert "hx-refresh" not in code.headers
        reserve = member.get(f"{page}/reserve", headers={**HTML, "hx-request": "true"})
        assert reserve.text.count("data-bits=") == codes.AHEAD

    def test_after_the_use_the_page_is_loaded_anew_without_it(
        self, member: TestClient, give: Give, merchant: Merchant
    ) -> None:
        page = give(RedemptionType.SCAN, uses_per_holding=1)
        with unit_of_work(merchant=merchant.id) as session:
            holding = session.scalars(select(Holding)).one()
            using.use(session, holding, channel=Channel.STAFF, actor="member:x", at=utc_now())
        part = member.get(f"{page}/live", headers={**HTML, "hx-request": "true"})
        assert (part.text.strip(), part.headers["hx-refresh"]) == ("", "true")
        assert "live-code" not in member.get(page, headers=HTML).text

    def test_of_what_members_confirm_themselves_there_is_none(
        self, member: TestClient, give: Give
    ) -> None:
        page = give(RedemptionType.NONE, terms=Options(validation=Validation.SELF))
        assert "live-code" not in member.get(page, headers=HTML).text

    def test_a_code_of_a_pool_stays_what_it_is(self, member: TestClient, give: Give) -> None:
        page = give(RedemptionType.UNIQUE_CODE, codes="SUMMER-1\n")
        assert "live-code" not in member.get(page, headers=HTML).text

    @pytest.mark.parametrize("part", ["live", "reserve"])
    def test_of_somebody_elses_does_not_exist(
        self, member: TestClient, give: Give, part: str
    ) -> None:
        page = give(RedemptionType.SCAN, email="bob@example.com")
        assert member.get(f"{page}/{part}", headers=HTML).status_code == 404

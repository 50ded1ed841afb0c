"""A member's code and the counter that reads it, in a browser as wide as a phone, also offline."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from app.accounts import sessions
from app.accounts.models import TeamMember
from app.main import create_app
from app.passes import checking, keys
from app.passes.tokens import parse, sign
from app.perks.models import PerkPlace, Redemption
from app.scanning import answers, devices
from app.scanning.scanner import Scanner
from core.db import unit_of_work
from core.types import MerchantId, utc_now
from tests.conftest import make_merchant, wait_until
from tests.e2e.camera import bring_decoder, browser_with_camera, read_code
from tests.e2e.site import Site, chromium, free_port
from tests.e2e.visitor import Visitor
from tests.factories.brand import make_pass_contract
from tests.factories.passes import NUMBER, make_pass
from tests.factories.perks import make_place
from tests.factories.scanning import code_for, make_device, make_holding

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium() is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def merchant_id(committed: None) -> MerchantId:
    """The brand; its rows are committed."""
    return make_merchant().id


@pytest.fixture
def site(merchant_id: MerchantId) -> Iterator[Site]:
    """The application on a port, in this process."""
    port = free_port()
    config = uvicorn.Config(create_app(), port=port, log_level="warning", proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    process: Any = None
    yield Site(Path(), f"http://127.0.0.1:{port}", {}, process)
    server.should_exit = True
    thread.join()


def visit(chrome: Browser, site: Site, cookie: str, value: str) -> Visitor:
    """A phone with this session."""
    visitor = Visitor(chrome, site)
    visitor.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    visitor.page.context.add_cookies([{"name": cookie, "value": value, "url": site.base}])
    return visitor


class TestMember:
    @pytest.fixture
    def member(self, chrome: Browser, site: Site, merchant_id: MerchantId) -> Visitor:
        """A member with a confirmed pass."""
        with unit_of_work(merchant=merchant_id) as session:
            make_pass_contract(session)
            user = make_pass(session).user_id
            token = sessions.open_space_session(session, merchant_id, user, at=utc_now())
        return visit(chrome, site, "cohort_space", token)

    def test_shows_a_code_that_goes_on_without_connection_for_ten_minutes(
        self, member: Visitor, site: Site
    ) -> None:
        page = member.page
        member.go("/space/pass")
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        page.clock.install()
        member.go("/space/pass")
        bring_decoder(page, site)
        page.locator("#code-reserve i").first.wait_for(state="attached")
        box = page.locator("#live-code")
        shown = [self.check(page)]
        page.context.set_offline(True)
        for _ in range(3):
            before = str(box.get_attribute("data-from"))
            page.clock.run_for(31_000)
            expect(box).not_to_have_attribute("data-from", before)
            shown.append(self.check(page))
        assert len(set(shown)) == 4
        page.clock.run_for(600_000)
        expect(page.get_by_text("Connect to refresh")).to_be_visible()
        expect(box.locator("svg.qr")).to_be_hidden()
        page.context.set_offline(False)
        page.clock.run_for(31_000)
        expect(page.get_by_text("Connect to refresh")).to_be_hidden()
        expect(box.locator("svg.qr")).to_be_visible()

    def check(self, page: Page) -> str:
        """The code that is shown is a genuine one of the moment it is shown for."""
        token = read_code(page).rpartition("/v/")[2]
        issued = int(str(page.locator("#live-code").get_attribute("data-from")))
        with unit_of_work() as session:
            at = utc_now().fromtimestamp(issued, utc_now().tzinfo)
            checked = checking.check(session, token, at=at)
        assert checked.reason is None and checked.claims is not None
        assert (checked.claims.number, checked.claims.issued_at) == (NUMBER, issued)
        return token

    def test_whoever_scans_it_sees_a_verdict(
        self, chrome: Browser, member: Visitor, site: Site
    ) -> None:
        member.go("/space/pass")
        token = read_code(member.page, site).rpartition("/v/")[2]
        stranger = Visitor(chrome, site)
        stranger.go(f"/v/{token}")
        # The chain of this test has no node, so the pass is confirmed by the record alone.
        expect(stranger.page.locator(".verdict-yellow")).to_contain_text("VALID PASS")
        stranger.go("/v/nonsense")
        expect(stranger.page.locator(".verdict-red")).to_contain_text("NOT VALID")


class Counter:
    """A device at a counter, and what members would show it."""

    def __init__(self, chrome: Browser, site: Site, merchant: MerchantId) -> None:
        self.merchant = merchant
        with unit_of_work(merchant=merchant) as session:
            place = make_place(session)
            devices.allow_offline(session, place.id, is_allowed=True, at=utc_now())
            self.scanner, key = make_device(session, place, at=utc_now())
            self.other: Scanner = make_device(session, place, "Other", at=utc_now())[0]
        self.visitor = visit(chrome, site, "cohort_scan", key)
        self.page = self.visitor.page

    def code(self, email: str, at: datetime | None = None, **changes: Any) -> str:
        """A code of a new perk, live unless it is of another time."""
        with unit_of_work(merchant=self.merchant) as session:
            holding = make_holding(session, email, title=f"Coffee {email[:1]}", **changes)
            keys.current(session, at=utc_now() - timedelta(days=1))
            return code_for(session, holding, at or utc_now())

    def type(self, text: str) -> None:
        """A hand scanner types, wherever the focus is, and presses Enter."""
        self.page.keyboard.insert_text("")
        self.page.locator("#field-code").focus()
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Enter")

    def see(self, colour: str, word: str) -> None:
        """The answer fills the screen."""
        answer = self.page.locator(f".scan-answer.scan-{colour}")
        expect(answer.locator(".scan-word")).to_have_text(word)

    def uses(self) -> int:
        with unit_of_work(merchant=self.merchant) as session:
            return len(session.scalars(select(Redemption.id)).all())


@pytest.fixture
def counter(chrome: Browser, site: Site, merchant_id: MerchantId) -> Counter:
    """A paired device."""
    return Counter(chrome, site, merchant_id)


class TestScanner:
    def test_validates_a_typed_code_and_takes_it_back(self, counter: Counter) -> None:
        visitor, page = counter.visitor, counter.page
        code = counter.code("ada@example.com", uses_per_holding=3)
        visitor.go("/scan")
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        expect(page.locator("#field-code")).to_be_focused()
        counter.type(code)
        counter.see("green", "VALID")
        visitor.look()
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        page.get_by_label("Uses to take").fill("2")
        visitor.press("Validate")
        counter.see("green", "VALIDATED")
        expect(page.get_by_role("link", name="Next")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator(".scan-answer")).to_have_count(0)
        expect(page.locator("#field-code")).to_be_focused()
        expect(page.get_by_text("Validated today: 1")).to_be_visible()
        counter.type(code)
        counter.see("red", "ALREADY USED")
        visitor.look()
        page.get_by_role("link", name="Next").click()
        visitor.press("Undo")
        counter.see("yellow", "TAKEN BACK")
        visitor.look()
        page.get_by_role("link", name="Next").click()
        expect(page.get_by_text("Validated today: 0")).to_be_visible()

    def test_a_button_pressed_twice_validates_once(self, counter: Counter) -> None:
        counter.visitor.go("/scan")
        counter.type(counter.code("ada@example.com"))
        counter.see("green", "VALID")
        counter.page.get_by_role("button", name="Validate").dblclick()
        counter.see("green", "VALIDATED")
        counter.page.get_by_role("link", name="Next").click()
        expect(counter.page.get_by_text("Validated today: 1")).to_be_visible()
        assert counter.uses() == 1

    def test_a_camera_reads_a_members_screen(
        self, site: Site, merchant_id: MerchantId, tmp_path: Path
    ) -> None:
        with unit_of_work(merchant=merchant_id) as session:
            _, key = make_device(session, make_place(session), at=utc_now())
            holding = make_holding(session, "ada@example.com", title="Coffee")
            address = f"{site.base}/v/{code_for(session, holding, utc_now())}"
        with ThreadPoolExecutor(1) as pool:  # another browser than the module's has its own thread
            pool.submit(self.hold_into_camera, site, key, address, tmp_path).result()
        with unit_of_work(merchant=merchant_id) as session:
            row = session.scalars(select(Redemption)).one()
            assert (row.holding_id, row.delta) == (holding.id, -1)

    def hold_into_camera(self, site: Site, key: str, address: str, folder: Path) -> None:
        with browser_with_camera(address, folder) as chrome:
            visitor = visit(chrome, site, "cohort_scan", key)
            page = visitor.page
            visitor.go("/scan")
            page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            visitor.press("Use the camera")
            answer = page.locator(".scan-answer.scan-green")
            expect(answer.locator(".scan-word")).to_have_text("VALID", timeout=20_000)
            expect(answer.locator(".scan-title")).to_have_text("Coffee")
            visitor.press("Validate")
            expect(page.locator(".scan-word")).to_have_text("VALIDATED")
            # What is still before the camera was used by then: it opens nothing twice.
            page.get_by_role("link", name="Next").click()
            expect(page.locator(".scan-red .scan-word")).to_have_text("ALREADY USED")
            expect(page.get_by_text("Validated today: 1")).to_be_attached()

    def test_staff_say_where_they_stand(
        self, chrome: Browser, site: Site, merchant_id: MerchantId
    ) -> None:
        with unit_of_work(merchant=merchant_id) as session:
            bar = make_place(session, "Bar")
            make_place(session, "Door")
            holding = make_holding(session, "ada@example.com", title="Beer")
            session.add(PerkPlace(perk_id=holding.perk_id, place_id=bar.id))
            code = code_for(session, holding, utc_now())
            owner = session.scalars(select(TeamMember)).one()
            token = sessions.open_team_session(session, owner, at=utc_now())
        visitor = visit(chrome, site, "cohort_scan", token)
        page = visitor.page
        visitor.go("/scan")
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        page.locator("#field-code").fill(code)
        page.keyboard.press("Enter")
        expect(page.locator(".scan-red .scan-word")).to_have_text("NOT HERE")
        page.get_by_role("link", name="Next").click()
        page.get_by_text("No place").click()
        visitor.look()
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        page.get_by_label("Where you stand").select_option("Bar")
        visitor.press("Stand there")
        expect(page.locator(".scan-place summary")).to_have_text("Bar")
        page.locator("#field-code").fill(code)
        page.keyboard.press("Enter")
        expect(page.locator(".scan-green .scan-word")).to_have_text("VALID")
        visitor.press("Validate")
        expect(page.locator(".scan-word")).to_have_text("VALIDATED")
        with unit_of_work(merchant=merchant_id) as session:
            assert session.scalars(select(Redemption.place_id)).one() == bar.id

    def test_what_was_accepted_without_connection_is_taken_back_before_it_is_sent(
        self, counter: Counter
    ) -> None:
        page = counter.page
        first, second = counter.code("ada@example.com"), counter.code("bo@example.com")
        counter.visitor.go("/scan")
        expect(page.get_by_text("Ready to go on without connection.")).to_be_visible()
        page.context.set_offline(True)
        for code in (first, second):
            counter.type(code)
            counter.see("yellow", "ACCEPTED")
            page.get_by_role("link", name="Next").click()
        expect(page.get_by_text("2 waiting to be sent")).to_be_visible()
        # The newest stands first.
        page.locator("[data-offline-undo]").first.click()
        counter.see("yellow", "TAKEN BACK")
        counter.visitor.noise.clear()
        counter.visitor.look()
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        page.get_by_role("link", name="Next").click()
        expect(page.get_by_text("1 waiting to be sent")).to_be_visible()
        counter.type(first)
        counter.see("red", "NOT NOW")
        page.get_by_role("link", name="Next").click()
        counter.type(second)  # it never was used
        counter.see("yellow", "ACCEPTED")
        page.get_by_role("link", name="Next").click()
        page.locator("[data-offline-undo]").first.click()
        counter.see("yellow", "TAKEN BACK")
        page.context.set_offline(False)
        expect(page.get_by_text("waiting to be sent")).to_be_hidden()
        assert counter.uses() == 1

    def test_what_may_have_been_sent_is_taken_back_on_the_server_alone(
        self, counter: Counter
    ) -> None:
        page = counter.page
        code = counter.code("ada@example.com")
        counter.visitor.go("/scan")
        expect(page.get_by_text("Ready to go on without connection.")).to_be_visible()
        page.context.set_offline(True)
        counter.type(code)
        counter.see("yellow", "ACCEPTED")
        page.get_by_role("link", name="Next").click()
        expect(page.locator("[data-offline-undo]")).to_have_count(1)
        # The server takes it, and its answer is lost.
        page.route("**/scan/sync", lambda route: (route.fetch(), route.abort()))
        with page.expect_event("requestfailed", lambda it: it.url.endswith("/scan/sync")):
            page.context.set_offline(False)
        expect(page.locator("[data-offline-undo]")).to_have_count(0)
        expect(page.get_by_text("1 waiting to be sent")).to_be_visible()
        wait_until(lambda: counter.uses() == 1)
        page.unroute("**/scan/sync")
        page.reload()
        expect(page.get_by_text("waiting to be sent")).to_be_hidden()
        assert counter.uses() == 1
        expect(page.get_by_text("Validated today: 1")).to_be_visible()

    def test_says_that_nobody_knows_when_the_answer_is_lost(self, counter: Counter) -> None:
        page = counter.page
        counter.visitor.go("/scan")
        counter.type(counter.code("ada@example.com"))
        counter.see("green", "VALID")
        page.context.set_offline(True)
        counter.visitor.press("Validate")
        counter.see("red", "NO ANSWER")
        page.context.set_offline(False)
        page.get_by_role("link", name="Next").click()
        expect(page.get_by_text("Validated today: 0")).to_be_visible()

    def test_a_hand_scanner_writes_into_the_field_wherever_the_focus_is(
        self, counter: Counter
    ) -> None:
        counter.visitor.go("/scan")
        counter.type("NOTHING")
        counter.see("red", "UNKNOWN CODE")
        counter.page.keyboard.type("X1")
        expect(counter.page.locator(".scan-answer")).to_have_count(0)
        expect(counter.page.locator("#field-code")).to_have_value("X1")

    def test_goes_on_without_connection_and_sends_later(self, counter: Counter) -> None:
        page = counter.page
        first, second = counter.code("ada@example.com"), counter.code("bo@example.com")
        altered = first[:40] + ("A" if first[40] != "A" else "B") + first[41:]
        claims = parse(first).claims
        forged = sign(replace(claims, nonce=bytes(8)), bytes(32))
        unknown = sign(replace(claims, nonce=bytes(8), key_id="zzzzzzzz"), bytes(32))
        stale = counter.code("cy@example.com", at=utc_now() - timedelta(seconds=92))
        counter.visitor.go("/scan")
        expect(page.get_by_text("Ready to go on without connection.")).to_be_visible()
        page.context.set_offline(True)
        counter.type(first)
        counter.see("yellow", "ACCEPTED")
        page.get_by_role("link", name="Next").click()
        for refused in (first, altered, forged, unknown, stale, "SUMMER-1"):
            counter.type(refused)
            counter.see("red", "NOT NOW")
            page.get_by_role("link", name="Next").click()
        counter.type(f"http://testserver/v/{second}")
        counter.see("yellow", "ACCEPTED")
        page.get_by_role("link", name="Next").click()
        expect(page.get_by_text("2 waiting to be sent")).to_be_visible()
        assert counter.uses() == 0
        # Meanwhile another device takes the second one.
        self.take_elsewhere(counter, second)
        page.context.set_offline(False)
        expect(page.get_by_text("Not honoured afterwards: already_used")).to_be_visible()
        expect(page.get_by_text("waiting to be sent")).to_be_hidden()
        assert counter.uses() == 2
        counter.visitor.noise.clear()
        counter.visitor.look()

    def test_opens_anew_without_connection_and_remembers_what_it_accepted(
        self, counter: Counter
    ) -> None:
        page = counter.page
        code = counter.code("ada@example.com")
        counter.visitor.go("/scan")
        page.locator("body[data-kept]").wait_for()
        page.context.set_offline(True)
        counter.type(code)
        counter.see("yellow", "ACCEPTED")
        page.reload()
        expect(page.get_by_text("1 waiting to be sent")).to_be_visible()
        counter.type(code)
        counter.see("red", "NOT NOW")
        page.get_by_role("link", name="Next").click()
        counter.type(counter.code("bo@example.com"))
        counter.see("yellow", "ACCEPTED")
        page.context.set_offline(False)
        page.reload()
        expect(page.get_by_text("waiting to be sent")).to_be_hidden()
        wait_until(lambda: counter.uses() == 2)

    def take_elsewhere(self, counter: Counter, code: str) -> None:
        at = utc_now() + timedelta(seconds=1)
        [offer] = answers.look_up(counter.other, code, at=at).offers
        assert answers.validate(counter.other, offer.ticket, uses=1, at=at).word == "validated"

    def test_where_it_is_not_allowed_nothing_is_accepted(self, counter: Counter) -> None:
        with unit_of_work(merchant=counter.merchant) as session:
            place = counter.scanner.place_id
            assert place is not None
            devices.allow_offline(session, place, is_allowed=False, at=utc_now())
        counter.visitor.go("/scan")
        code = counter.code("ada@example.com")
        counter.page.context.set_offline(True)
        counter.type(code)
        counter.see("red", "NO CONNECTION")
        counter.page.context.set_offline(False)
        assert counter.uses() == 0

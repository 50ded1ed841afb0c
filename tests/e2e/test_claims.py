"""A code from the team's screen into a member's hands, with a real browser that solves puzzles."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import delete

from app.claims.models import ClaimGuess
from tests.e2e.screenshots import rows_of
from tests.e2e.site import (
    Site,
    chromium,
    newest_mail,
    sign_in_as_owner,
)
from tests.e2e.visitor import PHONE, Visitor

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium() is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]

_PATIENCE = 120_000


@pytest.fixture(scope="module")
def owner(chrome: Browser, site: Site) -> Visitor:
    """The owner, who has published a perk."""
    visitor = Visitor(chrome, site)
    sign_in_as_owner(visitor.page, site)
    visitor.go("/admin/claims")
    visitor.go("/admin/claims/new")
    visitor.go("/admin/perks/new")
    visitor.page.get_by_label("Title", exact=True).fill("A coffee on us")
    visitor.page.get_by_label("Description").fill("At any of our places.")
    visitor.press("Save as draft")
    visitor.press("Publish")
    visitor.page.get_by_text("Live", exact=True).wait_for()
    return visitor


@pytest.fixture(scope="module")
def batch(owner: Visitor) -> str:
    """The address of a batch whose codes are all made."""
    owner.go("/admin/claims/new")
    owner.page.get_by_label("Name").fill("Flyers of May")
    owner.page.get_by_label("Number of codes").fill("none")
    owner.press("Make codes")
    owner.see("A whole number")
    owner.look(refused=True)
    owner.page.get_by_label("Number of codes").fill("20")
    owner.page.get_by_label("Seconds of a code on a screen").fill("15")
    owner.press("Make codes")
    owner.page.get_by_text("Live", exact=True).wait_for(timeout=_PATIENCE)
    owner.look()
    return owner.page.url


def link_of(owner: Visitor, batch: str, position: int) -> str:
    """The link of a code, as the team's screen shows it."""
    owner.go(f"{batch}/codes/{position}")
    return owner.page.locator(".facts .cell-text").inner_text()


def sign_in_from_here(visitor: Visitor, site: Site, address: str) -> None:
    """The visitor follows the page's own way in, and is back on it."""
    visitor.follow("Sign in to claim it")
    visitor.page.get_by_label("Email").fill(address)
    visitor.press("Send me a code")
    visitor.page.get_by_text("Check your mail").wait_for()
    code = re.search(r"code for [^:]+: (\d{6})", newest_mail(site, address))
    assert code is not None
    visitor.page.get_by_label("Code").fill(code[1])
    visitor.press("Sign in")
    visitor.page.get_by_role("button", name="Claim", exact=True).wait_for()


class TestMember:
    def test_opens_signs_in_and_claims_once(
        self, chrome: Browser, site: Site, owner: Visitor, batch: str
    ) -> None:
        link = link_of(owner, batch, 1)
        member = Visitor(chrome, site)
        member.go(link)
        sign_in_from_here(member, site, "ada@example.com")
        assert member.page.url == link
        member.look()
        member.press("Claim")
        member.see("It is yours")
        member.look()
        member.follow("See it")
        member.see("A coffee on us")
        member.page.goto(link)
        member.see("Yours already")
        member.look(refused=True)
        other = Visitor(chrome, site)
        other.page.goto(link)
        other.see("Already used")
        other.look(refused=True)
        for path in ("/uses", "/analytics", "/codes", "/output"):
            owner.go(batch + path)
        owner.go(f"{batch}/uses")
        assert "ada@example.com" in owner.read()

    def test_signs_in_by_the_link_in_the_mail_and_has_not_lost_the_code(
        self, chrome: Browser, site: Site, owner: Visitor, batch: str
    ) -> None:
        link = link_of(owner, batch, 3)
        member = Visitor(chrome, site, size=PHONE)
        member.go(link)
        member.follow("Sign in to claim it")
        member.page.get_by_label("Email").fill("kim@example.com")
        member.press("Send me a code")
        member.page.get_by_text("Check your mail").wait_for()
        mail = newest_mail(site, "kim@example.com")
        way = re.search(r"/space/login/[\w-]{20,}\?destination=[/\w]+", mail)
        assert way is not None
        elsewhere = Visitor(chrome, site, size=PHONE)
        elsewhere.page.goto(way[0])
        elsewhere.see("This link no longer works")
        elsewhere.look(refused=True)
        kept = elsewhere.page.locator("input[name=destination]")
        assert site.base + str(kept.get_attribute("value")) == link
        member.go(way[0])
        member.press("Sign in")
        member.page.get_by_role("button", name="Claim", exact=True).wait_for()
        assert member.page.url == link
        member.look()
        member.press("Claim")
        member.see("It is yours")
        member.look()

    def test_without_scripts_claims_as_well(
        self, chrome: Browser, site: Site, owner: Visitor, batch: str
    ) -> None:
        link = link_of(owner, batch, 2)
        member = Visitor(chrome, site, scripts=False)
        member.go("/claim")
        typed = link.rsplit("/", 1)[1].lower()
        member.page.get_by_label("Code").fill(f"{typed[:5]} {typed[5:]}")
        member.press("Continue")
        sign_in_from_here(member, site, "bob@example.com")
        member.press("Claim")
        member.see("It is yours")
        member.look()


class TestScreen:
    def test_shows_a_code_and_the_next_once_it_was_used(
        self, chrome: Browser, site: Site, owner: Visitor, batch: str
    ) -> None:
        owner.go(batch)
        owner.press("Link for a screen")
        owner.see("It is shown only now")
        owner.look()
        link = str(owner.page.locator(".alert-body a").get_attribute("href"))
        screen = Visitor(chrome, site)
        screen.page.goto(link)
        path = screen.page.locator(".kiosk-code .qr path")
        path.wait_for(timeout=_PATIENCE)
        screen.look()
        shown = str(path.get_attribute("d"))
        expect(path).not_to_have_attribute("d", shown, timeout=_PATIENCE)


class TestGuessing:
    def test_ends_at_a_puzzle_that_the_browser_solves(
        self, chrome: Browser, site: Site, owner: Visitor, batch: str
    ) -> None:
        link = link_of(owner, batch, 20)
        member = Visitor(chrome, site)
        for _ in range(10):
            member.page.goto("/claim/" + "A" * 26)
        member.see("Unknown code")
        member.look(refused=True)
        member.page.goto(link)
        member.see("One moment")
        member.look(refused=True)
        sign_in_from_here(member, site, "eve@example.com")
        claim = member.page.get_by_role("button", name="Claim", exact=True)
        expect(claim).to_be_enabled(timeout=_PATIENCE)
        member.look(refused=True)
        claim.click()
        member.see("It is yours")

    @pytest.fixture(autouse=True)
    def forgiven(self, site: Site) -> Iterator[None]:
        """Every visitor here has the address of this machine."""
        yield
        with rows_of(site) as session:
            session.execute(delete(ClaimGuess))

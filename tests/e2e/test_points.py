"""Points from the team's screens into a member's hands, and back, with a real browser."""

import pytest
from playwright.sync_api import Browser

from tests.conftest import wait_until
from tests.e2e.site import (
    Site,
    chromium,
    sign_in_as_member,
    sign_in_as_owner,
)
from tests.e2e.visitor import PHONE, Visitor

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium() is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]

_MEMBER = "ada@example.com"


@pytest.fixture(scope="module")
def owner(chrome: Browser, site: Site) -> Visitor:
    """The owner, who has made a unit after a mistake in its code."""
    owner = Visitor(chrome, site)
    sign_in_as_owner(owner.page, site)
    owner.go("/admin/points")
    owner.follow("New unit")
    owner.page.get_by_label("Code").fill("Beans!")
    owner.page.get_by_label("Name of one").fill("Bean")
    owner.page.get_by_label("Name of many").fill("Beans")
    owner.page.get_by_label("Points end").select_option("days")
    owner.page.get_by_label("So many").fill("20")
    owner.press("Save")
    owner.see("2 to 20 lowercase letters")
    owner.look(refused=True)
    owner.page.get_by_label("Code").fill("beans")
    owner.press("Save")
    owner.page.get_by_role("link", name="Beans", exact=True).wait_for()
    owner.look()
    return owner


@pytest.fixture(scope="module")
def member(chrome: Browser, site: Site) -> Visitor:
    """A member with a phone, who has no points."""
    member = Visitor(chrome, site, size=PHONE)
    sign_in_as_member(member.page, site, _MEMBER)
    member.go("/space/points")
    member.see("No points yet")
    return member


def test_are_earned_by_what_happens(owner: Visitor, chrome: Browser, site: Site) -> None:
    owner.go("/admin/points")
    owner.follow("Earning rules")
    owner.look()
    owner.follow("New rule")
    owner.look()
    owner.page.get_by_label("Name", exact=True).fill("Welcome")
    owner.page.get_by_label("Event", exact=True).fill("cohort.user.created")
    owner.page.get_by_label("How many").fill("a few")
    owner.press("Save")
    owner.see("A whole number from 1")
    owner.look(refused=True)
    owner.page.get_by_label("How many").fill("50")
    owner.press("Try on the last 30 days")
    owner.see("Tried, not saved")
    owner.look()
    owner.press("Save")
    owner.page.get_by_role("link", name="Welcome").wait_for()
    owner.look()

    newcomer = Visitor(chrome, site, size=PHONE)
    sign_in_as_member(newcomer.page, site, "newcomer@example.com")

    def has_earned() -> bool:
        newcomer.page.goto("/space/points")
        return "50 Beans" in newcomer.read()

    wait_until(has_earned)
    newcomer.see("Earned")
    newcomer.look()
    owner.press("Pause")
    owner.see("Paused")
    owner.look()


def test_are_given_seen_and_taken_back(owner: Visitor, member: Visitor) -> None:
    owner.go(f"/admin/users?q={_MEMBER}")
    owner.page.locator("td.cell-main a").first.click()
    tabs = owner.page.get_by_role("navigation", name="Record")
    tabs.get_by_role("link", name="Points").click()
    owner.page.get_by_label("How many").fill("1e3")
    owner.page.get_by_label("Reason", exact=True).first.fill("Sorry for the wait")
    owner.press("Adjust")
    owner.see("A whole number")
    owner.look(refused=True)
    owner.page.get_by_label("How many").fill("1200")
    owner.press("Adjust")
    owner.see("+1,200")
    owner.look()

    member.go("/space/home")
    member.follow("1,200 Beans")
    member.see("Expires soon")
    assert "Sorry for the wait" not in member.read()
    member.look()

    owner.follow("Reverse")
    dialog = owner.page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("Counted twice")
    dialog.get_by_role("button", name="Reverse", exact=True).click()
    owner.see("Counted twice")
    owner.look()
    member.go("/space/points")
    member.see("Corrected")
    member.see("-1,200")

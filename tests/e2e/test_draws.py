"""A draw of boxes, from the form to the proof, with a real browser; also without scripts."""

import re

import pytest
from playwright.sync_api import Browser

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

_ADA, _BO = "ada@example.com", "bo@example.com"


@pytest.fixture(scope="module")
def ada(chrome: Browser, site: Site) -> Visitor:
    """A member with a phone."""
    ada = Visitor(chrome, site, size=PHONE)
    sign_in_as_member(ada.page, site, _ADA)
    return ada


@pytest.fixture(scope="module")
def bo(chrome: Browser, site: Site) -> Visitor:
    """A member whose browser runs no scripts."""
    bo = Visitor(chrome, site, scripts=False, size=PHONE)
    sign_in_as_member(bo.page, site, _BO)
    return bo


@pytest.fixture(scope="module")
def owner(chrome: Browser, site: Site, ada: Visitor, bo: Visitor) -> Visitor:
    """The owner, who has started a draw of two boxes with a prize each, after a mistake."""
    owner = Visitor(chrome, site)
    sign_in_as_owner(owner.page, site)
    owner.go("/admin/perks/new")
    owner.page.get_by_label("Internal name").fill("Coffee")
    owner.page.get_by_label("Title").first.fill("A coffee")
    owner.press("Save and publish")
    owner.page.get_by_role("heading", name="Coffee").wait_for()
    owner.go("/admin/draws")
    owner.follow("New draw")
    owner.page.get_by_label("Name").fill("Chests")
    owner.page.get_by_label("Prize 1", exact=True).select_option(label="A coffee")
    owner.page.get_by_label("How many").first.fill("2")
    owner.page.get_by_label("Boxes in all").fill("1")
    owner.press("Start the draw")
    owner.see("There are 2 prizes, so there are at least as many boxes.")
    owner.look(refused=True)
    owner.page.get_by_label("Boxes in all").fill("2")
    owner.press("Start the draw")
    owner.page.get_by_role("heading", name="Chests").wait_for()
    owner.look()
    return owner


@pytest.fixture(scope="module")
def described(owner: Visitor) -> str:
    """The draw's address, whose box was described while the preview followed."""
    owner.follow("Box")
    owner.look()
    preview = owner.page.get_by_role("complementary", name="Preview")
    owner.page.get_by_label("Button that opens it").fill("Turn the key")
    preview.get_by_text("Turn the key").wait_for()
    owner.page.get_by_label("Wheel").check()
    preview.locator('[data-animation="wheel"]').first.wait_for()
    owner.page.get_by_label("Who won reads").fill("Bring it to the counter.")
    preview.get_by_text("Bring it to the counter.").wait_for()
    owner.look()
    owner.press("Save")
    owner.page.get_by_label("Wheel").wait_for()
    assert owner.page.get_by_label("Wheel").is_checked()
    owner.page.get_by_role("link", name="Chests").click()
    owner.follow("Hand out")
    owner.page.get_by_label("Email addresses").fill(f"{_ADA}\n{_BO}")
    owner.press("Continue")
    owner.see("2 members receive one.")
    owner.look()
    owner.press("Hand out")
    owner.see("All boxes are handed out.")
    return owner.page.url


def test_boxes_are_opened_and_anybody_recomputes_the_draw(
    chrome: Browser, site: Site, owner: Visitor, described: str, ada: Visitor, bo: Visitor
) -> None:
    ada.go("/space/home")
    ada.follow("Chests")
    ada.page.get_by_role("button", name="Turn the key").wait_for()
    ada.look()
    ada.press("Turn the key")
    ada.see("You won: A coffee")
    ada.see("Bring it to the counter.")
    ada.look()
    nonce = ada.page.locator("dt", has_text="clientNonce").locator("xpath=following-sibling::dd[1]")
    assert "00000" not in nonce.inner_text()

    cover = "() => getComputedStyle(document.querySelector('.box-art'), '::after').content"
    assert ada.page.evaluate(cover) == '""'
    ada.page.emulate_media(reduced_motion="reduce")
    ada.page.reload()
    ada.see("You won: A coffee")
    assert ada.page.evaluate(cover) == "none"  # nothing is in front of what was won

    bo.go("/space/home")
    bo.follow("Chests")
    bo.press("Turn the key")
    bo.see("You won: A coffee")
    bo.look()
    bo.see("no_nonce")  # without a script the browser adds nothing, and the receipt says so

    owner.page.goto(described)
    owner.see("Revealed")
    owner.look()
    stranger = Visitor(chrome, site, size=PHONE)
    identifier = re.search(r"drw_\w+", described)
    assert identifier is not None
    stranger.page.goto(f"/verify/draw/{identifier[0]}")
    stranger.see("Everything holds.")
    stranger.see("After opening 2")
    stranger.look()

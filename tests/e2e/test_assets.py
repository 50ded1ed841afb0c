"""A published collectible is changed and taken back, with a real browser and on a real chain."""

import re
from collections.abc import Iterator
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, expect

from tests.conftest import wait_until
from tests.e2e.screenshots import example_member
from tests.e2e.site import (
    ROOT,
    Site,
    chromium,
    running_site,
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

_PATIENCE = 60_000
_RECEIVER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """An installation whose members have their passes."""
    with running_site(examples=ROOT / "examples") as site:
        yield site


@pytest.fixture(scope="module")
def owner(chrome: Browser, site: Site) -> Visitor:
    """The owner."""
    owner = Visitor(chrome, site)
    sign_in_as_owner(owner.page, site)
    return owner


@pytest.fixture(scope="module")
def asset(owner: Visitor) -> str:
    """The page of a live collectible that can be taken back; one member has one."""
    picture = BytesIO()
    Image.new("RGB", (400, 400), "teal").save(picture, "PNG")
    file: FilePayload = {
        "name": "key.png",
        "mimeType": "image/png",
        "buffer": picture.getvalue(),
    }
    owner.go("/admin/assets/new")
    owner.page.get_by_label("Title").fill("Roastery key")
    owner.page.get_by_label("Image").set_input_files(file)
    owner.page.get_by_label("You can take it back").check()
    owner.press("Save as draft")
    owner.see("Only what members keep for good can be taken back.")
    owner.look(refused=True)
    owner.page.get_by_label("Keep it").check()
    owner.page.get_by_label("Image").set_input_files(file)
    owner.press("Save as draft")
    owner.follow("Publish")
    owner.press("Publish")
    owner.page.get_by_text("Live", exact=True).wait_for(timeout=_PATIENCE)
    owner.look()
    address = owner.page.url
    owner.go("/admin/grants/new")
    owner.page.get_by_label("What").select_option(label="Roastery key")
    owner.page.get_by_label("To whom").fill(example_member())
    owner.page.get_by_label("Why").fill("Opened the roastery with us")
    owner.press("Give")
    wait_until(lambda: has_owner(owner, address), seconds=_PATIENCE // 1000)
    return address


def has_owner(owner: Visitor, address: str) -> bool:
    owner.page.goto(address)
    return owner.page.get_by_role("checkbox", name=re.compile("Choose token")).count() == 1


def settle(owner: Visitor) -> None:
    """The page reloads itself once the chain says what was decided."""
    owner.page.get_by_text("on the way", exact=False).first.wait_for()
    expect(owner.page.get_by_text(": on the way")).to_have_count(0, timeout=_PATIENCE)


def edit(owner: Visitor, asset: str) -> None:
    """The second version is on the chain."""
    owner.go(asset)
    owner.follow("Edit")
    owner.look()
    assert owner.page.get_by_label("Symbol").count() == 0
    owner.page.get_by_label("Title").fill("Key of the roastery")
    owner.page.get_by_label("Royalty, in percent").fill("12")
    owner.press("Save and publish")
    owner.see("Between 0 and 10 percent.")
    owner.look(refused=True)
    expect(owner.page.get_by_label("Title")).to_have_value("Key of the roastery")
    owner.page.get_by_label("Royalty, in percent").fill("2.5")
    owner.page.get_by_label("Who gets the royalty").fill(_RECEIVER)
    owner.page.get_by_label("Maximum supply").fill("50")
    owner.press("Save and publish")
    settle(owner)
    newest = owner.page.get_by_role("table", name="Versions").get_by_role("row").nth(1)
    expect(newest.get_by_text("Confirmed")).to_be_visible()
    assert newest.inner_text().split()[0] == "2"
    owner.see("2.5 % to 0x7099")
    owner.look()
    owner.go("/admin/operations")
    owner.see("Documents of a collectible")


def look_back(owner: Visitor, asset: str) -> None:
    """Nobody owned it at the first block."""
    owner.go(f"{asset}?block=0")
    owner.see("Nobody owned it then")
    owner.page.get_by_label("Block").fill("soon")
    owner.press("Show")
    owner.see("A block is a whole number")
    owner.look(refused=True)


def take_back(owner: Visitor, member: Visitor, asset: str) -> None:
    """The token is ended, and its member is told that, not why."""
    member.page.get_by_role("link", name=re.compile("roastery")).first.click()
    mine = member.page.url
    member.look()

    owner.go(asset)
    owner.page.get_by_role("checkbox", name=re.compile("Choose token")).check()
    owner.press("Take back")
    owner.see("Say why, in at most 500 characters.")
    owner.look(refused=True)
    owner.page.get_by_label("Reason").fill("Sold the key")
    owner.press("Take back")
    settle(owner)
    owner.see("Taken back: Sold the key")
    owner.look()

    member.go(mine)
    member.see("The brand took it back.")
    assert "Sold the key" not in member.read()
    member.page.goto("/space/home")
    assert member.page.get_by_role("link", name=re.compile("roastery")).count() == 0


def put_away(owner: Visitor, asset: str) -> None:
    """Into the archive, out of it, and gone from the team's screens."""
    owner.go(asset)
    owner.follow("Archive")
    owner.look()
    owner.page.locator("#archive").get_by_role("button", name="Archive").click()
    owner.page.get_by_role("button", name="Take out of the archive").click()
    owner.page.get_by_text("Live", exact=True).wait_for()
    owner.follow("Delete")
    owner.look()
    owner.page.locator("#delete").get_by_role("button", name="Delete").click()
    owner.page.get_by_role("heading", name="Digital assets").wait_for()
    assert "roastery" not in owner.read()


def test_a_published_collectible_from_its_edit_to_its_end(
    owner: Visitor, chrome: Browser, site: Site, asset: str
) -> None:
    edit(owner, asset)
    look_back(owner, asset)
    member = Visitor(chrome, site, size=PHONE)
    sign_in_as_member(member.page, site, example_member())
    take_back(owner, member, asset)
    put_away(owner, asset)

"""What the product is for, by hand: import, publish, airdrop, receive, verify."""

import io
import os
import re

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, FilePayload, expect

from tests.conftest import wait_until
from tests.e2e.camera import read_code
from tests.e2e.memory import descendants, holds, secrets
from tests.e2e.site import (
    Site,
    chromium,
    sign_in_as_member,
    sign_in_as_owner,
)
from tests.e2e.visitor import Visitor

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium() is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]

MEMBERS = ["ada@example.com", "joelle@example.com", "giorgos@example.net", "noa@example.org"]
TABLE = "Contact,First name,Points\n" + "".join(
    f"{email},{email.split('@')[0].title()},7\n" for email in (*MEMBERS[:2], "nobody", *MEMBERS[2:])
)
TITLE = "Harbour mug"
_PATIENCE = 120


def csv_file(text: str) -> FilePayload:
    return {"name": "members.csv", "mimeType": "text/csv", "buffer": text.encode()}


def picture() -> FilePayload:
    image = Image.new("RGB", (800, 800), "#12424a")
    ImageDraw.Draw(image).ellipse((150, 150, 650, 650), fill="#b8563a")
    data = io.BytesIO()
    image.save(data, "PNG")
    return {"name": "mug.png", "mimeType": "image/png", "buffer": data.getvalue()}


@pytest.fixture(scope="module")
def owner(chrome: Browser, site: Site) -> Visitor:
    """The owner, signed in by the link in the mail."""
    visitor = Visitor(chrome, site)
    visitor.go("/admin")
    sign_in_as_owner(visitor.page, site)
    visitor.look()
    return visitor


def upload_members(owner: Visitor, content: str = TABLE) -> None:
    owner.go("/admin/users/import")
    owner.page.get_by_label("File", exact=True).set_input_files(csv_file(content))
    owner.press("Upload")


@pytest.fixture(scope="module")
def report(owner: Visitor) -> str:
    """The address of a finished import of four members and one bad row."""
    upload_members(owner)
    owner.page.get_by_label("Column Contact goes to").select_option("email")
    owner.press("Try it first")
    owner.see("What importing would do")
    owner.look()
    owner.press("Import")
    owner.see("Completed, some rows refused")
    owner.look()
    return owner.page.url


@pytest.fixture(scope="module")
def asset(owner: Visitor) -> str:
    """The address of a live digital asset."""
    owner.go("/admin/assets")
    owner.follow("New digital asset")
    owner.page.get_by_label("Title").fill(TITLE)
    owner.page.get_by_label("Attributes").fill("Harvest: Autumn 2026")
    owner.page.get_by_label("Image").set_input_files(picture())
    owner.press("Save as draft")
    owner.see("Nobody owns it yet")
    owner.look()
    owner.follow("Publish")
    owner.see(f"Publish “{TITLE}”?")
    owner.look()
    owner.press("Publish")
    owner.page.get_by_text("confirmed on chain").wait_for(timeout=_PATIENCE * 1000)
    owner.go(owner.page.url)
    return owner.page.url


@pytest.fixture(scope="module")
def airdrop(owner: Visitor, report: str, asset: str) -> str:
    """The address of an airdrop to everybody, watched until all have it, and ended."""
    owner.go("/admin/campaigns/new")
    owner.page.get_by_label("Internal title").fill("Winter thanks")
    owner.press("Create")
    owner.look()
    owner.page.get_by_label("Title").fill("A small thank-you")
    owner.press("Save and continue")
    owner.see("4 members now")
    owner.look()
    owner.press("Save and continue")
    owner.page.get_by_role("checkbox", name=TITLE).check()
    owner.look()
    owner.press("Save and continue")
    owner.page.get_by_label("Highest gas price, in gwei").fill("cheap")
    owner.press("Save and continue")
    owner.see("A number such as 1.5")
    owner.look(refused=True)
    owner.page.get_by_label("Highest gas price, in gwei").fill("50")
    owner.press("Save and continue")
    owner.see("Recipients")
    owner.see("50 gwei")
    owner.look()
    owner.follow("Publish airdrop")
    owner.see("goes to 4 people")
    owner.look()
    owner.press("Publish")
    owner.page.locator("#run").wait_for()
    owner.look()
    # The numbers move by themselves: nothing is reloaded here.
    owner.page.locator("#run").get_by_text("Waiting for newcomers", exact=True).wait_for(
        timeout=_PATIENCE * 1000
    )
    end_airdrop(owner, owner.page.url)
    return owner.page.url


def end_airdrop(owner: Visitor, address: str) -> None:
    """Looks who has it, and lets nobody join any more."""
    owner.follow("Recipients")
    owner.page.get_by_role("row").filter(has_text=MEMBERS[0]).get_by_text("Delivered").wait_for()
    owner.look()
    with owner.page.expect_download() as download:
        owner.follow("Export CSV")
    assert download.value.suggested_filename == "recipients.csv"
    owner.go(address)
    owner.follow("End airdrop")
    owner.page.locator("#end").get_by_label("Type “Winter thanks”").fill("Winter thanks")
    owner.look()
    owner.page.locator("#end").get_by_role("button", name="End airdrop").click()
    owner.page.locator("#run").get_by_text("Completed", exact=True).wait_for(
        timeout=_PATIENCE * 1000
    )


class TestImport:
    def test_shows_the_refused_row_with_line_and_reason(self, owner: Visitor, report: str) -> None:
        owner.go(report)
        row = owner.page.get_by_role("row").filter(has_text="email_invalid")
        assert row.inner_text().split()[0] == "4"
        assert "nobody" in row.inner_text()
        with owner.page.expect_download() as download:
            owner.follow("Download refused rows")
        assert download.value.suggested_filename == "refused-rows.csv"
        owner.go("/admin/users")
        for email in MEMBERS:
            assert email in owner.read()

    def test_asks_for_the_email_column_and_keeps_what_was_chosen(self, owner: Visitor) -> None:
        upload_members(owner)
        owner.page.get_by_label("Column Contact goes to").select_option("")
        owner.page.get_by_label("Column Points goes to").select_option("country")
        owner.press("Import")
        owner.see("Choose which column holds the email address")
        owner.look(refused=True)
        expect(owner.page.get_by_label("Column Points goes to")).to_have_value("country")

    def test_says_what_is_wrong_with_a_file_and_keeps_nothing(self, owner: Visitor) -> None:
        upload_members(owner, 'email\n"never ends\n')
        owner.page.get_by_label("Column email goes to").wait_for()
        owner.press("Import")
        owner.see("never closed")
        owner.look()


class TestSegment:
    def test_a_changed_property_enters_the_segment_and_gains_the_badge(
        self, owner: Visitor, report: str
    ) -> None:
        make_property(owner, "Favourite drink")
        make_segment(owner)
        make_badge(owner)
        owner.go(f"/admin/users?q={MEMBERS[0]}")
        owner.page.get_by_role("row").filter(has_text=MEMBERS[0]).get_by_role("link").first.click()
        record = owner.page.url
        owner.page.get_by_label("Favourite drink").fill("ESPRESSO")
        owner.press("Save")
        owner.look()
        # Nothing but the event of the change leads from here to the badge.
        wait_until(lambda: has_badge(owner, record), seconds=_PATIENCE)
        owner.look()
        owner.go(record)
        owner.page.get_by_label("Favourite drink").fill("Tea")
        owner.press("Save")
        wait_until(lambda: not has_badge(owner, record), seconds=_PATIENCE)


def make_property(owner: Visitor, name: str) -> None:
    """A text that members have."""
    owner.go("/admin/settings/properties/new")
    owner.page.get_by_label("Name").fill(name)
    owner.press("Create property")


def make_segment(owner: Visitor) -> None:
    """Whoever drinks espresso, counted while it is built."""
    owner.go("/admin/segments/new")
    count = owner.page.locator(".rule-count-number")
    owner.page.get_by_label("Name", exact=True).fill("Espresso people")
    owner.page.get_by_label("Value").fill(MEMBERS[0])
    expect(count).to_have_text("1")
    owner.page.get_by_label("Comparison").select_option("is_not")
    expect(count).to_have_text(re.compile("[34]"))  # whoever came alone is there, or not yet
    owner.page.get_by_label("Property", exact=True).select_option("Favourite drink")
    owner.page.get_by_label("Comparison").select_option("is")
    owner.page.get_by_label("Value").fill("espresso")
    expect(count).to_have_text("0")
    owner.press("Add condition")
    owner.page.get_by_label("About").nth(1).select_option("pass")
    owner.look()
    owner.page.get_by_role("button", name="Remove condition").nth(1).click()
    expect(owner.page.get_by_label("About")).to_have_count(1)
    owner.page.get_by_role("button", name="Save", exact=True).click()
    owner.see("Who is in")
    owner.page.get_by_text("Live", exact=True).wait_for(timeout=_PATIENCE * 1000)
    owner.look()


def make_badge(owner: Visitor) -> None:
    """Owned by whoever is in the segment."""
    owner.go("/admin/users/badges")
    owner.follow("New badge")
    owner.page.get_by_label("Internal name").fill("Barista")
    owner.press("Create badge")
    owner.page.get_by_label("Title").first.fill("Barista at heart")
    owner.page.get_by_label("Picture", exact=True).set_input_files(picture())
    owner.page.get_by_label("Owned by whoever is in").select_option(
        label="Segment: Espresso people"
    )
    owner.press("Save and publish")
    owner.look()


def has_badge(owner: Visitor, record: str) -> bool:
    """Whether the member's record shows the badge as owned."""
    owner.go(f"{record}/badges")
    return owner.page.get_by_text("Barista").count() > 0


class TestAsset:
    def test_a_text_named_picture_is_marked_and_nothing_typed_is_lost(self, owner: Visitor) -> None:
        typed = {
            "Title": "Half done",
            "Description": "Line one\nline two",
            "Attributes": "Harvest: Autumn",
            "Maximum supply": "250",
            "Symbol": "HALF",
            "Internal name": "Draft 7",
        }
        owner.go("/admin/assets/new")
        for label, text in typed.items():
            owner.page.get_by_label(label).fill(text)
        owner.page.get_by_label("Keep it").check()
        fake: FilePayload = {"name": "mug.png", "mimeType": "image/png", "buffer": b"no picture"}
        owner.page.get_by_label("Image").set_input_files(fake)
        owner.press("Save as draft")
        image = owner.page.locator("#field-image[aria-invalid=true]")
        image.wait_for()
        error = owner.page.locator("#error-image")
        assert error.inner_text().strip()
        assert "error-image" in str(image.get_attribute("aria-describedby"))
        for label, text in typed.items():
            expect(owner.page.get_by_label(label)).to_have_value(text)
        expect(owner.page.get_by_label("Keep it")).to_be_checked()
        owner.look(refused=True)

    def test_is_live_with_a_contract_of_its_own(self, owner: Visitor, asset: str) -> None:
        owner.go(asset)
        assert owner.page.get_by_text("Live", exact=True).count() == 1
        assert re.search(r"0x[0-9a-fA-F]{4}", owner.read())


class TestAirdrop:
    def test_ends_with_everybody_served(self, owner: Visitor, airdrop: str) -> None:
        owner.go(airdrop)
        assert "4 of 4" in owner.read()
        owner.go("/admin/operations")
        owner.go("/admin/campaigns")
        owner.go("/admin")

    def test_shows_its_owners(self, owner: Visitor, airdrop: str, asset: str) -> None:
        owner.go(asset)
        owners = owner.page.get_by_role("table", name="Owners")
        assert owners.get_by_text("Owned", exact=True).count() == 4
        owners.get_by_role("link", name="Ada").click()
        owner.see(MEMBERS[0])
        owner.look()


class TestMember:
    @pytest.mark.parametrize(
        ("scripts", "email"), [(True, MEMBERS[0]), (False, MEMBERS[1])], ids=["", "no-script"]
    )
    def test_sees_pass_and_collectible_and_verifies_it(
        self, chrome: Browser, site: Site, airdrop: str, scripts: bool, email: str
    ) -> None:
        member = Visitor(chrome, site, scripts=scripts)
        member.go("/space/login")
        sign_in_as_member(member.page, site, email)
        member.look()
        card = member.page.get_by_role("article", name="membership pass")
        assert re.search(r"№ 0-\d{4}", card.inner_text())
        assert "Active" in card.inner_text()
        member.follow(TITLE)
        member.see("Harvest")
        member.look()
        member.follow("Verify")
        member.see("Genuine")
        assert member.page.locator(".verdict-green").is_visible()
        member.look()

    def test_verifies_the_pass(self, chrome: Browser, site: Site, airdrop: str) -> None:
        member = Visitor(chrome, site)
        sign_in_as_member(member.page, site, MEMBERS[2])
        member.follow("Verify my pass")
        member.see("A valid membership pass")
        member.look()

    def test_shows_a_code_that_anybody_verifies_on_the_chain(
        self, chrome: Browser, site: Site, airdrop: str
    ) -> None:
        member = Visitor(chrome, site)
        sign_in_as_member(member.page, site, MEMBERS[3])
        member.page.get_by_role("article", name="membership pass").click()
        member.see("A new code every 30 seconds")
        member.look()
        stranger = Visitor(chrome, site)
        stranger.go(read_code(member.page, site))
        assert stranger.page.locator(".verdict-green").is_visible()
        stranger.see("on chain at block")
        stranger.look()

    def test_who_comes_later_is_welcome(self, chrome: Browser, site: Site, airdrop: str) -> None:
        newcomer = Visitor(chrome, site)
        sign_in_as_member(newcomer.page, site, "new@example.com")
        newcomer.see("Nothing here yet")
        newcomer.look()

    def test_a_wrong_code_is_marked_at_its_field(self, chrome: Browser, site: Site) -> None:
        visitor = Visitor(chrome, site)
        visitor.go("/space/login")
        visitor.page.get_by_label("Email").fill("typo@example.com")
        visitor.press("Send me a code")
        visitor.page.get_by_label("Code").fill("x")
        visitor.press("Sign in")
        visitor.page.locator("#field-code[aria-invalid=true]").wait_for()
        visitor.look(refused=True)


class TestStranger:
    def test_sees_a_plain_page_where_nothing_is(self, chrome: Browser, site: Site) -> None:
        stranger = Visitor(chrome, site)
        for path in ("/nowhere", f"/verify/t/31337/0x{'11' * 20}/1"):
            stranger.page.goto(path)
            stranger.look(refused=True)
        stranger.go("/outbox")


class TestMemory:
    def test_nobody_but_the_signer_has_seen_a_key(self, site: Site, airdrop: str) -> None:
        """After all of the above: keys were made and used, pages served, mails sent."""
        wanted = secrets(site)
        assert len(wanted) >= len(MEMBERS) + 4  # relayer, issuer, data key, key-encryption key
        commands = descendants(site.process.pid)
        found = {pid: holds(pid, wanted) for pid in commands}
        [signer] = [pid for pid, command in commands.items() if "wallets.signer" in command]
        assert len(found) > 8
        assert {commands[pid] for pid, names in found.items() if names and pid != signer} == set()
        if os.geteuid() == 0:  # only root looks into it
            assert found[signer]  # the open data key: the search finds what is there
        written = b"".join(
            path.read_bytes()
            for path in site.folder.rglob("*")
            if path.is_file() and path.name != "kek" and "postgres" not in path.parts
        )
        assert not [name for name, key in wanted.items() if key in written]
        assert not [name for name, key in wanted.items() if key.hex().encode() in written]

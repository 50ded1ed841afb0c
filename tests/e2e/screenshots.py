"""Every screen at 1440 and 390 pixels into `screenshots/`; run by `make screenshots`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import Browser, FilePayload, Page
from sqlalchemy import create_engine, select, update
from sqlalchemy.orm import Session

import app.models  # noqa: F401 - the mappers need every table
from app.accounts.service import first_merchant
from app.campaigns.models import (
    AirdropRun,
    AudienceFile,
    AudienceKind,
    Campaign,
    FileState,
    RunState,
)
from app.postgres import EmbeddedPostgres
from chain import pipeline
from chain.fees import Fees
from chain.models import LaneRole, NonceLane, TransactionKind
from chain.pipeline import Intent, Priced
from chain.replacements import TRANSFER_GAS
from core.db import unit_of_work, use_bind
from core.ids import new_id
from core.settings import core_settings
from core.types import AudienceFileId, Wei, utc_now
from minting import plans
from minting.models import Batch, BatchState, PassContract, PlanKind, PlanState
from minting.plans import FrozenBatch, Target
from tests.e2e.site import (
    ROOT,
    Site,
    browser,
    chromium,
    running_site,
    sign_in_as_member,
    sign_in_as_owner,
)

FOLDER = ROOT / "screenshots"
WIDTHS = (1440, 390)
_FILE = ROOT / "examples" / "members.csv"
_MEMBER = "member@example.com"
_MORE: FilePayload = {
    "name": "guests-of-may.csv",
    "mimeType": "text/csv",
    "buffer": b"email\nnew@example.com\nana@example.com\n0x12,\nnobody\n",
}


class Camera:
    """Takes the same page at every width."""

    def __init__(self, page: Page, site: Site, folder: Path) -> None:
        self._page = page
        self._site = site
        self._folder = folder
        self._number = 0

    def take(self, name: str, path: str | None = None) -> None:
        """The page, or the page at `path`, as one picture a width."""
        if path is not None:
            self._page.goto(path if path.startswith("http") else self._site.base + path)
        self._number += 1
        for width in WIDTHS:
            self._page.set_viewport_size({"width": width, "height": 900})
            self._page.screenshot(
                path=self._folder / f"{self._number:02d}-{name}-{width}.png", full_page=True
            )
        self._page.set_viewport_size({"width": WIDTHS[0], "height": 900})


def first_link(page: Page, selector: str) -> str:
    """Where the first matching link leads."""
    return str(page.locator(selector).first.get_attribute("href"))


def shoot_admin(page: Page, site: Site) -> str:
    """All screens of the team; returns a verification address."""
    camera = Camera(page, site, FOLDER)
    camera.take("admin-sign-in", "/admin/sign-in")
    sign_in_as_owner(page, site)
    camera.take("admin-home", "/admin")
    camera.take("users", "/admin/users")
    user = first_link(page, "td.cell-main a")
    done = first_link(page, "a[href*='/imports/']")
    camera.take("user", user)
    for tab in ("campaigns", "rewards", "badges", "lists", "events", "wallet"):
        camera.take(f"user-{tab}", f"{user}/{tab}")
    for tab in ("consents", "privacy", "audit"):
        camera.take(f"user-{tab}", f"{user}/{tab}")
    shoot_people(page, camera)
    camera.take("users-search-empty", "/admin/users?q=nobody-has-this-name")
    camera.take("import-report", done)
    camera.take("import-upload", "/admin/users/import")
    page.get_by_label("File", exact=True).set_input_files(_FILE)
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("heading", name="Map columns").wait_for()
    page.get_by_role("button", name="Try it first").click()
    page.get_by_role("heading", name="What importing would do").wait_for()
    camera.take("import-mapping")
    camera.take("exports", "/admin/users/exports")
    camera.take("assets", "/admin/assets")
    asset = first_link(page, "td.cell-main a")
    camera.take("asset", asset)
    verify = first_link(page, "a[href*='/verify/t/']")
    camera.take("asset-new", "/admin/assets/new")
    shoot_perks(page, camera)
    shoot_points(page, camera)
    shoot_scanner(page, camera)
    shoot_claims(page, camera)
    camera.take("campaigns", "/admin/campaigns")
    campaign = first_link(page, "td.cell-main a")
    camera.take("campaign", campaign)
    camera.take("recipients", f"{campaign}/recipients")
    shoot_flow(page, camera)
    camera.take("operations", "/admin/operations")
    camera.take("integrity", "/admin/operations/integrity")
    camera.take("mail", "/admin/operations/mail")
    camera.take("not-found", "/admin/users/usr_00000000000000000000000000")
    return verify


def shoot_perks(page: Page, camera: Camera) -> None:
    """The screens of perks, and of a draw over one, which is live from here on."""
    camera.take("perks-empty", "/admin/perks")
    camera.take("perk-new", "/admin/perks/new")
    page.get_by_label("Title", exact=True).fill("A coffee on us")
    page.get_by_label("Subtitle").fill("At any of our places")
    page.get_by_label("Description").fill("Show this page before you order. One a visit.")
    page.get_by_label("Total quantity").fill("5,000")
    page.get_by_label("Most for one member").fill("2")
    page.get_by_role("button", name="Save as draft").click()
    page.get_by_role("button", name="Publish").click()
    camera.take("perk")
    camera.take("perks", "/admin/perks")
    perk = first_link(page, "td.cell-main a")
    camera.take("perk-edit", f"{perk}/edit")
    camera.take("perk-holdings", f"{perk}/holdings")
    camera.take("places", "/admin/places")
    shoot_draws(page, camera)


def shoot_draws(page: Page, camera: Camera) -> None:
    """A draw of boxes over the live perk, of which a member of the example has one."""
    camera.take("draws-empty", "/admin/draws")
    page.get_by_role("link", name="New draw").first.click()
    page.get_by_label("Name", exact=True).fill("Chests of the summer")
    page.get_by_label("Prize 1", exact=True).select_option(label="A coffee on us")
    page.get_by_label("How many").first.fill("40")
    page.get_by_label("Boxes in all").fill("1,000")
    camera.take("draw-new")
    page.get_by_role("button", name="Start the draw").click()
    page.get_by_role("heading", name="Chests of the summer").wait_for()
    draw = page.url
    camera.take("draw-simulation", f"{draw}/simulation")
    camera.take("draw-box", f"{draw}/box")
    page.goto(f"{draw}/hand-out")
    page.get_by_label("Email addresses").fill(example_member())
    page.get_by_role("button", name="Continue").click()
    camera.take("draw-hand-out")
    page.get_by_role("button", name="Hand out").click()
    page.get_by_role("heading", name="Chests of the summer").wait_for()
    camera.take("draw")
    camera.take("draw-verify", draw.replace("/admin/draws/", "/verify/draw/"))


def shoot_points(page: Page, camera: Camera) -> None:
    """A unit, and a member who was given some of it."""
    camera.take("points-empty", "/admin/points")
    camera.take("points-unit", "/admin/points/new")
    page.get_by_label("Code").fill("beans")
    page.get_by_label("Name of one").fill("Bean")
    page.get_by_label("Name of many").fill("Beans")
    page.get_by_role("button", name="Save").click()
    camera.take("points")
    page.get_by_role("link", name="Users", exact=True).click()
    page.locator("td.cell-main a").first.wait_for()
    record = f"{first_link(page, 'td.cell-main a')}/points"
    camera.take("member-points-empty", record)
    page.get_by_label("How many").fill("1200")
    page.get_by_label("Reason", exact=True).first.fill("Sorry for the wait")
    page.get_by_role("button", name="Adjust").click()
    camera.take("member-points", record)


def shoot_scanner(page: Page, camera: Camera) -> None:
    """A place, a device that is paired there, and what it shows."""
    camera.take("scanners-empty", "/admin/settings/devices")
    camera.take("places-empty", "/admin/places")
    page.get_by_label("Name").fill("Harbour bar")
    page.get_by_role("button", name="Add", exact=True).click()
    camera.take("scanners-place", "/admin/settings/devices")
    page.get_by_label("Name").fill("Counter one")
    page.get_by_role("button", name="Show the pairing code").click()
    pairing = page.locator("code").first.inner_text()
    camera.take("scanner-pairing")
    camera.take("scanners", "/admin/settings/devices")
    camera.take("scanner-pair", pairing)
    page.get_by_role("button", name="Use this device").click()
    page.get_by_label("Code", exact=True).wait_for()
    camera.take("scanner")
    page.get_by_label("Code", exact=True).fill("NOTHING")
    page.keyboard.press("Enter")
    page.locator(".scan-answer").wait_for()
    camera.take("scanner-unknown-code")


def shoot_claims(page: Page, camera: Camera) -> None:
    """The screens of claim codes, and the page behind one; the perk before is what they give."""
    camera.take("claims-empty", "/admin/claims")
    camera.take("claims-new", "/admin/claims/new")
    page.get_by_label("Name").fill("Flyers of May")
    page.get_by_role("button", name="Make codes").click()
    page.locator(".status").get_by_text("Live", exact=True).wait_for()
    batch = page.url
    camera.take("claims-batch")
    for tab in ("codes", "uses", "analytics", "output"):
        camera.take(f"claims-{tab}", f"{batch}/{tab}")
    camera.take("claims-code", f"{batch}/codes/1")
    camera.take("claim", page.locator(".facts .cell-text").inner_text())
    camera.take("claim-unknown", "/claim/unknown")


def shoot_people(page: Page, camera: Camera) -> None:
    """Properties, lists and badges, each from the empty list to one that was made."""
    for name, path in (
        ("properties", "/admin/settings/properties"),
        ("lists", "/admin/users/lists"),
    ):
        camera.take(f"{name}-empty", path)
        camera.take(f"{name}-new", f"{path}/new")
        page.get_by_label("Name").fill("Guests of May")
        page.get_by_role("button", name="Create").click()
        camera.take(f"{name}-one")
    camera.take("badges-empty", "/admin/users/badges")
    page.get_by_role("link", name="New badge").first.click()
    page.get_by_label("Internal name").fill("Pioneer")
    page.get_by_role("button", name="Create badge").click()
    camera.take("badge")


def shoot_flow(page: Page, camera: Camera) -> None:
    """The creation flow of an airdrop, up to its review."""
    camera.take("campaign-new", "/admin/campaigns/new")
    page.get_by_label("Internal title").fill("Winter thanks")
    page.get_by_role("button", name="Create").click()
    camera.take("campaign-texts")
    page.get_by_label("Title").fill("A small thank-you")
    page.get_by_role("button", name="Save and continue").click()
    camera.take("campaign-audience")
    page.get_by_role("button", name="Save and continue").click()
    for box in page.locator("input[name=chosen]").all():
        box.check()
    page.get_by_label("How many of “First Tide” each receives").fill("2")
    camera.take("campaign-rewards")
    page.get_by_role("button", name="Save and continue").click()
    camera.take("campaign-delivery")
    page.get_by_role("button", name="Save and continue").click()
    camera.take("campaign-review")


def shoot_members(chrome: Browser, site: Site, verify: str) -> None:
    """All screens of members and of strangers."""
    page = chrome.new_context().new_page()
    camera = Camera(page, site, FOLDER / "members")
    camera.take("space-login", "/space/login")
    sign_in_as_member(page, site, example_member())
    camera.take("space-home")
    camera.take("space-pass", "/space/pass")
    camera.take("space-profile", "/space/profile")
    camera.take("space-perks", "/space/perks")
    camera.take("space-points", "/space/points")
    page.goto(f"{site.base}/space/home")
    camera.take("box", first_link(page, "a[href*='/space/boxes/']"))
    page.get_by_role("button", name="Open it").click()
    page.get_by_role("button", name="Open it").wait_for(state="hidden")
    camera.take("box-open")
    page.goto(f"{site.base}/space/home")
    camera.take("collectible", first_link(page, "a[href*='/space/rewards/']"))
    camera.take("verify", verify)
    camera.take("verify-unknown", verify.rsplit("/", 1)[0] + "/999999999999")
    camera.take("outbox", "/outbox")
    stranger = chrome.new_context().new_page()
    sign_in_as_member(stranger, site, _MEMBER)
    Camera(stranger, site, FOLDER / "newcomer").take("space-home-empty")


def shoot_standstill(page: Page, site: Site) -> None:
    """What the signed-in team sees while passes are held and a transaction waits behind a gap."""
    hold_passes(site)
    strand_transaction(site)
    camera = Camera(page, site, FOLDER / "held")
    camera.take("admin-home", "/admin")
    camera.take("operations", "/admin/operations")
    pause_airdrop(site)
    page.goto(f"{site.base}/admin/campaigns")
    done = page.locator("td.cell-main a", has_text="First Tide").first.get_attribute("href")
    camera.take("campaign-paused", done)
    name_file(site)
    page.goto(f"{site.base}{done}/more")
    page.get_by_label("File of recipients").set_input_files(_MORE)
    page.get_by_role("button", name="Read file").click()
    page.get_by_role("button", name="Add whoever is new").wait_for()
    camera.take("recipients-more")


@contextmanager
def rows_of(site: Site) -> Iterator[Session]:
    """A unit of work on the site's own database."""
    engine = create_engine(EmbeddedPostgres(site.folder / "data" / "postgres").login_url)
    with use_bind(engine):
        with unit_of_work() as session:
            merchant = first_merchant(session).id
        with unit_of_work(merchant=merchant) as session:
            yield session
    engine.dispose()


def hold_passes(site: Site) -> None:
    """A batch of passes stands still, as after a contract's refusal."""
    with rows_of(site) as session:
        registry = session.scalars(select(PassContract)).one()
        target = Target(registry.chain_id, registry.address)
        frozen = FrozenBatch("screenshot", b"", recipient_count=1228)
        plan = plans.freeze(
            session, PlanKind.PASSES, target, [frozen], subject_id=None, at=utc_now()
        )
        plan.state = PlanState.HELD
        plan.batches[0].state = BatchState.HELD
        plan.batches[0].held_reason = "execution reverted: NotMinter()"


def name_file(site: Site) -> None:
    """The example's airdrop, as if a file had named its recipients."""
    with rows_of(site) as session:
        campaign = session.scalars(select(Campaign).join(AirdropRun)).one()
        file = AudienceFile(
            id=AudienceFileId(new_id()),
            campaign_id=campaign.id,
            file_name="guests.csv",
            state=FileState.READY,
            actor="system",
            created_at=utc_now(),
        )
        session.add(file)
        session.flush()
        campaign.audience_kind, campaign.audience_id = AudienceKind.FILE, file.id


def pause_airdrop(site: Site) -> None:
    """The example's airdrop, as if somebody had paused it before it was settled."""
    with rows_of(site) as session:
        run = session.scalars(select(AirdropRun)).one()
        run.state, run.completed_at, run.paused_by = RunState.PAUSED, None, "ana@example.com"
        batches = update(Batch).where(Batch.closed_at.is_not(None))
        session.execute(batches.values(settled_at=None, closed_at=None))


def strand_transaction(site: Site) -> None:
    """A transaction no node can mine, because the nonce before it was never used."""
    os.environ["COHORT_DATA_DIR"] = str(site.folder / "data")  # where the key of keys is
    core_settings.cache_clear()
    with rows_of(site) as session:
        is_relayer = NonceLane.role == LaneRole.RELAYER
        lane = session.scalars(select(NonceLane).where(is_relayer)).one()
        lane.next_nonce += 1
        session.flush()
        intent = Intent(TransactionKind.NOOP, lane.address, b"", TRANSFER_GAS)
        fees = Fees(Wei(3_000_000_000), Wei(1_000_000_000))
        long_ago = utc_now() - timedelta(minutes=12)
        pipeline.enqueue(session, lane.id, [Priced(intent, fees)], at=long_ago)


def example_member() -> str:
    """The address of the first member of the example."""
    lines = _FILE.read_text(encoding="utf-8").splitlines()
    return lines[1].split(",")[0]


def main() -> None:
    """Start a site with the example, take every picture."""
    if chromium() is None:
        sys.exit("No Chromium on this machine. Install it, for example: apt-get install chromium")
    for folder in (FOLDER, FOLDER / "members", FOLDER / "newcomer", FOLDER / "held"):
        folder.mkdir(parents=True, exist_ok=True)
    with running_site(examples=ROOT / "examples") as site, browser() as chrome:
        team = chrome.new_context().new_page()
        verify = shoot_admin(team, site)
        shoot_members(chrome, site, verify)
        shoot_standstill(team, site)
    print(f"Screenshots are in {FOLDER}")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main()

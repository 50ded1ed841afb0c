"""The gallery in a real browser: axe, the 320 pixel screen, dialogs with and without scripts."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.app.web.client import client_of
from tests.app.web.gallery import PAGES, gallery_application

CHROMIUM = shutil.which("chromium") or ""
SCREENSHOTS = Path("screenshots/gallery")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_of_the_gallery_renders(path: str) -> None:
    assert client_of(gallery_application()).get(path).status_code == 200


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The gallery, served."""
    server = uvicorn.Server(uvicorn.Config(gallery_application(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)  # polls another thread, asserts no timing
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, if the machine has one."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Any]:
    """Open a page of the gallery at a width."""
    opened: list[Page] = []

    def open_at(path: str, width: int, *, scripts: bool = True) -> Page:
        page = browser.new_page(
            viewport={"width": width, "height": 900}, java_script_enabled=scripts
        )
        opened.append(page)
        page.goto(address + path)
        return page

    yield open_at
    for page in opened:
        page.close()


@pytest.mark.browser
class TestGallery:
    @pytest.mark.parametrize("width", [1440, 390])
    @pytest.mark.parametrize("path", PAGES)
    def test_axe_finds_nothing_and_leaves_nothing_open(
        self, open_page: Any, path: str, width: int
    ) -> None:
        page = open_page(path, width)
        # A bar fixed at the foot of a phone covers text in passing; nothing is covered at the end.
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": height})
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        name = f"{path.strip('/').replace('/', '-')}-{width}.png"
        page.screenshot(path=SCREENSHOTS / name, full_page=True)
        result = Axe().run(page).response
        contrast = [entry for entry in result["incomplete"] if entry["id"] == "color-contrast"]
        assert [entry["id"] for entry in result["violations"]] == []
        assert contrast == []

    @pytest.mark.parametrize("path", PAGES)
    def test_nothing_scrolls_sideways_at_320_pixels(self, open_page: Any, path: str) -> None:
        page = open_page(path, 320)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320

    @pytest.mark.parametrize("scripts", [True, False])
    def test_a_dialog_opens_with_and_without_scripts(self, open_page: Any, scripts: bool) -> None:
        page = open_page("/admin/campaigns/gallery", 1440, scripts=scripts)
        dialog = page.locator("#pause")
        assert not dialog.is_visible()
        page.get_by_text("Pause", exact=True).click()
        assert dialog.is_visible()
        page.get_by_text("Keep it").click()
        assert not dialog.is_visible()

    def test_the_policy_blocks_nothing_of_ours(self, open_page: Any) -> None:
        messages: list[str] = []
        page = open_page("/admin/campaigns/gallery", 1440)
        page.on("console", lambda message: messages.append(message.text))
        page.reload()
        page.wait_for_selector("[data-copy]:not([hidden])")
        assert messages == []

    def test_slash_goes_to_the_search(self, open_page: Any) -> None:
        page = open_page("/admin/users", 1440)
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.name") == "q"

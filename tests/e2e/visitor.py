"""A person at a browser who also notices what people with other needs would meet."""

from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize

from tests.e2e.site import Site

PHONE: ViewportSize = {"width": 390, "height": 844}
_DESK: ViewportSize = {"width": 1280, "height": 900}
_SMALLEST: ViewportSize = {"width": 320, "height": 700}
_LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
_STILL = """() => Promise.all(document.getAnimations()
    .filter((it) => it.effect.getComputedTiming().iterations !== Infinity)
    .map((it) => it.finished.catch(() => null)))"""
"""Colours in the middle of a transition are nobody's choice."""
_TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("#content, #content *")]
    .filter(one => one.getBoundingClientRect().right > innerWidth)
    .map(one => one.outerHTML.slice(0, 120))"""


@dataclass
class Visitor:
    """One browser with cookies of its own.

    Args:
        scripts: False browses without JavaScript.
        size: of the window.
    """

    chrome: Browser
    site: Site
    scripts: bool = True
    size: ViewportSize = field(default_factory=lambda: _DESK.copy())
    noise: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open an empty page."""
        context = self.chrome.new_context(
            base_url=self.site.base, java_script_enabled=self.scripts, viewport=self.size
        )
        self.page: Page = context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.noise.append(f"{message.text} ({message.location['url']})")

    def go(self, path: str) -> None:
        """The page shows this address, and it is sound."""
        self.page.goto(path)
        self.look()

    def press(self, name: str) -> None:
        """The button of this name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        """The first link of this name."""
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def see(self, text: str, *, seconds: float = 30) -> None:
        """Wait until the text is on the page."""
        self.page.get_by_text(text).first.wait_for(timeout=seconds * 1000)

    def read(self) -> str:
        """The visible text."""
        return self.page.locator("body").inner_text()

    def look(self, *, refused: bool = False) -> None:
        """The page is quiet, accessible, and fits the smallest phone.

        Args:
            refused: True where the answer is an error on purpose; the browser's console says so.
        """
        noise = [text for text in self.noise if not (refused and "status of 4" in text)]
        self.noise.clear()
        assert noise == [], f"{self.page.url}: {noise}"
        if self.scripts:
            self.page.evaluate(_STILL)
            violations = self.violations()
            assert violations == [], f"{self.page.url}: {violations}"
        self.page.set_viewport_size(_SMALLEST)
        too_wide = self.page.evaluate(_TOO_WIDE)
        assert too_wide == [], f"{self.page.url}: {too_wide}"
        self.page.set_viewport_size(self.size)

    def violations(self) -> list[str]:
        """What WCAG 2.2 A and AA would have otherwise, with the elements."""
        options: dict[str, Any] = {
            "resultTypes": ["violations"],
            "runOnly": {"type": "tag", "values": _LEVELS},
        }
        found = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}"
            for rule in found
            for node in rule["nodes"]
        ]

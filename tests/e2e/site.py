"""A whole installation in a throw-away directory, and a browser that looks at it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
OWNER = "owner@example.com"
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_START_SECONDS = 120


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def chromium() -> str | None:
    """The browser of this machine, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Site:
    """A running installation."""

    folder: Path
    base: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    examples: Path | None = None

    @property
    def log(self) -> Path:
        """Everything its parts wrote."""
        return self.folder / "site.log"


@contextmanager
def running_site(*, examples: Path | None = None, wait: bool = True) -> Iterator[Site]:
    """A site that answers; everything it started and wrote is gone afterwards.

    Args:
        examples: the folder of the main job to run first, if any.
        wait: False hands it over while it still starts.
    """
    folder = Path(tempfile.mkdtemp(prefix="cohort-site-"))
    port = free_port()
    site_environment = {
        **os.environ,
        "COHORT_DATA_DIR": str(folder / "data"),
        "COHORT_PORT": str(port),
        "COHORT_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "CHAIN_LOCAL_PORT": str(free_port()),
        "COHORT_LOG_LEVEL": "INFO",
    }
    for name in list(site_environment):
        if name.startswith(("COHORT_DATABASE_", "CHAIN_RPC_URLS", "WALLETS_")):
            del site_environment[name]
    process = launch(folder, site_environment, examples=examples)
    site = Site(folder, f"http://127.0.0.1:{port}", site_environment, process, examples)
    try:
        if wait:
            wait_for_site(site)
        yield site
    finally:
        stop(site)
        shutil.rmtree(folder, ignore_errors=True)


def launch(
    folder: Path, environment: dict[str, str], *, examples: Path | None
) -> subprocess.Popen[bytes]:
    """The supervisor's process."""
    job = ["--no-example"] if examples is None else ["--examples", str(examples)]
    with (folder / "site.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", "up", *job],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )


def wait_for_site(site: Site) -> None:
    """The supervisor says that it serves."""
    deadline = time.monotonic() + _START_SECONDS
    while "is serving" not in site.log.read_text(errors="replace"):
        if site.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(site.log.read_text(errors="replace")[-3000:])
        time.sleep(0.1)  # polls another process, asserts no timing


def stop(site: Site) -> None:
    """The supervisor has ended in order."""
    if site.process.poll() is None:
        site.process.send_signal(signal.SIGTERM)
        site.process.wait(60)


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        yield started
        started.close()


def newest_mail(site: Site, address: str) -> str:
    """The text of the newest mail in the outbox to an address."""
    page = httpx.get(f"{site.base}/outbox").text
    for panel in page.split('<section class="panel')[1:]:
        if f"to {address}" in panel:
            return panel
    raise AssertionError(f"no mail to {address}")


def sign_in_as_owner(page: Page, site: Site) -> None:
    """The page shows the admin, signed in by the link in the mail."""
    page.goto(f"{site.base}/admin")
    page.get_by_label("Work email").fill(OWNER)
    page.get_by_role("button", name="Send me a link").click()
    page.get_by_text("Check your mail").wait_for()
    link = re.search(r"/admin/sign-in/[\w-]{20,}", newest_mail(site, OWNER))
    assert link is not None
    page.goto(site.base + link.group(0))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Home").wait_for()


def sign_in_as_member(page: Page, site: Site, address: str) -> None:
    """The page shows the space, signed in by the code in the mail."""
    page.goto(f"{site.base}/space/home")
    page.get_by_label("Email").fill(address)
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_text("Check your mail").wait_for()
    code = re.search(r"code for [^:]+: (\d{6})", newest_mail(site, address))
    assert code is not None
    page.get_by_label("Code").fill(code.group(1))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Hello").wait_for()

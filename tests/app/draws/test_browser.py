"""The verifier of the browser: a third reading of the algorithm, and the page around it."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from app.accounts.models import Merchant
from app.draws.models import Draw
from app.verification.deps import _limiter
from core.db import unit_of_work
from core.ids import encode_id
from tests.app.draws import made
from tests.app.draws.test_documents import MADE
from tests.app.draws.test_verifier import SOUND, failed, verifier
from tests.app.web.client import TestClient
from tests.e2e.site import browser, chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        chromium() is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]
_RUN = """async ([address, lines]) => {
  const { verify } = await import(address);
  const steps = [];
  const note = (step, problem) => steps.push([step, problem || null]);
  const found = await verify(lines, { note });
  return [found !== null, steps];
}"""


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """A browser."""
    with browser() as chrome:
        yield chrome


@contextmanager
def served(client: TestClient, changed: Callable[[str, bytes], bytes]) -> Iterator[str]:
    """The application in process behind an address, one request at a time.

    Args:
        changed: what becomes of the body of an answer, by its path.
    """
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with turn:
                answer = client.get(self.path, headers={"accept": self.headers["accept"]})
            body = changed(self.path, answer.content)
            self.send_response(answer.status_code)
            for name in ("content-type", "content-security-policy"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def page(chrome: Browser, stranger: TestClient) -> Iterator[Callable[..., Page]]:
    """Open a page of the application: `page(path, changed=…)`."""
    _limiter.cache_clear()
    contexts: list[Any] = []

    def open_page(path: str, changed: Callable[[str, bytes], bytes] = lambda _, body: body) -> Page:
        serving = served(stranger, changed)
        base = serving.__enter__()
        context = chrome.new_context(base_url=base, viewport={"width": 390, "height": 844})
        contexts.append((context, serving))
        opened = context.new_page()
        opened.goto(path)
        return opened

    yield open_page
    for context, serving in contexts:
        context.close()
        serving.__exit__(None, None, None)


class TestModule:
    """Documents made in memory, verified by the module that the page uses."""

    @pytest.fixture
    def run(self, page: Callable[..., Page]) -> Callable[[list[bytes]], tuple[bool, Any]]:
        opened = page("/space/login")

        def verify(lines: list[bytes]) -> tuple[bool, Any]:
            address = "/static/x/js/draws/verifier.js"
            found, steps = opened.evaluate(_RUN, [address, [line.decode() for line in lines]])
            return found, steps

        return verify

    @pytest.mark.parametrize("kind", SOUND)
    def test_finds_what_the_other_verifier_finds(
        self, run: Callable[[list[bytes]], tuple[bool, Any]], kind: str
    ) -> None:
        lines = SOUND[kind]().lines()
        report = verifier.verify(lines)
        assert run(lines) == (True, [[step.name, None] for step in report.steps])

    @pytest.mark.parametrize("kind", ["instant", "instant with heads", "raffle with replacements"])
    def test_one_changed_byte_fails_at_the_same_step(
        self, run: Callable[[list[bytes]], tuple[bool, Any]], kind: str
    ) -> None:
        """Every seventh digit of every line: the other verifier is tried with each."""
        lines, tried = SOUND[kind]().lines(), 0
        for number, line in enumerate(lines):
            digits = [at for at, sign in enumerate(line) if chr(sign) in "0123456789abcdef"]
            for place in digits[number % 7 :: 37]:
                changed = bytearray(line)
                changed[place] = ord("1") if chr(line[place]) != "1" else ord("2")
                document = [*lines[:number], bytes(changed), *lines[number + 1 :]]
                report = verifier.verify(document)
                found, steps = run(document)
                assert found is report.is_sound, (bytes(changed), steps)
                if not found:
                    assert steps[-1][0] == failed(report), (bytes(changed), steps)
                tried += 1
        assert tried > 30

    def test_numbers_need_more_than_one_block_there_too(self, page: Callable[..., Page]) -> None:
        vectors = json.loads(made.VECTORS.read_bytes())["uniform"]
        opened = page("/space/login")
        script = """async (rows) => {
          const { bytes, wideUniform } = await import("/static/x/js/draws/verifier.js");
          const kind = { name: "HMAC", hash: "SHA-256" };
          return Promise.all(rows.map(async ({ key, message, n }) => {
            const raw = bytes(key);
            const secret = await crypto.subtle.importKey("raw", raw, kind, false, ["sign"]);
            return String(await wideUniform(secret, bytes(message), BigInt(n)));
          }));
        }"""
        assert opened.evaluate(script, vectors) == [it["result"] for it in vectors]


class TestPage:
    def make(self, merchant: Merchant, kind: str) -> Draw:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            return MADE[kind](session)

    def address(self, draw: Draw) -> str:
        return f"/verify/draw/{encode_id('drw', draw.id)}"

    @pytest.mark.parametrize("kind", MADE)
    def test_recomputes_the_draw_and_looks_things_up(
        self, page: Callable[..., Page], stranger: TestClient, merchant: Merchant, kind: str
    ) -> None:
        draw = self.make(merchant, kind)
        opened = page(self.address(draw))
        opened.get_by_text("Everything holds.").wait_for()
        results = opened.locator("[data-step]").evaluate_all(
            "all => all.map(it => it.dataset.result)"
        )
        assert set(results) == {"passed"}
        document = gzip.decompress(stranger.get(f"{self.address(draw)}/draw.jsonl.gz").content)
        row = json.loads(document.splitlines()[1])
        identifier = row.get("boxId") or row["ticketId"]
        opened.get_by_label("Your ticket or box").fill(identifier)
        opened.get_by_role("button", name="Look up").click()
        shown = opened.locator("[data-found]").inner_text()
        assert ("logHash" if kind == "instant" else "ticketsRoot") in shown
        opened.get_by_label("Your ticket or box").fill("box_00000000000000000000000000")
        opened.get_by_role("button", name="Look up").click()
        assert opened.locator("[data-found]").inner_text() == "There is no such id in this draw."

    def test_says_which_step_does_not_hold(
        self, page: Callable[..., Page], merchant: Merchant
    ) -> None:
        def cheat(path: str, body: bytes) -> bytes:
            if not path.endswith(".gz"):
                return body
            head, *rest = gzip.decompress(body).splitlines(keepends=True)
            said = json.loads(head)
            forged = head.replace(said["serverSeed"].encode(), said["serverSeed"][::-1].encode())
            return gzip.compress(b"".join([forged, *rest]))

        opened = page(self.address(self.make(merchant, "instant")), cheat)
        opened.get_by_text("This draw does not hold.").wait_for()
        results = opened.locator("[data-step]").evaluate_all(
            "all => all.map(it => [it.dataset.step, it.dataset.result || null])"
        )
        assert results[:4] == [
            ["document", "passed"],
            ["parameters", "passed"],
            ["commitment", "failed"],
            ["openings", None],
        ]

    def test_says_when_the_document_is_of_another_draw(
        self, page: Callable[..., Page], stranger: TestClient, merchant: Merchant
    ) -> None:
        one = self.make(merchant, "instant")
        other = self.make(merchant, "raffle")
        document = stranger.get(f"{self.address(one)}/draw.jsonl.gz").content
        name = encode_id("drw", one.id).encode()

        def cheat(path: str, body: bytes) -> bytes:
            if path.endswith(".gz"):
                return document
            return body.replace(name, encode_id("drw", other.id).encode())

        opened = page(self.address(one), cheat)
        opened.get_by_text("This draw does not hold.").wait_for()
        assert "another draw" in opened.locator('[data-step="document"]').inner_text()

    def test_fits_a_phone_and_is_quiet(self, page: Callable[..., Page], merchant: Merchant) -> None:
        opened = page("/space/login")
        noise: list[str] = []
        opened.on("console", lambda it: noise.append(it.text))
        opened.on("pageerror", lambda it: noise.append(str(it)))
        opened.goto(self.address(self.make(merchant, "raffle")))
        opened.get_by_text("Everything holds.").wait_for()
        wide = "document.documentElement.scrollWidth <= innerWidth"
        assert opened.evaluate(wide) is True
        assert noise == []

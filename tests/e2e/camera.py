"""Cameras: one that reads codes off a screen, and one that a browser takes for its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from app.web.qr import qr_code
from tests.e2e.site import CHROMIUM_FLAGS, Site, chromium

_WIDTH, _HEIGHT = 640, 480
_LIGHT, _DARK, _GREY = 235, 16, 128

_READ = """() => {
  const svg = document.querySelector("#live-code svg.qr");
  const side = Number(svg.getAttribute("viewBox").split(" ")[2]);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side * 4;
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(4, 4);
  context.fillStyle = "#000";
  context.fill(new Path2D(svg.querySelector("path").getAttribute("d")));
  const picture = context.getImageData(0, 0, canvas.width, canvas.height);
  return (jsQR(picture.data, picture.width, picture.height) || {}).data;
}"""


def bring_decoder(page: Page, site: Site) -> None:
    """The page can decode, also without connection from here on."""
    page.add_script_tag(url=f"{site.base}/static/x/vendor/jsqr/jsQR.js")


def read_code(page: Page, site: Site | None = None) -> str:
    """What a camera reads from the member's screen.

    Args:
        site: brings the decoder first.
    """
    if site is not None:
        bring_decoder(page, site)
    return str(page.evaluate(_READ))


def film(text: str, path: Path) -> None:
    """A film of a QR code that somebody holds into the camera: YUV4MPEG2, 4:2:0."""
    code = qr_code(text)
    scale = _HEIGHT // code.size
    left, top = (_WIDTH - code.size * scale) // 2, (_HEIGHT - code.size * scale) // 2
    rows = [bytearray([_LIGHT]) * _WIDTH for _ in range(_HEIGHT)]
    for x, y, length in code.runs:
        start, end = left + x * scale, left + (x + length) * scale
        for row in rows[top + y * scale : top + (y + 1) * scale]:
            row[start:end] = bytes([_DARK]) * (end - start)
    picture = b"".join(rows) + bytes([_GREY]) * (_WIDTH * _HEIGHT // 2)
    head = f"YUV4MPEG2 W{_WIDTH} H{_HEIGHT} F10:1 Ip A1:1 C420mpeg2\n".encode()
    path.write_bytes(head + (b"FRAME\n" + picture) * 10)


@contextmanager
def browser_with_camera(text: str, folder: Path) -> Iterator[Browser]:
    """A browser before whose camera somebody holds this code."""
    path = folder / "film.y4m"
    film(text, path)
    flags = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={path}",
    )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium(), args=[*CHROMIUM_FLAGS, *flags]
        )
        yield started
        started.close()

"""A camera for codes on the screen: what it shows is drawn anew and decoded."""

from playwright.sync_api import Page

from tests.e2e.site import Site

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

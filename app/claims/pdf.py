"""PDF in a stream: pages of lines, rectangles and text in the standard fonts, one after the other.

Of what was written only the places of the objects are remembered, so a document of any length takes
some bytes a page.

References:
    ISO 32000-1 §7.5 (file structure), §8 (graphics), §9.6.2.2 (standard fonts).
"""

import zlib
from collections.abc import Iterable, Iterator

MILLIMETRE = 72 / 25.4
ENCODING = "cp1252"
"""What the standard fonts can write (WinAnsiEncoding)."""
_HEADER = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
_CATALOG, _PAGES, _TEXT_FONT, _CODE_FONT, _FIRST_FREE = 1, 2, 3, 4, 5
TEXT, CODE = "T", "C"
"""Names of the fonts: Helvetica, and Courier, whose characters are all 0.6 of their size wide."""


def document(size: tuple[float, float], pages: Iterable[bytes]) -> Iterator[bytes]:
    """The document, a piece at a time.

    Args:
        size: width and height of every page in points.
        pages: what is drawn on each.
    """
    written = _Written()
    yield written.add_raw(_HEADER)
    yield written.add(_CATALOG, f"<</Type/Catalog/Pages {_PAGES} 0 R>>".encode())
    for number, font in ((_TEXT_FONT, "Helvetica"), (_CODE_FONT, "Courier-Bold")):
        what = f"<</Type/Font/Subtype/Type1/BaseFont/{font}/Encoding/WinAnsiEncoding>>"
        yield written.add(number, what.encode())
    numbers: list[int] = []
    for drawing in pages:
        content = _FIRST_FREE + 2 * len(numbers)
        numbers.append(content + 1)
        yield written.add(content, _stream(drawing))
        yield written.add(
            content + 1, f"<</Type/Page/Parent 2 0 R/Contents {content} 0 R>>".encode()
        )
    yield written.add(_PAGES, _page_tree(size, numbers))
    yield written.end(_CATALOG)


def _stream(drawing: bytes) -> bytes:
    packed = zlib.compress(drawing)
    head = f"<</Filter/FlateDecode/Length {len(packed)}>>stream\n".encode()
    return head + packed + b"\nendstream"


def _page_tree(size: tuple[float, float], numbers: list[int]) -> bytes:
    """Every page, with what they share."""
    kids = " ".join(f"{number} 0 R" for number in numbers)
    fonts = f"/{TEXT} {_TEXT_FONT} 0 R/{CODE} {_CODE_FONT} 0 R"
    box = f"0 0 {size[0]:.2f} {size[1]:.2f}"
    return (
        f"<</Type/Pages/Count {len(numbers)}/MediaBox[{box}]"
        f"/Resources<</Font<<{fonts}>>>>/Kids[{kids}]>>"
    ).encode()


class _Written:
    """Where each object begins in what was handed over so far."""

    def __init__(self) -> None:
        self._size = 0
        self._places: dict[int, int] = {}

    def add_raw(self, data: bytes) -> bytes:
        """These bytes come next."""
        self._size += len(data)
        return data

    def add(self, number: int, body: bytes) -> bytes:
        """The object of this number comes next."""
        self._places[number] = self._size
        return self.add_raw(b"%d 0 obj\n%b\nendobj\n" % (number, body))

    def end(self, root: int) -> bytes:
        """The table of all objects, which ends the document."""
        start, count = self._size, len(self._places) + 1
        rows = "".join(f"{self._places[it]:010d} 00000 n \n" for it in range(1, count))
        trailer = f"trailer\n<</Size {count}/Root {root} 0 R>>\nstartxref\n{start}\n%%EOF\n"
        return f"xref\n0 {count}\n0000000000 65535 f \n{rows}{trailer}".encode()


def line(x: float, y: float, to_x: float, to_y: float) -> str:
    """A thin line between two points."""
    return f"{x:.2f} {y:.2f} m {to_x:.2f} {to_y:.2f} l S\n"


def rectangle(x: float, y: float, width: float, height: float) -> str:
    """A part of what the next `f` fills."""
    return f"{x:.3f} {y:.3f} {width:.3f} {height:.3f} re\n"


def text(x: float, y: float, content: str, *, font: str, size: float) -> str:
    """A line of text that begins at this point.

    Raises:
        UnicodeEncodeError: the standard fonts have no such character.
    """
    hexadecimal = content.encode(ENCODING).hex()
    return f"BT /{font} {size:.2f} Tf {x:.2f} {y:.2f} Td <{hexadecimal}> Tj ET\n"

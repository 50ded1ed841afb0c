"""Sheets to print: QR codes in rows and columns with crop marks, and the code below each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from math import ceil

from app.claims import pdf
from app.claims.codes import in_groups
from app.claims.paths import link_of
from app.claims.pdf import MILLIMETRE
from app.web.qr import qr_code
from core.errors import InvalidError
from core.types import PlaceId

MOST_A_PAGE = 40
CAPTION_LENGTH = 40
_MARGIN = 10 * MILLIMETRE
_PADDING = 1.5 * MILLIMETRE
_MARK = 2 * MILLIMETRE
_LARGEST_TEXT = 9.0
_WIDE = 0.6
"""Width of a character of the code's font, of its size."""
_LEADING = 1.25
_LINES = (slice(0, 17), slice(18, None))
"""The code in two lines: three groups, then two."""


class Paper(StrEnum):
    """What the sheets are printed on."""

    A4 = "a4"
    LETTER = "letter"

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in points."""
        if self is Paper.A4:
            return 210 * MILLIMETRE, 297 * MILLIMETRE
        return 8.5 * 72, 11.0 * 72


@dataclass(frozen=True)
class Sheet:
    """How codes lie on a page.

    Args:
        caption: a line above each code, or empty.
        place: where they are put up, which their links say.

    Raises:
        InvalidError: too many a page, or a caption that is too long or cannot be written.
    """

    paper: Paper
    per_page: int
    caption: str = ""
    place: PlaceId | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be printed."""
        fields = {}
        if not 1 <= self.per_page <= MOST_A_PAGE:
            fields["per_page"] = f"Between 1 and {MOST_A_PAGE}."
        if len(self.caption) > CAPTION_LENGTH:
            fields["caption"] = f"At most {CAPTION_LENGTH} characters."
        if not self.caption.isprintable() or not _is_writable(self.caption):
            fields["caption"] = "Letters of Western European languages only."
        if fields:
            raise InvalidError("The sheets cannot be printed yet.", fields=fields)

    @property
    def grid(self) -> tuple[int, int]:
        """Columns and rows that give the largest codes."""
        choices = ((it, ceil(self.per_page / it)) for it in range(1, self.per_page + 1))
        return max(choices, key=lambda grid: (self._cell(grid).side, -grid[0]))

    def _cell(self, grid: tuple[int, int]) -> "_Cell":
        columns, rows = grid
        width, height = self.paper.size
        return _Cell(
            (width - 2 * _MARGIN) / columns, (height - 2 * _MARGIN) / rows, bool(self.caption)
        )

    def pages(self, codes: Iterable[tuple[int, str]]) -> Iterator[bytes]:
        """What is drawn on each page."""
        grid = self.grid
        cell, waiting = self._cell(grid), iter(codes)
        marks = self._crop_marks(grid, cell)
        while page := list(islice(waiting, self.per_page)):
            drawn = [self._draw(grid, cell, place, code) for place, (_, code) in enumerate(page)]
            yield (marks + "".join(drawn)).encode()

    def _draw(self, grid: tuple[int, int], cell: "_Cell", place: int, code: str) -> str:
        row, column = divmod(place, grid[0])
        left = _MARGIN + column * cell.width
        top = self.paper.size[1] - _MARGIN - row * cell.height
        return cell.draw(left, top, code, link=link_of(code, self.place), caption=self.caption)

    def _crop_marks(self, grid: tuple[int, int], cell: "_Cell") -> str:
        """A small cross wherever a cut begins, ends or meets another."""
        drawn = ["0.25 w 0.6 G\n"]
        for column in range(grid[0] + 1):
            for row in range(grid[1] + 1):
                x, y = _MARGIN + column * cell.width, _MARGIN + row * cell.height
                drawn.append(pdf.line(x - _MARK, y, x + _MARK, y))
                drawn.append(pdf.line(x, y - _MARK, x, y + _MARK))
        return "".join(drawn)


def _is_writable(caption: str) -> bool:
    try:
        caption.encode(pdf.ENCODING)
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class _Cell:
    """The place of one code."""

    width: float
    height: float
    has_caption: bool

    @property
    def text_size(self) -> float:
        """So that half a code fits the width."""
        return min(_LARGEST_TEXT, (self.width - 2 * _PADDING) / (17 * _WIDE), self.height / 12)

    @property
    def _line(self) -> float:
        return self.text_size * _LEADING

    @property
    def side(self) -> float:
        """Of the QR code, quiet zone included."""
        lines = len(_LINES) + self.has_caption
        return min(self.width, self.height - lines * self._line - _PADDING) - 2 * _PADDING

    def draw(self, left: float, top: float, code: str, *, link: str, caption: str) -> str:
        """The caption, the QR code and the code, from top to bottom."""
        y = top - _PADDING
        drawn = ["0 g\n"]
        if caption:
            y -= self._line
            drawn.append(self._centred(left, y, caption, font=pdf.TEXT, wide=0.5))
        x = left + (self.width - self.side) / 2
        drawn.append(_modules(x, y, self.side, link))
        y -= self.side
        for part in _LINES:
            y -= self._line
            shown = in_groups(code)[part]
            drawn.append(self._centred(left, y, shown, font=pdf.CODE, wide=_WIDE))
        return "".join(drawn)

    def _centred(self, left: float, y: float, content: str, *, font: str, wide: float) -> str:
        size = min(self.text_size, (self.width - 2 * _PADDING) / (max(len(content), 1) * wide))
        x = left + (self.width - len(content) * wide * size) / 2
        return pdf.text(x, y, content, font=font, size=size)


def _modules(left: float, top: float, side: float, content: str) -> str:
    """The dark modules of a QR code, filled at once so that no hair lies between them."""
    code = qr_code(content)
    unit = side / code.size
    dark = [
        pdf.rectangle(left + x * unit, top - (y + 1) * unit, length * unit, unit)
        for x, y, length in code.runs
    ]
    return "".join(dark) + "f\n"


def as_pdf(sheet: Sheet, codes: Iterable[tuple[int, str]]) -> Iterator[bytes]:
    """The document, a page at a time."""
    yield from pdf.document(sheet.paper.size, sheet.pages(codes))

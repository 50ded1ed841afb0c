"""Codes taken out: every one that can be used, once, as table, pictures and printed sheets."""

import csv
import io
import re
import zlib
from typing import Any
from zipfile import ZipFile

import pytest
import segno

from app.accounts.models import Merchant
from app.claims import service, taking
from app.claims.codes import canonical, in_groups
from app.claims.models import ClaimBatch
from app.claims.paths import base_of, link_of
from app.claims.seeds import code_of
from app.claims.sheets import Paper, Sheet, as_pdf
from core.db import unit_of_work
from core.errors import InvalidError
from core.ids import encode_id
from tests.app.web.client import HTML, TestClient
from tests.conftest import NOW
from tests.factories.claims import make_batch
from tests.factories.perks import make_place

CODES = [(it, f"{it:026d}") for it in range(1, 30)]


@pytest.fixture
def batch(merchant: Merchant) -> ClaimBatch:
    """Seven codes, of which the second is disabled."""
    with unit_of_work(merchant=merchant.id) as session:
        made = make_batch(session, codes=7)
        service.disable(session, made, 2, is_disabled=True, at=NOW)
        return made


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few codes a part and a file."""
    monkeypatch.setattr(taking, "_ROWS_A_PART", 3)
    monkeypatch.setattr(taking, "_CHUNK", 100)


class TestTable:
    def test_has_every_code_that_can_be_used(self, admin: TestClient, batch: ClaimBatch) -> None:
        file = admin.get(f"{base_of(batch)}/codes.csv", headers=HTML)
        assert file.headers["cache-control"] == "no-store"
        rows = list(csv.DictReader(io.StringIO(file.text)))
        assert [int(row["number"]) for row in rows] == [1, 3, 4, 5, 6, 7]
        assert rows[1]["code"] == in_groups(code_of(batch, 3))
        assert rows[1]["link"] == f"http://testserver/claim/{code_of(batch, 3)}"
        assert rows[1]["uses_left"] == "1"


class TestPlace:
    def test_stands_in_the_links_of_what_is_put_up_there(
        self, admin: TestClient, merchant: Merchant, batch: ClaimBatch
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            place = make_place(session, "Bar").id
        base, chosen = base_of(batch), encode_id("plc", place)
        assert "Put up at" in admin.get(f"{base}/output", headers=HTML).text
        file = admin.get(f"{base}/codes.csv?place={chosen}", headers=HTML)
        rows = list(csv.DictReader(io.StringIO(file.text)))
        link = f"http://testserver/claim/{code_of(batch, 3)}/at/{chosen}"
        assert rows[1]["link"] == link == link_of(code_of(batch, 3), place)
        pictures = admin.get(f"{base}/codes.zip?first=3&place={chosen}", headers=HTML)
        with ZipFile(io.BytesIO(pictures.content)) as archive:
            svg = archive.read("00000003.svg").decode()
        drawn = segno.make(link, micro=False, error="m").matrix
        dark = re.findall(r"M(\d+) (\d+)h(\d+)v1", svg)
        assert modules(dark, border=4) == {
            (x, y) for y, row in enumerate(drawn) for x, it in enumerate(row) if it
        }
        sheet = Sheet(Paper.A4, 1, place=place)
        assert b"".join(as_pdf(sheet, CODES)) != b"".join(as_pdf(Sheet(Paper.A4, 1), CODES))

    @pytest.mark.parametrize("kind", ["csv", "zip", "pdf"])
    def test_that_is_none_is_refused(self, admin: TestClient, batch: ClaimBatch, kind: str) -> None:
        answer = admin.get(f"{base_of(batch)}/codes.{kind}?place=bar", headers=HTML)
        assert answer.status_code == 404


class TestPictures:
    def test_are_qr_codes_of_the_links(self, admin: TestClient, batch: ClaimBatch) -> None:
        file = admin.get(f"{base_of(batch)}/codes.zip?first=2", headers=HTML)
        with ZipFile(io.BytesIO(file.content)) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == [f"{it:08d}.svg" for it in range(3, 8)]
            svg = archive.read("00000003.svg").decode()
        dark = re.findall(r"M(\d+) (\d+)h(\d+)v1", svg)
        assert modules(dark, border=4) == matrix_of(code_of(batch, 3))
        assert in_groups(code_of(batch, 3)) in svg

    @pytest.mark.parametrize("first", ["0", "8", "x", "-1"])
    def test_from_no_code_are_none(self, admin: TestClient, batch: ClaimBatch, first: str) -> None:
        for kind in ("zip", "pdf"):
            answer = admin.get(f"{base_of(batch)}/codes.{kind}?first={first}", headers=HTML)
            assert answer.status_code == 422 and "error-first" in answer.text

    def test_a_file_ends_and_the_next_goes_on(
        self, admin: TestClient, batch: ClaimBatch, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("app.claims.output_admin.MOST_IN_A_FILE", 3)
        names = []
        for first in (1, 4, 7):
            file = admin.get(f"{base_of(batch)}/codes.zip?first={first}", headers=HTML)
            with ZipFile(io.BytesIO(file.content)) as archive:
                names.append([int(it[:8]) for it in archive.namelist()])
        assert names == [[1, 3], [4, 5, 6], [7]]


def modules(runs: list[tuple[str, ...]], *, border: int) -> set[tuple[int, int]]:
    """The dark modules these runs cover."""
    found = [tuple(int(it) for it in run) for run in runs]
    return {(x + it - border, y - border) for x, y, length in found for it in range(length)}


def matrix_of(code: str) -> set[tuple[int, int]]:
    """The dark modules of the link's QR code, by the library alone."""
    matrix = segno.make(link_of(code), micro=False, error="m").matrix
    return {(x, y) for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark}


class Document:
    """A PDF, read by its own table of objects."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        start = int(re.findall(rb"startxref\n(\d+)\n%%EOF\n$", data)[0])
        head = re.match(rb"xref\n0 (\d+)\n", data[start:])
        assert head is not None
        rows = data[start + head.end() :]
        count = int(head[1])
        self.places = [int(rows[20 * it : 20 * it + 10]) for it in range(count)]
        for number, place in enumerate(self.places[1:], start=1):
            assert data[place:].startswith(b"%d 0 obj\n" % number)

    def body(self, number: int) -> bytes:
        return self.data[self.places[number] :].split(b"\nendobj", 1)[0]

    @property
    def pages(self) -> list[str]:
        """What is drawn on each page, in order."""
        tree = self.body(2)
        kids = re.search(rb"/Kids\[([^\]]*)\]", tree)
        count = re.search(rb"/Count (\d+)", tree)
        assert kids is not None and count is not None
        numbers = [int(it) for it in re.findall(rb"(\d+) 0 R", kids[1])]
        assert len(numbers) == int(count[1])
        return [self._drawing(number) for number in numbers]

    def _drawing(self, page: int) -> str:
        content = re.search(rb"/Contents (\d+) 0 R", self.body(page))
        assert content is not None
        body = self.body(int(content[1]))
        length = re.search(rb"/Length (\d+)>>stream\n", body)
        assert length is not None
        packed = body[length.end() : length.end() + int(length[1])]
        return zlib.decompress(packed).decode("ascii")


def document(per_page: int, *, paper: Paper = Paper.A4, caption: str = "") -> Document:
    return Document(b"".join(as_pdf(Sheet(paper, per_page, caption), CODES)))


def texts(drawing: str) -> list[str]:
    return [bytes.fromhex(it).decode("cp1252") for it in re.findall(r"<([0-9a-f]+)> Tj", drawing)]


class TestSheets:
    @pytest.mark.parametrize("paper", list(Paper))
    @pytest.mark.parametrize("per_page", [1, 2, 7, 12, 40])
    def test_hold_so_many_codes_a_page_inside_the_paper(self, paper: Paper, per_page: int) -> None:
        pages = document(per_page, paper=paper).pages
        assert len(pages) == -(-len(CODES) // per_page)
        shown = [text for page in pages for text in texts(page)]
        codes = [f"{a}-{b}" for a, b in zip(shown[::2], shown[1::2], strict=True)]
        assert [canonical(it) for it in codes] == [code for _, code in CODES]
        width, height = paper.size
        numbers = r"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re"
        for x, y, wide, high in re.findall(numbers, "".join(pages)):
            assert float(x) > 0 and float(x) + float(wide) < width
            assert float(y) > 0 and float(y) + float(high) < height

    @pytest.mark.parametrize("per_page", [1, 12, 40])
    def test_draw_the_modules_of_each_code(self, per_page: int) -> None:
        drawing = document(per_page).pages[0]
        first = drawing.split("f\n", 1)[0]
        found = [
            tuple(float(it) for it in row)
            for row in re.findall(r"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re", first)
        ]
        unit = found[0][3]
        left = min(x for x, *_ in found)
        top = max(y for _, y, *_ in found)
        dark = {
            (round((x - left) / unit) + step, round((top - y) / unit))
            for x, y, wide, _ in found
            for step in range(round(wide / unit))
        }
        assert dark == matrix_of(CODES[0][1])

    def test_leave_a_code_large_enough_to_be_read(self) -> None:
        """Forty a page: a module of a third of a millimetre, the least that cameras like."""
        drawing = document(40, caption="A line").pages[0]
        heights = re.findall(r"[\d.]+ [\d.]+ [\d.]+ ([\d.]+) re", drawing)
        assert min(float(it) for it in heights) * 25.4 / 72 > 0.33

    def test_have_crop_marks_at_every_corner(self) -> None:
        sheet = Sheet(Paper.A4, 12)
        columns, rows = sheet.grid
        drawing = document(12).pages[0]
        assert len(re.findall(r" l S\n", drawing)) == 2 * (columns + 1) * (rows + 1)

    def test_may_have_a_line_above_each(self) -> None:
        shown = texts(document(12, caption="Café (2026) \\").pages[0])
        assert shown[0] == "Café (2026) \\"
        assert shown.count("Café (2026) \\") == 12

    @pytest.mark.parametrize(
        ("per_page", "caption"), [(0, ""), (41, ""), (12, "日本"), (12, "x" * 41), (12, "a\nb")]
    )
    def test_that_cannot_be_printed_are_refused(self, per_page: int, caption: str) -> None:
        with pytest.raises(InvalidError):
            Sheet(Paper.A4, per_page, caption)

    def test_are_downloaded(self, admin: TestClient, batch: ClaimBatch) -> None:
        path = f"{base_of(batch)}/codes.pdf"
        file = admin.get(f"{path}?per_page=4&paper=letter&caption=Hello", headers=HTML)
        assert file.headers["content-type"] == "application/pdf"
        pages = Document(file.content).pages
        assert len(pages) == 2 and "612.00 792.00" in file.content.decode("latin-1")
        for query, field in (("per_page=0", "per_page"), ("caption=日本", "caption")):
            answer = admin.get(f"{path}?{query}", headers=HTML)
            assert answer.status_code == 422 and f"error-{field}" in answer.text

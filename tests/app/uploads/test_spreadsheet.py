"""Spreadsheets: what they say as lines, and a process that survives what they hold."""

from pathlib import Path

import pytest

from app.uploads import spreadsheet
from app.uploads.errors import FileUnreadableError
from tests.factories.spreadsheets import day, formula, number, text, workbook


def convert(folder: Path, content: bytes) -> list[str]:
    path, target = folder / "file", folder / "file.csv"
    path.write_bytes(content)
    spreadsheet.convert(path, target)
    return target.read_text(encoding="utf-8").splitlines()


def test_numbers_dates_and_results_are_written_as_people_type_them(tmp_path: Path) -> None:
    lines = convert(
        tmp_path,
        workbook(
            text("email") + text("quantity") + text("key"),
            text("zoë@example.com") + number(2.0) + day(46023),
            formula("A2&amp;B2", "b@example.com") + number(2.5) + text("two\nlines"),
            "",
            text("=1+1") + number(1e15),
        ),
    )
    assert lines == [
        "email,quantity,key",
        "zoë@example.com,2,2026-01-01",
        "b@example.com,2.5,two lines",
        "",
        "=1+1,1000000000000000,",
    ]


def test_a_row_is_the_line_of_its_number(tmp_path: Path) -> None:
    content = workbook("", "", text("email"), text("a@example.com"))
    assert convert(tmp_path, content) == ["", "", "email", "a@example.com"]


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04 no archive", b"", workbook(text("email"))[:-40], b"\xd0\xcf\x11\xe0"],
    ids=["magic", "empty", "cut", "old"],
)
def test_a_damaged_one_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FileUnreadableError, match="damaged"):
        convert(tmp_path, content)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    "bomb",
    [
        workbook(text("email"), more=f"<row>{text('x' * 700_000_000)}</row>"),
        workbook(text("email"), more='<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'),
    ],
    ids=["text without end", "a cell far away"],
)
def test_one_that_unpacks_to_too_much_ends_its_own_process_only(
    tmp_path: Path, bomb: bytes
) -> None:
    assert len(bomb) < 2_000_000
    with pytest.raises(FileUnreadableError, match="too heavy"):
        convert(tmp_path, bomb)


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadableError, match="gone"):
        spreadsheet.convert(tmp_path / "file", tmp_path / "file.csv")


def test_is_told_from_other_files_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(workbook(text("email")))
    assert spreadsheet.is_spreadsheet(path)
    path.write_bytes(b"email\na@example.com\n")
    assert not spreadsheet.is_spreadsheet(path)

"""Reading in constant memory whatever the file holds; what imports read is in their own tests."""

from pathlib import Path

import pytest

from app.uploads.errors import FileUnreadableError
from app.uploads.records import RECORD_LIMIT, Dialect, read_records

COMMA = Dialect(",")


def read(path: Path, content: bytes, dialect: Dialect = COMMA) -> list[list[str]]:
    path.write_bytes(content)
    return [record.cells for record in read_records(path, dialect)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the uploaded file is."""
    return tmp_path / "file.csv"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"email\n" + b"x" * (RECORD_LIMIT + 1), "Line 2: the row is longer than 1,000,000"),
        (b"email\n" + b'"\n",' * (RECORD_LIMIT // 4 + 1), "the row is longer than 1,000,000"),
        (b"email\n" + b"x" * 100_001, "Line 2: field larger than field limit"),
        (b'email\n"a@example.com', "Line 2: "),
        (b"email\na@\0example.com\n", "Line 2: it holds a NUL byte"),
        (b"email\n\xff\n", "is not UTF-8 text after line"),
    ],
    ids=["line", "row", "cell", "quote", "nul", "encoding"],
)
def test_what_has_no_end_or_is_no_text_is_refused(
    path: Path, content: bytes, sentence: str
) -> None:
    with pytest.raises(FileUnreadableError, match=sentence):
        read(path, content)


def test_a_million_columns_are_a_row(path: Path) -> None:
    assert len(read(path, b"," * (RECORD_LIMIT - 1))[0]) == RECORD_LIMIT


def test_line_endings_may_be_mixed(path: Path) -> None:
    assert read(path, b"a\nb\r\nc\rd") == [["a"], ["b"], ["c"], ["d"]]


def test_a_byte_that_windows_1252_does_not_know_is_refused(path: Path) -> None:
    with pytest.raises(FileUnreadableError, match="Save it as"):
        read(path, b"email\n\x81@example.com\n", Dialect(",", "cp1252"))


def test_half_a_utf_16_character_is_refused(path: Path) -> None:
    with pytest.raises(FileUnreadableError, match="Save it as"):
        read(path, "email".encode("utf-16-le") + b"a", Dialect(",", "utf-16-le"))

"""Encodings and delimiters are found in whatever people upload."""

from pathlib import Path

import pytest

from app.uploads.detection import detect
from app.uploads.records import Dialect, read_records

TEXT = 'email,note\nzoë@example.com,"x; y"\n'


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8"),
        (TEXT.encode("utf-16"), "utf-16-le"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("cp1252"), "cp1252"),
        (b"email\n" + b"a@example.com\n" * 100_000 + "zoë@example.com".encode("cp1252"), "cp1252"),
        (b"email\n" + b"a" * ((1 << 20) - 7) + "ë\n".encode(), "utf-8"),
    ],
)
def test_the_encoding(tmp_path: Path, content: bytes, encoding: str) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    assert detect(path).dialect.encoding == encoding


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_what_was_found_reads_the_file_from_any_place(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(TEXT.encode(encoding))
    dialect = detect(path).dialect
    first, second = read_records(path, dialect)
    assert first.cells == ["email", "note"]
    assert second.cells == ["zoë@example.com", "x; y"]
    assert list(read_records(path, dialect, start=second.place)) == [second]


@pytest.mark.parametrize(
    ("first", "delimiter"),
    [
        ("email,quantity", ","),
        ("email;quantity;key", ";"),
        ("email\tquantity", "\t"),
        ("email|quantity", "|"),
        ('email;"a,b,c"', ";"),
        ("email", ","),
        ("", ","),
    ],
)
def test_the_delimiter_is_what_the_first_line_has_most_of(
    tmp_path: Path, first: str, delimiter: str
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(f"\n{first}\na@example.com,,,,,,\n" if first else "")
    assert detect(path).dialect == Dialect(delimiter)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_are_counted(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(ending.join(["email", "a@example.com", "b@example.com"]).encode())
    assert detect(path).lines == 3


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        detect(tmp_path / "file.csv")

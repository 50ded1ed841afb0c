"""Uploaded files become one kind of table: UTF-8, whatever they were.

What is no table is refused whole. The upload stays as it is, so that another encoding or sheet can
be chosen; a file that is UTF-8 already is its own table.
"""

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

from app.uploads import detection, spreadsheet
from app.uploads.errors import FileUnreadableError
from app.uploads.records import GONE

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "cp1252", "iso8859-15")
_HEAD_BYTES = 1 << 16
_BLOCK_CHARACTERS = 1 << 20
_ODD_SHARE = 50
"""A head of which one character in so many is none is no text in that encoding."""
_SPOILT = "cohort.spoilt"


@dataclass(frozen=True)
class Layout:
    """How the upload is read.

    Args:
        sheets: names of a spreadsheet's sheets; none of other files.
        sheet: which of them, from 0.
    """

    encoding: str
    delimiter: str
    has_header: bool = True
    sheets: tuple[str, ...] = ()
    sheet: int = 0


def look(path: Path) -> Layout:
    """How the file is most likely written.

    Raises:
        FileUnreadableError: gone, empty, or no table at all.
    """
    try:
        if path.stat().st_size == 0:
            raise FileUnreadableError("The file is empty. Export it again and upload that.")
        if spreadsheet.is_spreadsheet(path):
            return Layout("utf-8", ",", sheets=tuple(spreadsheet.sheet_names(path)))
        dialect = detection.detect(path).dialect
    except OSError:
        raise FileUnreadableError(GONE) from None
    return Layout(dialect.encoding, dialect.delimiter)


def make(path: Path, target: Path, layout: Layout) -> None:
    """The table is at `target`.

    Raises:
        FileUnreadableError: gone, not text in the encoding, or a damaged or oversized spreadsheet.
    """
    if layout.sheets:
        spreadsheet.convert(path, target, sheet=layout.sheet)
        return
    draft = target.with_suffix(".draft")
    try:
        _check_text(path, layout.encoding)
        draft.unlink(missing_ok=True)
        if layout.encoding == "utf-8":
            os.link(path, draft)
        else:
            _transcribe(path, draft, layout.encoding)
        draft.replace(target)
    except OSError:
        raise FileUnreadableError(GONE) from None


def _check_text(path: Path, encoding: str) -> None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    text = head[: len(head) & ~1].decode(encoding, errors="replace").rstrip("\ufffd")
    odd = sum(it == "\ufffd" or (it < " " and it not in "\t\r\n\f\v") for it in text)
    if "\0" in text or odd * _ODD_SHARE > len(text) or not text.strip("\ufeff \r\n"):
        raise FileUnreadableError(
            "The file is no table of text in this encoding. Save it as “CSV UTF-8” and upload "
            "that, or choose its encoding."
        )


def _spoil(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # nothing is encoded with this handler
    return "\udcff", error.end


codecs.register_error(_SPOILT, _spoil)


def _transcribe(path: Path, target: Path, encoding: str) -> None:
    """As UTF-8; what is no text becomes a byte that is none either, so its row is refused."""
    with (
        path.open(encoding=encoding, errors=_SPOILT, newline="") as source,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as table,
    ):
        while text := source.read(_BLOCK_CHARACTERS):
            table.write(text)

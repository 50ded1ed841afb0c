"""Tables for people to open in a spreadsheet, written in a stream."""

import csv
from collections.abc import Iterable, Iterator


def as_csv(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """The rows as lines of CSV; no cell is taken for a formula."""
    buffer = _Line()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([cell if isinstance(cell, int) else safe_cell(str(cell)) for cell in row])
        yield buffer.take()


def safe_cell(text: str) -> str:
    """A cell no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


class _Line:
    """A file-like target that hands over what was written since the last time."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def write(self, text: str) -> int:
        """Keep the text."""
        self._parts.append(text)
        return len(text)

    def take(self) -> str:
        """Everything written since the last take."""
        text = "".join(self._parts)
        self._parts.clear()
        return text

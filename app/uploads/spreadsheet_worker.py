"""Reads one spreadsheet in a process of its own; started by `app.uploads.spreadsheet`.

Reads the file from standard input, its limits as JSON from the first argument, and writes CSV to
standard output. Hostile bytes can at most end this process: it limits its own memory, time and
output before it touches them.
"""

import csv
import io
import json
import resource
import sys
from datetime import date, datetime, time, timedelta
from typing import Any

_LONGEST_CELL = 32_767


def main() -> int:
    """Answer one task; standard error says `broken` when the file is no spreadsheet."""
    task = json.loads(sys.argv[1])
    _limit(task)
    try:
        _answer(sys.stdin.buffer, task["sheet"])
    except (MemoryError, OSError):
        return 2  # the memory or the output reached its limit
    except BaseException:
        # Whatever a reader raises on hostile bytes, a panic among it, the file is not usable.
        sys.stderr.write("broken")
        return 1
    return 0


def _limit(limits: dict[str, Any]) -> None:
    seconds = limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (limits["memory_bytes"], limits["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["output_bytes"], limits["output_bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(source: Any, number: int | None) -> None:
    # Imported here, so that nothing of the library runs before the limits stand.
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_filelike(source)
    if number is None:
        sys.stdout.write(json.dumps(book.sheet_names))
        return
    _write(book.get_sheet_by_index(number))


def _write(sheet: Any) -> None:
    output = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    writer = csv.writer(output)
    for cells in sheet.iter_rows():
        row = [_text(cell) for cell in cells]
        writer.writerow(row if any(row) else [])
    output.flush()


def _text(value: Any) -> str:
    """A cell as a person would type it, in one line; an empty one is an empty text."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    # Neither line breaks, which would move the numbers of the rows, nor what no table can hold.
    return " ".join(str(value)[:_LONGEST_CELL].replace("\0", " ").split())


if __name__ == "__main__":
    sys.exit(main())

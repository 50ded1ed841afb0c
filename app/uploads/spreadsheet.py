"""Spreadsheets become tables of separated values, in a process with limits of its own.

A spreadsheet is a ZIP of XML: a megabyte of it may hold gigabytes. Whatever it holds, this process
reads nothing of it but the lines that come out.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from app.uploads.errors import FileUnreadableError
from app.uploads.records import GONE

_WORKER = Path(__file__).with_name("spreadsheet_worker.py")
_LIMITS = {
    "memory_bytes": 512 * 1024 * 1024,
    "cpu_seconds": 300,
    "output_bytes": 2 * 1024 * 1024 * 1024,
}
_TIMEOUT_SECONDS = 900
_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
"""Of a ZIP, as XLSX is, and of the older container, which holds XLS and protected XLSX."""
_SENTENCES = {
    "broken": "The spreadsheet is damaged, or protected by a password. Save its first sheet as "
    "“CSV UTF-8” and upload that.",
    "heavy": "The spreadsheet is too heavy to open safely. Save its first sheet as “CSV UTF-8” and "
    "upload that.",
}


def is_spreadsheet(path: Path) -> bool:
    """Whether the file begins like a spreadsheet, a protected one among them.

    Raises:
        OSError: it is gone or cannot be read.
    """
    with path.open("rb") as file:
        return file.read(8).startswith(_MAGIC)


def sheet_names(path: Path) -> list[str]:
    """What the sheets are called, in their order.

    Raises:
        FileUnreadableError: damaged, protected, or over the limits of time, memory or output.
    """
    with tempfile.TemporaryFile() as output:
        try:
            with path.open("rb") as source:
                reason = _run(source.fileno(), output.fileno(), sheet=None)
        except OSError:
            raise FileUnreadableError(GONE) from None
        if reason is not None:
            raise FileUnreadableError(_SENTENCES[reason])
        output.seek(0)
        return [str(name) for name in json.loads(output.read())]


def convert(path: Path, target: Path, *, sheet: int = 0) -> None:
    """The sheet is at `target` as comma-separated UTF-8, a row a line; dates are ISO 8601.

    Raises:
        FileUnreadableError: damaged, protected, or over the limits of time, memory or output.
    """
    draft = target.with_suffix(".part")
    try:
        with path.open("rb") as source, draft.open("wb") as output:
            reason = _run(source.fileno(), output.fileno(), sheet=sheet)
    except OSError:
        raise FileUnreadableError(GONE) from None
    if reason is not None:
        draft.unlink()
        raise FileUnreadableError(_SENTENCES[reason])
    draft.replace(target)


def _run(source: int, output: int, *, sheet: int | None) -> str | None:
    """Why the child could not do it, or None.

    Args:
        sheet: which one to write; None writes the names of all.
    """
    command = [sys.executable, "-I", str(_WORKER), json.dumps({**_LIMITS, "sheet": sheet})]
    try:
        done = subprocess.run(
            command,
            stdin=source,
            stdout=output,
            stderr=subprocess.PIPE,
            env={},
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "heavy"
    if done.returncode == 0:
        return None
    # Whatever else ended it was a limit.
    return "broken" if done.stderr == b"broken" else "heavy"

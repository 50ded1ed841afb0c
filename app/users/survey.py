"""One pass over an uploaded file: what running it would do, and where its parts begin.

The result is kept in a file beside the upload, because a page and a worker ask for it again and
again. It holds nothing that is not in the upload: without it, the pass is made once more.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from app.uploads.errors import FileUnreadableError
from app.uploads.records import Place, Record
from app.users import table
from app.users.table import Field, Refusal
from core.ids import new_id

ROWS_A_MARK = 1_000


@dataclass(frozen=True)
class Forecast:
    """What running the import with the obvious mapping would do; nothing is written."""

    rows: int
    refused: dict[str, int]

    @property
    def accepted(self) -> int:
        """Rows that would create, update or find a member."""
        return self.rows - sum(self.refused.values())


@dataclass(frozen=True)
class Survey:
    """A file as it is.

    Args:
        mapping: column position -> field, as the column names suggest.
        marks: where every thousandth row begins, in order; the first is the first row.
    """

    columns: list[str]
    mapping: dict[int, Field]
    forecast: Forecast
    marks: list[Place]


def survey(path: Path) -> Survey:
    """The file read to its end once, or what was kept of that.

    Raises:
        FileUnreadableError: no UTF-8 CSV table with a header and rows.
    """
    kept = path.with_suffix(".survey")
    # Cut short or never written: then it is made again.
    with suppress(FileNotFoundError, ValueError):
        return _load(kept)
    found = _make(path)
    draft = kept.with_name(f"{new_id().hex}.part")
    draft.write_text(_dump(found), encoding="utf-8")
    draft.replace(kept)
    return found


def rows_from(path: Path, number: int) -> Iterator[Record]:
    """The rows of the file from this one on, counted from 0; what is before them is skipped.

    Raises:
        FileUnreadableError: as `survey`.
    """
    wanted = number + 1  # the header is record 0
    marks = survey(path).marks
    mark = marks[max(bisect_right(marks, wanted, key=lambda place: place.number) - 1, 0)]
    return islice(table.read_records(path, start=mark), wanted - mark.number, None)


def _make(path: Path) -> Survey:
    columns = table.peek(path, sample_size=0).columns
    mapping = table.guess_mapping(columns)
    marks: list[Place] = []
    refused: Counter[str] = Counter()
    # Hashes, not addresses: a set of a million texts would be a web server's largest object.
    seen: set[int] = set()
    rows = -1
    for rows, record in enumerate(islice(table.read_records(path), 1, None)):
        if rows % ROWS_A_MARK == 0:
            marks.append(record.place)
        judged = table.judge(record, mapping, len(columns))
        if isinstance(judged, Refusal):
            refused[judged.reason] += 1
        elif (key := hash(judged.email_key)) in seen:
            refused["duplicate_in_file"] += 1
        else:
            seen.add(key)
    if not marks:
        raise FileUnreadableError("The file has a header but no rows.")
    return Survey(columns, mapping, Forecast(rows + 1, dict(refused)), marks)


def _dump(found: Survey) -> str:
    return json.dumps(
        {
            "columns": found.columns,
            "mapping": list(found.mapping.items()),
            "rows": found.forecast.rows,
            "refused": found.forecast.refused,
            "marks": [(mark.number, mark.line, mark.byte) for mark in found.marks],
        }
    )


def _load(kept: Path) -> Survey:
    values = json.loads(kept.read_text(encoding="utf-8"))
    return Survey(
        columns=values["columns"],
        mapping={position: Field(field) for position, field in values["mapping"]},
        forecast=Forecast(values["rows"], values["refused"]),
        marks=[Place(*mark) for mark in values["marks"]],
    )

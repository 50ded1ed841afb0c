"""Blocks hold the same records at the same lines as the csv module finds in the whole file."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.uploads import blocks
from app.uploads.errors import FileUnreadableError

_QUOTED = st.text('ab",\n;\ré ', max_size=6).map(lambda it: '"' + it.replace('"', '""') + '"')
_BARE = st.text('ab";é ', max_size=6).filter(lambda it: not it.startswith('"'))
_RECORD = st.lists(st.one_of(_QUOTED, _BARE), min_size=2, max_size=3).map(",".join)
_LINE = st.tuples(_RECORD, st.sampled_from(["\n", "\n", "\r\n", "\n\n", "\r"])).map("".join)


def expected(text: str) -> list[tuple[int, list[str]]]:
    """Every record with the line it begins at."""
    found = csv.reader(io.StringIO(re.sub("\r(?!\n)", "\n", text), newline=""), strict=True)
    records, line = [], 1
    for cells in found:
        if cells:
            records.append((line, cells))
        line = found.line_num + 1
    return records


class TestBlocks:
    @given(st.lists(_LINE, min_size=1, max_size=12).map("".join), st.sampled_from([90, 150, 4_000]))
    @settings(
        max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_have_the_records_of_the_file(self, tmp_path: Path, text: str, size: int) -> None:
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode())
        records = expected(text)
        assume(all(len(str(cells)) < 80 for _, cells in records))
        good, bad = [], []
        for block in blocks.read_all(path, ",", 2, at=blocks.beginning(path), size=size):
            cells = zip(*(column.to_pylist() for column in block.columns), strict=True)
            good += list(zip(block.lines, map(list, cells), strict=True))
            bad += [line for line, _ in block.misfits]
        assert good == [it for it in records if len(it[1]) == 2]
        assert bad == [line for line, cells in records if len(cells) != 2]

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b'a,b\nc,"d\n', "never closed"),
            (b"a,b\nc,\0\n", "NUL byte"),
        ],
    )
    def test_of_what_is_no_table_name_the_line(
        self, tmp_path: Path, content: bytes, sentence: str
    ) -> None:
        path = tmp_path / "table.csv"
        path.write_bytes(content)
        with pytest.raises(FileUnreadableError, match=sentence):
            blocks.read_block(path, ",", 2, at=blocks.beginning(path), size=1_000)

    def test_know_which_rows_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv"
        path.write_bytes(b'a,b\n"x\ny",\xff\nc,d\n')
        block = blocks.read_block(path, ",", 2, at=blocks.beginning(path), size=1_000)
        assert (block.lines, block.broken) == ([1, 2, 4], frozenset({2}))

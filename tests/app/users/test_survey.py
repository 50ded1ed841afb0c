"""A file is read to its end once; what was found is kept beside it and made again if lost."""

from pathlib import Path

import pytest

from app.uploads.errors import FileUnreadableError
from app.users import survey as module
from app.users.survey import ROWS_A_MARK, Forecast, rows_from, survey
from app.users.table import Field, read_records

ROWS = 2 * ROWS_A_MARK + 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An uploaded file of a little over two marks; some rows have two lines."""
    found = tmp_path / "members.csv"
    rows = (f'm{n}@example.com,"Zoë{chr(10) * (n % 2)}"' for n in range(ROWS))
    found.write_text("\n".join(("email,first_name", *rows)), encoding="utf-8")
    return found


def kept(path: Path) -> Path:
    [found] = set(path.parent.iterdir()) - {path}
    return found


class TestSurvey:
    def test_counts_every_row(self, tmp_path: Path) -> None:
        path = tmp_path / "members.csv"
        path.write_text("email,x\na@example.com,1\nA@example.com,2\nnobody,3\n,4\nb@example.com,5")
        found = survey(path)
        assert found.columns == ["email", "x"]
        assert found.mapping == {0: Field.EMAIL}
        assert found.forecast == Forecast(
            5, {"duplicate_in_file": 1, "email_invalid": 1, "email_missing": 1}
        )
        assert found.forecast.accepted == 2

    def test_marks_every_thousandth_row(self, path: Path) -> None:
        assert [mark.number for mark in survey(path).marks] == [1, 1001, 2001]

    def test_is_made_once(self, path: Path) -> None:
        first = survey(path)
        path.unlink()
        assert survey(path) == first

    @pytest.mark.parametrize("rest", [None, "", '{"columns": ['])
    def test_is_made_again_when_it_was_lost_or_cut(self, path: Path, rest: str | None) -> None:
        first = survey(path)
        if rest is None:
            kept(path).unlink()
        else:
            kept(path).write_text(rest)
        assert survey(path) == first
        assert kept(path).read_text().endswith("}")

    def test_of_a_file_without_rows_nothing_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "members.csv"
        path.write_text("email\n\n")
        with pytest.raises(FileUnreadableError):
            survey(path)
        assert list(tmp_path.iterdir()) == [path]


class TestRowsFrom:
    @pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 1999, 2000, ROWS - 1, ROWS])
    def test_gives_what_reading_from_the_beginning_gives(self, path: Path, number: int) -> None:
        rows = list(read_records(path))[1:]
        assert len(rows) == ROWS
        assert list(rows_from(path, number)) == rows[number:]

    def test_does_not_read_what_is_before(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun: list[int] = []

        def listen(*args: object, **named: object) -> object:
            begun.append(named["start"].number)  # type: ignore[attr-defined]
            return read_records(*args, **named)  # type: ignore[arg-type]

        survey(path)
        monkeypatch.setattr(module.table, "read_records", listen)
        assert next(rows_from(path, 2000)).cells[0] == "m2000@example.com"
        assert begun == [2001]

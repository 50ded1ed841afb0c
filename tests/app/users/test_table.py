"""Reading a CSV table: lines, refusals with their reason, and files that are none."""

from pathlib import Path

import pytest

from app.uploads.errors import FileUnreadableError
from app.uploads.records import CSV_CELL_LIMIT, Place, Record
from app.users.errors import MappingInvalidError
from app.users.survey import survey
from app.users.table import (
    Field,
    Refusal,
    Row,
    check_mapping,
    guess_mapping,
    judge,
    peek,
    read_records,
)

SECOND = Place(1, 2, 12)
EMAIL_AND_NAME = {0: Field.EMAIL, 1: Field.FIRST_NAME}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the uploaded file is."""
    return tmp_path / "members.csv"


def read(path: Path, content: str | bytes) -> list[Record]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_records(path))


def refused(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(FileUnreadableError) as error:
        survey(path)
    return str(error.value)


class TestLines:
    def test_a_record_begins_on_its_first_line(self, path: Path) -> None:
        content = 'email,note\na@example.com,"one\ntwo\nthree"\nb@example.com,x\n'
        assert [(r.place.number, r.place.line) for r in read(path, content)] == [
            (0, 1),
            (1, 2),
            (2, 5),
        ]

    def test_empty_lines_are_no_records_but_count_as_lines(self, path: Path) -> None:
        records = read(path, "email\n\n\na@example.com\n\nb@example.com\n")
        assert [(r.place.number, r.place.line) for r in records] == [(0, 1), (1, 4), (2, 6)]

    @pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
    def test_any_line_ending_is_read(self, path: Path, ending: str) -> None:
        records = read(path, ending.join(["email,name", "a@example.com,Ada", "b@example.com,Bob"]))
        assert [r.cells for r in records][2] == ["b@example.com", "Bob"]
        assert [r.place.line for r in records] == [1, 2, 3]

    def test_the_mark_of_utf_8_is_no_part_of_the_first_column(self, path: Path) -> None:
        assert read(path, b"\xef\xbb\xbfemail\na@example.com\n")[0].cells == ["email"]

    def test_semicolons_are_taken_where_the_first_line_has_more_of_them(self, path: Path) -> None:
        records = read(path, 'email;name;"city, country"\na@example.com;Ada;"Bern, CH"\n')
        assert records[1].cells == ["a@example.com", "Ada", "Bern, CH"]

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
    def test_reading_goes_on_at_any_place(self, path: Path, mark: bytes, ending: str) -> None:
        lines = ["email;name", "ä@example.com;Zoë", "", 'b@example.com;"two', 'lines"', "c;d", ""]
        records = read(path, mark + ending.join(lines).encode())
        assert [r.place.line for r in records] == [1, 2, 4, 6]
        for number, record in enumerate(records):
            assert list(read_records(path, start=record.place)) == records[number:]

    def test_a_problem_after_going_on_names_its_own_line(self, path: Path) -> None:
        content = b'email\na@example.com\nb@example.com\n"c"x\n'
        path.write_bytes(content)
        with pytest.raises(FileUnreadableError, match="Line 4: "):
            list(read_records(path, start=Place(2, 3, 20)))


class TestPeek:
    def test_tells_columns_and_samples(self, path: Path) -> None:
        path.write_text(" email , name\n" + "".join(f"m{n}@example.com,M\n" for n in range(9)))
        sample = peek(path, sample_size=2)
        assert sample.columns == ["email", "name"]
        assert [cells[0] for cells in sample.records] == ["m0@example.com", "m1@example.com"]

    def test_reads_no_further_than_it_must(self, path: Path) -> None:
        path.write_text("email\na@example.com\n" + "b@example.com\n" * 9_000 + '"')
        assert peek(path, sample_size=1).records == [["a@example.com"]]
        with pytest.raises(FileUnreadableError):
            list(read_records(path))

    def test_of_a_file_that_is_gone_says_so(self, path: Path) -> None:
        with pytest.raises(FileUnreadableError, match="gone or cannot be read"):
            peek(path)


class TestUnreadable:
    def test_an_empty_file(self, path: Path) -> None:
        assert refused(path, "") == "The file is empty. Export it again with a header row."

    def test_a_header_alone(self, path: Path) -> None:
        assert refused(path, "email,name\n") == "The file has a header but no rows."

    def test_another_encoding_names_the_line(self, path: Path) -> None:
        lines = [b"email,name"] + [b"a%d@example.com,Ada" % n for n in range(3000)]
        lines.append("j@example.com,Joëlle".encode("cp1252"))
        sentence = refused(path, b"\n".join(lines))
        assert "is not UTF-8 text after line" in sentence
        assert "CSV UTF-8" in sentence
        near = int(sentence.split("after line ")[1].split(".")[0])
        assert 2500 < near <= 3001

    def test_a_quote_that_never_ends_names_the_line(self, path: Path) -> None:
        assert refused(path, 'email\na@example.com\n"b@example.com\n').startswith("Line 3: ")

    def test_text_after_a_quote_names_the_line(self, path: Path) -> None:
        assert refused(path, 'email\n"a@example.com"x\n').startswith("Line 2: ")

    @pytest.mark.parametrize("content", ["em\0ail\na@example.com\n", "email\na@\0example.com\n"])
    def test_a_null_character_names_the_line(self, path: Path, content: str) -> None:
        line = 1 if "\0" in content.splitlines()[0] else 2
        assert refused(path, content).startswith(f"Line {line}: ")

    def test_a_cell_without_end_is_not_kept_in_memory(self, path: Path) -> None:
        assert refused(path, "email\n" + "x" * (CSV_CELL_LIMIT + 1)).startswith("Line 2: ")

    def test_a_picture(self, path: Path) -> None:
        assert "UTF-8" in refused(path, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)))


class TestGuessMapping:
    def test_knows_the_usual_spellings(self) -> None:
        columns = ["E-Mail", "First Name", "surname", "Language", "COUNTRY", "customer_id", "x"]
        assert guess_mapping(columns) == dict(
            enumerate(
                [
                    Field.EMAIL,
                    Field.FIRST_NAME,
                    Field.LAST_NAME,
                    Field.LANG,
                    Field.COUNTRY,
                    Field.REFERENCE_ID,
                ]
            )
        )

    def test_a_second_column_of_a_kind_is_left_out(self) -> None:
        assert guess_mapping(["mail", "email"]) == {0: Field.EMAIL}

    def test_strange_columns_are_left_out(self) -> None:
        assert guess_mapping(["", "points", "электронная почта"]) == {}


class TestCheckMapping:
    def test_an_email_column_is_enough(self) -> None:
        check_mapping({1: Field.EMAIL}, ["name", "email"])

    @pytest.mark.parametrize(
        ("mapping", "sentence"),
        [
            ({}, "Choose which column holds the email address."),
            ({0: Field.FIRST_NAME}, "Choose which column holds the email address."),
            ({0: Field.EMAIL, 1: Field.EMAIL}, "Two columns are mapped to “email”."),
            ({0: Field.EMAIL, 2: Field.LANG}, "The mapping names a column the file does not have."),
        ],
    )
    def test_anything_else_is_refused(self, mapping: dict[int, Field], sentence: str) -> None:
        with pytest.raises(MappingInvalidError, match=sentence):
            check_mapping(mapping, ["a", "b"])


class TestJudge:
    def test_a_good_row_keeps_what_is_not_empty(self) -> None:
        found = judge(Record(SECOND, [" Ada@Example.com ", "  "]), EMAIL_AND_NAME, 2)
        assert isinstance(found, Row)
        assert (found.email, found.email_key) == ("Ada@Example.com", "ada@example.com")
        assert found.values == {}

    def test_language_and_country_are_spelled_one_way(self) -> None:
        mapping = {0: Field.EMAIL, 1: Field.LANG, 2: Field.COUNTRY}
        found = judge(Record(SECOND, ["a@example.com", "DE", "ch"]), mapping, 3)
        assert isinstance(found, Row)
        assert found.values == {Field.LANG: "de", Field.COUNTRY: "CH"}

    @pytest.mark.parametrize(
        ("cells", "reason"),
        [
            (["a@example.com"], "column_count"),
            (["a@example.com", "Ada", "", "", "", "more"], "column_count"),
            (["", "Ada", "", "", ""], "email_missing"),
            (["  ", "Ada", "", "", ""], "email_missing"),
            (["ada.example.com", "Ada", "", "", ""], "email_invalid"),
            (["a@example.com", "A" * 101, "", "", ""], "value_too_long:first_name"),
            (["a@example.com", "Ada", "", "", "1" * 129], "value_too_long:reference_id"),
            (["a@example.com", "Ada", "german", "", ""], "type_mismatch:lang"),
            (["a@example.com", "Ada", "", "12", ""], "type_mismatch:country"),
        ],
    )
    def test_a_bad_row_is_refused_with_its_line_and_reason(
        self, cells: list[str], reason: str
    ) -> None:
        fields = [Field.EMAIL, Field.FIRST_NAME, Field.LANG, Field.COUNTRY, Field.REFERENCE_ID]
        found = judge(Record(Place(6, 7, 99), cells), dict(enumerate(fields)), 5)
        assert found == Refusal(7, reason, cells)

    def test_the_longest_values_are_taken(self) -> None:
        found = judge(Record(SECOND, ["a@example.com", "A" * 100]), EMAIL_AND_NAME, 2)
        assert isinstance(found, Row)

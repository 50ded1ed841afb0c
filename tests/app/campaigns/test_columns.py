"""What a file's first row makes of its columns, and what each row says: every reason."""

import pytest

from app.campaigns.columns import (
    KEY_LENGTH,
    TEXT_LENGTH,
    Field,
    Judge,
    Layout,
    Rejection,
    Row,
    layout_of,
    load_layout,
)
from app.uploads.errors import FileUnreadableError
from app.uploads.records import Dialect, Place, Record

COMMA = Dialect(",")
ALL = ["email", "address", "quantity", "reward", "key"]
ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
RAW = bytes.fromhex(ADDRESS[2:])


def judged(*cells: str, columns: list[str] = ALL) -> Row:
    return Judge(layout_of(COMMA, columns))(Record(Place(6, 7, 99), list(cells)))


class TestLayout:
    @pytest.mark.parametrize(
        ("first", "columns", "has_header"),
        [
            (["Email"], {Field.EMAIL: 0}, True),
            (["name", "E-Mail", "KEY"], {Field.EMAIL: 1, Field.KEY: 2}, True),
            (["wallet", "Quantity"], {Field.ADDRESS: 0, Field.QUANTITY: 1}, True),
            (["email", "mail", "email"], {Field.EMAIL: 0}, True),
            (["a@example.com"], {Field.EMAIL: 0}, False),
            ([f" {ADDRESS} "], {Field.EMAIL: 0}, False),
            (
                ["a@example.com", "1", "mug", "7", "more"],
                {Field.EMAIL: 0, Field.QUANTITY: 1, Field.REWARD: 2, Field.KEY: 3},
                False,
            ),
        ],
    )
    def test_comes_from_the_first_row(
        self, first: list[str], columns: dict[Field, int], has_header: bool
    ) -> None:
        found = layout_of(COMMA, first)
        assert found == Layout(COMMA, columns, len(first), has_header)
        assert load_layout(found.dump()) == found

    @pytest.mark.parametrize("first", [["name"], ["key", "reward"], [""], ["0x12"], ["=1+1"]])
    def test_of_anything_else_says_what_to_do(self, first: list[str]) -> None:
        with pytest.raises(FileUnreadableError, match="Name the columns in the first row"):
            layout_of(COMMA, first)


class TestJudge:
    def test_an_email_is_kept_as_typed_and_as_members_are_known(self) -> None:
        row = judged(" Ada@Example.com ", "", "1", "mug", " 7 ")
        assert row == Row(7, "Ada@Example.com", "ada@example.com", None, 1, "mug", "7")

    @pytest.mark.parametrize("text", [ADDRESS, ADDRESS.lower(), f" {ADDRESS} "])
    def test_an_address_is_its_bytes(self, text: str) -> None:
        assert judged("", text, "", "", "") == Row(7, address=RAW)

    def test_either_column_takes_either(self) -> None:
        assert judged(ADDRESS, columns=["email"]) == Row(7, address=RAW)
        assert judged("a@example.com", columns=["address"]).email_key == "a@example.com"

    def test_other_columns_are_left_out(self) -> None:
        row = judged("Ada", "a@example.com", columns=["name", "email"])
        assert row == Row(7, "a@example.com", "a@example.com")

    @pytest.mark.parametrize(("said", "quantity"), [("", None), (" 1 ", 1), ("100", 100)])
    def test_how_many_is_a_whole_number_or_left_to_the_campaign(
        self, said: str, quantity: int | None
    ) -> None:
        assert judged("a@example.com", "", said, "", "").quantity == quantity

    @pytest.mark.parametrize(
        ("cells", "reason"),
        [
            (["a@example.com"], Rejection.COLUMN_COUNT),
            (["a@example.com", "", "", "", "", "more"], Rejection.COLUMN_COUNT),
            ([""] * 1_000_000, Rejection.COLUMN_COUNT),
            (["", "", "", "", ""], Rejection.EMAIL_INVALID),
            (["ada.example.com", "", "", "", ""], Rejection.EMAIL_INVALID),
            (["=cmd|' /C calc'!A0", "", "", "", ""], Rejection.EMAIL_INVALID),
            (["a" * 300 + "@example.com", "", "", "", ""], Rejection.EMAIL_INVALID),
            (["", "0x12", "", "", ""], Rejection.ADDRESS_INVALID),
            (["", ADDRESS[:2] + ADDRESS[2:].swapcase(), "", "", ""], Rejection.ADDRESS_INVALID),
            (["", "0x" + "0" * 40, "", "", ""], Rejection.ADDRESS_INVALID),
            (["a@example.com", ADDRESS, "", "", ""], Rejection.TWO_RECIPIENTS),
            (["a@example.com", "", "101", "", ""], Rejection.QUANTITY_INVALID),
            (["a@example.com", "", "1.0", "", ""], Rejection.QUANTITY_INVALID),
            (["a@example.com", "", "0", "", ""], Rejection.QUANTITY_INVALID),
            (["a@example.com", "", "one", "", ""], Rejection.QUANTITY_INVALID),
            (["a@example.com", "", "", "", "k" * (KEY_LENGTH + 1)], Rejection.KEY_TOO_LONG),
        ],
    )
    def test_a_bad_row_has_its_line_its_reason_and_what_it_said(
        self, cells: list[str], reason: Rejection
    ) -> None:
        row = judged(*cells)
        assert row == Row(7, reason=reason, text=",".join(cells)[:TEXT_LENGTH])

"""Barcodes: the rows of modules that the standards show, and nothing for what they cannot say."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web import barcode
from app.web.barcode import Barcode, bars, code128, ean13, pdf417


def modules(code: Barcode | None) -> str:
    """The row as ones and zeros."""
    assert code is not None
    row = ["0"] * code.width
    for start, length in re.findall(r"M(\d+) 0h(\d+)v1h-\d+z", code.path):
        row[int(start) : int(start) + int(length)] = "1" * int(length)
    return "".join(row)


def read_128(row: str) -> list[int]:
    """The values between start and stop of a row without its quiet zones."""
    table = {
        "".join("10"[place % 2] * int(it) for place, it in enumerate(widths)): value
        for value, widths in enumerate(barcode._WIDTHS)
    }
    assert row[-13:] == "1100011101011"
    return [table[row[at : at + 11]] for at in range(0, len(row) - 13, 11)]


class TestCode128:
    def test_the_table_is_what_the_standard_says_of_it(self) -> None:
        """Six widths of one to four, eleven together, bars even together, no two alike."""
        table = barcode._WIDTHS
        assert len(set(table)) == len(table) == 106
        for widths in table:
            numbers = [int(it) for it in widths]
            assert sum(numbers) == 11 and sum(numbers[::2]) % 2 == 0
            assert all(1 <= it <= 4 for it in numbers)

    def test_of_a_text(self) -> None:
        row = modules(code128("PJJ123C"))
        assert row.startswith("0" * 10) and row.endswith("0" * 10)
        # The worked example that explains the check character: 104 and 54 make 55.
        assert read_128(row[10:-10]) == [104, 48, 42, 42, 17, 18, 19, 35, 55]

    def test_of_digits_in_pairs(self) -> None:
        values = read_128(modules(code128("123456"))[10:-10])
        assert values[:4] == [105, 12, 34, 56] and values[4] == (105 + 12 + 68 + 168) % 103

    @given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40))
    def test_says_the_text_and_its_check(self, text: str) -> None:
        start, *said, check = read_128(modules(code128(text))[10:-10])
        assert (start + sum(place * it for place, it in enumerate(said, 1))) % 103 == check
        found = "".join(f"{it:02}" if start == 105 else chr(it + 32) for it in said)
        assert found == text

    @pytest.mark.parametrize("text", ["", "é", "a\n", "\u0661\u0662"])
    def test_of_nothing_else(self, text: str) -> None:
        assert code128(text) is None


class TestEan13:
    def test_of_thirteen_digits(self) -> None:
        row = modules(ean13("4006381333931"))
        assert row == (
            "0" * 11
            + "101"
            + "0001101" + "0100111" + "0101111" + "0111101" + "0001001" + "0110011"
            + "01010"
            + "1000010" + "1000010" + "1000010" + "1110100" + "1000010" + "1100110"
            + "101"
            + "0" * 7
        )  # fmt: skip

    @pytest.mark.parametrize(
        "text", ["4006381333932", "400638133393", "40063813339310", "400638133393x", ""]
    )
    def test_of_nothing_else(self, text: str) -> None:
        assert ean13(text) is None

    def test_is_chosen_by_its_name(self) -> None:
        assert bars("4006381333931", "ean13") == ean13("4006381333931")
        assert bars("4006381333931", "code128") == code128("4006381333931")


def rows_of(code: Barcode | None) -> list[str]:
    """The rows of a stacked code as ones and zeros, without the quiet zone, each once."""
    assert code is not None
    rows: dict[int, list[str]] = {}
    for x, y, length, height in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-\d+z", code.path):
        assert height == "3"
        row = rows.setdefault(int(y), ["0"] * code.width)
        row[int(x) : int(x) + int(length)] = "1" * int(length)
    assert sorted(rows) == list(range(2, code.height - 2, 3))
    return ["".join(row)[2:-2] for _, row in sorted(rows.items())]


class TestPdf417:
    START, STOP = "11111111010101000", "111111101000101001"

    @pytest.mark.parametrize("text", ["A", "KAFFEE-2026", "x" * 128])
    def test_rows_stand_between_start_and_stop(self, text: str) -> None:
        rows = rows_of(pdf417(text))
        assert 3 <= len(rows) <= 90
        for row in rows:
            assert row.startswith(self.START) and row.endswith(self.STOP)
            words = row[len(self.START) : -len(self.STOP)]
            assert len(words) % 17 == 0
            for at in range(0, len(words), 17):
                runs = [len(run) for run in re.findall("1+|0+", words[at : at + 17])]
                assert len(runs) == 8 and max(runs) <= 6  # four bars, four spaces

    def test_short_codes_are_drawn_with_wide_modules(self) -> None:
        short, long = pdf417("SHORT"), pdf417("x" * 60)
        assert short is not None and long is not None and short.width < long.width

    @pytest.mark.parametrize("text", ["", "é", "a\n", "\u0661\u0662"])
    def test_of_nothing_else(self, text: str) -> None:
        assert pdf417(text) is None

    def test_is_chosen_by_its_name(self) -> None:
        assert bars("A", "pdf417") == pdf417("A")

"""Codes: what they look like, how they are read, and that nobody can tell one from another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.claims.codes import ALPHABET, LENGTH, canonical, code_at, in_groups, new_seed

CODE = "C6NYH9DNBN2B4V4ABAT8C3VKKJ"


class TestCode:
    @given(st.binary(min_size=32, max_size=32), st.integers(1, 10_000_000))
    def test_has_130_bits_of_the_alphabet(self, seed: bytes, position: int) -> None:
        code = code_at(seed, position)
        assert len(code) == LENGTH and set(code) <= set(ALPHABET)
        assert canonical(code) == code
        assert canonical(in_groups(code).lower()) == code

    def test_the_same_position_has_the_same_code_and_no_other_has_it(self) -> None:
        seed = new_seed()
        codes = [code_at(seed, position) for position in range(1, 5_001)]
        assert len(set(codes)) == 5_000
        assert codes[41] == code_at(seed, 42)
        assert code_at(new_seed(), 42) != codes[41]

    def test_every_character_stands_everywhere(self) -> None:
        """No place is fixed or poorer than another."""
        seed = new_seed()
        codes = [code_at(seed, position) for position in range(2_000)]
        assert all(len(set(column)) == len(ALPHABET) for column in zip(*codes, strict=True))

    def test_is_read_in_five_groups(self) -> None:
        assert in_groups(CODE) == "C6NYH-9DNBN-2B4V4-ABAT8-C3VKKJ"


class TestTyped:
    @pytest.mark.parametrize(
        "typed",
        [
            CODE.lower(),
            "C6NYH-9DNBN-2B4V4-ABAT8-C3VKKJ",
            " c6nyh 9dnbn 2b4v4 abat8 c3vkkj ",
        ],
    )
    def test_case_and_separators_do_not_matter(self, typed: str) -> None:
        assert canonical(typed) == CODE

    def test_look_alikes_are_read_as_digits(self) -> None:
        assert canonical("oOiIlL" + "A" * 20) == "001111" + "A" * 20

    @pytest.mark.parametrize(
        "typed",
        [
            "",
            CODE[:-1],
            CODE + "0",
            "U" + CODE[1:],
            "ä" + CODE[1:],
            "ı" + CODE[1:],
            CODE[:-1] + "/",
            " " * 60 + CODE,
            "A" * 100_000,
        ],
    )
    def test_what_is_no_code_is_none(self, typed: str) -> None:
        assert canonical(typed) is None

"""Addresses are 20 bytes in the table and spelled with their checksum in Python."""

import pytest
from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from tests.factories.wallets import CONTRACT
from wallets.addresses import Address, address_of, parse, to_checksum
from wallets.errors import AddressInvalidError

DIALECT = postgresql.dialect()


class TestAddress:
    @pytest.mark.parametrize("text", [CONTRACT, CONTRACT.lower(), CONTRACT.removeprefix("0x")])
    def test_every_spelling_is_the_same_20_bytes(self, text: str) -> None:
        stored = Address().process_bind_param(text, DIALECT)
        assert stored == bytes.fromhex(CONTRACT[2:])
        assert Address().process_result_value(stored, DIALECT) == CONTRACT

    def test_nothing_stays_nothing(self) -> None:
        assert Address().process_bind_param(None, DIALECT) is None
        assert Address().process_result_value(None, DIALECT) is None

    @pytest.mark.parametrize("text", ["0x", CONTRACT[:-2], CONTRACT + "00"])
    def test_another_length_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="20 bytes"):
            Address().process_bind_param(text, DIALECT)

    def test_what_is_no_hexadecimal_is_refused(self) -> None:
        with pytest.raises(ValueError, match="non-hexadecimal"):
            Address().process_bind_param("0x" + "zz" * 20, DIALECT)


class TestParse:
    @pytest.mark.parametrize(
        "text", [CONTRACT, CONTRACT.lower(), "0x" + CONTRACT[2:].upper(), "0X" + CONTRACT[2:]]
    )
    def test_every_spelling_of_people_is_the_same_20_bytes(self, text: str) -> None:
        assert parse(text) == bytes.fromhex(CONTRACT[2:])

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0x",
            CONTRACT[2:],
            CONTRACT[:-1],
            CONTRACT + "0",
            "0x" + "0" * 40,
            "0x" + "g" * 40,
            "0x" + "٣" * 40,
            CONTRACT[:2] + CONTRACT[2:].swapcase(),
            CONTRACT + "\n",
            " " + CONTRACT,
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(AddressInvalidError):
            parse(text)


class TestToChecksum:
    @given(raw=st.binary(min_size=20, max_size=20))
    def test_it_is_the_spelling_of_the_reference_library(self, raw: bytes) -> None:
        assert to_checksum(raw) == to_checksum_address(raw)


class TestAddressOf:
    @given(number=st.integers(min_value=1, max_value=2**200))
    def test_it_is_the_account_of_the_reference_library(self, number: int) -> None:
        secret = number.to_bytes(32)
        assert address_of(secret) == PrivateKey(secret).public_key.to_canonical_address()

    @pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32], ids=["zero", "above the order"])
    def test_a_number_that_is_no_key_is_refused(self, secret: bytes) -> None:
        with pytest.raises(ValueError, match="Invalid secret"):
            address_of(secret)

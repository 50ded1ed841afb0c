"""Addresses are 20 bytes in the table and spelled with their checksum in Python."""

import pytest
from sqlalchemy.dialects import postgresql

from tests.factories.wallets import CONTRACT
from wallets.addresses import Address

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

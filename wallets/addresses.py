"""The column type of account and contract addresses."""

from typing import Any

from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address
from sqlalchemy import LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

__all__ = ["Address", "ChecksumAddress"]
_LENGTH = 20


class Address(TypeDecorator[ChecksumAddress]):
    """20 bytes in the table, the EIP-55 spelling in Python.

    References:
        EIP-55.
    """

    impl = LargeBinary(_LENGTH)
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> bytes | None:
        """Store the raw bytes."""
        if value is None:
            return None
        raw = bytes.fromhex(value.removeprefix("0x"))
        if len(raw) != _LENGTH:
            raise ValueError("an address has 20 bytes")
        return raw

    def process_result_value(self, value: Any, _dialect: Dialect) -> ChecksumAddress | None:
        """Return the checksummed spelling."""
        return None if value is None else to_checksum_address(bytes(value))

"""Addresses of accounts and contracts: derived from a key, spelled, and stored."""

import re
from typing import Any

from coincurve import PublicKey
from eth_hash.auto import keccak
from eth_typing import ChecksumAddress
from sqlalchemy import LargeBinary
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from wallets.errors import AddressInvalidError

__all__ = [
    "ADDRESS_BYTES",
    "Address",
    "ChecksumAddress",
    "address_of",
    "parse",
    "to_checksum",
]
ADDRESS_BYTES = 20

_DIGITS = re.compile("[0-9a-fA-F]{40}")
# A digit of the digest from 8 on raises the letter at its place: one bit a digit decides.
_RAISES_FIRST, _RAISES_SECOND, _RAISES_BOTH = 0x80, 0x08, 0x88
_PLAIN = [f"{byte:02x}" for byte in range(256)]
_SPELLINGS = {
    0: _PLAIN,
    _RAISES_FIRST: [pair[0].upper() + pair[1] for pair in _PLAIN],
    _RAISES_SECOND: [pair[0] + pair[1].upper() for pair in _PLAIN],
    _RAISES_BOTH: [pair.upper() for pair in _PLAIN],
}


class Address(TypeDecorator[ChecksumAddress]):
    """20 bytes in the table, the EIP-55 spelling in Python.

    References:
        EIP-55.
    """

    impl = LargeBinary(ADDRESS_BYTES)
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> bytes | None:
        """Store the raw bytes."""
        if value is None:
            return None
        raw = bytes.fromhex(value.removeprefix("0x"))
        if len(raw) != ADDRESS_BYTES:
            raise ValueError("an address has 20 bytes")
        return raw

    def process_result_value(self, value: Any, _dialect: Dialect) -> ChecksumAddress | None:
        """Return the checksummed spelling."""
        return None if value is None else to_checksum(bytes(value))


def to_checksum(raw: bytes) -> ChecksumAddress:
    """The EIP-55 spelling of 20 bytes; half the time of the general function of `eth_utils`.

    References:
        EIP-55.
    """
    digest = keccak(raw.hex().encode())
    cased = [_SPELLINGS[d & _RAISES_BOTH][byte] for byte, d in zip(raw, digest, strict=False)]
    return ChecksumAddress("0x" + "".join(cased))  # type: ignore[arg-type]


def parse(text: str) -> bytes:
    """The 20 bytes of an address as people write it; both cases mixed is a checksum.

    Raises:
        AddressInvalidError: no `0x` and 40 hexadecimal digits, a wrong checksum, or nobody's.

    References:
        EIP-55.
    """
    digits = text[2:]
    if not (text[:2] in ("0x", "0X") and _DIGITS.fullmatch(digits)):
        raise AddressInvalidError(text)
    raw = bytes.fromhex(digits)
    is_plain = digits in (digits.lower(), digits.upper())
    if not any(raw) or not (is_plain or to_checksum(raw)[2:] == digits):
        raise AddressInvalidError(text)
    return raw


def address_of(secret: bytes) -> bytes:
    """The 20 bytes of the account that the private key `secret` controls.

    References:
        Ethereum yellow paper, appendix F: the last 20 bytes of the public key's Keccak-256.
    """
    return keccak(PublicKey.from_valid_secret(secret).format(compressed=False)[1:])[12:]

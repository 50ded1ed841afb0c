"""The words of the contract ABI that the bindings share, and the committed creation code.

Calls with many words are joined from bytes: a general encoder needs 13 ms for a thousand of them,
a join 0.1 ms. Texts and constructors, which are rare, go through `eth_abi`.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from eth_typing import ChecksumAddress
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
_WORD = 32
NOBODY = to_checksum_address(bytes(20))
"""The zero address."""


@cache
def creation_code(contract: str) -> bytes:
    """The creation bytecode of a contract, without constructor arguments.

    Args:
        contract: the name of its artifact, such as `DigitalAsset`.
    """
    artifact = json.loads((ARTIFACTS / f"{contract}.json").read_text(encoding="utf-8"))
    return bytes.fromhex(artifact["bytecode"].removeprefix("0x"))


@cache
def selector(signature: str) -> bytes:
    """The four bytes that name a function.

    Args:
        signature: canonical, such as `ownerOf(uint256)`.
    """
    return keccak(text=signature)[:4]


def call(signature: str, *values: object) -> bytes:
    """A call: the selector and the encoded arguments.

    Args:
        signature: canonical, with flat types, such as `burn(uint256)`.

    Raises:
        ValueError: a value does not fit its type.
    """
    types = [kind for kind in signature[signature.index("(") + 1 : -1].split(",") if kind]
    try:
        return selector(signature) + encode(types, values)
    except EncodingError as error:
        raise ValueError(f"{signature} does not take {values!r}: {error}") from None


def uint(value: int) -> bytes:
    """One word.

    Raises:
        ValueError: the value is negative or has more than 256 bits.
    """
    try:
        return value.to_bytes(_WORD, "big")
    except OverflowError:
        raise ValueError(f"{value} is not a uint256.") from None


def words(values: Iterable[int]) -> bytes:
    """The words of the values, one after the other.

    Raises:
        ValueError: a value is negative or has more than 256 bits.
    """
    return b"".join(map(uint, values))


def address(value: ChecksumAddress) -> bytes:
    """One word, the address in its low 20 bytes.

    Raises:
        ValueError: it is no address.
    """
    return to_canonical_address(value).rjust(_WORD, b"\0")


def text(value: str, *, at_most: int, name: str) -> str:
    """The text itself, once it is known to fit.

    Args:
        at_most: bytes of UTF-8 that the contract accepts.
        name: what the text is, for the message.

    Raises:
        ValueError: it is longer.
    """
    size = len(value.encode())
    if size > at_most:
        raise ValueError(f"The {name} has {size} bytes; the contract takes {at_most} at most.")
    return value


def decode_uint(data: bytes) -> int:
    """The number in an answer of one word.

    Raises:
        ValueError: the answer is not one word: the address has no code, or another contract.
    """
    if len(data) != _WORD:
        raise ValueError(f"Expected one word of 32 bytes, got {len(data)}.")
    return int.from_bytes(data, "big")


def decode_address(data: bytes) -> ChecksumAddress:
    """The address in an answer of one word.

    Raises:
        ValueError: the answer is not one word, or has more in it than an address.
    """
    value = decode_uint(data)
    if value >> 160:
        raise ValueError(f"0x{data.hex()} is not an address.")
    return to_checksum_address(data[-20:])

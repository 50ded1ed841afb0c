"""Identifiers: UUIDv7 inside, `<prefix>_` and 26 Crockford base32 characters outside."""

import os
import time
from datetime import datetime
from uuid import UUID

from core.errors import NotFoundError

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_LENGTH = 26


class UnknownIdentifierError(NotFoundError):
    """The text is no identifier of this kind; to the caller it does not exist."""

    def __init__(self, text: str) -> None:
        super().__init__(
            "There is nothing at this address. Check the link, or go back to the list."
        )
        self.text = text


def new_id() -> UUID:
    """A UUID version 7: milliseconds since 1970, then 74 random bits.

    References:
        RFC 9562 §5.7.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


def first_id_of(moment: datetime) -> UUID:
    """No identifier that was made at this moment or later is smaller."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def encode_id(prefix: str, identifier: UUID) -> str:
    """The public spelling, for example `usr_01h455vb4pex5vsknk084sn02q`."""
    number = identifier.int
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def decode_id(prefix: str, text: str) -> UUID:
    """The identifier behind its public spelling.

    Raises:
        UnknownIdentifierError: another prefix, another length, or characters outside the alphabet.
    """
    head, _, digits = text.partition("_")
    if head != prefix or len(digits) != _LENGTH or not all(c in _VALUES for c in digits):
        raise UnknownIdentifierError(text)
    number = 0
    for character in digits:
        number = number << 5 | _VALUES[character]
    if number >> 128:
        raise UnknownIdentifierError(text)
    return UUID(int=number)

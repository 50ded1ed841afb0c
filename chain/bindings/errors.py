"""The words a contract reverted with."""

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from .abi import selector


def decode_revert(data: bytes) -> str | None:
    """The message of `Error(string)`; None when the contract gave none, or another kind of reason.

    Args:
        data: what the call returned: 4 bytes of selector and the encoded text.
    """
    if data[:4] != selector("Error(string)"):
        return None
    try:
        (message,) = decode(("string",), data[4:])
    except (DecodingError, UnicodeDecodeError):
        return None
    return str(message)

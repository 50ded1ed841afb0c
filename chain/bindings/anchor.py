"""Calls of `Anchor`: digests that are said to exist, on the chain and for ever."""

from eth_abi.abi import encode
from eth_typing import ChecksumAddress

from .abi import call, creation_code


def deploy_data(*, owner: ChecksumAddress, minter: ChecksumAddress) -> bytes:
    """The data of the transaction that creates a merchant's anchor.

    Args:
        owner: names who may anchor afterwards.
        minter: may anchor from the start.
    """
    return creation_code("Anchor") + encode(("address", "address"), (owner, minter))


def encode_anchor(digest: bytes) -> bytes:
    """`anchor(digest)`: the digest existed when the block was made.

    Raises:
        ValueError: it has not 32 bytes.
    """
    if len(digest) != 32:
        raise ValueError(f"A digest has 32 bytes, not {len(digest)}.")
    return call("anchor(bytes32)", digest)


def encode_count() -> bytes:
    """`count()`: how many digests were anchored."""
    return call("count()")

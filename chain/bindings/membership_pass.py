"""Calls of `MembershipPass`: the registry of members, issued in sorted batches.

A pass id is `batch << 16 | index in the batch`. The address at an index is the index-th smallest of
the batch, so ids follow from the set of addresses alone.
"""

from collections.abc import Iterable

from eth_abi.abi import encode
from eth_typing import ChecksumAddress

from .abi import creation_code, selector, text, uint

MAX_BATCH = 1228
"""Members of one batch: 13 + 20 * 1,228 bytes is the most one data contract holds (EIP-170)."""

MAX_BATCHES = 65534
"""Batches of one registry: the number of a data contract has two bytes."""

MAX_TEXT = 256
MAX_SYMBOL = 32
_ADDRESS = 20


def deploy_data(
    *,
    owner: ChecksumAddress,
    minter: ChecksumAddress,
    name: str,
    symbol: str,
    token_uri: str,
    contract_uri: str,
) -> bytes:
    """The data of the transaction that creates a pass contract.

    Args:
        owner: names minters and metadata afterwards.
        minter: may issue from the start.
        name: 256 bytes of UTF-8 at most; so are the URIs.
        symbol: 32 bytes at most.

    Raises:
        ValueError: a text is too long.
    """
    arguments = (
        owner,
        minter,
        text(name, at_most=MAX_TEXT, name="name"),
        text(symbol, at_most=MAX_SYMBOL, name="symbol"),
        text(token_uri, at_most=MAX_TEXT, name="token URI"),
        text(contract_uri, at_most=MAX_TEXT, name="contract URI"),
    )
    types = ("address", "address", "string", "string", "string", "string")
    return creation_code("MembershipPass") + encode(types, arguments)


def pack_members(addresses: Iterable[bytes]) -> bytes:
    """The members of a batch as `issue` takes them: 20 bytes each, in increasing order.

    Args:
        addresses: 20 bytes each, in any order.

    Raises:
        ValueError: none or more than `MAX_BATCH`, one twice, the zero address, or another length.
    """
    members = sorted(addresses)
    if not 1 <= len(members) <= MAX_BATCH:
        raise ValueError(f"A batch has 1 to {MAX_BATCH} members, not {len(members)}.")
    if any(len(member) != _ADDRESS for member in members):
        raise ValueError("An address has 20 bytes.")
    if len(set(members)) != len(members):
        raise ValueError("An address is in the batch twice.")
    if members[0] == bytes(_ADDRESS):
        raise ValueError("The zero address cannot be a member.")
    return b"".join(members)


def encode_issue(batch: int, packed: bytes) -> bytes:
    """`issue(batch, packed)`: a pass for every member.

    Args:
        batch: the next batch of the contract; another one reverts.
        packed: what `pack_members` returned.

    Raises:
        ValueError: the batch is no number a registry has, or the members are not whole addresses.
    """
    if not 0 <= batch < MAX_BATCHES:
        raise ValueError(f"{batch} is not a batch.")
    if not packed or len(packed) % _ADDRESS or len(packed) > _ADDRESS * MAX_BATCH:
        raise ValueError(f"{len(packed)} bytes are not 1 to {MAX_BATCH} addresses.")
    padding = bytes(-len(packed) % 32)
    head = uint(batch) + uint(64) + uint(len(packed))
    return selector("issue(uint256,bytes)") + head + packed + padding


def pass_id(batch: int, index: int) -> int:
    """The id of a pass.

    Raises:
        ValueError: there can be no such batch or place.
    """
    if not 0 <= batch < MAX_BATCHES or not 0 <= index < MAX_BATCH:
        raise ValueError(f"There is no pass {batch}-{index}.")
    return batch << 16 | index


def split_pass_id(pass_id: int) -> tuple[int, int]:
    """Batch and index of a pass id.

    Raises:
        ValueError: no pass can have this id.
    """
    batch, index = pass_id >> 16, pass_id & 0xFFFF
    if not 0 <= batch < MAX_BATCHES or index >= MAX_BATCH:
        raise ValueError(f"{pass_id} is not a pass id.")
    return batch, index


def encode_total_supply() -> bytes:
    """`totalSupply()`: passes issued."""
    return selector("totalSupply()")


def encode_batches() -> bytes:
    """`batches()`: how many batches there are, which is the number of the next one."""
    return selector("batches()")


def encode_addresses(batch: int) -> bytes:
    """`addresses(batch)`: the packed members of a batch, for whoever checks the registry."""
    return selector("addresses(uint256)") + uint(batch)

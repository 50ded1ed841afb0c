"""Calls of `DigitalAsset`: drops to members of pass batches, and mints to other addresses.

A token id is `round << 32 | pass id`, and outside the registry `1 << 128 | nonce << 16 | index`.
Rounds of an asset are numbered from 0 without gaps; so are its data contracts, from 1.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from eth_typing import ChecksumAddress

from .abi import NOBODY, call, creation_code, selector, text, uint, words
from .membership_pass import MAX_BATCH, MAX_TEXT, split_pass_id

Bits = tuple[int, int, int, int, int]
"""The members of a batch, one bit each: member i is bit i & 255 of word i >> 8."""

MAX_BATCHES_A_CALL = 30
"""Of a drop by bits."""

MAX_LISTED_BATCHES = 512
"""Of a drop by lists."""

MAX_LIST = 255
"""Members of one list."""

MAX_LISTS_SIZE = 11_200
"""Bytes of the lists of one call: one a batch and two a member."""

MAX_DATA = 65_535
"""Data contracts of one asset."""

OUTSIDE = 1 << 128
"""Ids from here were minted to addresses outside the registry."""

GROUP = 15
"""Batches `15 * n` to `15 * n + 14` share one data contract a round, so they belong in one call."""

_WORDS = 5
_MAX_ROUND = 2**47


def implementation_deploy_data() -> bytes:
    """The data of the transaction that creates the implementation, once a chain."""
    return creation_code("DigitalAsset")


def token_id(round: int, pass_id: int) -> int:
    """The id of the token that this round gives to this pass.

    Raises:
        ValueError: there can be no such round or pass.
    """
    if not 0 <= round < _MAX_ROUND:
        raise ValueError(f"{round} is not a round.")
    split_pass_id(pass_id)
    return round << 32 | pass_id


def split_token_id(token_id: int) -> tuple[int, int]:
    """Round and pass id of a token id.

    Raises:
        ValueError: no dropped token can have this id.
    """
    round, pass_id = token_id >> 32, token_id & 0xFFFFFFFF
    if not 0 <= round < _MAX_ROUND:
        raise ValueError(f"{token_id} is not the id of a dropped token.")
    split_pass_id(pass_id)
    return round, pass_id


def outside_token_id(nonce: int, index: int) -> int:
    """The id of the token that `mint` number `nonce` gave to its index-th address.

    Raises:
        ValueError: there can be no such mint or place.
    """
    if not 1 <= nonce <= MAX_DATA or not 0 <= index < MAX_BATCH:
        raise ValueError(f"There is no token {nonce}-{index} outside the registry.")
    return OUTSIDE | nonce << 16 | index


def split_outside_token_id(token_id: int) -> tuple[int, int]:
    """Nonce and index of a token that was minted outside the registry.

    Raises:
        ValueError: no such token can have this id.
    """
    nonce, index = (token_id ^ OUTSIDE) >> 16, token_id & 0xFFFF
    if not 1 <= nonce <= MAX_DATA or index >= MAX_BATCH:
        raise ValueError(f"{token_id} is not the id of a token outside the registry.")
    return nonce, index


def bitmap(indices: Iterable[int]) -> Bits:
    """The bits of these members.

    Args:
        indices: places in the batch, in any order; one twice counts once.

    Raises:
        ValueError: no batch has such a place.
    """
    every = 0
    for index in indices:
        if not 0 <= index < MAX_BATCH:
            raise ValueError(f"{index} is not a place in a batch.")
        every |= 1 << index
    first, second, third, fourth, fifth = (every >> 256 * k & (1 << 256) - 1 for k in range(_WORDS))
    return first, second, third, fourth, fifth


def needs_data_contract(bits: Sequence[Bits], batch_sizes: Sequence[int]) -> bool:
    """Whether a drop of these bits creates a data contract: whether any batch is not dropped whole.

    Args:
        bits: one a batch.
        batch_sizes: members of each of these batches, in the same order.

    Raises:
        ValueError: the two differ in length.
    """
    return any(
        chosen != bitmap(range(size)) for chosen, size in zip(bits, batch_sizes, strict=True)
    )


def encode_drop(*, round: int, batches: Sequence[int], bits: Sequence[Bits], nonce: int) -> bytes:
    """`drop(round, batches, bits, nonce)`: this round's token for every member whose bit is set.

    Args:
        round: one that exists, or the next one.
        batches: 1 to 30 pass batches.
        bits: one a batch, none empty, no bit beyond the batch, none that was dropped to before.
        nonce: the number of the data contract this drop makes, from 1 (`next_nonce()`, or what
            `eth_getTransactionCount` says of the asset); 0 keeps bits in storage, which costs less
            for one or two members. Looked at only if a batch is dropped in part.

    Raises:
        ValueError: the lists are empty, too long, or differ in length, or bits are not five words.
    """
    if not 1 <= len(batches) <= MAX_BATCHES_A_CALL or len(bits) != len(batches):
        raise ValueError(
            f"{len(batches)} batches with {len(bits)} bitmaps: "
            f"a drop has 1 to {MAX_BATCHES_A_CALL} of both, equally many."
        )
    if any(len(chosen) != _WORDS for chosen in bits):
        raise ValueError(f"The bits of a batch are {_WORDS} words.")
    at = 32 * 4
    return b"".join(
        (
            selector("drop(uint256,uint256[],uint256[5][],uint256)"),
            words((round, at, at + 32 * (1 + len(batches)), nonce, len(batches))),
            words(batches),
            uint(len(bits)),
            words(word for chosen in bits for word in chosen),
        )
    )


def encode_drop_lists(
    *, round: int, places: Sequence[tuple[int, Sequence[int]]], nonce: int
) -> bytes:
    """`drop_lists(round, heads, lists, nonce)`: a token for a few members of each of many batches.

    Args:
        places: batch and places in it; 1 to 512 batches with 1 to 255 strictly increasing places
            each, 11,200 bytes in all. Batches of one fifteen stand together, and none of the
            fifteen has data of another call in this round.
        nonce: the number of the data contract this drop makes.

    Raises:
        ValueError: a limit is passed or places are not strictly increasing.
    """
    if not 1 <= len(places) <= MAX_LISTED_BATCHES:
        raise ValueError(f"{len(places)} batches; a drop by lists has 1 to {MAX_LISTED_BATCHES}.")
    heads = b"".join(batch.to_bytes(2, "big") for batch, _ in places)
    lists = b"".join(_listed(indices) for _, indices in places)
    if len(lists) > MAX_LISTS_SIZE:
        raise ValueError(f"The lists have {len(lists)} bytes; a drop takes {MAX_LISTS_SIZE}.")
    return call("drop_lists(uint256,bytes,bytes,uint256)", round, heads, lists, nonce)


def _listed(indices: Sequence[int]) -> bytes:
    is_ascending = all(a < b for a, b in pairwise(indices))
    if not 1 <= len(indices) <= MAX_LIST or not is_ascending or indices[0] < 0:
        raise ValueError(f"A list has 1 to {MAX_LIST} strictly increasing places.")
    if indices[-1] >= MAX_BATCH:
        raise ValueError(f"{indices[-1]} is not a place in a batch.")
    return bytes([len(indices)]) + b"".join(index.to_bytes(2, "big") for index in indices)


def encode_mint(nonce: int, packed: bytes) -> bytes:
    """`mint(nonce, packed)`: a token for each address, member or not.

    Args:
        nonce: the number of the data contract this makes.
        packed: what `membership_pass.pack_members` returned.

    Raises:
        ValueError: there can be no such nonce, or the addresses are not whole.
    """
    outside_token_id(nonce, 0)
    if not packed or len(packed) % 20 or len(packed) > 20 * MAX_BATCH:
        raise ValueError(f"{len(packed)} bytes are not 1 to {MAX_BATCH} addresses.")
    return call("mint(uint256,bytes)", nonce, packed)


def encode_transfer_with_permit(
    sender: ChecksumAddress,
    receiver: ChecksumAddress,
    token_id: int,
    *,
    deadline: int,
    signature: bytes,
) -> bytes:
    """`transferWithPermit(...)`: the receiver has the token; anybody sends what its owner signed.

    Args:
        deadline: Unix seconds, as signed.
        signature: of a `TransferPermit` (`chain.bindings.permits`); 65 bytes, or any that ERC-1271
            takes.
    """
    signature_of = "transferWithPermit(address,address,uint256,uint256,bytes)"
    return call(signature_of, sender, receiver, token_id, deadline, signature)


def encode_reissue(
    token_id: int, receiver: ChecksumAddress, *, deadline: int, signature: bytes
) -> bytes:
    """`reissue(...)`: the same for soulbound editions; a minter or the owner sends it.

    Args:
        signature: of a `ReissuePermit`.
    """
    signature_of = "reissue(uint256,address,uint256,bytes)"
    return call(signature_of, token_id, receiver, deadline, signature)


def encode_burn(token_id: int) -> bytes:
    """`burn(token_id)`: its owner ends the token."""
    return call("burn(uint256)", token_id)


def encode_revoke(token_id: int) -> bytes:
    """`revoke(token_id)`: the contract's owner ends a token of a revocable edition."""
    return call("revoke(uint256)", token_id)


def encode_lower_max_supply(max_supply: int) -> bytes:
    """`lower_max_supply(max_supply)`: the owner promises fewer tokens; never more again."""
    return call("lower_max_supply(uint64)", max_supply)


def encode_max_supply() -> bytes:
    """`max_supply()`: the most tokens that may ever be minted; 0 for no limit."""
    return call("max_supply()")


def encode_set_royalty(receiver: ChecksumAddress | None, basis_points: int) -> bytes:
    """`set_royalty(receiver, basis_points)`: the owner asks for 0 to 1,000 points of a sale.

    Args:
        receiver: None with 0 points only.
    """
    return call("set_royalty(address,uint256)", receiver or NOBODY, basis_points)


def encode_royalty_info(token_id: int, sale_price: int) -> bytes:
    """`royaltyInfo(token_id, sale_price)`: the receiver and the share (ERC-2981)."""
    return call("royaltyInfo(uint256,uint256)", token_id, sale_price)


def encode_revocable() -> bytes:
    """`revocable()`: whether the contract's owner may end tokens."""
    return call("revocable()")


def encode_registry() -> bytes:
    """`registry()`: the pass contract whose members it is dropped to."""
    return call("registry()")


def encode_nonces(token_id: int) -> bytes:
    """`nonces(token_id)`: how often the token moved: the nonce of its next permit."""
    return call("nonces(uint256)", token_id)


def encode_set_contract_uri(uri: str) -> bytes:
    """`set_contract_uri(uri)`: another document for the contract (ERC-7572); the owner sends it.

    Raises:
        ValueError: the URI has more than 256 bytes.
    """
    return call("set_contract_uri(string)", text(uri, at_most=MAX_TEXT, name="contract URI"))


def encode_claimed(round: int, pass_id: int) -> bytes:
    """`claimed(round, pass_id)`: whether this round was dropped to this pass."""
    return selector("claimed(uint256,uint256)") + uint(round) + uint(pass_id)


def encode_rounds() -> bytes:
    """`rounds()`: how many rounds there are, which is the number of the next one."""
    return selector("rounds()")


def encode_next_nonce() -> bytes:
    """`next_nonce()`: the number of the data contract that the next drop in part makes."""
    return selector("next_nonce()")


def encode_total_supply() -> bytes:
    """`totalSupply()`: tokens minted and not burned."""
    return selector("totalSupply()")


def encode_set_token_uri(uri: str) -> bytes:
    """`set_token_uri(uri)`: another metadata document for every token; the owner sends it.

    Raises:
        ValueError: the URI has more than 256 bytes.
    """
    return call("set_token_uri(string)", text(uri, at_most=MAX_TEXT, name="token URI"))

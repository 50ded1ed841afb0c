"""Calls of `DigitalAsset`: drops to members of pass batches, one bit a member.

A token id is `round << 32 | pass id`. Rounds of an asset are numbered from 0 without gaps.
"""

from collections.abc import Iterable, Sequence

from eth_abi.abi import encode

from .abi import creation_code, selector, text, uint, words
from .membership_pass import MAX_BATCH, MAX_TEXT, split_pass_id

Bits = tuple[int, int, int, int, int]
"""The members of a batch, one bit each: member i is bit i & 255 of word i >> 8."""

MAX_BATCHES_A_CALL = 64
GROUP = 15
"""Batches `15 * n` to `15 * n + 14` share one data contract a round, so they belong in one call."""

_WORDS = 5
_MAX_ROUND = 2**64


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
        batches: 1 to 64 pass batches, none dropped to in this round before.
        bits: one a batch, none empty, no bit beyond the batch.
        nonce: the number of the data contract this drop makes, from 1 (`next_nonce()`, or what
            `eth_getTransactionCount` says of the asset). Looked at by the contract only if a batch
            is dropped in part; by convention 0 otherwise.

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
    """`totalSupply()`: tokens minted."""
    return selector("totalSupply()")


def encode_set_token_uri(uri: str) -> bytes:
    """`set_token_uri(uri)`: another metadata document for every token; the owner sends it.

    Raises:
        ValueError: the URI has more than 256 bytes.
    """
    checked = text(uri, at_most=MAX_TEXT, name="token URI")
    return selector("set_token_uri(string)") + encode(("string",), (checked,))

"""What each minting call will cost, before it is sent.

The dear parts follow from the protocol: calldata, code deposits, fresh and used storage. The rest
is what the contracts spend on a batch, a word, a member; it was measured on the compiled contracts
by least squares over random shapes and is checked against receipts by the contract tests. A
forecast is within three percent of its receipt.

References:
    EIP-2028 and EIP-7623 (calldata), EIP-2929 and EIP-2200 (storage), EIP-170 and EIP-3860 (code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from chain.bindings.abi import decode_address
from chain.bindings.digital_asset import GROUP
from core.types import Gas

ANY_BYTES = b"\1" * 20
ANY_ADDRESS = decode_address(ANY_BYTES.rjust(32, b"\0"))
"""Stands for an address that is not known yet: no byte of one is usually zero."""

_INTRINSIC = 21_000
_CREATE = 32_000
_CODE_BYTE = 200
_INIT_WORD = 2
_FRESH_SLOT = 22_100
_USED_SLOT = 5_000
_READER = 13
_LIST_FRAME = 32
_INIT = 23
_WORD_MEMBERS = 256
_WORDS_LOOK = 2_300
_WORD_CHECK = 2_200
_TURN = 16
"""Members the contracts take at once from constant places."""
_LIST_TURN = 15
"""Places the contracts take at once from a list."""


@dataclass(frozen=True)
class PassPlaces:
    """The recipients in one pass batch: its number, its size, their places in it, increasing."""

    number: int
    size: int
    places: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every member of the batch is one of them."""
        return len(self.places) == self.size

    @property
    def group(self) -> int:
        """The fifteen neighbours that share a slot of the contract's directory."""
        return self.number // GROUP

    @cached_property
    def words(self) -> Mapping[int, int]:
        """The words of 256 members that have any of them, as bits."""
        words: dict[int, int] = {}
        for place in self.places:
            number, bit = divmod(place, _WORD_MEMBERS)
            words[number] = words.get(number, 0) | 1 << bit
        return words


@dataclass(frozen=True)
class Ground:
    """What a call finds on the chain.

    Args:
        is_first: nothing was minted by this contract before.
        has_words: a member of this round is kept in a storage word.
        used_groups: fifteens of batches that this round has dropped to before.
    """

    is_first: bool = False
    has_words: bool = False
    used_groups: frozenset[int] = frozenset()


def issue_gas(calldata: bytes, count: int, *, is_first: bool) -> Gas:
    """Gas of `issue` for a batch of `count` members."""
    size = _READER + 20 * count
    code = _CREATE + _CODE_BYTE * size + _INIT_WORD * -(-(_INIT + 20 * count) // 32)
    work = (
        14_543
        + 32_037 * (count // _TURN)
        + 2_332 * (count % _TURN)
        + 1_715 * -(-count // _WORD_MEMBERS)
    )
    return Gas(_calldata_gas(calldata) + _slot(is_fresh=is_first) + code + work)


def issue_one_gas(calldata: bytes, *, is_first: bool) -> Gas:
    """Gas of `issue_one`."""
    return Gas(_calldata_gas(calldata) + _slot(is_fresh=is_first) + _FRESH_SLOT + 4_603)


def bits_gas(
    calldata: bytes, parts: Sequence[PassPlaces], ground: Ground, *, in_words: frozenset[int]
) -> Gas:
    """Gas of `drop`.

    Args:
        in_words: the batches whose bits are kept in storage.
    """
    kept = [part for part in parts if not part.is_whole and part.number not in in_words]
    late = [part for part in parts if part.number in in_words]
    groups = {part.group for part in parts if part.is_whole} | {part.group for part in kept}
    storage = _slot(is_fresh=ground.is_first) + sum(
        _slot(is_fresh=group not in ground.used_groups) for group in groups
    )
    code = _CREATE + _CODE_BYTE * (1 + 160 * len(kept)) if kept else 0
    work = 15_262 + 1_438 * len(kept) + sum(_bits_work(part) for part in parts)
    work += _late_work(late, ground)
    if ground.has_words:
        work += _WORDS_LOOK + _WORD_CHECK * sum(len(p.words) for p in parts if p not in late)
    return Gas(_calldata_gas(calldata) + storage + code + work)


def _late_work(late: Sequence[PassPlaces], ground: Ground) -> int:
    """Bits in storage: a slot a word, and once a round the mark that it has words."""
    if not late:
        return 0
    mark = 1_250 if ground.has_words else _FRESH_SLOT
    words = sum(len(part.words) for part in late)
    return mark + 3_340 * len(late) + words * (_FRESH_SLOT + 170)


def _bits_work(part: PassPlaces) -> int:
    work = 6_187 + 1_507 * len(part.words)
    for word in part.words.values():
        rest = word
        while rest:
            turn, rest = rest & (1 << _TURN) - 1, rest >> _TURN
            if turn == (1 << _TURN) - 1:
                work += 31_131
            elif turn:
                fours = sum(turn >> bit & 15 != 0 for bit in range(0, _TURN, 4))
                work += 311 + 102 * fours + 1_937 * turn.bit_count()
            else:
                work += 207
    return work


def lists_gas(calldata: bytes, parts: Sequence[PassPlaces], ground: Ground) -> Gas:
    """Gas of `drop_lists`."""
    members = sum(len(part.places) for part in parts)
    groups = {part.group for part in parts}
    turns = sum(-(-len(part.places) // _LIST_TURN) for part in parts)
    size = len(parts) + 2 * members
    storage = _slot(is_fresh=ground.is_first) + sum(
        _slot(is_fresh=group not in ground.used_groups) for group in groups
    )
    work = (
        16_406
        + 3_721 * len(parts)
        + 466 * len(groups)
        + 2_225 * members
        + 666 * turns
        + 255 * size // 32
    )
    if ground.has_words:
        words = sum(len(part.words) for part in parts)
        work += _WORDS_LOOK + _WORD_CHECK * words + 715 * len(parts) + 254 * turns + 192 * members
    return Gas(
        _calldata_gas(calldata) + storage + _CREATE + _CODE_BYTE * (_LIST_FRAME + size) + work
    )


def mint_gas(calldata: bytes, count: int, *, is_first: bool) -> Gas:
    """Gas of `mint` for `count` addresses."""
    size = _READER + 20 * count
    code = _CREATE + _CODE_BYTE * size + _INIT_WORD * -(-(_INIT + 20 * count) // 32)
    work = 16_848 + 2_125 * count
    return Gas(_calldata_gas(calldata) + _slot(is_fresh=is_first) + code + work)


def _slot(*, is_fresh: bool) -> int:
    return _FRESH_SLOT if is_fresh else _USED_SLOT


def _calldata_gas(calldata: bytes) -> int:
    zeros = calldata.count(0)
    return _INTRINSIC + 4 * zeros + 16 * (len(calldata) - zeros)

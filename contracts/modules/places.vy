# pragma version 0.4.3
"""
@title Lists of members
@license MIT
@notice Members of a batch as their places: one byte of count, then 2 bytes a place, strictly increasing. The lists of a
        call, one after the other, are a data contract.
@dev A list is read in words of 32 bytes: one byte, which is the count or was read before, and fifteen places. These
     lanes of two bytes, the first on top, are compared at once.
"""

from . import errors
from . import members
from . import mints

# PUSH1 11 CODESIZE SUB DUP1 PUSH1 11 PUSH0 CODECOPY PUSH0 RETURN returns what stands behind it: STOP and the lists
CREATION: constant(Bytes[12]) = x"600b380380600b5f395ff300"
CREATION_SIZE: constant(uint256) = 11  # without the STOP
PLACES: constant(uint256) = 15  # of a word
MAX_WORDS: constant(uint256) = 17  # of a list: 255 places
ONES: constant(uint256) = max_value(uint256) // 65535  # 0x0001...: the lowest bit of each lane
HIGHS: constant(uint256) = ONES * 2**15  # 0x8000...: the highest


@internal
def announce(data: address, lanes: uint256, count: uint256, least: uint256, first_id: uint256) -> uint256:
    """
    @notice One `Transfer` for each of these members; reverts unless their places increase strictly.
    @param lanes The places, the first on top.
    @param count How many of them, 1 to 15.
    @param least What the first place may be at least.
    @param first_id The id of the member at place 0; its low sixteen bits are zero.
    @return One above the last place. The caller must revert if it is above the size of the batch.
    @dev From each place, with the highest bit of its lane set, is subtracted what it may be at least: one more than the
         place before it. The bit stays where that is no less; no lane borrows from another, because none has the bit
         by itself.
    """
    ours: uint256 = ~(max_value(uint256) >> unsafe_mul(16, count))
    listed: uint256 = lanes & ours
    if listed & HIGHS != 0:
        errors.refuse("asset: beyond the batch")
    bounds: uint256 = unsafe_add(listed >> 16, ONES >> 16) | (least << 240)
    if ~unsafe_sub(listed | HIGHS, bounds) & HIGHS & ours != 0:
        errors.refuse("asset: not ascending")
    nothing: Bytes[1] = b""
    rest: uint256 = lanes
    index: uint256 = 0
    for _: uint256 in range(count, bound=PLACES):
        index = rest >> 240
        rest = rest << 16
        # `members.word_at` is written out: calling it costs 70 gas a member
        raw_log([
            mints.TRANSFER,
            mints.NOBODY,
            convert(
                mints.ADDRESS & staticcall members.Data(data).word(
                    unsafe_add(members.WORD_BEFORE, unsafe_mul(20, index)), 32, skip_contract_check=True
                ),
                bytes32,
            ),
            convert(first_id | index, bytes32),
        ], nothing)
    return unsafe_add(index, 1)


@internal
@pure
def with_places(chosen: uint256[5], lanes: uint256, count: uint256) -> uint256[5]:
    """
    @notice These bits and those of the first `count` places; whoever announces them refuses one beyond the batch.
    """
    bits: uint256[5] = chosen
    rest: uint256 = lanes
    for _: uint256 in range(count, bound=PLACES):
        index: uint256 = rest >> 240
        bits[min(index >> 8, 4)] |= 1 << (index & 255)
        rest = rest << 16
    return bits

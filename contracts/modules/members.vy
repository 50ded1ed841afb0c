# pragma version 0.4.3
"""
@title Members of a pass batch
@license MIT
@notice A batch of members is the code of one data contract: 13 bytes of reader, then 20 bytes a member in strictly
        increasing order. Code costs 200 gas a byte to write, a storage slot 22,100 for the same 20 bytes.
@dev The reader answers any call f(uint256 offset, uint256 length) with that part of the code, zero-padded:
     PUSH1 36 CALLDATALOAD PUSH1 4 CALLDATALOAD PUSH0 CODECOPY PUSH1 36 CALLDATALOAD PUSH0 RETURN.
     13 + 20 * 1,228 = 24,573 bytes is the most that fits the code size limit of 24,576 (EIP-170).
     Batch b of a registry is the registry's CREATE number b + 1. A registry creates nothing else.
"""

from . import creation

interface Data:  # the reader looks at no selector
    def part(offset: uint256, length: uint256) -> uint256[10][16]: view  # 256 members in rows of sixteen
    def word(offset: uint256, length: uint256) -> uint256: view

PUSH2: constant(bytes1) = 0x61
CREATION: constant(bytes7) = 0x80600a5f395ff3  # DUP1 PUSH1 10 PUSH0 CODECOPY PUSH0 RETURN
READER: constant(Bytes[13]) = x"6024356004355f396024355ff3"
READER_SIZE: constant(uint256) = 13
WORD_BEFORE: constant(uint256) = READER_SIZE - 12  # where the word begins that ends with the first member
CREATION_SIZE: constant(uint256) = 10  # with the PUSH2 and the size in front
MAX_BATCH: constant(uint256) = 1228
MAX_PACKED: constant(uint256) = 20 * MAX_BATCH
MAX_BATCHES: constant(uint256) = 65534  # a batch's CREATE number has two bytes
PART_MEMBERS: constant(uint256) = 256
PART_SIZE: constant(uint256) = 20 * PART_MEMBERS
NOWHERE: constant(uint256) = max_value(uint256)


@internal
@pure
def size_of(count: uint256) -> bytes2:
    """
    @notice The size of the code of a batch. A caller makes a batch of `packed` members by
                raw_create(concat(PUSH2, members.size_of(count), members.CREATION, members.READER, packed))
            itself, because 24 kB handed to a function would be copied and cost 15 gas a member in memory.
    """
    return convert(convert(unsafe_add(READER_SIZE, unsafe_mul(20, count)), uint16), bytes2)


@internal
@pure
def data_of(registry: address, batch: uint256) -> address:
    """
    @notice Where the registry keeps the batch, whether it was issued or not.
    """
    return creation.address_of(registry, unsafe_add(batch, 1))


@internal
@view
def count(data: address) -> uint256:
    """
    @notice Members of the batch; zero when there is no such batch.
    """
    return unsafe_div(data.codesize, 20)  # the reader is shorter than a member


@internal
@view
def word_at(data: address, index: uint256) -> uint256:
    """
    @notice The address of the member at this place of a batch that is there; zero beyond the last.
    @dev Asks the reader, which puts zeros behind its code: 240 gas less than `member_at`.
    """
    # the twelve bytes in front of it fill the word
    word: uint256 = staticcall Data(data).word(
        unsafe_add(WORD_BEFORE, unsafe_mul(20, index)), 32, skip_contract_check=True
    )
    return word & (2**160 - 1)


@internal
@pure
def in_row(row: uint256[10], place: uint256) -> uint256:
    """
    @notice The address at one of the sixteen places of a row. Of 320 bytes, bytes 20 * place to 20 * place + 19: the word
            they begin in and, where they reach over its end, the one behind it.
    """
    start: uint256 = unsafe_mul(20, place)
    word: uint256 = start >> 5
    skipped: uint256 = unsafe_mul(8, start & 31)
    bits: uint256 = row[word] << skipped
    if skipped > 96:
        bits = bits | (row[unsafe_add(word, 1)] >> unsafe_sub(256, skipped))
    return bits >> 96


@internal
@view
def packed(data: address) -> Bytes[MAX_PACKED]:
    """
    @notice The members as they were stored; empty when there is no such batch.
    """
    size: uint256 = unsafe_mul(20, self.count(data))
    if size == 0:
        return b""
    return raw_call(
        data,
        abi_encode(READER_SIZE, size, method_id=0x00000000),
        max_outsize=MAX_PACKED,
        is_static_call=True,
    )


@internal
@view
def member_at(data: address, index: uint256) -> address:
    """
    @notice The member at this place; the zero address beyond the last.
    @dev `count` and `_read` are written out: calling them costs every reader of an owner 80 gas.
    """
    if index >= unsafe_div(data.codesize, 20):
        return empty(address)
    place: uint256 = unsafe_add(READER_SIZE, unsafe_mul(20, index))
    return convert(convert(slice(data.code, place, 20), uint256), address)


@internal
@view
def index_of(data: address, account: address) -> uint256:
    """
    @notice The place of the account in the batch, or NOWHERE. Halves the sorted list, 11 times at most.
    """
    wanted: uint256 = convert(account, uint256)
    low: uint256 = 0
    high: uint256 = self.count(data)
    for _: uint256 in range(11):
        if low >= high:
            break
        middle: uint256 = unsafe_add(low, high) >> 1
        found: uint256 = convert(self._read(data, middle), uint256)
        if found == wanted:
            return middle
        if found < wanted:
            low = unsafe_add(middle, 1)
        else:
            high = middle
    return NOWHERE


@internal
@view
def _read(data: address, index: uint256) -> address:
    place: uint256 = unsafe_add(READER_SIZE, unsafe_mul(20, index))
    return convert(convert(slice(data.code, place, 20), uint256), address)

# pragma version 0.4.3
"""
@title Mint events
@license MIT
@notice The `Transfer` from nobody that each member of a batch is owed: 1,875 gas each, the floor of a visible ERC-721
        mint. Everything around it is kept to a few dozen gas.
@dev Sixteen addresses of 20 bytes are ten words of 32, so the loops take sixteen members a turn from constant places:
     no subscript, no bounds check. Of sixteen some of whom are meant, the bits are tested by fours; where nobody is, none.
     An empty `Bytes` variable is cheaper to log than an empty literal, and `raw_log` cheaper than `log`. Rows are taken
     from what the call returned as they are: a variable for them would be a copy, 2 gas a member when all are meant.
"""

from . import members

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    token_id: indexed(uint256)

TRANSFER: constant(bytes32) = keccak256("Transfer(address,address,uint256)")
NOBODY: constant(bytes32) = empty(bytes32)
ADDRESS: constant(uint256) = 2**160 - 1
LOW_32: constant(uint256) = 2**32 - 1
LOW_64: constant(uint256) = 2**64 - 1
LOW_96: constant(uint256) = 2**96 - 1
LOW_128: constant(uint256) = 2**128 - 1


@internal
def announce_ascending(data: address, count: uint256, first_id: uint256) -> bool:
    """
    @notice One `Transfer` for each of the first `count` members, with consecutive ids; or False, and then the caller
            must revert, when the addresses are not strictly increasing from above zero.
    @param first_id Its low eleven bits are zero.
    """
    nothing: Bytes[1] = b""
    a: uint256 = 0
    b: uint256 = 0
    id: uint256 = first_id
    rest: uint256 = count
    for number: uint256 in range(5):
        if rest == 0:
            break
        for row: uint256[10] in staticcall members.Data(data).part(
            unsafe_add(members.READER_SIZE, unsafe_mul(number, members.PART_SIZE)), members.PART_SIZE, skip_contract_check=True
        ):
            if rest < 16:
                return self._announce_last(row, rest, id, b)
            a = row[0] >> 96
            if a <= b:
                return False
            raw_log([TRANSFER, NOBODY, convert(a, bytes32), convert(id, bytes32)], nothing)
            b = ((row[0] & LOW_96) << 64) | (row[1] >> 192)
            if b <= a:
                return False
            raw_log([TRANSFER, NOBODY, convert(b, bytes32), convert(id | 1, bytes32)], nothing)
            a = (row[1] >> 32) & ADDRESS
            if a <= b:
                return False
            raw_log([TRANSFER, NOBODY, convert(a, bytes32), convert(id | 2, bytes32)], nothing)
            b = ((row[1] & LOW_32) << 128) | (row[2] >> 128)
            if b <= a:
                return False
            raw_log([TRANSFER, NOBODY, convert(b, bytes32), convert(id | 3, bytes32)], nothing)
            a = ((row[2] & LOW_128) << 32) | (row[3] >> 224)
            if a <= b:
                return False
            raw_log([TRANSFER, NOBODY, convert(a, bytes32), convert(id | 4, bytes32)], nothing)
            b = (row[3] >> 64) & ADDRESS
            if b <= a:
                return False
            raw_log([TRANSFER, NOBODY, convert(b, bytes32), convert(id | 5, bytes32)], nothing)
            a = ((row[3] & LOW_64) << 96) | (row[4] >> 160)
            if a <= b:
                return False
            raw_log([TRANSFER, NOBODY, convert(a, bytes32), convert(id | 6, bytes32)], nothing)
            b = row[4] & ADDRESS
            if b <= a:
                return False
            raw_log([TRANSFER, NOBODY, convert(b, bytes32), convert(id | 7, bytes32)], nothing)
            a = row[5] >> 96
            if a <= b:
                return False
            raw_log([TRANSFER, NOBODY, convert(a, bytes32), convert(id | 8, bytes32)], nothing)
            b = ((row[5] & LOW_96) << 64) | (row[6] >> 192)
            if b <= a:
                return False
            raw_log([TRANSFER, NOBODY, convert(b, bytes32), convert(id | 9, bytes32)], nothing)
            a = (row[6] >> 32) & ADDRESS
            if a <= b:
                return False
            raw_log([TRANSFER, NOBODY, convert(a, bytes32), convert(id | 10, bytes32)], nothing)
            b = ((row[6] & LOW_32) << 128) | (row[7] >> 128)
            if b <= a:
                return False
            raw_log([TRANSFER, NOBODY, convert(b, bytes32), convert(id | 11, bytes32)], nothing)
            a = ((row[7] & LOW_128) << 32) | (row[8] >> 224)
            if a <= b:
                return False
            raw_log([TRANSFER, NOBODY, convert(a, bytes32), convert(id | 12, bytes32)], nothing)
            b = (row[8] >> 64) & ADDRESS
            if b <= a:
                return False
            raw_log([TRANSFER, NOBODY, convert(b, bytes32), convert(id | 13, bytes32)], nothing)
            a = ((row[8] & LOW_64) << 96) | (row[9] >> 160)
            if a <= b:
                return False
            raw_log([TRANSFER, NOBODY, convert(a, bytes32), convert(id | 14, bytes32)], nothing)
            b = row[9] & ADDRESS
            if b <= a:
                return False
            raw_log([TRANSFER, NOBODY, convert(b, bytes32), convert(id | 15, bytes32)], nothing)
            id = unsafe_add(id, 16)
            rest = unsafe_sub(rest, 16)
    return True


@internal
def _announce_last(row: uint256[10], count: uint256, first_id: uint256, before: uint256) -> bool:
    """
    @dev The members of a batch that fill no row of sixteen: 0 to 15, one a turn.
    """
    previous: uint256 = before
    for place: uint256 in range(count, bound=15):
        member: uint256 = members.in_row(row, place)
        if member <= previous:
            return False
        previous = member
        log Transfer(
            sender=empty(address), receiver=convert(member, address), token_id=unsafe_add(first_id, place)
        )
    return True


@internal
def announce_chosen(data: address, chosen: uint256[5], first_id: uint256):
    """
    @notice One `Transfer` for each member of the batch whose bit is set, lowest first.
    @param chosen Member i is bit i & 255 of word i >> 8. No bit may be set beyond the last member.
    @param first_id The id of member 0; its low eleven bits are zero.
    """
    nothing: Bytes[1] = b""
    part: uint256 = members.READER_SIZE
    part_id: uint256 = first_id
    for word: uint256 in chosen:
        if word != 0:
            bits: uint256 = word
            id: uint256 = part_id
            for row: uint256[10] in staticcall members.Data(data).part(part, members.PART_SIZE, skip_contract_check=True):
                others: uint256 = ~bits & 65535  # who is left out: to tell a zero bit costs less
                if others == 0:
                    raw_log([TRANSFER, NOBODY, convert(row[0] >> 96, bytes32), convert(id, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(((row[0] & LOW_96) << 64) | (row[1] >> 192), bytes32), convert(id | 1, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert((row[1] >> 32) & ADDRESS, bytes32), convert(id | 2, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(((row[1] & LOW_32) << 128) | (row[2] >> 128), bytes32), convert(id | 3, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(((row[2] & LOW_128) << 32) | (row[3] >> 224), bytes32), convert(id | 4, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert((row[3] >> 64) & ADDRESS, bytes32), convert(id | 5, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(((row[3] & LOW_64) << 96) | (row[4] >> 160), bytes32), convert(id | 6, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(row[4] & ADDRESS, bytes32), convert(id | 7, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(row[5] >> 96, bytes32), convert(id | 8, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(((row[5] & LOW_96) << 64) | (row[6] >> 192), bytes32), convert(id | 9, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert((row[6] >> 32) & ADDRESS, bytes32), convert(id | 10, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(((row[6] & LOW_32) << 128) | (row[7] >> 128), bytes32), convert(id | 11, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(((row[7] & LOW_128) << 32) | (row[8] >> 224), bytes32), convert(id | 12, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert((row[8] >> 64) & ADDRESS, bytes32), convert(id | 13, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(((row[8] & LOW_64) << 96) | (row[9] >> 160), bytes32), convert(id | 14, bytes32)], nothing)
                    raw_log([TRANSFER, NOBODY, convert(row[9] & ADDRESS, bytes32), convert(id | 15, bytes32)], nothing)
                elif others != 65535:
                    if others & 15 != 15:
                        if others & 1 == 0:
                            raw_log([TRANSFER, NOBODY, convert(row[0] >> 96, bytes32), convert(id, bytes32)], nothing)
                        if others & 2 == 0:
                            raw_log([TRANSFER, NOBODY, convert(((row[0] & LOW_96) << 64) | (row[1] >> 192), bytes32), convert(id | 1, bytes32)], nothing)
                        if others & 4 == 0:
                            raw_log([TRANSFER, NOBODY, convert((row[1] >> 32) & ADDRESS, bytes32), convert(id | 2, bytes32)], nothing)
                        if others & 8 == 0:
                            raw_log([TRANSFER, NOBODY, convert(((row[1] & LOW_32) << 128) | (row[2] >> 128), bytes32), convert(id | 3, bytes32)], nothing)
                    if others & 240 != 240:
                        if others & 16 == 0:
                            raw_log([TRANSFER, NOBODY, convert(((row[2] & LOW_128) << 32) | (row[3] >> 224), bytes32), convert(id | 4, bytes32)], nothing)
                        if others & 32 == 0:
                            raw_log([TRANSFER, NOBODY, convert((row[3] >> 64) & ADDRESS, bytes32), convert(id | 5, bytes32)], nothing)
                        if others & 64 == 0:
                            raw_log([TRANSFER, NOBODY, convert(((row[3] & LOW_64) << 96) | (row[4] >> 160), bytes32), convert(id | 6, bytes32)], nothing)
                        if others & 128 == 0:
                            raw_log([TRANSFER, NOBODY, convert(row[4] & ADDRESS, bytes32), convert(id | 7, bytes32)], nothing)
                    if others & 3840 != 3840:
                        if others & 256 == 0:
                            raw_log([TRANSFER, NOBODY, convert(row[5] >> 96, bytes32), convert(id | 8, bytes32)], nothing)
                        if others & 512 == 0:
                            raw_log([TRANSFER, NOBODY, convert(((row[5] & LOW_96) << 64) | (row[6] >> 192), bytes32), convert(id | 9, bytes32)], nothing)
                        if others & 1024 == 0:
                            raw_log([TRANSFER, NOBODY, convert((row[6] >> 32) & ADDRESS, bytes32), convert(id | 10, bytes32)], nothing)
                        if others & 2048 == 0:
                            raw_log([TRANSFER, NOBODY, convert(((row[6] & LOW_32) << 128) | (row[7] >> 128), bytes32), convert(id | 11, bytes32)], nothing)
                    if others & 61440 != 61440:
                        if others & 4096 == 0:
                            raw_log([TRANSFER, NOBODY, convert(((row[7] & LOW_128) << 32) | (row[8] >> 224), bytes32), convert(id | 12, bytes32)], nothing)
                        if others & 8192 == 0:
                            raw_log([TRANSFER, NOBODY, convert((row[8] >> 64) & ADDRESS, bytes32), convert(id | 13, bytes32)], nothing)
                        if others & 16384 == 0:
                            raw_log([TRANSFER, NOBODY, convert(((row[8] & LOW_64) << 96) | (row[9] >> 160), bytes32), convert(id | 14, bytes32)], nothing)
                        if others & 32768 == 0:
                            raw_log([TRANSFER, NOBODY, convert(row[9] & ADDRESS, bytes32), convert(id | 15, bytes32)], nothing)
                elif bits == 0:
                    break
                bits = bits >> 16
                id = unsafe_add(id, 16)
        part = unsafe_add(part, members.PART_SIZE)
        part_id = unsafe_add(part_id, members.PART_MEMBERS)

# pragma version 0.4.3
"""
@title Record of drops
@license MIT
@notice Which members were dropped to in which round: a mark for a whole batch, bits for a batch in part, and once only.
@dev One directory slot holds (round, fifteen batches): 16 bits a batch and, on top, the CREATE number of the one data
     contract that the batches dropped in part share. The 16 bits of a batch:
         0       nothing was dropped
         0xffff  every member has the token
         else    where its 160 bytes of bits begin in the data contract
     The data contract is STOP and then five words a batch, member i in bit i & 255 of word i >> 8. Bits in code cost 25
     gas each, in storage 86. The drops are the only CREATEs of the contract, so the numbers count its data contracts.
"""

from . import creation

GROUP: constant(uint256) = 15
WHOLE: constant(uint256) = 65535
MAX_BATCHES: constant(uint256) = 64
MAX_DATA: constant(uint256) = 65535  # a data contract's number has two bytes in the directory

_directory: HashMap[uint256, uint256]


@internal
def mark_whole(round: uint256, batch: uint256):
    """
    @notice Every member of the batch was dropped to in this round.
    """
    slot: uint256 = self._slot(round, batch)
    self._directory[slot] = self._unmarked(slot, batch) | (WHOLE << self._shift(batch))


@internal
def mark_part(round: uint256, batch: uint256, place: uint256, nonce: uint256):
    """
    @notice The batch's bits are those at `place` (0 is the first) of data contract `nonce`.
    """
    slot: uint256 = self._slot(round, batch)
    entries: uint256 = self._unmarked(slot, batch)
    other: uint256 = entries >> 240
    assert other == 0 or other == nonce, "asset: group has another data contract"
    offset: uint256 = unsafe_add(1, unsafe_mul(160, place))
    self._directory[slot] = entries | (offset << self._shift(batch)) | (nonce << 240)


@internal
def store(bits: DynArray[uint256[5], MAX_BATCHES]):
    """
    @notice Creates the data contract of these bits.
    @dev PUSH1 75 CODESIZE SUB DUP1 PUSH1 76 PUSH1 1 CODECOPY PUSH0 RETURN, then offset and length of the encoded list
         (skipped), then the bits. What is returned begins one byte earlier: STOP, so the data is never run.
    """
    data: address = raw_create(x"604b380380604c6001395ff3", bits)


@internal
@view
def includes(round: uint256, batch: uint256, index: uint256) -> bool:
    """
    @notice Whether this member was dropped to in this round. The batch must have a member at `index`.
    """
    if round >> 64 != 0:
        return False
    entries: uint256 = self._directory[self._slot(round, batch)]
    entry: uint256 = (entries >> self._shift(batch)) & WHOLE
    if entry == 0 or entry == WHOLE:
        return entry == WHOLE
    data: address = creation.address_of(self, entries >> 240)
    word: uint256 = convert(slice(data.code, unsafe_add(entry, (index >> 8) << 5), 32), uint256)
    return (word >> (index & 255)) & 1 != 0


@internal
@pure
def _slot(round: uint256, batch: uint256) -> uint256:
    return (round << 13) | unsafe_div(batch, GROUP)


@internal
@pure
def _shift(batch: uint256) -> uint256:
    return unsafe_mul(16, batch % GROUP)


@internal
@view
def _unmarked(slot: uint256, batch: uint256) -> uint256:
    entries: uint256 = self._directory[slot]
    assert (entries >> self._shift(batch)) & WHOLE == 0, "asset: already dropped"
    return entries

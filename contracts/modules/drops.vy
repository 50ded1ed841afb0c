# pragma version 0.4.3
"""
@title Record of drops
@license MIT
@notice Which members were dropped to in which round, each of them once only.
@dev A batch is kept as what costs least. One directory slot holds (round, fifteen batches): 16 bits a batch and, on
     top, the CREATE number of the one data contract that the batches of the slot share. The 16 bits of a batch:
         0            nothing in the directory
         0xffff       every member has the token
         below 2**15  where its five words of bits begin in the data contract, member i in bit i & 255 of word i >> 8
         from 2**15   the same less 2**15, of a list: one byte of count, then 2 bytes a member, strictly increasing
     The data contract is STOP and then bits or lists. Bits in code cost 25 gas each, in storage 86; below one member in
     fourteen a list costs less than bits. Five storage words a (round, batch) keep what comes later, or is too little
     for a data contract. Whoever adds to a batch proves against all of these that nobody is dropped to twice.
"""

from . import creation
from . import errors
from . import places

GROUP: constant(uint256) = 15
WHOLE: constant(uint256) = 65535
LIST: constant(uint256) = 32768
MAX_BATCHES: constant(uint256) = 30  # of one call by bits: two slots' worth; room for more would cost every drop memory
MAX_LISTS: constant(uint256) = 11200  # bytes of one call: more members than the gas of a transaction is enough for
MAX_LISTED: constant(uint256) = 512  # batches of one call
LIST_LIMIT: constant(uint256) = 255  # members of one list
MAX_DATA: constant(uint256) = 65535  # a data contract's number has two bytes in the directory
LANES: constant(uint256) = 16  # places of 2 bytes in a word

_directory: HashMap[uint256, uint256]
_words: HashMap[uint256, uint256]
_rounds_with_words: HashMap[uint256, uint256]  # a bit a round, so that other rounds need not look for words


flag Kept:
    WHOLE
    DATA
    WORDS


@internal
def keep(
    round: uint256, batch: uint256, chosen: uint256[5], is_whole: bool, place: uint256, nonce: uint256, words_used: bool
) -> Kept:
    """
    @notice These members of the batch were dropped to in this round; reverts if one of them was before.
    @param is_whole Whether they are all the members.
    @param place Where the bits go in the data contract `nonce`, if that is how they are kept; 0 is the first.
    @param nonce The data contract that the caller makes, or 0 to keep bits in storage.
    @param words_used Whether any storage word of the round may be set.
    """
    slot: uint256 = self.slot_of(round, batch)
    entries: uint256 = self._directory[slot]
    entry_at: uint256 = unsafe_mul(16, batch % GROUP)
    entry: uint256 = (entries >> entry_at) & WHOLE
    other: uint256 = entries >> 240
    if entry != 0:
        if not self._is_new(other, entry, chosen):
            self._refuse_again()
    if words_used:
        self.check_words(round, batch, chosen)
    if entry == 0:
        if is_whole:
            self._directory[slot] = entries | (WHOLE << entry_at)
            return Kept.WHOLE
        if nonce != 0 and (other == 0 or other == nonce):
            offset: uint256 = unsafe_add(1, unsafe_mul(160, place))
            self._directory[slot] = entries | (offset << entry_at) | (nonce << 240)
            return Kept.DATA
    key: uint256 = self._key(round, batch)
    for word: uint256 in chosen:
        if word != 0:
            self._words[key] |= word
        key = unsafe_add(key, 1)
    return Kept.WORDS


@internal
@pure
def _refuse_again():
    errors.refuse("asset: already dropped")


@internal
@view
def has_words(round: uint256) -> bool:
    """
    @notice Whether any member of the round is kept in a storage word.
    """
    return (self._rounds_with_words[round >> 8] >> (round & 255)) & 1 != 0


@internal
def mark_words(round: uint256):
    self._rounds_with_words[round >> 8] |= 1 << (round & 255)


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
def entries_for_lists(slot: uint256, nonce: uint256) -> uint256:
    """
    @notice The directory slot, made to point to the data contract `nonce`; reverts if it points to another one.
    """
    entries: uint256 = self._directory[slot]
    if entries >> 240 != 0:
        errors.refuse("asset: group has data")
    return entries | (nonce << 240)


@internal
@pure
def with_list(entries: uint256, batch: uint256, place: uint256) -> uint256:
    """
    @notice The directory slot with the list of this batch, which begins at `place` of the data contract.
    """
    entry_at: uint256 = unsafe_mul(16, batch % GROUP)
    if (entries >> entry_at) & WHOLE != 0:
        self._refuse_again()
    return entries | ((LIST | place) << entry_at)


@internal
def set_entries(slot: uint256, entries: uint256):
    self._directory[slot] = entries


@internal
@view
def includes(round: uint256, batch: uint256, index: uint256) -> bool:
    """
    @notice Whether this member was dropped to in this round; of a whole batch, that of any place.
    @param round Below 2 ** 96.
    @param index Below 1,228.
    @dev `slot_of` is written out: calling it costs every reader of an owner 50 gas.
    """
    entries: uint256 = self._directory[(round << 13) | unsafe_div(batch, GROUP)]
    entry: uint256 = (entries >> unsafe_mul(16, batch % GROUP)) & WHOLE
    if entry == WHOLE:
        return True
    if entry != 0 and self._data_includes(creation.address_of(self, entries >> 240), entry, index):
        return True
    return self._word_includes(round, batch, index)


@internal
@view
def _word_includes(round: uint256, batch: uint256, index: uint256) -> bool:
    return (self._words[unsafe_add(self._key(round, batch), index >> 8)] >> (index & 255)) & 1 != 0


@internal
@view
def _data_includes(data: address, entry: uint256, index: uint256) -> bool:
    if entry < LIST:
        word: uint256 = convert(slice(data.code, unsafe_add(entry, (index >> 8) << 5), 32), uint256)
        return (word >> (index & 255)) & 1 != 0
    return self._is_listed(data, unsafe_sub(entry, LIST), index)


@internal
@view
def _is_listed(data: address, place: uint256, index: uint256) -> bool:
    """
    @dev Halves the list until sixteen places are left, which are one word, and compares them at once: a lane of `differ`
         is zero where the place is the one looked for, and only then does subtracting one from each lane set a high bit.
    """
    low: uint256 = 0
    high: uint256 = convert(slice(data.code, place, 1), uint256)
    for _: uint256 in range(4):
        if unsafe_sub(high, low) <= LANES:
            break
        middle: uint256 = unsafe_add(low, high) >> 1
        if self._listed(data, place, middle) > index:
            high = middle
        else:
            low = middle
    start: uint256 = unsafe_add(unsafe_add(place, 1), unsafe_mul(2, low))
    word: uint256 = convert(slice(data.code, start, 32), uint256)
    others: uint256 = max_value(uint256) >> unsafe_mul(16, unsafe_sub(high, low))  # lanes behind the list
    differ: uint256 = (word ^ unsafe_mul(index, places.ONES)) | others
    return unsafe_sub(differ, places.ONES) & ~differ & places.HIGHS != 0


@internal
@view
def _is_new(nonce: uint256, entry: uint256, chosen: uint256[5]) -> bool:
    """
    @dev Whether none is chosen whom the directory has. Bits that are not in the data contract are those the caller is
         about to make: the batch is named twice in one call.
    """
    data: address = creation.address_of(self, nonce)
    if entry == WHOLE:
        return False
    if entry < LIST:
        if data.codesize < unsafe_add(entry, 160):
            return False
        place: uint256 = entry
        for word: uint256 in chosen:
            if word & convert(slice(data.code, place, 32), uint256) != 0:
                return False
            place = unsafe_add(place, 32)
        return True
    place: uint256 = unsafe_sub(entry, LIST)
    for number: uint256 in range(convert(slice(data.code, place, 1), uint256), bound=LIST_LIMIT):
        index: uint256 = self._listed(data, place, number)
        if (chosen[index >> 8] >> (index & 255)) & 1 != 0:
            return False
    return True


@internal
@view
def check_words(round: uint256, batch: uint256, chosen: uint256[5]):
    """
    @notice Reverts if a storage word says that one of these members was dropped to.
    """
    key: uint256 = self._key(round, batch)
    for word: uint256 in chosen:
        if word != 0:
            if word & self._words[key] != 0:
                self._refuse_again()
        key = unsafe_add(key, 1)


@internal
@view
def _listed(data: address, place: uint256, number: uint256) -> uint256:
    return convert(slice(data.code, unsafe_add(unsafe_add(place, 1), unsafe_mul(2, number)), 2), uint256)


@internal
@pure
def slot_of(round: uint256, batch: uint256) -> uint256:
    """
    @notice Which directory slot holds the batch.
    """
    return (round << 13) | unsafe_div(batch, GROUP)


@internal
@pure
def _key(round: uint256, batch: uint256) -> uint256:
    return (round << 19) | (batch << 3)

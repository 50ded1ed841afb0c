# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague
"""
@title DigitalAsset
@license MIT
@notice A collectible dropped to members: ERC-165, ERC-721 with metadata, ERC-2981, ERC-4906, ERC-7572, and ERC-5192 when
        the edition is soulbound.
@dev This is the implementation; assets are clones made by AssetFactory with their arguments behind the proxy code
     (modules/arguments.vy). A drop names pass batches and sends one bit, or two bytes, a member; the addresses are read
     from the pass contract's data, and nothing is written a recipient: about 2,000 gas, of which 1,875 are the `Transfer`.
         token id = round << 32 | pass id                       dropped to members
                    1 << 128 | nonce << 16 | index              minted to addresses without a pass in a batch
     A member is dropped to once a round (modules/drops.vy), and a data contract has one number, so whatever is sent twice,
     nobody has the same token twice. A pass that moved or ended is not dropped to: its place in the registry's data still
     holds the first holder.
     Minting never calls a recipient, so no recipient can hold up a batch.
     `balanceOf` is exact and searches every batch and round: right for calls from outside, too dear in a transaction.
"""

from .interfaces import IERC721Receiver
from .modules import arguments
from .modules import creation
from .modules import drops
from .modules import errors
from .modules import members
from .modules import metadata
from .modules import mints
from .modules import permits
from .modules import places
from .modules import roles

initializes: arguments
initializes: drops
initializes: metadata
initializes: roles
exports: roles.pending_owner

event Approval:
    owner: indexed(address)
    approved: indexed(address)
    token_id: indexed(uint256)

event ApprovalForAll:
    owner: indexed(address)
    operator: indexed(address)
    approved: bool

event MaxSupplyLowered:
    max_supply: uint256

event RoyaltySet:
    receiver: indexed(address)
    basis_points: uint256

interface Registry:
    def changed_batches(word: uint256) -> uint256: view
    def changed_members(batch: uint256) -> uint256[5]: view

ADDRESS: constant(uint256) = 2**160 - 1
LOW_47: constant(uint256) = 2**47 - 1
LOW_64: constant(uint256) = 2**64 - 1
APPROVED: constant(uint256) = 2**255
BURNED: constant(uint256) = 2**254
BOUND: constant(uint256) = 2**253
TIMES: constant(uint256) = 2**253 - 2**160
DECIDED: constant(uint256) = 2**255
OUTSIDE: constant(uint256) = 2**128  # the first id minted to addresses outside the registry
WORDS_USED: constant(uint256) = 2**239
ONE_DATA: constant(uint256) = 2**240
ONE_ROUND: constant(uint256) = 2**192
ONE_BURNED: constant(uint256) = 2**64
MAX_ROYALTY: constant(uint256) = 1000  # basis points
EVERY_2: constant(uint256) = max_value(uint256) // 3  # 0x5555...: every lower bit of two
EVERY_4: constant(uint256) = max_value(uint256) // 5  # 0x3333...: the lower two of four
EVERY_8: constant(uint256) = max_value(uint256) // 17  # 0x0f0f...: the lower four of eight
ONES_8: constant(uint256) = max_value(uint256) // 255  # 0x0101...: the lowest of eight
MAX_ROUNDS: constant(uint256) = 2**47

isApprovedForAll: public(HashMap[address, HashMap[address, bool]])
# One slot, because a drop changes most of it and its limits are in it, too:
# data contracts << 240 | a round has words of bits << 239 | rounds << 192 | lowered maximum << 128 | burned << 64 | minted
_counts: uint256
# an approval exists << 255 | burned << 254 | soulbound << 253 | times moved << 160 | owner, if it moved
_moved: HashMap[uint256, uint256]
_held: HashMap[address, uint256]  # tokens the account has by transfer
_approved: HashMap[uint256, address]  # means something only while the approval flag is set
_royalty: uint256  # decided << 255 | basis points << 160 | receiver; empty for what was deployed


@deploy
def __init__():
    """
    @notice Makes the implementation, which refuses everything itself (modules/arguments.vy).
    """
    arguments.__init__()


# ----------------------------------------------------------------------------------------------------------------- drops


@external
def drop(
    round: uint256,
    batches: DynArray[uint256, drops.MAX_BATCHES],
    bits: DynArray[uint256[5], drops.MAX_BATCHES],
    nonce: uint256,
):
    """
    @notice Every member whose bit is set has the token of this round; reverts if one of them has it already.
    @param round A round that exists, or the next one: as many as there are.
    @param batches Pass batches. Those dropped to in part for the first time share a data contract with others of the same
                   fifteen (batch / 15), so a group of fifteen belongs in one call; what comes later is kept in storage.
    @param bits Five words a batch: member i is bit i & 255 of word i >> 8. At least one bit, none beyond the batch.
    @param nonce The number of the data contract that this drop makes (`next_nonce`), or 0 to keep bits in storage, which
                 costs less for one or two members. Looked at only if a batch is dropped in part.
    """
    terms: uint256 = self._minting_terms()
    if len(batches) != len(bits) or len(batches) == 0:
        self._refuse_lengths()
    registry: address = arguments.registry_in(terms)
    counts: uint256 = self._counts
    had_words: bool = counts & WORDS_USED != 0 and drops.has_words(round)
    words_used: bool = had_words
    minted: uint256 = 0
    kept: DynArray[uint256[5], drops.MAX_BATCHES] = []
    looked_at: uint256 = max_value(uint256)
    changed: uint256 = 0
    for place: uint256 in range(len(batches), bound=drops.MAX_BATCHES):
        batch: uint256 = batches[place]
        data: address = creation.address_of(registry, unsafe_add(batch, 1))
        size: uint256 = self._size_of(batch, data)
        chosen: uint256[5] = bits[place]
        if batch >> 8 != looked_at:
            looked_at = batch >> 8
            changed = self._changed_batches(registry, looked_at)
        if (changed >> (batch & 255)) & 1 != 0:
            self._check_unchanged(registry, batch, chosen)
        is_whole: bool = self._is_whole(chosen, size)
        how: drops.Kept = drops.keep(round, batch, chosen, is_whole, len(kept), nonce, words_used)
        if how == drops.Kept.DATA:
            kept.append(chosen)
        elif how == drops.Kept.WORDS:
            words_used = True
        minted = unsafe_add(minted, size if is_whole else self._count(chosen))
        mints.announce_chosen(data, chosen, (round << 32) | (batch << 16))
    if len(kept) != 0:
        counts = self._take_nonce(counts, nonce)
        drops.store(kept)
    if words_used and not had_words:
        drops.mark_words(round)
        counts = counts | WORDS_USED
    self._counts = self._with_minted(terms, self._with_round(counts, round), minted)


@external
def drop_lists(round: uint256, heads: Bytes[2 * drops.MAX_LISTED], lists: Bytes[drops.MAX_LISTS], nonce: uint256):
    """
    @notice As `drop`, for a few members of each of many batches: below one in fourteen, lists cost less than bits.
    @param heads The batches, 2 bytes each, none of them dropped to in this round before. Batches of the same fifteen
                 (batch / 15) stand together, and all of them in one call.
    @param lists For each batch one byte of count, then the places of its members, 2 bytes each, strictly increasing.
    @param nonce The number of the data contract that this drop makes (`next_nonce`).
    """
    terms: uint256 = self._minting_terms()
    if len(heads) == 0 or len(heads) % 2 != 0:
        self._refuse_lengths()
    registry: address = arguments.registry_in(terms)
    counts: uint256 = self._take_nonce(self._counts, nonce)
    words_used: bool = counts & WORDS_USED != 0 and drops.has_words(round)
    # 31 zeros behind the last list: readers take a word
    code: Bytes[drops.MAX_LISTS + 43] = concat(places.CREATION, lists, empty(bytes31))
    at: uint256 = unsafe_add(places.CREATION_SIZE, 1)
    end: uint256 = unsafe_add(at, len(lists))
    group: uint256 = max_value(uint256)
    slot: uint256 = 0
    entries: uint256 = 0
    looked_at: uint256 = max_value(uint256)
    changed: uint256 = 0
    checked: uint256 = 0  # `changed`, or every batch when storage words may be set
    for number: uint256 in range(unsafe_div(len(heads), 2), bound=drops.MAX_LISTED):
        batch: uint256 = convert(slice(heads, unsafe_mul(2, number), 2), uint256)
        if unsafe_div(batch, drops.GROUP) != group:
            if group != max_value(uint256):
                drops.set_entries(slot, entries)
            group = unsafe_div(batch, drops.GROUP)
            slot = drops.slot_of(round, batch)
            entries = drops.entries_for_lists(slot, nonce)
        entries = drops.with_list(entries, batch, unsafe_sub(at, places.CREATION_SIZE))
        if batch >> 8 != looked_at:
            looked_at = batch >> 8
            changed = self._changed_batches(registry, looked_at)
            checked = max_value(uint256) if words_used else changed
        is_checked: bool = (checked >> (batch & 255)) & 1 != 0
        chosen: uint256[5] = empty(uint256[5])
        data: address = creation.address_of(registry, unsafe_add(batch, 1))
        size: uint256 = self._size_of(batch, data)
        if at >= end:
            self._refuse_lengths()
        word: uint256 = convert(extract32(code, at), uint256)
        rest: uint256 = word >> 248
        behind: uint256 = unsafe_add(unsafe_add(at, 1), unsafe_mul(2, rest))
        if behind > end:
            self._refuse_lengths()
        if rest == 0:
            errors.refuse("asset: not ascending")
        least: uint256 = 0
        for _: uint256 in range(places.MAX_WORDS):
            lanes: uint256 = word << 8
            count: uint256 = rest
            if rest > places.PLACES:
                count = places.PLACES
            if is_checked:
                chosen = places.with_places(chosen, lanes, count)
            least = places.announce(data, lanes, count, least, (round << 32) | (batch << 16))
            rest = unsafe_sub(rest, count)
            if rest == 0:
                break
            at = unsafe_add(at, 2 * places.PLACES)
            word = convert(extract32(code, at), uint256)
        if least > size:
            errors.refuse("asset: beyond the batch")
        if is_checked:
            if (changed >> (batch & 255)) & 1 != 0:
                self._check_unchanged(registry, batch, chosen)
            if words_used:
                drops.check_words(round, batch, chosen)
        at = behind
    if at != end:
        self._refuse_lengths()
    drops.set_entries(slot, entries)
    data: address = raw_create(code)
    # all of them were read: a byte a batch and two a member
    minted: uint256 = unsafe_div(unsafe_sub(len(lists), unsafe_div(len(heads), 2)), 2)
    self._counts = self._with_minted(terms, self._with_round(counts, round), minted)


@external
def mint(nonce: uint256, packed: Bytes[members.MAX_PACKED]):
    """
    @notice Each of these addresses has a token, whether it is a member or not.
    @param nonce The number of the data contract that this makes (`next_nonce`), so a repeated call mints nothing.
    @param packed 1 to 1,228 addresses of 20 bytes in strictly increasing order.
    """
    terms: uint256 = self._minting_terms()
    if len(packed) == 0 or len(packed) % 20 != 0:
        self._refuse_lengths()
    count: uint256 = unsafe_div(len(packed), 20)
    counts: uint256 = self._take_nonce(self._counts, nonce)
    self._counts = self._with_minted(terms, counts, count)
    code: Bytes[members.MAX_PACKED + 23] = concat(
        members.PUSH2, members.size_of(count), members.CREATION, members.READER, packed
    )
    data: address = raw_create(code)
    nothing: Bytes[1] = b""
    first_id: uint256 = OUTSIDE | (nonce << 16)
    previous: uint256 = 0
    at: uint256 = members.CREATION_SIZE + members.READER_SIZE - 12  # the word that ends with the first member
    for number: uint256 in range(count, bound=members.MAX_BATCH):
        member: uint256 = convert(extract32(code, at), uint256) & ADDRESS
        at = unsafe_add(at, 20)
        if member <= previous:
            errors.refuse("asset: not ascending")
        previous = member
        raw_log([mints.TRANSFER, mints.NOBODY, convert(member, bytes32), convert(first_id | number, bytes32)], nothing)


@internal
@view
def _minting_terms() -> uint256:
    if not roles.is_minter(arguments.minter(), msg.sender):
        errors.refuse("asset: not a minter")
    return arguments.terms()


@internal
@pure
def _refuse_lengths():
    errors.refuse("asset: lengths")


@internal
@view
def _size_of(batch: uint256, data: address) -> uint256:
    """
    @dev Members of a pass batch, which must be there.
    """
    size: uint256 = unsafe_div(data.codesize, 20)  # `members.count` written out: 40 gas a batch
    if batch >= members.MAX_BATCHES or size == 0:
        errors.refuse("asset: no such batch")
    return size


@internal
@pure
def _take_nonce(counts: uint256, nonce: uint256) -> uint256:
    """
    @dev A data contract is about to be made, and the caller named its number.
    """
    if nonce != unsafe_add(1, counts >> 240):
        errors.refuse("asset: wrong nonce")
    if nonce > drops.MAX_DATA:
        errors.refuse("asset: no nonce left")
    return unsafe_add(counts, ONE_DATA)


@internal
@pure
def _with_round(counts: uint256, round: uint256) -> uint256:
    rounds: uint256 = (counts >> 192) & LOW_47
    if round > rounds:
        errors.refuse("asset: round skipped")
    return unsafe_add(counts, ONE_ROUND) if round == rounds else counts


@internal
@view
def _with_minted(terms: uint256, counts: uint256, minted: uint256) -> uint256:
    later: uint256 = unsafe_add(counts, minted)
    most: uint256 = self._max_supply_in(terms, counts)
    if most != 0 and later & LOW_64 > most:
        errors.refuse("asset: above the maximum supply")
    return later


@internal
@view
def _max_supply_in(terms: uint256, counts: uint256) -> uint256:
    lowered: uint256 = (counts >> 128) & LOW_64
    return arguments.max_supply_in(terms) if lowered == 0 else lowered


@internal
@view
def _changed_batches(registry: address, word: uint256) -> uint256:
    return staticcall Registry(registry).changed_batches(word)


@internal
@view
def _check_unchanged(registry: address, batch: uint256, chosen: uint256[5]):
    changed: uint256[5] = staticcall Registry(registry).changed_members(batch)
    for word: uint256 in range(5):
        if chosen[word] & changed[word] != 0:
            errors.refuse("asset: pass changed")


@internal
@pure
def _is_whole(chosen: uint256[5], size: uint256) -> bool:
    """
    @dev Whether every member is chosen. Refuses bits beyond the last: there is no address behind them.
    """
    whole: bool = True
    rest: uint256 = size
    for word: uint256 in chosen:
        here: uint256 = min(rest, 256)
        everybody: uint256 = max_value(uint256) >> unsafe_sub(256, here)
        if word & ~everybody != 0:
            errors.refuse("asset: beyond the batch")
        if word != everybody:
            whole = False
        rest = unsafe_sub(rest, here)
    return whole


@internal
@pure
def _count(chosen: uint256[5]) -> uint256:
    """
    @dev How many bits are set: sums of neighbours of 1, 2 and 4 bits, then of all bytes by one multiplication, which
         holds 255 at most. Refuses none.
    """
    total: uint256 = 0
    for word: uint256 in chosen:
        if word == max_value(uint256):
            total = unsafe_add(total, 256)
            continue
        x: uint256 = unsafe_sub(word, (word >> 1) & EVERY_2)
        x = unsafe_add(x & EVERY_4, (x >> 2) & EVERY_4)
        x = unsafe_add(x, x >> 4) & EVERY_8
        total = unsafe_add(total, unsafe_mul(x, ONES_8) >> 248)
    if total == 0:
        errors.refuse("asset: no bits")
    return total


@external
@view
def claimed(round: uint256, pass_id: uint256) -> bool:
    """
    @notice Whether this pass was dropped to in this round, wherever the token is now.
    """
    if round >> 96 != 0 or pass_id >> 32 != 0:
        return False
    data: address = members.data_of(arguments.registry_in(arguments.terms()), pass_id >> 16)
    index: uint256 = pass_id & 65535
    return index < members.count(data) and drops.includes(round, pass_id >> 16, index)


@external
@view
def rounds() -> uint256:
    """
    @notice How many rounds there are; also the number of the next one.
    """
    return (self._counts >> 192) & LOW_47


@external
@view
def next_nonce() -> uint256:
    """
    @notice The number of the data contract that is made next.
    """
    return unsafe_add(1, self._counts >> 240)


@external
@view
def totalSupply() -> uint256:
    """
    @notice Tokens minted and not burned.
    """
    counts: uint256 = self._counts
    return unsafe_sub(counts & LOW_64, (counts >> 64) & LOW_64)


@external
@view
def max_supply() -> uint256:
    """
    @notice The most tokens that may ever be minted; zero for no limit. Burned tokens make no room.
    """
    return self._max_supply_in(arguments.terms(), self._counts)


@external
def lower_max_supply(max_supply: uint64):
    """
    @notice The owner promises fewer tokens: at least as many as were minted, and one.
    """
    roles.check_owner(arguments.owner())
    counts: uint256 = self._counts
    before: uint256 = self._max_supply_in(arguments.terms(), counts)
    later: uint256 = convert(max_supply, uint256)
    if later == 0 or (before != 0 and later >= before) or counts & LOW_64 > later:
        errors.refuse("asset: not lower, or more minted")
    self._counts = (counts & ~(LOW_64 << 128)) | (later << 128)
    log MaxSupplyLowered(max_supply=later)


@external
@view
def registry() -> address:
    """
    @notice The pass contract whose members this asset is dropped to.
    """
    return arguments.registry_in(arguments.terms())


# ---------------------------------------------------------------------------------------------------------------- owners


@external
@view
def ownerOf(token_id: uint256) -> address:
    """
    @notice Who has the token; reverts for an id that was not minted, or ended.
    """
    return self._owner_in(arguments.read(arguments.TERMS), self._moved[token_id], token_id)


@external
@view
def balanceOf(owner: address) -> uint256:
    """
    @notice Tokens the account has: those it was given by transfer, and those dropped to its passes and never moved.
            Searches every batch and round: not for use inside transactions.
    """
    if owner == empty(address):
        errors.refuse("asset: zero address")
    balance: uint256 = self._held[owner]
    registry: address = arguments.registry_in(arguments.terms())
    for batch: uint256 in range(members.MAX_BATCHES):
        data: address = members.data_of(registry, batch)
        if members.count(data) == 0:
            break
        index: uint256 = members.index_of(data, owner)
        if index != members.NOWHERE:
            balance = unsafe_add(balance, self._unmoved(batch, index))
    for before: uint256 in range(self._counts >> 240, bound=drops.MAX_DATA):
        nonce: uint256 = unsafe_add(before, 1)
        data: address = self._minted_data(nonce)
        if data != empty(address):
            index: uint256 = members.index_of(data, owner)
            if index != members.NOWHERE and self._is_unmoved(OUTSIDE | (nonce << 16) | index):
                balance = unsafe_add(balance, 1)
    return balance


@internal
@view
def _unmoved(batch: uint256, index: uint256) -> uint256:
    """
    @dev Rounds dropped to this member whose tokens never moved.
    """
    unmoved: uint256 = 0
    for round: uint256 in range((self._counts >> 192) & LOW_47, bound=MAX_ROUNDS):
        token_id: uint256 = (round << 32) | (batch << 16) | index
        if self._is_unmoved(token_id) and drops.includes(round, batch, index):
            unmoved = unsafe_add(unmoved, 1)
    return unmoved


@internal
@view
def _is_unmoved(token_id: uint256) -> bool:
    """
    @dev An approval alone leaves a record, too.
    """
    return self._moved[token_id] & (ADDRESS | BURNED) == 0


@internal
@view
def _minted_data(nonce: uint256) -> address:
    """
    @dev The data contract of this number if it holds addresses, which begin with the reader, and the zero address if it
         holds bits or lists, which begin with STOP, or is not there.
    """
    data: address = members.data_of(self, unsafe_sub(nonce, 1))
    if members.count(data) == 0 or slice(data.code, 0, 1) == x"00":
        return empty(address)
    return data


@internal
@view
def _owner_of(token_id: uint256) -> address:
    return self._owner_in(arguments.terms(), self._moved[token_id], token_id)


@internal
@view
def _owner_in(terms: uint256, record: uint256, token_id: uint256) -> address:
    """
    @dev Whoever it moved to, or else whom it was minted to, whatever became of a pass since.
    """
    owner: uint256 = record & ADDRESS
    if record & (ADDRESS | BURNED) == 0:
        number: uint256 = (token_id >> 16) & 65535
        index: uint256 = token_id & 65535
        if token_id >> 128 == 0:
            is_place: bool = number < members.MAX_BATCHES and index < members.MAX_BATCH
            if is_place and drops.includes(token_id >> 32, number, index):
                data: address = creation.address_of(convert(terms >> 96, address), unsafe_add(number, 1))
                owner = members.word_at(data, index)
        elif token_id >> 32 == OUTSIDE >> 32:
            owner = convert(members.member_at(self._minted_data(number), index), uint256)
    if owner == 0:
        errors.refuse("asset: no such token")
    return convert(owner, address)


# ------------------------------------------------------------------------------------------------------------- transfers


@external
def transferFrom(sender: address, receiver: address, token_id: uint256):
    """
    @notice The receiver has the token and its approval is gone. The receiver is not asked.
    """
    self._transfer(sender, receiver, token_id)


@external
def safeTransferFrom(sender: address, receiver: address, token_id: uint256, data: Bytes[1024] = b""):
    """
    @notice As `transferFrom`, and a receiver that is a contract must have agreed.
    @param data Handed to the receiver; 1,024 bytes at most.
    """
    self._transfer(sender, receiver, token_id)
    if receiver.is_contract:
        answer: bytes4 = extcall IERC721Receiver(receiver).onERC721Received(msg.sender, sender, token_id, data)
        if answer != 0x150b7a02:
            errors.refuse("asset: receiver refused")


@external
def approve(approved: address, token_id: uint256):
    """
    @notice The account may move this token until it moves; the zero address ends it.
    """
    record: uint256 = self._moved[token_id]
    owner: address = self._owner_in(self._transferable_terms(), record, token_id)
    if msg.sender != owner and not self.isApprovedForAll[owner][msg.sender]:
        errors.refuse("asset: not allowed")
    self._approved[token_id] = approved
    self._moved[token_id] = (record & ~APPROVED) | (0 if approved == empty(address) else APPROVED)
    log Approval(owner=owner, approved=approved, token_id=token_id)


@external
def setApprovalForAll(operator: address, approved: bool):
    """
    @notice The operator may move every token of the caller, or not any more.
    """
    self._transferable_terms()
    self.isApprovedForAll[msg.sender][operator] = approved
    log ApprovalForAll(owner=msg.sender, operator=operator, approved=approved)


@external
@view
def getApproved(token_id: uint256) -> address:
    """
    @notice Who may move this token besides its owner and operators; the zero address for nobody. Reverts for no token.
    """
    self._owner_of(token_id)
    return self._approved[token_id]


@external
@view
def locked(token_id: uint256) -> bool:
    """
    @notice Whether the token can never move; reverts for an id that was not minted, as ERC-5192 asks.
    """
    self._owner_of(token_id)
    return arguments.is_soulbound_in(arguments.terms())


@internal
def _transfer(sender: address, receiver: address, token_id: uint256):
    """
    @dev A token that moved says itself whether it is soulbound, so that later transfers need not read the arguments.
    """
    record: uint256 = self._moved[token_id]
    owner: address = convert(record & ADDRESS, address)
    if owner == empty(address):
        terms: uint256 = arguments.read(arguments.TERMS)
        if terms & arguments.SOULBOUND != 0:
            self._refuse_soulbound()
        owner = self._owner_in(terms, record, token_id)
    elif record & BOUND != 0:
        self._refuse_soulbound()
    if owner != sender:
        errors.refuse("asset: not the owner")
    if msg.sender != sender:
        is_approved: bool = record & APPROVED != 0 and msg.sender == self._approved[token_id]
        if not is_approved and not self.isApprovedForAll[sender][msg.sender]:
            errors.refuse("asset: not allowed")
    self._move(record, sender, receiver, token_id, 0)


@internal
@view
def _transferable_terms() -> uint256:
    terms: uint256 = arguments.terms()
    if arguments.is_soulbound_in(terms):
        self._refuse_soulbound()
    return terms


@internal
@pure
def _refuse_soulbound():
    errors.refuse("asset: soulbound")


@internal
@view
def _check_owner(record: uint256, token_id: uint256, account: address):
    if self._owner_in(arguments.terms(), record, token_id) != account:
        errors.refuse("asset: not the owner")


@internal
def _move(record: uint256, owner: address, receiver: address, token_id: uint256, mark: uint256):
    """
    @param mark BURNED, BOUND or 0.
    @dev Permission was given. `_held` counts tokens had by transfer only, so the first move takes nothing from the first
         owner's.
    """
    times: uint256 = unsafe_add(record & TIMES, 1 << 160)
    self._moved[token_id] = mark | times | convert(receiver, uint256)
    if mark == BURNED:
        self._counts += ONE_BURNED
    else:
        if receiver == empty(address):
            errors.refuse("asset: zero address")
        self._held[receiver] += 1
    if record & ADDRESS != 0:
        self._held[owner] -= 1
    if record & APPROVED != 0:
        self._approved[token_id] = empty(address)
    log mints.Transfer(sender=owner, receiver=receiver, token_id=token_id)


@internal
@pure
def _times(record: uint256) -> uint256:
    return (record & TIMES) >> 160


# --------------------------------------------------------------------------------------------------------- permits, ends


@external
def transferWithPermit(
    sender: address, receiver: address, token_id: uint256, deadline: uint256, signature: Bytes[permits.MAX_SIGNATURE]
):
    """
    @notice The receiver has the token because its owner signed that (`TransferPermit`); anybody may submit it.
    @param sender The owner of the token.
    @param deadline The last second at which the signature holds.
    """
    self._transferable_terms()
    self._move_agreed(permits.TRANSFER, sender, receiver, token_id, deadline, signature)


@external
def reissue(token_id: uint256, receiver: address, deadline: uint256, signature: Bytes[permits.MAX_SIGNATURE]):
    """
    @notice The receiver has the token of a soulbound edition: a minter or the owner of the contract submits it, and the
            holder signed it (`ReissuePermit`).
    @param deadline The last second at which the signature holds.
    """
    if not roles.is_minter(arguments.minter(), msg.sender):
        roles.check_owner(arguments.owner())
    if not arguments.is_soulbound_in(arguments.terms()):
        errors.refuse("asset: not soulbound")
    self._move_agreed(permits.REISSUE, self._owner_of(token_id), receiver, token_id, deadline, signature)


@internal
def _move_agreed(
    kind: bytes32,
    sender: address,
    receiver: address,
    token_id: uint256,
    deadline: uint256,
    signature: Bytes[permits.MAX_SIGNATURE],
):
    if block.timestamp > deadline:
        errors.refuse("asset: permit expired")
    record: uint256 = self._moved[token_id]
    self._check_owner(record, token_id, sender)
    agreed: bool = permits.is_agreed(
        kind, arguments.text(0), sender, receiver, token_id, self._times(record), deadline, signature
    )
    if not agreed:
        errors.refuse("asset: permit invalid")
    self._move(record, sender, receiver, token_id, BOUND if kind == permits.REISSUE else 0)


@external
def burn(token_id: uint256):
    """
    @notice The owner of the token ends it.
    """
    record: uint256 = self._moved[token_id]
    self._check_owner(record, token_id, msg.sender)
    self._move(record, msg.sender, empty(address), token_id, BURNED)


@external
def revoke(token_id: uint256):
    """
    @notice The owner of the contract ends a token of a soulbound edition that was deployed as revocable.
    """
    roles.check_owner(arguments.owner())
    terms: uint256 = arguments.terms()
    if not arguments.is_revocable_in(terms):
        errors.refuse("asset: not revocable")
    record: uint256 = self._moved[token_id]
    self._move(record, self._owner_in(terms, record, token_id), empty(address), token_id, BURNED)


@external
@view
def nonces(token_id: uint256) -> uint256:
    """
    @notice How often the token moved: what the next permit must say.
    """
    return self._times(self._moved[token_id])


@external
@view
def revocable() -> bool:
    """
    @notice Whether the owner of the contract may end tokens.
    """
    return arguments.is_revocable_in(arguments.terms())


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    """
    @notice The EIP-712 domain of permits.
    """
    return permits.domain_separator(arguments.text(0))


# --------------------------------------------------------------------------------------------------------------- royalty


@external
@view
def royaltyInfo(token_id: uint256, sale_price: uint256) -> (address, uint256):
    """
    @notice Who asks for how much of a sale (ERC-2981), rounded down; the same for every token.
    """
    royalty: uint256 = self._royalty
    if royalty == 0:
        royalty = arguments.royalty()
    share: uint256 = (royalty & ~DECIDED) >> 160
    return convert(royalty & ADDRESS, address), sale_price * share // 10000


@external
def set_royalty(receiver: address, basis_points: uint256):
    """
    @notice The owner asks for another share of every sale, 1,000 basis points at most; 0 for none.
    """
    roles.check_owner(arguments.owner())
    if basis_points > MAX_ROYALTY or (receiver == empty(address) and basis_points != 0):
        errors.refuse("asset: royalty")
    self._royalty = DECIDED | (basis_points << 160) | convert(receiver, uint256)
    log RoyaltySet(receiver=receiver, basis_points=basis_points)


# -------------------------------------------------------------------------------------------------- metadata and ERC-165


@external
@view
def name() -> String[256]:
    """
    @notice Up to 256 bytes; also the name of the EIP-712 domain.
    """
    return arguments.text(0)


@external
@view
def symbol() -> String[256]:
    """
    @notice Up to 32 bytes.
    """
    return arguments.text(1)


@external
@view
def tokenURI(token_id: uint256) -> String[256]:
    """
    @notice One document for all tokens; reverts for an id that was not minted.
    """
    self._owner_of(token_id)
    return metadata.token_uri(arguments.text(2))


@external
@view
def contractURI() -> String[256]:
    """
    @notice The document of the contract (ERC-7572), up to 256 bytes.
    """
    return metadata.contract_uri(arguments.text(3))


@external
def set_token_uri(uri: String[256]):
    """
    @notice The owner gives every token another document.
    """
    roles.check_owner(arguments.owner())
    metadata.set_token_uri(uri)


@external
def set_contract_uri(uri: String[256]):
    """
    @notice The owner gives the contract another document; an empty one restores that of deployment.
    """
    roles.check_owner(arguments.owner())
    metadata.set_contract_uri(uri)


@external
@view
def supportsInterface(interface_id: bytes4) -> bool:
    """
    @notice ERC-165, ERC-721, its metadata, ERC-2981, ERC-4906, and ERC-5192 when the edition is soulbound.
    """
    if interface_id == 0xb45a3c0e:
        return arguments.is_soulbound_in(arguments.terms())
    return interface_id in [0x01ffc9a7, 0x80ac58cd, 0x5b5e139f, 0x2a55205a, 0x49064906]


# ----------------------------------------------------------------------------------------------------------------- roles


@external
@view
def owner() -> address:
    """
    @notice The account that names minters and replaces documents.
    """
    return roles.owner(arguments.owner())


@external
@view
def is_minter(account: address) -> bool:
    """
    @notice Whether the account may mint.
    """
    return roles.is_minter(arguments.minter(), account)


@external
def transfer_ownership(new_owner: address):
    """
    @notice `new_owner` may accept from now on; the zero address withdraws the offer.
    """
    roles.transfer_ownership(arguments.owner(), new_owner)


@external
def accept_ownership():
    """
    @notice The account that was offered the ownership takes it.
    """
    roles.accept_ownership(arguments.owner())


@external
def set_minter(minter: address, allowed: bool):
    """
    @notice The owner lets the account mint, or not any more.
    """
    roles.set_minter(arguments.owner(), minter, allowed)

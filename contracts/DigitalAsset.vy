# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague
"""
@title DigitalAsset
@license MIT
@notice A collectible dropped to members: ERC-165, ERC-721 with metadata, ERC-4906, ERC-7572, and ERC-5192 when the
        edition is soulbound.
@dev This is the implementation; assets are clones made by AssetFactory with their arguments behind the proxy code
     (modules/arguments.vy). A drop names pass batches and sends one bit a member; the addresses are read from the pass
     contract's data, and nothing is written a recipient: about 2,000 gas, of which 1,875 are the `Transfer`.
         token id = round << 32 | pass id        (ids from 1 << 128 are kept for addresses that have no pass)
     A batch is dropped to once a round, so whatever is sent twice, no member has the same round twice.
     Minting never calls a recipient, so no recipient can hold up a batch.
     `balanceOf` is exact and searches every batch and round: right for calls from outside, too dear in a transaction.
"""

from .interfaces import IERC721Receiver
from .modules import arguments
from .modules import drops
from .modules import members
from .modules import metadata
from .modules import mints
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

ADDRESS: constant(uint256) = 2**160 - 1
LOW_64: constant(uint256) = 2**64 - 1
LOW_128: constant(uint256) = 2**128 - 1
APPROVED: constant(uint256) = 2**255
EVERY_2: constant(uint256) = max_value(uint256) // 3  # 0x5555...: every lower bit of two
EVERY_4: constant(uint256) = max_value(uint256) // 5  # 0x3333...: the lower two of four
EVERY_8: constant(uint256) = max_value(uint256) // 17  # 0x0f0f...: the lower four of eight
ONES_8: constant(uint256) = max_value(uint256) // 255  # 0x0101...: the lowest of eight
MAX_ROUNDS: constant(uint256) = 2**64

isApprovedForAll: public(HashMap[address, HashMap[address, bool]])
_counts: uint256  # data contracts << 192 | rounds << 128 | tokens: one slot, because a drop changes most of it
_moved: HashMap[uint256, uint256]  # an approval exists << 255 | times moved << 160 | owner, empty if never moved
_held: HashMap[address, uint256]  # tokens the account has by transfer
_approved: HashMap[uint256, address]  # means something only while the approval flag is set


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
    @notice Every member whose bit is set has the token of this round.
    @param round A round that exists, or the next one: as many as there are.
    @param batches Pass batches, none of them dropped to in this round before. Batches dropped in part share a data
                   contract with those of the same fifteen (batch / 15), so a group of fifteen belongs in one call.
    @param bits Five words a batch: member i is bit i & 255 of word i >> 8. At least one bit, none beyond the batch.
    @param nonce The number of the data contract that this drop makes (`next_nonce`). Looked at only if a batch is
                 dropped in part: one that is dropped whole needs no data.
    """
    assert roles.is_minter(arguments.minter(), msg.sender), "asset: not a minter"
    assert len(batches) == len(bits), "asset: lengths differ"
    assert len(batches) != 0, "asset: nothing to drop"
    terms: uint256 = arguments.terms()
    counts: uint256 = self._counts
    rounds: uint256 = (counts >> 128) & LOW_64
    assert round <= rounds, "asset: round skipped"
    minted: uint256 = 0
    kept: DynArray[uint256[5], drops.MAX_BATCHES] = []
    for place: uint256 in range(len(batches), bound=drops.MAX_BATCHES):
        batch: uint256 = batches[place]
        assert batch < members.MAX_BATCHES, "asset: no such batch"
        data: address = members.data_of(arguments.registry_in(terms), batch)
        size: uint256 = members.count(data)
        assert size != 0, "asset: no such batch"
        chosen: uint256[5] = bits[place]
        if self._is_whole(chosen, size):
            drops.mark_whole(round, batch)
            minted = unsafe_add(minted, size)
        else:
            assert nonce == unsafe_add(1, counts >> 192), "asset: wrong nonce"
            drops.mark_part(round, batch, len(kept), nonce)
            kept.append(chosen)
            minted = unsafe_add(minted, self._count(chosen))
        self._announce(data, chosen, (round << 32) | (batch << 16))
    supply: uint256 = unsafe_add(counts & LOW_128, minted)
    max_supply: uint256 = arguments.max_supply_in(terms)
    assert max_supply == 0 or supply <= max_supply, "asset: above the maximum supply"
    if len(kept) != 0:
        assert nonce <= drops.MAX_DATA, "asset: no nonce left"
        drops.store(kept)
        counts = unsafe_add(counts, 1 << 192)
    if round == rounds:
        counts = unsafe_add(counts, 1 << 128)
    self._counts = unsafe_add(counts, minted)


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
        assert word & ~everybody == 0, "asset: bits beyond the batch"
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
    assert total != 0, "asset: no bits"
    return total


@internal
def _announce(data: address, chosen: uint256[5], first_id: uint256):
    number: uint256 = 0
    for word: uint256 in chosen:
        if word != 0:
            mints.announce_chosen(data, number, word, unsafe_add(first_id, number << 8))
        number = unsafe_add(number, 1)


@external
@view
def claimed(round: uint256, pass_id: uint256) -> bool:
    """
    @notice Whether this pass was dropped to in this round, wherever the token is now.
    """
    return self._first_owner(arguments.terms(), round, pass_id) != empty(address)


@external
@view
def rounds() -> uint256:
    """
    @notice How many rounds there are; also the number of the next one.
    """
    return (self._counts >> 128) & LOW_64


@external
@view
def next_nonce() -> uint256:
    """
    @notice The number of the data contract that the next drop in part makes.
    """
    return unsafe_add(1, self._counts >> 192)


@external
@view
def totalSupply() -> uint256:
    return self._counts & LOW_128


@external
@view
def max_supply() -> uint256:
    """
    @notice The most tokens there may ever be; zero for no limit.
    """
    return arguments.max_supply_in(arguments.terms())


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
    return self._owner_of(token_id)


@external
@view
def balanceOf(owner: address) -> uint256:
    """
    @notice Tokens the account has: those it was given by transfer, and those dropped to its passes and never moved.
            Searches every batch and round: not for use inside transactions.
    """
    assert owner != empty(address), "asset: zero address"
    balance: uint256 = self._held[owner]
    registry: address = arguments.registry_in(arguments.terms())
    for batch: uint256 in range(members.MAX_BATCHES):
        data: address = members.data_of(registry, batch)
        if members.count(data) == 0:
            break
        index: uint256 = members.index_of(data, owner)
        if index != members.NOWHERE:
            balance = unsafe_add(balance, self._unmoved(batch, index))
    return balance


@internal
@view
def _unmoved(batch: uint256, index: uint256) -> uint256:
    """
    @dev Rounds dropped to this member whose tokens never moved.
    """
    unmoved: uint256 = 0
    for round: uint256 in range((self._counts >> 128) & LOW_64, bound=MAX_ROUNDS):
        token_id: uint256 = (round << 32) | (batch << 16) | index
        if self._moved[token_id] & ADDRESS == 0 and drops.includes(round, batch, index):
            unmoved = unsafe_add(unmoved, 1)
    return unmoved


@internal
@view
def _first_owner(terms: uint256, round: uint256, pass_id: uint256) -> address:
    """
    @dev The member this token was dropped to, as the registry held it then; the zero address if there is no token.
    """
    batch: uint256 = pass_id >> 16
    index: uint256 = pass_id & 65535
    if batch >= members.MAX_BATCHES:
        return empty(address)
    member: address = members.member_at(members.data_of(arguments.registry_in(terms), batch), index)
    if member == empty(address) or not drops.includes(round, batch, index):
        return empty(address)
    return member


@internal
@view
def _owner_of(token_id: uint256) -> address:
    return self._owner_in(arguments.terms(), self._moved[token_id], token_id)


@internal
@view
def _owner_in(terms: uint256, record: uint256, token_id: uint256) -> address:
    owner: address = convert(record & ADDRESS, address)
    if owner == empty(address):
        owner = self._first_owner(terms, token_id >> 32, token_id & (2**32 - 1))
    assert owner != empty(address), "asset: no such token"
    return owner


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
        assert answer == 0x150b7a02, "asset: receiver refused"


@external
def approve(approved: address, token_id: uint256):
    """
    @notice The account may move this token until it moves; the zero address ends it.
    """
    terms: uint256 = arguments.terms()
    assert not arguments.is_soulbound_in(terms), "asset: soulbound"
    record: uint256 = self._moved[token_id]
    owner: address = self._owner_in(terms, record, token_id)
    assert msg.sender == owner or self.isApprovedForAll[owner][msg.sender], "asset: not allowed"
    self._approved[token_id] = approved
    self._moved[token_id] = (record & ~APPROVED) | (0 if approved == empty(address) else APPROVED)
    log Approval(owner=owner, approved=approved, token_id=token_id)


@external
def setApprovalForAll(operator: address, approved: bool):
    assert not arguments.is_soulbound_in(arguments.terms()), "asset: soulbound"
    self.isApprovedForAll[msg.sender][operator] = approved
    log ApprovalForAll(owner=msg.sender, operator=operator, approved=approved)


@external
@view
def getApproved(token_id: uint256) -> address:
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
@view
def _is_allowed(owner: address, record: uint256, token_id: uint256) -> bool:
    """
    @dev Whether the caller, who is not the owner, may move the token.
    """
    if record & APPROVED != 0 and msg.sender == self._approved[token_id]:
        return True
    return self.isApprovedForAll[owner][msg.sender]


@internal
def _transfer(sender: address, receiver: address, token_id: uint256):
    """
    @dev `_held` counts tokens had by transfer only, so the first transfer takes nothing from the sender's.
    """
    terms: uint256 = arguments.terms()
    assert not arguments.is_soulbound_in(terms), "asset: soulbound"
    assert receiver != empty(address), "asset: zero address"
    record: uint256 = self._moved[token_id]
    owner: address = convert(record & ADDRESS, address)
    if owner == empty(address):
        owner = self._first_owner(terms, token_id >> 32, token_id & (2**32 - 1))
        assert owner != empty(address), "asset: no such token"
    else:
        self._held[owner] = unsafe_sub(self._held[owner], 1)
    assert owner == sender, "asset: not the owner"
    if msg.sender != sender:
        assert self._is_allowed(sender, record, token_id), "asset: not allowed"
    if record & APPROVED != 0:
        self._approved[token_id] = empty(address)
    self._held[receiver] = unsafe_add(self._held[receiver], 1)
    times: uint256 = unsafe_add((record & ~APPROVED) >> 160, 1)
    self._moved[token_id] = (times << 160) | convert(receiver, uint256)
    log mints.Transfer(sender=sender, receiver=receiver, token_id=token_id)


# -------------------------------------------------------------------------------------------------- metadata and ERC-165


@external
@view
def name() -> String[256]:
    return arguments.text(0)


@external
@view
def symbol() -> String[256]:
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
    roles.check_owner(arguments.owner())
    metadata.set_contract_uri(uri)


@external
@view
def supportsInterface(interface_id: bytes4) -> bool:
    """
    @notice ERC-165, ERC-721, its metadata, ERC-4906, and ERC-5192 when the edition is soulbound.
    """
    if interface_id == 0xb45a3c0e:
        return arguments.is_soulbound_in(arguments.terms())
    return interface_id in [0x01ffc9a7, 0x80ac58cd, 0x5b5e139f, 0x49064906]


# ----------------------------------------------------------------------------------------------------------------- roles


@external
@view
def owner() -> address:
    return roles.owner(arguments.owner())


@external
@view
def is_minter(account: address) -> bool:
    return roles.is_minter(arguments.minter(), account)


@external
def transfer_ownership(new_owner: address):
    """
    @notice `new_owner` may accept from now on; the zero address withdraws the offer.
    """
    roles.transfer_ownership(arguments.owner(), new_owner)


@external
def accept_ownership():
    roles.accept_ownership(arguments.owner())


@external
def set_minter(minter: address, allowed: bool):
    """
    @notice The owner lets the account mint, or not any more.
    """
    roles.set_minter(arguments.owner(), minter, allowed)

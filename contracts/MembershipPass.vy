# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague
"""
@title MembershipPass
@license MIT
@notice One soulbound pass a member, and the registry of members that every digital asset of the merchant reads.
        ERC-165, ERC-721 with metadata, ERC-5192, ERC-4906, ERC-7572.
@dev Passes are issued in batches of up to 1,228. The sorted addresses of a batch become the code of one data contract
     (modules/members.vy), and nothing else is written a member: about 6,400 gas, of which 4,000 are the 20 bytes and
     1,875 the `Transfer`. A single pass is issued to one slot of storage instead.
         pass id = batch << 16 | index in the batch       or, issued alone, 1 << 32 | number
     A pass moves by `reissue` and `recover` only and ends by `revoke` and `burn`; what changed since the issue is kept
     in a record, and in one bit a pass that drops look at. An id that ended is never used again.
     No `Locked` is emitted: ERC-5192 says "should", and it would cost 1,073 gas a pass to repeat what `locked` answers
     for every pass of this contract.
     `balanceOf` and `passOf` search every batch: right for calls from outside, too dear inside a transaction. On chain
     ask `isMember`, which is constant.
"""

from .modules import members
from .modules import metadata
from .modules import mints
from .modules import permits
from .modules import roles

initializes: roles
initializes: metadata
exports: roles.pending_owner

event DesignSet:
    design: indexed(uint256)
    uri: String[256]

FIRST_OWNER: immutable(address)
FIRST_MINTER: immutable(address)
RECOVERABLE: immutable(bool)

ADDRESS: constant(uint256) = 2**160 - 1
ENDED: constant(uint256) = 2**255
LOW_64: constant(uint256) = 2**64 - 1
LOW_128: constant(uint256) = 2**128 - 1
SINGLES: constant(uint256) = 2**32  # the first id of a pass issued alone
MAX_DESIGNED: constant(uint256) = 500
MAX_DESIGN: constant(uint256) = 255

name: public(String[256])
symbol: public(String[32])
design_uri: public(HashMap[uint256, String[256]])
_counts: uint256  # singles << 192 | batches << 128 | passes: one slot, because every issue changes most of it
_records: HashMap[uint256, uint256]  # ended << 255 | times moved << 160 | owner; empty as long as it is as issued in a batch
_received: HashMap[address, uint256]  # passes of batches that came to the account by reissue
_changed_batches: HashMap[uint256, uint256]  # bit b & 255 of word b >> 8: a pass of batch b has a record
_changed_members: HashMap[uint256, uint256]  # bit i & 255 of word b << 3 | i >> 8: pass i of batch b has one
_designs: HashMap[uint256, uint256]  # a byte a pass, thirty-two a word


@deploy
def __init__(
    owner: address,
    minter: address,
    name: String[256],
    symbol: String[32],
    token_uri: String[256],
    contract_uri: String[256],
    recoverable: bool,
):
    """
    @param owner Names minters and metadata and revokes passes; may be handed over in two steps.
    @param minter The first account that may issue.
    @param recoverable Whether the owner may ever move a pass without its holder's signature (`recover`).
    """
    assert owner != empty(address), "pass: no owner"
    FIRST_OWNER = owner
    FIRST_MINTER = minter
    RECOVERABLE = recoverable
    self.name = name
    self.symbol = symbol
    metadata.set_token_uri(token_uri)
    metadata.set_contract_uri(contract_uri)
    log roles.OwnershipTransferred(previous_owner=empty(address), new_owner=owner)
    log roles.MinterSet(minter=minter, allowed=True)


# ---------------------------------------------------------------------------------------------------------------- issue


@external
def issue(batch: uint256, packed: Bytes[members.MAX_PACKED]):
    """
    @notice Every member of the batch has a pass. Batches are numbered without gaps, so a repeated call mints nothing.
    @param batch The next batch: as many as there are.
    @param packed 1 to 1,228 addresses of 20 bytes in strictly increasing order.
    """
    assert roles.is_minter(FIRST_MINTER, msg.sender), "pass: not a minter"
    counts: uint256 = self._counts
    batches: uint256 = (counts >> 128) & LOW_64
    assert batch >= batches, "pass: batch exists"
    assert batch == batches, "pass: not the next batch"
    assert batch < members.MAX_BATCHES, "pass: no batch left"
    assert len(packed) != 0 and len(packed) % 20 == 0, "pass: length"
    count: uint256 = unsafe_div(len(packed), 20)
    self._counts = unsafe_add(counts, (1 << 128) | count)
    data: address = raw_create(
        concat(members.PUSH2, members.size_of(count), members.CREATION, members.READER, packed)
    )
    ascending: bool = mints.announce_ascending(data, count, batch << 16)
    assert ascending, "pass: not ascending"


@external
def issue_one(number: uint256, member: address):
    """
    @notice One member has a pass: cheaper than a batch of one, dearer for each than a batch of two. Singles are numbered
            without gaps, so a repeated call mints nothing.
    @param number The next one: as many as there are.
    """
    assert roles.is_minter(FIRST_MINTER, msg.sender), "pass: not a minter"
    assert member != empty(address), "pass: zero address"
    counts: uint256 = self._counts
    singles: uint256 = counts >> 192
    assert number >= singles, "pass: pass exists"
    assert number == singles, "pass: not the next pass"
    assert number < SINGLES, "pass: no pass left"
    self._counts = unsafe_add(counts, (1 << 192) | 1)
    self._records[SINGLES | number] = convert(member, uint256)
    log mints.Transfer(sender=empty(address), receiver=member, token_id=SINGLES | number)


# --------------------------------------------------------------------------------------------------------------- changes


@external
def reissue(pass_id: uint256, receiver: address, deadline: uint256, signature: Bytes[permits.MAX_SIGNATURE]):
    """
    @notice The receiver has the pass: a minter or the owner submits it, and the holder signed it (`ReissuePermit`).
    @param deadline The last second at which the signature holds.
    """
    if not roles.is_minter(FIRST_MINTER, msg.sender):
        roles.check_owner(FIRST_OWNER)
    assert receiver != empty(address), "pass: zero address"
    assert block.timestamp <= deadline, "pass: permit expired"
    record: uint256 = self._records[pass_id]
    holder: address = self._owner_in(record, pass_id)
    agreed: bool = permits.is_agreed(
        permits.REISSUE, self.name, holder, receiver, pass_id, self._times(record), deadline, signature
    )
    assert agreed, "pass: permit invalid"
    self._change(pass_id, record, holder, receiver)


@external
def recover(pass_id: uint256, receiver: address):
    """
    @notice The owner moves the pass of a holder who lost the key, if the contract was deployed so.
    """
    roles.check_owner(FIRST_OWNER)
    assert RECOVERABLE, "pass: not recoverable"
    assert receiver != empty(address), "pass: zero address"
    record: uint256 = self._records[pass_id]
    self._change(pass_id, record, self._owner_in(record, pass_id), receiver)


@external
def revoke(pass_id: uint256):
    """
    @notice The owner ends the pass.
    """
    roles.check_owner(FIRST_OWNER)
    record: uint256 = self._records[pass_id]
    self._change(pass_id, record, self._owner_in(record, pass_id), empty(address))


@external
def burn(pass_id: uint256):
    """
    @notice The holder ends the pass.
    """
    record: uint256 = self._records[pass_id]
    holder: address = self._owner_in(record, pass_id)
    assert msg.sender == holder, "pass: not the holder"
    self._change(pass_id, record, holder, empty(address))


@internal
def _change(pass_id: uint256, record: uint256, holder: address, receiver: address):
    """
    @dev To nobody is the end of the pass.
    """
    ends: bool = receiver == empty(address)
    if pass_id < SINGLES:
        if record == 0:
            self._mark_changed(pass_id >> 16, pass_id & 65535)
        else:
            self._received[holder] = unsafe_sub(self._received[holder], 1)
        if not ends:
            self._received[receiver] = unsafe_add(self._received[receiver], 1)
    later: uint256 = (unsafe_add(self._times(record), 1) << 160) | convert(receiver, uint256)
    if ends:
        later = later | ENDED
        self._counts = unsafe_sub(self._counts, 1)
    self._records[pass_id] = later
    log mints.Transfer(sender=holder, receiver=receiver, token_id=pass_id)


@internal
def _mark_changed(batch: uint256, index: uint256):
    self._changed_members[(batch << 3) | (index >> 8)] |= 1 << (index & 255)
    self._changed_batches[batch >> 8] |= 1 << (batch & 255)


@external
@view
def nonces(pass_id: uint256) -> uint256:
    """
    @notice How often the pass moved: what the next `ReissuePermit` must say.
    """
    return self._times(self._records[pass_id])


@external
@view
def recoverable() -> bool:
    """
    @notice Whether the owner may move a pass without its holder's signature.
    """
    return RECOVERABLE


@external
@view
def DOMAIN_SEPARATOR() -> bytes32:
    """
    @notice The EIP-712 domain of permits.
    """
    return permits.domain_separator(self.name)


# ---------------------------------------------------------------------------------------------------------- the registry


@external
@view
def memberOf(pass_id: uint256) -> address:
    """
    @notice The holder of the pass; the zero address where there is none.
    """
    return self._member_of(pass_id)


@external
@view
def isMember(account: address, pass_id: uint256) -> bool:
    """
    @notice Whether the pass is this account's: constant time, for gates on chain that were told the pass.
    """
    return account != empty(address) and self._member_of(pass_id) == account


@external
@view
def passOf(account: address) -> uint256:
    """
    @notice The account's first pass: of the batches as issued, then of those issued alone, then of those it received.
            Searches all of them: not for use inside transactions.
    """
    assert account != empty(address), "pass: zero address"
    counts: uint256 = self._counts
    batches: uint256 = (counts >> 128) & LOW_64
    for batch: uint256 in range(batches, bound=members.MAX_BATCHES):
        index: uint256 = members.index_of(members.data_of(self, batch), account)
        if index != members.NOWHERE and self._records[(batch << 16) | index] == 0:
            return (batch << 16) | index
    for number: uint256 in range(counts >> 192, bound=SINGLES):
        if self._records[SINGLES | number] & ADDRESS == convert(account, uint256):
            return SINGLES | number
    if self._received[account] != 0:
        for batch: uint256 in range(batches, bound=members.MAX_BATCHES):
            if (self._changed_batches[batch >> 8] >> (batch & 255)) & 1 != 0:
                for index: uint256 in range(members.MAX_BATCH):
                    if self._records[(batch << 16) | index] & ADDRESS == convert(account, uint256):
                        return (batch << 16) | index
    raise "pass: no such pass"


@external
@view
def addresses(batch: uint256) -> Bytes[members.MAX_PACKED]:
    """
    @notice The members of the batch as they were issued, 20 bytes each, for auditors.
    """
    assert batch < (self._counts >> 128) & LOW_64, "pass: no such batch"
    return members.packed(members.data_of(self, batch))


@external
@view
def changed_batches(word: uint256) -> uint256:
    """
    @notice Which of 256 batches have passes that moved or ended since they were issued.
    @param word Batches 256 * word to 256 * word + 255; batch b is bit b & 255.
    """
    return self._changed_batches[word]


@external
@view
def changed_members(batch: uint256) -> uint256[5]:
    """
    @notice Which passes of the batch moved or ended since they were issued: pass i is bit i & 255 of word i >> 8.
    """
    changed: uint256[5] = empty(uint256[5])
    for word: uint256 in range(5):
        changed[word] = self._changed_members[(batch << 3) | word]
    return changed


@external
@view
def batches() -> uint256:
    """
    @notice How many batches were issued; also the number of the next one.
    """
    return (self._counts >> 128) & LOW_64


@external
@view
def singles() -> uint256:
    """
    @notice How many passes were issued alone; also the number of the next one.
    """
    return self._counts >> 192


@external
@view
def totalSupply() -> uint256:
    """
    @notice Passes issued and not ended.
    """
    return self._counts & LOW_128


@internal
@view
def _member_of(pass_id: uint256) -> address:
    return self._holder(self._records[pass_id], pass_id)


@internal
@view
def _holder(record: uint256, pass_id: uint256) -> address:
    """
    @dev The zero address for a pass that ended or never was. A batch that was not issued has no data.
    """
    if record != 0:
        return convert(record & ADDRESS, address)
    batch: uint256 = pass_id >> 16
    if batch >= members.MAX_BATCHES:
        return empty(address)
    return members.member_at(members.data_of(self, batch), pass_id & 65535)


@internal
@view
def _owner_in(record: uint256, pass_id: uint256) -> address:
    holder: address = self._holder(record, pass_id)
    assert holder != empty(address), "pass: no such pass"
    return holder


@internal
@pure
def _times(record: uint256) -> uint256:
    return (record & ~ENDED) >> 160


# --------------------------------------------------------------------------------------------- ERC-721, ERC-5192, ERC-165


@external
@view
def ownerOf(token_id: uint256) -> address:
    """
    @notice Who holds the pass; reverts for an id that was not issued, or ended.
    """
    return self._owner_of(token_id)


@external
@view
def balanceOf(owner: address) -> uint256:
    """
    @notice How many passes the account has. Searches every batch: not for use inside transactions.
    """
    assert owner != empty(address), "pass: zero address"
    balance: uint256 = self._received[owner]
    counts: uint256 = self._counts
    for batch: uint256 in range((counts >> 128) & LOW_64, bound=members.MAX_BATCHES):
        index: uint256 = members.index_of(members.data_of(self, batch), owner)
        if index != members.NOWHERE and self._records[(batch << 16) | index] == 0:
            balance = unsafe_add(balance, 1)
    for number: uint256 in range(counts >> 192, bound=SINGLES):
        if self._records[SINGLES | number] & ADDRESS == convert(owner, uint256):
            balance = unsafe_add(balance, 1)
    return balance


@external
@view
def locked(token_id: uint256) -> bool:
    """
    @notice True for every pass; reverts for an id that was not issued, as ERC-5192 asks.
    """
    self._owner_of(token_id)
    return True


@external
@view
def getApproved(token_id: uint256) -> address:
    """
    @notice Nobody, ever; reverts for an id that was not issued.
    """
    self._owner_of(token_id)
    return empty(address)


@external
@pure
def isApprovedForAll(owner: address, operator: address) -> bool:
    """
    @notice Never: a pass has no operators.
    """
    return False


@external
@pure
def approve(approved: address, token_id: uint256):
    """
    @notice Always reverts: a pass is soulbound.
    """
    raise "pass: soulbound"


@external
@pure
def setApprovalForAll(operator: address, approved: bool):
    """
    @notice Always reverts: a pass is soulbound.
    """
    raise "pass: soulbound"


@external
@pure
def transferFrom(sender: address, receiver: address, token_id: uint256):
    """
    @notice Always reverts: a pass moves by `reissue` and `recover` only.
    """
    raise "pass: soulbound"


@external
@pure
def safeTransferFrom(sender: address, receiver: address, token_id: uint256, data: Bytes[1024] = b""):
    """
    @notice Always reverts: a pass moves by `reissue` and `recover` only.
    """
    raise "pass: soulbound"


@external
@pure
def supportsInterface(interface_id: bytes4) -> bool:
    """
    @notice ERC-165, ERC-721, its metadata, ERC-4906, ERC-5192.
    """
    return interface_id in [0x01ffc9a7, 0x80ac58cd, 0x5b5e139f, 0x49064906, 0xb45a3c0e]


@internal
@view
def _owner_of(token_id: uint256) -> address:
    return self._owner_in(self._records[token_id], token_id)


# -------------------------------------------------------------------------------------------------------------- metadata


@external
@view
def tokenURI(token_id: uint256) -> String[256]:
    """
    @notice The document of the pass's design, or else the one of all passes; reverts for an id that was not issued.
    """
    self._owner_of(token_id)
    uri: String[256] = self.design_uri[self._design_of(token_id)]
    return uri if len(uri) != 0 else metadata.token_uri("")


@external
@view
def design_of(pass_id: uint256) -> uint256:
    """
    @notice The pass's design; 0 is the one of all passes.
    """
    return self._design_of(pass_id)


@external
def assign_designs(design: uint256, pass_ids: DynArray[uint256, MAX_DESIGNED]):
    """
    @notice A minter gives these passes another design. Neighbours cost least: thirty-two share a slot.
    @param design 0 to 255; one without a document shows the document of all passes.
    """
    assert roles.is_minter(FIRST_MINTER, msg.sender), "pass: not a minter"
    assert design <= MAX_DESIGN, "pass: no such design"
    for pass_id: uint256 in pass_ids:
        place: uint256 = unsafe_mul(8, pass_id & 31)
        others: uint256 = self._designs[pass_id >> 5] & ~(MAX_DESIGN << place)
        self._designs[pass_id >> 5] = others | (design << place)
        log metadata.MetadataUpdate(token_id=pass_id)


@external
def set_design(design: uint256, uri: String[256]):
    """
    @notice The owner gives a design its document; an empty one restores the document of all passes.
    @param design 1 to 255.
    """
    roles.check_owner(FIRST_OWNER)
    assert 1 <= design and design <= MAX_DESIGN, "pass: no such design"
    self.design_uri[design] = uri
    log DesignSet(design=design, uri=uri)
    log metadata.BatchMetadataUpdate(from_token_id=0, to_token_id=max_value(uint256))


@internal
@view
def _design_of(pass_id: uint256) -> uint256:
    return (self._designs[pass_id >> 5] >> unsafe_mul(8, pass_id & 31)) & MAX_DESIGN


@external
@view
def contractURI() -> String[256]:
    """
    @notice The document of the contract (ERC-7572), up to 256 bytes.
    """
    return metadata.contract_uri("")


@external
def set_token_uri(uri: String[256]):
    """
    @notice The owner gives every pass another document.
    """
    roles.check_owner(FIRST_OWNER)
    metadata.set_token_uri(uri)


@external
def set_contract_uri(uri: String[256]):
    """
    @notice The owner gives the contract another document.
    """
    roles.check_owner(FIRST_OWNER)
    metadata.set_contract_uri(uri)


# ----------------------------------------------------------------------------------------------------------------- roles


@external
@view
def owner() -> address:
    """
    @notice The account that names minters, replaces documents and revokes passes.
    """
    return roles.owner(FIRST_OWNER)


@external
@view
def is_minter(account: address) -> bool:
    """
    @notice Whether the account may issue passes and assign designs.
    """
    return roles.is_minter(FIRST_MINTER, account)


@external
def transfer_ownership(new_owner: address):
    """
    @notice `new_owner` may accept from now on; the zero address withdraws the offer.
    """
    roles.transfer_ownership(FIRST_OWNER, new_owner)


@external
def accept_ownership():
    """
    @notice The account that was offered the ownership takes it.
    """
    roles.accept_ownership(FIRST_OWNER)


@external
def set_minter(minter: address, allowed: bool):
    """
    @notice The owner lets the account issue, or not any more.
    """
    roles.set_minter(FIRST_OWNER, minter, allowed)

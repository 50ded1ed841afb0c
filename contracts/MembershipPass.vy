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
     1,875 the `Transfer`.
         pass id = batch << 16 | index in the batch
     No `Locked` is emitted: ERC-5192 says "should", and it would cost 1,073 gas a pass to repeat what `locked` answers
     for every pass of this contract.
     `balanceOf` and `passOf` search every batch: right for calls from outside, too dear inside a transaction. On chain
     ask `isMember`, which is constant.
"""

from .modules import members
from .modules import metadata
from .modules import mints
from .modules import roles

initializes: roles
initializes: metadata
exports: roles.pending_owner

FIRST_OWNER: immutable(address)
FIRST_MINTER: immutable(address)

name: public(String[256])
symbol: public(String[32])
_counts: uint256  # batches << 128 | passes: one slot, because every issue changes both


@deploy
def __init__(
    owner: address,
    minter: address,
    name: String[256],
    symbol: String[32],
    token_uri: String[256],
    contract_uri: String[256],
):
    """
    @param owner Names minters and metadata; may be handed over in two steps.
    @param minter The first account that may issue.
    """
    assert owner != empty(address), "pass: no owner"
    FIRST_OWNER = owner
    FIRST_MINTER = minter
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
    batches: uint256 = counts >> 128
    assert batch >= batches, "pass: batch exists"
    assert batch == batches, "pass: not the next batch"
    assert batch < members.MAX_BATCHES, "pass: no batch left"
    assert len(packed) != 0 and len(packed) % 20 == 0, "pass: length"
    count: uint256 = unsafe_div(len(packed), 20)
    self._counts = unsafe_add(counts, (1 << 128) | count)
    ascending: bool = mints.announce_ascending(members.store(packed), count, batch << 16)
    assert ascending, "pass: not ascending"


# ---------------------------------------------------------------------------------------------------------- the registry


@external
@view
def memberOf(pass_id: uint256) -> address:
    """
    @notice The address the registry holds at this place; the zero address where there is none.
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
    @notice The account's first pass. Searches every batch: not for use inside transactions.
    """
    for batch: uint256 in range(self._counts >> 128, bound=members.MAX_BATCHES):
        index: uint256 = members.index_of(members.data_of(self, batch), account)
        if index != members.NOWHERE:
            return (batch << 16) | index
    raise "pass: no such pass"


@external
@view
def addresses(batch: uint256) -> Bytes[members.MAX_PACKED]:
    """
    @notice The members of the batch as they were issued, 20 bytes each, for auditors.
    """
    assert batch < self._counts >> 128, "pass: no such batch"
    return members.packed(members.data_of(self, batch))


@external
@view
def batches() -> uint256:
    """
    @notice How many batches were issued; also the number of the next one.
    """
    return self._counts >> 128


@external
@view
def totalSupply() -> uint256:
    return self._counts & convert(max_value(uint128), uint256)


@internal
@view
def _member_of(pass_id: uint256) -> address:
    if pass_id >> 16 >= self._counts >> 128:
        return empty(address)
    return members.member_at(members.data_of(self, pass_id >> 16), pass_id & 65535)


# --------------------------------------------------------------------------------------------- ERC-721, ERC-5192, ERC-165


@external
@view
def ownerOf(token_id: uint256) -> address:
    return self._owner_of(token_id)


@external
@view
def balanceOf(owner: address) -> uint256:
    """
    @notice How many passes the account has. Searches every batch: not for use inside transactions.
    """
    assert owner != empty(address), "pass: zero address"
    balance: uint256 = 0
    for batch: uint256 in range(self._counts >> 128, bound=members.MAX_BATCHES):
        if members.index_of(members.data_of(self, batch), owner) != members.NOWHERE:
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
    return False


@external
@pure
def approve(approved: address, token_id: uint256):
    raise "pass: soulbound"


@external
@pure
def setApprovalForAll(operator: address, approved: bool):
    raise "pass: soulbound"


@external
@pure
def transferFrom(sender: address, receiver: address, token_id: uint256):
    raise "pass: soulbound"


@external
@pure
def safeTransferFrom(sender: address, receiver: address, token_id: uint256, data: Bytes[1024] = b""):
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
    member: address = self._member_of(token_id)
    assert member != empty(address), "pass: no such pass"
    return member


# -------------------------------------------------------------------------------------------------------------- metadata


@external
@view
def tokenURI(token_id: uint256) -> String[256]:
    """
    @notice One document for all passes; reverts for an id that was not issued.
    """
    self._owner_of(token_id)
    return metadata.token_uri("")


@external
@view
def contractURI() -> String[256]:
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
    roles.check_owner(FIRST_OWNER)
    metadata.set_contract_uri(uri)


# ----------------------------------------------------------------------------------------------------------------- roles


@external
@view
def owner() -> address:
    return roles.owner(FIRST_OWNER)


@external
@view
def is_minter(account: address) -> bool:
    return roles.is_minter(FIRST_MINTER, account)


@external
def transfer_ownership(new_owner: address):
    """
    @notice `new_owner` may accept from now on; the zero address withdraws the offer.
    """
    roles.transfer_ownership(FIRST_OWNER, new_owner)


@external
def accept_ownership():
    roles.accept_ownership(FIRST_OWNER)


@external
def set_minter(minter: address, allowed: bool):
    """
    @notice The owner lets the account issue, or not any more.
    """
    roles.set_minter(FIRST_OWNER, minter, allowed)

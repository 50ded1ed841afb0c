# pragma version 0.4.3
# pragma optimize gas
# pragma evm-version prague
"""
@title Anchor
@license MIT
@notice Says on the chain, once and for all, that a digest existed: the commitment of a draw, the head of an audit log.
@dev One a merchant. The event is the record and its block the time; nothing is stored but the number of the next one,
     so that a gap in what somebody shows can be seen. What it means is for whoever published it to say.
"""

from .modules import roles

initializes: roles
exports: roles.pending_owner

event Anchored:
    digest: indexed(bytes32)
    number: indexed(uint256)
    publisher: indexed(address)

FIRST_OWNER: immutable(address)
FIRST_MINTER: immutable(address)

count: public(uint256)  # how many digests were anchored; also the number of the next one


@deploy
def __init__(owner: address, minter: address):
    """
    @param owner Names who may anchor; may be handed over in two steps.
    @param minter The first account that may.
    """
    assert owner != empty(address), "anchor: no owner"
    FIRST_OWNER = owner
    FIRST_MINTER = minter
    log roles.OwnershipTransferred(previous_owner=empty(address), new_owner=owner)
    log roles.MinterSet(minter=minter, allowed=True)


@external
def anchor(digest: bytes32):
    """
    @notice The digest existed at the time of this block.
    """
    assert roles.is_minter(FIRST_MINTER, msg.sender), "anchor: not allowed"
    number: uint256 = self.count
    self.count = unsafe_add(number, 1)
    log Anchored(digest=digest, number=number, publisher=msg.sender)


@external
@view
def owner() -> address:
    """
    @notice The account that names who may anchor.
    """
    return roles.owner(FIRST_OWNER)


@external
@view
def is_minter(account: address) -> bool:
    """
    @notice Whether the account may anchor.
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
    @notice The owner lets the account anchor, or not any more.
    """
    roles.set_minter(FIRST_OWNER, minter, allowed)

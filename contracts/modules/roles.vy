# pragma version 0.4.3
"""
@title Owner and minters
@license MIT
@notice One owner, handed over in two steps so that it never lands on an address nobody controls, and any number of
        minters named by the owner.
@dev The first owner and minter are given at deployment and kept as code by the contract that uses this module, which
     passes them in as `first`: storage holds only what changed later (22,100 gas a slot, against 4,000 for 20 bytes).
"""

from . import errors

event OwnershipTransferStarted:
    previous_owner: indexed(address)
    new_owner: indexed(address)

event OwnershipTransferred:
    previous_owner: indexed(address)
    new_owner: indexed(address)

event MinterSet:
    minter: indexed(address)
    allowed: bool

ALLOWED: constant(uint8) = 1
REFUSED: constant(uint8) = 2

pending_owner: public(address)
_later_owner: address  # empty until the first hand-over
_decided: HashMap[address, uint8]  # 0: as deployed | ALLOWED | REFUSED


@internal
@view
def owner(first: address) -> address:
    later: address = self._later_owner
    return first if later == empty(address) else later


@internal
@view
def is_minter(first: address, account: address) -> bool:
    decided: uint8 = self._decided[account]
    return account == first if decided == 0 else decided == ALLOWED


@internal
@view
def check_owner(first: address):
    if msg.sender != self.owner(first):
        errors.refuse("roles: not the owner")


@internal
def transfer_ownership(first: address, new_owner: address):
    """
    @notice `new_owner` may accept from now on; the zero address withdraws an offer.
    """
    self.check_owner(first)
    self.pending_owner = new_owner
    log OwnershipTransferStarted(previous_owner=msg.sender, new_owner=new_owner)


@internal
def accept_ownership(first: address):
    """
    @notice The caller, who was offered the ownership, is the owner.
    """
    if msg.sender != self.pending_owner:
        errors.refuse("roles: not the pending owner")
    previous: address = self.owner(first)
    self.pending_owner = empty(address)
    self._later_owner = msg.sender
    log OwnershipTransferred(previous_owner=previous, new_owner=msg.sender)


@internal
def set_minter(first_owner: address, minter: address, allowed: bool):
    """
    @notice The account may mint, or may not any more.
    """
    self.check_owner(first_owner)
    self._decided[minter] = ALLOWED if allowed else REFUSED
    log MinterSet(minter=minter, allowed=allowed)

"""Owner and minters, common to all contracts of ours (`contracts/modules/roles.vy`)."""

from eth_typing import ChecksumAddress

from .abi import call


def encode_owner() -> bytes:
    """`owner()`: the account that names minters."""
    return call("owner()")


def encode_pending_owner() -> bytes:
    """`pending_owner()`: the account that was offered the ownership, or the zero address."""
    return call("pending_owner()")


def encode_transfer_ownership(new_owner: ChecksumAddress) -> bytes:
    """`transfer_ownership(new_owner)`: an offer of the owner's; the zero address withdraws it."""
    return call("transfer_ownership(address)", new_owner)


def encode_accept_ownership() -> bytes:
    """`accept_ownership()`: sent by the account that was offered it."""
    return call("accept_ownership()")


def encode_is_minter(account: ChecksumAddress) -> bytes:
    """`is_minter(account)`: whether it may issue, drop, mint or anchor."""
    return call("is_minter(address)", account)


def encode_set_minter(minter: ChecksumAddress, *, allowed: bool) -> bytes:
    """`set_minter(minter, allowed)`: the owner lets the account mint, or not any more."""
    return call("set_minter(address,bool)", minter, allowed)

"""Calls and events of ERC-721, common to passes and digital assets.

References:
    ERC-721; topics and data as in the contract ABI specification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_typing import ChecksumAddress
from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak

from .abi import address, call, decode_address, decode_uint, selector, uint

TRANSFER_TOPIC = keccak(text="Transfer(address,address,uint256)")


@dataclass(frozen=True)
class Transfer:
    """One token changed hands.

    The sender is the zero address when it was minted, the receiver when it was burned.
    Hashes are 32 bytes. `log_index` is the place in the block, not in the transaction.
    """

    contract: ChecksumAddress
    sender: ChecksumAddress
    receiver: ChecksumAddress
    token_id: int
    tx_hash: bytes
    block_number: int
    block_hash: bytes
    log_index: int


def encode_owner_of(token_id: int) -> bytes:
    """`ownerOf(token_id)`; reverts for a token that was not minted."""
    return selector("ownerOf(uint256)") + uint(token_id)


def encode_balance_of(owner: ChecksumAddress) -> bytes:
    """`balanceOf(owner)`: a search in our contracts, so for `eth_call` only."""
    return selector("balanceOf(address)") + address(owner)


def encode_transfer_from(
    sender: ChecksumAddress, receiver: ChecksumAddress, token_id: int
) -> bytes:
    """`transferFrom(sender, receiver, token_id)`: the receiver is not asked."""
    return call("transferFrom(address,address,uint256)", sender, receiver, token_id)


def encode_safe_transfer_from(
    sender: ChecksumAddress, receiver: ChecksumAddress, token_id: int, data: bytes = b""
) -> bytes:
    """`safeTransferFrom(...)`: a receiver that is a contract must agree.

    Args:
        data: handed to the receiver; our contracts take 1,024 bytes at most.
    """
    signature = "safeTransferFrom(address,address,uint256,bytes)"
    return call(signature, sender, receiver, token_id, data)


def encode_approve(approved: ChecksumAddress, token_id: int) -> bytes:
    """`approve(approved, token_id)`: it may move the token; the zero address ends that."""
    return call("approve(address,uint256)", approved, token_id)


def encode_get_approved(token_id: int) -> bytes:
    """`getApproved(token_id)`: who may move it besides its owner, or the zero address."""
    return call("getApproved(uint256)", token_id)


def encode_set_approval_for_all(operator: ChecksumAddress, *, approved: bool) -> bytes:
    """`setApprovalForAll(operator, approved)`: it may move every token of the sender, or not."""
    return call("setApprovalForAll(address,bool)", operator, approved)


def encode_is_approved_for_all(owner: ChecksumAddress, operator: ChecksumAddress) -> bytes:
    """`isApprovedForAll(owner, operator)`: whether the operator may move all of the owner's."""
    return call("isApprovedForAll(address,address)", owner, operator)


def encode_locked(token_id: int) -> bytes:
    """`locked(token_id)`: whether the token is soulbound (ERC-5192)."""
    return call("locked(uint256)", token_id)


def encode_supports_interface(interface_id: bytes) -> bytes:
    """`supportsInterface(interface_id)` (ERC-165).

    Args:
        interface_id: 4 bytes.
    """
    return call("supportsInterface(bytes4)", interface_id)


def encode_name() -> bytes:
    """`name()`, which is also the name of the EIP-712 domain."""
    return call("name()")


def encode_symbol() -> bytes:
    """`symbol()`."""
    return call("symbol()")


def encode_contract_uri() -> bytes:
    """`contractURI()`: the document of the contract (ERC-7572)."""
    return call("contractURI()")


def encode_domain_separator() -> bytes:
    """`DOMAIN_SEPARATOR()`: the EIP-712 domain of permits, 32 bytes."""
    return call("DOMAIN_SEPARATOR()")


def encode_token_uri(token_id: int) -> bytes:
    """`tokenURI(token_id)`; reverts for a token that was not minted."""
    return call("tokenURI(uint256)", token_id)


def decode_transfers(
    logs: Sequence[Mapping[str, Any]], contract: ChecksumAddress
) -> list[Transfer]:
    """The transfers of this contract's tokens, in the order of the logs.

    Logs of other contracts, of other events, and those a reorganisation removed are left out; so is
    a `Transfer` with three topics, which is ERC-20's.

    Args:
        logs: log objects as JSON-RPC gives them (`eth_getLogs`, receipts): hexadecimal strings.
    """
    emitter = to_canonical_address(contract)
    return [_decode(log, contract) for log in logs if _is_transfer(log, emitter)]


def _is_transfer(log: Mapping[str, Any], emitter: bytes) -> bool:
    return (
        len(log["topics"]) == 4
        and _bytes(log["topics"][0]) == TRANSFER_TOPIC
        and _bytes(log["address"]) == emitter
        and not log.get("removed", False)
    )


def _decode(log: Mapping[str, Any], contract: ChecksumAddress) -> Transfer:
    sender, receiver, token_id = (_bytes(topic) for topic in log["topics"][1:])
    return Transfer(
        contract=contract,
        sender=decode_address(sender),
        receiver=decode_address(receiver),
        token_id=decode_uint(token_id),
        tx_hash=_bytes(log["transactionHash"]),
        block_number=int(log["blockNumber"], 16),
        block_hash=_bytes(log["blockHash"]),
        log_index=int(log["logIndex"], 16),
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))

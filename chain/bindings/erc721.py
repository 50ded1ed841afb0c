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

from .abi import address, decode_address, decode_uint, selector, uint

__all__ = [
    "TRANSFER_TOPIC",
    "Transfer",
    "decode_address",
    "decode_transfers",
    "decode_uint",
    "encode_balance_of",
    "encode_owner_of",
]

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

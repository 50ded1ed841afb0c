"""Reads who owns a token, from the chain alone, at one named block.

The independent witness behind every public proof: raw JSON-RPC, no table of ours, no code shared
with what mints. Whatever is doubtful raises; an owner is only ever returned when a node said so.

References:
    ERC-721 (`ownerOf`, `tokenURI`, `Transfer`), ERC-5192 (`locked`), EIP-1898 (block by hash).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from app.verification import abi, rpc
from app.verification.errors import ChainUnavailableError, ContractMissingError
from app.verification.rpc import Node, Reverted

_HASH_BYTES = 32
# A block of the year 9999 ends the calendar; a node that says more is wrong.
_LAST_SECOND = 253_402_300_799


class OwnershipStatus(StrEnum):
    """What the chain says about a token."""

    OWNED = "owned"
    BURNED = "burned"
    NEVER_MINTED = "never_minted"


@dataclass(frozen=True)
class Block:
    """The block everything was read at."""

    number: int
    hash: str
    timestamp: datetime


@dataclass(frozen=True)
class Ownership:
    """The answer; addresses and hashes in lower case.

    `owner`, `token_uri` are None unless the token is owned; `contract_owner` is None where the
    contract has no `owner()`. `call_data` repeats the question on any node: `eth_call` to
    `contract`.
    """

    status: OwnershipStatus
    chain_id: int
    contract: str
    token_id: int
    owner: str | None
    token_uri: str | None
    soulbound: bool
    is_erc721: bool
    contract_owner: str | None
    block: Block
    call_data: str


def chain_id(rpc_url: str, *, timeout: float = 5.0) -> int:
    """The id of the chain the node serves.

    Raises:
        ChainUnavailableError: no trustworthy answer.
    """
    with Node(rpc_url, timeout=timeout) as node:
        return rpc.quantity(node.ask([("eth_chainId", [])])[0])


def read_ownership(
    rpc_url: str, contract: str, token_id: int, *, timeout: float = 5.0, from_block: int = 0
) -> Ownership:
    """Who owns the token at the node's latest block.

    Args:
        contract: 20 bytes in hexadecimal, with 0x, any case.
        timeout: seconds for all questions together.
        from_block: where to begin to look for a burn; the contract's first block is enough.

    Raises:
        ChainUnavailableError: no node, no time, or an answer that cannot be trusted.
        ContractMissingError: no contract at this address that knows owners.
        ValueError: `token_id` is no uint256.
    """
    address = contract.lower()
    with Node(rpc_url, timeout=timeout) as node:
        chain, head = node.ask([("eth_chainId", []), ("eth_getBlockByNumber", ["latest", False])])
        block, chain_number = _block(head), rpc.quantity(chain)
        found = _Contract(node, address, token_id, block)
        if not found.exists:
            raise ContractMissingError(address, chain_number)
        status = OwnershipStatus.OWNED
        if found.owner is None:
            status = _why_nobody(node, address, token_id, block, from_block)
    return Ownership(
        status=status,
        chain_id=chain_number,
        contract=address,
        token_id=token_id,
        owner=found.owner,
        token_uri=found.token_uri if found.owner else None,
        soulbound=found.is_soulbound,
        is_erc721=found.is_erc721,
        contract_owner=found.contract_owner,
        block=block,
        call_data=abi.call(abi.OWNER_OF, abi.word(token_id)),
    )


def _block(answer: Any) -> Block:
    if not isinstance(answer, dict):
        raise ChainUnavailableError("the node has no latest block")
    block_hash, seconds = rpc.data(answer.get("hash")), rpc.quantity(answer.get("timestamp"))
    if len(block_hash) != _HASH_BYTES or seconds > _LAST_SECOND:
        raise ChainUnavailableError("the node's latest block makes no sense")
    return Block(
        number=rpc.quantity(answer.get("number")),
        hash="0x" + block_hash.hex(),
        timestamp=datetime.fromtimestamp(seconds, UTC),
    )


class _Contract:
    """Everything the contract says about the token, asked in one batch at one block."""

    def __init__(self, node: Node, address: str, token_id: int, block: Block) -> None:
        token = abi.word(token_id)
        code, owner_of, token_uri, locked, owner, erc721, erc5192 = node.ask(
            [
                ("eth_getCode", [address, {"blockHash": block.hash}]),
                _call(address, block, abi.call(abi.OWNER_OF, token)),
                _call(address, block, abi.call(abi.TOKEN_URI, token)),
                _call(address, block, abi.call(abi.LOCKED, token)),
                _call(address, block, abi.call(abi.OWNER)),
                _supports(address, block, abi.ERC721),
                _supports(address, block, abi.ERC5192),
            ]
        )
        self.owner = abi.decode_address(_given(owner_of))
        self.token_uri = abi.decode_string(_given(token_uri))
        self.contract_owner = abi.decode_address(_given(owner))
        self.is_erc721 = abi.decode_bool(_given(erc721)) is True
        is_lockable = abi.decode_bool(_given(erc5192)) is True
        self.is_soulbound = is_lockable and abi.decode_bool(_given(locked)) is True
        # An `ownerOf` that answers neither an address nor a refusal is no ERC-721.
        self.exists = rpc.data(code) != b"" and (
            isinstance(owner_of, Reverted) or abi.is_address(rpc.data(owner_of))
        )


def _call(address: str, block: Block, calldata: str) -> rpc.Question:
    return "eth_call", [{"to": address, "data": calldata}, {"blockHash": block.hash}]


def _supports(address: str, block: Block, interface: str) -> rpc.Question:
    calldata = abi.call(abi.SUPPORTS_INTERFACE, abi.interface_word(interface))
    return _call(address, block, calldata)


def _given(answer: Any) -> bytes:
    """The bytes of an answer; none of a call that reverted."""
    return b"" if isinstance(answer, Reverted) else rpc.data(answer)


def _why_nobody(
    node: Node, address: str, token_id: int, block: Block, from_block: int
) -> OwnershipStatus:
    """A token without owner was burned if a transfer to the zero address says so."""
    wanted = {
        "address": address,
        "fromBlock": hex(from_block),
        "toBlock": hex(block.number),
        "topics": [abi.TRANSFER, None, abi.ZERO_WORD, "0x" + abi.word(token_id)],
    }
    logs = node.ask([("eth_getLogs", [wanted])])[0]
    if not isinstance(logs, list):
        raise ChainUnavailableError("the node did not list logs")
    return OwnershipStatus.BURNED if logs else OwnershipStatus.NEVER_MINTED

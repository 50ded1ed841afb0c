"""What all nodes of a chain that answer say alike: the only ground on which anything is a finding.

Providers truncate, lag and prune. A difference between two of them says nothing of the database,
so it never becomes a finding: the caller marks what could not be read and asks again.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeVar

from eth_typing import ChecksumAddress

from chain.bindings.erc721 import TRANSFER_TOPIC
from chain.client import ChainClient, Receipt, read_receipt
from chain.errors import NodesDisagreeError
from chain.nodes import to_bytes
from core.types import Wei

NOBODY = bytes(20)
T = TypeVar("T")


class Move(NamedTuple):
    """A `Transfer` that minted or burned a token; addresses are 20 bytes, `NOBODY` among them."""

    token_id: int
    sender: bytes
    receiver: bytes
    tx_hash: bytes
    block_number: int
    block_hash: bytes


def block_hash(client: ChainClient, number: int) -> bytes | None:
    """The canonical hash at a height; None above the head."""

    def read(answer: Any) -> bytes | None:
        return None if answer is None else to_bytes(answer["hash"])

    return _agreed(client, read, "eth_getBlockByNumber", hex(number), False)


def receipt(client: ChainClient, tx_hash: bytes) -> Receipt | None:
    """The receipt without its logs; None where the transaction is in no block."""

    def read(answer: Any) -> Receipt | None:
        return read_receipt(None if answer is None else {**answer, "logs": []})

    return _agreed(client, read, "eth_getTransactionReceipt", "0x" + tx_hash.hex())


def balance(client: ChainClient, address: ChecksumAddress, *, block: int) -> Wei:
    """The account's native balance after a block."""
    return Wei(_agreed(client, _number, "eth_getBalance", address, hex(block)))


def transaction_count(client: ChainClient, address: ChecksumAddress, *, block: int) -> int:
    """How many nonces the account had used after a block."""
    return _agreed(client, _number, "eth_getTransactionCount", address, hex(block))


def call(client: ChainClient, to: ChecksumAddress, data: bytes, *, block: int) -> bytes:
    """The answer of a view after a block."""
    request = {"to": to, "data": "0x" + data.hex()}
    return _agreed(client, to_bytes, "eth_call", request, hex(block))


def mints(client: ChainClient, contract: ChecksumAddress, *, first: int, last: int) -> list[Move]:
    """Every token the contract made in these blocks, in the order of the chain."""
    return _moves(
        client, contract, [_hex(TRANSFER_TOPIC), _hex(NOBODY.rjust(32, b"\0"))], first, last
    )


def burns(client: ChainClient, contract: ChecksumAddress, *, first: int, last: int) -> list[Move]:
    """Every token of the contract that ended in these blocks, in the order of the chain."""
    topics = [_hex(TRANSFER_TOPIC), None, _hex(NOBODY.rjust(32, b"\0"))]
    return _moves(client, contract, topics, first, last)


def _moves(
    client: ChainClient, contract: ChecksumAddress, topics: list[Any], first: int, last: int
) -> list[Move]:
    blocks = {"fromBlock": hex(first), "toBlock": hex(last)}
    wanted = {"address": contract, "topics": topics, **blocks}
    return _agreed(client, _read_moves, "eth_getLogs", wanted)


def _read_moves(logs: Any) -> list[Move]:
    # a call has a thousand events, and its hashes are decoded once
    once = cache(to_bytes)
    return [
        Move(
            int(token_id, 16),
            once(sender)[12:],
            to_bytes(receiver)[12:],
            once(log["transactionHash"]),
            int(log["blockNumber"], 16),
            once(log["blockHash"]),
        )
        for log in logs
        for _, sender, receiver, token_id in [log["topics"]]
    ]


def _agreed(client: ChainClient, read: Callable[[Any], T], method: str, *params: Any) -> T:
    """What every node says.

    Raises:
        NodesDisagreeError: they say different things.
        RpcError: one refuses.
        ChainUnavailableError: too few answer.
    """
    answers = map(read, client.ask_each(method, *params))
    first = next(answers)
    # all of them, even after a difference: the last one may be the one too few
    if not all([answer == first for answer in answers]):
        raise NodesDisagreeError(method)
    return first


def _number(answer: Any) -> int:
    return int(answer, 16)


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()

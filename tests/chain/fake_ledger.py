"""What a fake chain's contracts and accounts did, and nodes that tell it, or something else.

A test writes the events that a call makes and the money that came and went. Each node answers from
that; what a node hides, forges or refuses is written on the node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from eth_utils.crypto import keccak

from chain.errors import RpcError
from core.types import Gas, Wei

if TYPE_CHECKING:
    from tests.chain.fakes import FakeBlock, FakeChain, Signed

GAS_USED = Gas(50_000)
GAS_PRICE = Wei(2_000_000_000)
NOBODY = "0x" + 40 * "0"
TOPIC = "0x" + keccak(text="Transfer(address,address,uint256)").hex()


@dataclass(frozen=True)
class Event:
    """A `Transfer`; addresses in any spelling."""

    contract: str
    token_id: int
    receiver: str
    sender: str = NOBODY


@dataclass(frozen=True)
class Log:
    """An event in a block."""

    event: Event
    tx_hash: bytes
    block_number: int
    block_hash: bytes


@dataclass
class Ledger:
    """What happened on the chain, beside its blocks.

    Args:
        events: what a call makes, by its data.
        strange: events of transactions that are not ours.
        flows: native coin that came to the relayer, or left it, by block.
        foreign_nonces: of the relayer, used by somebody else from block 0.
        supply_error: by how much a contract's supply differs from its events.
    """

    chain: FakeChain
    events: dict[bytes, list[Event]] = field(default_factory=lambda: defaultdict(list))
    strange: list[Log] = field(default_factory=list)
    flows: list[tuple[int, int]] = field(default_factory=list)
    foreign_nonces: int = 0
    supply_error: int = 0

    def logs(self) -> list[Log]:
        """Every event on the canonical chain, in order."""
        ours = [
            Log(event, mined.tx_hash, block.number, block.hash)
            for block, mined in self.mined()
            for event in self.events.get(mined.data, [])
        ]
        return sorted([*ours, *self.strange], key=lambda log: log.block_number)

    def forge(self, event: Event, *, block: int) -> None:
        """A stranger made this event."""
        block_hash = self.chain.blocks[block].hash
        self.strange.append(Log(event, keccak(text=f"strange {event}"), block, block_hash))

    def mined(self) -> Iterator[tuple[FakeBlock, Signed]]:
        """Every transaction and its block."""
        for block in self.chain.blocks:
            for mined in block.transactions:
                yield block, mined

    def supply(self, contract: str, block: int) -> int:
        """Tokens made and not burned up to a block."""
        logs = [log for log in self.logs() if log.block_number <= block]
        mine = [log.event for log in logs if log.event.contract.lower() == contract.lower()]
        burned = sum(event.receiver == NOBODY for event in mine)
        return sum(event.sender == NOBODY for event in mine) - burned + self.supply_error

    def balance(self, address: str, block: int) -> int:
        """What came in and was not spent up to a block."""
        sent = sum(at.number <= block and it.sender == address for at, it in self.mined())
        moved = sum(amount for at, amount in self.flows if at <= block)
        return int(self.chain.money) + moved - sent * GAS_USED * GAS_PRICE


@dataclass
class NodeView:
    """A node's answers.

    Args:
        hidden: places of events, among all of the chain, that it does not tell.
        altered: events that it tells differently, by their places.
        repeated: places of events that it tells twice.
        most_blocks: a longer range of events is refused.
        refused: methods it refuses.
        wrong_hashes: heights at which it has another block.
    """

    ledger: Ledger
    is_down: bool = False
    hidden: set[int] = field(default_factory=set)
    altered: dict[int, Event] = field(default_factory=dict)
    repeated: set[int] = field(default_factory=set)
    most_blocks: int | None = None
    refused: set[str] = field(default_factory=set)
    wrong_hashes: set[int] = field(default_factory=set)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        """The result of one request."""
        self.asked.append((method, params))
        if method in self.refused:
            raise RpcError(method, -32000, "missing trie node")
        return getattr(self, f"_{method}")(*params)

    def told(self) -> list[Log]:
        """Every event as this node tells it."""
        logs = []
        for place, log in enumerate(self.ledger.logs()):
            if place in self.hidden:
                continue
            told = replace(log, event=self.altered.get(place, log.event))
            logs += [told] * (2 if place in self.repeated else 1)
        return logs

    def _eth_getLogs(self, wanted: Any) -> list[Any]:
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        if self.most_blocks is not None and last - first >= self.most_blocks:
            raise RpcError("eth_getLogs", -32005, "query returned more than 10000 results")
        return [
            _json(log)
            for log in self.told()
            if first <= log.block_number <= last
            and log.event.contract.lower() == wanted["address"].lower()
            and all(
                topic is None or topic == at
                for topic, at in zip(wanted["topics"], _json(log)["topics"], strict=False)
            )
        ]

    def _eth_getBlockByNumber(self, height: str, _full: bool) -> Any:
        number, blocks = int(height, 16), self.ledger.chain.blocks
        if number >= len(blocks):
            return None
        wrong = number in self.wrong_hashes
        return {"hash": "0x" + (keccak(text="wrong") if wrong else blocks[number].hash).hex()}

    def _eth_getTransactionReceipt(self, tx_hash: str) -> Any:
        receipt = self.ledger.chain.receipt(bytes.fromhex(tx_hash[2:]))
        if receipt is None:
            return None
        return {
            "transactionHash": tx_hash,
            "blockNumber": hex(receipt.block_number),
            "blockHash": "0x" + receipt.block_hash.hex(),
            "status": hex(receipt.succeeded),
            "gasUsed": hex(receipt.gas_used),
            "effectiveGasPrice": hex(receipt.effective_gas_price),
            "logs": [],
        }

    def _eth_getBalance(self, address: str, block: str) -> str:
        return hex(self.ledger.balance(address, int(block, 16)))

    def _eth_getTransactionCount(self, address: str, block: str) -> str:
        count = sum(
            at.number <= int(block, 16) and it.sender == address for at, it in self.ledger.mined()
        )
        return hex(count + self.ledger.foreign_nonces)

    def _eth_call(self, request: Any, block: str) -> str:
        return "0x" + f"{self.ledger.supply(request['to'], int(block, 16)):064x}"


def _json(log: Log) -> Any:
    event = log.event
    return {
        "address": event.contract,
        "topics": [TOPIC, _word(event.sender), _word(event.receiver), f"0x{event.token_id:064x}"],
        "transactionHash": "0x" + log.tx_hash.hex(),
        "blockNumber": hex(log.block_number),
        "blockHash": "0x" + log.block_hash.hex(),
        "data": "0x",
    }


def _word(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")

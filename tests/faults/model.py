"""A model of a chain that speaks JSON-RPC, mines by itself, and lies as often as it is told to.

Its pool has go-ethereum's rules, its blocks leave the chain now and then, and it executes whatever
gets into a block: two transactions of the same batch are both executed, so nothing but the
pipeline keeps a recipient from being served twice. `tests/chain/fakes.py` is what it is made of.
"""

import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from random import Random
from typing import Any

from chain.client import Receipt
from chain.errors import RpcError, SendAnswer
from chain.nodes import Block
from tests.chain.fakes import FakeChain, shown
from tests.faults.server import Reply, answered, listen

CHAIN_ID = 31337


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong, as shares of one; block time in seconds."""

    lost_before: float = 0.0
    lost_after: float = 0.0
    nonsense: float = 0.0
    duplicate: float = 0.0
    false_null: float = 0.0
    forgotten_pool: float = 0.0
    refused_call: float = 0.0
    refused_send: float = 0.0
    reorg: float = 0.0
    deepest: int = 10
    block_seconds: float = 0.02


@dataclass
class Counts:
    """What went wrong so far."""

    reorgs: int = 0
    deepest_reorg: int = 0
    bad_sends: int = 0
    false_nulls: int = 0
    drops: int = 0
    blocks: int = 0
    executed: dict[str, int] = field(default_factory=dict)
    """How often the calldata of each batch is on the canonical chain."""

    abandoned: dict[str, float] = field(default_factory=dict)
    """When each block left the chain, in seconds of the wall clock."""


class Model:
    """The chain and its faults; one lock, because requests come from many processes."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.chain = FakeChain()
        self.faults = faults
        self.counts = Counts()
        self._random = Random(seed)
        self._lock = threading.RLock()

    def answer(self, method: str, params: list[Any]) -> Any:
        """The result of a request; None where a lie or the truth is null.

        Raises:
            ConnectionError: nothing is answered.
            RpcError: the node refuses.
        """
        with self._lock:
            handler = getattr(self, f"_{method}", None)
            if handler is None:
                raise RpcError(method, -32601, "the method does not exist")
            return handler(*params)

    def mine(self) -> None:
        """One block more, or a reorganisation."""
        with self._lock:
            if self._happens(self.faults.reorg) and len(self.chain.blocks) > 20:
                depth = self._random.randint(1, self.faults.deepest)
                left = {
                    "0x" + block.hash.hex(): time.time() for block in self.chain.blocks[-depth:]
                }
                self.counts.abandoned |= left
                self.chain.reorganise(depth, keeps=self._random.random() < 0.5)
                self.counts.reorgs += 1
                self.counts.deepest_reorg = max(self.counts.deepest_reorg, depth)
            if self._happens(self.faults.forgotten_pool):
                self.chain.forget_pool()
                self.counts.drops += 1
            self.chain.mine()
            self.counts.blocks += 1

    def _happens(self, share: float) -> bool:
        return self._random.random() < share

    # --------------------------------------------------------------------------------- requests

    def _eth_chainId(self) -> str:
        return hex(CHAIN_ID)

    def _eth_getBlockByNumber(self, tag: str, full: bool) -> Any:
        blocks = self.chain.blocks
        number = len(blocks) - 1 if tag == "latest" else int(tag, 16)
        return _block(self.chain, number, full=full) if number < len(blocks) else None

    def _eth_getTransactionReceipt(self, tx_hash: str) -> Any:
        if self._happens(self.faults.false_null):
            self.counts.false_nulls += 1
            return None
        found = self.chain.receipt(bytes.fromhex(tx_hash[2:]))
        return None if found is None else _receipt(found)

    def _eth_getTransactionCount(self, address: str, tag: str) -> str:
        block = len(self.chain.blocks) - 1 if tag == "latest" else int(tag, 16)
        return hex(self.chain.least_transaction_count(address, block=block))  # type: ignore[arg-type]

    def _eth_getBalance(self, _address: str, _tag: str) -> str:
        return hex(10**24)

    def _eth_estimateGas(self, _call: Any, _tag: str) -> str:
        return hex(60_000)

    def _eth_call(self, _call: Any, _tag: str) -> str:
        if self._happens(self.faults.refused_call):
            raise RpcError("eth_call", 3, "execution reverted: not yet")
        return "0x"

    def _eth_sendRawTransaction(self, text: str) -> str:
        raw = bytes.fromhex(text[2:])
        if self._happens(self.faults.refused_send):
            self.counts.bad_sends += 1
            raise RpcError("eth_sendRawTransaction", -32000, "intrinsic gas too low")
        if self._happens(self.faults.lost_before):
            self.counts.bad_sends += 1
            raise ConnectionError
        if self._happens(self.faults.lost_after):
            self.counts.bad_sends += 1
            self.chain.send_raw(raw)
            raise ConnectionError
        if self._happens(self.faults.nonsense):
            self.counts.bad_sends += 1
            self.chain.send_raw(raw)
            raise RpcError("eth_sendRawTransaction", -32000, "internal error")
        if self._happens(self.faults.duplicate):
            self.counts.bad_sends += 1
            self.chain.send_raw(raw)
        result = self.chain.send_raw(raw)
        if result.answer is not SendAnswer.ACCEPTED:
            raise RpcError("eth_sendRawTransaction", -32000, result.text)
        return "0x" + bytes(32).hex()

    def _model_counts(self) -> dict[str, Any]:
        times = Counter(signed.data.hex() for signed in self.chain.mined())
        self.counts.executed = dict(times)
        return asdict(self.counts)


def respond(model: Model, request: dict[str, Any]) -> Reply | None:
    """The model's answer as it goes over the wire."""
    try:
        return answered(request, result=model.answer(request["method"], request["params"]))
    except ConnectionError:
        return None
    except RpcError as error:
        return answered(request, error={"code": error.code_number, "message": error.reason})


def serve(faults: Faults, seed: int, ready: Any) -> None:
    """Answers requests and mines, until the process ends.

    Args:
        ready: a pipe that is told the ports.
    """
    model = Model(faults, seed)
    ready.send([listen(partial(respond, model))])
    while True:
        time.sleep(faults.block_seconds)
        model.mine()


def _block(chain: FakeChain, number: int, *, full: bool) -> dict[str, Any]:
    block, header = chain.blocks[number], _header(chain, number)
    return {
        "number": hex(number),
        "hash": "0x" + block.hash.hex(),
        "parentHash": "0x" + block.parent_hash.hex(),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "gasLimit": hex(header.gas_limit),
        "transactions": [
            shown(mined.raw) if full else "0x" + mined.tx_hash.hex() for mined in block.transactions
        ],
    }


def _header(chain: FakeChain, number: int) -> Block:
    return chain.head_at(number)


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "transactionHash": "0x" + receipt.tx_hash.hex(),
        "blockNumber": hex(receipt.block_number),
        "blockHash": "0x" + receipt.block_hash.hex(),
        "status": "0x1" if receipt.succeeded else "0x0",
        "gasUsed": hex(receipt.gas_used),
        "effectiveGasPrice": hex(receipt.effective_gas_price),
        "logs": [],
    }

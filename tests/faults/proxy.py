"""Two endpoints in front of a development chain that lie, and a miner that reorganises it.

The chain behind executes for real; go-ethereum's pool rules stand before it (`pool.py`). The second
endpoint lies more than the first: it also tells of receipts that do not exist.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from tests.faults.pool import Pool
from tests.faults.server import Reply, answered, listen
from tests.faults.upstream import Upstream

_A_CUT = 0.3
"""Seconds during which cut bytes get no answer."""

_KINDS = ("silence", "busy", "page", "half", "delay", "mixed up")


@dataclass(frozen=True)
class Lies:
    """How often what goes wrong, as shares of one.

    Args:
        reads: of questions that get no answer, half of one, or somebody else's.
        longest_delay: seconds; more than a client waits.
    """

    reads: float
    lost_before: float
    lost_after: float
    duplicate: float
    false_null: float
    forged: float
    stale_head: float
    longest_delay: float = 0.6


@dataclass(frozen=True)
class Weather:
    """What happens to the chain itself, as shares of one for each block.

    Args:
        outage: of blocks during which no answer of any node comes back.
        cut: of signed bytes; no node answers when they are sent first.
    """

    reorg: float
    drop: float
    outage: float
    cut: float
    deepest: int = 10
    block_seconds: float = 0.05


HONEST_NODE = Lies(0.004, 0.01, 0.02, 0.02, 0.02, 0.0, 0.01)
WORSE_NODE = Lies(0.02, 0.05, 0.05, 0.05, 0.1, 0.05, 0.05)


@dataclass
class Shared:
    """What the endpoints and the miner share."""

    chain: Upstream
    pool: Pool
    weather: Weather
    random: Random
    counts: Counter[str] = field(default_factory=Counter)
    is_out: bool = False
    _cut_until: dict[bytes, float] = field(default_factory=dict)

    def is_cut(self, raw: bytes) -> bool:
        """Whether nobody answers to these bytes now; decided once, for all nodes."""
        if raw not in self._cut_until:
            is_cut = self.random.random() < self.weather.cut
            self._cut_until[raw] = time.monotonic() + _A_CUT * is_cut
        return time.monotonic() < self._cut_until[raw]


class Endpoint:
    """One URL; what it says is the chain's answer, or a lie."""

    def __init__(self, shared: Shared, lies: Lies, seed: int) -> None:
        self._shared, self._lies = shared, lies
        self._chain, self._pool, self._counts = shared.chain, shared.pool, shared.counts
        self._random = Random(seed)
        self._before: dict[str, Any] = {}

    def respond(self, request: dict[str, Any]) -> Reply | None:
        """What goes back to the client."""
        method, params = request["method"], request["params"]
        raw = bytes.fromhex(params[0][2:]) if method == "eth_sendRawTransaction" else None
        if self._shared.is_out or (raw is not None and self._shared.is_cut(raw)):
            return self._lose(raw)
        if raw is not None:
            return self._send(request, raw)
        answer = self._read(method, params)
        if self._happens(self._lies.reads):
            return self._garble(request, answer)
        self._before[method] = answer.get("result")
        return _reply(request, answer)

    def _lose(self, raw: bytes | None) -> None:
        """Half of what is sent arrives; nobody hears of it."""
        self._counts["outages"] += 1
        if raw is not None:
            self._counts["bad_sends"] += 1
            if self._happens(0.5):
                self._pool.send(raw)

    def _send(self, request: dict[str, Any], raw: bytes) -> Reply | None:
        if self._happens(self._lies.lost_before):
            self._counts["bad_sends"] += 1
            return None
        if self._happens(self._lies.duplicate):
            self._counts["bad_sends"] += 1
            self._pool.send(raw)
        refusal = self._pool.send(raw)
        if refusal is None:
            answer: dict[str, Any] = {"result": "0x" + bytes(32).hex()}
        else:
            answer = {"error": {"code": -32000, "message": refusal}}
        if self._happens(self._lies.lost_after):
            self._counts["bad_sends"] += 1
            return self._garble(request, answer)
        return _reply(request, answer)

    def _read(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method == "eth_getTransactionReceipt":
            return self._receipt(params[0])
        if params and params[0] == "latest" and self._happens(self._lies.stale_head):
            self._counts["stale_heads"] += 1
            head = int(self._chain.ask("eth_blockNumber"), 16)
            params = [hex(max(0, head - self._random.randint(1, 20))), *params[1:]]
        return self._chain.exchange(method, params)

    def _receipt(self, tx_hash: str) -> dict[str, Any]:
        if self._happens(self._lies.false_null):
            self._counts["false_nulls"] += 1
            return {"result": None}
        answer = self._chain.exchange("eth_getTransactionReceipt", [tx_hash])
        if answer.get("result") is None and self._happens(self._lies.forged):
            self._counts["forged_receipts"] += 1
            return {"result": self._forge(tx_hash)}
        return answer

    def _forge(self, tx_hash: str) -> dict[str, Any]:
        head = self._chain.ask("eth_getBlockByNumber", "latest", False)
        return {
            "transactionHash": tx_hash,
            "blockNumber": head["number"],
            "blockHash": head["hash"],
            "status": "0x1",
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x1",
            "logs": [],
        }

    def _garble(self, request: dict[str, Any], answer: dict[str, Any]) -> Reply | None:
        kind = self._random.choice(_KINDS)
        self._counts[kind] += 1
        right = _reply(request, answer)
        match kind:
            case "silence":
                return None
            case "busy":
                return Reply(b"busy", 503)
            case "page":
                return Reply(b"<html><body>Please wait.</body></html>")
            case "half":
                return Reply(right.body[: len(right.body) // 2])
            case "delay":
                time.sleep(self._random.uniform(0, self._lies.longest_delay))
                return right
            case _:
                mixed = {**request, "id": request["id"] + 1}
                return answered(mixed, result=self._before.get(request["method"]))

    def _happens(self, share: float) -> bool:
        return self._random.random() < share


class Miner:
    """Makes the blocks, and takes some back."""

    def __init__(self, shared: Shared, seed: int) -> None:
        self._shared, self._weather = shared, shared.weather
        self._chain, self._pool, self._counts = shared.chain, shared.pool, shared.counts
        self._random = Random(seed)
        self.abandoned: dict[str, float] = {}
        self._ground: int | None = None

    def keep(self) -> None:
        """What the chain is given until now stays: reorganisations go back to here at the most."""
        self._ground = int(self._chain.ask("eth_blockNumber"), 16)

    def _may_reorganise(self, head: int) -> bool:
        is_high = self._ground is not None and head - self._ground > self._weather.deepest
        return is_high and self._random.random() < self._weather.reorg

    def mine(self) -> None:
        """One block more, or a reorganisation before it."""
        head = int(self._chain.ask("eth_blockNumber"), 16)
        if self._may_reorganise(head):
            self._reorganise(head, self._random.randint(1, self._weather.deepest))
        if self._random.random() < self._weather.drop:
            self._counts["drops"] += self._pool.drop(self._random.randrange(1 << 16))
        self._shared.is_out = self._random.random() < self._weather.outage
        self._chain.ask("evm_mine")
        self._counts["blocks"] += 1

    def _reorganise(self, head: int, depth: int) -> None:
        """Some of the transactions are in other blocks afterwards, the rest in none."""
        numbers = range(head - depth + 1, head + 1)
        gone = [self._chain.ask("eth_getBlockByNumber", hex(number), False) for number in numbers]
        hashes = [tx_hash for block in gone for tx_hash in block["transactions"]]
        kept = hashes[: self._random.randint(0, len(hashes))]  # in the order of their nonces
        offsets = sorted(self._random.randrange(depth) for _ in kept)
        pairs = [
            ["0x" + self._pool.raws[tx_hash].hex(), offset]
            for tx_hash, offset in zip(kept, offsets, strict=True)
        ]
        self._chain.ask("anvil_reorg", depth, pairs)
        now = time.time()
        self.abandoned |= {block["hash"]: now for block in gone}
        self._counts["reorgs"] += 1
        self._counts["included_elsewhere"] += len(kept)
        self._counts["thrown_away"] += len(hashes) - len(kept)
        self._counts["deepest_reorg"] = max(self._counts["deepest_reorg"], depth)


def serve(chain_port: int, weather: Weather, seed: int, ready: Any) -> None:
    """Lies at two ports, tells counts at a third and mines, until the process ends.

    Args:
        ready: a pipe that is told the ports, that of the counts last.
    """
    chain = Upstream(chain_port)
    shared = Shared(chain, Pool(chain), weather, Random(seed + 100))
    miner = Miner(shared, seed)
    nodes = [
        Endpoint(shared, lies, seed + number)
        for number, lies in enumerate((HONEST_NODE, WORSE_NODE), start=1)
    ]
    tell = partial(_counts, shared.counts, miner)
    ready.send([*(listen(node.respond) for node in nodes), listen(tell)])
    while True:
        time.sleep(weather.block_seconds)
        miner.mine()


def _counts(counts: Counter[str], miner: Miner, request: dict[str, Any]) -> Reply:
    if request["method"] == "keep":
        miner.keep()
    return answered(request, result={**counts, "abandoned": miner.abandoned})


def _reply(request: dict[str, Any], answer: dict[str, Any]) -> Reply:
    whole = {**answer, "jsonrpc": "2.0", "id": request["id"]}
    return Reply(json.dumps(whole).encode())

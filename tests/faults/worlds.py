"""The two chains a campaign runs on, and the oracle: what each has executed, asked past every lie.

Both execute whatever gets into a block, as often as it does: nothing but the pipeline keeps a
recipient from being served twice.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from eth_abi.abi import decode, encode
from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from tests.contracts.node import anvil
from tests.faults import model, proxy
from tests.faults.upstream import Upstream

STATES_KEPT = 256
_FIELDS = ("uint256", "uint256", "uint256")
_SELECTOR = keccak(text="mint(uint256,uint256,uint256)")[:4]
_MINTED = "0x" + keccak(text="Minted(uint256,uint256,uint256)").hex()


class World(Protocol):
    """A chain, the lies about it, and the truth.

    Attributes:
        urls: of its nodes, which lie.
        truth: of a node for the setting-up.
    """

    urls: list[str]
    truth: str

    def calldata(self, contract: int, index: int, first: int, count: int) -> bytes:
        """What a batch says; no two say the same."""

    def welcome(self, relayer: ChecksumAddress) -> None:
        """The relayer can pay."""

    def counts(self) -> dict[str, Any]:
        """What went wrong so far."""

    def executed(self) -> dict[str, int]:
        """How often each calldata (hexadecimal) was executed on the canonical chain."""


def contract_address(number: int) -> ChecksumAddress:
    """Where the contract with this number is."""
    return to_checksum_address(f"0x{0xC0DE00 + number:040x}")


class ModelWorld:
    """A model of a chain, in a process of its own (`model.py`)."""

    def __init__(self, port: int) -> None:
        self.truth = f"http://127.0.0.1:{port}"
        self.urls = [self.truth]
        self._node = Upstream(port)

    def calldata(self, contract: int, index: int, first: int, count: int) -> bytes:
        return b"batch" + contract.to_bytes(2, "big") + index.to_bytes(4, "big")

    def welcome(self, relayer: ChecksumAddress) -> None:
        """Nobody is poor here."""

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self._node.ask("model_counts")
        del counts["executed"]
        return counts

    def executed(self) -> dict[str, int]:
        executed: dict[str, int] = self._node.ask("model_counts")["executed"]
        return executed


class EvmWorld:
    """A real EVM behind two endpoints that lie (`proxy.py`); its contract is `Unguarded.vy`."""

    def __init__(self, port: int, ports: list[int], contracts: int) -> None:
        *nodes, counts = ports
        self.urls = [f"http://127.0.0.1:{number}" for number in nodes]
        self.truth = f"http://127.0.0.1:{port}"
        self._node, self._counts = Upstream(port), Upstream(counts)
        self._contracts = [contract_address(number) for number in range(contracts)]

    def calldata(self, contract: int, index: int, first: int, count: int) -> bytes:
        return _SELECTOR + encode(_FIELDS, ((contract << 32) + index, first, count))

    def welcome(self, relayer: ChecksumAddress) -> None:
        self._node.ask("anvil_setBalance", relayer, hex(10**24))
        self._counts.ask("keep")

    def counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self._counts.ask("counts")
        return counts

    def executed(self) -> dict[str, int]:
        """From the logs of every block; what the contracts have counted says the same."""
        executed: Counter[str] = Counter()
        recipients = 0
        for address in self._contracts:
            wanted = {"fromBlock": "0x0", "toBlock": "latest", "address": address}
            for log in self._node.ask("eth_getLogs", {**wanted, "topics": [_MINTED]}):
                first, count = decode(_FIELDS[1:], bytes.fromhex(log["data"][2:]))
                values = (int(log["topics"][1], 16), first, count)
                executed[(_SELECTOR + encode(_FIELDS, values)).hex()] += 1
                recipients += count
        assert recipients == sum(self._minted(address) for address in self._contracts)
        return executed

    def _minted(self, address: ChecksumAddress) -> int:
        return int(self._node.ask("eth_getStorageAt", address, "0x0", "latest"), 16)


@contextmanager
def model_world(context: Any, faults: model.Faults, seed: int) -> Iterator[ModelWorld]:
    """A model that starts empty."""
    with _served(context, model.serve, faults, seed) as [port]:
        yield ModelWorld(port)


@contextmanager
def evm_world(
    context: Any, weather: proxy.Weather, seed: int, *, contracts: int
) -> Iterator[EvmWorld]:
    """A fresh EVM with this many unguarded contracts."""
    code = _unguarded()
    with anvil("--no-mining", "--accounts", "0", states=STATES_KEPT) as port:
        node = Upstream(port)
        for number in range(contracts):
            node.ask("anvil_setCode", contract_address(number), code)
        with _served(context, proxy.serve, port, weather, seed) as ports:
            yield EvmWorld(port, ports, contracts)


@contextmanager
def _served(context: Any, serve: Any, *arguments: Any) -> Iterator[list[int]]:
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(*arguments, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def _unguarded() -> str:
    from vyper import compile_code  # a development dependency that takes a second to load

    source = (Path(__file__).parent / "Unguarded.vy").read_text(encoding="utf-8")
    code: str = compile_code(source, output_formats=["bytecode_runtime"])["bytecode_runtime"]
    return code

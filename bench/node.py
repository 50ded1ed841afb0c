"""A chain of a benchmark's own: the rules of Osaka, one transaction a block, any account signs."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address

from chain.local import anvil_path

GAS_CAP = 2**24  # EIP-7825
SENDER = to_checksum_address("0x" + "c0" * 20)


class Node:
    """A chain of this process's own, which signs for any account."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def call(self, method: str, *params: Any) -> Any:
        """The result of a JSON-RPC call."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._http.post("/", json=body).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def send(
        self, data: bytes, to: ChecksumAddress | None = None, *, sender: ChecksumAddress = SENDER
    ) -> dict[str, Any]:
        """The receipt of a transaction that succeeded."""
        transaction = {"from": sender, "data": "0x" + data.hex(), "gas": hex(GAS_CAP)}
        tx_hash = self.call("eth_sendTransaction", transaction | ({"to": to} if to else {}))
        self.call("evm_mine")
        receipt: dict[str, Any] = self.call("eth_getTransactionReceipt", tx_hash)
        if receipt["status"] != "0x1":
            raise RuntimeError(f"Transaction {tx_hash} reverted.")
        return receipt

    def create(self, data: bytes) -> ChecksumAddress:
        """The address of a new contract."""
        return to_checksum_address(self.send(data)["contractAddress"])


@contextmanager
def node(*, mines: bool = False) -> Iterator[Node]:
    """A fresh chain with the rules of Osaka, gone afterwards.

    Args:
        mines: every transaction is mined when it arrives; otherwise when somebody says so.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    rules = ["--hardfork", "osaka", "--enable-tx-gas-limit"]
    quiet = ["--accounts", "0", "--prune-history", "64", "--silent"]
    if not mines:
        quiet.append("--no-mining")
    with subprocess.Popen([str(anvil_path()), "--port", str(port), *rules, *quiet]) as process:
        try:
            chain = Node(f"http://127.0.0.1:{port}")
            _wait(chain)
            chain.call("anvil_impersonateAccount", SENDER)
            chain.call("anvil_setBalance", SENDER, hex(10**24))
            yield chain
        finally:
            process.terminate()


def _wait(chain: Node) -> None:
    for _ in range(100):
        try:
            chain.call("eth_chainId")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("The chain did not start within five seconds.")

"""A chain spoken to directly: a hundred times quicker than through ape, for tests of many steps.

Any account sends, gas is free, and a transaction is answered with its receipt.
"""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import encode
from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address

from chain.bindings.errors import decode_revert
from chain.local import anvil_path

GAS_CAP = 2**24  # EIP-7825
OSAKA = ("--hardfork", "osaka", "--enable-tx-gas-limit", "--silent")
_FREE = ("--accounts", "0", "--auto-impersonate", "--block-base-fee-per-gas", "0")


@contextmanager
def anvil(*options: str, states: int = 20) -> Iterator[int]:
    """A fresh chain with the rules of Osaka, gone afterwards: the port it listens on.

    Args:
        states: of how many blocks it can be asked about; all would fill gigabytes of disk.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [str(anvil_path()), "--port", str(port), *OSAKA, *options]
    command += ["--prune-history", str(states)]
    with subprocess.Popen(command) as process:
        try:
            _wait(port)
            yield port
        finally:
            process.terminate()


def _wait(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("The chain did not start within five seconds.")


@dataclass(frozen=True)
class Outcome:
    """What became of a transaction.

    Attributes:
        refusal: why it reverted: its message, empty if it gave none; None if it did not revert.
        logs: as JSON-RPC gives them.
        created: the address of a new contract.
    """

    refusal: str | None
    logs: list[dict[str, Any]] = field(default_factory=list)
    created: ChecksumAddress | None = None
    gas: int = 0


class Node:
    """One connection to a chain."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self._post(_request(method, *params))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def send(self, sender: str, to: str | None, data: bytes) -> Outcome:
        """Sends a transaction, whether it succeeds or not."""
        transaction = {"from": sender, "data": "0x" + data.hex(), "gas": hex(GAS_CAP)}
        transaction |= {"gasPrice": "0x0"} | ({"to": to} if to else {})
        receipt = self.rpc("eth_sendTransactionSync", transaction)
        gas = int(receipt["gasUsed"], 16)
        if receipt["status"] != "0x1":
            return Outcome(self.refusal(sender, to, data), gas=gas)
        created = receipt["contractAddress"]
        address = to_checksum_address(created) if created else None
        return Outcome(None, receipt["logs"], address, gas)

    def create(self, sender: str, code: bytes, *arguments: tuple[str, Any]) -> ChecksumAddress:
        """The address of a new contract.

        Args:
            arguments: of its constructor: type and value.
        """
        values = encode([kind for kind, _ in arguments], [value for _, value in arguments])
        created = self.send(sender, None, code + values).created
        assert created is not None
        return created

    def refusal(self, sender: str, to: str | None, data: bytes) -> str:
        """Why a call reverts."""
        call = {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": hex(GAS_CAP)}
        answer = self._post(_request("eth_call", call, "latest"))
        assert "error" in answer, "The call reverts as a transaction only."
        return decode_revert(_reason(answer)) or ""

    def views(self, calls: Sequence[tuple[str, bytes]]) -> list[bytes | str]:
        """The answers of these calls; a text, its message, where one reverts."""
        if not calls:
            return []
        asked = [{"to": to, "data": "0x" + data.hex()} for to, data in calls]
        answers = self._post([_request("eth_call", call, "latest") for call in asked])
        return [
            decode_revert(_reason(answer)) or ""
            if "error" in answer
            else bytes.fromhex(answer["result"][2:])
            for answer in answers
        ]

    def _post(self, body: Any) -> Any:
        self._http.request("POST", "/", json.dumps(body), {"content-type": "application/json"})
        return json.loads(self._http.getresponse().read())


@contextmanager
def node() -> Iterator[Node]:
    """A fresh chain on which any account sends for nothing."""
    with anvil(*_FREE) as port:
        yield Node(port)


def _request(method: str, *params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def _reason(answer: dict[str, Any]) -> bytes:
    data = answer["error"].get("data")
    return bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) else b""

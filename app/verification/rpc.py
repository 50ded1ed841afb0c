"""Questions to a node, over plain HTTP: every doubt about an answer means "no answer".

References:
    JSON-RPC 2.0 §5-6 (batch); EIP-1474; EIP-1898 (calls at a block hash).
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from app.verification.errors import ChainUnavailableError

_ANSWER_BYTES = 4_000_000
# go-ethereum internal/ethapi/errors.go: 3; Nethermind and OpenEthereum: -32015.
_REVERT_CODES = (3, -32015)

Question = tuple[str, list[Any]]


@dataclass(frozen=True)
class Reverted:
    """The contract itself refused the call; that is an answer."""


class Node:
    """One connection to one node, for one reading.

    Args:
        timeout: seconds for everything asked through it.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        self._url = url
        self._deadline = time.monotonic() + timeout
        self._client = httpx.Client(follow_redirects=False, trust_env=False)

    def __enter__(self) -> Self:
        """The open connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._client.close()

    def ask(self, questions: Sequence[Question]) -> list[Any]:
        """The answers in the order of the questions; a call that reverted answers `Reverted`.

        Raises:
            ChainUnavailableError: any of them has no answer.
        """
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(questions)
        ]
        answers = self._post(json.dumps(body).encode())
        if not isinstance(answers, list) or not all(isinstance(item, dict) for item in answers):
            raise ChainUnavailableError("the node does not answer a batch with a list")
        by_id = {item["id"]: item for item in answers if isinstance(item.get("id"), int)}
        return [_result(by_id.get(number), *body) for number, body in enumerate(questions)]

    def _post(self, body: bytes) -> Any:
        try:
            raw = self._exchange(body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ChainUnavailableError(f"{type(error).__name__}: {error}") from None
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise ChainUnavailableError("the node answered something that is not JSON") from None

    def _exchange(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        left = max(self._deadline - time.monotonic(), 0.001)
        request = self._client.stream(
            "POST", self._url, content=body, headers=headers, timeout=left
        )
        with request as response:
            if response.status_code != httpx.codes.OK:
                raise ChainUnavailableError(f"the node answered {response.status_code}")
            return self._collect(response)

    def _collect(self, response: httpx.Response) -> bytes:
        """The body, if it ends before the deadline and is of a sane size: a node may drip."""
        collected = bytearray()
        for part in response.iter_bytes():
            collected += part
            if len(collected) > _ANSWER_BYTES or time.monotonic() > self._deadline:
                raise ChainUnavailableError("the node's answer is too long or too slow")
        return bytes(collected)


def _result(answer: dict[str, Any] | None, method: str, _params: list[Any]) -> Any:
    if answer is None:
        raise ChainUnavailableError(f"{method} was not answered")
    error = answer.get("error")
    if error is None and "result" in answer:
        return answer["result"]
    if method == "eth_call" and isinstance(error, dict) and _is_revert(error):
        return Reverted()
    raise ChainUnavailableError(f"{method}: {str(error)[:200]}")


def _is_revert(error: dict[str, Any]) -> bool:
    """Geth, Erigon and anvil send code 3; Besu and others -32000 and the word."""
    return error.get("code") in _REVERT_CODES or "revert" in str(error.get("message", "")).lower()


def quantity(value: Any) -> int:
    """The number of a hexadecimal quantity.

    Raises:
        ChainUnavailableError: it is none.
    """
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return int(value[2:], 16)
        except ValueError:
            pass
    raise ChainUnavailableError("the node sent something that is not a number")


def data(value: Any) -> bytes:
    """The bytes of hexadecimal data.

    Raises:
        ChainUnavailableError: it is none.
    """
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass
    raise ChainUnavailableError("the node sent something that is not data")

"""One node: its transport, whether it answers, and how far behind the others it is.

A circuit breaker spares a node that does not answer, and everybody who would wait for it: after a
few failures in a row it is left alone for a while, which doubles up to a minute.

References:
    EIP-1474 (errors), the JSON-RPC 2.0 specification.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from web3 import HTTPProvider
from web3.types import RPCEndpoint, RPCResponse

from chain.settings import chain_settings
from core.types import Gas, Wei

FAILURES = 3
"""In a row, until a node is left alone."""

_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Refusal:
    """A JSON-RPC error object."""

    code: int
    message: str
    data: bytes


@dataclass(frozen=True)
class Block:
    """A block header, as far as the pipeline needs it."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee_per_gas: Wei
    gas_limit: Gas


class UnreadableAnswerError(Exception):
    """JSON, but no JSON-RPC answer."""


class _Provider(HTTPProvider):
    """Takes no answer to another question for its own, which proxies mix up now and then."""

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        request = self.encode_rpc_request(method, params)
        response = self.decode_rpc_response(self._make_request(method, request))
        if "result" in response and response.get("id") != json.loads(request)["id"]:
            raise UnreadableAnswerError("the answer is to another question")
        return response


class Node:
    """A node of a chain.

    Args:
        clock: monotonic seconds; says when to ask again, never what happened.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        settings = chain_settings()
        timeout = (settings.connect_timeout_seconds, settings.read_timeout_seconds)
        # web3 sends eth_sendRawTransaction up to five times unless its retries are off.
        self._provider = _Provider(
            url, request_kwargs={"timeout": timeout}, exception_retry_configuration=None
        )
        self._clock = clock
        self._failures = 0
        self._pause = _FIRST_PAUSE
        self._closed_until = 0.0
        self.lags = False

    @property
    def is_spared(self) -> bool:
        """Whether it failed so often that it is left alone now."""
        return self._clock() < self._closed_until

    def exchange(self, method: str, params: Sequence[Any]) -> Any:
        """The result, or the `Refusal`, that the node answers to one request.

        Raises:
            Exception: nothing came back that says either; the kinds are the transport's.
        """
        try:
            answer = _read(self._provider.make_request(RPCEndpoint(method), list(params)))
        except Exception:
            self._fail()
            raise
        self._failures, self._pause = 0, _FIRST_PAUSE
        return answer

    def block(self, tag: str) -> Block | None:
        """The block at a tag or height, or None where the node has none.

        Raises:
            Exception: as `exchange`; a refusal is one, too.
        """
        answer = self.exchange("eth_getBlockByNumber", [tag, False])
        if isinstance(answer, Refusal):
            raise UnreadableAnswerError(answer.message)
        return None if answer is None else _block(answer)

    def _fail(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._closed_until = self._clock() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def _read(answer: Any) -> Any:
    if isinstance(answer, dict) and answer.get("error") is not None:
        return _refusal(answer["error"])
    if not isinstance(answer, dict) or "result" not in answer:
        raise UnreadableAnswerError
    return answer["result"]


def _refusal(error: Any) -> Refusal:
    if not isinstance(error, dict) or "message" not in error:
        raise UnreadableAnswerError
    data = error.get("data")
    revert = to_bytes(data) if isinstance(data, str) and data.startswith("0x") else b""
    return Refusal(int(error.get("code", 0)), str(error["message"]), revert)


def _block(answer: Any) -> Block:
    return Block(
        number=int(answer["number"], 16),
        hash=to_bytes(answer["hash"]),
        parent_hash=to_bytes(answer["parentHash"]),
        timestamp=int(answer["timestamp"], 16),
        base_fee_per_gas=Wei(int(answer.get("baseFeePerGas", "0x0"), 16)),
        gas_limit=Gas(int(answer["gasLimit"], 16)),
    )


def to_bytes(text: Any) -> bytes:
    """The bytes behind hexadecimal text."""
    return text if isinstance(text, bytes) else bytes.fromhex(str(text).removeprefix("0x"))

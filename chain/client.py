"""Every call to a node, and our own types back.

A call is tried on each URL in order until one answers; what only all of them can prove is asked of
all. Sends are sent to every URL, once each: the bytes are stored before, so a lost answer costs
nothing and a retry needs no new decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_typing import ChecksumAddress
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from chain.errors import ChainUnavailableError, RpcError, SendAnswer, classify_send_error
from chain.settings import chain_settings
from core.errors import AppError
from core.types import Gas, Wei


@dataclass(frozen=True)
class Block:
    """A block header, as far as the pipeline needs it."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee_per_gas: Wei
    gas_limit: Gas


@dataclass(frozen=True)
class Receipt:
    """What happened to a transaction in a block."""

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: Gas
    effective_gas_price: Wei
    logs: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class SendResult:
    """The classified answer of a node and its own words."""

    answer: SendAnswer
    text: str


class ChainClient:
    """Speaks JSON-RPC with the nodes of one chain.

    Args:
        name: the chain's name in error messages.
        urls: node URLs, tried in order.
    """

    def __init__(self, name: str, urls: Sequence[str]) -> None:
        settings = chain_settings()
        timeout = (settings.connect_timeout_seconds, settings.read_timeout_seconds)
        self._name = name
        self._providers = [
            # web3 sends eth_sendRawTransaction up to five times unless its retries are off.
            HTTPProvider(
                url, request_kwargs={"timeout": timeout}, exception_retry_configuration=None
            )
            for url in urls
        ]

    def chain_id(self) -> int:
        """The id the node serves (EIP-695)."""
        return int(self._ask("eth_chainId"), 16)

    def head(self) -> Block:
        """The newest block."""
        return self._block("latest")

    def finalized_number(self) -> int:
        """The number of the node's finalized block."""
        return self._block("finalized").number

    def block_hash(self, number: int) -> bytes | None:
        """The canonical hash at a height, or None above the head."""
        answer = self._ask("eth_getBlockByNumber", hex(number), False)
        return None if answer is None else _bytes(answer["hash"])

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """The receipt on the canonical chain, or None, which proves nothing."""
        answer = self._ask("eth_getTransactionReceipt", "0x" + tx_hash.hex())
        return None if answer is None or answer["blockHash"] is None else _receipt(answer)

    def transaction_count(self, address: ChecksumAddress) -> int:
        """How many nonces the account has used at the head."""
        return int(self._ask("eth_getTransactionCount", address, "latest"), 16)

    def least_transaction_count(self, address: ChecksumAddress, *, block: int) -> int:
        """How many nonces the account had used at a height, by the node that knows of fewest.

        Raises:
            ChainUnavailableError: a node gave no answer, so there is nothing all of them say.
        """
        answers = self._ask_all("eth_getTransactionCount", address, hex(block))
        return min(int(answer, 16) for answer in answers)

    def is_in_a_block(self, tx_hash: bytes) -> bool:
        """Whether any node has a receipt of these bytes.

        Raises:
            ChainUnavailableError: a node gave no answer.
        """
        answers = self._ask_all("eth_getTransactionReceipt", "0x" + tx_hash.hex())
        return any(answer is not None for answer in answers)

    def balance(self, address: ChecksumAddress) -> Wei:
        """The account's native balance at the head."""
        return Wei(int(self._ask("eth_getBalance", address, "latest"), 16))

    def code(self, address: ChecksumAddress) -> bytes:
        """The code at an address; empty where there is no contract."""
        return _bytes(self._ask("eth_getCode", address, "latest"))

    def call(self, to: ChecksumAddress, data: bytes) -> bytes:
        """The answer of a view at the head.

        Raises:
            RpcError: it reverted.
        """
        return _bytes(self._ask("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest"))

    def estimate_gas(
        self,
        sender: ChecksumAddress,
        to: ChecksumAddress | None,
        data: bytes,
        *,
        block: int | None = None,
    ) -> Gas:
        """What the call would use at the head, or after this block.

        Args:
            block: a node that has not seen it yet refuses, instead of answering from the past.

        Raises:
            RpcError: it would revert, or the node cannot say.
        """
        call = {"from": sender, "data": "0x" + data.hex()}
        if to is not None:
            call["to"] = to
        height = "latest" if block is None else hex(block)
        return Gas(int(self._ask("eth_estimateGas", call, height), 16))

    def send_raw(self, raw: bytes) -> SendResult:
        """Send signed bytes to every node, once each; the best answer counts.

        Never raises for a node's refusal or silence: no answer to a send is a verdict.
        """
        results = [self._send_to(provider, raw) for provider in self._providers]
        return min(results, key=lambda result: list(SendAnswer).index(result.answer))

    def admin(self, method: str, *params: Any) -> Any:
        """A call of the development chain's own (`anvil_…`, `evm_…`)."""
        return self._ask(method, *params)

    def _send_to(self, provider: HTTPProvider, raw: bytes) -> SendResult:
        try:
            answer = _exchange(provider, "eth_sendRawTransaction", ["0x" + raw.hex()])
        except Exception as error:  # any transport failure, any nonsense: nothing is known
            return SendResult(SendAnswer.UNKNOWN, type(error).__name__)
        if isinstance(answer, _Refusal):
            return SendResult(classify_send_error(answer.message), answer.message)
        return SendResult(SendAnswer.ACCEPTED, "accepted")

    def _block(self, tag: str) -> Block:
        answer = self._ask("eth_getBlockByNumber", tag, False)
        if answer is None:
            raise ChainUnavailableError(self._name, f"it has no {tag} block yet")
        return Block(
            number=int(answer["number"], 16),
            hash=_bytes(answer["hash"]),
            parent_hash=_bytes(answer["parentHash"]),
            timestamp=int(answer["timestamp"], 16),
            base_fee_per_gas=Wei(int(answer.get("baseFeePerGas", "0x0"), 16)),
            gas_limit=Gas(int(answer["gasLimit"], 16)),
        )

    def _ask(self, method: str, *params: Any) -> Any:
        """The first answer; a revert is one, a limit or a missing block is asked of the next node.

        Raises:
            RpcError: the contract refused, or no node answered and this is what the last one said.
            ChainUnavailableError: nothing usable came back.
        """
        last: AppError = ChainUnavailableError(self._name, "no URL")
        for provider in self._providers:
            try:
                answer = _exchange(provider, method, list(params))
            except Exception as error:  # timeouts, resets, HTML instead of JSON: try the next
                last = ChainUnavailableError(self._name, type(error).__name__)
                continue
            if not isinstance(answer, _Refusal):
                return answer
            last = refusal = RpcError(method, answer.code, answer.message, answer.data)
            if refusal.is_revert:
                break
        raise last

    def _ask_all(self, method: str, *params: Any) -> list[Any]:
        answers = []
        for provider in self._providers:
            try:
                answer = _exchange(provider, method, list(params))
            except Exception as error:
                raise ChainUnavailableError(self._name, type(error).__name__) from error
            if isinstance(answer, _Refusal):
                raise ChainUnavailableError(self._name, answer.message)
            answers.append(answer)
        return answers


@dataclass(frozen=True)
class _Refusal:
    """A JSON-RPC error object."""

    code: int
    message: str
    data: bytes


class _UnreadableAnswerError(Exception):
    """JSON, but no JSON-RPC answer."""


def _exchange(provider: HTTPProvider, method: str, params: list[Any]) -> Any:
    """The result, or the refusal, that one node answers.

    Raises:
        Exception: nothing came back that says either; the kinds are the transport's.
    """
    answer: Any = provider.make_request(RPCEndpoint(method), params)
    if isinstance(answer, dict) and answer.get("error") is not None:
        return _refusal(answer["error"])
    if not isinstance(answer, dict) or "result" not in answer:
        raise _UnreadableAnswerError
    return answer["result"]


def _refusal(error: Any) -> _Refusal:
    if not isinstance(error, dict) or "message" not in error:
        raise _UnreadableAnswerError
    data = error.get("data")
    revert = _bytes(data) if isinstance(data, str) and data.startswith("0x") else b""
    return _Refusal(int(error.get("code", 0)), str(error["message"]), revert)


def _receipt(answer: Any) -> Receipt:
    return Receipt(
        tx_hash=_bytes(answer["transactionHash"]),
        block_number=int(answer["blockNumber"], 16),
        block_hash=_bytes(answer["blockHash"]),
        succeeded=int(answer["status"], 16) == 1,
        gas_used=Gas(int(answer["gasUsed"], 16)),
        effective_gas_price=Wei(int(answer["effectiveGasPrice"], 16)),
        logs=answer["logs"],
    )


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else bytes.fromhex(str(text).removeprefix("0x"))

"""Every call to the nodes of a chain, and our own types back.

A call is tried on each node in order until one answers, those last that do not answer or lag
behind. What has to be certain needs two witnesses, wherever there are two nodes; what only all of
them can prove is asked of all. Sends are sent to every node, once each: the bytes are stored
before, so a lost answer costs nothing and a retry needs no new decision.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from eth_typing import ChecksumAddress

from chain.errors import ChainUnavailableError, RpcError, SendAnswer, classify_send_error
from chain.nodes import Block, Node, Refusal, to_bytes
from chain.rebuilding import Seen, sent_by
from core.errors import AppError
from core.types import Gas, Wei

log = structlog.get_logger(__name__)

WITNESSES = 2
"""Nodes that have to agree on what is final; where there is one only, it is believed."""

STALE_BLOCKS = 3
"""A node this far behind the others is asked last."""

NOTHING = Wei(0)
_ANY_ACCOUNT = "0x" + "00" * 20


@dataclass(frozen=True)
class Receipt:
    """What happened to a transaction in a block.

    Args:
        data_fee: what an OP Stack chain takes beside the gas for publishing the data; else 0.
    """

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: Gas
    effective_gas_price: Wei
    logs: Sequence[dict[str, Any]]
    data_fee: Wei = NOTHING


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
        clock: monotonic seconds, for the circuit breakers.
    """

    def __init__(
        self, name: str, urls: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._nodes = [Node(url, clock=clock) for url in urls]

    @property
    def witnesses(self) -> int:
        """How many nodes have to agree on what is final."""
        return min(WITNESSES, len(self._nodes))

    def chain_id(self) -> int:
        """The id the node serves (EIP-695)."""
        return int(self._ask("eth_chainId"), 16)

    def head(self) -> Block:
        """The newest block that enough nodes have, so that one that runs ahead alone moves nothing.

        Raises:
            ChainUnavailableError: too few nodes answer.
        """
        found = self._blocks("latest")
        head = self._witnessed([block for _, block in found])
        for node, block in found:
            node.lags = block.number < head.number - STALE_BLOCKS
        return head

    def finalized_number(self) -> int:
        """The newest block that enough nodes call final.

        Raises:
            ChainUnavailableError: too few nodes answer, or have such a block.
        """
        return self._witnessed([block for _, block in self._blocks("finalized")]).number

    def confirms(self, receipt: Receipt) -> bool:
        """Whether enough nodes have the transaction in this block, and the block at its height.

        A node without an answer says neither yes nor no.
        """
        if self.witnesses <= 1:
            return True  # it said so itself
        votes = 0
        for node in self._in_order():
            try:
                votes += _has(node, receipt)
            except Exception as error:
                log.warning("witness_silent", chain=self._name, reason=type(error).__name__)
            if votes >= self.witnesses:
                return True
        return False

    def block_hash(self, number: int) -> bytes | None:
        """The canonical hash at a height, or None above the head."""
        answer = self._ask("eth_getBlockByNumber", hex(number), False)
        return None if answer is None else to_bytes(answer["hash"])

    def agreed_block(self, number: int) -> Block:
        """The canonical block at a height, as enough nodes have it.

        Raises:
            ChainUnavailableError: too few nodes answer, have it, or say the same of it.
        """
        found = [block for _, block in self._blocks(hex(number))]
        [(block, votes)] = Counter(found).most_common(1)
        if votes < self.witnesses:
            raise ChainUnavailableError(self._name, f"its nodes disagree about block {number}")
        return block

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """The receipt on the canonical chain, or None, which proves nothing."""
        answer = self._ask("eth_getTransactionReceipt", "0x" + tx_hash.hex())
        return read_receipt(answer)

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

    def greatest_transaction_count(self, address: ChecksumAddress) -> int:
        """How many nonces the account has used at the head, by the node that knows of most.

        Raises:
            ChainUnavailableError: a node gave no answer.
        """
        answers = self._ask_all("eth_getTransactionCount", address, "latest")
        return max(int(answer, 16) for answer in answers)

    def sent_by(self, sender: ChecksumAddress, *, block: int) -> list[Seen]:
        """What a block has of an account, in the order of its nonces.

        Raises:
            ChainUnavailableError: the node that answers has no such block, or shows transactions
                that the account never signed.
        """
        answer = self._ask("eth_getBlockByNumber", hex(block), True)
        try:
            return sent_by(sender, answer["transactions"])
        except (KeyError, TypeError, ValueError) as error:
            raise ChainUnavailableError(self._name, f"it cannot show block {block}") from error

    def balance(self, address: ChecksumAddress) -> Wei:
        """The account's native balance at the head."""
        return Wei(int(self._ask("eth_getBalance", address, "latest"), 16))

    def greatest_balance(self, address: ChecksumAddress) -> Wei:
        """The account's native balance at the head, by the node that knows of most.

        Raises:
            ChainUnavailableError: a node gave no answer.
        """
        answers = self._ask_all("eth_getBalance", address, "latest")
        return Wei(max(int(answer, 16) for answer in answers))

    def has_state(self, block: int) -> bool:
        """Whether the node can say what accounts were after the block."""
        try:
            self._ask("eth_getBalance", _ANY_ACCOUNT, hex(block))
        except RpcError:
            return False
        return True

    def code(self, address: ChecksumAddress) -> bytes:
        """The code at an address; empty where there is no contract."""
        return to_bytes(self._ask("eth_getCode", address, "latest"))

    def call(self, to: ChecksumAddress, data: bytes) -> bytes:
        """The answer of a view at the head.

        Raises:
            RpcError: it reverted.
        """
        return to_bytes(self._ask("eth_call", {"to": to, "data": "0x" + data.hex()}, "latest"))

    def simulate(
        self, sender: ChecksumAddress, to: ChecksumAddress, data: bytes, *, gas: Gas, block: int
    ) -> None:
        """Nothing, if the call would succeed with this gas after this block.

        Raises:
            RpcError: it would revert or need more gas, or the node cannot say.
        """
        call = {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": hex(gas)}
        self._ask("eth_call", call, hex(block))

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
        reached = [node for node in self._nodes if not node.is_spared] or self._nodes
        results = [_send_to(node, raw) for node in reached]
        return min(results, key=lambda result: list(SendAnswer).index(result.answer))

    def ask_each(self, method: str, *params: Any) -> Iterator[Any]:
        """What every node that answers says, one after the other, so that one is held at a time.

        Raises:
            RpcError: a node refuses.
            ChainUnavailableError: too few nodes answered; known only at the end.
        """
        answered = 0
        last = ChainUnavailableError(self._name, "no URL")
        for node in self._in_order():
            try:
                answer = node.exchange(method, params)
            except Exception as error:
                last = ChainUnavailableError(self._name, type(error).__name__)
                continue
            if isinstance(answer, Refusal):
                raise RpcError(method, answer.code, answer.message, answer.data)
            answered += 1
            yield answer
        if answered < max(1, self.witnesses):
            raise last

    def admin(self, method: str, *params: Any) -> Any:
        """A call of the development chain's own (`anvil_…`, `evm_…`)."""
        return self._ask(method, *params)

    def _in_order(self) -> list[Node]:
        """The nodes, those last that probably do not answer or do not know."""
        return sorted(self._nodes, key=lambda node: (node.is_spared, node.lags))

    def _blocks(self, tag: str) -> list[tuple[Node, Block]]:
        """What each node that answers has at this tag."""
        found = []
        last = ChainUnavailableError(self._name, "no URL")
        for node in self._in_order():
            try:
                block = node.block(tag)
            except Exception as error:
                last = ChainUnavailableError(self._name, type(error).__name__)
                continue
            if block is None:
                last = ChainUnavailableError(self._name, f"it has no {tag} block yet")
            else:
                found.append((node, block))
        if not found or len(found) < self.witnesses:
            raise last
        return found

    def _witnessed(self, blocks: Sequence[Block]) -> Block:
        """The highest that enough nodes have reached."""
        ordered = sorted(blocks, key=lambda block: block.number, reverse=True)
        return ordered[self.witnesses - 1]

    def _ask(self, method: str, *params: Any) -> Any:
        """The first answer; a revert is one, a limit or a missing block is asked of the next node.

        Raises:
            RpcError: the contract refused, or no node answered and this is what the last one said.
            ChainUnavailableError: nothing usable came back.
        """
        last: AppError = ChainUnavailableError(self._name, "no URL")
        for node in self._in_order():
            try:
                answer = node.exchange(method, params)
            except Exception as error:  # timeouts, resets, HTML instead of JSON: try the next
                last = ChainUnavailableError(self._name, type(error).__name__)
                continue
            if not isinstance(answer, Refusal):
                return answer
            last = refusal = RpcError(method, answer.code, answer.message, answer.data)
            if refusal.is_revert:
                break
        raise last

    def _ask_all(self, method: str, *params: Any) -> list[Any]:
        answers = []
        for node in self._nodes:
            try:
                answer = node.exchange(method, params)
            except Exception as error:
                raise ChainUnavailableError(self._name, type(error).__name__) from error
            if isinstance(answer, Refusal):
                raise ChainUnavailableError(self._name, answer.message)
            answers.append(answer)
        return answers


def _send_to(node: Node, raw: bytes) -> SendResult:
    try:
        answer = node.exchange("eth_sendRawTransaction", ["0x" + raw.hex()])
    except Exception as error:  # any transport failure, any nonsense: nothing is known
        return SendResult(SendAnswer.UNKNOWN, type(error).__name__)
    if isinstance(answer, Refusal):
        return SendResult(classify_send_error(answer.message), answer.message)
    return SendResult(SendAnswer.ACCEPTED, "accepted")


def _has(node: Node, receipt: Receipt) -> bool:
    block = node.block(hex(receipt.block_number))
    if block is None or block.hash != receipt.block_hash:
        return False
    # not the receipt: with thousands of logs that is megabytes
    answer = node.exchange("eth_getTransactionByHash", ["0x" + receipt.tx_hash.hex()])
    found = answer["blockHash"] if isinstance(answer, dict) else None
    return found is not None and to_bytes(found) == receipt.block_hash


def read_receipt(answer: Any) -> Receipt | None:
    """What `eth_getTransactionReceipt` answered; None before the transaction is in a block."""
    if answer is None or answer["blockHash"] is None:
        return None
    return Receipt(
        tx_hash=to_bytes(answer["transactionHash"]),
        block_number=int(answer["blockNumber"], 16),
        block_hash=to_bytes(answer["blockHash"]),
        succeeded=int(answer["status"], 16) == 1,
        gas_used=Gas(int(answer["gasUsed"], 16)),
        effective_gas_price=Wei(int(answer["effectiveGasPrice"], 16)),
        logs=answer["logs"],
        data_fee=Wei(int(answer.get("l1Fee") or "0x0", 16)),
    )

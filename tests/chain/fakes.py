"""A chain whose behaviour the test writes: it loses, repeats, refuses, forgets and reorganises.

`FakeChain` has the methods of `ChainClient`. Left alone it behaves like a node that mines when
told to. Every send is checked first: bytes that are not committed in the database fail the test.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_typing import ChecksumAddress
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from chain.client import Receipt, SendResult
from chain.errors import ChainUnavailableError, RpcError, SendAnswer
from chain.nodes import Block
from chain.rebuilding import Seen
from core.types import Gas, Wei
from tests.chain.fake_ledger import GAS_PRICE, GAS_USED, Ledger, NodeView


class ProcessKilledError(BaseException):
    """The process ends here; no handler of the product may catch it."""


@dataclass(frozen=True)
class Send:
    """What one send does: whether the node takes the bytes, and what the caller sees.

    Args:
        copies: how often the node sees the bytes; 0 loses them on the way.
        answer: replaces the node's own answer.
        kills: the sender dies after the node saw what it saw.
    """

    copies: int = 1
    answer: SendResult | None = None
    kills: bool = False


DROP_BEFORE = Send(copies=0, answer=SendResult(SendAnswer.UNKNOWN, "ConnectTimeout"))
DROP_AFTER = Send(copies=1, answer=SendResult(SendAnswer.UNKNOWN, "ReadTimeout"))
DUPLICATE = Send(copies=2)
KILL_BEFORE = Send(copies=0, kills=True)
KILL_AFTER = Send(copies=1, kills=True)


def answered(answer: SendAnswer, text: str = "", *, taken: bool = False) -> Send:
    """The node answers this; it keeps the bytes only if `taken`."""
    return Send(copies=int(taken), answer=SendResult(answer, text or answer.value))


@dataclass(frozen=True)
class Signed:
    """A transaction as the network sees it."""

    raw: bytes
    tx_hash: bytes
    sender: str
    nonce: int
    data: bytes
    max_fee_per_gas: int
    max_priority_fee_per_gas: int

    def may_replace(self, other: "Signed") -> bool:
        """Go-ethereum's rule: both prices a tenth higher at least."""
        return (
            10 * self.max_fee_per_gas >= 11 * other.max_fee_per_gas
            and 10 * self.max_priority_fee_per_gas >= 11 * other.max_priority_fee_per_gas
        )


@dataclass
class FakeBlock:
    """A block; the hash depends on everything below it.

    Args:
        used: how many nonces each account has used up to here.
    """

    number: int
    hash: bytes
    parent_hash: bytes
    transactions: list[Signed] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)


def decode(raw: bytes) -> Signed:
    """The transaction in signed bytes."""
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return Signed(
        raw=raw,
        tx_hash=keccak(raw),
        sender=Account.recover_transaction(raw),
        nonce=int(fields["nonce"]),
        data=bytes(fields["data"]),
        max_fee_per_gas=int(fields["maxFeePerGas"]),
        max_priority_fee_per_gas=int(fields["maxPriorityFeePerGas"]),
    )


def shown(raw: bytes) -> dict[str, Any]:
    """The transaction in signed bytes as a node shows it in a block."""
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    names = ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")
    return {
        **{name: hex(fields[name]) for name in (*names, "v", "r", "s")},
        "type": "0x2",
        "hash": "0x" + keccak(raw).hex(),
        "from": Account.recover_transaction(raw).lower(),
        "to": "0x" + bytes(fields["to"]).hex() if fields["to"] else None,
        "input": "0x" + bytes(fields["data"]).hex(),
        "accessList": [],
    }


class FakeChain:
    """A node and its chain.

    Args:
        before_send: called with the bytes before anything else happens to them.
    """

    def __init__(self, before_send: Callable[[bytes], None] = lambda raw: None) -> None:
        self._before_send = before_send
        self._lock = RLock()
        self._salt = 0
        self.blocks = [FakeBlock(0, bytes(32), bytes(32))]
        self._places: dict[bytes, FakeBlock] = {}
        self.pool: dict[bytes, Signed] = {}
        self.sends: deque[Send] = deque()
        self.sent: list[bytes] = []
        self.final_depth = 2
        self.hidden_receipts = 0
        self.is_down = False
        self.reverting: set[bytes] = set()
        self.refusal: RpcError | None = None
        self.gas_estimate = Gas(60_000)
        self.money = Wei(10**18)
        self.base_fee = Wei(1_000_000_000)
        self.withheld: set[bytes] = set()
        self.ledger = Ledger(self)
        self.nodes = [NodeView(self.ledger)]

    # --- what the pipeline sees ---------------------------------------------------------------

    def chain_id(self) -> int:
        """The id of the chain."""
        self._check_up()
        return 31337

    def head(self) -> Block:
        """The newest block."""
        self._check_up()
        return _as_block(self.blocks[-1], self.base_fee)

    def head_at(self, number: int) -> Block:
        """The block at a height."""
        return _as_block(self.blocks[number], self.base_fee)

    def finalized_number(self) -> int:
        """So many blocks below the head as the test chose."""
        self._check_up()
        return max(0, self.blocks[-1].number - self.final_depth)

    def block_hash(self, number: int) -> bytes | None:
        """The canonical hash at a height."""
        self._check_up()
        return self.blocks[number].hash if number < len(self.blocks) else None

    def agreed_block(self, number: int) -> Block:
        """The block at a height, about which one node always agrees."""
        self._check_up()
        if number >= len(self.blocks):
            raise ChainUnavailableError("Test chain", f"it has no block {number}")
        return self.head_at(number)

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """The receipt; hidden as often as the test asked for."""
        self._check_up()
        if self.hidden_receipts > 0:
            self.hidden_receipts -= 1
            return None
        block = self._places.get(tx_hash)
        return None if block is None else self._receipt(tx_hash, block)

    def confirms(self, receipt: Receipt) -> bool:
        """Whether the block is canonical; hidden receipts are hidden here, too."""
        return self.receipt(receipt.tx_hash) == receipt

    def transaction_count(self, address: ChecksumAddress) -> int:
        """Nonces used by the account."""
        self._check_up()
        return self.blocks[-1].used[address]

    def balance(self, address: ChecksumAddress) -> Wei:
        """What the test chose; enough at first."""
        self._check_up()
        return self.money

    def greatest_balance(self, address: ChecksumAddress) -> Wei:
        """The only node's."""
        return self.balance(address)

    def has_state(self, block: int) -> bool:
        """It knows everything that ever was."""
        return block <= self.head().number

    def code(self, address: ChecksumAddress) -> bytes:
        """No contract anywhere."""
        self._check_up()
        return b""

    def call(self, to: ChecksumAddress, data: bytes) -> bytes:
        """Nothing."""
        self._check_up()
        return b""

    def least_transaction_count(self, address: ChecksumAddress, *, block: int) -> int:
        """Nonces used by the account up to a block."""
        self._check_up()
        return self.blocks[min(block, len(self.blocks) - 1)].used[address]

    def greatest_transaction_count(self, address: ChecksumAddress) -> int:
        """Nonces used by the account."""
        return self.transaction_count(address)

    def sent_by(self, sender: ChecksumAddress, *, block: int) -> list[Seen]:
        """What the account has in the block, but for what the test withholds."""
        self._check_up()
        if block >= len(self.blocks):
            raise ChainUnavailableError("Test chain", f"it cannot show block {block}")
        shown = [
            Seen(signed.nonce, signed.tx_hash, signed.raw)
            for signed in self.blocks[block].transactions
            if signed.sender == sender and signed.tx_hash not in self.withheld
        ]
        return sorted(shown, key=lambda seen: seen.nonce)

    def simulate(
        self, sender: ChecksumAddress, to: ChecksumAddress, data: bytes, *, gas: Gas, block: int
    ) -> None:
        """The refusal the test chose; so is too little gas."""
        self._check_up()
        assert block < len(self.blocks)
        if self.refusal is not None:
            raise self.refusal
        if gas < self.gas_estimate:
            raise RpcError("eth_call", -32000, "out of gas")

    def estimate_gas(
        self,
        sender: ChecksumAddress,
        to: ChecksumAddress | None,
        data: bytes,
        *,
        block: int | None = None,
    ) -> Gas:
        """What the test chose, or its refusal."""
        self._check_up()
        assert block is None or block < len(self.blocks)
        if self.refusal is not None:
            raise self.refusal
        return self.gas_estimate

    def send_raw(self, raw: bytes) -> SendResult:
        """The next scripted answer; the rules of a pool when there is none."""
        self._before_send(raw)
        with self._lock:
            self.sent.append(raw)
            if self.is_down:
                return SendResult(SendAnswer.UNKNOWN, "ConnectionError")
            script = self.sends.popleft() if self.sends else Send()
            answer = SendResult(SendAnswer.UNKNOWN, "no answer")
            for _ in range(script.copies):
                answer = self._take(decode(raw))
            if script.kills:
                raise ProcessKilledError
            return script.answer or answer

    def ask_each(self, method: str, *params: Any) -> Iterator[Any]:
        """What each node of the test says, in the form of JSON-RPC."""
        self._check_up()
        answering = [view for view in self.nodes if not view.is_down]
        if len(answering) < min(2, len(self.nodes)):
            raise ChainUnavailableError("Test chain", "ConnectionError")
        for view in answering:
            yield view.answer(method, params)

    def admin(self, method: str, *params: Any) -> Any:
        """A development chain's `evm_mine`."""
        assert method == "evm_mine"
        self.mine()

    # --- what the test does -------------------------------------------------------------------

    def mine(self, *, blocks: int = 1) -> None:
        """Blocks with everything that can be mined in the first."""
        with self._lock:
            for _ in range(blocks):
                self._append(self._minable())

    def receive(self, raw: bytes) -> None:
        """Bytes that came from elsewhere, or from a database that was lost, are in the pool."""
        with self._lock:
            self._take(decode(raw))

    def mine_empty(self) -> None:
        """A block without room for anything."""
        with self._lock:
            self._append([])

    def reorganise(self, depth: int, *, keeps: bool = True) -> None:
        """The last blocks are replaced by as many empty ones.

        Args:
            keeps: their transactions go back to the pool; otherwise the node forgets them.
        """
        with self._lock:
            gone = [mined for block in self.blocks[-depth:] for mined in block.transactions]
            del self.blocks[-depth:]
            for signed in gone:
                del self._places[signed.tx_hash]
            self._salt += 1
            for _ in range(depth):
                self._append([])
            if keeps:
                self.pool.update({signed.tx_hash: signed for signed in gone})

    def forget_pool(self) -> None:
        """Everything not in a block is lost, as after a restart."""
        with self._lock:
            self.pool.clear()

    def mined(self) -> list[Signed]:
        """Everything on the canonical chain, in order."""
        return [mined for block in self.blocks for mined in block.transactions]

    def _take(self, signed: Signed) -> SendResult:
        if signed.tx_hash in self.pool:
            return SendResult(SendAnswer.KNOWN, "already known")
        if signed.nonce < self.transaction_count(signed.sender):
            return SendResult(SendAnswer.NONCE_TOO_LOW, "nonce too low")
        for other in self._with_nonce_of(signed):
            if not signed.may_replace(other):
                text = "replacement transaction underpriced"
                return SendResult(SendAnswer.REPLACEMENT_UNDERPRICED, text)
            del self.pool[other.tx_hash]
        self.pool[signed.tx_hash] = signed
        return SendResult(SendAnswer.ACCEPTED, "accepted")

    def _with_nonce_of(self, signed: Signed) -> list[Signed]:
        place = (signed.sender, signed.nonce)
        return [other for other in self.pool.values() if (other.sender, other.nonce) == place]

    def _minable(self) -> list[Signed]:
        used: dict[str, int] = {}
        chosen = []
        for signed in sorted(self.pool.values(), key=lambda signed: signed.nonce):
            expected = used.get(signed.sender, self.transaction_count(signed.sender))
            if signed.nonce == expected:
                chosen.append(signed)
                used[signed.sender] = expected + 1
                del self.pool[signed.tx_hash]
        return chosen

    def _append(self, transactions: Sequence[Signed]) -> None:
        parent = self.blocks[-1]
        body = b"".join(signed.tx_hash for signed in transactions)
        block_hash = keccak(parent.hash + self._salt.to_bytes(8, "big") + body)
        number = parent.number + 1
        used = parent.used + Counter(signed.sender for signed in transactions)
        block = FakeBlock(number, block_hash, parent.hash, list(transactions), used)
        self.blocks.append(block)
        self._places.update({signed.tx_hash: block for signed in transactions})

    def _receipt(self, tx_hash: bytes, block: FakeBlock) -> Receipt:
        return Receipt(
            tx_hash=tx_hash,
            block_number=block.number,
            block_hash=block.hash,
            succeeded=tx_hash not in self.reverting,
            gas_used=GAS_USED,
            effective_gas_price=GAS_PRICE,
            logs=[],
        )

    def _check_up(self) -> None:
        if self.is_down:
            raise ChainUnavailableError("Test chain", "ConnectionError")


def _as_block(block: FakeBlock, base_fee: Wei) -> Block:
    return Block(
        number=block.number,
        hash=block.hash,
        parent_hash=block.parent_hash,
        timestamp=block.number,
        base_fee_per_gas=base_fee,
        gas_limit=Gas(30_000_000),
    )

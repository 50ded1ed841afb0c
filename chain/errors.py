"""What a node can answer and what can go wrong with a chain.

An answer to a sent transaction never decides its fate: only receipts do. The table says what to
do next, and no row of it ends in a new nonce.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

from core.errors import AppError, ConflictError, NotFoundError, SettingsError, UnavailableError
from core.types import TransactionId

_NAMED = 5


class SendAnswer(StrEnum):
    """What a node said about bytes that were sent to it."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    NONCE_TOO_LOW = "nonce_too_low"
    REPLACEMENT_UNDERPRICED = "replacement_underpriced"
    UNDERPRICED = "underpriced"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    NONCE_GAP = "nonce_gap"
    BACK_PRESSURE = "back_pressure"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


_TABLE: tuple[tuple[str, SendAnswer, str], ...] = (
    # text in lower case; answer; the clients that say so
    ("already known", SendAnswer.KNOWN, "geth, erigon, reth, nethermind"),
    ("alreadyknown", SendAnswer.KNOWN, "nethermind before 1.33"),
    ("already_known", SendAnswer.KNOWN, "arbitrum"),
    ("known transaction", SendAnswer.KNOWN, "besu, geth before 1.10, hardhat, zksync"),
    ("already imported", SendAnswer.KNOWN, "anvil, openethereum, reth's pool"),
    ("alreadyimported", SendAnswer.KNOWN, "moonbeam"),
    ("existing txn with same hash", SendAnswer.KNOWN, "erigon"),
    ("nonce too low", SendAnswer.NONCE_TOO_LOW, "geth, anvil, besu, erigon, reth, arbitrum"),
    ("nonce_too_low", SendAnswer.NONCE_TOO_LOW, "besu"),
    ("oldnonce", SendAnswer.NONCE_TOO_LOW, "nethermind before 1.33"),
    ("nonce is too low", SendAnswer.NONCE_TOO_LOW, "openethereum"),
    ("pool(stale)", SendAnswer.NONCE_TOO_LOW, "moonbeam"),
    ("replacement transaction underpriced", SendAnswer.REPLACEMENT_UNDERPRICED, "geth, besu, reth"),
    ("replacementnotallowed", SendAnswer.REPLACEMENT_UNDERPRICED, "nethermind before 1.33"),
    ("ownnoncealreadyused", SendAnswer.REPLACEMENT_UNDERPRICED, "nethermind"),
    ("to replace existing transaction", SendAnswer.REPLACEMENT_UNDERPRICED, "anvil, reth's pool"),
    ("could not replace existing tx", SendAnswer.REPLACEMENT_UNDERPRICED, "erigon"),
    ("future transaction tries to replace", SendAnswer.REPLACEMENT_UNDERPRICED, "geth legacypool"),
    ("another transaction with same nonce", SendAnswer.REPLACEMENT_UNDERPRICED, "openethereum"),
    ("another tx which has the same nonce", SendAnswer.REPLACEMENT_UNDERPRICED, "kaia"),
    ("underpriced", SendAnswer.UNDERPRICED, "geth, erigon, nethermind, reth"),
    ("feetoolow", SendAnswer.UNDERPRICED, "nethermind before 1.33"),
    ("fee too low", SendAnswer.UNDERPRICED, "erigon"),
    ("max fee per gas less than block base fee", SendAnswer.UNDERPRICED, "geth, anvil, reth"),
    ("gas price below minimum", SendAnswer.UNDERPRICED, "geth since 1.14, bor"),
    ("gas price below configured minimum gas price", SendAnswer.UNDERPRICED, "besu"),
    ("gas price below current base fee", SendAnswer.UNDERPRICED, "besu"),
    ("priority fee below minimum", SendAnswer.UNDERPRICED, "reth"),
    ("below chain minimum", SendAnswer.UNDERPRICED, "reth's pool"),
    ("too low for the next block", SendAnswer.UNDERPRICED, "hardhat"),
    ("gas price is too low", SendAnswer.UNDERPRICED, "openethereum"),
    ("gas price too low", SendAnswer.UNDERPRICED, "metis, arbitrum classic"),
    ("less than gas price minimum floor", SendAnswer.UNDERPRICED, "celo"),
    ("insufficient funds", SendAnswer.INSUFFICIENT_FUNDS, "geth, anvil, erigon, reth, arbitrum"),
    ("insufficientfunds", SendAnswer.INSUFFICIENT_FUNDS, "nethermind before 1.33"),
    ("insufficient balance", SendAnswer.INSUFFICIENT_FUNDS, "openethereum, zksync"),
    ("upfront cost exceeds account balance", SendAnswer.INSUFFICIENT_FUNDS, "besu"),
    ("would cause overdraft", SendAnswer.INSUFFICIENT_FUNDS, "geth txpool"),
    ("overdraws from account", SendAnswer.INSUFFICIENT_FUNDS, "reth's pool"),
    ("enough funds", SendAnswer.INSUFFICIENT_FUNDS, "hardhat, openethereum, arbitrum classic"),
    ("nonce too high", SendAnswer.NONCE_GAP, "geth, anvil, besu, hardhat, nethermind, arbitrum"),
    ("noncegap", SendAnswer.NONCE_GAP, "nethermind before 1.33"),
    ("noncetoofarinfuture", SendAnswer.NONCE_GAP, "nethermind before 1.33"),
    ("gapped-nonce", SendAnswer.NONCE_GAP, "geth, delegated accounts"),
    ("nonce is too distant", SendAnswer.NONCE_GAP, "besu"),
    ("transaction with a lower nonce exists", SendAnswer.NONCE_GAP, "besu"),
    ("account limit exceeded", SendAnswer.BACK_PRESSURE, "geth legacypool"),
    ("txpool is full", SendAnswer.BACK_PRESSURE, "geth, reth"),
    ("in-flight transaction limit reached", SendAnswer.BACK_PRESSURE, "geth, delegated accounts"),
    ("sub-pool is full", SendAnswer.BACK_PRESSURE, "erigon"),
    ("pool size constraints", SendAnswer.BACK_PRESSURE, "reth's pool"),
    ("spammer", SendAnswer.BACK_PRESSURE, "erigon, reth's pool"),
    ("too many transactions in the queue", SendAnswer.BACK_PRESSURE, "openethereum"),
    ("queue full", SendAnswer.BACK_PRESSURE, "arbitrum"),
    ("pending tx pool full", SendAnswer.BACK_PRESSURE, "arbitrum"),
    ("transaction pool not enabled", SendAnswer.BACK_PRESSURE, "besu"),
    ("sync is still in progress", SendAnswer.BACK_PRESSURE, "besu"),
    # the node's own limit of fees: others may take the bytes, and a bump would only make it worse
    ("exceeds the configured cap", SendAnswer.BACK_PRESSURE, "geth, op-geth, reth"),
    ("transaction fee cap exceeded", SendAnswer.BACK_PRESSURE, "besu"),
    ("intrinsic gas too low", SendAnswer.REJECTED, "geth, anvil, reth"),
    ("intrinsicgas", SendAnswer.REJECTED, "erigon"),
    ("intrinsic gas exceeds gas limit", SendAnswer.REJECTED, "besu"),
    ("intrinsic gas too high", SendAnswer.REJECTED, "anvil, reth"),
    ("insufficient gas for floor data", SendAnswer.REJECTED, "geth since Prague"),
    ("exceeds block gas limit", SendAnswer.REJECTED, "geth, besu, reth"),
    ("gaslimitexceeded", SendAnswer.REJECTED, "nethermind before 1.33"),
    ("exceeds max transaction gas limit", SendAnswer.REJECTED, "reth since Osaka"),
    ("gas limit too high", SendAnswer.REJECTED, "geth, anvil, reth since Osaka"),
    ("gas limit is too high", SendAnswer.REJECTED, "erigon"),
    ("greater than the block gas limit", SendAnswer.REJECTED, "anvil"),
    ("exceeds current gas limit", SendAnswer.REJECTED, "openethereum"),
    ("oversized data", SendAnswer.REJECTED, "geth, reth"),
    ("rlptoolong", SendAnswer.REJECTED, "erigon"),
    ("maxtxsizeexceeded", SendAnswer.REJECTED, "nethermind before 1.33"),
    ("max initcode size exceeded", SendAnswer.REJECTED, "geth, anvil, reth"),
    ("initcode too large", SendAnswer.REJECTED, "erigon"),
    ("invalid chain id", SendAnswer.REJECTED, "geth, anvil, reth"),
    ("wrong chainid", SendAnswer.REJECTED, "besu"),
    ("invalid sender", SendAnswer.REJECTED, "geth, erigon, reth"),
    ("failedtoresolvesender", SendAnswer.REJECTED, "nethermind before 1.33"),
    ("invalid signature", SendAnswer.REJECTED, "besu"),
    ("invalid transaction signature", SendAnswer.REJECTED, "reth"),
    ("failed to decode signed transaction", SendAnswer.REJECTED, "anvil, reth"),
    ("priority fee per gas higher than max fee", SendAnswer.REJECTED, "geth, anvil, reth"),
    ("priority fee per gas exceeds max fee", SendAnswer.REJECTED, "besu"),
    ("gas uint64 overflow", SendAnswer.REJECTED, "geth, anvil"),
    ("transaction type not supported", SendAnswer.REJECTED, "geth, reth"),
)
_LONGEST_FIRST = [
    # a pattern begins a word: "unknown transaction" is not "known transaction"
    (re.compile(rf"(?<![a-z]){re.escape(pattern)}"), answer)
    for pattern, answer, _client in sorted(_TABLE, key=lambda row: -len(row[0]))
]


def classify_send_error(message: str) -> SendAnswer:
    """The meaning of a node's error text; unfamiliar text means that nothing is known.

    References:
        EIP-1474 error codes are too coarse here: every client answers -32000 for most rows. The
        texts are those of go-ethereum's `core/error.go` and `core/txpool/errors.go`, Erigon's
        `txpoolcfg.go`, Nethermind's `AcceptTxResult.cs`, Besu's `RpcErrorType.java`, Reth's
        `rpc-eth-types` and `transaction-pool`, Anvil's `eth/error.rs`.
    """
    text = message.lower()
    for pattern, answer in _LONGEST_FIRST:
        if pattern.search(text):
            return answer
    return SendAnswer.UNKNOWN


_REVERTED = 3


class RpcError(AppError):
    """The node answered a call with a JSON-RPC error.

    Args:
        data: the revert data, when the node sent any.
    """

    def __init__(self, method: str, code: int, message: str, data: bytes = b"") -> None:
        super().__init__(f"The chain refused {method}: {message}")
        self.code_number = code
        self.reason = message
        self.data = data

    @property
    def is_revert(self) -> bool:
        """True when the contract refused; any other error may pass by itself.

        References:
            EIP-1474 code 3, and the text every client puts before a reason.
        """
        return self.code_number == _REVERTED or "revert" in self.reason.lower()


class ChainUnavailableError(UnavailableError):
    """No node of the chain gave a usable answer; nothing was changed."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(
            f"The chain “{name}” does not answer ({detail}). Work on it waits and goes on by "
            "itself; check CHAIN_RPC_URLS or the node."
        )


class HistoryIncompleteError(UnavailableError):
    """Final nonces of a relayer are in no block that a node shows; nothing was changed."""

    def __init__(self, address: str, missing: Sequence[int]) -> None:
        nonces = ", ".join(map(str, missing[:_NAMED])) + (", …" if missing[_NAMED:] else "")
        super().__init__(
            f"No block that the node shows has the transactions of relayer {address} with these "
            f"nonces: {nonces}. They are looked for again; if this stays, put a node with all "
            "blocks first in CHAIN_RPC_URLS."
        )


class ImplausibleCountError(UnavailableError):
    """A node says that a relayer used more nonces than it can have; nothing was changed."""

    def __init__(self, address: str, count: int) -> None:
        super().__init__(
            f"A node says that the relayer {address} has sent {count} transactions, which cannot "
            "be. It is asked again; if this stays, take that node out of CHAIN_RPC_URLS."
        )


class ChainMismatchError(SettingsError):
    """The node serves another chain than the one the data belongs to."""

    def __init__(self, name: str, expected: int, found: int) -> None:
        super().__init__(
            f"The node of “{name}” serves chain {found}, but this installation's data belongs to "
            f"chain {expected}. Point CHAIN_RPC_URLS at chain {expected}."
        )


class ChainForgottenError(SettingsError):
    """The node lost its history: another genesis block, or a head below what was final."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(
            f"The chain “{name}” is not the one this data was written with: {detail}. "
            "Restore the chain's state file from the same backup as the database."
        )


class UnknownChainError(NotFoundError):
    """No chain row has this id."""

    def __init__(self, chain_id: int) -> None:
        super().__init__(f"This installation does not use chain {chain_id}.")


class TransactionNotFoundError(NotFoundError):
    """This merchant has no such transaction."""

    def __init__(self, transaction_id: TransactionId) -> None:
        super().__init__("There is no such transaction here. Go back to the list of operations.")
        self.transaction_id = transaction_id


class TransactionMinedError(ConflictError):
    """The transaction is in a block: nothing can take its place any more."""

    def __init__(self, transaction_id: TransactionId) -> None:
        super().__init__(
            "This transaction is in a block already, so it can be neither sped up nor cancelled."
        )
        self.transaction_id = transaction_id


class FeeCapReachedError(ConflictError):
    """A higher fee would pass what this installation pays at the most."""

    def __init__(self, cap: int) -> None:
        super().__init__(
            f"A higher fee would pass the cap of {cap} wei per gas that was agreed to. Wait until "
            "the network is cheaper; CHAIN_MAX_FEE_PER_GAS_WEI is the cap of this installation."
        )


class LanePausedError(ConflictError):
    """The lane does not take transactions now."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"The relayer {address} is paused: {reason}.")


class LaneFullError(ConflictError):
    """The lane has as many transactions on their way as nodes keep of one account."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"The relayer {address} has as many transactions on their way as it may. Work goes on "
            "by itself when one of them is in a block; more relayers make it faster."
        )


class NodesDisagreeError(UnavailableError):
    """Two nodes of a chain answer the same question differently: nothing follows from either."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"The nodes of the chain answer {method} differently. Compare them by hand, and take "
            "the one that is wrong out of CHAIN_RPC_URLS."
        )


class RangeUnreadableError(UnavailableError):
    """The events of a block cannot be read now; the next pass asks again from there."""

    def __init__(self, block: int, detail: str) -> None:
        super().__init__(f"The events of block {block} cannot be read. {detail}")


class ClaimLostError(ConflictError):
    """Another comparison took over, because this one stood still for too long."""

    def __init__(self) -> None:
        super().__init__("Another comparison with the chain has begun, so this one stops.")

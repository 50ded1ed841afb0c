"""What a node can answer and what can go wrong with a chain.

An answer to a sent transaction never decides its fate: only receipts do. The table says what to
do next, and no row of it ends in a new nonce.
"""

from enum import StrEnum

from core.errors import AppError, ConflictError, NotFoundError, SettingsError, UnavailableError


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
    # text in lower case; answer; the client that says so
    ("replacement transaction underpriced", SendAnswer.REPLACEMENT_UNDERPRICED, "geth txpool"),
    ("replacementnotallowed", SendAnswer.REPLACEMENT_UNDERPRICED, "nethermind AcceptTxResult"),
    ("transaction with the same hash was already imported", SendAnswer.KNOWN, "besu"),
    ("transaction already imported", SendAnswer.KNOWN, "anvil"),
    ("already known", SendAnswer.KNOWN, "geth, erigon, reth"),
    ("alreadyknown", SendAnswer.KNOWN, "nethermind AcceptTxResult"),
    ("already_known", SendAnswer.KNOWN, "arbitrum"),
    ("known transaction:", SendAnswer.KNOWN, "geth before 1.10"),
    ("nonce too low", SendAnswer.NONCE_TOO_LOW, "geth, anvil, reth, arbitrum"),
    ("nonce_too_low", SendAnswer.NONCE_TOO_LOW, "besu"),
    ("oldnonce", SendAnswer.NONCE_TOO_LOW, "nethermind AcceptTxResult"),
    ("transaction underpriced", SendAnswer.UNDERPRICED, "geth txpool"),
    ("feetoolow", SendAnswer.UNDERPRICED, "nethermind AcceptTxResult"),
    ("max fee per gas less than block base fee", SendAnswer.UNDERPRICED, "geth, anvil, reth"),
    ("gas price below configured minimum gas price", SendAnswer.UNDERPRICED, "besu"),
    ("insufficient funds", SendAnswer.INSUFFICIENT_FUNDS, "geth, anvil, reth, arbitrum"),
    ("upfront cost exceeds account balance", SendAnswer.INSUFFICIENT_FUNDS, "besu"),
    ("nonce too high", SendAnswer.NONCE_GAP, "geth, arbitrum"),
    ("nonce gap", SendAnswer.NONCE_GAP, "nethermind, reth"),
    ("account limit exceeded", SendAnswer.BACK_PRESSURE, "geth legacypool"),
    ("txpool is full", SendAnswer.BACK_PRESSURE, "geth, reth"),
    ("in-flight transaction limit reached", SendAnswer.BACK_PRESSURE, "geth, delegated accounts"),
    ("intrinsic gas too low", SendAnswer.REJECTED, "geth, anvil"),
    ("exceeds block gas limit", SendAnswer.REJECTED, "geth, besu"),
    ("transaction gas limit too high", SendAnswer.REJECTED, "geth, anvil since Osaka"),
    ("oversized data", SendAnswer.REJECTED, "geth"),
    ("invalid chain id", SendAnswer.REJECTED, "geth, anvil"),
    ("invalid sender", SendAnswer.REJECTED, "geth"),
)
_LONGEST_FIRST = sorted(_TABLE, key=lambda row: -len(row[0]))


def classify_send_error(message: str) -> SendAnswer:
    """The meaning of a node's error text; unfamiliar text means that nothing is known.

    References:
        EIP-1474 error codes are too coarse here: every client answers -32000 for most rows.
    """
    text = message.lower()
    for pattern, answer, _client in _LONGEST_FIRST:
        if pattern in text:
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


class LanePausedError(ConflictError):
    """The lane does not take transactions now."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"The relayer {address} is paused: {reason}.")

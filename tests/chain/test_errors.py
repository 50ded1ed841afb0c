"""What nodes say about sent bytes, and that nothing they say decides."""

import pytest

from chain import errors
from chain.errors import SendAnswer, classify_send_error

ROWS = errors._TABLE
REAL_MESSAGES = [
    ("already known", SendAnswer.KNOWN),
    ("known transaction: 0x0badc0de", SendAnswer.KNOWN),
    ("ALREADY_KNOWN: already known", SendAnswer.KNOWN),
    ("Transaction with the same hash was already imported", SendAnswer.KNOWN),
    ("transaction already imported", SendAnswer.KNOWN),
    ("AlreadyKnown", SendAnswer.KNOWN),
    ("nonce too low: next nonce 5, tx nonce 4", SendAnswer.NONCE_TOO_LOW),
    ("nonce too low: address 0xAb, tx: 4 state: 5", SendAnswer.NONCE_TOO_LOW),
    ("NONCE_TOO_LOW", SendAnswer.NONCE_TOO_LOW),
    ("OldNonce", SendAnswer.NONCE_TOO_LOW),
    ("replacement transaction underpriced", SendAnswer.REPLACEMENT_UNDERPRICED),
    ("ReplacementNotAllowed", SendAnswer.REPLACEMENT_UNDERPRICED),
    ("transaction underpriced: tip needed 1, tip permitted 0", SendAnswer.UNDERPRICED),
    ("FeeTooLow, MaxFeePerGas too low", SendAnswer.UNDERPRICED),
    (
        "max fee per gas less than block base fee: address 0xAb, maxFeePerGas: 1 baseFee: 7",
        SendAnswer.UNDERPRICED,
    ),
    (
        "insufficient funds for gas * price + value: address 0xAb have 0 want 21000",
        SendAnswer.INSUFFICIENT_FUNDS,
    ),
    ("Insufficient funds for gas * price + value", SendAnswer.INSUFFICIENT_FUNDS),
    ("UPFRONT COST EXCEEDS ACCOUNT BALANCE", SendAnswer.INSUFFICIENT_FUNDS),
    ("Upfront cost exceeds account balance", SendAnswer.INSUFFICIENT_FUNDS),
    ("nonce too high: address 0xAb, tx: 9 state: 5", SendAnswer.NONCE_GAP),
    ("account limit exceeded: 16", SendAnswer.BACK_PRESSURE),
    ("txpool is full", SendAnswer.BACK_PRESSURE),
    ("intrinsic gas too low: gas 20000, minimum needed 21000", SendAnswer.REJECTED),
    ("exceeds block gas limit", SendAnswer.REJECTED),
    ("invalid sender", SendAnswer.REJECTED),
]
UNFAMILIAR = [
    "",
    "unknown transaction",
    "unknown transaction 0x0badc0de",
    "internal error",
    "Too Many Requests",
    "<html><body>502 Bad Gateway</body></html>",
    "nonce",
    "header not found",
]


class TestClassifySendError:
    @pytest.mark.parametrize(("text", "answer", "client"), ROWS)
    def test_every_row_is_found_in_any_case_and_inside_other_words(
        self, text: str, answer: SendAnswer, client: str
    ) -> None:
        for spelling in (text, text.upper(), f"err: {text} (0xab)"):
            assert classify_send_error(spelling) is answer

    @pytest.mark.parametrize(("message", "answer"), REAL_MESSAGES)
    def test_messages_as_clients_write_them(self, message: str, answer: SendAnswer) -> None:
        assert classify_send_error(message) is answer

    @pytest.mark.parametrize("message", UNFAMILIAR)
    def test_unfamiliar_text_means_that_nothing_is_known(self, message: str) -> None:
        assert classify_send_error(message) is SendAnswer.UNKNOWN

    def test_the_longest_pattern_wins(self) -> None:
        assert classify_send_error("replacement transaction underpriced") is not (
            classify_send_error("transaction underpriced")
        )

    def test_no_pattern_stands_twice(self) -> None:
        patterns = [text for text, _, _ in ROWS]
        assert len(set(patterns)) == len(patterns)
        assert all(text == text.lower() for text in patterns)


class TestSentences:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (errors.RpcError("eth_call", 3, "execution reverted"), "refused eth_call: execution"),
            (errors.ChainUnavailableError("Sepolia", "ReadTimeout"), "check CHAIN_RPC_URLS"),
            (errors.ChainMismatchError("Sepolia", 11155111, 1), "serves chain 1, but"),
            (errors.ChainForgottenError("Sepolia", "why"), "Restore the chain's state file"),
            (errors.UnknownChainError(5), "does not use chain 5"),
            (errors.LanePausedError("0xAb", "why"), "The relayer 0xAb is paused: why."),
        ],
    )
    def test_every_error_says_what_happened(self, error: Exception, words: str) -> None:
        assert words in str(error)

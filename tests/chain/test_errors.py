"""What nodes say about sent bytes, and that nothing they say decides."""

import pytest

from chain import errors
from chain.errors import SendAnswer, classify_send_error
from tests.chain.recorded_answers import RECORDED

ROWS = errors._TABLE


class TestClassifySendError:
    @pytest.mark.parametrize(("text", "answer", "client"), ROWS)
    def test_every_row_is_found_in_any_case_and_inside_other_words(
        self, text: str, answer: SendAnswer, client: str
    ) -> None:
        for spelling in (text, text.upper(), f"err: {text} (0xab)"):
            assert classify_send_error(spelling) is answer

    @pytest.mark.parametrize(("client", "message", "answer"), RECORDED)
    def test_messages_as_clients_write_them(
        self, client: str, message: str, answer: SendAnswer
    ) -> None:
        assert classify_send_error(message) is answer

    def test_enough_was_recorded_to_say_so(self) -> None:
        assert len({message for _, message, _ in RECORDED}) >= 60
        assert len({client for client, _, _ in RECORDED} - {"services"}) >= 8
        assert {answer for _, _, answer in RECORDED} == set(SendAnswer) - {SendAnswer.ACCEPTED}

    def test_every_row_was_recorded(self) -> None:
        """A pattern nobody has seen is a guess."""
        for pattern, answer, _client in ROWS:
            said = [it.message.lower() for it in RECORDED if it.answer is answer]
            assert any(pattern in message for message in said), pattern

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

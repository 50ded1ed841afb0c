"""The client against nodes that are down, talk nonsense, disagree, or refuse."""

from contextlib import ExitStack
from typing import Any

import pytest

from chain import witnesses
from chain.client import ChainClient
from chain.errors import ChainUnavailableError, NodesDisagreeError, RpcError, SendAnswer
from tests.chain.loopback import Node, dead_url, error, node
from tests.factories.wallets import CONTRACT

RAW = b"\x02\xf8\x01"
HASH = bytes(range(32))
BLOCK = {
    "number": "0x10",
    "hash": "0x" + "11" * 32,
    "parentHash": "0x" + "22" * 32,
    "timestamp": "0x65",
    "baseFeePerGas": "0x7",
    "gasLimit": "0x1c9c380",
}
RECEIPT = {
    "transactionHash": "0x" + HASH.hex(),
    "blockNumber": "0x10",
    "blockHash": "0x" + "11" * 32,
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x7",
    "logs": [],
}
HTML = b"<html><body>502 Bad Gateway</body></html>"
NONSENSE = [HTML, b"", b"{", b"null", b"[]", b"{}", b'"yes"', b'{"error": "overloaded"}']


def client(*nodes: Node | str) -> ChainClient:
    urls = [place if isinstance(place, str) else place.url for place in nodes]
    return ChainClient("Test chain", urls)


class TestReads:
    def test_numbers_and_bytes_come_back_as_our_own_types(self) -> None:
        with node(
            eth_chainId="0x7a69",
            eth_getTransactionCount="0x5",
            eth_getBalance="0xde0b6b3a7640000",
            eth_getCode="0x6001",
            eth_call="0x" + "00" * 31 + "2a",
            eth_estimateGas="0x5208",
        ) as up:
            asked = client(up)
            assert asked.chain_id() == 31337
            assert asked.transaction_count(CONTRACT) == 5
            assert asked.balance(CONTRACT) == 10**18
            assert asked.code(CONTRACT) == b"\x60\x01"
            assert int.from_bytes(asked.call(CONTRACT, b"\x01"), "big") == 42
            assert asked.estimate_gas(CONTRACT, CONTRACT, b"\x01") == 21_000

    def test_a_creation_is_estimated_without_a_receiver(self) -> None:
        with node(eth_estimateGas="0x5208") as up:
            client(up).estimate_gas(CONTRACT, None, b"\x01")
            call = {"from": CONTRACT, "data": "0x01"}
            assert up.asked == [("eth_estimateGas", [call, "latest"])]

    def test_gas_is_measured_after_the_block_that_was_asked_for(self) -> None:
        with node(eth_estimateGas="0x5208") as up:
            client(up).estimate_gas(CONTRACT, None, b"\x01", block=17)
            assert up.asked[0][1][1] == "0x11"

    def test_the_head_is_a_block(self) -> None:
        with node(eth_getBlockByNumber=BLOCK) as up:
            head = client(up).head()
        assert (head.number, head.base_fee_per_gas, head.gas_limit) == (16, 7, 30_000_000)
        assert (head.hash, head.parent_hash) == (b"\x11" * 32, b"\x22" * 32)

    def test_a_chain_before_eip_1559_has_a_base_fee_of_nothing(self) -> None:
        old = {name: value for name, value in BLOCK.items() if name != "baseFeePerGas"}
        with node(eth_getBlockByNumber=old) as up:
            assert client(up).head().base_fee_per_gas == 0

    def test_the_finalized_block_is_asked_for_by_its_tag(self) -> None:
        with node(eth_getBlockByNumber=BLOCK) as up:
            assert client(up).finalized_number() == 16
            assert up.asked == [("eth_getBlockByNumber", ["finalized", False])]

    def test_the_hash_at_a_height(self) -> None:
        with node(eth_getBlockByNumber=BLOCK) as up:
            assert client(up).block_hash(16) == b"\x11" * 32

    def test_above_the_head_there_is_no_hash(self) -> None:
        with node(eth_getBlockByNumber=None) as up:
            assert client(up).block_hash(99) is None

    def test_a_method_of_the_development_chain_is_passed_on(self) -> None:
        with node(evm_mine="0x0") as up:
            assert client(up).admin("evm_mine") == "0x0"


class TestReceipt:
    @pytest.mark.parametrize(("status", "succeeded"), [("0x1", True), ("0x0", False)])
    def test_says_where_and_how_it_ended(self, status: str, succeeded: bool) -> None:
        with node(eth_getTransactionReceipt={**RECEIPT, "status": status}) as up:
            receipt = client(up).receipt(HASH)
        assert receipt is not None
        assert (receipt.tx_hash, receipt.block_number) == (HASH, 16)
        assert (receipt.succeeded, receipt.gas_used) == (succeeded, 21_000)

    @pytest.mark.parametrize("answer", [None, {**RECEIPT, "blockHash": None}])
    def test_nothing_or_a_pending_one_is_no_receipt(self, answer: Any) -> None:
        with node(eth_getTransactionReceipt=answer) as up:
            assert client(up).receipt(HASH) is None

    @pytest.mark.parametrize(
        ("told", "fee"), [({}, 0), ({"l1Fee": None}, 0), ({"l1Fee": "0x9"}, 9)]
    )
    def test_says_what_a_second_layer_takes_for_the_data(
        self, told: dict[str, Any], fee: int
    ) -> None:
        with node(eth_getTransactionReceipt={**RECEIPT, **told}) as up:
            receipt = client(up).receipt(HASH)
        assert receipt is not None and receipt.data_fee == fee


class TestEachNode:
    """What a comparison with the tables asks: everybody who answers."""

    def test_says_its_own(self) -> None:
        with node(eth_getBalance="0x1") as one, node(eth_getBalance="0x2") as two:
            asked = client(one, two)
            assert list(asked.ask_each("eth_getBalance", CONTRACT, "0x5")) == ["0x1", "0x2"]
            with pytest.raises(NodesDisagreeError):
                witnesses.balance(asked, CONTRACT, block=5)

    def test_that_is_down_is_left_out_while_enough_answer(self) -> None:
        with node(eth_getBalance="0x1") as one, node(eth_getBalance="0x1") as two:
            assert witnesses.balance(client(dead_url(), one, two), CONTRACT, block=5) == 1
            with pytest.raises(ChainUnavailableError):
                witnesses.balance(client(dead_url(), one), CONTRACT, block=5)

    def test_that_refuses_is_heard(self) -> None:
        pruned = error(-32000, "missing trie node")
        with (
            node(eth_getBalance="0x1") as one,
            node(eth_getBalance=pruned) as two,
            pytest.raises(RpcError, match="missing trie node"),
        ):
            witnesses.balance(client(one, two), CONTRACT, block=5)

    def test_that_is_alone_is_believed(self) -> None:
        with node(eth_getBalance="0x1") as one:
            assert witnesses.balance(client(one), CONTRACT, block=5) == 1


class TestSeveralUrls:
    def test_the_next_one_is_asked_when_one_is_down(self) -> None:
        with node(eth_chainId="0x1") as up:
            assert client(dead_url(), up).chain_id() == 1

    @pytest.mark.parametrize("nonsense", NONSENSE)
    def test_the_next_one_is_asked_when_one_talks_nonsense(self, nonsense: bytes) -> None:
        with node(eth_chainId=nonsense) as bad, node(eth_chainId="0x1") as up:
            assert client(bad, up).chain_id() == 1
            assert bad.count("eth_chainId") == 1

    def test_the_first_that_answers_is_enough(self) -> None:
        with node(eth_chainId="0x1") as first, node(eth_chainId="0x2") as second:
            assert client(first, second).chain_id() == 1
            assert second.asked == []

    def test_an_empty_error_beside_a_result_is_no_error(self) -> None:
        with node(eth_chainId=b'{"id": 0, "result": "0x1", "error": null}') as up:
            assert client(up).chain_id() == 1

    @pytest.mark.parametrize("number", [b"1", b'"0"', b"null"])
    def test_an_answer_to_another_question_is_none(self, number: bytes) -> None:
        mixed_up = b'{"id": ' + number + b', "result": "0x2"}'
        with node(eth_chainId=mixed_up) as bad, node(eth_chainId="0x1") as up:
            assert client(bad, up).chain_id() == 1

    @pytest.mark.parametrize("nonsense", NONSENSE)
    def test_with_none_left_a_sentence_says_so(self, nonsense: bytes) -> None:
        with (
            node(eth_chainId=nonsense) as bad,
            pytest.raises(ChainUnavailableError, match="“Test chain” does not answer"),
        ):
            client(dead_url(), bad).chain_id()

    def test_without_any_url_a_sentence_says_so(self) -> None:
        with pytest.raises(ChainUnavailableError, match="no URL"):
            client().chain_id()


class TestRefusals:
    def test_a_revert_carries_its_data(self) -> None:
        with (
            node(eth_call=error(3, "execution reverted", "0x08c379a0ff")) as up,
            pytest.raises(RpcError, match="refused eth_call: execution reverted") as caught,
        ):
            client(up).call(CONTRACT, b"")
        assert caught.value.data == bytes.fromhex("08c379a0ff")
        assert (caught.value.code_number, caught.value.reason) == (3, "execution reverted")

    @pytest.mark.parametrize("data", [None, "Reverted", {"txHash": "0x01"}])
    def test_without_bytes_there_is_no_revert_data(self, data: Any) -> None:
        with (
            node(eth_call=error(-32000, "execution reverted", data)) as up,
            pytest.raises(RpcError) as caught,
        ):
            client(up).call(CONTRACT, b"")
        assert caught.value.data == b""

    def test_a_refusal_is_an_answer_and_nobody_else_is_asked(self) -> None:
        with node(eth_call=error(3, "no")) as first, node(eth_call="0x") as second:
            with pytest.raises(RpcError):
                client(first, second).call(CONTRACT, b"")
            assert second.asked == []

    def test_a_limit_of_one_node_is_no_answer_and_the_next_is_asked(self) -> None:
        with (
            node(eth_call=error(-32005, "limit exceeded")) as first,
            node(eth_call="0x01") as next_,
        ):
            assert client(first, next_).call(CONTRACT, b"") == b"\x01"

    def test_with_limits_everywhere_the_last_one_is_told(self) -> None:
        with (
            node(eth_call=error(-32005, "limit exceeded")) as up,
            pytest.raises(RpcError, match="limit exceeded"),
        ):
            client(up).call(CONTRACT, b"")


class TestWhatOnlyAllNodesCanProve:
    def test_the_least_count_is_told(self) -> None:
        with node(eth_getTransactionCount="0x5") as one, node(eth_getTransactionCount="0x4") as two:
            assert client(one, two).least_transaction_count(CONTRACT, block=9) == 4
            assert one.asked == [("eth_getTransactionCount", [CONTRACT, "0x9"])]

    @pytest.mark.parametrize("answer", [error(-32000, "missing trie node"), b"<html>"])
    def test_a_node_without_an_answer_leaves_no_proof(self, answer: Any) -> None:
        with (
            node(eth_getTransactionCount="0x5") as one,
            node(eth_getTransactionCount=answer) as two,
            pytest.raises(ChainUnavailableError),
        ):
            client(one, two).least_transaction_count(CONTRACT, block=9)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def at_height(number: int, **changes: Any) -> dict[str, Any]:
    return {**BLOCK, "number": hex(number), **changes}


class TestWitnesses:
    @pytest.mark.parametrize(("heights", "seen"), [((9,), 9), ((9, 5), 5), ((5, 9, 7), 7)])
    def test_one_node_alone_moves_neither_head_nor_line(
        self, heights: tuple[int, ...], seen: int
    ) -> None:
        with ExitStack() as stack:
            nodes = [
                stack.enter_context(node(eth_getBlockByNumber=at_height(height)))
                for height in heights
            ]
            assert client(*nodes).head().number == seen
            assert client(*nodes).finalized_number() == seen

    def test_with_one_of_two_silent_nothing_is_certain(self) -> None:
        with node(eth_getBlockByNumber=BLOCK) as up:
            asked = client(up, dead_url())
            with pytest.raises(ChainUnavailableError):
                asked.finalized_number()
            with pytest.raises(ChainUnavailableError):
                asked.head()

    def test_with_one_of_three_silent_two_are_enough(self) -> None:
        with node(eth_getBlockByNumber=BLOCK) as one, node(eth_getBlockByNumber=BLOCK) as two:
            assert client(one, dead_url(), two).finalized_number() == 16

    def test_a_node_without_the_tag_is_no_witness(self) -> None:
        with (
            node(eth_getBlockByNumber=BLOCK) as one,
            node(eth_getBlockByNumber=None) as two,
            pytest.raises(ChainUnavailableError, match="no finalized block yet"),
        ):
            client(one, two).finalized_number()

    @pytest.mark.parametrize(
        ("other", "confirmed"),
        [
            ({}, True),
            ({"eth_getTransactionByHash": None}, False),
            ({"eth_getTransactionByHash": {"blockHash": None}}, False),
            ({"eth_getTransactionByHash": {"blockHash": "0x" + "33" * 32}}, False),
            ({"eth_getBlockByNumber": {**BLOCK, "hash": "0x" + "33" * 32}}, False),
            ({"eth_getBlockByNumber": None}, False),
            ({"eth_getBlockByNumber": HTML}, False),
        ],
    )
    def test_a_receipt_needs_two_that_have_it_in_the_same_block(
        self, other: dict[str, Any], confirmed: bool
    ) -> None:
        answers = {
            "eth_getBlockByNumber": BLOCK,
            "eth_getTransactionReceipt": RECEIPT,
            "eth_getTransactionByHash": {"blockHash": BLOCK["hash"]},
        }
        with node(**answers) as one, node(**{**answers, **other}) as two:
            asked = client(one, two)
            receipt = asked.receipt(HASH)
            assert receipt is not None
            assert asked.confirms(receipt) == confirmed

    def test_where_there_is_one_node_it_is_believed(self) -> None:
        with node(eth_getBlockByNumber=BLOCK, eth_getTransactionReceipt=RECEIPT) as only:
            asked = client(only)
            receipt = asked.receipt(HASH)
            assert receipt is not None and asked.confirms(receipt)


class TestSparedNodes:
    def test_who_fails_three_times_is_left_alone_for_a_while(self) -> None:
        clock = Clock()
        with node(eth_chainId=HTML) as bad, node(eth_chainId="0x1") as up:
            asked = ChainClient("Test chain", [bad.url, up.url], clock=clock)
            for _ in range(10):
                assert asked.chain_id() == 1
            assert bad.count("eth_chainId") == 3
            clock.now = 5
            asked.chain_id()
            assert bad.count("eth_chainId") == 4

    def test_the_pause_doubles_up_to_a_minute_and_ends_with_an_answer(self) -> None:
        clock = Clock()
        with node(eth_chainId=HTML) as bad, node(eth_chainId="0x1") as up:
            asked = ChainClient("Test chain", [bad.url, up.url], clock=clock)
            pauses = []
            for _ in range(3):
                asked.chain_id()
            for _ in range(6):
                before, start = bad.count("eth_chainId"), clock.now
                while bad.count("eth_chainId") == before:
                    clock.now += 1
                    asked.chain_id()
                pauses.append(clock.now - start)
            assert pauses == [5, 10, 20, 40, 60, 60]
            bad.answers["eth_chainId"] = "0x2"
            clock.now += 60
            assert asked.chain_id() == 2

    def test_with_all_of_them_spared_they_are_asked_all_the_same(self) -> None:
        with node(eth_chainId=HTML) as bad:
            asked = ChainClient("Test chain", [bad.url], clock=Clock())
            for _ in range(9):
                with pytest.raises(ChainUnavailableError):
                    asked.chain_id()
            bad.answers["eth_chainId"] = "0x1"
            assert asked.chain_id() == 1

    def test_bytes_go_to_the_others_meanwhile(self) -> None:
        with node(eth_sendRawTransaction=HTML) as bad, node(eth_sendRawTransaction="0x00") as up:
            asked = ChainClient("Test chain", [bad.url, up.url], clock=Clock())
            for _ in range(5):
                assert asked.send_raw(RAW).answer is SendAnswer.ACCEPTED
            assert (len(bad.asked), len(up.asked)) == (3, 5)

    def test_a_refusal_is_no_failure(self) -> None:
        with node(eth_call=error(-32005, "limit exceeded")) as busy, node(eth_call="0x") as up:
            asked = ChainClient("Test chain", [busy.url, up.url], clock=Clock())
            for _ in range(5):
                asked.call(CONTRACT, b"")
            assert len(busy.asked) == 5

    def test_who_lags_behind_the_others_is_asked_last(self) -> None:
        with (
            node(eth_getBlockByNumber=at_height(5), eth_chainId="0x1") as slow,
            node(eth_getBlockByNumber=at_height(16), eth_chainId="0x2") as one,
            node(eth_getBlockByNumber=at_height(16), eth_chainId="0x3") as two,
        ):
            asked = client(slow, one, two)
            assert asked.chain_id() == 1
            asked.head()
            assert asked.chain_id() == 2
            slow.answers["eth_getBlockByNumber"] = at_height(14)
            asked.head()
            assert asked.chain_id() == 1


class TestSendRaw:
    def test_accepted(self) -> None:
        with node(eth_sendRawTransaction="0x" + HASH.hex()) as up:
            assert client(up).send_raw(RAW).answer is SendAnswer.ACCEPTED
            assert up.asked == [("eth_sendRawTransaction", ["0x02f801"])]

    def test_every_node_has_the_bytes_once(self) -> None:
        said = error(-32000, "nonce too low")
        with node(eth_sendRawTransaction="0x00") as one, node(eth_sendRawTransaction=said) as two:
            client(one, dead_url(), two).send_raw(RAW)
            assert (len(one.asked), len(two.asked)) == (1, 1)

    @pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
    def test_of_a_contradiction_success_counts(self, order: int) -> None:
        said = error(-32000, "nonce too low")
        with node(eth_sendRawTransaction="0x00") as good, node(eth_sendRawTransaction=said) as bad:
            assert client(*[good, bad][::order]).send_raw(RAW).answer is SendAnswer.ACCEPTED

    def test_a_refusal_is_classified_and_keeps_its_words(self) -> None:
        said = error(-32000, "insufficient funds for gas * price + value")
        with node(eth_sendRawTransaction=said) as up:
            result = client(up).send_raw(RAW)
        assert result.answer is SendAnswer.INSUFFICIENT_FUNDS
        assert result.text == "insufficient funds for gas * price + value"

    def test_a_known_answer_counts_before_a_silent_node(self) -> None:
        with node(eth_sendRawTransaction=error(-32000, "already known")) as up:
            assert client(dead_url(), up).send_raw(RAW).answer is SendAnswer.KNOWN

    def test_no_node_at_all_means_that_nothing_is_known(self) -> None:
        assert client(dead_url()).send_raw(RAW).answer is SendAnswer.UNKNOWN

    @pytest.mark.parametrize("nonsense", NONSENSE)
    def test_nonsense_means_that_nothing_is_known_and_is_not_repeated(
        self, nonsense: bytes
    ) -> None:
        with node(eth_sendRawTransaction=nonsense) as up:
            assert client(up).send_raw(RAW).answer is SendAnswer.UNKNOWN
            assert len(up.asked) == 1

    @pytest.mark.parametrize("status", [429, 502, 503])
    def test_a_failed_request_is_not_repeated(self, status: int) -> None:
        """web3 would send the same bytes five times and report the last answer."""
        with node(eth_sendRawTransaction=status) as up:
            assert client(up).send_raw(RAW).answer is SendAnswer.UNKNOWN
            assert len(up.asked) == 1

    def test_an_error_without_words_means_that_nothing_is_known(self) -> None:
        with node(eth_sendRawTransaction={"error": {"code": -32000}}) as up:
            assert client(up).send_raw(RAW).answer is SendAnswer.UNKNOWN

"""A block shows a relayer's bytes, and nobody can invent some."""

from typing import Any

import pytest
from eth_account import Account

from chain.client import ChainClient
from chain.errors import ChainUnavailableError
from chain.rebuilding import sent_by
from tests.chain import fakes
from tests.chain.loopback import error
from tests.chain.loopback import node as loopback
from tests.conftest import wait_until
from tests.factories.wallets import CONTRACT

KEY = Account.create()


def signed(**changes: Any) -> Any:
    fields = {"type": 2, "chainId": 31337, "nonce": 3, "to": CONTRACT, "value": 0, "gas": 50_000}
    fees = {"maxFeePerGas": 4_000_000_000, "maxPriorityFeePerGas": 1_000_000_000}
    return KEY.sign_transaction({**fields, **fees, "data": b"\x01\x02", **changes})


def shown(**changes: Any) -> dict[str, Any]:
    """The transaction as a node shows it in a block."""
    return fakes.shown(bytes(signed(**changes).raw_transaction))


class TestSentBy:
    @pytest.mark.parametrize("to", [CONTRACT, ""], ids=["a call", "a deployment"])
    def test_the_bytes_are_made_again(self, to: str) -> None:
        [seen] = sent_by(KEY.address, [shown(to=to)])
        done = signed(to=to)
        assert (seen.nonce, seen.tx_hash, seen.raw) == (
            3,
            bytes(done.hash),
            bytes(done.raw_transaction),
        )

    def test_in_the_order_of_nonces_and_without_the_others(self) -> None:
        other = shown() | {"from": CONTRACT.lower()}
        block = [shown(nonce=5), other, shown(nonce=4)]
        assert [seen.nonce for seen in sent_by(KEY.address, block)] == [4, 5]

    def test_another_kind_has_no_bytes_of_ours(self) -> None:
        [seen] = sent_by(KEY.address, [shown() | {"type": "0x0"}])
        assert (seen.nonce, seen.raw) == (3, None)

    @pytest.mark.parametrize("name", ["input", "hash", "r", "to"])
    def test_changed_bytes_are_refused(self, name: str) -> None:
        forged = shown() | {name: "0x" + "5" * 40}
        with pytest.raises(ValueError, match="bytes of this account"):
            sent_by(KEY.address, [forged])

    def test_so_are_those_of_another_key(self) -> None:
        stranger = Account.create().address
        with pytest.raises(ValueError, match="bytes of this account"):
            sent_by(stranger, [shown() | {"from": stranger}])


class TestClient:
    def test_a_node_is_asked_for_whole_transactions(self) -> None:
        with loopback(eth_getBlockByNumber={"transactions": [shown()]}) as up:
            [seen] = ChainClient("Test chain", [up.url]).sent_by(KEY.address, block=9)
            assert up.asked == [("eth_getBlockByNumber", ["0x9", True])]
        assert seen.nonce == 3

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            {},
            {"transactions": ["0x" + "11" * 32]},
            {"transactions": [shown() | {"input": "0x99"}]},
            {"transactions": [{"from": KEY.address}]},
        ],
        ids=["no block", "no list", "hashes only", "forged", "half"],
    )
    def test_what_is_no_block_is_no_answer(self, answer: Any) -> None:
        with loopback(eth_getBlockByNumber=answer) as up, pytest.raises(ChainUnavailableError):
            ChainClient("Test chain", [up.url]).sent_by(KEY.address, block=9)

    def test_the_greatest_count_is_told_by_all(self) -> None:
        with (
            loopback(eth_getTransactionCount="0x5") as one,
            loopback(eth_getTransactionCount="0x7") as two,
        ):
            client = ChainClient("Test chain", [one.url, two.url])
            assert client.greatest_transaction_count(CONTRACT) == 7
            assert one.asked == [("eth_getTransactionCount", [CONTRACT, "latest"])]

    def test_with_a_node_silent_nothing_is_told(self) -> None:
        with (
            loopback(eth_getTransactionCount="0x5") as one,
            loopback(eth_getTransactionCount=error(-32000, "overloaded")) as two,
            pytest.raises(ChainUnavailableError),
        ):
            ChainClient("Test chain", [one.url, two.url]).greatest_transaction_count(CONTRACT)

    def test_the_development_chain_shows_them_as_they_were_sent(self, node: ChainClient) -> None:
        node.admin("anvil_setBalance", KEY.address, hex(10**18))
        done = signed(nonce=node.transaction_count(KEY.address))
        node.send_raw(bytes(done.raw_transaction))
        wait_until(lambda: node.receipt(bytes(done.hash)) is not None)
        receipt = node.receipt(bytes(done.hash))
        assert receipt is not None
        [seen] = node.sent_by(KEY.address, block=receipt.block_number)
        assert seen.raw == bytes(done.raw_transaction)

"""The block that adds randomness: the first one young enough, as enough nodes have it."""

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from chain.beacons import find_block
from chain.client import ChainClient
from chain.errors import ChainUnavailableError
from tests.chain.loopback import node


def block(number: int, *, timestamp: int, mark: str = "aa") -> dict[str, Any]:
    """A node's answer."""
    return {
        "number": hex(number),
        "hash": "0x" + mark * 32,
        "parentHash": "0x" + "00" * 32,
        "timestamp": hex(timestamp),
        "baseFeePerGas": "0x1",
        "gasLimit": "0x1",
    }


@dataclasses.dataclass
class Times:
    """A chain of which only the timestamps matter."""

    timestamps: Sequence[int]

    def agreed_block(self, number: int) -> Any:
        return dataclasses.make_dataclass("B", ["number", "timestamp"])(
            number, self.timestamps[number]
        )


class TestFind:
    @pytest.mark.parametrize(
        ("since", "number"), [(0, 0), (10, 0), (11, 1), (20, 1), (21, 3), (30, 3), (41, None)]
    )
    def test_the_first_that_is_not_older(self, since: int, number: int | None) -> None:
        chain: Any = Times((10, 20, 20, 30, 40))
        found = find_block(chain, 4, since=since)
        assert (None if found is None else found.number) == number

    def test_none_above_what_is_final(self) -> None:
        chain: Any = Times((10, 20, 30))
        assert find_block(chain, 1, since=25) is None


class TestAgreedBlock:
    def ask(self, *answers: dict[str, Any]) -> int:
        with ExitStack() as running:
            urls = [running.enter_context(node(eth_getBlockByNumber=it)).url for it in answers]
            return ChainClient("test", urls).agreed_block(7).timestamp

    def test_one_node_is_believed(self) -> None:
        assert self.ask(block(7, timestamp=5)) == 5

    def test_of_several_enough_have_to_say_the_same(self) -> None:
        same, other = block(7, timestamp=5), block(7, timestamp=5, mark="bb")
        assert self.ask(same, other, same) == 5
        with pytest.raises(ChainUnavailableError, match="disagree"):
            self.ask(same, other)

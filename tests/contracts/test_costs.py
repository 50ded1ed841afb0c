"""Forecasts against receipts: what the planner believes a call costs is within three percent."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest
from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from node import Node, Outcome, node
from world import anybody

from chain.bindings import asset_factory, digital_asset, membership_pass
from minting import costs
from minting.costs import Ground, PassPlaces
from minting.planner import Form, plan_calls

SENDER = to_checksum_address("0x" + "c0" * 20)
SIZES = [1228] * 31 + [1000, 700, 256, 17, 1]
TOLERANCE = 0.03


@dataclass
class Registry:
    """Pass batches of several sizes, and a factory; `issued` is the gas of each batch."""

    chain: Node
    address: ChecksumAddress
    factory: ChecksumAddress
    implementation: ChecksumAddress
    issued: list[tuple[int, int]]

    def send(self, to: ChecksumAddress, data: bytes) -> Outcome:
        outcome = self.chain.send(SENDER, to, data)
        assert outcome.refusal is None, outcome.refusal
        return outcome

    def asset(self, name: str) -> ChecksumAddress:
        arguments = asset_factory.AssetArguments(
            keccak(text=name), self.address, SENDER, SENDER, "Tide", "TIDE", "", "", None, False
        )
        self.send(self.factory, asset_factory.encode_deploy(arguments))
        return asset_factory.asset_address(self.factory, self.implementation, arguments)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with node() as chain:
        deploy = membership_pass.deploy_data(
            owner=SENDER,
            minter=SENDER,
            name="Pass",
            symbol="PASS",
            token_uri="",
            contract_uri="",
            recoverable=False,
        )
        implementation = _create(chain, digital_asset.implementation_deploy_data())
        factory = _create(chain, asset_factory.deploy_data(implementation=implementation))
        found = Registry(chain, _create(chain, deploy), factory, implementation, [])
        for batch, size in enumerate(SIZES):
            call = _issue(batch, size)
            expected = costs.issue_gas(call, size, is_first=batch == 0)
            found.issued.append((expected, found.send(found.address, call).gas))
        yield found


def _create(chain: Node, code: bytes) -> ChecksumAddress:
    created = chain.send(SENDER, None, code).created
    assert created is not None
    return created


def _issue(batch: int, size: int) -> bytes:
    members = membership_pass.pack_members(anybody(10_000 * batch + i) for i in range(size))
    return membership_pass.encode_issue(batch, members)


def assert_close(expected: int, used: int) -> None:
    assert abs(expected - used) <= TOLERANCE * used, f"{expected:,} for {used:,}"


def chosen(share: float, numbers: range, *, run: bool = False) -> list[PassPlaces]:
    parts = []
    for number in numbers:
        size = SIZES[number]
        count = max(1, round(share * size))
        random = Random(f"{number}:{share}")
        first = random.randrange(size - count + 1)
        places = range(first, first + count) if run else sorted(random.sample(range(size), count))
        parts.append(PassPlaces(number, size, tuple(places)))
    return parts


SHAPES = {
    "one member": [PassPlaces(0, 1228, (5,))],
    "two members far apart": [PassPlaces(0, 1228, (5, 1000))],
    "a dozen of one batch": chosen(0.01, range(1)),
    "a dozen of thirty batches": chosen(0.01, range(30)),
    "a tenth of ten batches": chosen(0.1, range(10)),
    "a tenth in a row": chosen(0.1, range(10), run=True),
    "half of eight batches": chosen(0.5, range(8)),
    "half in a row": chosen(0.5, range(8), run=True),
    "all but few": chosen(0.98, range(6)),
    "six whole batches": chosen(1, range(6)),
    "the small batches whole": chosen(1, range(31, 36)),
    "whole and in part": [*chosen(1, range(3)), *chosen(0.05, range(3, 20))],
    "more than a transaction carries": chosen(0.9, range(15)),
}


class TestDrops:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_each_call_of_the_plan(self, registry: Registry, shape: str) -> None:
        asset = registry.asset(shape)
        nonce = 1
        for call in plan_calls(SHAPES[shape], Ground(is_first=True)):
            outcome = registry.send(asset, call.encode(0, nonce))
            nonce += call.has_data
            assert_close(call.gas, outcome.gas)

    def test_later_rounds_find_used_counters(self, registry: Registry) -> None:
        asset = registry.asset("later")
        for round_number, ground in enumerate((Ground(is_first=True), Ground())):
            [call] = plan_calls(chosen(1, range(2)), ground)
            assert_close(call.gas, registry.send(asset, call.encode(round_number, 1)).gas)

    def test_a_round_that_has_words_looks_into_them(self, registry: Registry) -> None:
        asset = registry.asset("words")
        [call] = plan_calls([PassPlaces(0, 1228, (5,))], Ground(is_first=True))
        assert_close(call.gas, registry.send(asset, call.encode(0, 0)).gas)
        ground, nonce = Ground(has_words=True), 1
        for part in (
            chosen(0.01, range(15, 25)),
            chosen(1, range(1, 2)),
            chosen(0.3, range(9, 10)),
        ):
            [call] = plan_calls(part, ground)
            assert_close(call.gas, registry.send(asset, call.encode(0, nonce)).gas)
            nonce += call.has_data

    def test_late_joiners_of_a_group_with_data(self, registry: Registry) -> None:
        asset = registry.asset("late")
        [first] = plan_calls(chosen(0.3, range(1)), Ground(is_first=True))
        registry.send(asset, first.encode(0, 1))
        taken = set(first.parts[0].places)
        late = tuple(i for i in range(0, 1228, 3) if i not in taken)
        ground = Ground(used_groups=frozenset({0}))
        [call] = plan_calls([PassPlaces(0, 1228, late)], ground)
        assert (call.form, call.has_data) == (Form.BITS, False)
        assert_close(call.gas, registry.send(asset, call.encode(0, 0)).gas)


class TestOthers:
    def test_issues_of_every_size(self, registry: Registry) -> None:
        for expected, used in registry.issued:
            assert_close(expected, used)

    def test_passes_issued_alone(self, registry: Registry) -> None:
        for number in range(2):
            call = membership_pass.encode_issue_one(number, to_checksum_address(anybody(number)))
            used = registry.send(registry.address, call).gas
            assert_close(costs.issue_one_gas(call, is_first=False), used)

    @pytest.mark.parametrize("count", [1, 2, 15, 300, 1228])
    def test_mints(self, registry: Registry, count: int) -> None:
        packed = membership_pass.pack_members(anybody(i) for i in range(count))
        call = digital_asset.encode_mint(1, packed)
        used = registry.send(registry.asset(f"mint {count}"), call).gas
        assert_close(costs.mint_gas(call, count, is_first=True), used)

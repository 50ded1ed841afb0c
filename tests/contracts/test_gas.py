"""What passes and drops may cost. Gas is deterministic, so a ceiling is an assertion.

Figures are gas a recipient, everything included: intrinsic gas, calldata, data contracts, and for
an asset the first use of its storage.
"""

from dataclasses import replace

import ape
import pytest
from eth_utils.crypto import keccak
from world import FULL, World, anybody

from chain.bindings.asset_factory import encode_deploy
from chain.bindings.digital_asset import bitmap, encode_drop

CAP = 2**24


@pytest.fixture
def full(world: World) -> World:
    """A world whose registry has one batch of 1,000 and six of 1,228 members."""
    texts = ("Brand Pass", "PASS", "", "")
    registry = world.issuer.deploy(ape.project.MembershipPass, world.issuer, world.minter, *texts)
    large = replace(world, registry=registry)
    for batch, size in enumerate([1000, *[FULL] * 6]):
        large.issue(batch, [anybody(i) for i in range(size)])
    return replace(large, asset=large.deploy_asset())


def drop_gas(world: World, chosen: dict[int, range]) -> float:
    bits = [bitmap(indices) for indices in chosen.values()]
    call = encode_drop(round=0, batches=list(chosen), bits=bits, nonce=1)
    receipt = world.minter.transfer(world.asset, data=call, value=0)
    assert receipt.gas_used <= CAP
    return receipt.gas_used / sum(map(len, chosen.values()))


class TestIssue:
    def test_full_batch(self, world: World) -> None:
        receipt = world.issue(2, [anybody(i) for i in range(FULL)])
        assert receipt.gas_used / FULL <= 6480


class TestDrop:
    def test_whole_batch_of_1000(self, full: World) -> None:
        assert drop_gas(full, {0: range(1000)}) <= 2060

    def test_whole_batch_of_1228(self, full: World) -> None:
        assert drop_gas(full, {1: range(FULL)}) <= 2050

    def test_six_whole_batches(self, full: World) -> None:
        assert drop_gas(full, {batch: range(FULL) for batch in range(1, 7)}) <= 2010

    def test_every_second_member(self, full: World) -> None:
        assert drop_gas(full, {1: range(0, FULL, 2)}) <= 2320

    def test_every_second_member_of_six_batches(self, full: World) -> None:
        chosen = {batch: range(0, FULL, 2) for batch in range(1, 7)}
        assert drop_gas(full, chosen) <= 2200


class TestTransfer:
    def test_first_and_later(self, world: World) -> None:
        one, two = world.holders[:2]
        world.drop_whole(0)
        token = world.token_of(one)
        first = world.asset.transferFrom(one, two, token, sender=one)
        later = world.asset.transferFrom(two, world.stranger, token, sender=two)
        assert first.gas_used <= 79_000
        assert later.gas_used <= 55_500

    def test_first_of_a_drop_by_bits(self, world: World) -> None:
        one, two = world.holders[:2]
        world.drop({0: [world.index_of(one)]})
        receipt = world.asset.transferFrom(one, two, world.token_of(one), sender=one)
        assert receipt.gas_used <= 82_500


class TestDeploy:
    def test_asset_with_200_bytes_of_texts(self, world: World) -> None:
        arguments = world.arguments(
            asset_id=keccak(text="gas"), token_uri="ipfs://" + "b" * 86, contract_uri="c" * 92
        )
        assert len("".join(arguments.texts)) == 200
        receipt = world.stranger.transfer(world.factory, data=encode_deploy(arguments), value=0)
        assert receipt.gas_used <= 150_000

"""Anchor: digests that are said to exist, once and for all."""

import ape
import pytest
from ape.contracts import ContractInstance
from eth_utils.crypto import keccak
from world import ZERO, World

from chain.bindings.anchor import deploy_data, encode_anchor, encode_count
from chain.bindings.events import decode_events

DIGEST = keccak(text="the head of the audit log")


@pytest.fixture
def anchor(world: World) -> ContractInstance:
    return world.issuer.deploy(ape.project.Anchor, world.issuer, world.minter)


class TestAnchor:
    def test_says_who_anchored_what_as_which(self, world: World, anchor: ContractInstance) -> None:
        for number in range(2):
            data = encode_anchor(DIGEST)
            receipt = world.minter.transfer(anchor, data=data, value=0)
            raw = ape.chain.provider.make_request("eth_getTransactionReceipt", [receipt.txn_hash])
            (told,) = decode_events("Anchor", raw["logs"], anchor.address)
            assert told.name == "Anchored"
            assert told.values == {
                "digest": DIGEST,
                "number": number,
                "publisher": world.minter.address,
            }
        assert anchor.count() == 2

    def test_takes_any_digest(self, world: World, anchor: ContractInstance) -> None:
        for digest in (bytes(32), b"\xff" * 32):
            anchor.anchor(digest, sender=world.minter)
        assert anchor.count() == 2

    @pytest.mark.parametrize("who", ["issuer", "stranger"])
    def test_is_for_those_who_may(self, world: World, anchor: ContractInstance, who: str) -> None:
        with ape.reverts("anchor: not allowed"):
            anchor.anchor(DIGEST, sender=getattr(world, who))
        assert anchor.count() == 0

    def test_costs_little(self, world: World, anchor: ContractInstance) -> None:
        anchor.anchor(DIGEST, sender=world.minter)
        assert anchor.anchor(DIGEST, sender=world.minter).gas_used <= 35_000

    def test_is_what_the_bindings_deploy(self, world: World) -> None:
        data = deploy_data(owner=world.issuer.address, minter=world.minter.address)
        raw = {"from": world.stranger.address, "data": "0x" + data.hex(), "gas": hex(2**24)}
        make = ape.chain.provider.make_request
        receipt = make("eth_sendTransactionSync", [raw])
        deployed = ape.project.Anchor.at(receipt["contractAddress"])
        assert (deployed.owner(), deployed.count()) == (world.issuer, 0)
        count = make("eth_call", [{"to": deployed.address, "data": "0x" + encode_count().hex()}])
        assert int(count, 16) == 0

    def test_refuses_to_have_no_owner(self, world: World) -> None:
        with ape.reverts("anchor: no owner"):
            world.issuer.deploy(ape.project.Anchor, ZERO, world.minter)

"""DigitalAsset: mints to addresses outside the registry."""

import ape
import pytest
from ape.api import ReceiptAPI
from world import FULL, ZERO, World, anybody, as_bytes, overwrite, sorted_members, transfers

from chain.bindings.digital_asset import encode_mint, outside_token_id, split_outside_token_id
from chain.bindings.membership_pass import pack_members

OUTSIDERS = [anybody(i) for i in range(7000, 7000 + FULL)]


def mint(world: World, addresses: list[bytes], *, nonce: int = 1) -> ReceiptAPI:
    data = encode_mint(nonce, pack_members(addresses))
    receipt: ReceiptAPI = world.minter.transfer(world.asset, data=data, value=0)
    return receipt


class TestMint:
    @pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 256, FULL])
    def test_gives_every_address_a_token_and_says_so_in_order(
        self, world: World, count: int
    ) -> None:
        told = transfers(mint(world, OUTSIDERS[:count]), world.asset)
        assert [t.receiver for t in told] == sorted_members(OUTSIDERS[:count])
        assert [t.token_id for t in told] == [outside_token_id(1, i) for i in range(count)]
        assert {t.sender for t in told} == {ZERO}
        assert world.asset.totalSupply() == count
        for place in (0, count // 2, count - 1):
            assert world.asset.ownerOf(told[place].token_id) == told[place].receiver
            assert world.asset.balanceOf(told[place].receiver) == 1

    @pytest.mark.parametrize("place", [5, 6, 1228, 65535])
    def test_gives_nobody_else_one(self, world: World, place: int) -> None:
        mint(world, OUTSIDERS[:5])
        for missing in (2**128 | 1 << 16 | place, 2**128 | place, 2**128 | 2 << 16 | place):
            with ape.reverts("asset: no such token"):
                world.asset.ownerOf(missing)

    @pytest.mark.parametrize("beside", [2**129, 2**255, 2**160, 2**127, 1 << 32])
    def test_is_found_under_its_own_ids_only(self, world: World, beside: int) -> None:
        mint(world, OUTSIDERS[:5])
        with ape.reverts("asset: no such token"):
            world.asset.ownerOf(outside_token_id(1, 0) ^ beside)

    def test_takes_members_and_counts_both(self, world: World) -> None:
        holder = world.holders[0]
        world.drop_whole(0)
        mint(world, [as_bytes(holder.address), OUTSIDERS[0]])
        mint(world, [as_bytes(holder.address)], nonce=2)
        assert world.asset.balanceOf(holder) == 3
        assert world.asset.totalSupply() == 303

    def test_makes_no_round_and_claims_nothing(self, world: World) -> None:
        mint(world, [as_bytes(world.batches[0][0])])
        assert (world.asset.rounds(), world.asset.next_nonce()) == (0, 2)
        assert not world.asset.claimed(0, 0)

    def test_moves_as_any_token_does(self, world: World) -> None:
        one, two = world.holders[:2]
        mint(world, [as_bytes(one.address)])
        token = outside_token_id(1, 0)
        world.asset.transferFrom(one, two, token, sender=one)
        assert world.asset.ownerOf(token) == two
        assert (world.asset.balanceOf(one), world.asset.balanceOf(two)) == (0, 1)
        world.asset.burn(token, sender=two)
        assert world.asset.totalSupply() == 0

    def test_stands_beside_bits_and_lists(self, world: World) -> None:
        world.drop({0: [3]})
        mint(world, OUTSIDERS[:3], nonce=2)
        world.drop({0: [4]}, round=1, nonce=3)
        mint(world, OUTSIDERS[1:4], nonce=4)
        assert world.asset.balanceOf(sorted_members(OUTSIDERS[1:2])[0]) == 2
        assert world.asset.ownerOf(3) == world.batches[0][3]
        assert split_outside_token_id(outside_token_id(4, 2)) == (4, 2)

    @pytest.mark.parametrize("nonce", [1, 3])
    def test_takes_no_bits_for_addresses(self, world: World, nonce: int) -> None:
        """The data contract of a drop by bits has the right size for seven addresses."""
        world.drop({0: [0, 9], 1: [0]})
        with ape.reverts("asset: no such token"):
            world.asset.ownerOf(2**128 | nonce << 16)


class TestRefusals:
    @pytest.mark.parametrize("who", ["issuer", "stranger"])
    def test_whoever_is_no_minter(self, world: World, who: str) -> None:
        with ape.reverts("asset: not a minter"):
            world.asset.mint(1, OUTSIDERS[0], sender=getattr(world, who))

    def test_a_repeated_call(self, world: World) -> None:
        mint(world, OUTSIDERS[:2])
        with ape.reverts("asset: wrong nonce"):
            mint(world, OUTSIDERS[:2])
        assert world.asset.totalSupply() == 2

    @pytest.mark.parametrize("nonce", [0, 2, 65536, 2**256 - 1])
    def test_a_nonce_that_is_not_the_next(self, world: World, nonce: int) -> None:
        with ape.reverts("asset: wrong nonce"):
            world.asset.mint(nonce, OUTSIDERS[0], sender=world.minter)

    def test_a_data_contract_whose_number_does_not_fit(self, world: World) -> None:
        mint(world, OUTSIDERS[:1])
        overwrite(world.asset, 1 << 240 | 1, 65535 << 240 | 1)
        with ape.reverts("asset: no nonce left"):
            world.asset.mint(65536, OUTSIDERS[0], sender=world.minter)

    @pytest.mark.parametrize("packed", [b"", OUTSIDERS[0][:19], OUTSIDERS[0] + b"\1"])
    def test_what_is_no_whole_number_of_addresses(self, world: World, packed: bytes) -> None:
        with ape.reverts("asset: lengths"):
            world.asset.mint(1, packed, sender=world.minter)

    def test_more_than_a_data_contract_holds(self, world: World) -> None:
        packed = b"".join(sorted([*OUTSIDERS, anybody(1)]))
        with ape.reverts():
            world.asset.mint(1, packed, sender=world.minter)

    @pytest.mark.parametrize("fault", ["duplicate", "swapped"])
    @pytest.mark.parametrize("place", [1, 7, 14])
    def test_addresses_that_do_not_increase(self, world: World, place: int, fault: str) -> None:
        members = sorted(OUTSIDERS[:15])
        if fault == "duplicate":
            members[place] = members[place - 1]
        else:
            members[place], members[place - 1] = members[place - 1], members[place]
        with ape.reverts("asset: not ascending"):
            world.asset.mint(1, b"".join(members), sender=world.minter)

    @pytest.mark.parametrize("count", [1, 8])
    def test_the_zero_address(self, world: World, count: int) -> None:
        packed = bytes(20) + b"".join(sorted(OUTSIDERS[: count - 1]))
        with ape.reverts("asset: not ascending"):
            world.asset.mint(1, packed, sender=world.minter)

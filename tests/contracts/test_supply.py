"""DigitalAsset: how many tokens there are and may be; ends of tokens by holder and issuer."""

import ape
import pytest
from ape.contracts import ContractInstance
from eth_utils.crypto import keccak
from world import ZERO, World, anybody, transfers

from chain.bindings.membership_pass import pack_members

OTHER = keccak(text="an asset of few")


class TestMaxSupply:
    def test_may_be_reached_and_not_passed(self, world: World) -> None:
        asset = world.deploy_asset(asset_id=OTHER, max_supply=12)
        world.drop_whole(1, asset=asset)
        asset.mint(1, pack_members([anybody(1), anybody(2)]), sender=world.minter)
        with ape.reverts("asset: above the maximum supply"):
            asset.mint(2, pack_members([anybody(3)]), sender=world.minter)
        with ape.reverts("asset: above the maximum supply"):
            world.drop({0: [3]}, nonce=2, asset=asset)
        with ape.reverts("asset: above the maximum supply"):
            world.drop({0: [3]}, nonce=0, asset=asset)
        assert asset.totalSupply() == asset.max_supply() == 12

    @pytest.mark.parametrize("supply", [1, 2**64 - 1])
    def test_is_what_was_deployed(self, world: World, supply: int) -> None:
        asset = world.deploy_asset(asset_id=OTHER, max_supply=supply)
        assert asset.max_supply() == supply

    def test_has_no_more_room_after_a_burn(self, world: World) -> None:
        asset = world.deploy_asset(asset_id=OTHER, max_supply=10)
        world.drop_whole(1, asset=asset)
        holder = world.holders[0]
        asset.burn(world.token_of(holder, batch=1), sender=holder)
        assert asset.totalSupply() == 9
        with ape.reverts("asset: above the maximum supply"):
            asset.mint(1, anybody(1), sender=world.minter)


class TestLowerMaxSupply:
    def test_promises_fewer_and_never_more_again(self, world: World) -> None:
        asset = world.deploy_asset(asset_id=OTHER, max_supply=100)
        receipt = asset.lower_max_supply(50, sender=world.issuer)
        (told,) = receipt.decode_logs(asset.MaxSupplyLowered)
        assert told.max_supply == asset.max_supply() == 50
        for supply in (50, 51, 100, 2**64 - 1, 0):
            with ape.reverts("asset: not lower, or more minted"):
                asset.lower_max_supply(supply, sender=world.issuer)
        asset.lower_max_supply(49, sender=world.issuer)
        assert asset.max_supply() == 49

    def test_limits_an_asset_that_had_no_limit(self, world: World) -> None:
        world.drop_whole(1)
        world.asset.lower_max_supply(11, sender=world.issuer)
        with ape.reverts("asset: above the maximum supply"):
            world.drop({0: [1, 2]})
        world.drop({0: [1]})

    @pytest.mark.parametrize("supply", [9, 1, 0])
    def test_counts_what_was_minted_even_if_burned(self, world: World, supply: int) -> None:
        holder = world.holders[0]
        world.drop_whole(1)
        world.asset.burn(world.token_of(holder, batch=1), sender=holder)
        with ape.reverts("asset: not lower, or more minted"):
            world.asset.lower_max_supply(supply, sender=world.issuer)
        world.asset.lower_max_supply(10, sender=world.issuer)

    def test_leaves_rounds_nonces_and_supply_as_they_are(self, world: World) -> None:
        world.drop({0: [1], 1: [1]})
        world.drop({1: [2]}, round=1, nonce=0)
        holder = world.holders[0]
        world.asset.mint(2, bytes.fromhex(holder.address[2:]), sender=world.minter)
        world.asset.burn(2**128 | 2 << 16, sender=holder)
        world.asset.lower_max_supply(2**64 - 1, sender=world.issuer)
        counts = (world.asset.rounds(), world.asset.next_nonce(), world.asset.totalSupply())
        assert counts == (2, 3, 3)
        with ape.reverts("asset: already dropped"):
            world.drop({1: [2]}, round=1, nonce=0)

    @pytest.mark.parametrize("who", ["minter", "stranger"])
    def test_is_for_the_owner_only(self, world: World, who: str) -> None:
        with ape.reverts("roles: not the owner"):
            world.asset.lower_max_supply(5, sender=getattr(world, who))


class TestBurn:
    def test_ends_a_token_for_ever(self, world: World) -> None:
        holder, token = world.holders[0], world.token_of(world.holders[0])
        world.drop_whole(0)
        (told,) = transfers(world.asset.burn(token, sender=holder), world.asset)
        assert (told.sender, told.receiver, told.token_id) == (holder, ZERO, token)
        assert (world.asset.balanceOf(holder), world.asset.totalSupply()) == (0, 299)
        for view in ("ownerOf", "getApproved", "tokenURI", "locked"):
            with ape.reverts("asset: no such token"):
                getattr(world.asset, view)(token)
        with ape.reverts("asset: no such token"):
            world.asset.burn(token, sender=holder)
        assert world.asset.claimed(0, world.index_of(holder))
        with ape.reverts("asset: already dropped"):
            world.drop({0: [world.index_of(holder)]})

    def test_of_a_token_that_had_moved_counts_down_its_last_owner(self, world: World) -> None:
        one, two = world.holders[:2]
        world.drop_whole(0)
        world.asset.transferFrom(one, two, world.token_of(one), sender=one)
        world.asset.burn(world.token_of(one), sender=two)
        assert (world.asset.balanceOf(one), world.asset.balanceOf(two)) == (0, 1)
        with ape.reverts("asset: no such token"):
            world.asset.transferFrom(two, one, world.token_of(one), sender=two)

    def test_is_for_the_holder_only(self, world: World) -> None:
        one, two = world.holders[:2]
        world.drop_whole(0)
        world.asset.setApprovalForAll(two, True, sender=one)
        world.asset.approve(two, world.token_of(one), sender=one)
        for sender in (two, world.issuer, world.minter):
            with ape.reverts("asset: not the owner"):
                world.asset.burn(world.token_of(one), sender=sender)

    def test_is_for_holders_of_soulbound_tokens_too(self, world: World) -> None:
        holder = world.holders[0]
        world.drop_whole(0, asset=world.soulbound)
        world.soulbound.burn(world.token_of(holder), sender=holder)
        assert world.soulbound.totalSupply() == 299


@pytest.fixture
def revocable(world: World) -> ContractInstance:
    asset = world.deploy_asset(asset_id=OTHER, soulbound=True, revocable=True)
    world.drop_whole(0, asset=asset)
    return asset


class TestRevoke:
    def test_ends_a_token_for_ever(self, world: World, revocable: ContractInstance) -> None:
        holder, token = world.holders[0], world.token_of(world.holders[0])
        (told,) = transfers(revocable.revoke(token, sender=world.issuer), revocable)
        assert (told.sender, told.receiver, told.token_id) == (holder, ZERO, token)
        assert (revocable.balanceOf(holder), revocable.totalSupply()) == (0, 299)
        with ape.reverts("asset: no such token"):
            revocable.revoke(token, sender=world.issuer)
        with ape.reverts("asset: already dropped"):
            world.drop({0: [world.index_of(holder)]}, asset=revocable)

    @pytest.mark.parametrize("who", ["minter", "stranger"])
    def test_is_for_the_owner_only(
        self, world: World, revocable: ContractInstance, who: str
    ) -> None:
        with ape.reverts("roles: not the owner"):
            revocable.revoke(0, sender=getattr(world, who))

    @pytest.mark.parametrize("which", ["asset", "soulbound"])
    def test_is_not_possible_where_it_was_not_declared(self, world: World, which: str) -> None:
        asset = getattr(world, which)
        world.drop_whole(0, asset=asset)
        assert not asset.revocable()
        with ape.reverts("asset: not revocable"):
            asset.revoke(0, sender=world.issuer)

    def test_is_declared_for_all_to_see(self, revocable: ContractInstance) -> None:
        assert revocable.revocable()

    def test_cannot_be_declared_for_editions_that_move(self, world: World) -> None:
        given = world.arguments(asset_id=OTHER)
        with ape.reverts("factory: revocable, but not soulbound"):
            world.factory.deploy(
                OTHER, world.registry, False, True, 0, ZERO, 0, world.minter, world.issuer,
                *given.texts, sender=world.stranger,
            )  # fmt: skip

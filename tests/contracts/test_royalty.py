"""DigitalAsset: what a creator asks of every sale (ERC-2981)."""

import ape
import pytest
from ape.contracts import ContractInstance
from eth_utils.crypto import keccak
from world import ZERO, World

from chain.bindings.asset_factory import Royalty, asset_address

OTHER = keccak(text="an asset with a royalty")


@pytest.fixture
def asset(world: World) -> ContractInstance:
    """Five percent for the first holder."""
    royalty = Royalty(world.holders[0].address, 500)
    return world.deploy_asset(asset_id=OTHER, royalty=royalty)


class TestDeployed:
    def test_is_a_share_of_every_price(self, world: World, asset: ContractInstance) -> None:
        for price, share in ((0, 0), (1, 0), (19, 0), (20, 1), (10_000, 500), (10**24, 5 * 10**22)):
            assert asset.royaltyInfo(0, price) == (world.holders[0], share)

    @pytest.mark.parametrize("token", [0, 7, 1 << 128, 2**256 - 1])
    def test_is_the_same_for_every_token(
        self, world: World, asset: ContractInstance, token: int
    ) -> None:
        assert asset.royaltyInfo(token, 100) == (world.holders[0], 5)

    @pytest.mark.parametrize("points", [1, 999, 1000])
    def test_is_up_to_ten_percent(self, world: World, points: int) -> None:
        royalty = Royalty(world.stranger.address, points)
        asset = world.deploy_asset(asset_id=OTHER, royalty=royalty)
        assert asset.royaltyInfo(0, 10_000) == (world.stranger, points)

    def test_is_none_when_none_was_given(self, world: World) -> None:
        assert world.asset.royaltyInfo(0, 10_000) == (ZERO, 0)

    @pytest.mark.parametrize(
        "texts", [("", "", "", ""), ("n" * 256, "S" * 32, "t" * 256, "c" * 256), ("a", "", "b", "")]
    )
    def test_is_found_behind_texts_of_any_length(
        self, world: World, texts: tuple[str, str, str, str]
    ) -> None:
        name, symbol, token_uri, contract_uri = texts
        asset = world.deploy_asset(
            asset_id=OTHER,
            royalty=Royalty(world.holders[0].address, 1000),
            name=name,
            symbol=symbol,
            token_uri=token_uri,
            contract_uri=contract_uri,
        )
        assert asset.royaltyInfo(0, 10) == (world.holders[0], 1)
        assert (asset.name(), asset.symbol(), asset.contractURI()) == (name, symbol, contract_uri)

    def test_is_part_of_the_address(self, world: World) -> None:
        factory, implementation = world.factory.address, world.implementation.address
        royalties = [None, *(Royalty(world.stranger.address, points) for points in (1, 2))]
        where = {
            asset_address(factory, implementation, world.arguments(royalty=royalty))
            for royalty in royalties
        }
        assert len(where) == 3


class TestFactory:
    def deploy(self, world: World, receiver: object, points: int) -> None:
        given = world.arguments(asset_id=OTHER)
        world.factory.deploy(
            OTHER, world.registry, False, False, 0, receiver, points, world.minter, world.issuer,
            *given.texts, sender=world.stranger,
        )  # fmt: skip

    @pytest.mark.parametrize("points", [1001, 10_000, 65_535])
    def test_refuses_more_than_ten_percent(self, world: World, points: int) -> None:
        with ape.reverts("factory: royalty above 10 %"):
            self.deploy(world, world.stranger, points)

    def test_refuses_a_royalty_for_nobody(self, world: World) -> None:
        with ape.reverts("factory: no royalty receiver"):
            self.deploy(world, ZERO, 1)

    def test_leaves_a_receiver_of_nothing_out(self, world: World) -> None:
        self.deploy(world, world.stranger, 0)
        where = asset_address(
            world.factory.address, world.implementation.address, world.arguments(asset_id=OTHER)
        )
        assert ape.project.DigitalAsset.at(where).royaltyInfo(0, 10_000) == (ZERO, 0)


class TestSetRoyalty:
    def test_overrules_what_was_deployed(self, world: World, asset: ContractInstance) -> None:
        receipt = asset.set_royalty(world.stranger, 1000, sender=world.issuer)
        (told,) = receipt.decode_logs(asset.RoyaltySet)
        assert (told.receiver, told.basis_points) == (world.stranger, 1000)
        assert asset.royaltyInfo(3, 12_345) == (world.stranger, 1234)

    @pytest.mark.parametrize("receiver", [ZERO, "0x" + "11" * 20])
    def test_takes_a_royalty_back(
        self, world: World, asset: ContractInstance, receiver: str
    ) -> None:
        asset.set_royalty(receiver, 0, sender=world.issuer)
        assert asset.royaltyInfo(0, 10_000) == (receiver, 0)

    def test_gives_one_to_an_asset_without(self, world: World) -> None:
        world.asset.set_royalty(world.stranger, 1, sender=world.issuer)
        assert world.asset.royaltyInfo(0, 10_000) == (world.stranger, 1)

    @pytest.mark.parametrize("points", [1001, 10_000, 2**96, 2**256 - 1])
    def test_refuses_more_than_ten_percent(
        self, world: World, asset: ContractInstance, points: int
    ) -> None:
        with ape.reverts("asset: royalty"):
            asset.set_royalty(world.stranger, points, sender=world.issuer)
        assert asset.royaltyInfo(0, 10_000) == (world.holders[0], 500)

    def test_refuses_a_royalty_for_nobody(self, world: World, asset: ContractInstance) -> None:
        with ape.reverts("asset: royalty"):
            asset.set_royalty(ZERO, 1, sender=world.issuer)

    @pytest.mark.parametrize("who", ["minter", "stranger"])
    def test_is_for_the_owner_only(self, world: World, asset: ContractInstance, who: str) -> None:
        with ape.reverts("roles: not the owner"):
            asset.set_royalty(world.stranger, 1, sender=getattr(world, who))

"""AssetFactory: the address is known before, the arguments are part of it, the rest is harmless."""

import ape
import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from world import ZERO, World

from chain.bindings.asset_factory import Royalty, asset_address

OTHER = keccak(text="another asset")
FIRST = to_checksum_address("0x" + "f1" * 20)


class TestDeploy:
    def test_puts_the_asset_where_it_was_expected(self, world: World) -> None:
        arguments = world.arguments(asset_id=OTHER)
        expected = asset_address(world.factory.address, world.implementation.address, arguments)
        receipt = world.factory_call(arguments)
        (told,) = receipt.decode_logs(world.factory.AssetDeployed)
        assert (told.asset, told.asset_id, told.registry) == (expected, OTHER, world.registry)
        texts = "".join(arguments.texts)
        assert len(ape.chain.provider.get_code(expected)) == 45 + 80 + len(texts)

    def test_gives_the_asset_its_arguments(self, world: World) -> None:
        asset = world.deploy_asset(asset_id=OTHER, max_supply=2**64 - 1)
        assert (asset.name(), asset.symbol()) == ("Collectible", "COLL")
        assert asset.contractURI() == "ipfs://contract"
        assert (asset.registry(), asset.owner()) == (world.registry, world.issuer)
        assert asset.is_minter(world.minter)
        assert asset.max_supply() == 2**64 - 1
        world.drop_whole(0, asset=asset)
        assert asset.tokenURI(0) == "ipfs://token"

    @pytest.mark.parametrize(
        "texts",
        [
            ("", "", "", ""),
            ("a", "b", "c", "d"),
            ("n" * 31, "s" * 32, "t" * 33, ""),
            ("é" * 128, "S" * 32, "t" * 256, "c" * 256),
            ("n" * 64, "", "t" * 65, "c" * 1),
        ],
    )
    def test_keeps_texts_of_any_length(
        self, world: World, texts: tuple[str, str, str, str]
    ) -> None:
        name, symbol, token_uri, contract_uri = texts
        asset = world.deploy_asset(
            asset_id=OTHER,
            name=name,
            symbol=symbol,
            token_uri=token_uri,
            contract_uri=contract_uri,
        )
        world.drop_whole(1, asset=asset)
        found = (asset.name(), asset.symbol(), asset.tokenURI(1 << 16), asset.contractURI())
        assert found == texts

    def test_refuses_to_deploy_an_asset_twice(self, world: World) -> None:
        world.deploy_asset(asset_id=OTHER)
        with ape.reverts("factory: already deployed"):
            world.deploy_asset(asset_id=OTHER)

    @pytest.mark.parametrize(
        "change",
        [
            {"max_supply": 1},
            {"soulbound": True},
            {"soulbound": True, "revocable": True},
            {"royalty": Royalty(FIRST, 1)},
            {"name": "Fake"},
        ],
    )
    def test_puts_other_arguments_elsewhere(self, world: World, change: dict[str, object]) -> None:
        world.deploy_asset(asset_id=OTHER, **change)
        meant = world.deploy_asset(asset_id=OTHER)
        assert (meant.max_supply(), meant.name()) == (0, "Collectible")
        assert not meant.supportsInterface("0xb45a3c0e")

    def test_refuses_an_asset_without_owner(self, world: World) -> None:
        with ape.reverts("factory: no owner"):
            world.deploy_asset(owner=ZERO)

    def test_refuses_a_registry_without_code(self, world: World) -> None:
        with ape.reverts("factory: no registry"):
            world.deploy_asset(registry=world.stranger.address)

    @pytest.mark.parametrize(
        "texts",
        [
            ("n" * 257, "S", "", ""),
            ("n", "S" * 33, "", ""),
            ("n", "S", "t" * 257, ""),
            ("n", "S", "", "c" * 257),
        ],
    )
    def test_refuses_texts_that_are_too_long(
        self, world: World, texts: tuple[str, str, str, str]
    ) -> None:
        who = (world.minter, world.issuer)
        terms = (OTHER, world.registry, False, False, 0, ZERO, 0)
        with ape.reverts():
            world.factory.deploy(*terms, *who, *texts, sender=world.stranger)
        world.factory.deploy(*terms, *who, "n", "S", "", "", sender=world.stranger)

    def test_refuses_an_implementation_without_code(self, world: World) -> None:
        with ape.reverts("factory: no implementation"):
            world.stranger.deploy(ape.project.AssetFactory, world.issuer)

    def test_names_its_implementation(self, world: World) -> None:
        assert world.factory.implementation() == world.implementation


class TestImplementation:
    @pytest.mark.parametrize(
        ("function", "arguments"),
        [
            ("drop", [0, [0], [[1, 0, 0, 0, 0]], 1]),
            ("drop_lists", [0, b"\0\0", b"\1\0\0", 1]),
            ("mint", [1, b"\1" * 20]),
            ("transferWithPermit", [ZERO, ZERO, 0, 2**40, b""]),
            ("reissue", [0, ZERO, 2**40, b""]),
            ("burn", [0]),
            ("revoke", [0]),
            ("lower_max_supply", [1]),
            ("set_royalty", [ZERO, 0]),
            ("approve", [ZERO, 0]),
            ("setApprovalForAll", [ZERO, True]),
            ("transferFrom", [ZERO, ZERO, 0]),
            ("transfer_ownership", [ZERO]),
            ("accept_ownership", []),
            ("set_minter", [ZERO, True]),
            ("set_token_uri", ["x"]),
            ("set_contract_uri", ["x"]),
        ],
    )
    def test_does_nothing_itself(
        self, world: World, function: str, arguments: list[object]
    ) -> None:
        with ape.reverts("asset: not a clone"):
            getattr(world.implementation, function)(*arguments, sender=world.stranger)

    @pytest.mark.parametrize(
        "view", ["owner", "registry", "name", "max_supply", "revocable", "DOMAIN_SEPARATOR"]
    )
    def test_is_nobodys(self, world: World, view: str) -> None:
        with ape.reverts("asset: not a clone"):
            getattr(world.implementation, view)()

"""The bindings of assets and the artifacts behind all of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from chain.bindings import asset_factory, digital_asset, membership_pass
from chain.bindings.abi import creation_code, selector
from chain.bindings.asset_factory import Royalty
from chain.bindings.errors import decode_revert

ARTIFACTS = Path(__file__).parents[2] / "chain" / "artifacts"
IMMUTABLES = {"MembershipPass": 3, "DigitalAsset": 1, "AssetFactory": 1, "Anchor": 2}
"""Words that a deployment adds to the code."""
ZERO = to_checksum_address("0x" + "00" * 20)
ONE = to_checksum_address("0x" + "11" * 20)
TWO = to_checksum_address("0x" + "22" * 20)

addresses = st.binary(min_size=20, max_size=20).filter(any)
batches = st.integers(0, membership_pass.MAX_BATCHES - 1)
places = st.integers(0, membership_pass.MAX_BATCH - 1)
rounds = st.integers(0, 2**47 - 1)
bits = st.sets(places, max_size=40).map(digital_asset.bitmap)


class TestTokenId:
    @given(rounds, batches, places)
    def test_splits_into_what_it_was_made_of(self, round: int, batch: int, index: int) -> None:
        pass_id = membership_pass.pass_id(batch, index)
        token_id = digital_asset.token_id(round, pass_id)
        assert digital_asset.split_token_id(token_id) == (round, pass_id)

    @pytest.mark.parametrize(("round", "pass_id"), [(-1, 0), (2**47, 0), (0, 1228), (0, 2**32)])
    def test_has_no_other_parts(self, round: int, pass_id: int) -> None:
        with pytest.raises(ValueError):
            digital_asset.token_id(round, pass_id)

    @pytest.mark.parametrize("token_id", [-1, 1228, 1 << 96, 1 << 128])
    def test_is_not_any_number(self, token_id: int) -> None:
        with pytest.raises(ValueError):
            digital_asset.split_token_id(token_id)


class TestBitmap:
    def test_puts_member_i_in_bit_i_of_five_words(self) -> None:
        assert digital_asset.bitmap([0, 255, 256, 1227]) == (1 | 1 << 255, 1, 0, 0, 1 << 203)

    @given(st.sets(places))
    def test_has_one_bit_for_each_member(self, indices: set[int]) -> None:
        words = digital_asset.bitmap(indices)
        found = {256 * k + i for k in range(5) for i in range(256) if words[k] >> i & 1}
        assert found == indices

    @pytest.mark.parametrize("index", [-1, 1228])
    def test_refuses_places_no_batch_has(self, index: int) -> None:
        with pytest.raises(ValueError, match="not a place"):
            digital_asset.bitmap([index])


class TestNeedsDataContract:
    @pytest.mark.parametrize("size", [1, 255, 256, 257, 1228])
    def test_is_for_batches_in_part_only(self, size: int) -> None:
        whole = digital_asset.bitmap(range(size))
        part = digital_asset.bitmap(range(size - 1))
        assert not digital_asset.needs_data_contract([whole, whole], [size, size])
        assert digital_asset.needs_data_contract([whole, part], [size, size])

    def test_needs_a_size_for_each_batch(self) -> None:
        with pytest.raises(ValueError):
            digital_asset.needs_data_contract([digital_asset.bitmap([0])], [1, 1])


class TestEncodeDrop:
    @given(
        rounds,
        st.lists(st.tuples(batches, bits), min_size=1, max_size=digital_asset.MAX_BATCHES_A_CALL),
        st.integers(0, 99),
    )
    def test_is_what_the_abi_says(
        self, round: int, chosen: list[tuple[int, digital_asset.Bits]], nonce: int
    ) -> None:
        numbers = [batch for batch, _ in chosen]
        maps = [bits for _, bits in chosen]
        call = digital_asset.encode_drop(round=round, batches=numbers, bits=maps, nonce=nonce)
        types = ("uint256", "uint256[]", "uint256[5][]", "uint256")
        assert call[4:] == encode(types, (round, numbers, maps, nonce))

    @pytest.mark.parametrize(("batches", "bits"), [(0, 0), (31, 31), (1, 2), (2, 1)])
    def test_refuses_lists_the_contract_refuses(self, batches: int, bits: int) -> None:
        with pytest.raises(ValueError, match="1 to 30"):
            digital_asset.encode_drop(
                round=0, batches=[0] * batches, bits=[digital_asset.bitmap([0])] * bits, nonce=1
            )

    def test_refuses_bits_that_are_not_five_words(self) -> None:
        with pytest.raises(ValueError, match="5 words"):
            digital_asset.encode_drop(round=0, batches=[0], bits=[(1, 2)], nonce=1)  # type: ignore[list-item]


class TestEncodeDropLists:
    def test_is_count_and_places_of_each_batch(self) -> None:
        call = digital_asset.encode_drop_lists(
            round=1, places=[(2, [0, 1227]), (258, [5])], nonce=3
        )
        assert decode(("uint256", "bytes", "bytes", "uint256"), call[4:]) == (
            *(1, bytes([0, 2, 1, 2]), bytes([2, 0, 0, 4, 203, 1, 0, 5]), 3),
        )

    @pytest.mark.parametrize("indices", [[], [1, 1], [2, 1], [-1], [1228], list(range(256))])
    def test_refuses_places_the_contract_refuses(self, indices: list[int]) -> None:
        with pytest.raises(ValueError, match="place"):
            digital_asset.encode_drop_lists(round=0, places=[(0, indices)], nonce=1)

    @pytest.mark.parametrize("count", [0, 513])
    def test_refuses_a_number_of_batches(self, count: int) -> None:
        with pytest.raises(ValueError, match="1 to 512"):
            digital_asset.encode_drop_lists(round=0, places=[(0, [0])] * count, nonce=1)

    def test_refuses_more_than_a_transaction_can_carry(self) -> None:
        with pytest.raises(ValueError, match="11200"):
            digital_asset.encode_drop_lists(
                round=0, places=[(batch, range(200)) for batch in range(28)], nonce=1
            )


class TestOutside:
    @given(st.integers(1, digital_asset.MAX_DATA), places)
    def test_ids_split_into_what_they_were_made_of(self, nonce: int, index: int) -> None:
        token_id = digital_asset.outside_token_id(nonce, index)
        assert digital_asset.split_outside_token_id(token_id) == (nonce, index)

    @pytest.mark.parametrize(("nonce", "index"), [(0, 0), (65_536, 0), (1, 1228), (1, -1)])
    def test_ids_have_no_other_parts(self, nonce: int, index: int) -> None:
        with pytest.raises(ValueError):
            digital_asset.outside_token_id(nonce, index)

    @pytest.mark.parametrize("token_id", [0, 1 << 128, (1 << 128) + 65_536 + 1228, 1 << 129])
    def test_ids_are_not_any_number(self, token_id: int) -> None:
        with pytest.raises(ValueError):
            digital_asset.split_outside_token_id(token_id)

    def test_mint_carries_the_addresses(self) -> None:
        call = digital_asset.encode_mint(7, b"\1" * 40)
        assert decode(("uint256", "bytes"), call[4:]) == (7, b"\1" * 40)

    @pytest.mark.parametrize("packed", [b"", b"\1" * 19, b"\1" * 20 * 1229])
    def test_mint_refuses_what_is_not_addresses(self, packed: bytes) -> None:
        with pytest.raises(ValueError, match="addresses"):
            digital_asset.encode_mint(1, packed)


class TestAssetFactory:
    @staticmethod
    def arguments(**changes: Any) -> asset_factory.AssetArguments:
        values = {
            "asset_id": b"\7" * 32,
            "registry": ONE,
            "owner": TWO,
            "minter": ONE,
            "name": "Collectible",
            "symbol": "COLL",
            "token_uri": "ipfs://t",
            "contract_uri": "ipfs://c",
            "max_supply": None,
            "soulbound": False,
        }
        return asset_factory.AssetArguments(**(values | changes))  # type: ignore[arg-type]

    def test_an_address_is_the_same_every_time(self) -> None:
        found = asset_factory.asset_address(ONE, TWO, self.arguments())
        assert found == asset_factory.asset_address(ONE, TWO, self.arguments())

    @pytest.mark.parametrize(
        "change",
        [
            {"asset_id": b"\6" * 32},
            {"registry": TWO},
            {"owner": ONE},
            {"minter": TWO},
            {"name": "Collectibl", "symbol": "eCOLL"},
            {"token_uri": "", "contract_uri": "ipfs://tipfs://c"},
            {"max_supply": 1},
            {"soulbound": True},
        ],
    )
    def test_every_argument_is_part_of_the_address(self, change: dict[str, Any]) -> None:
        meant = asset_factory.asset_address(ONE, TWO, self.arguments())
        assert asset_factory.asset_address(ONE, TWO, self.arguments(**change)) != meant

    @pytest.mark.parametrize(
        "change",
        [
            {"asset_id": b"short"},
            {"max_supply": 0},
            {"max_supply": 2**64},
            {"name": "n" * 257},
            {"symbol": "S" * 33},
            {"token_uri": "t" * 257},
            {"contract_uri": "c" * 257},
        ],
    )
    def test_refuses_arguments_the_contract_refuses(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            self.arguments(**change)

    def test_deployment_ends_in_the_implementation(self) -> None:
        data = asset_factory.deploy_data(implementation=TWO)
        assert data == creation_code("AssetFactory") + bytes(12) + b"\x22" * 20

    def test_deploy_has_every_argument(self) -> None:
        royalty = Royalty(TWO, 250)
        call = asset_factory.encode_deploy(
            self.arguments(max_supply=9, soulbound=True, revocable=True, royalty=royalty)
        )
        head = ("bytes32", "address", "bool", "bool", "uint64", "address", "uint16")
        assert decode((*head, "address", "address", *["string"] * 4), call[4:]) == (
            *(b"\7" * 32, ONE, True, True, 9, TWO.lower(), 250),
            *(ONE, TWO.lower(), "Collectible", "COLL", "ipfs://t", "ipfs://c"),
        )

    @pytest.mark.parametrize("points", [0, 1001])
    def test_a_royalty_is_at_most_ten_percent(self, points: int) -> None:
        with pytest.raises(ValueError, match="1 to 1000"):
            Royalty(TWO, points)

    def test_only_soulbound_editions_are_revocable(self) -> None:
        with pytest.raises(ValueError, match="soulbound"):
            self.arguments(revocable=True)


class TestArtifacts:
    @pytest.mark.parametrize("contract", IMMUTABLES)
    def test_hold_code_and_how_it_was_made(self, contract: str) -> None:
        artifact = json.loads((ARTIFACTS / f"{contract}.json").read_text())
        assert artifact["compiler"] == {
            "name": "vyper",
            "version": "0.4.3",
            "evm_version": "prague",
            "optimize": "gas",
        }
        assert artifact["runtime_size"] < len(creation_code(contract)) <= 49_152  # EIP-3860
        assert artifact["runtime_size"] + 32 * IMMUTABLES[contract] <= 24_576  # EIP-170
        assert digital_asset.implementation_deploy_data() == creation_code("DigitalAsset")


class TestDecodeRevert:
    @given(st.text(max_size=80))
    def test_reads_the_message(self, message: str) -> None:
        data = selector("Error(string)") + encode(("string",), (message,))
        assert decode_revert(data) == message

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\1\2\3\4",
            selector("Error(string)"),
            selector("Error(string)") + bytes(31),
            selector("Error(string)") + encode(("bytes",), (b"\xff",)),
            selector("Panic(uint256)") + (17).to_bytes(32, "big"),
        ],
    )
    def test_is_none_where_there_is_no_message(self, data: bytes) -> None:
        assert decode_revert(data) is None

"""The bindings of assets and the artifacts behind all of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from chain.bindings import asset_factory, digital_asset, erc721, membership_pass
from chain.bindings.abi import creation_code, selector
from chain.bindings.errors import decode_revert

ARTIFACTS = Path(__file__).parents[2] / "chain" / "artifacts"
CONTRACTS = ("MembershipPass", "DigitalAsset", "AssetFactory")
ZERO = to_checksum_address("0x" + "00" * 20)
ONE = to_checksum_address("0x" + "11" * 20)
TWO = to_checksum_address("0x" + "22" * 20)

addresses = st.binary(min_size=20, max_size=20).filter(any)
batches = st.integers(0, membership_pass.MAX_BATCHES - 1)
places = st.integers(0, membership_pass.MAX_BATCH - 1)
rounds = st.integers(0, 2**64 - 1)
bits = st.sets(places, max_size=40).map(digital_asset.bitmap)


def signatures(contract: str) -> set[str]:
    """The functions of an artifact, as their selectors spell them."""
    abi = json.loads((ARTIFACTS / f"{contract}.json").read_text())["abi"]
    functions = [entry for entry in abi if entry["type"] == "function"]
    return {f"{f['name']}({','.join(i['type'] for i in f['inputs'])})" for f in functions}


class TestTokenId:
    @given(rounds, batches, places)
    def test_splits_into_what_it_was_made_of(self, round: int, batch: int, index: int) -> None:
        pass_id = membership_pass.pass_id(batch, index)
        token_id = digital_asset.token_id(round, pass_id)
        assert digital_asset.split_token_id(token_id) == (round, pass_id)

    @pytest.mark.parametrize(("round", "pass_id"), [(-1, 0), (2**64, 0), (0, 1228), (0, 2**32)])
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
    @given(rounds, st.lists(st.tuples(batches, bits), min_size=1, max_size=64), st.integers(0, 99))
    def test_is_what_the_abi_says(
        self, round: int, chosen: list[tuple[int, digital_asset.Bits]], nonce: int
    ) -> None:
        numbers = [batch for batch, _ in chosen]
        maps = [bits for _, bits in chosen]
        call = digital_asset.encode_drop(round=round, batches=numbers, bits=maps, nonce=nonce)
        types = ("uint256", "uint256[]", "uint256[5][]", "uint256")
        assert call[4:] == encode(types, (round, numbers, maps, nonce))

    @pytest.mark.parametrize(("batches", "bits"), [(0, 0), (65, 65), (1, 2), (2, 1)])
    def test_refuses_lists_the_contract_refuses(self, batches: int, bits: int) -> None:
        with pytest.raises(ValueError, match="1 to 64"):
            digital_asset.encode_drop(
                round=0, batches=[0] * batches, bits=[digital_asset.bitmap([0])] * bits, nonce=1
            )

    def test_refuses_bits_that_are_not_five_words(self) -> None:
        with pytest.raises(ValueError, match="5 words"):
            digital_asset.encode_drop(round=0, batches=[0], bits=[(1, 2)], nonce=1)  # type: ignore[list-item]


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
        call = asset_factory.encode_deploy(self.arguments(max_supply=9, soulbound=True))
        types = ("bytes32", "address", "bool", "uint64", "address", "address", *["string"] * 4)
        assert decode(types, call[4:]) == (
            b"\7" * 32, ONE, True, 9, ONE, TWO.lower(), "Collectible", "COLL", "ipfs://t", "ipfs://c"
        )  # fmt: skip


class TestSelectors:
    """Every call that is encoded is one the committed ABI has."""

    @pytest.mark.parametrize(
        ("contract", "call"),
        [
            ("MembershipPass", membership_pass.encode_issue(0, b"\1" * 20)),
            ("MembershipPass", membership_pass.encode_total_supply()),
            ("MembershipPass", membership_pass.encode_batches()),
            ("MembershipPass", membership_pass.encode_addresses(0)),
            ("MembershipPass", erc721.encode_owner_of(0)),
            ("MembershipPass", erc721.encode_balance_of(ONE)),
            (
                "DigitalAsset",
                digital_asset.encode_drop(
                    round=0, batches=[0], bits=[digital_asset.bitmap([0])], nonce=1
                ),
            ),
            ("DigitalAsset", digital_asset.encode_claimed(0, 0)),
            ("DigitalAsset", digital_asset.encode_rounds()),
            ("DigitalAsset", digital_asset.encode_next_nonce()),
            ("DigitalAsset", digital_asset.encode_total_supply()),
            ("DigitalAsset", digital_asset.encode_set_token_uri("ipfs://t")),
            ("DigitalAsset", erc721.encode_owner_of(0)),
            ("DigitalAsset", erc721.encode_balance_of(ONE)),
            ("AssetFactory", asset_factory.encode_deploy(TestAssetFactory.arguments())),
        ],
    )
    def test_is_in_the_abi(self, contract: str, call: bytes) -> None:
        assert call[:4] in {selector(signature) for signature in signatures(contract)}

    def test_set_token_uri_refuses_what_does_not_fit(self) -> None:
        with pytest.raises(ValueError, match="token URI"):
            digital_asset.encode_set_token_uri("t" * 257)


class TestArtifacts:
    @pytest.mark.parametrize("contract", CONTRACTS)
    def test_hold_code_and_how_it_was_made(self, contract: str) -> None:
        artifact = json.loads((ARTIFACTS / f"{contract}.json").read_text())
        assert artifact["compiler"] == {
            "name": "vyper",
            "version": "0.4.3",
            "evm_version": "prague",
            "optimize": "gas",
        }
        assert artifact["runtime_size"] < len(creation_code(contract)) <= 49_152
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

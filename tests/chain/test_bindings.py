"""The bindings: known answers from the standards, and round trips of what they encode."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from chain.bindings import digital_asset, erc721, membership_pass
from chain.bindings.abi import creation_code, decode_address, decode_uint
from chain.bindings.create import create2_address, create_address

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


class TestCreateAddress:
    @pytest.mark.parametrize(
        ("nonce", "expected"),
        [
            (0, "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"),
            (1, "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8"),
            (2, "0xf778B86FA74E846c4f0a1fBd1335FE81c00a0C91"),
            (3, "0xffFd933A0bC612844eaF0C6Fe3E5b8E9B6C1d19c"),
        ],
    )
    def test_is_where_published_examples_are(self, nonce: int, expected: str) -> None:
        sender = to_checksum_address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
        assert create_address(sender, nonce) == expected

    @given(st.integers(0, 2**64 - 2))
    def test_follows_the_rules_of_rlp(self, nonce: int) -> None:
        digits = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
        item = digits if len(digits) == 1 and nonce < 128 else bytes([128 + len(digits)]) + digits
        payload = b"\x94" + b"\x11" * 20 + item
        expected = keccak(bytes([192 + len(payload)]) + payload)[-20:]
        assert create_address(ONE, nonce) == to_checksum_address(expected)

    @pytest.mark.parametrize("nonce", [-1, 2**64 - 1])
    def test_refuses_what_is_no_nonce(self, nonce: int) -> None:
        with pytest.raises(ValueError, match="nonce"):
            create_address(ONE, nonce)


class TestCreate2Address:
    @pytest.mark.parametrize(
        ("factory", "salt", "init_code", "expected"),
        [
            ("00" * 20, "00" * 32, "00", "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"),
            (
                "deadbeef" + "00" * 16,
                "00" * 32,
                "00",
                "0xB928f69Bb1D91Cd65274e3c79d8986362984fDA3",
            ),
            (
                "deadbeef" + "00" * 16,
                "00" * 12 + "feed" + "00" * 18,
                "00",
                "0xD04116cDd17beBE565EB2422F2497E06cC1C9833",
            ),
            ("00" * 20, "00" * 32, "deadbeef", "0x70f2b2914A2a4b783FaEFb75f459A580616Fcb5e"),
            (
                "00000000000000000000000000000000deadbeef",
                "00" * 28 + "cafebabe",
                "deadbeef",
                "0x60f3f640a8508fC6a86d45DF051962668E1e8AC7",
            ),
            ("00" * 20, "00" * 32, "", "0xE33C0C7F7df4809055C3ebA6c09CFe4BaF1BD9e0"),
        ],
    )
    def test_is_where_eip_1014_says(
        self, factory: str, salt: str, init_code: str, expected: str
    ) -> None:
        where = to_checksum_address("0x" + factory)
        found = create2_address(where, bytes.fromhex(salt), bytes.fromhex(init_code))
        assert found == expected

    def test_refuses_a_salt_of_another_length(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            create2_address(ONE, b"short", b"")


class TestErc721:
    def test_names_the_event_and_calls_of_the_standard(self) -> None:
        topic = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
        assert erc721.TRANSFER_TOPIC.hex() == topic
        assert erc721.encode_owner_of(7).hex() == "6352211e" + "7".rjust(64, "0")
        assert erc721.encode_balance_of(ONE).hex() == "70a08231" + ("11" * 20).rjust(64, "0")

    @pytest.mark.parametrize("token_id", [-1, 2**256])
    def test_refuses_what_is_no_uint256(self, token_id: int) -> None:
        with pytest.raises(ValueError, match="uint256"):
            erc721.encode_owner_of(token_id)

    def test_refuses_what_is_no_address(self) -> None:
        with pytest.raises(ValueError):
            erc721.encode_balance_of("0x12")  # type: ignore[arg-type]

    @given(addresses, st.integers(0, 2**256 - 1))
    def test_reads_answers_of_one_word(self, address: bytes, number: int) -> None:
        assert decode_address(address.rjust(32, b"\0")) == to_checksum_address(address)
        assert decode_uint(number.to_bytes(32, "big")) == number

    @pytest.mark.parametrize("answer", [b"", bytes(31), bytes(64), b"\1" + bytes(31)])
    def test_refuses_answers_that_are_no_address(self, answer: bytes) -> None:
        with pytest.raises(ValueError):
            decode_address(answer)


def a_log(**changes: Any) -> dict[str, Any]:
    """A log object as a node writes it: the mint of token 5 to ONE."""
    log = {
        "address": TWO.lower(),
        "topics": [
            "0x" + erc721.TRANSFER_TOPIC.hex(),
            "0x" + "00" * 32,
            "0x" + "00" * 12 + "11" * 20,
            "0x" + "5".rjust(64, "0"),
        ],
        "data": "0x",
        "blockNumber": "0x10",
        "blockHash": "0x" + "bb" * 32,
        "transactionHash": "0x" + "aa" * 32,
        "transactionIndex": "0x0",
        "logIndex": "0x3",
        "removed": False,
    }
    return log | changes


class TestDecodeTransfers:
    def test_reads_a_mint(self) -> None:
        assert erc721.decode_transfers([a_log()], TWO) == [
            erc721.Transfer(
                contract=TWO,
                sender=ZERO,
                receiver=ONE,
                token_id=5,
                tx_hash=b"\xaa" * 32,
                block_number=16,
                block_hash=b"\xbb" * 32,
                log_index=3,
            )
        ]

    @pytest.mark.parametrize(
        "change",
        [
            {"address": ONE},
            {"removed": True},
            {"topics": []},
            {"topics": a_log()["topics"][:3]},
            {"topics": ["0x" + "00" * 32, *a_log()["topics"][1:]]},
        ],
        ids=["foreign", "removed", "anonymous", "erc20", "another event"],
    )
    def test_leaves_out_what_is_no_transfer_of_this_contract(self, change: dict[str, Any]) -> None:
        assert erc721.decode_transfers([a_log(**change)], TWO) == []

    def test_keeps_the_order_and_needs_no_removed_field(self) -> None:
        logs = [a_log(logIndex=hex(i)) for i in (4, 2, 9)]
        del logs[1]["removed"]
        found = erc721.decode_transfers(logs, TWO)
        assert [transfer.log_index for transfer in found] == [4, 2, 9]


class TestMembershipPass:
    @given(batches, places)
    def test_pass_ids_split_into_what_they_were_made_of(self, batch: int, index: int) -> None:
        pass_id = membership_pass.pass_id(batch, index)
        assert membership_pass.split_pass_id(pass_id) == (batch, index)

    @pytest.mark.parametrize(("batch", "index"), [(-1, 0), (65534, 0), (0, -1), (0, 1228)])
    def test_there_are_no_other_passes(self, batch: int, index: int) -> None:
        with pytest.raises(ValueError, match="no pass"):
            membership_pass.pass_id(batch, index)

    @pytest.mark.parametrize("pass_id", [-1, 1228, 65534 << 16, 1 << 32])
    def test_there_are_no_other_pass_ids(self, pass_id: int) -> None:
        with pytest.raises(ValueError, match="not a pass id"):
            membership_pass.split_pass_id(pass_id)

    @given(st.sets(addresses, min_size=1, max_size=60), st.randoms())
    def test_members_are_packed_in_order(self, members: set[bytes], random: Any) -> None:
        mixed = list(members)
        random.shuffle(mixed)
        packed = membership_pass.pack_members(mixed)
        assert [packed[i : i + 20] for i in range(0, len(packed), 20)] == sorted(members)

    @pytest.mark.parametrize(
        ("members", "reason"),
        [
            ([], "not 0"),
            ([i.to_bytes(20, "big") for i in range(1, 1230)], "not 1229"),
            ([b"\1" * 20, b"\1" * 20], "twice"),
            ([bytes(20), b"\1" * 20], "zero"),
            ([b"\1" * 19], "20 bytes"),
        ],
    )
    def test_refuses_what_is_no_batch(self, members: list[bytes], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            membership_pass.pack_members(members)

    @given(batches, st.sets(addresses, min_size=1, max_size=9))
    def test_issue_is_encoded_as_the_abi_says(self, batch: int, members: set[bytes]) -> None:
        packed = membership_pass.pack_members(members)
        call = membership_pass.encode_issue(batch, packed)
        assert call[4:] == encode(("uint256", "bytes"), (batch, packed))

    @pytest.mark.parametrize(
        ("batch", "packed"),
        [(-1, b"\1" * 20), (65534, b"\1" * 20), (0, b""), (0, b"\1" * 21), (0, b"\1" * 24580)],
    )
    def test_refuses_to_encode_what_must_revert(self, batch: int, packed: bytes) -> None:
        with pytest.raises(ValueError):
            membership_pass.encode_issue(batch, packed)

    def test_deployment_ends_in_its_arguments(self) -> None:
        data = membership_pass.deploy_data(
            owner=ONE,
            minter=TWO,
            name="Pass é",
            symbol="P",
            token_uri="t",
            contract_uri="c",
            recoverable=True,
        )
        code = creation_code("MembershipPass")
        assert data.startswith(code)
        types = ("address", "address", "string", "string", "string", "string", "bool")
        found = decode(types, data[len(code) :])
        assert found == (ONE.lower(), TWO.lower(), "Pass é", "P", "t", "c", True)

    def test_refuses_a_name_that_does_not_fit(self) -> None:
        with pytest.raises(ValueError, match="name has 258 bytes"):
            membership_pass.deploy_data(
                owner=ONE,
                minter=TWO,
                name="é" * 129,
                symbol="",
                token_uri="",
                contract_uri="",
                recoverable=False,
            )

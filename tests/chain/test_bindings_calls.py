"""Every function and event of the committed contracts has a binding, and it is spelled as there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from chain.bindings import (
    anchor,
    asset_factory,
    digital_asset,
    erc721,
    events,
    membership_pass,
    permits,
    roles,
)
from chain.bindings.abi import call, selector
from chain.bindings.asset_factory import AssetArguments

ARTIFACTS = Path(__file__).parents[2] / "chain" / "artifacts"
ONE = to_checksum_address("0x" + "11" * 20)
TWO = to_checksum_address("0x" + "22" * 20)
REST = {"deadline": 9, "signature": bytes(65)}

ROLES = (
    roles.encode_owner(),
    roles.encode_pending_owner(),
    roles.encode_transfer_ownership(ONE),
    roles.encode_accept_ownership(),
    roles.encode_is_minter(ONE),
    roles.encode_set_minter(ONE, allowed=True),
)
TOKENS = (
    erc721.encode_owner_of(0),
    erc721.encode_balance_of(ONE),
    erc721.encode_transfer_from(ONE, TWO, 0),
    erc721.encode_safe_transfer_from(ONE, TWO, 0),
    call("safeTransferFrom(address,address,uint256)", ONE, TWO, 0),
    erc721.encode_approve(ONE, 0),
    erc721.encode_get_approved(0),
    erc721.encode_set_approval_for_all(ONE, approved=True),
    erc721.encode_is_approved_for_all(ONE, TWO),
    erc721.encode_locked(0),
    erc721.encode_supports_interface(bytes(4)),
    erc721.encode_name(),
    erc721.encode_symbol(),
    erc721.encode_contract_uri(),
    erc721.encode_domain_separator(),
    erc721.encode_token_uri(0),
)
ARGUMENTS = AssetArguments(bytes(32), ONE, ONE, TWO, "", "", "", "", None, soulbound=False)
CALLS = {
    "Anchor": (*ROLES, anchor.encode_anchor(bytes(32)), anchor.encode_count()),
    "AssetFactory": (
        asset_factory.encode_deploy(ARGUMENTS),
        asset_factory.encode_implementation(),
    ),
    "MembershipPass": (
        *ROLES,
        *TOKENS,
        membership_pass.encode_issue(0, b"\1" * 20),
        membership_pass.encode_issue_one(0, ONE),
        membership_pass.encode_reissue(0, ONE, **REST),
        membership_pass.encode_recover(0, ONE),
        membership_pass.encode_revoke(0),
        membership_pass.encode_burn(0),
        membership_pass.encode_assign_designs(1, [0]),
        membership_pass.encode_set_design(1, ""),
        membership_pass.encode_design_of(0),
        membership_pass.encode_design_uri(1),
        membership_pass.encode_pass_of(ONE),
        membership_pass.encode_is_member(ONE, 0),
        membership_pass.encode_member_of(0),
        membership_pass.encode_nonces(0),
        membership_pass.encode_changed_members(0),
        membership_pass.encode_changed_batches(0),
        membership_pass.encode_recoverable(),
        membership_pass.encode_singles(),
        membership_pass.encode_total_supply(),
        membership_pass.encode_batches(),
        membership_pass.encode_addresses(0),
        membership_pass.encode_set_token_uri(""),
        membership_pass.encode_set_contract_uri(""),
    ),
    "DigitalAsset": (
        *ROLES,
        *TOKENS,
        digital_asset.encode_drop(round=0, batches=[0], bits=[digital_asset.bitmap([0])], nonce=1),
        digital_asset.encode_drop_lists(round=0, places=[(0, [0])], nonce=1),
        digital_asset.encode_mint(1, b"\1" * 20),
        digital_asset.encode_transfer_with_permit(ONE, TWO, 0, **REST),
        digital_asset.encode_reissue(0, ONE, **REST),
        digital_asset.encode_burn(0),
        digital_asset.encode_revoke(0),
        digital_asset.encode_revocable(),
        digital_asset.encode_lower_max_supply(1),
        digital_asset.encode_max_supply(),
        digital_asset.encode_set_royalty(ONE, 1),
        digital_asset.encode_royalty_info(0, 1),
        digital_asset.encode_nonces(0),
        digital_asset.encode_claimed(0, 0),
        digital_asset.encode_rounds(),
        digital_asset.encode_next_nonce(),
        digital_asset.encode_registry(),
        digital_asset.encode_total_supply(),
        digital_asset.encode_set_token_uri(""),
        digital_asset.encode_set_contract_uri(""),
    ),
}


def abi(contract: str, kind: str) -> Iterator[dict[str, Any]]:
    text = (ARTIFACTS / f"{contract}.json").read_text()
    return (entry for entry in json.loads(text)["abi"] if entry["type"] == kind)


def signature(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(field['type'] for field in entry['inputs'])})"


class TestCalls:
    @pytest.mark.parametrize("contract", CALLS)
    def test_are_exactly_the_functions_of_the_contract(self, contract: str) -> None:
        named = {
            selector(signature(entry)): signature(entry) for entry in abi(contract, "function")
        }
        encoded = {data[:4] for data in CALLS[contract]}
        assert encoded - set(named) == set()
        assert [name for key, name in named.items() if key not in encoded] == []

    def test_a_value_that_does_not_fit_its_type_is_named(self) -> None:
        with pytest.raises(ValueError, match="burn"):
            digital_asset.encode_burn(-1)

    @pytest.mark.parametrize(
        ("encode_it", "words"),
        [
            (lambda: anchor.encode_anchor(bytes(31)), "32 bytes"),
            (lambda: membership_pass.encode_issue_one(2**32, ONE), "issued alone"),
            (lambda: membership_pass.encode_assign_designs(256, []), "256"),
            (lambda: membership_pass.encode_assign_designs(1, range(501)), "501"),
            (lambda: membership_pass.encode_set_design(0, ""), "0"),
            (lambda: membership_pass.encode_set_design(1, "t" * 257), "URI"),
            (lambda: membership_pass.encode_set_token_uri("t" * 257), "token URI"),
            (lambda: digital_asset.encode_set_token_uri("t" * 257), "token URI"),
            (lambda: digital_asset.encode_set_contract_uri("t" * 257), "contract URI"),
        ],
    )
    def test_what_the_contract_refuses_is_refused_here(self, encode_it: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            encode_it()


class TestPermit:
    KEY = "0x" + "42" * 32

    def permit(self, **changes: Any) -> permits.Permit:
        values = {
            "kind": permits.PermitKind.TRANSFER,
            "contract_name": "Collectible",
            "chain_id": 31337,
            "contract": ONE,
            "sender": TWO,
            "receiver": ONE,
            "token_id": 5,
            "nonce": 2,
            "deadline": 99,
        }
        return permits.Permit(**(values | changes))

    def test_the_digest_is_what_eip_712_says(self) -> None:
        domain = keccak(
            encode(
                ("bytes32", "bytes32", "bytes32", "uint256", "address"),
                (
                    keccak(
                        text="EIP712Domain(string name,string version,uint256 chainId,"
                        "address verifyingContract)"
                    ),
                    *(keccak(text="Collectible"), keccak(text="1"), 31337, ONE),
                ),
            )
        )
        message = keccak(
            encode(
                ("bytes32", "address", "address", "uint256", "uint256", "uint256"),
                (
                    keccak(
                        text="TransferPermit(address from,address to,uint256 tokenId,"
                        "uint256 nonce,uint256 deadline)"
                    ),
                    *(TWO, ONE, 5, 2, 99),
                ),
            )
        )
        assert self.permit().digest == keccak(b"\x19\x01" + domain + message)

    def test_a_wallet_signs_that_digest(self) -> None:
        signed = Account.sign_typed_data(self.KEY, full_message=self.permit().typed_data)
        assert bytes(signed.message_hash) == self.permit().digest

    @pytest.mark.parametrize(
        "changes",
        [
            {"kind": permits.PermitKind.REISSUE},
            {"contract_name": "Other"},
            {"chain_id": 1},
            {"contract": TWO},
            {"sender": ONE},
            {"receiver": TWO},
            {"token_id": 6},
            {"nonce": 3},
            {"deadline": 100},
        ],
    )
    def test_every_part_changes_it(self, changes: dict[str, Any]) -> None:
        assert self.permit(**changes).digest != self.permit().digest


class TestEvents:
    def log(self, topics: list[bytes], data: bytes = b"", **changes: Any) -> dict[str, Any]:
        values = {
            "address": ONE,
            "topics": ["0x" + topic.hex() for topic in topics],
            "data": "0x" + data.hex(),
            "transactionHash": "0x" + "ab" * 32,
            "blockNumber": "0x10",
            "blockHash": "0x" + "cd" * 32,
            "logIndex": "0x2",
        }
        return values | changes

    def royalty(self, **changes: Any) -> dict[str, Any]:
        topic = keccak(text="RoyaltySet(address,uint256)")
        return self.log([topic, bytes(12) + b"\x22" * 20], encode(("uint256",), (250,)), **changes)

    def test_have_the_names_and_types_of_the_source(self) -> None:
        [event] = events.decode_events("DigitalAsset", [self.royalty()], ONE)
        assert (event.name, event.values) == (
            "RoyaltySet",
            {"receiver": TWO, "basis_points": 250},
        )
        assert (event.block_number, event.log_index, event.tx_hash) == (16, 2, b"\xab" * 32)

    def test_those_of_others_and_removed_ones_are_left_out(self) -> None:
        logs = [self.royalty(address=TWO), self.royalty(removed=True), self.log([bytes(32)])]
        assert events.decode_events("DigitalAsset", logs, ONE) == []

    def test_a_log_without_topics_is_left_out(self) -> None:
        assert events.decode_events("DigitalAsset", [self.log([])], ONE) == []

    @pytest.mark.parametrize("contract", CALLS)
    def test_every_event_of_a_contract_can_be_read(self, contract: str) -> None:
        for entry in abi(contract, "event"):
            indexed = [field for field in entry["inputs"] if field["indexed"]]
            others = [field["type"] for field in entry["inputs"] if not field["indexed"]]
            zero = {"address": ONE, "string": "t", "bool": True, "bytes32": bytes(32)}
            topics = [encode([f["type"]], [zero.get(f["type"], 1)]) for f in indexed]
            data = encode(others, [zero.get(kind, 1) for kind in others])
            logs = [self.log([keccak(text=signature(entry)), *topics], data)]
            [event] = events.decode_events(contract, logs, ONE)
            assert event.name == entry["name"]
            assert set(event.values) == {field["name"] for field in entry["inputs"]}

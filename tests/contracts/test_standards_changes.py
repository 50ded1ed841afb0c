"""What the standards demand of every way in which a token comes, moves and ends.

test_standards.py asks what any suite would ask. Here each way these contracts have is held to the
same sentences, the ways no standard knows among them, and so are the tokens nobody can transfer.
"""

import re
from collections.abc import Callable
from typing import Any

import ape
import pytest
from ape.api import AccountAPI, ReceiptAPI
from ape.contracts import ContractInstance
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from raw import topic, topics_of, word
from world import ZERO, World, anybody, deployed_helper, sorted_members

from chain.bindings.digital_asset import encode_drop_lists, outside_token_id
from chain.bindings.membership_pass import pack_members, pass_id, single_pass_id

ELSEWHERE = to_checksum_address("0x" + "e1" * 20)
OTHERS = [anybody(5000 + i) for i in range(18)]
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DEADLINE = 2**40
INVALID = re.compile(r"(asset|pass): permit invalid")
ZERO_ADDRESS = re.compile(r"(asset|pass): zero address")


def one_transfer(sender: Any, receiver: Any, token: int) -> tuple[list[str], str]:
    signature = topic("Transfer(address,address,uint256)")
    return [signature, word(str(sender)), word(str(receiver)), word(token)], "0x"


# ------------------------------------------------------------------------------------ beginnings


def lists(world: World) -> ReceiptAPI:
    data = encode_drop_lists(round=0, places=[(0, [0, 7, 299])], nonce=1)
    return world.minter.transfer(world.asset, data=data, value=0)


BEGINNINGS: dict[str, Callable[[World], ReceiptAPI]] = {
    "whole batch": lambda it: it.drop_whole(1),
    "bits": lambda it: it.drop({0: [0, 7, 299]}),
    "words": lambda it: it.drop({0: [0, 7, 299]}, nonce=0),
    "lists": lists,
    "mint": lambda it: it.asset.mint(1, pack_members(OTHERS), sender=it.minter),
    "soulbound": lambda it: it.drop_whole(1, asset=it.soulbound),
    "issue": lambda it: it.issue(2, OTHERS),
    "issue alone": lambda it: it.registry.issue_one(0, ELSEWHERE, sender=it.minter),
}


def begun(world: World, way: str) -> tuple[ContractInstance, dict[int, str]]:
    """Which contract has new tokens, and who should have which."""
    if way in ("bits", "words", "lists"):
        return world.asset, {i: world.batches[0][i] for i in (0, 7, 299)}
    if way == "mint":
        members = enumerate(sorted_members(OTHERS))
        return world.asset, {outside_token_id(1, i): member for i, member in members}
    if way == "issue":
        members = enumerate(sorted_members(OTHERS))
        return world.registry, {pass_id(2, i): member for i, member in members}
    if way == "issue alone":
        return world.registry, {single_pass_id(0): ELSEWHERE}
    contract = world.soulbound if way == "soulbound" else world.asset
    return contract, {pass_id(1, i): member for i, member in enumerate(world.batches[1])}


@pytest.mark.parametrize("way", BEGINNINGS)
class TestBeginnings:
    def test_emit_a_transfer_each_and_nothing_else(self, world: World, way: str) -> None:
        """ERC-721, Transfer: "This event emits when NFTs are created (`from` == 0)"; ERC-4906:
        "Not emitting `MetadataUpdate` event is RECOMMENDED when a token is minted"."""
        contract, expected = begun(world, way)
        logs = topics_of(BEGINNINGS[way](world), contract)
        assert logs == [one_transfer(ZERO, owner, token) for token, owner in expected.items()]

    def test_give_it_to_its_owner(self, world: World, way: str) -> None:
        """ERC-721, ownerOf, balanceOf: "The address of the owner of the NFT", "The number of NFTs
        owned by `_owner`"; nobody had it before. Of many, every twentieth and the last."""
        contract, every = begun(world, way)
        expected = dict([*list(every.items())[::20], list(every.items())[-1]])
        before = {owner: contract.balanceOf(owner) for owner in expected.values()}
        for token in expected:
            with ape.reverts():
                contract.ownerOf(token)
        BEGINNINGS[way](world)
        assert {token: contract.ownerOf(token) for token in expected} == expected
        assert all(contract.balanceOf(owner) == had + 1 for owner, had in before.items())

    def test_are_not_repeated(self, world: World, way: str) -> None:
        """ERC-721, NFT Identifiers: "Every NFT is identified by a unique `uint256` ID"."""
        BEGINNINGS[way](world)
        with ape.reverts():
            BEGINNINGS[way](world)


# ------------------------------------------------------------------------------------------ moves


def digest(contract: ContractInstance, kind: str, *values: Any) -> bytes:
    """Of a permit: from, to, tokenId, nonce, deadline."""
    fields = "address from,address to,uint256 tokenId,uint256 nonce,uint256 deadline"
    types = ["bytes32", "address", "address", "uint256", "uint256", "uint256"]
    message = keccak(encode(types, [keccak(text=f"{kind}({fields})"), *values]))
    return keccak(b"\x19\x01" + contract.DOMAIN_SEPARATOR() + message)


def signed(
    contract: ContractInstance, key: AccountAPI, sender: Any, receiver: Any, token: int
) -> bytes:
    """The move a contract knows permits for, signed with this key."""
    kind = "ReissuePermit" if contract.locked(token) else "TransferPermit"
    values = (str(sender), str(receiver), token, contract.nonces(token), DEADLINE)
    found = key.sign_raw_msghash(digest(contract, kind, *values))
    assert found is not None
    return bytes(found.encode_rsv())


def submit(
    world: World,
    contract: ContractInstance,
    move: tuple[Any, Any, int],
    signature: bytes,
    by: AccountAPI | None = None,
) -> ReceiptAPI:
    sender, receiver, token = move
    if contract.locked(token):
        by = by or world.minter
        return contract.reissue(token, receiver, DEADLINE, signature, sender=by)
    by = by or world.stranger
    return contract.transferWithPermit(sender, receiver, token, DEADLINE, signature, sender=by)


def agreed(contract: str) -> Callable[[World, Any, Any, int], ReceiptAPI]:
    def move(world: World, sender: Any, receiver: Any, token: int) -> ReceiptAPI:
        where = getattr(world, contract)
        signature = signed(where, sender, sender, receiver, token)
        return submit(world, where, (sender, receiver, token), signature)

    return move


MOVES: dict[str, Callable[[World, Any, Any, int], ReceiptAPI]] = {
    "asset transferFrom": lambda it, *move: it.asset.transferFrom(*move, sender=move[0]),
    "asset safeTransferFrom": lambda it, *move: it.asset.safeTransferFrom(*move, sender=move[0]),
    "asset safeTransferFrom with data": lambda it, *move: it.asset.safeTransferFrom(
        *move, b"data", sender=move[0]
    ),
    "asset transferWithPermit": agreed("asset"),
    "soulbound reissue": agreed("soulbound"),
    "registry reissue": agreed("registry"),
    "registry recover": lambda it, *move: it.registry.recover(move[2], move[1], sender=it.issuer),
}
FREE_MOVES = [way for way in MOVES if way.startswith("asset")]


@pytest.mark.parametrize("way", MOVES)
class TestMoves:
    def test_emit_one_transfer_and_nothing_else(self, dropped: World, way: str) -> None:
        """ERC-721, Transfer: "This emits when ownership of any NFT changes by any mechanism"."""
        contract = getattr(dropped, way.split()[0])
        one, two = dropped.holders[:2]
        token = dropped.index_of(one)
        for sender, receiver in ((one, two), (two, one), (one, one)):
            receipt = MOVES[way](dropped, sender, receiver, token)
            assert topics_of(receipt, contract) == [one_transfer(sender, receiver, token)]

    def test_keep_the_id_and_count_both(self, dropped: World, way: str) -> None:
        """ERC-721, NFT Identifiers: "This identifying number SHALL NOT change for the life of the
        contract"."""
        contract = getattr(dropped, way.split()[0])
        one, two = dropped.holders[:2]
        token = dropped.index_of(one)
        before = contract.balanceOf(one), contract.balanceOf(two)
        MOVES[way](dropped, one, two, token)
        assert contract.ownerOf(token) == two
        assert (contract.balanceOf(one), contract.balanceOf(two)) == (before[0] - 1, before[1] + 1)

    def test_do_not_lead_to_the_zero_address(self, dropped: World, way: str) -> None:
        """ERC-721, ownerOf: "NFTs assigned to zero address are considered invalid"; only the end
        of a token leads there."""
        contract = getattr(dropped, way.split()[0])
        one = dropped.holders[0]
        token = dropped.index_of(one)
        with ape.reverts(ZERO_ADDRESS):
            MOVES[way](dropped, one, ZERO, token)
        assert contract.ownerOf(token) == one


@pytest.mark.parametrize("way", FREE_MOVES)
class TestApprovalsAfterMoves:
    def test_are_none(self, dropped: World, way: str) -> None:
        """ERC-721, Transfer: "At the time of any transfer, the approved address for that NFT (if
        any) is reset to none"; no Approval has to say so, since the Transfer does."""
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        for receiver in (one, two):
            dropped.asset.approve(dropped.stranger, token, sender=one)
            receipt = MOVES[way](dropped, one, receiver, token)
            assert topics_of(receipt, dropped.asset) == [one_transfer(one, receiver, token)]
            assert dropped.asset.getApproved(token) == ZERO
            with ape.reverts():
                dropped.asset.transferFrom(receiver, ELSEWHERE, token, sender=dropped.stranger)


# ------------------------------------------------------------------------------------------- ends


@pytest.fixture
def revocable(world: World) -> ContractInstance:
    asset = world.deploy_asset(asset_id=keccak(text="revocable"), soulbound=True, revocable=True)
    world.drop_whole(0, asset=asset)
    return asset


@pytest.fixture(
    params=["asset burn", "soulbound burn", "revocable revoke", "registry burn", "registry revoke"]
)
def ended(
    dropped: World, revocable: ContractInstance, request: pytest.FixtureRequest
) -> tuple[ContractInstance, int, ReceiptAPI]:
    """A contract, the first holder's token of it that ended, and the receipt of the end."""
    which, way = request.param.split()
    contract = revocable if which == "revocable" else getattr(dropped, which)
    token = dropped.index_of(dropped.holders[0])
    if which == "asset":
        contract.approve(dropped.stranger, token, sender=dropped.holders[0])
    by = dropped.issuer if way == "revoke" else dropped.holders[0]
    return contract, token, getattr(contract, way)(token, sender=by)


class TestEnds:
    def test_emit_one_transfer_and_nothing_else(
        self, dropped: World, ended: tuple[ContractInstance, int, ReceiptAPI]
    ) -> None:
        """ERC-721, Transfer: "created (`from` == 0) and destroyed (`to` == 0)"; ERC-4906: "Not
        emitting `MetadataUpdate` event is RECOMMENDED when a token is burned"."""
        contract, token, receipt = ended
        assert topics_of(receipt, contract) == [one_transfer(dropped.holders[0], ZERO, token)]

    @pytest.mark.parametrize("view", ["ownerOf", "getApproved", "tokenURI", "locked"])
    def test_leave_nothing_to_ask_for(
        self, dropped: World, ended: tuple[ContractInstance, int, ReceiptAPI], view: str
    ) -> None:
        """ERC-721, NFT Identifiers: "NFTs MAY become invalid (be destroyed)"; getApproved,
        tokenURI: "Throws if `_tokenId` is not a valid NFT"; ERC-5192, locked: "queries about them
        do throw"."""
        contract, token, _ = ended
        with ape.reverts():
            getattr(contract, view)(token)
        getattr(contract, view)(dropped.index_of(dropped.holders[1]))

    def test_take_it_from_the_balance(
        self, dropped: World, ended: tuple[ContractInstance, int, ReceiptAPI]
    ) -> None:
        """ERC-721, balanceOf: "The number of NFTs owned by `_owner`, possibly zero"."""
        contract, _, _ = ended
        passes_left = 1 if contract == dropped.registry else 0
        assert contract.balanceOf(dropped.holders[0]) == passes_left
        assert contract.balanceOf(dropped.holders[1]) == 1

    def test_are_for_ever(
        self, dropped: World, ended: tuple[ContractInstance, int, ReceiptAPI]
    ) -> None:
        """ERC-721, transferFrom, approve: "Throws if `_tokenId` is not a valid NFT", whoever asks
        and whatever was approved before."""
        contract, token, _ = ended
        one, two = dropped.holders[:2]
        for sender in (one, ZERO):
            for by in (one, dropped.stranger):
                with ape.reverts():
                    contract.transferFrom(sender, two, token, sender=by)
                with ape.reverts():
                    contract.safeTransferFrom(sender, two, token, sender=by)
        with ape.reverts():
            contract.approve(two, token, sender=one)
        with ape.reverts():
            contract.burn(token, sender=one)


# ------------------------------------------------------------------------------- the interfaces

ERC721 = {
    "balanceOf(address)": ("view", ["uint256"]),
    "ownerOf(uint256)": ("view", ["address"]),
    "safeTransferFrom(address,address,uint256,bytes)": ("payable", []),
    "safeTransferFrom(address,address,uint256)": ("payable", []),
    "transferFrom(address,address,uint256)": ("payable", []),
    "approve(address,uint256)": ("payable", []),
    "setApprovalForAll(address,bool)": ("nonpayable", []),
    "getApproved(uint256)": ("view", ["address"]),
    "isApprovedForAll(address,address)": ("view", ["bool"]),
}
ERC165 = {"supportsInterface(bytes4)": ("view", ["bool"])}
METADATA = {
    "name()": ("view", ["string"]),
    "symbol()": ("view", ["string"]),
    "tokenURI(uint256)": ("view", ["string"]),
}
ROYALTY = {"royaltyInfo(uint256,uint256)": ("view", ["address", "uint256"])}
LOCKED = {"locked(uint256)": ("view", ["bool"])}
CONTRACT_URI = {"contractURI()": ("view", ["string"])}
STRENGTH = ["payable", "nonpayable", "view", "pure"]


class TestInterfaces:
    def test_are_implemented(self, dropped: World, token: ContractInstance) -> None:
        """ERC-721, Specification: "Every ERC-721 compliant contract must implement the `ERC721`
        and `ERC165` interfaces"; ERC-7572: "The contract MUST implement the below interface"."""
        wanted = ERC721 | ERC165 | METADATA | CONTRACT_URI
        wanted |= LOCKED if token != dropped.asset else {}
        wanted |= ROYALTY if token != dropped.registry else {}
        known = {entry.selector: entry for entry in token.contract_type.methods}
        found = {it: [output.type for output in known[it].outputs] for it in wanted}
        assert found == {it: outputs for it, (_, outputs) in wanted.items()}

    def test_change_no_more_than_they_may(self, token: ContractInstance) -> None:
        """ERC-721, Caveats: "Your implementation MUST meet the mutability guarantee in this
        interface and you MAY meet a stronger guarantee"."""
        wanted = ERC721 | ERC165 | METADATA | ROYALTY | LOCKED | CONTRACT_URI
        for entry in token.contract_type.methods:
            if entry.selector in wanted:
                least, _ = wanted[entry.selector]
                assert STRENGTH.index(entry.stateMutability) >= STRENGTH.index(least)

    def test_of_metadata_come_with_that_of_tokens(self, token: ContractInstance) -> None:
        """ERC-721, Caveats: "A contract that implements `ERC721Metadata` or `ERC721Enumerable`
        SHALL also implement `ERC721`"."""
        assert token.supportsInterface("0x5b5e139f")
        assert token.supportsInterface("0x80ac58cd")


# ------------------------------------------------------------------------------- bound tokens


class TestBound:
    def test_takes_no_approvals(self, dropped: World, bound: ContractInstance) -> None:
        """ERC-721, Rationale, "Transfer Mechanism": "always throw from `safeTransferFrom`,
        `transferFrom`, `approve` and `setApprovalForAll`"; getApproved: "or the zero address if
        there is none"."""
        one, token = dropped.holders[0], dropped.index_of(dropped.holders[0])
        for approved in (ELSEWHERE, ZERO):
            with ape.reverts():
                bound.approve(approved, token, sender=one)
        for allowed in (True, False):
            with ape.reverts():
                bound.setApprovalForAll(ELSEWHERE, allowed, sender=one)
        assert bound.getApproved(token) == ZERO
        assert not bound.isApprovedForAll(one, ELSEWHERE)

    def test_is_transferred_by_nobody(self, dropped: World, bound: ContractInstance) -> None:
        """ERC-5192, Contract Interface: functions "that transfer the token from one account to
        another must throw", whoever calls them; so does what ERC-721 would refuse anyway."""
        one, two = dropped.holders[:2]
        mine, missing = dropped.index_of(one), 300
        for by in (one, two, dropped.minter, dropped.issuer):
            for move in (
                (one, two, mine),
                (two, one, mine),
                (one, ZERO, mine),
                (one, two, missing),
            ):
                with ape.reverts():
                    bound.transferFrom(*move, sender=by)
        assert bound.ownerOf(mine) == one


# ------------------------------------------------------------------------------------- signatures


class TestSignatures:
    """Of a TransferPermit of an asset, a ReissuePermit of a soulbound asset and of a pass."""

    @pytest.fixture
    def move(self, dropped: World) -> tuple[Any, Any, int]:
        one, two = dropped.holders[:2]
        return one, two, dropped.index_of(one)

    def test_with_a_high_s_are_none(
        self, dropped: World, token: ContractInstance, move: tuple[Any, Any, int]
    ) -> None:
        """EIP-2, Specification: "All transaction signatures whose s-value is greater than
        `secp256k1n/2` are now considered invalid": the same is held of permits."""
        found = signed(token, move[0], *move)
        s = int.from_bytes(found[32:64], "big")
        assert s <= ORDER // 2
        mirrored = found[:32] + (ORDER - s).to_bytes(32, "big") + bytes([55 - found[64]])
        with ape.reverts(INVALID):
            submit(dropped, token, move, mirrored)
        submit(dropped, token, move, found)
        assert token.ownerOf(move[2]) == move[1]

    def test_hold_once(
        self, dropped: World, token: ContractInstance, move: tuple[Any, Any, int]
    ) -> None:
        """EIP-712, Security Considerations, "Replay attacks": "the repeated message should be
        rejected", also when the token is back where it was."""
        one, two, id = move
        found = signed(token, one, *move)
        submit(dropped, token, move, found)
        submit(dropped, token, (two, one, id), signed(token, two, two, one, id))
        with ape.reverts(INVALID):
            submit(dropped, token, move, found)
        assert token.ownerOf(id) == one

    def test_do_the_same_whoever_submits_them(
        self, dropped: World, token: ContractInstance, move: tuple[Any, Any, int]
    ) -> None:
        """EIP-712, Security Considerations, "Frontrunning attacks": "producing exactly the same
        effect as intended by the signer", where anybody may submit it, or "rejecting it"."""
        one, two, id = move
        found = signed(token, one, *move)
        with ape.reverts():
            submit(dropped, token, (one, dropped.stranger, id), found, dropped.stranger)
        if token == dropped.asset:
            submit(dropped, token, move, found, dropped.stranger)
        else:
            with ape.reverts():
                submit(dropped, token, move, found, dropped.stranger)
            submit(dropped, token, move, found)
        assert token.ownerOf(id) == two

    def test_of_contracts_are_what_they_say(
        self, dropped: World, token: ContractInstance, move: tuple[Any, Any, int]
    ) -> None:
        """ERC-1271, Specification: "Applications wanting to support contract signatures should
        call this method if the signer is a contract"."""
        one, two, id = move
        wallet = deployed_helper("wallet", two.address)
        submit(dropped, token, (one, wallet, id), signed(token, one, one, wallet.address, id))
        on = (wallet.address, ELSEWHERE, id)
        with ape.reverts(INVALID):
            submit(dropped, token, on, signed(token, one, *on))
        submit(dropped, token, on, signed(token, two, *on))
        assert token.ownerOf(id) == ELSEWHERE

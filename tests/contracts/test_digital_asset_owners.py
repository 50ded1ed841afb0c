"""DigitalAsset: owners, balances, transfers and approvals of every form of drop."""

import ape
import pytest
from eth_utils.address import to_checksum_address
from world import ZERO, World, as_bytes, transfers

from chain.bindings.digital_asset import token_id
from chain.bindings.erc721 import decode_transfers
from chain.bindings.membership_pass import pass_id

ACCEPTS = "0x" + "36 5f 5f 37 36 5f a0 63 150b7a02 60 e0 1b 5f 52 60 20 5f f3".replace(" ", "")
ANSWERS_ANOTHER = "0x" + "63 150b7a03 60 e0 1b 5f 52 60 20 5f f3".replace(" ", "")
REVERTS = "0x5f5ffd"
RECEIVER = to_checksum_address("0x" + "c0de".rjust(40, "0"))


@pytest.fixture(params=["whole", "bits"])
def dropped(world: World, request: pytest.FixtureRequest) -> World:
    """Round 0 was dropped to the five holders, with everybody or by bits."""
    if request.param == "whole":
        world.drop_whole(0)
    else:
        world.drop({0: sorted(world.index_of(holder) for holder in world.holders)})
    return world


class TestOwnerOf:
    def test_is_the_member_until_the_token_moves(self, dropped: World) -> None:
        for holder in dropped.holders:
            assert dropped.asset.ownerOf(dropped.token_of(holder)) == holder

    def test_is_whoever_has_it_then(self, dropped: World) -> None:
        one, two, three, *_ = dropped.holders
        token = dropped.token_of(one)
        for sender, receiver in ((one, two), (two, three), (three, one), (one, one)):
            dropped.asset.transferFrom(sender, receiver, token, sender=sender)
            assert dropped.asset.ownerOf(token) == receiver

    @pytest.mark.parametrize("view", ["ownerOf", "getApproved", "locked", "tokenURI"])
    @pytest.mark.parametrize(
        "missing",
        [
            token_id(1, 0),
            token_id(0, pass_id(1, 0)),
            token_id(0, 2 << 16),
            300,
            65535,
            1 << 128,
            1 << 255,
            2**256 - 1,
        ],
    )
    def test_reverts_for_a_token_that_was_not_minted(
        self, dropped: World, view: str, missing: int
    ) -> None:
        with ape.reverts("asset: no such token"):
            getattr(dropped.asset, view)(missing)


class TestBalanceOf:
    def test_counts_what_was_dropped_over_rounds_and_batches(self, world: World) -> None:
        holder = world.holders[0]
        world.drop_whole(0, 1)
        world.drop({0: [world.index_of(holder)], 1: [world.index_of(holder, 1)]}, round=1)
        world.drop({0: [world.index_of(world.holders[1])]}, round=2, nonce=2)
        balances = [world.asset.balanceOf(who) for who in (*world.holders[:3], world.stranger)]
        assert balances == [4, 2, 1, 0]

    def test_follows_every_transfer(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        expected = [(1, 1), (0, 2), (1, 1), (0, 2)]
        for turn, balances in enumerate(expected):
            assert (dropped.asset.balanceOf(one), dropped.asset.balanceOf(two)) == balances
            sender, receiver = (one, two) if turn % 2 == 0 else (two, one)
            dropped.asset.transferFrom(sender, receiver, token, sender=sender)

    def test_is_not_changed_by_a_transfer_to_oneself(self, dropped: World) -> None:
        holder = dropped.holders[0]
        for _ in range(2):
            dropped.asset.transferFrom(holder, holder, dropped.token_of(holder), sender=holder)
            assert dropped.asset.balanceOf(holder) == 1

    def test_has_no_balance_for_the_zero_address(self, dropped: World) -> None:
        with ape.reverts("asset: zero address"):
            dropped.asset.balanceOf(ZERO)

    def test_and_owners_are_what_the_events_say(self, world: World) -> None:
        one, two, three, four, _ = world.holders
        world.drop_whole(0)
        world.drop({0: sorted(map(world.index_of, (one, two))), 1: [0, 9]}, round=1)
        world.drop_whole(0, round=2)
        moves = [(one, two, 0), (two, three, 0), (one, four, 1), (four, one, 1), (three, two, 2)]
        tokens = {0: world.token_of(one), 1: world.token_of(one, 1), 2: world.token_of(three, 2)}
        for sender, receiver, which in moves:
            world.asset.transferFrom(sender, receiver, tokens[which], sender=sender)
        owners = _replayed(world)
        assert world.asset.totalSupply() == len(owners) == 604
        watched = [*world.holders, world.stranger, world.batches[0][0], world.batches[1][9]]
        for account in watched:
            has = [token for token, owner in owners.items() if owner == str(account)]
            assert world.asset.balanceOf(account) == len(has)
            assert all(world.asset.ownerOf(token) == account for token in has)


def _replayed(world: World) -> dict[int, str]:
    """Who owns what, from nothing but the events."""
    query = {"address": world.asset.address, "fromBlock": "0x0", "toBlock": "latest"}
    logs = ape.chain.provider.make_request("eth_getLogs", [query])
    owners: dict[int, str] = {}
    for told in decode_transfers(logs, world.asset.address):
        assert owners.get(told.token_id, ZERO) == told.sender
        owners[told.token_id] = told.receiver
    return owners


class TestTransferFrom:
    def test_says_so(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        receipt = dropped.asset.transferFrom(one, two, token, sender=one)
        (told,) = transfers(receipt, dropped.asset)
        assert (told.sender, told.receiver, told.token_id) == (one, two, token)

    def test_is_for_the_owner_only(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        with ape.reverts("asset: not allowed"):
            dropped.asset.transferFrom(one, two, dropped.token_of(one), sender=two)

    def test_takes_the_token_from_its_owner_only(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        with ape.reverts("asset: not the owner"):
            dropped.asset.transferFrom(two, one, dropped.token_of(one), sender=two)

    def test_is_over_for_the_former_owner(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        dropped.asset.transferFrom(one, two, token, sender=one)
        with ape.reverts("asset: not the owner"):
            dropped.asset.transferFrom(one, two, token, sender=one)

    def test_refuses_the_zero_address(self, dropped: World) -> None:
        holder = dropped.holders[0]
        with ape.reverts("asset: zero address"):
            dropped.asset.transferFrom(holder, ZERO, dropped.token_of(holder), sender=holder)

    def test_refuses_a_token_that_was_not_minted(self, dropped: World) -> None:
        holder = dropped.holders[0]
        with ape.reverts("asset: no such token"):
            dropped.asset.transferFrom(holder, holder, token_id(1, 0), sender=holder)


class TestSafeTransferFrom:
    def test_asks_no_account_without_code(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        dropped.asset.safeTransferFrom(one, two, dropped.token_of(one), sender=one)
        assert dropped.asset.ownerOf(dropped.token_of(one)) == two

    @pytest.mark.parametrize(
        "data", [None, b"", b"hello", b"x" * 1024], ids=["none", "empty", "short", "longest"]
    )
    def test_tells_a_contract_what_it_gets(self, dropped: World, data: bytes | None) -> None:
        ape.chain.provider.set_code(RECEIVER, ACCEPTS)
        holder = dropped.holders[0]
        token = dropped.token_of(holder)
        extra = [] if data is None else [data]
        receipt = dropped.asset.safeTransferFrom(holder, RECEIVER, token, *extra, sender=holder)
        raw = ape.chain.provider.make_request("eth_getTransactionReceipt", [receipt.txn_hash])
        (heard,) = [log["data"] for log in raw["logs"] if not log["topics"]]
        words = as_bytes(holder.address).rjust(32, b"\0") * 2 + token.to_bytes(32, "big")
        assert as_bytes(heard)[4:100] == words
        assert (data or b"") in as_bytes(heard)[100:]
        assert dropped.asset.ownerOf(token) == RECEIVER

    def test_gives_nothing_to_a_contract_that_answers_another_word(self, dropped: World) -> None:
        ape.chain.provider.set_code(RECEIVER, ANSWERS_ANOTHER)
        holder = dropped.holders[0]
        with ape.reverts("asset: receiver refused"):
            dropped.asset.safeTransferFrom(
                holder, RECEIVER, dropped.token_of(holder), sender=holder
            )

    def test_gives_nothing_to_a_contract_that_reverts(self, dropped: World) -> None:
        ape.chain.provider.set_code(RECEIVER, REVERTS)
        holder = dropped.holders[0]
        with ape.reverts():
            dropped.asset.safeTransferFrom(
                holder, RECEIVER, dropped.token_of(holder), sender=holder
            )
        assert dropped.asset.ownerOf(dropped.token_of(holder)) == holder

    def test_is_for_the_owner_only(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        with ape.reverts("asset: not allowed"):
            dropped.asset.safeTransferFrom(one, two, dropped.token_of(one), b"", sender=two)


class TestApprove:
    def test_lets_one_account_move_one_token_once(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        receipt = dropped.asset.approve(dropped.stranger, token, sender=one)
        (told,) = receipt.decode_logs(dropped.asset.Approval)
        assert (told.owner, told.approved, told.token_id) == (one, dropped.stranger, token)
        assert dropped.asset.getApproved(token) == dropped.stranger
        dropped.asset.transferFrom(one, two, token, sender=dropped.stranger)
        assert dropped.asset.getApproved(token) == ZERO
        with ape.reverts("asset: not allowed"):
            dropped.asset.transferFrom(two, one, token, sender=dropped.stranger)

    def test_changes_no_owner(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        for owner in (one, two):
            dropped.asset.approve(dropped.stranger, token, sender=owner)
            assert dropped.asset.ownerOf(token) == owner
            assert dropped.asset.balanceOf(one) == (1 if owner == one else 0)
            dropped.asset.transferFrom(owner, two, token, sender=owner)

    def test_can_be_taken_back(self, dropped: World) -> None:
        holder = dropped.holders[0]
        token = dropped.token_of(holder)
        dropped.asset.approve(dropped.stranger, token, sender=holder)
        dropped.asset.approve(ZERO, token, sender=holder)
        assert dropped.asset.getApproved(token) == ZERO
        with ape.reverts("asset: not allowed"):
            dropped.asset.transferFrom(holder, holder, token, sender=dropped.stranger)

    def test_is_for_the_owner_and_operators(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        with ape.reverts("asset: not allowed"):
            dropped.asset.approve(two, token, sender=two)
        dropped.asset.setApprovalForAll(two, True, sender=one)
        dropped.asset.approve(dropped.stranger, token, sender=two)

    def test_is_not_for_the_approved(self, dropped: World) -> None:
        holder = dropped.holders[0]
        token = dropped.token_of(holder)
        dropped.asset.approve(dropped.stranger, token, sender=holder)
        with ape.reverts("asset: not allowed"):
            dropped.asset.approve(dropped.issuer, token, sender=dropped.stranger)

    def test_refuses_a_token_that_was_not_minted(self, dropped: World) -> None:
        with ape.reverts("asset: no such token"):
            dropped.asset.approve(dropped.stranger, 1 << 128, sender=dropped.holders[0])


class TestSetApprovalForAll:
    def test_lets_an_operator_move_every_token(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        receipt = dropped.asset.setApprovalForAll(dropped.stranger, True, sender=one)
        (told,) = receipt.decode_logs(dropped.asset.ApprovalForAll)
        assert (told.owner, told.operator, told.approved) == (one, dropped.stranger, True)
        dropped.asset.transferFrom(one, two, dropped.token_of(one), sender=dropped.stranger)
        assert dropped.asset.ownerOf(dropped.token_of(one)) == two

    def test_ends_when_taken_back(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        dropped.asset.setApprovalForAll(dropped.stranger, True, sender=one)
        dropped.asset.setApprovalForAll(dropped.stranger, False, sender=one)
        assert not dropped.asset.isApprovedForAll(one, dropped.stranger)
        with ape.reverts("asset: not allowed"):
            dropped.asset.transferFrom(one, two, dropped.token_of(one), sender=dropped.stranger)

    def test_is_for_the_owners_own_tokens_only(self, dropped: World) -> None:
        one, two = dropped.holders[:2]
        dropped.asset.setApprovalForAll(dropped.stranger, True, sender=two)
        with ape.reverts("asset: not allowed"):
            dropped.asset.transferFrom(one, two, dropped.token_of(one), sender=dropped.stranger)


class TestMovedRecord:
    def test_counts_moves_and_keeps_the_approval_flag_beside_the_owner(
        self, dropped: World
    ) -> None:
        one, two = dropped.holders[:2]
        token = dropped.token_of(one)
        for sender, receiver in ((one, two), (two, one), (one, two)):
            dropped.asset.approve(dropped.stranger, token, sender=sender)
            dropped.asset.approve(ZERO, token, sender=sender)
            dropped.asset.approve(dropped.stranger, token, sender=sender)
            dropped.asset.transferFrom(sender, receiver, token, sender=dropped.stranger)
        assert dropped.asset.ownerOf(token) == two
        assert dropped.asset.getApproved(token) == ZERO
        assert (dropped.asset.balanceOf(one), dropped.asset.balanceOf(two)) == (0, 2)


class TestSoulbound:
    @pytest.fixture
    def bound(self, world: World) -> World:
        world.drop_whole(0, asset=world.soulbound)
        return world

    @pytest.mark.parametrize("data", [[], [b"data"]])
    def test_never_moves(self, bound: World, data: list[bytes]) -> None:
        one, two = bound.holders[:2]
        token = bound.token_of(one)
        with ape.reverts("asset: soulbound"):
            bound.soulbound.transferFrom(one, two, token, sender=one)
        with ape.reverts("asset: soulbound"):
            bound.soulbound.safeTransferFrom(one, two, token, *data, sender=one)

    def test_takes_no_approvals(self, bound: World) -> None:
        one, two = bound.holders[:2]
        with ape.reverts("asset: soulbound"):
            bound.soulbound.approve(two, bound.token_of(one), sender=one)
        with ape.reverts("asset: soulbound"):
            bound.soulbound.setApprovalForAll(two, True, sender=one)

    def test_is_locked_and_says_which_standard(self, bound: World) -> None:
        assert bound.soulbound.locked(bound.token_of(bound.holders[0]))
        assert bound.soulbound.supportsInterface("0xb45a3c0e")

    def test_is_not_what_other_editions_are(self, dropped: World) -> None:
        assert not dropped.asset.locked(dropped.token_of(dropped.holders[0]))
        assert not dropped.asset.supportsInterface("0xb45a3c0e")

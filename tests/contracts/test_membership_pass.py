"""MembershipPass: issuing, the registry, and what soulbound means."""

import ape
import pytest
from world import FULL, ZERO, World, anybody, overwrite, sorted_members, transfers

from chain.bindings.membership_pass import pack_members, pass_id

FRESH = [anybody(i) for i in range(5000, 5000 + FULL)]


class TestIssue:
    def test_gives_every_member_a_pass_and_says_so_in_order(self, world: World) -> None:
        receipt = world.issue(2, FRESH[:20])
        told = [(t.sender, t.receiver, t.token_id) for t in transfers(receipt, world.registry)]
        members = sorted_members(FRESH[:20])
        assert told == [(ZERO, member, 2 << 16 | i) for i, member in enumerate(members)]
        assert [world.registry.ownerOf(2 << 16 | i) for i in range(20)] == members

    @pytest.mark.parametrize("count", [1, 7, 8, 9, 255, 256, 257, FULL])
    def test_takes_batches_of_any_size(self, world: World, count: int) -> None:
        receipt = world.issue(2, FRESH[:count])
        told = transfers(receipt, world.registry)
        assert [t.receiver for t in told] == sorted_members(FRESH[:count])
        assert [t.token_id for t in told] == [pass_id(2, i) for i in range(count)]
        assert world.registry.totalSupply() == 310 + count
        assert world.registry.ownerOf(pass_id(2, count - 1)) == told[-1].receiver

    def test_numbers_batches_on_past_the_short_and_the_middle_form_of_a_nonce(
        self, world: World
    ) -> None:
        for batch in range(2, 258):
            world.issue(batch, [FRESH[batch]])
        for batch in (2, 126, 127, 128, 254, 255, 256, 257):
            owner = world.registry.ownerOf(pass_id(batch, 0))
            assert owner == sorted_members([FRESH[batch]])[0]

    def test_refuses_a_batch_that_exists(self, world: World) -> None:
        with ape.reverts("pass: batch exists"):
            world.issue(1, FRESH[:20])
        assert world.registry.totalSupply() == 310

    def test_refuses_to_leave_a_batch_out(self, world: World) -> None:
        with ape.reverts("pass: not the next batch"):
            world.issue(3, FRESH[:20])

    def test_refuses_batches_whose_number_does_not_fit(self, world: World) -> None:
        overwrite(world.registry, 2 << 128 | 310, 65534 << 128)
        with ape.reverts("pass: no batch left"):
            world.registry.issue(65534, FRESH[0], sender=world.minter)

    @pytest.mark.parametrize("who", ["issuer", "stranger"])
    def test_refuses_whoever_is_no_minter(self, world: World, who: str) -> None:
        with ape.reverts("pass: not a minter"):
            world.registry.issue(2, pack_members(FRESH[:2]), sender=getattr(world, who))

    @pytest.mark.parametrize("packed", [b"", FRESH[0][:19], FRESH[0] + b"\1"])
    def test_refuses_what_is_no_whole_number_of_addresses(
        self, world: World, packed: bytes
    ) -> None:
        with ape.reverts("pass: length"):
            world.registry.issue(2, packed, sender=world.minter)

    def test_refuses_more_than_a_data_contract_holds(self, world: World) -> None:
        packed = b"".join(sorted([*FRESH, anybody(1)]))
        with ape.reverts():
            world.registry.issue(2, packed, sender=world.minter)

    @pytest.mark.parametrize("place", [1, 2, 3, 4, 5, 6, 7, 8, 9, 14])
    @pytest.mark.parametrize("fault", ["duplicate", "swapped"])
    def test_refuses_addresses_that_do_not_increase(
        self, world: World, place: int, fault: str
    ) -> None:
        members = sorted(FRESH[:15])
        if fault == "duplicate":
            members[place] = members[place - 1]
        else:
            members[place], members[place - 1] = members[place - 1], members[place]
        with ape.reverts("pass: not ascending"):
            world.registry.issue(2, b"".join(members), sender=world.minter)

    @pytest.mark.parametrize("count", [1, 8])
    def test_refuses_the_zero_address(self, world: World, count: int) -> None:
        packed = bytes(20) + b"".join(sorted(FRESH[: count - 1]))
        with ape.reverts("pass: not ascending"):
            world.registry.issue(2, packed, sender=world.minter)


class TestRegistry:
    def test_finds_the_member_of_a_pass_and_the_pass_of_a_member(self, world: World) -> None:
        for index in (0, 1, 149, 255, 256, 299):
            member = world.batches[0][index]
            assert world.registry.memberOf(pass_id(0, index)) == member
            assert world.registry.isMember(member, pass_id(0, index))
            assert world.registry.passOf(member) == pass_id(0, index)

    def test_knows_nobody_where_no_pass_is(self, world: World) -> None:
        for nowhere in (300, pass_id(1, 10), 2 << 16, 1 << 32, 2**256 - 1):
            assert world.registry.memberOf(nowhere) == ZERO
            assert not world.registry.isMember(ZERO, nowhere)

    def test_does_not_take_one_member_for_another(self, world: World) -> None:
        assert not world.registry.isMember(world.batches[0][1], pass_id(0, 0))

    def test_answers_the_first_pass_of_who_has_two(self, world: World) -> None:
        holder = world.holders[0]
        assert world.registry.passOf(holder) == pass_id(0, world.index_of(holder))

    def test_has_no_pass_for_a_stranger(self, world: World) -> None:
        with ape.reverts("pass: no such pass"):
            world.registry.passOf(world.stranger)

    def test_lists_a_batch_as_it_was_issued(self, world: World) -> None:
        members = [bytes.fromhex(member[2:]) for member in world.batches[0]]
        assert bytes(world.registry.addresses(0)) == pack_members(members)

    def test_lists_no_batch_that_was_not_issued(self, world: World) -> None:
        with ape.reverts("pass: no such batch"):
            world.registry.addresses(2)

    def test_counts_batches_and_passes(self, world: World) -> None:
        assert world.registry.batches() == 2
        assert world.registry.totalSupply() == 310


class TestOwners:
    def test_counts_an_accounts_passes_over_all_batches(self, world: World) -> None:
        one, two = world.holders[1], world.holders[0]
        counts = [world.registry.balanceOf(who) for who in (one, two, world.stranger)]
        assert counts == [1, 2, 0]

    def test_has_no_balance_for_the_zero_address(self, world: World) -> None:
        with ape.reverts("pass: zero address"):
            world.registry.balanceOf(ZERO)

    @pytest.mark.parametrize("view", ["ownerOf", "locked", "getApproved", "tokenURI"])
    @pytest.mark.parametrize("missing", [300, 2 << 16, 1 << 32])
    def test_reverts_for_an_id_that_was_not_issued(
        self, world: World, view: str, missing: int
    ) -> None:
        with ape.reverts("pass: no such pass"):
            getattr(world.registry, view)(missing)


class TestSoulbound:
    def test_every_pass_is_locked_and_nobody_approved(self, world: World) -> None:
        assert world.registry.locked(0)
        assert world.registry.getApproved(0) == ZERO
        assert not world.registry.isApprovedForAll(world.holders[0], world.stranger)

    @pytest.mark.parametrize("function", ["transferFrom", "safeTransferFrom"])
    def test_no_holder_can_move_a_pass(self, world: World, function: str) -> None:
        holder = world.holders[0]
        move = getattr(world.registry, function)
        with ape.reverts("pass: soulbound"):
            move(holder, world.stranger, world.index_of(holder), sender=holder)

    def test_no_holder_can_move_a_pass_with_data(self, world: World) -> None:
        holder = world.holders[0]
        with ape.reverts("pass: soulbound"):
            world.registry.safeTransferFrom(holder, holder, 0, b"data", sender=holder)

    def test_no_holder_can_approve_anybody(self, world: World) -> None:
        holder = world.holders[0]
        with ape.reverts("pass: soulbound"):
            world.registry.approve(world.stranger, world.index_of(holder), sender=holder)
        with ape.reverts("pass: soulbound"):
            world.registry.setApprovalForAll(world.stranger, True, sender=holder)


class TestDeployment:
    def test_keeps_what_it_was_given(self, world: World) -> None:
        registry = world.registry
        assert (registry.name(), registry.symbol()) == ("Brand Pass", "PASS")
        assert (registry.tokenURI(0), registry.contractURI()) == ("ipfs://pass", "ipfs://passes")

    def test_refuses_to_have_no_owner(self, world: World) -> None:
        with ape.reverts("pass: no owner"):
            world.issuer.deploy(
                ape.project.MembershipPass, ZERO, world.minter, "", "", "", "", False
            )

    @pytest.mark.parametrize(
        ("interface", "answer"),
        [
            ("0x01ffc9a7", True),  # ERC-165
            ("0x80ac58cd", True),  # ERC-721
            ("0x5b5e139f", True),  # ERC-721 metadata
            ("0x49064906", True),  # ERC-4906
            ("0xb45a3c0e", True),  # ERC-5192
            ("0x2a55205a", False),  # ERC-2981: a pass is not sold
            ("0xffffffff", False),
        ],
    )
    def test_names_its_interfaces(self, world: World, interface: str, answer: bool) -> None:
        assert world.registry.supportsInterface(interface) is answer

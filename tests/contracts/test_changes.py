"""MembershipPass: passes issued alone, passes that move or end, and what drops make of it."""

import ape
import pytest
from eth_utils.address import to_checksum_address
from world import ZERO, World, anybody, as_bytes, overwrite, transfers

from chain.bindings.digital_asset import bitmap
from chain.bindings.membership_pass import pass_id, single_pass_id

ALONE = to_checksum_address("0x" + "a1" * 20)


def issue_one(world: World, number: int = 0, member: str = ALONE) -> int:
    world.registry.issue_one(number, member, sender=world.minter)
    return single_pass_id(number)


class TestIssueOne:
    def test_gives_one_member_a_pass_and_says_so(self, world: World) -> None:
        receipt = world.registry.issue_one(0, world.stranger, sender=world.minter)
        (told,) = transfers(receipt, world.registry)
        assert (told.sender, told.receiver) == (ZERO, world.stranger)
        assert told.token_id == single_pass_id(0) == 1 << 32
        registry = world.registry
        assert registry.ownerOf(1 << 32) == registry.memberOf(1 << 32) == world.stranger
        assert registry.passOf(world.stranger) == 1 << 32
        assert registry.isMember(world.stranger, 1 << 32)
        assert registry.balanceOf(world.stranger) == 1
        assert (registry.singles(), registry.batches(), registry.totalSupply()) == (1, 2, 311)
        assert registry.locked(1 << 32)

    def test_numbers_them_without_gaps(self, world: World) -> None:
        assert [issue_one(world, number) for number in range(3)] == [2**32, 2**32 + 1, 2**32 + 2]
        assert world.registry.balanceOf(ALONE) == 3

    def test_refuses_a_repeated_call(self, world: World) -> None:
        issue_one(world)
        with ape.reverts("pass: pass exists"):
            issue_one(world)
        assert world.registry.totalSupply() == 311

    def test_refuses_to_leave_a_number_out(self, world: World) -> None:
        with ape.reverts("pass: not the next pass"):
            issue_one(world, 1)

    def test_refuses_the_zero_address(self, world: World) -> None:
        with ape.reverts("pass: zero address"):
            issue_one(world, member=ZERO)

    @pytest.mark.parametrize("who", ["issuer", "stranger"])
    def test_refuses_whoever_is_no_minter(self, world: World, who: str) -> None:
        with ape.reverts("pass: not a minter"):
            world.registry.issue_one(0, ALONE, sender=getattr(world, who))

    def test_refuses_numbers_that_do_not_fit(self, world: World) -> None:
        overwrite(world.registry, 2 << 128 | 310, 2**32 << 192 | 2 << 128 | 310)
        with ape.reverts("pass: no pass left"):
            world.registry.issue_one(2**32, ALONE, sender=world.minter)

    def test_stands_behind_the_pass_of_a_batch(self, world: World) -> None:
        holder = world.holders[1]
        issue_one(world, member=holder.address)
        assert world.registry.passOf(holder) == world.index_of(holder)
        assert world.registry.balanceOf(holder) == 2
        world.registry.burn(world.index_of(holder), sender=holder)
        assert world.registry.passOf(holder) == 1 << 32

    def test_is_not_dropped_to(self, world: World) -> None:
        issue_one(world)
        with ape.reverts("asset: no such batch"):
            world.asset.drop(0, [1 << 16], [bitmap([0])], 1, sender=world.minter)
        world.drop_whole(0)
        assert not world.asset.claimed(0, 1 << 32)


class TestRecover:
    def test_moves_a_pass_without_its_holder(self, world: World) -> None:
        holder, id = world.holders[1], world.index_of(world.holders[1])
        receipt = world.registry.recover(id, ALONE, sender=world.issuer)
        (told,) = transfers(receipt, world.registry)
        assert (told.sender, told.receiver, told.token_id) == (holder, ALONE, id)
        registry = world.registry
        assert (registry.ownerOf(id), registry.nonces(id)) == (ALONE, 1)
        assert registry.passOf(ALONE) == id
        assert (registry.balanceOf(holder), registry.balanceOf(ALONE)) == (0, 1)
        assert (registry.isMember(holder, id), registry.isMember(ALONE, id)) == (False, True)
        assert registry.totalSupply() == 310
        with ape.reverts("pass: no such pass"):
            registry.passOf(holder)

    def test_moves_it_again_and_back(self, world: World) -> None:
        holder, id = world.holders[1], world.index_of(world.holders[1])
        for receiver in (ALONE, ALONE, world.stranger.address, holder.address):
            world.registry.recover(id, receiver, sender=world.issuer)
            assert world.registry.ownerOf(id) == receiver
            assert world.registry.balanceOf(receiver) == 1
        assert world.registry.balanceOf(ALONE) == 0
        assert (world.registry.passOf(holder), world.registry.nonces(id)) == (id, 4)

    def test_moves_a_pass_that_was_issued_alone(self, world: World) -> None:
        id = issue_one(world)
        world.registry.recover(id, world.stranger, sender=world.issuer)
        assert world.registry.passOf(world.stranger) == id
        assert (world.registry.balanceOf(ALONE), world.registry.nonces(id)) == (0, 1)

    @pytest.mark.parametrize("who", ["minter", "stranger"])
    def test_is_for_the_owner_only(self, world: World, who: str) -> None:
        with ape.reverts("roles: not the owner"):
            world.registry.recover(0, ALONE, sender=getattr(world, who))

    def test_refuses_the_zero_address(self, world: World) -> None:
        with ape.reverts("pass: zero address"):
            world.registry.recover(0, ZERO, sender=world.issuer)

    @pytest.mark.parametrize("missing", [300, 2 << 16, 1 << 32, 2**256 - 1])
    def test_refuses_an_id_that_was_not_issued(self, world: World, missing: int) -> None:
        with ape.reverts("pass: no such pass"):
            world.registry.recover(missing, ALONE, sender=world.issuer)

    def test_is_impossible_where_it_was_not_declared(self, world: World) -> None:
        texts = ("Brand Pass", "PASS", "", "")
        who = (world.issuer, world.minter)
        registry = world.issuer.deploy(ape.project.MembershipPass, *who, *texts, False)
        registry.issue_one(0, ALONE, sender=world.minter)
        assert (registry.recoverable(), world.registry.recoverable()) == (False, True)
        with ape.reverts("pass: not recoverable"):
            registry.recover(1 << 32, world.stranger, sender=world.issuer)


@pytest.mark.parametrize("way", ["revoke", "burn"])
class TestEnds:
    def end(self, world: World, way: str, id: int, holder: object = None) -> object:
        sender = world.issuer if way == "revoke" else holder or world.holders[1]
        return getattr(world.registry, way)(id, sender=sender)

    def test_are_for_ever(self, world: World, way: str) -> None:
        holder, id = world.holders[1], world.index_of(world.holders[1])
        (told,) = transfers(self.end(world, way, id), world.registry)
        assert (told.sender, told.receiver, told.token_id) == (holder, ZERO, id)
        registry = world.registry
        assert (registry.memberOf(id), registry.balanceOf(holder)) == (ZERO, 0)
        assert not registry.isMember(holder, id)
        assert registry.totalSupply() == 309
        for view in ("ownerOf", "locked", "getApproved", "tokenURI"):
            with ape.reverts("pass: no such pass"):
                getattr(registry, view)(id)
        for call in ("revoke", "burn"):
            with ape.reverts("pass: no such pass"):
                self.end(world, call, id)
        with ape.reverts("pass: no such pass"):
            registry.recover(id, ALONE, sender=world.issuer)

    def test_leave_a_members_other_passes(self, world: World, way: str) -> None:
        holder = world.holders[0]
        self.end(world, way, world.index_of(holder), holder)
        assert world.registry.balanceOf(holder) == 1
        assert world.registry.passOf(holder) == pass_id(1, world.index_of(holder, 1))

    def test_are_of_passes_issued_alone_too(self, world: World, way: str) -> None:
        id = issue_one(world, member=world.stranger.address)
        self.end(world, way, id, world.stranger)
        assert (world.registry.memberOf(id), world.registry.totalSupply()) == (ZERO, 310)
        issue_one(world, 1)
        assert world.registry.memberOf(id) == ZERO

    def test_are_of_passes_that_moved_too(self, world: World, way: str) -> None:
        id = world.index_of(world.holders[1])
        world.registry.recover(id, world.stranger, sender=world.issuer)
        self.end(world, way, id, world.stranger)
        assert world.registry.balanceOf(world.stranger) == 0
        assert world.registry.totalSupply() == 309

    def test_are_not_for_others(self, world: World, way: str) -> None:
        message = {"revoke": "roles: not the owner", "burn": "pass: not the holder"}[way]
        for sender in (world.stranger, world.minter, world.holders[0]):
            with ape.reverts(message):
                getattr(world.registry, way)(world.index_of(world.holders[1]), sender=sender)

    def test_leave_what_was_dropped_before(self, world: World, way: str) -> None:
        holder = world.holders[1]
        world.drop_whole(0)
        self.end(world, way, world.index_of(holder))
        token = world.token_of(holder)
        assert world.asset.ownerOf(token) == holder
        assert world.asset.balanceOf(holder) == 1
        world.asset.transferFrom(holder, world.stranger, token, sender=holder)


class TestChangedBits:
    def test_are_none_at_first(self, world: World) -> None:
        assert world.registry.changed_batches(0) == 0
        assert world.registry.changed_members(0) == [0] * 5

    @pytest.mark.parametrize("index", [0, 1, 255, 256, 299])
    @pytest.mark.parametrize("way", ["recover", "revoke"])
    def test_are_set_by_every_change(self, world: World, way: str, index: int) -> None:
        more = [ALONE] if way == "recover" else []
        getattr(world.registry, way)(index, *more, sender=world.issuer)
        assert world.registry.changed_batches(0) == 1
        assert tuple(world.registry.changed_members(0)) == bitmap([index])
        assert world.registry.changed_members(1) == [0] * 5

    def test_stay_when_a_pass_comes_back(self, world: World) -> None:
        holder, id = world.holders[1], world.index_of(world.holders[1])
        for receiver in (ALONE, holder.address):
            world.registry.recover(id, receiver, sender=world.issuer)
        assert tuple(world.registry.changed_members(0)) == bitmap([id])

    def test_are_not_of_passes_issued_alone(self, world: World) -> None:
        id = issue_one(world)
        world.registry.revoke(id, sender=world.issuer)
        assert world.registry.changed_batches(id >> 24) == 0
        assert world.registry.changed_members(id >> 16) == [0] * 5

    def test_do_not_change_the_list_of_a_batch(self, world: World) -> None:
        before = world.registry.addresses(0)
        world.registry.revoke(3, sender=world.issuer)
        assert world.registry.addresses(0) == before


class TestDrops:
    @pytest.mark.parametrize("way", ["recover", "revoke"])
    def test_refuse_a_pass_that_changed(self, world: World, way: str) -> None:
        more = [ALONE] if way == "recover" else []
        getattr(world.registry, way)(256, *more, sender=world.issuer)
        with ape.reverts("asset: pass changed"):
            world.drop_whole(0)
        with ape.reverts("asset: pass changed"):
            world.drop({0: [255, 256]})
        others = [i for i in range(300) if i != 256]
        world.drop({0: others})
        assert world.asset.totalSupply() == 299
        assert not world.asset.claimed(0, 256)

    def test_take_the_batches_that_did_not_change(self, world: World) -> None:
        world.registry.revoke(0, sender=world.issuer)
        world.drop_whole(1)
        with ape.reverts("asset: pass changed"):
            world.drop({1: [2], 0: [0]}, round=1)

    def test_reach_a_pass_that_changed_by_a_mint(self, world: World) -> None:
        world.registry.recover(0, ALONE, sender=world.issuer)
        world.asset.mint(1, as_bytes(ALONE), sender=world.minter)
        assert world.asset.balanceOf(ALONE) == 1

    def test_of_before_stay_with_whom_they_were_for(self, world: World) -> None:
        holder, id = world.holders[1], world.index_of(world.holders[1])
        world.drop_whole(0)
        world.registry.recover(id, ALONE, sender=world.issuer)
        assert world.asset.ownerOf(id) == holder
        assert (world.asset.balanceOf(holder), world.asset.balanceOf(ALONE)) == (1, 0)
        assert world.asset.claimed(0, id)

    def test_look_at_the_changes_of_every_256_batches(self, world: World) -> None:
        for batch in range(2, 257):
            world.issue(batch, [anybody(batch)])
        world.registry.revoke(pass_id(256, 0), sender=world.issuer)
        assert world.registry.changed_batches(0) == 0
        assert world.registry.changed_batches(1) == 1
        bits = [bitmap([0])] * 2
        with ape.reverts("asset: pass changed"):
            world.asset.drop(0, [255, 256], bits, 1, sender=world.minter)
        world.asset.drop(0, [0, 255], bits, 1, sender=world.minter)


class TestDesigns:
    def test_are_given_by_minters(self, world: World) -> None:
        ids = [0, 31, 32, 299, pass_id(1, 3), issue_one(world)]
        receipt = world.registry.assign_designs(7, ids, sender=world.minter)
        told = receipt.decode_logs(world.registry.MetadataUpdate)
        assert [event.token_id for event in told] == ids
        assert [world.registry.design_of(it) for it in ids] == [7] * 6
        assert [world.registry.design_of(it) for it in (1, 30, 33)] == [0] * 3

    def test_show_their_own_document_once_they_have_one(self, world: World) -> None:
        world.registry.assign_designs(255, [5], sender=world.minter)
        assert world.registry.tokenURI(5) == "ipfs://pass"
        receipt = world.registry.set_design(255, "ipfs://gold", sender=world.issuer)
        assert receipt.decode_logs(world.registry.DesignSet)[0].uri == "ipfs://gold"
        (told,) = receipt.decode_logs(world.registry.BatchMetadataUpdate)
        assert (told.from_token_id, told.to_token_id) == (0, 2**256 - 1)
        assert world.registry.design_uri(255) == "ipfs://gold"
        assert [world.registry.tokenURI(it) for it in (5, 6)] == ["ipfs://gold", "ipfs://pass"]
        world.registry.set_design(255, "", sender=world.issuer)
        assert world.registry.tokenURI(5) == "ipfs://pass"

    def test_can_be_changed_and_taken_back(self, world: World) -> None:
        for design in (255, 1, 0):
            world.registry.assign_designs(design, [4, 5], sender=world.minter)
            assert [world.registry.design_of(it) for it in (3, 4, 5, 6)] == [0, design, design, 0]

    def test_take_500_passes_a_call(self, world: World) -> None:
        world.registry.assign_designs(1, list(range(500)), sender=world.minter)
        with ape.reverts():
            world.registry.assign_designs(1, list(range(501)), sender=world.minter)

    def test_stay_with_a_pass_that_moves(self, world: World) -> None:
        world.registry.assign_designs(9, [0], sender=world.minter)
        world.registry.recover(0, ALONE, sender=world.issuer)
        assert world.registry.design_of(0) == 9

    @pytest.mark.parametrize("who", ["issuer", "stranger"])
    def test_are_given_by_nobody_else(self, world: World, who: str) -> None:
        with ape.reverts("pass: not a minter"):
            world.registry.assign_designs(1, [0], sender=getattr(world, who))

    @pytest.mark.parametrize("who", ["minter", "stranger"])
    def test_get_documents_from_the_owner_only(self, world: World, who: str) -> None:
        with ape.reverts("roles: not the owner"):
            world.registry.set_design(1, "ipfs://fake", sender=getattr(world, who))

    @pytest.mark.parametrize("design", [256, 2**256 - 1])
    def test_are_255(self, world: World, design: int) -> None:
        with ape.reverts("pass: no such design"):
            world.registry.assign_designs(design, [0], sender=world.minter)
        with ape.reverts("pass: no such design"):
            world.registry.set_design(design, "x", sender=world.issuer)
        with ape.reverts("pass: no such design"):
            world.registry.set_design(0, "x", sender=world.issuer)

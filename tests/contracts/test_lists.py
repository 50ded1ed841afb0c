"""DigitalAsset: drops by lists, and how lists, bits, storage words and whole batches get on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import ape
import pytest
from ape.api import ReceiptAPI
from world import ZERO, World, anybody, transfers

from chain.bindings.abi import call
from chain.bindings.digital_asset import bitmap, encode_drop_lists, token_id
from chain.bindings.membership_pass import pass_id

PLACES = [0, 1, 14, 15, 16, 31, 255, 256, 299]


def drop_lists(
    world: World, places: dict[int, Sequence[int]], *, round: int = 0, nonce: int = 1
) -> ReceiptAPI:
    data = encode_drop_lists(round=round, places=list(places.items()), nonce=nonce)
    return world.minter.transfer(world.asset, data=data, value=0)


def drop_raw(world: World, heads: bytes, lists: bytes, **options: Any) -> ReceiptAPI:
    """Lists as they are, right or wrong."""
    sender = options.pop("sender", world.minter)
    data = call(
        "drop_lists(uint256,bytes,bytes,uint256)",
        options.get("round", 0),
        heads,
        lists,
        options.get("nonce", 1),
    )
    receipt: ReceiptAPI = sender.transfer(world.asset, data=data, value=0)
    return receipt


@pytest.fixture
def many(world: World) -> World:
    """Sixteen batches: two of the world's and fourteen of five members; the last begins a group."""
    for batch in range(2, 16):
        members = [anybody(100 * batch + i) for i in range(5)]
        world.issue(batch, members)
    return world


class TestLists:
    @pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 31, 32, 254, 255])
    def test_give_the_listed_members_a_token_and_nobody_else(
        self, world: World, count: int
    ) -> None:
        places = list(range(299, -1, -1))[:count][::-1]
        told = transfers(drop_lists(world, {0: places}), world.asset)
        assert [t.receiver for t in told] == [world.batches[0][i] for i in places]
        assert [t.token_id for t in told] == [token_id(0, pass_id(0, i)) for i in places]
        assert {t.sender for t in told} == {ZERO}
        assert world.asset.totalSupply() == count
        for index in {0, 44, 45, places[0] - 1, places[0], places[count // 2], 298, 299}:
            assert world.asset.claimed(0, index) is (index in places)

    def test_are_found_by_owner_and_balance(self, world: World) -> None:
        drop_lists(world, {0: PLACES, 1: [3]})
        for index in PLACES:
            member = world.batches[0][index]
            assert world.asset.ownerOf(index) == member
            others = int(member == world.batches[1][3])
            assert world.asset.balanceOf(member) == 1 + others
        assert world.asset.balanceOf(world.batches[0][2]) == 0

    @pytest.mark.parametrize("missing", [2, 13, 17, 32, 254, 257, 298, 300, 1280, 65535])
    def test_have_no_other_member(self, world: World, missing: int) -> None:
        drop_lists(world, {0: PLACES})
        assert not world.asset.claimed(0, missing)
        with ape.reverts("asset: no such token"):
            world.asset.ownerOf(missing)

    def test_of_several_batches_share_one_data_contract(self, many: World) -> None:
        places = {0: PLACES, 1: [9], 7: [0, 4], 14: [2], 15: [1, 3]}
        told = transfers(drop_lists(many, places), many.asset)
        expected = [pass_id(batch, i) for batch, some in places.items() for i in some]
        assert [t.token_id for t in told] == expected
        assert [many.asset.ownerOf(it) for it in expected] == [t.receiver for t in told]
        assert (many.asset.next_nonce(), many.asset.rounds()) == (2, 1)

    def test_are_of_any_batches_of_a_group_in_any_order(self, many: World) -> None:
        told = transfers(drop_lists(many, {15: [0], 3: [1], 0: [299], 2: [4]}), many.asset)
        assert [t.token_id >> 16 for t in told] == [15, 3, 0, 2]
        assert all(many.asset.claimed(0, t.token_id) for t in told)

    def test_move_as_any_token_does(self, world: World) -> None:
        one, two = world.holders[:2]
        drop_lists(world, {0: [world.index_of(one)]})
        world.asset.transferFrom(one, two, world.token_of(one), sender=one)
        assert world.asset.ownerOf(world.token_of(one)) == two
        assert (world.asset.balanceOf(one), world.asset.balanceOf(two)) == (0, 1)
        assert world.asset.claimed(0, world.index_of(one))

    def test_are_of_a_round_each(self, world: World) -> None:
        drop_lists(world, {0: PLACES})
        drop_lists(world, {0: PLACES}, round=1, nonce=2)
        assert world.asset.totalSupply() == 2 * len(PLACES)
        assert not world.asset.claimed(1, 2)

    def test_may_reach_the_maximum_supply_and_not_pass_it(self, world: World) -> None:
        limited = replace(world, asset=world.deploy_asset(max_supply=3))
        with ape.reverts("asset: above the maximum supply"):
            drop_lists(limited, {0: [1, 2], 1: [3, 4]})
        drop_lists(limited, {0: [1, 2], 1: [3]})
        assert limited.asset.totalSupply() == 3


class TestRefusals:
    @pytest.mark.parametrize("who", ["issuer", "stranger"])
    def test_whoever_is_no_minter(self, world: World, who: str) -> None:
        with ape.reverts("asset: not a minter"):
            drop_raw(world, b"\0\0", b"\1\0\0", sender=getattr(world, who))

    @pytest.mark.parametrize("places", [[5, 5], [6, 5], [1, 2, 2], [299, 0], [0, 0]])
    def test_places_that_do_not_increase(self, world: World, places: list[int]) -> None:
        lists = bytes([len(places)]) + b"".join(i.to_bytes(2, "big") for i in places)
        with ape.reverts("asset: not ascending"):
            drop_raw(world, b"\0\0", lists)

    def test_places_that_do_not_increase_from_one_word_to_the_next(self, world: World) -> None:
        places = [*range(15), 14, *range(16, 40)]
        lists = bytes([len(places)]) + b"".join(i.to_bytes(2, "big") for i in places)
        with ape.reverts("asset: not ascending"):
            drop_raw(world, b"\0\0", lists)

    def test_each_place_that_is_no_more_than_the_one_before(self, world: World) -> None:
        for place in range(1, 32):
            places = list(range(100, 132))
            places[place] = places[place - 1]
            lists = bytes([len(places)]) + b"".join(i.to_bytes(2, "big") for i in places)
            with ape.reverts("asset: not ascending"):
                drop_raw(world, b"\0\0", lists)

    @pytest.mark.parametrize("places", [[0x8001, 0], [1, 0x8002, 2], [0xFFFF, 0, 1]])
    def test_a_place_far_beyond_the_batch_and_one_within(
        self, world: World, places: list[int]
    ) -> None:
        lists = bytes([len(places)]) + b"".join(i.to_bytes(2, "big") for i in places)
        with ape.reverts("asset: beyond the batch"):
            drop_raw(world, b"\0\0", lists)

    def test_a_list_of_nobody(self, world: World) -> None:
        with ape.reverts("asset: not ascending"):
            drop_raw(world, b"\0\0", b"\0")
        with ape.reverts("asset: not ascending"):
            drop_raw(world, b"\0\0\0\1", b"\1\0\5\0")

    @pytest.mark.parametrize("place", [10, 255, 1227, 1228, 65535])
    def test_a_place_beyond_the_batch(self, world: World, place: int) -> None:
        lists = b"\2\0\1" + place.to_bytes(2, "big")
        with ape.reverts("asset: beyond the batch"):
            drop_raw(world, b"\0\1", lists)

    def test_a_place_beyond_the_batch_after_words_were_used(self, world: World) -> None:
        world.drop({1: [0]}, nonce=0)
        for place in (10, 1279, 1280, 65535):
            with ape.reverts("asset: beyond the batch"):
                drop_raw(world, b"\0\1", b"\1" + place.to_bytes(2, "big"))

    @pytest.mark.parametrize("batch", [2, 15, 65533, 65534, 65535])
    def test_a_batch_that_was_not_issued(self, world: World, batch: int) -> None:
        with ape.reverts("asset: no such batch"):
            drop_raw(world, batch.to_bytes(2, "big"), b"\1\0\0")

    @pytest.mark.parametrize(
        ("heads", "lists"),
        [
            (b"", b""),
            (b"", b"\1\0\0"),
            (b"\0", b"\1\0\0"),
            (b"\0\0\0", b"\1\0\0"),
            (b"\0\0", b"\1\0\0\0"),
            (b"\0\0", b"\1\0\0\1\0\0"),
            (b"\0\0", b"\1\0"),
            (b"\0\0", b"\1"),
        ],
    )
    def test_heads_and_lists_of_other_lengths(
        self, world: World, heads: bytes, lists: bytes
    ) -> None:
        with ape.reverts("asset: lengths"):
            drop_raw(world, heads, lists)

    @pytest.mark.parametrize("lists", [b"\2\0\0", b"\2\0\0\0", b"\xff\0\1"])
    def test_a_list_that_is_cut_off(self, world: World, lists: bytes) -> None:
        with ape.reverts("asset: lengths"):
            drop_raw(world, b"\0\0", lists)

    def test_more_heads_than_lists(self, world: World) -> None:
        with ape.reverts("asset: lengths"):
            drop_raw(world, b"\0\0\0\1", b"\1\0\0")
        assert world.asset.totalSupply() == 0

    @pytest.mark.parametrize(("heads", "lists"), [(2 * 512 + 2, 3), (2, 11_201)])
    def test_more_than_a_call_takes(self, world: World, heads: int, lists: int) -> None:
        with ape.reverts():
            drop_raw(world, bytes(heads), bytes(lists))

    @pytest.mark.parametrize("nonce", [0, 2, 65536, 2**256 - 1])
    def test_a_nonce_that_is_not_the_next(self, world: World, nonce: int) -> None:
        with ape.reverts("asset: wrong nonce"):
            drop_lists(world, {0: [1]}, nonce=nonce)

    def test_a_repeated_call(self, world: World) -> None:
        drop_lists(world, {0: [1], 1: [2]})
        with ape.reverts("asset: wrong nonce"):
            drop_lists(world, {0: [1], 1: [2]})
        with ape.reverts("asset: group has data"):
            drop_lists(world, {0: [1], 1: [2]}, nonce=2)
        assert world.asset.totalSupply() == 2

    def test_a_round_behind_a_gap(self, world: World) -> None:
        with ape.reverts("asset: round skipped"):
            drop_lists(world, {0: [1]}, round=1)

    def test_a_batch_twice_in_one_call(self, world: World) -> None:
        with ape.reverts("asset: already dropped"):
            drop_raw(world, b"\0\0\0\0", b"\1\0\1\1\0\2")

    def test_a_group_that_does_not_stand_together(self, many: World) -> None:
        places = b"\1\0\1" * 3
        with ape.reverts("asset: group has data"):
            drop_raw(many, b"\0\0\0\x0f\0\1", places)
        drop_raw(many, b"\0\0\0\1\0\x0f", places)

    def test_a_pass_that_changed_and_no_other_of_its_batch(self, world: World) -> None:
        world.registry.revoke(pass_id(0, 256), sender=world.issuer)
        with ape.reverts("asset: pass changed"):
            drop_lists(world, {0: [1, 256]})
        drop_lists(world, {0: [1, 255, 257]})

    def test_a_refused_call_changes_nothing(self, world: World) -> None:
        with ape.reverts("asset: beyond the batch"):
            drop_lists(world, {0: [1], 1: [10]})
        assert (world.asset.totalSupply(), world.asset.rounds(), world.asset.next_nonce()) == (
            0,
            0,
            1,
        )
        assert not world.asset.claimed(0, 1)
        drop_lists(world, {0: [1], 1: [9]})


# Ways to drop to places of batch 0 in round 0: what is kept where depends on the way.
Way = Callable[[World, list[int]], ReceiptAPI]


def by_bits(world: World, places: list[int]) -> ReceiptAPI:
    return world.drop({0: places}, nonce=world.asset.next_nonce())


def by_words(world: World, places: list[int]) -> ReceiptAPI:
    return world.drop({0: places}, nonce=0)


def by_list(world: World, places: list[int]) -> ReceiptAPI:
    return drop_lists(world, {0: places}, nonce=world.asset.next_nonce())


WAYS = [by_bits, by_words, by_list]
EARLY = [2, 15, 255, 256, 298]
LATE = [0, 3, 14, 16, 254, 257, 299]


class TestOneAfterAnother:
    @pytest.mark.parametrize("first", WAYS)
    @pytest.mark.parametrize("second", [by_bits, by_words])
    def test_late_members_are_added_to_what_is_there(
        self, world: World, first: Way, second: Way
    ) -> None:
        first(world, EARLY)
        told = transfers(second(world, LATE), world.asset)
        assert [t.token_id for t in told] == LATE
        has = {i for i in range(300) if world.asset.claimed(0, i)}
        assert has == {*EARLY, *LATE}
        assert world.asset.totalSupply() == len(has)
        assert world.asset.ownerOf(LATE[0]) == world.batches[0][LATE[0]]

    @pytest.mark.parametrize("first", WAYS)
    @pytest.mark.parametrize("second", [by_bits, by_words])
    @pytest.mark.parametrize("again", [2, 256])
    def test_nobody_is_dropped_to_twice(
        self, world: World, first: Way, second: Way, again: int
    ) -> None:
        first(world, EARLY)
        with ape.reverts("asset: already dropped"):
            second(world, sorted([*LATE, again]))
        assert world.asset.totalSupply() == len(EARLY)

    @pytest.mark.parametrize("first", WAYS)
    @pytest.mark.parametrize("again", [EARLY[0], LATE[0]])
    def test_nobody_is_dropped_to_twice_after_late_members(
        self, world: World, first: Way, again: int
    ) -> None:
        first(world, EARLY)
        by_words(world, LATE)
        for way in (by_bits, by_words):
            with ape.reverts("asset: already dropped"):
                way(world, [again])

    @pytest.mark.parametrize("first", WAYS)
    def test_no_whole_batch_follows_a_part(self, world: World, first: Way) -> None:
        first(world, EARLY)
        with ape.reverts("asset: already dropped"):
            world.drop_whole(0, nonce=0)
        with ape.reverts("asset: already dropped"):
            world.drop_whole(0, nonce=2)

    @pytest.mark.parametrize("second", [by_bits, by_words, by_list])
    def test_nothing_follows_a_whole_batch(self, world: World, second: Way) -> None:
        world.drop_whole(0)
        with ape.reverts("asset: already dropped"):
            second(world, [3])

    @pytest.mark.parametrize("again", EARLY)
    def test_a_list_follows_words_for_others_only(self, world: World, again: int) -> None:
        by_words(world, EARLY)
        with ape.reverts("asset: already dropped"):
            by_list(world, sorted([*LATE, again]))
        by_list(world, LATE)
        assert {i for i in range(300) if world.asset.claimed(0, i)} == {*EARLY, *LATE}

    @pytest.mark.parametrize("first", [by_bits, by_list])
    def test_a_list_follows_no_data_of_its_batch(self, world: World, first: Way) -> None:
        first(world, EARLY)
        with ape.reverts("asset: group has data"):
            by_list(world, LATE)

    @pytest.mark.parametrize("first", [by_bits, by_list])
    def test_a_list_follows_no_data_of_its_group(self, many: World, first: Way) -> None:
        first(many, EARLY)
        with ape.reverts("asset: group has data"):
            drop_lists(many, {14: [1]}, nonce=2)
        drop_lists(many, {15: [1]}, nonce=2)

    def test_a_list_follows_a_whole_batch_of_its_group(self, world: World) -> None:
        world.drop_whole(0)
        with ape.reverts("asset: already dropped"):
            drop_lists(world, {0: [4], 1: [4]})
        drop_lists(world, {1: [4]})
        assert world.asset.claimed(0, pass_id(1, 4))
        assert world.asset.totalSupply() == 301

    @pytest.mark.parametrize("first", [by_bits, by_list])
    def test_a_whole_batch_follows_data_of_its_group(self, world: World, first: Way) -> None:
        first(world, EARLY)
        world.drop_whole(1, nonce=0)
        assert world.asset.totalSupply() == len(EARLY) + 10
        assert world.asset.claimed(0, EARLY[0])

    @pytest.mark.parametrize("first", [by_bits, by_list])
    def test_bits_of_a_group_with_data_are_kept_in_words(self, world: World, first: Way) -> None:
        first(world, EARLY)
        world.drop({1: [4]}, nonce=2)
        assert world.asset.next_nonce() == 2
        assert world.asset.claimed(0, pass_id(1, 4))
        assert world.asset.ownerOf(pass_id(1, 4)) == world.batches[1][4]

    def test_whoever_has_two_ways_to_a_balance_has_it_once_each(self, world: World) -> None:
        holder = world.holders[0]
        by_list(world, [world.index_of(holder)])
        world.drop({1: [world.index_of(holder, 1)]}, nonce=0)
        assert world.asset.balanceOf(holder) == 2


class TestWords:
    def test_need_no_data_contract(self, world: World) -> None:
        told = transfers(world.drop({0: EARLY, 1: [9]}, nonce=0), world.asset)
        assert [t.token_id for t in told] == [*EARLY, pass_id(1, 9)]
        assert world.asset.next_nonce() == 1
        assert [world.asset.ownerOf(t.token_id) for t in told] == [t.receiver for t in told]

    def test_take_a_batch_in_pieces_even_in_one_call(self, world: World) -> None:
        bits = [bitmap([1]), bitmap([2])]
        world.asset.drop(0, [0, 0], bits, 0, sender=world.minter)
        assert world.asset.totalSupply() == 2
        with ape.reverts("asset: already dropped"):
            world.asset.drop(0, [0, 0], [bitmap([3]), bitmap([3])], 0, sender=world.minter)

    def test_of_another_round_say_nothing(self, world: World) -> None:
        world.drop({0: [5]}, nonce=0)
        world.drop({0: [5]}, round=1, nonce=0)
        drop_lists(world, {0: [5]}, round=2)
        assert world.asset.balanceOf(world.batches[0][5]) == 3

    def test_of_one_batch_say_nothing_of_the_next(self, world: World) -> None:
        world.drop({0: [5]}, nonce=0)
        world.drop({1: [5]}, nonce=0)
        assert not world.asset.claimed(0, pass_id(1, 6))
        assert not world.asset.claimed(1, pass_id(0, 5))

"""DigitalAsset: drops, what they record, and that nobody is dropped to twice."""

import ape
import pytest
from world import ZERO, World, anybody, overwrite, transfers

from chain.bindings.digital_asset import bitmap, token_id
from chain.bindings.membership_pass import pass_id


class TestWholeBatch:
    def test_gives_every_member_a_token_and_says_so_in_order(self, world: World) -> None:
        told = transfers(world.drop_whole(0), world.asset)
        assert [t.receiver for t in told] == world.batches[0]
        assert [t.token_id for t in told] == [token_id(0, pass_id(0, i)) for i in range(300)]
        assert {t.sender for t in told} == {ZERO}
        assert world.asset.totalSupply() == 300

    def test_makes_no_data_contract_and_looks_at_no_nonce(self, world: World) -> None:
        world.drop_whole(0, 1, nonce=77)
        assert world.asset.next_nonce() == 1

    def test_is_once_a_round(self, world: World) -> None:
        world.drop_whole(0)
        with ape.reverts("asset: already dropped"):
            world.drop_whole(0)
        with ape.reverts("asset: already dropped"):
            world.drop({0: [5]})
        assert world.asset.totalSupply() == 300

    def test_leaves_the_next_round_open(self, world: World) -> None:
        world.drop_whole(0)
        told = transfers(world.drop_whole(0, round=1), world.asset)
        assert told[7].token_id == token_id(1, pass_id(0, 7))
        assert world.asset.totalSupply() == 600


class TestPartOfABatch:
    @pytest.mark.parametrize(
        "places",
        [
            [0],
            [299],
            [255, 256],
            list(range(0, 300, 2)),
            list(range(8)),
            list(range(256)),
            list(range(299)),
            [0, 9, 18, 27, 36, 45, 54, 63, 128, 255, 256, 263, 264, 299],
        ],
    )
    def test_gives_the_chosen_members_a_token_and_nobody_else(
        self, world: World, places: list[int]
    ) -> None:
        told = transfers(world.drop({0: places}), world.asset)
        assert [t.receiver for t in told] == [world.batches[0][i] for i in places]
        assert [t.token_id for t in told] == [token_id(0, pass_id(0, i)) for i in places]
        assert world.asset.totalSupply() == len(places)
        edges = {0, 1, 7, 8, 254, 255, 256, 298, 299} | set(places[:3])
        for index in edges:
            assert world.asset.claimed(0, pass_id(0, index)) is (index in places)

    def test_keeps_the_bits_of_several_batches_in_one_data_contract(self, world: World) -> None:
        told = transfers(world.drop({1: [2, 9], 0: [0, 299]}), world.asset)
        assert [t.token_id for t in told] == [1 << 16 | 2, 1 << 16 | 9, 0, 299]
        assert [world.asset.ownerOf(t.token_id) for t in told] == [t.receiver for t in told]
        assert world.asset.next_nonce() == 2

    def test_stands_beside_a_whole_batch(self, world: World) -> None:
        world.drop({0: range(300), 1: [4]})
        assert world.asset.totalSupply() == 301
        assert world.asset.claimed(0, pass_id(1, 4))
        assert not world.asset.claimed(0, pass_id(1, 5))

    def test_leaves_room_for_a_later_whole_batch_of_the_group(self, world: World) -> None:
        world.drop({0: [3]})
        world.drop_whole(1)
        assert world.asset.totalSupply() == 11

    @pytest.mark.parametrize("again", [[3], [3, 4], range(300)])
    def test_is_once_a_round(self, world: World, again: list[int]) -> None:
        world.drop({0: [3]})
        with ape.reverts("asset: already dropped"):
            world.drop({0: again}, nonce=2)

    def test_takes_late_members_of_the_same_round(self, world: World) -> None:
        world.drop({0: [3, 256]})
        told = transfers(world.drop({0: [2, 4, 299]}, nonce=2), world.asset)
        assert [t.token_id for t in told] == [2, 4, 299]
        assert world.asset.next_nonce() == 2
        assert {i for i in range(300) if world.asset.claimed(0, i)} == {2, 3, 4, 256, 299}
        with ape.reverts("asset: already dropped"):
            world.drop({0: [4]}, nonce=2)

    @pytest.mark.parametrize("places", [[3], range(300)])
    def test_takes_a_batch_once_a_call(self, world: World, places: list[int]) -> None:
        bits = [bitmap(places)] * 2
        with ape.reverts("asset: already dropped"):
            world.asset.drop(0, [0, 0], bits, 1, sender=world.minter)

    def test_makes_no_second_data_contract_for_a_group(self, world: World) -> None:
        world.drop({0: [3]})
        world.drop({1: [3]}, nonce=2)
        assert world.asset.next_nonce() == 2
        assert world.asset.ownerOf(pass_id(1, 3)) == world.batches[1][3]
        with ape.reverts("asset: already dropped"):
            world.drop({1: [3]}, nonce=2)

    def test_gives_another_group_its_own_data_contract(self, world: World) -> None:
        for batch in range(2, 16):
            world.issue(batch, [anybody(batch), anybody(100 + batch)])
        world.drop({0: [3], 14: [1]})
        world.drop({15: [0]}, nonce=2)
        assert world.asset.claimed(0, pass_id(14, 1))
        assert world.asset.claimed(0, pass_id(15, 0))
        assert not world.asset.claimed(0, pass_id(15, 1))

    @pytest.mark.parametrize("nonce", [2, 65535, 65536, 65537, 2**256 - 1])
    def test_refuses_a_nonce_that_is_not_the_next(self, world: World, nonce: int) -> None:
        with ape.reverts("asset: wrong nonce"):
            world.drop({0: [3]}, nonce=nonce)

    def test_makes_no_data_contract_when_told_not_to(self, world: World) -> None:
        told = transfers(world.drop({0: [3, 299]}, nonce=0), world.asset)
        assert [t.token_id for t in told] == [3, 299]
        assert world.asset.next_nonce() == 1
        assert world.asset.ownerOf(299) == world.batches[0][299]

    def test_takes_the_next_nonce_only(self, world: World) -> None:
        world.drop({0: [3]})
        with ape.reverts("asset: wrong nonce"):
            world.drop({0: [3]}, round=1, nonce=1)
        world.drop({0: [3]}, round=1, nonce=2)
        assert world.asset.next_nonce() == 3

    def test_refuses_a_data_contract_whose_number_does_not_fit(self, world: World) -> None:
        world.drop({0: [3]})
        overwrite(world.asset, 1 << 240 | 1 << 192 | 1, 65535 << 240 | 1 << 192 | 1)
        with ape.reverts("asset: no nonce left"):
            world.drop({1: [3]}, round=1, nonce=65536)

    def test_numbers_data_contracts_past_the_short_form_of_a_nonce(self, world: World) -> None:
        for round in range(130):
            world.drop({1: [round % 10]}, round=round, nonce=round + 1)
        for round in (0, 126, 127, 128, 129):
            assert world.asset.claimed(round, pass_id(1, round % 10))
            assert not world.asset.claimed(round, pass_id(1, (round + 1) % 10))


class TestRefusals:
    @pytest.mark.parametrize("who", ["issuer", "stranger"])
    def test_whoever_is_no_minter(self, world: World, who: str) -> None:
        with ape.reverts("asset: not a minter"):
            world.asset.drop(0, [0], [bitmap(range(300))], 1, sender=getattr(world, who))

    def test_a_batch_that_was_not_issued(self, world: World) -> None:
        with ape.reverts("asset: no such batch"):
            world.drop({2: [0]})

    @pytest.mark.parametrize("batch", [65534, 65535, 65536, 2**256 - 1])
    def test_a_number_that_no_batch_can_have(self, world: World, batch: int) -> None:
        with ape.reverts("asset: no such batch"):
            world.asset.drop(0, [batch], [bitmap([0])], 1, sender=world.minter)

    @pytest.mark.parametrize("index", [300, 511, 512, 1227])
    def test_a_bit_beyond_the_batch(self, world: World, index: int) -> None:
        with ape.reverts("asset: beyond the batch"):
            world.drop({0: [1, index]})

    def test_a_bit_no_batch_has(self, world: World) -> None:
        with ape.reverts("asset: beyond the batch"):
            world.asset.drop(0, [0], [[1, 0, 0, 0, 1 << 255]], 1, sender=world.minter)

    def test_a_whole_batch_and_one_bit_more(self, world: World) -> None:
        with ape.reverts("asset: beyond the batch"):
            world.drop({1: range(11)})

    def test_no_bits(self, world: World) -> None:
        with ape.reverts("asset: no bits"):
            world.drop({0: [1], 1: []})

    def test_no_batches(self, world: World) -> None:
        with ape.reverts("asset: lengths"):
            world.asset.drop(0, [], [], 1, sender=world.minter)

    def test_bits_for_another_number_of_batches(self, world: World) -> None:
        with ape.reverts("asset: lengths"):
            world.asset.drop(0, [0, 1], [bitmap([0])], 1, sender=world.minter)

    def test_more_batches_than_a_call_takes(self, world: World) -> None:
        with ape.reverts():
            world.asset.drop(0, [0] * 31, [bitmap([0])] * 31, 1, sender=world.minter)

    def test_a_round_behind_a_gap(self, world: World) -> None:
        with ape.reverts("asset: round skipped"):
            world.drop_whole(0, round=1)

    def test_a_refused_drop_changes_nothing(self, world: World) -> None:
        with ape.reverts("asset: no such batch"):
            world.drop({0: [1, 2], 2: [0]})
        assert (world.asset.totalSupply(), world.asset.rounds()) == (0, 0)
        assert not world.asset.claimed(0, pass_id(0, 1))
        world.drop({0: [1, 2]})


class TestSupply:
    def test_may_be_reached(self, world: World) -> None:
        asset = world.deploy_asset(max_supply=310)
        world.drop_whole(0, asset=asset)
        world.drop_whole(1, asset=asset)
        assert asset.totalSupply() == asset.max_supply() == 310

    def test_may_not_be_passed(self, world: World) -> None:
        asset = world.deploy_asset(max_supply=309)
        world.drop_whole(0, asset=asset)
        with ape.reverts("asset: above the maximum supply"):
            world.drop_whole(1, asset=asset)
        world.drop({1: range(9)}, asset=asset)

    def test_has_no_limit_when_none_was_given(self, world: World) -> None:
        assert world.asset.max_supply() == 0


class TestClaimed:
    def test_stays_when_the_token_moves(self, world: World) -> None:
        holder = world.holders[0]
        world.drop_whole(0)
        token = world.token_of(holder)
        world.asset.transferFrom(holder, world.stranger, token, sender=holder)
        assert world.asset.claimed(0, world.index_of(holder))

    @pytest.mark.parametrize(
        ("round", "which"),
        [(0, 300), (0, 2 << 16), (0, 1 << 32), (1, 0), (2**64, 0), (2**243, 0), (0, 2**255)],
    )
    def test_is_false_where_nothing_was_dropped(self, world: World, round: int, which: int) -> None:
        world.drop_whole(0)
        assert not world.asset.claimed(round, which)

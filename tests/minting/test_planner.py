"""Whatever the recipients, each is in one call, every call fits, and no form costs less."""

from collections import Counter
from random import Random

import pytest
from eth_abi.abi import decode
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.bindings import digital_asset as binding
from minting.costs import Ground, PassPlaces
from minting.planner import GAS_CEILING, DropCall, Form, plan_calls

FULL = binding.MAX_BATCH


def whole(number: int, size: int = FULL) -> PassPlaces:
    return PassPlaces(number, size, tuple(range(size)))


def part(number: int, count: int, *, size: int = FULL, seed: int = 0) -> PassPlaces:
    places = Random(f"{seed}:{number}").sample(range(size), count)
    return PassPlaces(number, size, tuple(sorted(places)))


@st.composite
def recipients(draw: st.DrawFn) -> list[PassPlaces]:
    numbers = draw(st.lists(st.integers(0, 70), unique=True, max_size=40))
    sizes = st.sampled_from([1, 40, 1000, FULL])
    shares = st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.5, 0.99, 1])
    found = []
    for number in numbers:
        size = draw(sizes)
        found.append(part(number, max(1, int(size * draw(shares))), size=size))
    return found


grounds = st.builds(
    Ground,
    is_first=st.booleans(),
    has_words=st.booleans(),
    used_groups=st.frozensets(st.integers(0, 4), max_size=3),
)


def in_data(call: DropCall) -> list[PassPlaces]:
    return [p for p in call.parts if not p.is_whole and p.number not in call.in_words]


class TestAnyRecipients:
    @given(parts=recipients(), ground=grounds)
    @settings(max_examples=60, deadline=None)
    def test_each_is_in_exactly_one_call(self, parts: list[PassPlaces], ground: Ground) -> None:
        planned = [p for call in plan_calls(parts, ground) for p in call.parts]
        assert sorted(planned, key=lambda p: p.number) == sorted(parts, key=lambda p: p.number)

    @given(parts=recipients(), ground=grounds)
    @settings(max_examples=60, deadline=None)
    def test_every_call_fits_and_can_be_encoded(
        self, parts: list[PassPlaces], ground: Ground
    ) -> None:
        for call in plan_calls(parts, ground):
            assert call.gas <= GAS_CEILING or len(call.parts) == 1
            assert call.encode(3, 7)

    @given(parts=recipients(), ground=grounds)
    @settings(max_examples=60, deadline=None)
    def test_no_group_has_data_in_two_calls(self, parts: list[PassPlaces], ground: Ground) -> None:
        calls = plan_calls(parts, ground)
        groups = Counter(g for call in calls for g in {p.group for p in in_data(call)})
        assert all(count == 1 for count in groups.values())
        assert not ground.used_groups & set(groups)

    @given(parts=recipients())
    @settings(max_examples=60, deadline=None)
    def test_choosing_costs_no_more_than_bits_for_everybody(self, parts: list[PassPlaces]) -> None:
        chosen = sum(call.gas for call in plan_calls(parts, Ground()))
        one_by_one = sum(plan_calls([p], Ground())[0].gas for p in parts)
        assert chosen <= one_by_one


class TestForms:
    def test_nobody_needs_no_call(self) -> None:
        assert plan_calls([], Ground()) == []

    def test_whole_batches_are_marked_six_a_call_and_make_no_data(self) -> None:
        calls = plan_calls([whole(number) for number in range(12)], Ground())
        assert [len(call.parts) for call in calls] == [6, 6]
        assert not any(call.has_data for call in calls)

    def test_one_percent_of_many_batches_goes_by_lists(self) -> None:
        calls = plan_calls([part(number, 12) for number in range(100)], Ground())
        assert {call.form for call in calls} == {Form.LISTS}
        assert len(calls) == 1

    def test_a_tenth_goes_by_bits(self) -> None:
        calls = plan_calls([part(number, 123) for number in range(30)], Ground())
        assert [(call.form, call.has_data) for call in calls] == [(Form.BITS, True)]

    @pytest.mark.parametrize("count", [1, 2])
    def test_one_or_two_are_kept_in_words(self, count: int) -> None:
        [call] = plan_calls([part(7, count)], Ground(has_words=True))
        assert (call.form, call.in_words, call.has_data) == (Form.BITS, {7}, False)

    def test_a_dozen_is_not(self) -> None:
        [call] = plan_calls([part(7, 12)], Ground())
        assert (call.form, call.has_data) == (Form.LISTS, True)

    def test_a_group_that_has_data_gets_its_late_joiners_in_words(self) -> None:
        ground = Ground(used_groups=frozenset({0}))
        calls = plan_calls([part(3, 200), part(20, 200)], ground)
        assert {number for call in calls for number in call.in_words} == {3}

    def test_more_of_a_group_than_a_transaction_carries_goes_on_in_words(self) -> None:
        calls = plan_calls([part(number, FULL - 1) for number in range(15)], Ground())
        assert len(calls) == 3
        assert [len(in_data(call)) > 0 for call in calls] == [True, False, False]

    def test_whole_and_listed_batches_of_a_group_are_two_calls(self) -> None:
        parts = [whole(0), *(part(number, 12) for number in range(1, 15))]
        calls = plan_calls(parts, Ground())
        assert [call.form for call in calls] == [Form.BITS, Form.LISTS]

    def test_the_first_call_of_an_asset_pays_for_its_counters(self) -> None:
        [first] = plan_calls([whole(0)], Ground(is_first=True))
        [later] = plan_calls([whole(0)], Ground())
        assert first.gas - later.gas == 17_100


class TestEncode:
    def test_bits_without_data_name_no_nonce(self) -> None:
        [call] = plan_calls([whole(0, 40)], Ground())
        types = ("uint256", "uint256[]", "uint256[5][]", "uint256")
        assert decode(types, call.encode(2, 9)[4:])[3] == 0

    def test_lists_name_theirs(self) -> None:
        [call] = plan_calls([part(7, 12)], Ground())
        found = decode(("uint256", "bytes", "bytes", "uint256"), call.encode(2, 9)[4:])
        assert (found[0], found[1], found[3]) == (2, b"\0\7", 9)

"""EIP-1559 prices stay whole, and the tip never passes the cap."""

from hypothesis import given
from hypothesis import strategies as st

from chain.fees import suggest, with_margin

PRICES = st.integers(0, 2**128)


class TestSuggest:
    def test_the_fee_covers_a_doubled_base_fee_and_the_tip(self) -> None:
        fees = suggest(100, 7)
        assert (fees.max_fee_per_gas, fees.max_priority_fee_per_gas) == (207, 7)

    def test_an_agreed_cap_is_never_passed(self) -> None:
        fees = suggest(100, 7, cap=150)
        assert (fees.max_fee_per_gas, fees.max_priority_fee_per_gas) == (150, 7)

    def test_the_tip_gives_way_to_the_cap(self) -> None:
        fees = suggest(100, 7, cap=5)
        assert (fees.max_fee_per_gas, fees.max_priority_fee_per_gas) == (5, 5)

    @given(base_fee=PRICES, tip=PRICES, cap=st.none() | PRICES)
    def test_prices_are_integers_below_the_cap(
        self, base_fee: int, tip: int, cap: int | None
    ) -> None:
        fees = suggest(base_fee, tip, cap=cap)
        assert type(fees.max_fee_per_gas) is int
        assert type(fees.max_priority_fee_per_gas) is int
        assert 0 <= fees.max_priority_fee_per_gas <= fees.max_fee_per_gas
        assert cap is None or fees.max_fee_per_gas <= cap

    @given(base_fee=st.integers(1, 2**64), tip=PRICES)
    def test_without_a_cap_six_full_blocks_later_it_is_still_valid(
        self, base_fee: int, tip: int
    ) -> None:
        risen = base_fee * 9**5 // 8**5  # the first of six blocks already has `base_fee`
        assert suggest(base_fee, tip).max_fee_per_gas >= risen


class TestWithMargin:
    def test_a_tenth_is_added(self) -> None:
        assert with_margin(100) == 110

    def test_a_part_is_rounded_up(self) -> None:
        assert with_margin(101) == 112

    @given(estimate=st.integers(0, 2**64))
    def test_it_is_exact_for_every_size(self, estimate: int) -> None:
        gas = with_margin(estimate)
        assert type(gas) is int
        assert 0 <= 10 * gas - 11 * estimate < 10

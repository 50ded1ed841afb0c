"""How values look."""

from datetime import UTC, datetime, timedelta

import pytest

from app.web import formats, i18n
from app.web.qr import qr_code
from app.web.zones import use_zone

NOW = datetime(2026, 12, 14, 15, 30, tzinfo=UTC)


class TestNumbers:
    def test_percent_says_a_hundred_only_of_the_whole(self) -> None:
        assert formats.percent(999, 1000) == "99%"
        assert formats.percent(1000, 1000) == "100%"
        assert formats.percent(0, 0) == "0%"

    @pytest.mark.parametrize(
        ("wei", "text"),
        [
            (0, "0 ETH"),
            (1, "0.000000000000000001 ETH"),
            (1_234_500_000_000_000, "0.0012345 ETH"),
            (12_345_678_901 * 10**18, "12,345,678,901 ETH"),
            (10**18, "1 ETH"),
        ],
    )
    def test_wei_is_shown_in_the_native_coin(self, wei: int, text: str) -> None:
        assert formats.native(wei) == text

    def test_gas_and_its_price_carry_their_units(self) -> None:
        assert formats.gas(2600) == "2,600 gas"
        assert formats.gas_price(1_200_000_000) == "1.2 gwei"

    def test_the_currency_says_how_many_decimals_there_are(self) -> None:
        assert formats.money(1250, "EUR") == "€12.50"
        assert formats.money(1250, "JPY") == "¥1,250"

    def test_a_size_is_read_in_powers_of_ten(self) -> None:
        assert formats.filesize(32_000_000) == "32 MB"
        assert formats.filesize(999) == "999 byte"

    def test_a_number_follows_the_language(self) -> None:
        with i18n.use_language("de"):
            assert formats.number(12345) == "12.345"


class TestTimes:
    @pytest.mark.parametrize(
        ("delta", "text"),
        [
            (timedelta(0), "just now"),
            (timedelta(minutes=-3), "3 minutes ago"),
            (timedelta(days=2), "in 2 days"),
        ],
    )
    def test_relative(self, delta: timedelta, text: str) -> None:
        assert formats.relative(NOW + delta, now=NOW) == text

    def test_exact_is_utc_whatever_came_in(self) -> None:
        assert formats.exact(NOW) == "14 Dec 2026, 15:30:00 UTC"
        assert formats.iso(NOW) == "2026-12-14T15:30:00Z"

    def test_a_duration_is_about(self) -> None:
        assert formats.duration(95) == "2 minutes"
        assert formats.duration(0) == "1 second"


class TestShort:
    def test_an_address_keeps_both_ends(self) -> None:
        assert formats.short("0x52908400098527886E0F7030069857D2E4169EE7") == "0x5290…9EE7"

    def test_a_short_text_stays_whole(self) -> None:
        assert formats.short("12-0345") == "12-0345"


class TestReason:
    def test_begins_like_a_sentence_and_keeps_its_names(self) -> None:
        assert formats.reason("the contract refused it: NotMinter()") == (
            "The contract refused it: NotMinter()"
        )
        assert formats.reason("") == ""

    def test_shortens_what_only_programs_read(self) -> None:
        data = "0x08c379a0" + "00" * 60
        assert formats.reason(f"execution reverted: {data}.") == (
            "Execution reverted: 0x08c3…0000."
        )

    @pytest.mark.parametrize("digits", [8, 40, 64])
    def test_selectors_addresses_and_hashes_stay_whole(self, digits: int) -> None:
        text = "Seen at 0x" + "a" * digits
        assert formats.reason(text) == text


class TestQrCode:
    def test_a_quiet_zone_surrounds_the_modules(self) -> None:
        code = qr_code("https://example.com")
        assert code.size == 25 + 8
        assert code.path.startswith("M4 4h7v1h-7z")


class TestDays:
    MIDNIGHT = datetime(2026, 12, 14, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("zone", "day", "last"),
        [
            ("UTC", "14 Dec 2026", "13 Dec 2026"),
            ("America/Los_Angeles", "13 Dec 2026", "13 Dec 2026"),
            ("Pacific/Auckland", "14 Dec 2026", "14 Dec 2026"),
        ],
    )
    def test_are_the_brands(self, zone: str, day: str, last: str) -> None:
        with use_zone(zone):
            assert formats.date(self.MIDNIGHT) == day
            assert formats.last_day(self.MIDNIGHT) == last
            assert formats.calendar_date(self.MIDNIGHT) == "14 Dec 2026"
            assert formats.exact(self.MIDNIGHT) == "14 Dec 2026, 00:00:00 UTC"

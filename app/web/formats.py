"""How values look: numbers, money, gas, coins, addresses and times, in the reader's language.

Every function takes the value and answers text; templates use them as filters of the same name.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from babel import dates, numbers, units

from app.web.i18n import current_locale, gettext
from app.web.zones import current_zone
from core.types import utc_now

_WEI_DECIMALS = 18
_GWEI_DECIMALS = 9
_SIGNIFICANT = 6
# Longer than a hash: what a contract returned, which only programs read.
_LONG_DATA = re.compile(r"0x[0-9a-fA-F]{65,}")


def number(value: int) -> str:
    """`12,345`."""
    return numbers.format_decimal(value, locale=current_locale())


def percent(part: int, whole: int) -> str:
    """`42%`, rounded down so that 100% is said only of the whole; `0%` of nothing."""
    floored = part * 100 // whole if whole else 0
    return numbers.format_percent(Decimal(floored) / 100, locale=current_locale())


def money(minor: int, currency: str) -> str:
    """`€12.50` from 1250 and `EUR`; the currency says how many decimals there are."""
    digits = numbers.get_currency_precision(currency)
    amount = Decimal(minor).scaleb(-digits)
    return numbers.format_currency(amount, currency, locale=current_locale())


def native(wei: int, unit: str = "ETH") -> str:
    """`0.0012 ETH`: six significant digits, rounded half to even; a zero stays `0 ETH`."""
    return f"{_scaled(wei, _WEI_DECIMALS)} {unit}"


def gas_price(wei: int) -> str:
    """`1.2 gwei`: a price per gas."""
    return f"{_scaled(wei, _GWEI_DECIMALS)} gwei"


def _scaled(value: int, decimals: int) -> str:
    amount = Decimal(value).scaleb(-decimals)
    places = max(0, _SIGNIFICANT - 1 - amount.adjusted()) if amount else 0
    pattern = "#,##0." + "#" * min(places, decimals)
    return numbers.format_decimal(amount, format=pattern.rstrip("."), locale=current_locale())


def gas(value: int) -> str:
    """`2,600 gas`."""
    return gettext("%(amount)s gas") % {"amount": number(value)}


def reason(text: str) -> str:
    """What a node or a contract said, as a sentence: a capital first, long data shortened."""
    readable = _LONG_DATA.sub(lambda found: short(found[0]), text)
    return readable[:1].upper() + readable[1:]


def short(value: str) -> str:
    """`0x12ab…cdef` from an address or a hash; shorter texts stay whole."""
    return value if len(value) <= 14 else f"{value[:6]}…{value[-4:]}"


def relative(at: datetime, *, now: datetime | None = None) -> str:
    """`3 minutes ago`, `in 2 days`, `just now`."""
    delta = at - (now or utc_now())
    if abs(delta) < timedelta(seconds=10):
        return gettext("just now")
    return dates.format_timedelta(delta, add_direction=True, locale=current_locale())


def exact(at: datetime) -> str:
    """`14 Dec 2026, 15:30:00 UTC`: what stands behind a relative time."""
    return dates.format_datetime(
        at.astimezone(UTC), "d MMM y, HH:mm:ss 'UTC'", locale=current_locale()
    )


def iso(at: datetime) -> str:
    """RFC 3339 in UTC, for `<time datetime>`."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def iso_milliseconds(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as JSON answers write times."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def date(at: datetime) -> str:
    """`14 Dec 2026`: the day it is at the brand at this moment."""
    return _day(at.astimezone(current_zone()))


def last_day(end: datetime) -> str:
    """`13 Dec 2026` of the midnight after it: the last day, at the brand, before something ends."""
    return date(end - timedelta(microseconds=1))


def calendar_date(midnight: datetime) -> str:
    """`14 Dec 2026` of a day without a time, which is kept as its midnight in UTC."""
    return _day(midnight.astimezone(UTC))


def _day(at: datetime) -> str:
    return dates.format_date(at, "d MMM y", locale=current_locale())


def duration(seconds: int) -> str:
    """`3 minutes`: about how long something takes."""
    return dates.format_timedelta(
        timedelta(seconds=max(1, seconds)), threshold=1.5, locale=current_locale()
    )


def filesize(size: int) -> str:
    """`32 MB` from bytes, in powers of ten, at most one decimal."""
    for unit, decimals in (("gigabyte", 9), ("megabyte", 6), ("kilobyte", 3)):
        if size >= 10**decimals:
            amount = round(Decimal(size).scaleb(-decimals), 1)
            return units.format_unit(amount, f"digital-{unit}", "short", locale=current_locale())
    return units.format_unit(size, "digital-byte", "short", locale=current_locale())


FILTERS = {
    function.__name__: function
    for function in (
        number,
        percent,
        money,
        native,
        gas_price,
        gas,
        reason,
        short,
        relative,
        exact,
        iso,
        date,
        last_day,
        calendar_date,
        duration,
        filesize,
    )
}

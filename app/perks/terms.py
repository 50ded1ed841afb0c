"""How a perk is used: its redemption type with the parameters, when it is valid, at which hours.

Pure: nothing here asks the database.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo


class RedemptionType(StrEnum):
    """What a member does with a perk."""

    NONE = "none"
    SHARED_CODE = "shared_code"
    UNIQUE_CODE = "unique_code"
    LINK = "link"
    SCAN = "scan"
    PHYSICAL = "physical"


UNLIMITED = (RedemptionType.NONE, RedemptionType.SHARED_CODE, RedemptionType.LINK)
"""Types that may be used without limit."""


class Validity(StrEnum):
    """How long a holding can be used."""

    NONE = "none"
    UNTIL = "until"
    DAYS = "days"
    WINDOW = "window"


class Validation(StrEnum):
    """Who says that a perk without a code was used."""

    SELF = "self"
    STAFF = "staff"


class Display(StrEnum):
    """How a code is shown."""

    TEXT = "text"
    QR = "qr"
    CODE128 = "code128"
    EAN13 = "ean13"
    PDF417 = "pdf417"


class UsedOn(StrEnum):
    """What makes a link used."""

    CLICK = "click"
    API = "api"


class ScanValue(StrEnum):
    """What is behind the code of a perk that is scanned."""

    TOKEN = "token"
    POOL = "pool"


PLACEHOLDERS = ("code", "userId", "holdingId", "email_hash", "lang")
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
MOST_URL = 2_000


@dataclass(frozen=True)
class Options:
    """The parameters of every redemption type; each type reads its own.

    Args:
        validation: `none`: who says that it was used.
        code: `shared_code`: what everybody shows.
        can_tap: `shared_code`, `unique_code`: members say themselves that they used it.
        display: `unique_code`, and `scan` with a pool: how the code is shown.
        url: `link`: where it leads, with placeholders.
        used_on: `link`: what makes it used.
        signature: `link`: the query parameter that carries the signature; empty for none.
        scan_value: `scan`: what the code says.
        countries: `physical`: where it is shipped to; none for everywhere.
        needs_phone: `physical`: whether the carrier needs a telephone number.
        deadline_days: `physical`: until when the address must be known.
    """

    validation: Validation = Validation.STAFF
    code: str = ""
    can_tap: bool = True
    display: Display = Display.TEXT
    url: str = ""
    used_on: UsedOn = UsedOn.API
    signature: str = ""
    scan_value: ScanValue = ScanValue.TOKEN
    countries: tuple[str, ...] = ()
    needs_phone: bool = False
    deadline_days: int = 30

    def dump(self) -> dict[str, Any]:
        """As the row keeps it."""
        return asdict(self)

    @classmethod
    def load(cls, said: Mapping[str, Any]) -> "Options":
        """What `dump` made; what it does not say is as by default."""
        kept = {field.name: said[field.name] for field in fields(cls) if field.name in said}
        kinds = {
            "validation": Validation,
            "display": Display,
            "used_on": UsedOn,
            "scan_value": ScanValue,
            "countries": tuple,
        }
        return cls(**{name: kinds.get(name, _same)(value) for name, value in kept.items()})

    def needs_pool(self, redemption: RedemptionType) -> bool:
        """Whether every holding has a code of its own."""
        return (
            redemption is RedemptionType.UNIQUE_CODE
            or (redemption is RedemptionType.LINK and "code" in placeholders(self.url))
            or (redemption is RedemptionType.SCAN and self.scan_value is ScanValue.POOL)
        )


def _same(value: Any) -> Any:
    return value


def placeholders(url: str) -> list[str]:
    """What stands between double braces."""
    return _PLACEHOLDER.findall(url)


def fill(url: str, values: Mapping[str, str]) -> str:
    """The address with every placeholder replaced, percent-encoded whole."""
    return _PLACEHOLDER.sub(lambda found: quote(values.get(found[1], ""), safe=""), url)


def url_problem(url: str) -> str | None:
    """What is wrong with an address people are sent to, or None."""
    if len(url) > MOST_URL:
        return f"At most {MOST_URL:,} characters."
    unknown = [it for it in placeholders(url) if it not in PLACEHOLDERS]
    if unknown:
        known = ", ".join(f"{{{{{it}}}}}" for it in PLACEHOLDERS)
        return f"“{{{{{unknown[0]}}}}}” stands for nothing. Use {known}."
    plain = _PLACEHOLDER.sub("x", url)
    try:
        parts = urlsplit(plain)
        is_sound = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        is_sound = False
    # The host must be the brand's choice, not a member's value.
    is_fixed = "{{" not in url.removeprefix("https://").split("/", 1)[0].split("?", 1)[0]
    if not (is_sound and is_fixed and plain.isprintable()) or " " in plain or "\\" in plain:
        return "An address that begins with https:// and names its host."
    return None


MINUTES_A_DAY = 24 * 60
_RANGE = re.compile(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})")


@dataclass(frozen=True)
class Hours:
    """Weekly ranges: day from Monday as 0, first minute, minute after the last; none is always."""

    ranges: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def load(cls, said: Sequence[Sequence[int]]) -> "Hours":
        """What `dump` made."""
        return cls(tuple((day, start, end) for day, start, end in said))

    def dump(self) -> list[Any]:
        """As the row keeps it."""
        return [list(it) for it in self.ranges]

    def is_open(self, at: datetime, time_zone: str) -> bool:
        """Whether the moment lies in one of the ranges, on the clock of that zone."""
        local = at.astimezone(ZoneInfo(time_zone))
        minute = local.hour * 60 + local.minute
        return not self.ranges or any(
            day == local.weekday() and start <= minute < end for day, start, end in self.ranges
        )

    def of_day(self, day: int) -> str:
        """The ranges of a day as people type them."""
        found = [(start, end) for it, start, end in self.ranges if it == day]
        return ", ".join(f"{_clock(start)}–{_clock(end)}" for start, end in found)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def parse_hours(days: Sequence[str]) -> Hours:
    """The ranges of seven days as people type them: `09:00–12:00, 13:00–18:30`.

    A range that ends before it begins goes on after midnight.

    Raises:
        ValueError: a day says something else; the sentence names it.
    """
    ranges: list[tuple[int, int, int]] = []
    for day, typed in enumerate(days):
        for part in filter(None, (it.strip() for it in typed.split(","))):
            start, end = _minutes(part)
            if start < end:
                ranges.append((day, start, end))
            else:
                ranges.append((day, start, MINUTES_A_DAY))
                ranges.extend([((day + 1) % 7, 0, end)] if end else [])
    return Hours(tuple(sorted(ranges)))


def _minutes(part: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(part)
    if found:
        one, two, three, four = (int(it) for it in found.groups())
        start, end = one * 60 + two, three * 60 + four
        is_clock = two < 60 and four < 60 and start < MINUTES_A_DAY and end <= MINUTES_A_DAY
        if is_clock and start != end:
            return start, end
    raise ValueError(f"“{part}” is no time of day. Write 09:00–18:00, several with commas.")


def deadline(options: Options, at: datetime) -> datetime:
    """Until when the address of a physical item must be known that is received at this moment."""
    return at + timedelta(days=options.deadline_days)

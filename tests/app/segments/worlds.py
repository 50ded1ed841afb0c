"""Random members and random rules about them, from small pools so that they meet."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.conftest import NOW

LONG = "a" * 64
TEXTS = [
    "Paris",
    "PARIS",
    "pärıs",
    "Straße",
    "STRASSE",
    "",
    " x ",
    "100%",
    "_",
    LONG,
    f"{LONG}b",
    f"{LONG}c",
    "日本",
    "o'Neil",
    "\\",
    ":name",
    "﷽",
]
NUMBERS = ["0", "-1", "1", "1.5", "1.0000000001", "999999999999999999"]
DAYS = [
    date(2026, 6, 1),
    date(2026, 5, 31),
    date(2026, 6, 2),
    date(2024, 2, 29),
    date(1990, 12, 31),
    date(1999, 6, 1),
    date(2026, 5, 2),
    date(2000, 6, 8),
    date(2026, 7, 1),
]
MOMENTS = [
    NOW,
    NOW - timedelta(days=1),
    NOW + timedelta(days=1),
    NOW - timedelta(seconds=1),
    NOW - timedelta(days=30),
    NOW - timedelta(days=30, microseconds=1),
    datetime(2026, 5, 31, 22, 30, tzinfo=UTC),
    datetime(2026, 5, 31, 10, 0, tzinfo=UTC),
    datetime(1984, 2, 29, 23, 30, tzinfo=UTC),
    datetime(2026, 6, 1, 23, 59, tzinfo=UTC),
]
TYPES = ["custom.bought", "custom.seen"]
NAMES = ["amount", "sku", 'we"ird:name%s', "$.a"]
DATA = [1, 2, 10.5, "1", "red", "Red", True, None, [1], {"a": 1}]
LISTS = ["first", "second"]
PURPOSES = ["marketing_email", "profiling"]
COUNTRIES = ["FR", "DE"]

KINDS = {
    "city": "text",
    "spend": "number",
    "vip": "boolean",
    "birthday": "date",
    "ordered": "moment",
    "first_name": "text",
    "country": "upper",
    "created_at": "moment",
}
"""The fields of the worlds, and how the oracle compares them."""


def midnight(day: date) -> datetime:
    """As calendar dates are stored."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _maybe(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, *values])


EVENTS = st.tuples(
    st.sampled_from(TYPES),
    st.sampled_from(MOMENTS),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(DATA), max_size=2),
)

PEOPLE = st.fixed_dictionaries(
    {
        "city": _maybe(TEXTS),
        "spend": _maybe([Decimal(it) for it in NUMBERS]),
        "vip": _maybe([True, False]),
        "birthday": _maybe([midnight(it) for it in DAYS]),
        "ordered": _maybe(MOMENTS),
        "first_name": _maybe(["Ada", "ADÁ", "Bob"]),
        "country": _maybe(COUNTRIES),
        "created_at": st.sampled_from(MOMENTS),
        "events": st.lists(EVENTS, max_size=4),
        "lists": st.sets(st.sampled_from(LISTS)),
        "consents": st.lists(st.tuples(st.sampled_from(PURPOSES), st.booleans()), max_size=3),
    }
)

_TEXT_OPS = ["is", "is_not", "contains", "not_contains", "starts_with", "ends_with"]
_NUMBER_OPS = ["is", "is_not", "less", "at_most", "more", "at_least"]
_DAY_OPS = ["on", "before", "after"]
_BY_DAYS = ["in_last", "in_next", "more_than_ago", "anniversary_in_next"]


def _asks(fields: list[str], ops: list[str], value: st.SearchStrategy[Any]) -> Any:
    return st.builds(
        lambda field, op, it: {"kind": "property", "field": field, "op": op, "value": it},
        st.sampled_from(fields),
        st.sampled_from(ops),
        value,
    )


def _some(values: list[str], least: int = 1, most: int = 1) -> st.SearchStrategy[list[str]]:
    asked = [it for it in values if it]
    return st.lists(st.sampled_from(asked), min_size=least, max_size=most)


_SPELT_DAYS = [it.isoformat() for it in DAYS]
PROPERTIES = st.one_of(
    _asks(["city", "first_name"], _TEXT_OPS, _some([*TEXTS, "ada", "a", "ß"])),
    _asks(["country"], ["is", "is_not", "starts_with"], _some(["FR", "fr", "F"])),
    _asks(["city"], ["one_of"], _some(TEXTS, 1, 5)),
    _asks(["spend"], _NUMBER_OPS, _some(NUMBERS)),
    _asks(["spend"], ["between"], _some(NUMBERS, 2, 2)),
    _asks(["birthday", "ordered", "created_at"], _DAY_OPS, _some(_SPELT_DAYS)),
    _asks(["birthday", "ordered"], ["between"], _some(_SPELT_DAYS, 2, 2)),
    _asks(["birthday", "ordered"], _BY_DAYS, _some(["0", "1", "7", "30", "366", "36500"])),
    _asks(["vip"], ["true", "false"], st.just([])),
    _asks(["city", "spend", "vip", "birthday"], ["is_set", "is_not_set"], st.just([])),
)

FILTERS = st.one_of(
    st.builds(
        lambda name, op, value: {"name": name, "op": op, "value": value},
        st.sampled_from(NAMES),
        st.sampled_from(["less", "at_most", "more", "at_least"]),
        st.sampled_from(["1", "10.5", "2"]),
    ),
    st.builds(
        lambda name, op, value: {"name": name, "op": op, "value": value},
        st.sampled_from(NAMES),
        st.sampled_from(["is", "is_not", "contains", "is_set", "is_not_set"]),
        st.sampled_from(["red", "1", "true", ""]),
    ),
)
WINDOWS = st.one_of(
    st.just({"kind": "ever"}),
    st.just({"kind": "since_joined"}),
    st.builds(
        lambda amount, unit: {"kind": "last", "amount": amount, "unit": unit},
        st.sampled_from([1, 24, 30]),
        st.sampled_from(["hours", "days"]),
    ),
    st.builds(
        lambda first, last: {"kind": "between", "first": first, "last": last},
        st.sampled_from(_SPELT_DAYS),
        st.sampled_from(_SPELT_DAYS),
    ),
)
_COUNTED = st.fixed_dictionaries(
    {
        "kind": st.just("event"),
        "type": st.sampled_from(TYPES),
        "is_done": st.booleans(),
        "count": st.sampled_from(["at_least", "at_most", "exactly"]),
        "times": st.sampled_from([0, 1, 2, 3]),
        "window": WINDOWS,
        "filters": st.lists(FILTERS, max_size=2),
    }
)
_COUNTED = _COUNTED.filter(lambda it: it["count"] != "at_least" or it["times"] > 0)
_SUMMED = st.fixed_dictionaries(
    {
        "kind": st.just("event"),
        "type": st.sampled_from(TYPES),
        "is_done": st.booleans(),
        "window": WINDOWS,
        "aggregate": st.fixed_dictionaries(
            {
                "function": st.sampled_from(["sum", "min", "max"]),
                "name": st.sampled_from(NAMES),
                "op": st.sampled_from(["less", "at_most", "more", "at_least", "is"]),
                "value": st.sampled_from(["1", "10.5", "3"]),
            }
        ),
    }
)
_LISTED = st.fixed_dictionaries(
    {"kind": st.just("list"), "id": st.sampled_from(LISTS), "is_in": st.booleans()}
)
_CONSENTED = st.fixed_dictionaries(
    {
        "kind": st.just("consent"),
        "purpose": st.sampled_from(PURPOSES),
        "is_in": st.booleans(),
    }
)
CONDITIONS = st.one_of(PROPERTIES, PROPERTIES, _COUNTED, _SUMMED, _LISTED, _CONSENTED)


def rules_of(conditions: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Rules of a few groups of a few conditions."""
    group = st.builds(lambda it: {"conditions": it}, st.lists(conditions, min_size=1, max_size=3))
    return st.builds(lambda it: {"groups": it}, st.lists(group, min_size=1, max_size=3))

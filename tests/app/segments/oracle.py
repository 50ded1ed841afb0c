"""Decides rules in plain Python, one member at a time; shares nothing with the product's SQL."""

import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo


@dataclass
class Happening:
    """An event of a member."""

    type: str
    at: datetime
    data: dict[str, Any]


@dataclass
class Person:
    """Everything rules can ask of a member; fields by key, without those that are not set."""

    fields: dict[str, Any]
    events: list[Happening] = field(default_factory=list)
    lists: set[str] = field(default_factory=set)
    badges: set[str] = field(default_factory=set)
    assets: dict[str, int] = field(default_factory=dict)
    consents: dict[str, bool] = field(default_factory=dict)
    has_pass: bool = False


@dataclass
class World:
    """What is the same for every member.

    Args:
        kinds: field key -> text, exact, number, boolean, date or moment.
        segments: id -> rule as JSON.
    """

    now: datetime
    zone: ZoneInfo
    kinds: dict[str, str]
    segments: dict[str, Any] = field(default_factory=dict)


def meets(rule: dict[str, Any], person: Person, world: World) -> bool:
    """Whether the member is in."""
    return any(
        all(_holds(it, person, world) for it in group["conditions"]) for group in rule["groups"]
    )


def _holds(asked: dict[str, Any], person: Person, world: World) -> bool:
    kind = asked["kind"]
    if kind == "property":
        return _property(asked, person, world)
    if kind == "event":
        return _event(asked, person, world) == asked.get("is_done", True)
    answers = {
        "list": lambda: asked["id"] in person.lists,
        "badge": lambda: asked["id"] in person.badges,
        "segment": lambda: meets(world.segments[asked["id"]], person, world),
        "asset": lambda: person.assets.get(asked["id"], 0) >= asked.get("times", 1),
        "pass": lambda: person.has_pass,
        "consent": lambda: person.consents.get(asked["purpose"], False),
    }
    return answers[kind]() == asked.get("is_in", True)


def fold(text: str) -> str:
    """Without case and accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(it for it in letters if not unicodedata.combining(it)).strip()


def _property(asked: dict[str, Any], person: Person, world: World) -> bool:
    op, wanted = asked["op"], list(asked.get("value", ()))
    value = person.fields.get(asked["field"])
    if op == "is_set":
        return value is not None
    if op == "is_not_set":
        return value is None
    if op in ("is_not", "not_contains"):
        positive = {**asked, "op": "is" if op == "is_not" else "contains"}
        return not _property(positive, person, world)
    if value is None:
        return False
    kind = world.kinds[asked["field"]]
    if kind == "text":
        return _text(op, fold(value), [fold(it) for it in wanted])
    if kind == "upper":
        return _text(op, value, [it.upper() for it in wanted])
    if kind == "number":
        return _number(op, value, [Decimal(it) for it in wanted])
    if kind == "boolean":
        return bool(value is (op == "true"))
    return _date(op, value, wanted, kind == "moment", world)


def _text(op: str, value: str, wanted: list[str]) -> bool:
    answers = {
        "is": lambda: value == wanted[0],
        "contains": lambda: wanted[0] in value,
        "starts_with": lambda: value.startswith(wanted[0]),
        "ends_with": lambda: value.endswith(wanted[0]),
        "one_of": lambda: value in wanted,
    }
    return answers[op]()


def _number(op: str, value: Decimal, wanted: list[Decimal]) -> bool:
    if op == "between":
        return wanted[0] <= value <= wanted[1]
    answers = {
        "is": value == wanted[0],
        "less": value < wanted[0],
        "at_most": value <= wanted[0],
        "more": value > wanted[0],
        "at_least": value >= wanted[0],
    }
    return answers[op]


def _date(op: str, value: datetime, wanted: list[str], with_time: bool, world: World) -> bool:
    local = value.astimezone(world.zone).date() if with_time else value.date()
    today = world.now.astimezone(world.zone).date()
    if op == "anniversary_in_next":
        return any(_returns(local, today + timedelta(days=it)) for it in range(int(wanted[0]) + 1))
    if op in ("in_last", "in_next", "more_than_ago"):
        then = timedelta(days=int(wanted[0]))
        now = world.now if with_time else datetime(today.year, today.month, today.day, tzinfo=UTC)
        answers = {
            "in_last": now - then <= value <= now,
            "in_next": now <= value <= now + then,
            "more_than_ago": value < now - then,
        }
        return answers[op]
    days = [date.fromisoformat(it) for it in wanted]
    answers = {
        "on": local == days[0],
        "before": local < days[0],
        "after": local > days[0],
        "between": days[0] <= local <= days[-1],
    }
    return answers[op]


def _returns(day: date, on: date) -> bool:
    if (day.month, day.day) == (2, 29) and (on.month, on.day) == (2, 28):
        return not (on.year % 4 == 0 and (on.year % 100 != 0 or on.year % 400 == 0))
    return (day.month, day.day) == (on.month, on.day)


def _event(asked: dict[str, Any], person: Person, world: World) -> bool:
    found = [
        it
        for it in person.events
        if it.type == asked["type"]
        and _inside(asked.get("window", {"kind": "ever"}), it.at, person, world)
        and all(_filtered(f, it.data) for f in asked.get("filters", ()))
    ]
    aggregate = asked.get("aggregate")
    if aggregate is not None:
        return _aggregated(aggregate, found)
    times = asked.get("times", 1)
    answers = {
        "at_least": len(found) >= times,
        "at_most": len(found) <= times,
        "exactly": len(found) == times,
    }
    return answers[asked.get("count", "at_least")]


def _inside(window: dict[str, Any], at: datetime, person: Person, world: World) -> bool:
    if window["kind"] == "last":
        return at >= world.now - timedelta(**{window.get("unit", "days"): window["amount"]})
    if window["kind"] == "between":
        day = at.astimezone(world.zone).date()
        return date.fromisoformat(window["first"]) <= day <= date.fromisoformat(window["last"])
    if window["kind"] == "since_joined":
        return bool(at >= person.fields["created_at"])
    return True


def _numeric(value: Any) -> Decimal | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return Decimal(str(value)) if is_number else None


def _spelt(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _filtered(asked: dict[str, Any], data: dict[str, Any]) -> bool:
    value, op = data.get(asked["name"]), asked["op"]
    if op in ("less", "at_most", "more", "at_least"):
        number = _numeric(value)
        return number is not None and _number(op, number, [Decimal(asked["value"])])
    text = _spelt(value)
    answers = {
        "is": lambda: text == asked["value"],
        "is_not": lambda: text != asked["value"],
        "contains": lambda: text is not None and asked["value"] in text,
        "is_set": lambda: text is not None,
        "is_not_set": lambda: text is None,
    }
    return answers[op]()


def _aggregated(asked: dict[str, Any], found: list[Happening]) -> bool:
    numbers = [n for it in found if (n := _numeric(it.data.get(asked["name"]))) is not None]
    if not numbers:
        return False
    total = {"sum": sum, "min": min, "max": max}[asked["function"]](numbers)
    return _number(asked["op"], Decimal(total), [Decimal(asked["value"])])

"""How a value of one kind becomes a value of another. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.users import values
from app.users.errors import ValueInvalidError
from app.users.slots import Kind
from app.users.values import Value

TARGETS: Mapping[Kind, tuple[Kind, ...]] = {
    Kind.TEXT: (Kind.NUMBER, Kind.BOOLEAN, Kind.DATE),
    Kind.NUMBER: (Kind.TEXT, Kind.BOOLEAN),
    Kind.BOOLEAN: (Kind.TEXT, Kind.NUMBER),
    Kind.DATE: (Kind.TEXT,),
}
"""What values of a kind can become."""
ORDERS = ("ymd", "dmy", "mdy")
MARKS = (".", ",")
_SEPARATORS = r"[-/. ]"
_YEAR, _PART = r"(\d{4})", r"(\d{1,2})"
_DATES = {
    "ymd": re.compile(rf"{_YEAR}{_SEPARATORS}{_PART}{_SEPARATORS}{_PART}"),
    "dmy": re.compile(rf"{_PART}{_SEPARATORS}{_PART}{_SEPARATORS}{_YEAR}"),
    "mdy": re.compile(rf"{_PART}{_SEPARATORS}{_PART}{_SEPARATORS}{_YEAR}"),
}
_GROUPED = {
    ".": re.compile(r"[+-]?\d{1,3}(?:[,'\u2019 \u00a0\u202f]\d{3})+(?:\.\d+)?"),
    ",": re.compile(r"[+-]?\d{1,3}(?:[.'\u2019 \u00a0\u202f]\d{3})+(?:,\d+)?"),
}
_PLAIN = {mark: re.compile(rf"[+-]?\d+(?:\{mark}\d+)?") for mark in MARKS}


@dataclass(frozen=True)
class Rules:
    """What somebody said about the spelling of the values.

    Args:
        order: of year, month and day, one of `ORDERS`.
        mark: between the whole and its parts, one of `MARKS`.
        true_words, false_words: in lower case.
    """

    order: str = "ymd"
    mark: str = "."
    true_words: tuple[str, ...] = ("true", "yes", "1")
    false_words: tuple[str, ...] = ("false", "no", "0")

    def as_options(self) -> dict[str, Any]:
        """In JSON's types."""
        return {
            "order": self.order,
            "mark": self.mark,
            "true_words": list(self.true_words),
            "false_words": list(self.false_words),
        }

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Rules":
        """What `as_options` wrote."""
        return cls(
            order=options["order"],
            mark=options["mark"],
            true_words=tuple(options["true_words"]),
            false_words=tuple(options["false_words"]),
        )


@dataclass(frozen=True)
class Shape:
    """A kind of values, and whether its dates carry a time."""

    kind: Kind
    with_time: bool = False


def convert(value: Value, source: Shape, target: Shape, rules: Rules) -> Value | None:
    """The value as one of the target kind; None of a text that says nothing.

    Raises:
        ValueInvalidError: it is no such value under these rules.
    """
    text = values.show(value, source.kind, with_time=source.with_time)
    if source.kind is Kind.BOOLEAN and target.kind is Kind.NUMBER:
        return Decimal(1) if value else Decimal(0)
    if not text.strip():
        return None
    return _READERS[target.kind](text, target, rules)


def _text(text: str, _target: Shape, _rules: Rules) -> Value:
    return values.parse(text, Kind.TEXT)


def _number(text: str, _target: Shape, rules: Rules) -> Value:
    plain = text.strip()
    if _GROUPED[rules.mark].fullmatch(plain):
        plain = re.sub(rf"[^0-9+\-\{rules.mark}]", "", plain)
    elif not _PLAIN[rules.mark].fullmatch(plain):
        raise ValueInvalidError(f"This is no number with “{rules.mark}” before its decimals.")
    return values.parse(plain.replace(rules.mark, "."), Kind.NUMBER)


def _boolean(text: str, _target: Shape, rules: Rules) -> Value:
    plain = text.strip().casefold()
    if plain in rules.true_words:
        return True
    if plain in rules.false_words:
        return False
    raise ValueInvalidError("This is none of the words for true or false.")


def _date(text: str, target: Shape, rules: Rules) -> Value:
    day, time = _split(text.strip())
    found = _DATES[rules.order].fullmatch(day)
    if found is None:
        raise ValueInvalidError("This is no date in the chosen order.")
    parts = dict(zip(rules.order, map(int, found.groups()), strict=True))
    try:
        midnight = datetime(parts["y"], parts["m"], parts["d"], tzinfo=UTC)
    except ValueError:
        raise ValueInvalidError("There is no such day.") from None
    if not time:
        return midnight
    moment = values.parse(f"{midnight.date().isoformat()}T{time}", Kind.DATE, with_time=True)
    if target.with_time:
        return moment
    raise ValueInvalidError("This is a time, and the property shall hold days.")


def _split(text: str) -> tuple[str, str]:
    """The day, and the time behind it if there is one."""
    head, separator, tail = text.replace("T", " ").rpartition(" ")
    return (head, tail) if separator and ":" in tail else (text, "")


_READERS: Mapping[Kind, Callable[[str, Shape, Rules], Value]] = {
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.DATE: _date,
}

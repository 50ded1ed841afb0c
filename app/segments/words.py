"""Rules in words, for people to read."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.segments.errors import RuleInvalidError
from app.segments.rules import (
    AGGREGATE_OPERATORS,
    BY_DAYS,
    FILTER_OPERATORS,
    OPERATORS,
    Between,
    Condition,
    ConsentCondition,
    Count,
    EventCondition,
    Last,
    Op,
    PassCondition,
    PropertyCondition,
    Rule,
    SinceJoined,
)
from app.web.i18n import gettext as _


def word_of(op: Op) -> str:
    """The operator in words."""
    return {
        Op.IS: _("is"),
        Op.IS_NOT: _("is not"),
        Op.CONTAINS: _("contains"),
        Op.NOT_CONTAINS: _("does not contain"),
        Op.STARTS_WITH: _("starts with"),
        Op.ENDS_WITH: _("ends with"),
        Op.ONE_OF: _("is one of"),
        Op.LESS: _("is less than"),
        Op.AT_MOST: _("is at most"),
        Op.MORE: _("is more than"),
        Op.AT_LEAST: _("is at least"),
        Op.BETWEEN: _("is between"),
        Op.ON: _("is on"),
        Op.BEFORE: _("is before"),
        Op.AFTER: _("is after"),
        Op.IN_LAST: _("is in the last … days"),
        Op.IN_NEXT: _("is in the next … days"),
        Op.MORE_THAN_AGO: _("is more than … days ago"),
        Op.ANNIVERSARY_IN_NEXT: _("returns in the next … days"),
        Op.TRUE: _("is true"),
        Op.FALSE: _("is false"),
        Op.IS_SET: _("is set"),
        Op.IS_NOT_SET: _("is not set"),
    }[op]


def operators() -> dict[str, list[tuple[str, str]]]:
    """What can be asked of each kind of value, and of events, as value and word."""
    asked: dict[str, tuple[Op, ...]] = {str(kind): ops for kind, ops in OPERATORS.items()}
    asked |= {"event": FILTER_OPERATORS, "aggregate": AGGREGATE_OPERATORS}
    return {kind: [(op, word_of(op)) for op in ops] for kind, ops in asked.items()}


@dataclass(frozen=True)
class Names:
    """What things are called: fields by key, everything else by identifier."""

    fields: Mapping[str, str]
    things: Mapping[str, str]

    def of_field(self, key: str) -> str:
        """The field's name."""
        return self.fields.get(key, _("a deleted property"))

    def of_thing(self, identifier: object) -> str:
        """The thing's name."""
        return self.things.get(str(identifier), _("something deleted"))


def sentences(rule: Rule, names: Names) -> list[list[str]]:
    """Each condition of each group as a sentence."""
    return [[sentence(it, names) for it in group.conditions] for group in rule.groups]


def sentence(asked: Condition, names: Names) -> str:
    """The condition as a sentence about a member."""
    if isinstance(asked, PropertyCondition):
        return _property(asked, names)
    if isinstance(asked, EventCondition):
        return _event(asked)
    if isinstance(asked, PassCondition):
        return _("has an active pass") if asked.is_in else _("has no active pass")
    if isinstance(asked, ConsentCondition):
        given = _("agreed to {purpose}") if asked.is_in else _("did not agree to {purpose}")
        return given.format(purpose=asked.purpose)
    name = names.of_thing(asked.id)
    if asked.kind == "asset":
        template = (
            _("owns {times} × “{name}”") if asked.is_in else _("owns less: {times} × “{name}”")
        )
        return template.format(name=name, times=asked.times)
    templates = {
        ("list", True): _("is on the list “{name}”"),
        ("list", False): _("is not on the list “{name}”"),
        ("segment", True): _("is in the segment “{name}”"),
        ("segment", False): _("is not in the segment “{name}”"),
        ("badge", True): _("has the badge “{name}”"),
        ("badge", False): _("does not have the badge “{name}”"),
        ("campaign", True): _("received something from “{name}”"),
        ("campaign", False): _("received nothing from “{name}”"),
    }
    return templates[asked.kind, asked.is_in].format(name=name)


def _property(asked: PropertyCondition, names: Names) -> str:
    word = word_of(asked.op)
    if asked.op in BY_DAYS:
        return f"{names.of_field(asked.field)} {word.replace('…', asked.value[0])}"
    joint = _(" and ") if asked.op is Op.BETWEEN else ", "
    values = joint.join(f"“{it}”" for it in asked.value)
    return f"{names.of_field(asked.field)} {word} {values}".strip()


def _event(asked: EventCondition) -> str:
    counted = {
        Count.AT_LEAST: _("at least {times} ×"),
        Count.AT_MOST: _("at most {times} ×"),
        Count.EXACTLY: _("exactly {times} ×"),
    }[asked.count].format(times=asked.times)
    if asked.aggregate is not None:
        found = asked.aggregate
        counted = f"{found.function}({found.name}) {word_of(found.op)} {found.value}"
    done = _("happened") if asked.is_done else _("did not happen")
    filters = "".join(
        f", {it.name} {word_of(it.op)} {f'“{it.value}”' if it.value else ''}".rstrip()
        for it in asked.filters
    )
    return f"{asked.type} {done} {counted}{_window(asked)}{filters}"


def _window(asked: EventCondition) -> str:
    window = asked.window
    if isinstance(window, Last):
        unit = _("days") if window.unit == "days" else _("hours")
        return " " + _("in the last {amount} {unit}").format(amount=window.amount, unit=unit)
    if isinstance(window, Between):
        template = _("from {first} to {last}")
        return " " + template.format(first=window.first, last=window.last)
    if isinstance(window, SinceJoined):
        return " " + _("since joining")
    return ""


def problems(error: RuleInvalidError) -> dict[str, str]:
    """What is wrong with each condition, by its place in the form: `g0.c1`."""
    found: dict[str, str] = {}
    for where, sentence in error.fields.items():
        parts = where.split(".")
        if len(parts) >= 4 and parts[0] == "groups" and parts[2] == "conditions":
            found.setdefault(f"g{parts[1]}.c{parts[3]}", sentence)
    return found

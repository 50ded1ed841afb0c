"""The rule as somebody edits it: a form's fields to conditions and back. Pure.

Every field of a condition has a place in its name, `g0.c1.op` of the second condition of the first
group, so the page works without any script: each button sends the whole form and says what to do.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.segments.rules import MOST_CONDITIONS, MOST_FILTERS, MOST_GROUPS, Op, Rule

_PLACE = re.compile(r"g(\d{1,3})\.c(\d{1,3})\.(?:f(\d{1,3})\.)?([a-z_.0-9]{1,40})")
_TEXT_LENGTH = 20_000
KINDS = ("property", "event", "list", "segment", "badge", "asset", "campaign", "pass", "consent")


@dataclass
class Line:
    """One condition as text: what was chosen, and the filters of an event."""

    chosen: dict[str, str] = field(default_factory=dict)
    filters: list[dict[str, str]] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        """What was chosen or typed."""
        return self.chosen.get(name, default)

    @property
    def kind(self) -> str:
        """What is asked about."""
        kind = self.get("kind", "property")
        return kind if kind in KINDS else "property"


@dataclass
class Draft:
    """Groups of conditions as text."""

    groups: list[list[Line]]

    def act(self, action: str) -> None:
        """What a button says: add or remove a group, a condition or a filter."""
        verb, _, place = action.partition(":")
        path = [int(it) for it in place.split(".") if it.isdecimal() and len(it) < 4]
        if verb == "add-group" and len(self.groups) < MOST_GROUPS:
            self.groups.append([Line()])
        elif verb in _ON_GROUPS and path and path[0] < len(self.groups):
            _ON_GROUPS[verb](self, path)

    def rule(self) -> dict[str, Any]:
        """The rule as JSON, whether or not it makes sense."""
        return {
            "groups": [
                {"conditions": [_condition(line) for line in group]} for group in self.groups
            ]
        }


def _add(draft: Draft, path: list[int]) -> None:
    group = draft.groups[path[0]]
    if len(group) < MOST_CONDITIONS:
        group.append(Line())


def _remove(draft: Draft, path: list[int]) -> None:
    group = draft.groups[path[0]]
    if len(path) > 1 and path[1] < len(group):
        del group[path[1]]
    if not group:
        draft.groups.remove(group)
    if not draft.groups:
        draft.groups.append([Line()])


def _add_filter(draft: Draft, path: list[int]) -> None:
    line = _line(draft, path)
    if line is not None and len(line.filters) < MOST_FILTERS:
        line.filters.append({})


def _remove_filter(draft: Draft, path: list[int]) -> None:
    line = _line(draft, path)
    if line is not None and len(path) > 2 and path[2] < len(line.filters):
        del line.filters[path[2]]


def _line(draft: Draft, path: list[int]) -> Line | None:
    group = draft.groups[path[0]]
    return group[path[1]] if len(path) > 1 and path[1] < len(group) else None


_ON_GROUPS = {
    "add": _add,
    "remove": _remove,
    "add-filter": _add_filter,
    "remove-filter": _remove_filter,
}


def read(form: Mapping[str, Any]) -> Draft:
    """The draft in a form; whatever else the form holds is not looked at."""
    found: dict[int, dict[int, Line]] = {}
    filters: dict[tuple[int, int], dict[int, dict[str, str]]] = {}
    for name, value in form.items():
        place = _PLACE.fullmatch(name)
        if place is None or not isinstance(value, str):
            continue
        group, condition = int(place[1]), int(place[2])
        line = found.setdefault(group, {}).setdefault(condition, Line())
        target = line.chosen
        if place[3] is not None:
            target = filters.setdefault((group, condition), {}).setdefault(int(place[3]), {})
        target[place[4]] = value[:_TEXT_LENGTH].replace("\0", "")
    for (group, condition), rows in filters.items():
        found[group][condition].filters = [rows[it] for it in sorted(rows)]
    groups = [[lines[it] for it in sorted(lines)] for _, lines in sorted(found.items())]
    return Draft(groups or [[Line()]])


def write(rule: Rule) -> Draft:
    """The draft that says what the rule says."""
    return Draft([[_spelt(it) for it in group["conditions"]] for group in rule.dump()["groups"]])


def _spelt(asked: dict[str, Any]) -> Line:
    chosen = {
        key: _word(value) for key, value in asked.items() if isinstance(value, str | int | bool)
    }
    if asked["kind"] == "property":
        values = list(asked["value"])
        is_list = asked["op"] == Op.ONE_OF
        chosen["value"] = "\n".join(values) if is_list else next(iter(values), "")
        chosen["value2"] = values[1] if asked["op"] == Op.BETWEEN else ""
    if asked["kind"] != "event":
        return Line(chosen)
    window, aggregate = asked["window"], asked["aggregate"] or {}
    chosen |= {f"window.{key}": _word(value) for key, value in window.items()}
    chosen |= {f"aggregate.{key}": _word(value) for key, value in aggregate.items()}
    filters = [{key: _word(value) for key, value in it.items()} for it in asked["filters"]]
    return Line(chosen, filters)


def _word(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _condition(line: Line) -> dict[str, Any]:
    if line.kind == "property":
        return _property(line)
    if line.kind == "event":
        return _event(line)
    asked: dict[str, Any] = {"kind": line.kind, "is_in": line.get("is_in", "1") == "1"}
    names = {"pass": (), "consent": ("purpose",), "asset": ("id", "times")}.get(line.kind, ("id",))
    return asked | {name: line.get(name) or ("1" if name == "times" else "") for name in names}


def _property(line: Line) -> dict[str, Any]:
    op = line.get("op", Op.IS)
    typed = line.get("value")
    if op == Op.ONE_OF:
        values = [it.strip() for it in typed.splitlines() if it.strip()]
    elif op == Op.BETWEEN:
        values = [it.strip() for it in (typed, line.get("value2")) if it.strip()]
    elif op in (Op.IS_SET, Op.IS_NOT_SET, Op.TRUE, Op.FALSE):
        values = []
    else:
        values = [typed.strip()] if typed.strip() else []
    return {"kind": "property", "field": line.get("field", "email"), "op": op, "value": values}


def _event(line: Line) -> dict[str, Any]:
    window: dict[str, Any] = {"kind": line.get("window.kind", "ever")}
    names = {"last": ("amount", "unit"), "between": ("first", "last")}.get(window["kind"], ())
    window |= {name: line.get(f"window.{name}") for name in names}
    asked: dict[str, Any] = {
        "kind": "event",
        "type": line.get("type").strip(),
        "is_done": line.get("is_done", "1") == "1",
        "count": line.get("count", "at_least"),
        "times": line.get("times", "1"),
        "window": window,
        "filters": [
            {name: it.get(name, "is" if name == "op" else "") for name in ("name", "op", "value")}
            for it in line.filters
        ],
    }
    if line.get("aggregate.function"):
        asked["aggregate"] = {
            name: line.get(f"aggregate.{name}") or ("at_least" if name == "op" else "")
            for name in ("function", "name", "op", "value")
        }
    return asked

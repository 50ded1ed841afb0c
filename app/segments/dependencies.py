"""What a rule reads, and what an event may have changed. Pure.

A rule that names a segment reads what that segment's rule reads: it is decided anew from the
members' own data, never from another segment's members, so no order of updates has to be kept.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from app.segments.rules import (
    AssetCondition,
    BadgeCondition,
    CampaignCondition,
    Condition,
    ConsentCondition,
    EventCondition,
    Last,
    ListCondition,
    Op,
    PassCondition,
    PropertyCondition,
    Rule,
    SegmentCondition,
)
from core.event_cursor import Fact
from core.ids import encode_id
from core.types import SegmentId

EVERYTHING = "*"
"""Stands for all there is to read of a member."""

CREATED = "cohort.user.created"
UPDATED = "cohort.user.updated"
_STATES = ("cohort.user.blocked", "cohort.user.unblocked", "cohort.user.deleted")
_SIGNED_IN = "cohort.user.signed-in"
_CONSENT = "cohort.user.consent-updated"
_REMOVED = "cohort.event.removed"
_LISTS = ("cohort.list.joined", "cohort.list.left")
_BADGES = ("cohort.badge.gained", "cohort.badge.lost")
_ASSETS = tuple(f"cohort.digital-asset.{it}" for it in ("received", "transferred", "revoked"))
_RECEIVED = ("cohort.digital-asset.received", "cohort.perk.received")
_PASSES = tuple(f"cohort.pass.{it}" for it in ("issued", "suspended", "revoked", "reissued"))
_SEGMENTS = ("cohort.segment.joined", "cohort.segment.left")


def flatten(rule: Rule, known: Mapping[SegmentId, Rule]) -> set[Condition]:
    """Every condition that decides the rule, also inside the segments it names."""
    found: set[Condition] = set()
    seen: set[SegmentId] = set()
    waiting = [rule]
    while waiting:
        for condition in waiting.pop().conditions():
            if not isinstance(condition, SegmentCondition):
                found.add(condition)
            elif condition.id in known and condition.id not in seen:
                seen.add(condition.id)
                waiting.append(known[condition.id])
    return found


def reads(conditions: Iterable[Condition]) -> set[str]:
    """What the conditions read, as keys that `touched` knows."""
    keys = {_field("state")}  # who is erased is in no segment
    for condition in conditions:
        keys |= _READS[type(condition)](condition)
    return keys


def touched(fact: Fact) -> set[str]:
    """What the event may have changed of its member."""
    if fact.type == CREATED:
        return {EVERYTHING}
    keys = {_event(fact.type)}
    if fact.type == UPDATED:
        keys |= {_field(key) for key in fact.data.get("changed", ())}
    elif fact.type in _STATES:
        keys.add(_field("state"))
    elif fact.type == _SIGNED_IN:
        keys |= {_field("last_seen_at"), _field("email_verified_at")}
    elif fact.type in _LISTS:
        keys.add(f"list:{fact.data.get('listId')}")
    elif fact.type == _REMOVED:
        keys.add(_event(str(fact.data.get("eventType"))))
    elif fact.type in _BADGES:
        keys.add(f"badge:{fact.data.get('badgeId')}")
    return keys


def is_own(fact: Fact) -> bool:
    """True of what segments say themselves; rules do not read each other's members."""
    return fact.type in _SEGMENTS


def _field(key: str) -> str:
    return f"field:{key}"


def _event(kind: str) -> str:
    return f"event:{kind}"


_READS: dict[type, Callable[..., set[str]]] = {
    PropertyCondition: lambda it: {_field(it.field)},
    EventCondition: lambda it: {_event(it.type), _field("created_at")},
    ListCondition: lambda it: {f"list:{encode_id('lst', it.id)}"},
    BadgeCondition: lambda it: {f"badge:{encode_id('bdg', it.id)}"},
    AssetCondition: lambda _it: {_event(it) for it in _ASSETS},
    CampaignCondition: lambda _it: {_event(it) for it in _RECEIVED},
    PassCondition: lambda _it: {_event(it) for it in _PASSES},
    ConsentCondition: lambda _it: {_event(_CONSENT)},
}


@dataclass(frozen=True)
class Boundary:
    """Something comes true or false when so much time has passed since a moment of the member's.

    Args:
        source: the key of a date field, or `event:` and a type.
        offset: from that moment on; of a calendar date in whole days.
    """

    source: str
    offset: timedelta


def boundaries(conditions: Iterable[Condition]) -> set[Boundary]:
    """When the conditions may change without anybody doing anything."""
    found = set()
    for condition in conditions:
        if isinstance(condition, EventCondition) and isinstance(condition.window, Last):
            found.add(Boundary(_event(condition.type), condition.window.length))
        if isinstance(condition, PropertyCondition) and condition.op in _OFFSETS:
            signs = _OFFSETS[condition.op]
            found |= {
                Boundary(_field(condition.field), timedelta(days=sign * condition.days))
                for sign in signs
            }
    return found


_OFFSETS = {Op.IN_LAST: (0, 1), Op.IN_NEXT: (-1, 0), Op.MORE_THAN_AGO: (1,)}
"""Which multiples of the days of a condition are boundaries."""


def is_daily(conditions: Iterable[Condition]) -> bool:
    """Whether every new day may change anybody: anniversaries return."""
    return any(
        isinstance(it, PropertyCondition) and it.op is Op.ANNIVERSARY_IN_NEXT for it in conditions
    )

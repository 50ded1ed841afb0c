"""A merchant's segments by what they read: which of them an event, a value or a moment touches."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any
from zoneinfo import ZoneInfo

from cachetools import LRUCache, cached
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.segments import dependencies, rules
from app.segments.dependencies import EVERYTHING, Boundary
from app.segments.ground import Ground
from app.segments.models import Segment, SegmentState
from app.segments.rules import Condition, Rule
from app.users.fields import catalogue
from core.db import merchant_of
from core.types import MerchantId, SegmentId

Edition = tuple[tuple[SegmentId, int], ...]
_BOOKS = 64
_QUESTIONS = 64
_RULES = 50_000


@dataclass(frozen=True)
class Book:
    """What the rules read.

    Args:
        rules: of every segment that is neither archived nor invalid.
        readers: what is read -> the segments that read it.
        boundaries: what time passes -> the segments it may change.
        daily: segments that every new day may change.
        questions: statements written from it (`app.segments.questions`).
    """

    rules: Mapping[SegmentId, Rule]
    readers: Mapping[str, frozenset[SegmentId]]
    boundaries: Mapping[Boundary, frozenset[SegmentId]]
    daily: frozenset[SegmentId]
    questions: MutableMapping[Hashable, Any] = field(
        default_factory=lambda: LRUCache(_QUESTIONS), compare=False
    )

    def reading(self, keys: Iterable[str]) -> frozenset[SegmentId]:
        """The segments that read any of these."""
        wanted = set(keys)
        if EVERYTHING in wanted:
            return frozenset(self.rules)
        none: frozenset[SegmentId] = frozenset()
        return none.union(*(self.readers.get(key, none) for key in wanted))


def open_book(session: Session) -> Book:
    """The merchant's segments as they are now."""
    merchant = merchant_of(session)
    rows = session.execute(
        select(Segment.id, Segment.rule_number)
        .where(
            Segment.merchant_id == merchant,
            Segment.archived_at.is_(None),
            Segment.state != SegmentState.INVALID,
        )
        .order_by(Segment.id)
    )
    edition = tuple((segment, number) for segment, number in rows)
    return _written(session, merchant, edition)


@cached(LRUCache(_BOOKS), key=lambda _session, merchant, edition: (merchant, edition), lock=Lock())
def _written(session: Session, _merchant: MerchantId, edition: Edition) -> Book:
    missing = [segment for segment, number in edition if (segment, number) not in _read]
    if missing:
        query = select(Segment.id, Segment.rule_number, Segment.rule)
        for segment, number, rule in session.execute(query.where(Segment.id.in_(missing))):
            _read[segment, number] = rules.load(rule)
    return write({it[0]: _read[it] for it in edition if it in _read})


_read: LRUCache[tuple[SegmentId, int], Rule] = LRUCache(_RULES)
"""Rules that were read before; an edition of one never changes."""


def write(known: Mapping[SegmentId, Rule]) -> Book:
    """The book of these rules."""
    readers: dict[str, set[SegmentId]] = defaultdict(set)
    boundaries: dict[Boundary, set[SegmentId]] = defaultdict(set)
    daily = set()
    for segment, rule in known.items():
        conditions: set[Condition] = dependencies.flatten(rule, known)
        for key in dependencies.reads(conditions):
            readers[key].add(segment)
        for boundary in dependencies.boundaries(conditions):
            boundaries[boundary].add(segment)
        if dependencies.is_daily(conditions):
            daily.add(segment)
    return Book(
        known,
        {key: frozenset(segments) for key, segments in readers.items()},
        {boundary: frozenset(segments) for boundary, segments in boundaries.items()},
        frozenset(daily),
    )


def ground(session: Session, known: Mapping[SegmentId, Rule], *, at: datetime) -> Ground:
    """What these rules are decided on at this moment."""
    merchant = session.get_one(Merchant, merchant_of(session))
    zone = ZoneInfo(merchant.time_zone)
    return Ground(merchant.id, catalogue(session), now=at, zone=zone, known=known)

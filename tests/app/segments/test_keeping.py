"""Segments kept right: by what happens, by what time passes, and all anew, with one result."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select, text, tuple_
from sqlalchemy.orm import Session

from app.segments import keeping, rules, service
from app.segments.models import Segment, SegmentMember
from app.users.models import Consent, ListMember
from core.db import Role, unit_of_work
from core.event_cursor import EventCursor
from core.events import Event, emit
from core.ids import encode_id, new_id
from core.types import ConsentId, MerchantId, SegmentId, UserId
from tests.app.segments import oracle, worlds
from tests.app.segments.oracle import Happening, World
from tests.app.segments.people import Stage, settle, write
from tests.conftest import NOW, empty_tables, make_merchant

ZONE = "Europe/Paris"


class Play:
    """A merchant with members and segments, in the tables and for the oracle."""

    def __init__(self, merchant: MerchantId, drawn: list[dict], asked: list[dict]) -> None:
        self.merchant, self.at, self.plain = merchant, NOW, asked
        with self.unit() as session:
            session.execute(text("UPDATE merchants SET time_zone = :zone"), {"zone": ZONE})
            self.stage = Stage(session)
            self.people = settle(session, self.stage, drawn)
            self.segments = [
                service.create(session, rules.load(self.stage.rule(it)), name=f"s{n}", at=NOW).id
                for n, it in enumerate(asked)
            ]
        self.build()
        self.keep()

    @contextmanager
    def unit(self, role: Role = Role.APP) -> Iterator[Session]:
        """A transaction of the merchant."""
        with unit_of_work(merchant=self.merchant, actor="test", role=role) as session:
            yield session

    def keep(self) -> None:
        """Until nothing is left to do; the server's own work may hold events back for a moment."""
        more = True
        while more:
            with self.unit(Role.ENGINE) as session:
                more = keeping.keep(session, at=self.at)
            with self.unit() as session:
                more = more or bool(session.scalar(select(_UNREAD)))

    def build(self) -> None:
        """Everything that waits to be built."""
        built: SegmentId | None = SegmentId(new_id())
        while built is not None:
            with self.unit(Role.ENGINE) as session:
                built = keeping.rebuild_next(session, at=self.at)

    def expected(self) -> set[tuple[int, UserId]]:
        """Who should be in which segment."""
        world = World(self.at, ZoneInfo(ZONE), worlds.KINDS)
        return {
            (number, user)
            for number, rule in enumerate(self.plain)
            for user, person in self.people.items()
            if oracle.meets(rule, person, world)
        }

    def actual(self) -> set[tuple[int, UserId]]:
        """Who is."""
        with self.unit() as session:
            rows = session.execute(select(SegmentMember.segment_id, SegmentMember.user_id))
            return {(self.segments.index(segment), user) for segment, user in rows}

    def check(self) -> None:
        """The members are those of the oracle."""
        wrong = self.actual() ^ self.expected()
        assert not wrong, [(self.plain[it], self.people[user], self.at) for it, user in wrong]

    def counts(self) -> dict[int, int]:
        """How many members the segments say they have."""
        with self.unit() as session:
            rows = session.execute(select(Segment.id, Segment.member_count))
            return {self.segments.index(segment): count for segment, count in rows if count}

    def set_value(self, user: UserId, name: str, value: Any) -> None:
        """A field of the member changes."""
        with self.unit() as session:
            write(session, self.stage, user, {name: value})
            emit(
                session,
                "cohort.user.updated",
                at=self.at,
                user_id=user,
                changed=[self.stage.key(name)],
            )
        self.people[user].fields.pop(name, None)
        if value is not None:
            self.people[user].fields[name] = value

    def happen(self, user: UserId, kind: str, data: dict[str, Any]) -> None:
        """Something happens to the member."""
        with self.unit() as session:
            emit(session, kind, at=self.at, user_id=user, **data)
        self.people[user].events.append(Happening(kind, self.at, data))

    def move(self, user: UserId, name: str) -> None:
        """The member is put on a list, or taken from it."""
        on, list_id = self.people[user].lists, self.stage.lists[name]
        with self.unit() as session:
            if name in on:
                row = (ListMember.list_id == list_id, ListMember.user_id == user)
                session.execute(delete(ListMember).where(*row))
            else:
                session.add(
                    ListMember(list_id=list_id, user_id=user, added_at=self.at, actor="test")
                )
            verb = "left" if name in on else "joined"
            emit(
                session,
                f"cohort.list.{verb}",
                at=self.at,
                user_id=user,
                listId=encode_id("lst", list_id),
            )
        on ^= {name}

    def consent(self, user: UserId, purpose: str) -> None:
        """The member agrees to something, or takes it back."""
        is_given = not self.people[user].consents.get(purpose, False)
        self.at += timedelta(seconds=1)  # the newest counts
        with self.unit() as session:
            session.add(
                Consent(
                    id=ConsentId(new_id()),
                    user_id=user,
                    purpose=purpose,
                    is_given=is_given,
                    at=self.at,
                    channel="test",
                    actor="test",
                )
            )
            emit(
                session,
                "cohort.user.consent-updated",
                at=self.at,
                user_id=user,
                purpose=purpose,
                given=is_given,
            )
        self.people[user].consents[purpose] = is_given


_UNREAD = (
    select(Event.id)
    .join(EventCursor, EventCursor.merchant_id == Event.merchant_id)
    .where(
        EventCursor.reader == keeping.READER,
        tuple_(Event.xid, Event.id) > tuple_(EventCursor.xid, EventCursor.event_id),
    )
    .exists()
)

_VALUES = {
    "city": worlds.TEXTS,
    "spend": [None, 0, 1, 2],
    "vip": [None, True, False],
    "birthday": [None, *map(worlds.midnight, worlds.DAYS)],
    "ordered": [None, *worlds.MOMENTS],
    "country": [None, *worlds.COUNTRIES],
}
STEPS = st.one_of(
    st.sampled_from([(name, value) for name, values in _VALUES.items() for value in values]).map(
        lambda it: lambda play, user: play.set_value(user, *it)
    ),
    st.tuples(
        st.sampled_from(worlds.TYPES),
        st.dictionaries(
            st.sampled_from(worlds.NAMES[:2]), st.sampled_from(worlds.DATA), max_size=1
        ),
    ).map(lambda it: lambda play, user: play.happen(user, *it)),
    st.sampled_from(worlds.LISTS).map(lambda it: lambda play, user: play.move(user, it)),
    st.sampled_from(worlds.PURPOSES).map(lambda it: lambda play, user: play.consent(user, it)),
    st.sampled_from(
        [timedelta(seconds=1), timedelta(hours=1), timedelta(days=1), timedelta(days=29)]
    ).map(lambda it: lambda play, _user: setattr(play, "at", play.at + it)),
)


class TestKeep:
    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(
        drawn=st.lists(worlds.PEOPLE, min_size=3, max_size=3),
        asked=st.lists(worlds.rules_of(worlds.CONDITIONS), min_size=12, max_size=12),
        steps=st.lists(st.tuples(STEPS, st.integers(0, 2)), min_size=8, max_size=12),
    )
    def test_after_every_change_the_members_are_those_of_the_oracle(
        self,
        committed: None,
        owner: Engine,
        drawn: list,
        asked: list,
        steps: list[tuple[Callable[[Play, UserId], None], int]],
    ) -> None:
        empty_tables(owner)  # of the last example
        play = Play(make_merchant().id, drawn, asked)
        play.check()
        users = list(play.people)
        for step, number in steps:
            step(play, users[number])
            play.keep()
            play.build()
            play.check()
        kept = play.actual()
        with play.unit(Role.ENGINE) as session:
            keeping.make_anew(session, play.segments)
        play.build()
        assert play.actual() == kept
        totals = {n: sum(1 for it, _ in kept if it == n) for n in range(len(asked))}
        assert play.counts() == {n: total for n, total in totals.items() if total}

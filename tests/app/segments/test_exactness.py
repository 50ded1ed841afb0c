"""Segments at their edges: the exact moment, two processes at once, cursors that are lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from app.segments import book as books
from app.segments import keeping, membership, rules, service
from app.segments.errors import RuleInvalidError, SegmentCycleError, SegmentInUseError
from app.segments.models import Segment, SegmentCount, SegmentMember, SegmentState
from app.users import properties
from app.users.models import Property
from app.users.slots import Kind
from core.db import Role, unit_of_work
from core.event_cursor import EventCursor
from core.events import Event, emit
from core.ids import encode_id
from core.types import UserId
from tests.app.segments.test_keeping import Play
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members

RECENT = {"kind": "event", "type": "custom.seen", "window": {"kind": "last", "amount": 30}}
FRENCH = {"kind": "property", "field": "country", "op": "is", "value": ["FR"]}


def rule(*conditions: dict[str, Any]) -> rules.Rule:
    """All of these."""
    return rules.load({"groups": [{"conditions": list(conditions)}]})


class Stand:
    """A merchant with two members and one segment."""

    def __init__(self, asked: rules.Rule, *, is_quiet: bool = True) -> None:
        self.merchant, self.at = make_merchant().id, NOW
        with self.unit() as session:
            self.ada, self.bob = make_members(session, "ada@example.com", "bob@example.com")
            segment = service.create(session, asked, name="S", is_quiet=is_quiet, at=NOW)
            self.segment = segment.id
        self.work()

    @contextmanager
    def unit(self, role: Role = Role.APP) -> Iterator[Session]:
        """A transaction of the merchant."""
        with unit_of_work(merchant=self.merchant, actor="test", role=role) as session:
            yield session

    def work(self) -> None:
        """What the worker does until it is idle."""
        Play.build(self)  # type: ignore[arg-type]
        Play.keep(self)  # type: ignore[arg-type]
        Play.build(self)  # type: ignore[arg-type]

    def members(self) -> set[UserId]:
        """Who is in."""
        with self.unit() as session:
            return set(session.scalars(select(SegmentMember.user_id)))

    def told(self, kind: str) -> int:
        """How many events of the kind there are."""
        with self.unit() as session:
            query = select(func.count()).select_from(Event).where(Event.type == kind)
            return session.scalar(query) or 0

    def move(self, user: UserId, country: str) -> None:
        """The member lives elsewhere."""
        with self.unit() as session:
            session.execute(UPDATE_COUNTRY, {"id": user, "country": country})
            emit(session, "cohort.user.updated", at=NOW, user_id=user, changed=["country"])


UPDATE_COUNTRY = text("UPDATE users SET country = :country WHERE id = :id")


class TestTime:
    def test_a_window_ends_at_its_moment_and_not_before(self, committed: None) -> None:
        stand = Stand(rule(RECENT))
        with stand.unit() as session:
            emit(session, "custom.seen", at=NOW, user_id=stand.ada)
        stand.work()
        assert stand.members() == {stand.ada}
        stand.at = NOW + timedelta(days=30)
        stand.work()
        assert stand.members() == {stand.ada}
        stand.at = NOW + timedelta(days=30, seconds=1)
        stand.work()
        assert stand.members() == set()

    def test_nobody_is_forgotten_after_a_long_stop(self, committed: None) -> None:
        stand = Stand(rule(RECENT))
        with stand.unit() as session:
            emit(session, "custom.seen", at=NOW, user_id=stand.ada)
        stand.work()
        stand.at = NOW + timedelta(days=400)
        stand.work()
        assert stand.members() == set()

    def test_a_clock_that_goes_back_decides_for_no_earlier_moment(self, committed: None) -> None:
        stand = Stand(rule(RECENT))
        with stand.unit() as session:
            emit(session, "custom.seen", at=NOW, user_id=stand.ada)
        stand.at = NOW + timedelta(days=31)
        stand.work()
        stand.at = NOW
        with stand.unit() as session:
            emit(session, "custom.seen", at=NOW, user_id=stand.ada)
        stand.work()
        assert stand.members() == set()

    def test_counts_are_kept_of_every_day(self, committed: None) -> None:
        stand = Stand(rule({"kind": "property", "field": "email", "op": "is_set"}))
        stand.at = NOW + timedelta(days=1)
        stand.work()
        with stand.unit() as session:
            [row] = session.scalars(select(SegmentCount))
            assert (row.day, row.count) == (NOW.date(), 2)


class TestEvents:
    def test_a_quiet_first_build_says_nothing_and_later_moves_do(self, committed: None) -> None:
        stand = Stand(rule({"kind": "property", "field": "email", "op": "is_set"}))
        assert stand.members() == {stand.ada, stand.bob}
        assert stand.told("cohort.segment.joined") == 0
        with stand.unit() as session:
            make_members(session, "eve@example.com")
        stand.work()
        assert len(stand.members()) == 3
        assert stand.told("cohort.segment.joined") == 1

    def test_a_first_build_that_is_not_quiet_tells_everybody_once(self, committed: None) -> None:
        stand = Stand(rule(FRENCH), is_quiet=False)
        stand.move(stand.ada, "FR")
        stand.work()
        stand.work()
        assert stand.told("cohort.segment.joined") == 1
        stand.move(stand.ada, "DE")
        stand.work()
        assert (stand.told("cohort.segment.left"), stand.members()) == (1, set())

    def test_a_change_that_no_rule_reads_decides_nothing(self, committed: None) -> None:
        stand = Stand(rule({"kind": "property", "field": "lang", "op": "is", "value": ["fr"]}))
        with stand.unit() as session:
            session.execute(UPDATE_COUNTRY, {"id": stand.ada, "country": "FR"})
            session.execute(text("UPDATE users SET lang = 'fr'"))
            emit(session, "cohort.user.updated", at=NOW, user_id=stand.ada, changed=["country"])
        stand.work()
        assert stand.members() == set()


class TestTogether:
    def test_changes_during_a_rebuild_are_not_lost(self, committed: None) -> None:
        stand = Stand(rule(FRENCH))
        with stand.unit(Role.ENGINE) as builder:
            keeping.make_anew(builder, [stand.segment])
            keeping.rebuild_next(builder, at=NOW)  # decided, not committed
            stand.move(stand.ada, "FR")
        stand.work()
        assert stand.members() == {stand.ada}

    def test_a_rule_that_was_built_meanwhile_is_not_overruled_by_the_old_one(
        self, committed: None
    ) -> None:
        stand = Stand(rule(FRENCH))
        stand.move(stand.ada, "FR")
        with stand.unit(Role.ENGINE) as keeper:
            old = books.ground(keeper, books.open_book(keeper).rules, at=NOW)
            with stand.unit() as session:
                asked = rule({**FRENCH, "value": ["DE"]})
                segment = service.get(session, stand.segment)
                service.change(session, segment, asked, name="S", at=NOW)
            Play.build(stand)  # type: ignore[arg-type]
            membership.decide(keeper, [stand.segment], [stand.ada], ground=old, reason="event")
        assert stand.members() == set()

    def test_two_keepers_and_two_builders_end_as_one(self, committed: None) -> None:
        stand = Stand(rule(FRENCH))
        start = Barrier(5)

        def keeper() -> None:
            start.wait()
            for _ in range(10):
                Play.keep(stand)  # type: ignore[arg-type]

        def builder() -> None:
            start.wait()
            for _ in range(10):
                with stand.unit(Role.ENGINE) as session:
                    keeping.make_anew(session, [stand.segment])
                Play.build(stand)  # type: ignore[arg-type]

        def mover() -> None:
            start.wait()
            for number in range(30):
                stand.move(stand.ada, ["FR", "DE"][number % 2])
                stand.move(stand.bob, ["DE", "FR"][number % 2])

        with ThreadPoolExecutor(5) as pool:
            for done in [pool.submit(it) for it in (keeper, keeper, builder, builder, mover)]:
                done.result()
        stand.work()
        assert stand.members() == {stand.bob}
        with stand.unit() as session:
            assert session.scalars(select(Segment.member_count)).one() == 1


class TestLost:
    def test_a_cursor_from_another_server_builds_everything_again(self, committed: None) -> None:
        stand = Stand(rule(FRENCH))
        stand.move(stand.ada, "FR")
        with stand.unit() as session:
            session.execute(update(EventCursor).values(xid=2**60))
        stand.work()
        assert stand.members() == {stand.ada}

    def test_more_events_than_are_worth_reading_build_everything_again(
        self, committed: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stand = Stand(rule(FRENCH))
        monkeypatch.setattr(keeping, "BACKLOG", 3)
        for country in ("FR", "DE", "ES", "FR"):
            stand.move(stand.ada, country)
        stand.work()
        assert stand.members() == {stand.ada}


class TestGone:
    def test_a_rule_about_a_deleted_property_says_so_and_keeps_whom_it_had(
        self, committed: None
    ) -> None:
        stand = Stand(rule(FRENCH))
        stand.move(stand.ada, "FR")
        stand.work()
        with stand.unit() as session:
            row = properties.create(session, "Size", Kind.TEXT, at=NOW)
            asked = {"kind": "property", "field": encode_id("prp", row.id), "op": "is_set"}
            segment = service.get(session, stand.segment)
            service.change(session, segment, rule(asked), name="S", at=NOW)
            session.execute(update(Property).values(deleted_at=NOW))
        stand.work()
        with stand.unit() as session:
            segment = service.get(session, stand.segment)
            assert segment.state is SegmentState.INVALID and "not there" in (segment.problem or "")
        assert stand.members() == {stand.ada}

    def test_a_change_of_its_other_half_takes_nobody_out(self, committed: None) -> None:
        stand = Stand(rule(FRENCH))
        with stand.unit() as session:
            row = properties.create(session, "Size", Kind.TEXT, at=NOW)
            asked = {"kind": "property", "field": encode_id("prp", row.id), "op": "is_not_set"}
            segment = service.get(session, stand.segment)
            service.change(session, segment, rule(FRENCH, asked), name="S", at=NOW)
        stand.work()
        stand.move(stand.ada, "FR")
        stand.work()
        with stand.unit() as session:
            session.execute(update(Property).values(deleted_at=NOW))
        stand.move(stand.ada, "DE")
        stand.work()
        assert stand.members() == {stand.ada}


class TestCheck:
    @pytest.mark.parametrize("length", range(1, 11))
    def test_refuses_cycles_of_every_length(self, session: Session, length: int) -> None:
        made = [service.create(session, rule(FRENCH), name="s0", at=NOW)]
        for number in range(1, length):
            inner = {"kind": "segment", "id": str(made[-1].id)}
            made.append(service.create(session, rule(inner), name=f"s{number}", at=NOW))
        outermost = rule({"kind": "segment", "id": str(made[-1].id)})
        with pytest.raises(SegmentCycleError) as caught:
            service.change(session, made[0], outermost, name="s0", at=NOW)
        assert len(caught.value.way) == length + 1
        assert made[0].rule_number == 1

    def test_refuses_rules_inside_each_other_too_deep(self, session: Session) -> None:
        inner = service.create(session, rule(FRENCH), name="s", at=NOW)
        with pytest.raises(RuleInvalidError):
            for number in range(20):
                asked = rule({"kind": "segment", "id": str(inner.id)})
                inner = service.create(session, asked, name=f"s{number}", at=NOW)

    def test_keeps_a_segment_that_another_one_needs(self, session: Session) -> None:
        inner = service.create(session, rule(FRENCH), name="inner", at=NOW)
        service.create(
            session, rule({"kind": "segment", "id": str(inner.id)}), name="outer", at=NOW
        )
        with pytest.raises(SegmentInUseError, match="outer"):
            service.archive(session, inner, at=NOW)

    def test_refuses_what_a_kind_cannot_be_asked(self, session: Session) -> None:
        asked = {"kind": "property", "field": "created_at", "op": "contains", "value": ["x"]}
        with pytest.raises(RuleInvalidError) as caught:
            service.create(session, rule(asked), name="s", at=NOW)
        assert "groups.0.conditions.0" in caught.value.fields

    def test_hostile_names_and_values_are_data(self, session: Session) -> None:
        [user] = make_members(session, "ada@example.com")
        for number, value in enumerate(HOSTILE):
            asked = rule(
                {"kind": "property", "field": "first_name", "op": "is", "value": [value]},
                {
                    "kind": "event",
                    "type": value[:100],
                    "filters": [{"name": value[:200], "op": "is", "value": value[:2000]}],
                },
                {"kind": "consent", "purpose": value[:60]},
            )
            service.create(session, asked, name=f"s{number}", at=NOW)
            assert service.preview(session, asked, at=NOW).count == 0
        assert user


HOSTILE = [
    "'; DROP TABLE users; --",
    '"',
    "\\",
    "%s",
    "%(name)s",
    ":name",
    "{}",
    "$1",
    "__proto__",
    "a" * 2_000,
    "\u202eabc",
    "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "null",
    "1e999",
    "' OR ''='",
    "/*",
    "`",
    "\x7f",
]

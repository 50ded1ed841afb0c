"""Earning rules: each event once a rule, never above a limit, and back when the event goes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from app import upkeep
from app.accounts.models import Merchant
from app.points import earning, moving, proof, queries, rules, units
from app.points.errors import RuleChangedError, RuleInvalidError
from app.points.ledger import Stamp
from app.points.limits import Earned, Limit, let_through
from app.points.models import PointsTransaction, TransactionKind
from app.points.rule_models import EarningState, PointsEarning, PointsRule
from app.points.rules import RuleDraft
from app.segments.rules import Filter, Op
from app.users.models import User, UserState
from core.db import Role, unit_of_work
from core.event_cursor import EventCursor
from core.events import Event, emit
from core.types import MerchantId, PointsUnitId, UserId
from tests.app.points.test_ledger import make_unit
from tests.conftest import NOW, make_merchant, wait_until
from tests.factories.brand import make_members, make_other_merchant

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ORDER = "custom.order"


class Brand:
    """A brand with one unit, some members and rules; events are committed like everywhere."""

    def __init__(self, merchant: MerchantId, *names: str) -> None:
        self.merchant = merchant
        with self.work() as session:
            self.unit: PointsUnitId = make_unit(session).id
            self.members = make_members(session, *(f"{it}@example.com" for it in names or ("ada",)))

    def work(self, role: Role = Role.APP) -> Any:
        return unit_of_work(merchant=self.merchant, actor="test", role=role)

    def rule(self, **changes: Any) -> PointsRule:
        fields: dict[str, Any] = {
            "name": "Orders",
            "event_type": ORDER,
            "rate": Decimal(10),
            "first_day": date(2026, 1, 1),
        }
        with self.work() as session:
            return rules.create(session, RuleDraft(self.unit, **{**fields, **changes}), at=NOW)

    def happens(self, user: UserId | None = None, at: datetime = NOW, **data: Any) -> None:
        with self.work() as session:
            emit(session, data.pop("type", ORDER), at=at, user_id=user or self.members[0], **data)

    def go_on(self) -> None:
        """Whatever can be read is read, and whatever is due is settled."""
        while self.follow():
            pass
        while self.settle():
            pass

    def follow(self) -> bool:
        with self.work(Role.ENGINE) as session:
            return earning.follow(session)

    def settle(self) -> bool:
        with self.work() as session:
            return earning.settle_next(session, NOW)

    def points(self, user: UserId | None = None) -> int:
        with self.work() as session:
            found = queries.balances(session, [user or self.members[0]], at=NOW)
            return found[0].available if found else 0

    def earnings(self) -> list[tuple[EarningState, int, str | None]]:
        with self.work() as session:
            rows = session.scalars(select(PointsEarning).order_by(PointsEarning.event_id))
            return [(it.state, it.amount, it.reason) for it in rows]

    def spent(self) -> int:
        with self.work() as session:
            return session.scalars(select(PointsRule.spent)).one()

    def prove(self) -> None:
        with self.work() as session:
            assert proof.prove(session, at=NOW) == []


@pytest.fixture
def brand(committed: None) -> Brand:
    """A brand whose events can be read at once: what it does is committed."""
    return Brand(make_merchant().id)


class TestFixed:
    def test_each_event_earns_once(self, brand: Brand) -> None:
        brand.rule()
        brand.happens()
        brand.happens()
        for _ in range(3):
            brand.go_on()
        assert (brand.points(), brand.spent()) == (20, 20)
        brand.prove()

    def test_the_ledger_says_which_rule_and_which_event(self, brand: Brand) -> None:
        brand.rule(name="Ten an order")
        brand.happens()
        brand.go_on()
        with brand.work() as session:
            row = session.scalars(select(PointsTransaction)).one()
            told = session.scalars(select(Event).where(Event.type == "cohort.points.earned")).one()
        assert (row.kind, row.reason) == (TransactionKind.EARN, "Ten an order")
        assert row.source.startswith("rule:prl_") and row.key.startswith("rule:prl_")
        assert (told.data["amount"], told.data["source"]) == (10, row.source)

    def test_other_events_and_other_members_earn_nothing(self, brand: Brand) -> None:
        brand.rule()
        brand.happens(type="custom.visit")
        with brand.work() as session:
            emit(session, ORDER, at=NOW)
        brand.go_on()
        assert brand.earnings() == []

    def test_what_happened_before_the_rule_earns_nothing(self, brand: Brand) -> None:
        brand.happens()
        brand.rule()
        brand.happens()
        brand.go_on()
        assert brand.points() == 10

    def test_two_rules_of_one_event_both_give(self, brand: Brand) -> None:
        brand.rule()
        brand.rule(name="More", rate=Decimal(5))
        brand.happens()
        brand.go_on()
        assert brand.points() == 15

    def test_only_events_of_its_days_count_and_days_are_the_brands(self, brand: Brand) -> None:
        with unit_of_work() as session:
            session.execute(update(Merchant).values(time_zone="Pacific/Auckland"))
        brand.rule(first_day=date(2026, 6, 2), last_day=date(2026, 6, 2))
        for moment in (
            datetime(2026, 6, 1, 11, 59, 59, tzinfo=UTC),
            datetime(2026, 6, 1, 12, 0, tzinfo=UTC),
            datetime(2026, 6, 2, 11, 59, 59, tzinfo=UTC),
            datetime(2026, 6, 2, 12, 0, tzinfo=UTC),
        ):
            brand.happens(at=moment)
        brand.go_on()
        assert len(brand.earnings()) == 2


class TestByProperty:
    @pytest.mark.parametrize(
        ("rate", "total", "points"),
        [
            ("0.1", 1990, 199),
            ("0.1", 1999, 199),
            ("0.1", 9, 0),
            ("1", 12.99, 12),
            ("2.5", 3, 7),
            ("1", -5, 0),
            ("1", "12", 0),
            ("1", None, 0),
            ("1", True, 0),
            ("1000000", 1e300, 10**12),
        ],
    )
    def test_is_multiplied_and_rounded_down(
        self, brand: Brand, rate: str, total: Any, points: int
    ) -> None:
        brand.rule(rate=Decimal(rate), property="total")
        brand.happens(total=total)
        brand.go_on()
        assert brand.points() == points

    def test_an_event_without_it_earns_nothing(self, brand: Brand) -> None:
        brand.rule(rate=Decimal(1), property="total")
        brand.happens(other=5)
        brand.go_on()
        assert brand.earnings() == []


class TestFilters:
    def test_say_which_events_count_as_in_segments(self, brand: Brand) -> None:
        brand.rule(
            filters=(
                Filter(name="channel", op=Op.IS, value="web"),
                Filter(name="total", op=Op.AT_LEAST, value="20"),
            )
        )
        brand.happens(channel="web", total=20)
        brand.happens(channel="web", total=19.99)
        brand.happens(channel="shop", total=50)
        brand.happens(total=50)
        brand.go_on()
        assert brand.points() == 10


class TestLimits:
    def test_the_rest_up_to_a_cap_is_given(self, brand: Brand) -> None:
        brand.rule(rate=Decimal(40), member_day_cap=100, member_cap=150)
        for hour in range(4):
            brand.happens(at=NOW + hour * HOUR)
        brand.happens(at=NOW + DAY)
        brand.happens(at=NOW + DAY)
        brand.go_on()
        assert [it[1:] for it in brand.earnings()] == [
            (40, None),
            (40, None),
            (20, Limit.MEMBER_DAY),
            (0, Limit.MEMBER_DAY),
            (40, None),
            (10, Limit.MEMBER),
        ]
        assert brand.points() == 150

    def test_a_cap_is_each_members_own(self, committed: None) -> None:
        brand = Brand(make_merchant().id, "ada", "bo")
        brand.rule(member_cap=10)
        for member in brand.members * 2:
            brand.happens(member)
        brand.go_on()
        assert [brand.points(it) for it in brand.members] == [10, 10]

    def test_a_cooldown_counts_both_ways_and_ends_on_the_minute(self, brand: Brand) -> None:
        brand.rule(cooldown_minutes=60)
        for minutes in (0, 59, 60, -59, -60):
            brand.happens(at=NOW + timedelta(minutes=minutes))
            brand.go_on()
        assert [it[1] for it in brand.earnings()] == [10, 0, 10, 0, 10]

    def test_what_earned_nothing_starts_no_cooldown(self, brand: Brand) -> None:
        brand.rule(cooldown_minutes=60)
        for minutes in (0, 59, 61):
            brand.happens(at=NOW + timedelta(minutes=minutes))
        brand.go_on()
        assert brand.points() == 20

    def test_merged_members_share_their_limits(self, committed: None) -> None:
        brand = Brand(make_merchant().id, "ada", "bo")
        brand.rule(member_cap=15)
        ada, bo = brand.members
        brand.happens(bo)
        brand.go_on()
        with brand.work() as session:
            session.execute(
                update(User).where(User.id == bo).values(state=UserState.MERGED, merged_into_id=ada)
            )
            session.expire_all()
            moving.move_all(session, bo, ada, at=NOW)
        brand.happens(ada)
        brand.happens(bo)
        brand.go_on()
        assert (brand.points(ada), brand.points(bo)) == (15, 0)
        brand.prove()

    @given(
        caps=st.tuples(*(st.none() | st.integers(1, 60) for _ in range(3))),
        events=st.lists(
            st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(1, 30)), max_size=30
        ),
    )
    def test_are_never_exceeded_whatever_comes(
        self, caps: tuple[int | None, ...], events: Sequence[tuple[str, int, int]]
    ) -> None:
        day_cap, cap, budget = caps
        rule = PointsRule(member_day_cap=day_cap, member_cap=cap, budget=budget)
        given_: dict[tuple[str, int], int] = {}
        for member, day, wanted in events:
            ever = sum(it for (who, _), it in given_.items() if who == member)
            in_all = sum(given_.values())
            earned = Earned(given_.get((member, day), 0), ever, in_all)
            through, limit = let_through(rule, wanted, earned)
            assert 0 <= through <= wanted and (through < wanted) == (limit is not None)
            given_[member, day] = given_.get((member, day), 0) + through
        assert all(day_cap is None or it <= day_cap for it in given_.values())
        for member in "ab":
            ever = sum(it for (who, _), it in given_.items() if who == member)
            assert cap is None or ever <= cap
        assert budget is None or sum(given_.values()) <= budget


class TestBudget:
    def test_ends_with_what_is_left_of_it(self, brand: Brand) -> None:
        brand.rule(rate=Decimal(40), budget=100)
        for _ in range(4):
            brand.happens()
        brand.go_on()
        assert [it[1] for it in brand.earnings()] == [40, 40, 20, 0]
        assert (brand.points(), brand.spent()) == (100, 100)

    def test_sixteen_sessions_never_give_more(self, committed: None) -> None:
        names = [f"m{number}" for number in range(16)]
        brand = Brand(make_merchant().id, *names)
        brand.rule(rate=Decimal(7), budget=100, member_cap=20)
        for _ in range(3):
            for member in brand.members:
                brand.happens(member)
        brand.follow()
        barrier = Barrier(16)

        def work(_: int) -> int:
            barrier.wait()
            done = 0
            while brand.settle():
                done += 1
            return done

        with ThreadPoolExecutor(16) as pool:
            done = list(pool.map(work, range(16)))
        # Whoever found everything locked went home; what is left is done here.
        brand.go_on()
        assert sum(done) <= 48 and len(brand.earnings()) == 48
        assert sum(brand.points(it) for it in brand.members) == brand.spent() == 100
        assert all(brand.points(it) <= 20 for it in brand.members)
        brand.prove()


class TestTwoWorkers:
    def test_read_and_settle_each_event_once(self, committed: None) -> None:
        brand = Brand(make_merchant().id, "ada", "bo", "cy")
        brand.rule()
        for _ in range(5):
            for member in brand.members:
                brand.happens(member)
        barrier = Barrier(2)

        def work(_: int) -> None:
            barrier.wait()
            for _ in range(20):
                brand.follow()
                brand.settle()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
        brand.go_on()
        assert [brand.points(it) for it in brand.members] == [50, 50, 50]
        with brand.work() as session:
            assert session.scalar(select(func.count()).select_from(PointsTransaction)) == 15
        brand.prove()

    def test_a_kill_between_reading_and_settling_loses_nothing(self, brand: Brand) -> None:
        brand.rule()
        brand.happens()
        with pytest.raises(RuntimeError), brand.work(Role.ENGINE) as session:
            earning.follow(session)
            raise RuntimeError
        assert brand.earnings() == []
        brand.follow()
        with pytest.raises(RuntimeError), brand.work() as session:
            earning.settle_next(session, NOW)
            raise RuntimeError
        assert brand.points() == 0
        brand.go_on()
        assert (brand.points(), brand.spent()) == (10, 10)

    def test_the_worker_does_it_by_itself(self, brand: Brand) -> None:
        assert upkeep.merchants_with_rules() == []
        brand.rule()
        brand.happens()
        for merchant in upkeep.merchants_with_rules():
            upkeep.earn_points(merchant)
        assert brand.points() == 10


class TestPaused:
    def test_what_is_read_meanwhile_earns_nothing_later_either(self, brand: Brand) -> None:
        row = brand.rule()
        for is_on in (False, True):
            with brand.work() as session:
                rules.switch(session, rules.get(session, row.id), is_on=is_on)
            brand.happens()
            brand.go_on()
        assert brand.points() == 10


class TestRestored:
    def test_what_was_not_looked_at_is_looked_at_once(self, brand: Brand) -> None:
        brand.rule()
        brand.happens()
        brand.go_on()
        brand.happens()
        with brand.work(Role.ENGINE) as session:
            cursor = session.scalars(select(EventCursor)).one()
            cursor.xid = 10**15
        brand.go_on()
        assert brand.points() == 20


class TestTakenBack:
    def remove(self, brand: Brand) -> None:
        """As an import of events is undone: the events go, and whoever had some is told."""
        with unit_of_work(merchant=brand.merchant, actor="test") as session:
            users = session.scalars(select(Event.user_id).where(Event.type == ORDER).distinct())
            for user in users.all():
                emit(session, earning.REMOVED, at=NOW, user_id=user, eventType=ORDER)

    @pytest.fixture
    def drop(self, brand: Brand, owner: Any) -> Any:
        """Every order is gone, as when an import is undone, and its members are told."""

        def drop() -> None:
            self.remove(brand)
            with owner.begin() as connection:
                connection.execute(delete(Event).where(Event.type == ORDER))

        return drop

    def test_what_it_earned_goes_and_the_limits_are_free_again(
        self, brand: Brand, drop: Any
    ) -> None:
        brand.rule(member_cap=10, budget=10)
        brand.happens()
        brand.go_on()
        drop()
        brand.go_on()
        assert (brand.points(), brand.spent()) == (0, 0)
        assert brand.earnings() == [(EarningState.TAKEN_BACK, 10, earning.REMOVED_REASON)]
        with brand.work() as session:
            back = session.scalars(
                select(PointsTransaction).where(PointsTransaction.reverses_id.is_not(None))
            ).one()
        assert back.source == "event"
        brand.happens()
        brand.go_on()
        assert brand.points() == 10
        brand.prove()

    def test_what_was_not_settled_yet_is_not_given(self, brand: Brand, drop: Any) -> None:
        brand.rule()
        brand.happens()
        brand.follow()
        drop()
        brand.go_on()
        assert brand.earnings() == [(EarningState.NOTHING, 0, earning.REMOVED_REASON)]

    def test_what_is_settled_at_the_same_moment_goes_too(self, brand: Brand, drop: Any) -> None:
        brand.rule()
        brand.happens()
        brand.follow()
        drop()
        with ThreadPoolExecutor(1) as pool, brand.work() as session:
            assert earning.settle_next(session, NOW)
            reader = pool.submit(brand.follow)
            wait_until(lambda: self.is_waiting(brand))
        reader.result(timeout=30)
        brand.go_on()
        assert [it[0] for it in brand.earnings()] == [EarningState.TAKEN_BACK]
        assert (brand.points(), brand.spent()) == (0, 0)

    def is_waiting(self, brand: Brand) -> bool:
        """Whether some session waits for a lock."""
        with brand.work() as session:
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(session.scalar(waiting))

    def test_what_is_spent_stays_and_is_counted(self, brand: Brand, drop: Any) -> None:
        row = brand.rule()
        brand.happens()
        brand.go_on()
        with brand.work() as session:
            unit = rules.get(session, row.id).unit_id
            stamp = Stamp("buy", TransactionKind.SPEND, "test")
            moving.post(session, units.get(session, unit), brand.members[0], -5, stamp, at=NOW)
        drop()
        brand.go_on()
        assert [it[0] for it in brand.earnings()] == [EarningState.KEPT]
        assert (brand.points(), brand.spent()) == (5, 10)
        with brand.work() as session:
            assert rules.standing(session)[row.id].kept == 1

    def test_events_that_are_still_there_keep_what_they_earned(self, brand: Brand) -> None:
        brand.rule()
        brand.happens()
        brand.go_on()
        self.remove(brand)
        brand.go_on()
        assert brand.points() == 10


class TestGone:
    def test_an_erased_member_earns_nothing(self, brand: Brand) -> None:
        brand.rule()
        brand.happens()
        brand.follow()
        with brand.work() as session:
            session.execute(update(User).values(state=UserState.ERASED))
        brand.go_on()
        assert brand.earnings() == [(EarningState.NOTHING, 0, earning.GONE_REASON)]


class TestRules:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "a" * 121}, "name"),
            ({"event_type": ""}, "event_type"),
            ({"event_type": "cohort.points.earned"}, "event_type"),
            ({"rate": Decimal("1.5")}, "rate"),
            ({"rate": Decimal(0)}, "rate"),
            ({"rate": Decimal("0.0000001"), "property": "total"}, "rate"),
            ({"rate": Decimal(-1), "property": "total"}, "rate"),
            ({"property": ""}, "property"),
            ({"member_day_cap": 0}, "member_day_cap"),
            ({"member_cap": -1}, "member_cap"),
            ({"budget": 10**12 + 1}, "budget"),
            ({"cooldown_minutes": 0}, "cooldown_minutes"),
            ({"last_day": date(2025, 12, 31)}, "last_day"),
            ({"unit_id": PointsUnitId(UUID(int=1))}, "unit"),
        ],
    )
    def test_say_where_they_cannot_be(
        self, session: Session, changes: dict[str, Any], field: str
    ) -> None:
        fields: dict[str, Any] = {
            "unit_id": make_unit(session).id,
            "name": "Orders",
            "event_type": ORDER,
            "rate": Decimal(1),
            "first_day": date(2026, 1, 1),
        }
        with pytest.raises(RuleInvalidError) as refused:
            rules.create(session, RuleDraft(**{**fields, **changes}), at=NOW)
        assert field in refused.value.fields

    def test_two_have_two_names(self, brand: Brand) -> None:
        brand.rule()
        with pytest.raises(RuleInvalidError):
            brand.rule()

    def test_a_change_of_an_old_version_is_refused_and_earning_makes_none(
        self, brand: Brand
    ) -> None:
        row = brand.rule()
        brand.happens()
        brand.go_on()
        draft = RuleDraft(brand.unit, "Orders", ORDER, Decimal(20), date(2026, 1, 1))
        with brand.work() as session:
            rules.change(session, rules.get(session, row.id), draft, version=row.version)
        with brand.work() as session, pytest.raises(RuleChangedError):
            rules.change(session, rules.get(session, row.id), draft, version=row.version)
        brand.happens()
        brand.go_on()
        assert (brand.points(), brand.spent()) == (30, 30)

    def test_are_a_hundred_at_most(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rules, "MOST_RULES", 1)
        unit = make_unit(session).id
        draft = RuleDraft(unit, "One", ORDER, Decimal(1), date(2026, 1, 1))
        rules.create(session, draft, at=NOW)
        with pytest.raises(RuleInvalidError, match="cannot be saved"):
            rules.create(
                session, RuleDraft(unit, "Two", ORDER, Decimal(1), date(2026, 1, 1)), at=NOW
            )

    def test_another_brands_events_and_rules_are_its_own(self, brand: Brand) -> None:
        brand.rule()
        with unit_of_work() as session:
            mine = session.get_one(Merchant, brand.merchant)
            session.expunge_all()
        other = Brand(make_other_merchant(mine), "zoe")
        other.happens()
        brand.go_on()
        other.go_on()
        assert (brand.earnings(), other.earnings()) == ([], [])


class TestTrial:
    def test_says_what_thirty_days_would_have_given(self, brand: Brand) -> None:
        for days in (0, 1, 29, 31):
            brand.happens(at=NOW - days * DAY, total=50)
        brand.happens(at=NOW, total=2)
        draft = RuleDraft(
            brand.unit, "x", ORDER, Decimal("0.5"), date(2027, 1, 1), property="total", budget=60
        )
        with brand.work() as session:
            found = rules.try_out(session, draft, at=NOW)
            assert session.scalar(select(func.count()).select_from(PointsEarning)) == 0
        assert (found.events, found.members, found.wanted, found.given) == (4, 1, 76, 60)
        assert not found.is_cut

    def test_gives_what_earning_gives(self, committed: None) -> None:
        brand = Brand(make_merchant().id, "ada", "bo")
        changes = {"member_day_cap": 25, "member_cap": 40, "cooldown_minutes": 30, "budget": 70}
        row = brand.rule(**changes)
        for step in range(12):
            moment = NOW - 20 * DAY + timedelta(minutes=25 * step)
            brand.happens(brand.members[step % 2], at=moment)
        draft = RuleDraft(brand.unit, "x", ORDER, Decimal(10), row.first_day, **changes)
        with brand.work() as session:
            found = rules.try_out(session, draft, at=NOW)
        brand.go_on()
        assert found.given == brand.spent() > 0

"""The ledger: what the database refuses, what happens once, and sums that always hold."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.points import holds, moving, proof, queries, units
from app.points.errors import (
    AdjustmentInvalidError,
    HoldEndedError,
    InsufficientPointsError,
    KeyReusedError,
    NotSpendableError,
    ReversalRefusedError,
    TransactionNotFoundError,
    UnitInvalidError,
)
from app.points.expiry import expires_at
from app.points.ledger import Stamp
from app.points.models import (
    AccountKind,
    Expiry,
    PointsAccount,
    PointsEntry,
    PointsLot,
    PointsTransaction,
    PointsUnit,
    TransactionKind,
)
from app.points.units import UnitDraft
from core.db import unit_of_work
from core.events import Event
from core.types import PointsUnitId, UserId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members

DAY = timedelta(days=1)


def make_unit(session: Session, code: str = "beans", **changes: object) -> PointsUnit:
    draft = UnitDraft(code, {"en": "Bean"}, {"en": "Beans"}, **changes)  # type: ignore[arg-type]
    return units.create(session, draft, at=NOW)


def earn(
    session: Session, unit: PointsUnit, user: UserId, amount: int, key: str, at: datetime = NOW
) -> PointsTransaction:
    return moving.post(session, unit, user, amount, Stamp(key, TransactionKind.EARN, "test"), at=at)


def spend(
    session: Session, unit: PointsUnit, user: UserId, amount: int, key: str, at: datetime = NOW
) -> PointsTransaction:
    return moving.post(
        session, unit, user, -amount, Stamp(key, TransactionKind.SPEND, "test"), at=at
    )


def has(session: Session, user: UserId) -> tuple[int, int]:
    """Available and held."""
    [found] = queries.balances(session, [user], at=NOW)
    return found.available, found.held


def remaining(session: Session) -> list[int]:
    return list(session.scalars(select(PointsLot.remaining).order_by(PointsLot.id)))


@pytest.fixture
def ada(session: Session) -> UserId:
    [user] = make_members(session, "ada@example.com")
    return user


class TestDatabase:
    def test_refuses_entries_that_do_not_sum_to_zero(self, session: Session, ada: UserId) -> None:
        row = earn(session, make_unit(session), ada, 10, "k")
        account = session.scalars(
            select(PointsAccount.id).where(PointsAccount.kind == "held")
        ).one()
        session.execute(
            insert(PointsEntry).values(transaction_id=row.id, account_id=account, amount=5)
        )
        with pytest.raises(DBAPIError, match="sum to zero"), session.begin_nested():
            session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))

    def test_accepts_what_sums_to_zero(self, session: Session, ada: UserId) -> None:
        earn(session, make_unit(session), ada, 10, "k")
        session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))

    @pytest.mark.parametrize(
        "statement",
        [
            update(PointsEntry).values(amount=99),
            delete(PointsEntry),
            update(PointsTransaction).values(source="other"),
            delete(PointsTransaction),
        ],
        ids=["change an entry", "delete an entry", "change a transaction", "delete one"],
    )
    def test_refuses_to_change_the_past(
        self, session: Session, ada: UserId, statement: object
    ) -> None:
        earn(session, make_unit(session), ada, 10, "k")
        with pytest.raises(DBAPIError), session.begin_nested():
            session.execute(statement)  # type: ignore[call-overload]

    def test_refuses_it_to_the_owner_of_the_tables_too(
        self, committed: None, owner: object
    ) -> None:
        merchant = make_merchant()
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            [user] = make_members(session, "ada@example.com")
            row = earn(session, make_unit(session), user, 10, "k").id
        for said in ("UPDATE points_entries SET amount = 1", "DELETE FROM points_transactions"):
            with pytest.raises(DBAPIError, match="never changed"), owner.begin() as connection:  # type: ignore[attr-defined]
                connection.execute(text(said))
        late = pytest.raises(DBAPIError, match="no further entries")
        with late, unit_of_work(merchant=merchant.id) as session:
            account = session.scalars(
                select(PointsAccount.id).where(PointsAccount.kind == "held")
            ).one()
            session.execute(
                insert(PointsEntry).values(transaction_id=row, account_id=account, amount=1)
            )


class TestPosting:
    def test_a_key_counts_once(self, session: Session, ada: UserId) -> None:
        unit = make_unit(session)
        assert earn(session, unit, ada, 10, "k").id == earn(session, unit, ada, 10, "k").id
        assert has(session, ada) == (10, 0)

    def test_a_key_of_something_else_is_refused(self, session: Session, ada: UserId) -> None:
        unit = make_unit(session)
        earn(session, unit, ada, 10, "k")
        with pytest.raises(KeyReusedError):
            earn(session, unit, ada, 11, "k")

    def test_nobody_spends_what_is_not_there(self, session: Session, ada: UserId) -> None:
        unit = make_unit(session)
        earn(session, unit, ada, 10, "k")
        with pytest.raises(InsufficientPointsError):
            spend(session, unit, ada, 11, "s")
        assert has(session, ada) == (10, 0)

    def test_status_is_not_spent(self, session: Session, ada: UserId) -> None:
        unit = make_unit(session, is_spendable=False, is_status=True)
        earn(session, unit, ada, 10, "k")
        with pytest.raises(NotSpendableError):
            spend(session, unit, ada, 1, "s")
        with pytest.raises(NotSpendableError):
            holds.reserve(session, unit, ada, 1, key="o", until=None, at=NOW)

    def test_debt_is_paid_by_the_next_credit(self, session: Session, ada: UserId) -> None:
        unit = make_unit(session, allows_debt=True)
        spend(session, unit, ada, 30, "s")
        assert has(session, ada) == (-30, 0)
        earn(session, unit, ada, 100, "k")
        assert (has(session, ada), remaining(session)) == ((70, 0), [70])
        assert proof.prove(session, at=NOW) == []

    def test_it_is_told(self, session: Session, ada: UserId) -> None:
        unit = make_unit(session)
        earn(session, unit, ada, 10, "k")
        spend(session, unit, ada, 4, "s")
        said = session.scalars(
            select(Event).where(Event.type.like("cohort.points.%")).order_by(Event.id)
        )
        assert [(it.type, it.data["amount"], it.data["balance"]) for it in said] == [
            ("cohort.points.earned", 10, 10),
            ("cohort.points.spent", -4, 6),
        ]

    def test_what_ends_first_goes_first(self, session: Session, ada: UserId) -> None:
        unit = make_unit(session, expiry=Expiry.DAYS, expiry_count=10)
        earn(session, unit, ada, 5, "late", NOW + DAY)
        earn(session, unit, ada, 5, "early", NOW)
        spend(session, unit, ada, 6, "s")
        assert remaining(session) == [4, 0]


class TestTogether:
    def race(
        self, work: Callable[[Session, PointsUnit, UserId], object], times: int, credit: int = 0
    ) -> tuple[list[str], int]:
        merchant = make_merchant()
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            [user] = make_members(session, "ada@example.com")
            unit_id: PointsUnitId = make_unit(session).id
            if credit:
                earn(session, units.get(session, unit_id), user, credit, "first")
        barrier = Barrier(times)

        def one(_: int) -> str:
            barrier.wait()
            try:
                with unit_of_work(merchant=merchant.id, actor="test") as session:
                    work(session, units.get(session, unit_id), user)
            except InsufficientPointsError as error:
                return error.code
            return "done"

        with ThreadPoolExecutor(times) as pool:
            answers = list(pool.map(one, range(times)))
        with unit_of_work(merchant=merchant.id) as session:
            assert proof.prove(session, at=NOW) == []
            return answers, has(session, user)[0]

    def test_one_key_from_32_sessions_counts_once(self, committed: None) -> None:
        _, balance = self.race(lambda *it: earn(*it, 10, "same"), 32)
        assert balance == 10

    def test_the_whole_balance_is_spent_once(self, committed: None) -> None:
        keys = iter("ab")
        answers, balance = self.race(lambda *it: spend(*it, 10, next(keys)), 2, credit=10)
        assert (sorted(answers), balance) == (["done", "insufficient_points"], 0)

    def test_what_is_abandoned_in_the_middle_never_was(self, committed: None) -> None:
        merchant = make_merchant()
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            [user] = make_members(session, "ada@example.com")
            unit = make_unit(session)
            earn(session, unit, user, 10, "first")
        with (
            pytest.raises(ZeroDivisionError),
            unit_of_work(merchant=merchant.id, actor="t") as session,
        ):
            spend(session, units.get(session, unit.id), user, 7, "s")
            raise ZeroDivisionError
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            assert (has(session, user), proof.prove(session, at=NOW)) == ((10, 0), [])


class TestReversal:
    def test_of_what_was_spent_gives_the_lots_back_as_they_were(
        self, session: Session, ada: UserId
    ) -> None:
        unit = make_unit(session, expiry=Expiry.DAYS, expiry_count=3)
        earn(session, unit, ada, 10, "k")
        row = spend(session, unit, ada, 6, "s")
        back = moving.reverse(session, ada, row.id, reason="returned", at=NOW + DAY)
        assert (has(session, ada), remaining(session)) == ((10, 0), [10])
        assert moving.reverse(session, ada, row.id, reason="returned", at=NOW).id == back.id
        assert proof.prove(session, at=NOW) == []

    def test_of_what_was_earned_is_refused_once_it_is_spent(
        self, session: Session, ada: UserId
    ) -> None:
        unit = make_unit(session)
        row = earn(session, unit, ada, 10, "k")
        spend(session, unit, ada, 6, "s")
        with pytest.raises(InsufficientPointsError):
            moving.reverse(session, ada, row.id, reason="mistake", at=NOW)

    def test_of_a_reversal_or_without_a_reason_is_refused(
        self, session: Session, ada: UserId
    ) -> None:
        row = earn(session, make_unit(session), ada, 10, "k")
        with pytest.raises(AdjustmentInvalidError):
            moving.reverse(session, ada, row.id, reason=" ", at=NOW)
        back = moving.reverse(session, ada, row.id, reason="mistake", at=NOW)
        with pytest.raises(ReversalRefusedError):
            moving.reverse(session, ada, back.id, reason="mistake", at=NOW)

    def test_of_another_member_is_not_found(self, session: Session, ada: UserId) -> None:
        row = earn(session, make_unit(session), ada, 10, "k")
        [other] = make_members(session, "other@example.com")
        with pytest.raises(TransactionNotFoundError):
            moving.reverse(session, other, row.id, reason="mistake", at=NOW)
        assert has(session, ada) == (10, 0)


class TestHolds:
    def hold(self, session: Session, ada: UserId) -> holds.PointsHold:
        unit = make_unit(session, expiry=Expiry.DAYS, expiry_count=3)
        earn(session, unit, ada, 10, "k")
        return holds.reserve(session, unit, ada, 6, key="order:1", until=NOW + DAY, at=NOW)

    def test_keep_points_from_others(self, session: Session, ada: UserId) -> None:
        hold = self.hold(session, ada)
        assert has(session, ada) == (4, 6)
        unit = units.list_all(session)[0]
        assert holds.reserve(session, unit, ada, 6, key="order:1", until=None, at=NOW).id == hold.id
        with pytest.raises(InsufficientPointsError):
            spend(session, unit, ada, 5, "s")

    def test_captured_are_redeemed_and_can_be_reversed(self, session: Session, ada: UserId) -> None:
        hold = self.hold(session, ada)
        row = holds.capture(session, hold, at=NOW)
        assert has(session, ada) == (4, 0)
        assert holds.capture(session, hold, at=NOW).id == row.id
        with pytest.raises(HoldEndedError):
            holds.release(session, hold, at=NOW)
        moving.reverse(session, ada, row.id, reason="refund", at=NOW)
        assert (has(session, ada), remaining(session)) == ((10, 0), [10])
        assert proof.prove(session, at=NOW) == []

    def test_that_last_too_long_go_back_and_keep_their_end(
        self, session: Session, ada: UserId
    ) -> None:
        hold = self.hold(session, ada)
        assert not holds.release_due(session, NOW)
        assert has(session, ada) == (4, 6)
        holds.release_due(session, NOW + DAY)
        assert (has(session, ada), remaining(session)) == ((10, 0), [10])
        with pytest.raises(HoldEndedError):
            holds.capture(session, hold, at=NOW)
        moving.expire_due(session, NOW + 5 * DAY)
        assert has(session, ada) == (0, 0)
        assert proof.prove(session, at=NOW) == []


class TestExpiry:
    @pytest.mark.parametrize(
        ("expiry", "count", "at", "zone", "end"),
        [
            (Expiry.DAYS, 0, "2026-03-28T23:30", "Europe/Paris", "2026-03-29T22:00"),
            (Expiry.DAYS, 30, "2026-06-01T12:00", "UTC", "2026-07-02T00:00"),
            (Expiry.MONTH, 0, "2024-02-10T12:00", "America/New_York", "2024-03-01T05:00"),
            (Expiry.MONTH, 0, "2026-03-01T02:00", "America/New_York", "2026-03-01T05:00"),
            (Expiry.MONTH, 13, "2026-12-31T12:00", "UTC", "2028-02-01T00:00"),
            (Expiry.YEAR, 1, "2026-12-31T23:30", "Asia/Tokyo", "2028-12-31T15:00"),
        ],
    )
    def test_is_the_end_of_a_day_of_the_brand(
        self, expiry: Expiry, count: int, at: str, zone: str, end: str
    ) -> None:
        moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
        found = expires_at(expiry, count, at=moment, zone=ZoneInfo(zone))
        assert found == datetime.fromisoformat(end).replace(tzinfo=UTC)

    def test_never_is_never(self) -> None:
        assert expires_at(Expiry.NEVER, 3, at=NOW, zone=ZoneInfo("UTC")) is None

    def test_takes_what_is_due_and_nothing_else(self, session: Session, ada: UserId) -> None:
        unit = make_unit(session, expiry=Expiry.DAYS, expiry_count=3)
        earn(session, unit, ada, 5, "a")
        earn(session, unit, ada, 7, "b", NOW + 10 * DAY)
        assert moving.expire_due(session, NOW + 5 * DAY)
        assert not moving.expire_due(session, NOW + 5 * DAY)
        assert has(session, ada) == (7, 0)
        told = session.scalars(select(Event).where(Event.type == "cohort.points.expired")).all()
        assert [it.data["amount"] for it in told] == [-5]


class TestUnits:
    def test_a_code_is_taken_once(self, session: Session) -> None:
        make_unit(session)
        with pytest.raises(UnitInvalidError):
            make_unit(session)

    def test_there_are_twenty_at_most(self, session: Session) -> None:
        for number in range(20):
            make_unit(session, f"unit_{number}")
        with pytest.raises(UnitInvalidError):
            make_unit(session, "unit_20")

    def test_nonsense_is_refused_where_it_stands(self, session: Session) -> None:
        with pytest.raises(UnitInvalidError) as caught:
            make_unit(session, "X", is_spendable=False, expiry_count=-1)
        assert set(caught.value.fields) == {"code", "is_spendable", "expiry_count"}


class TestProof:
    def test_finds_a_balance_that_no_entry_made(self, session: Session, ada: UserId) -> None:
        earn(session, make_unit(session), ada, 10, "k")
        assert proof.prove(session, at=NOW) == []
        mine = PointsAccount.kind == AccountKind.AVAILABLE
        session.execute(update(PointsAccount).where(mine).values(balance=11))
        session.execute(update(PointsLot).values(remaining=9))
        kinds = [it["kind"] for it in proof.prove(session, at=NOW)]
        assert kinds == ["balance", "lots", "uses"]
        row = queries.find_proof(session)
        assert row is not None and len(row.differences) == 3


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["earn", "spend", "hold", "capture", "release", "expire", "reverse"]),
        st.integers(1, 20),
    ),
    max_size=25,
)


class TestAgainstAModel:
    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(steps=STEPS, allows_debt=st.booleans())
    def test_balances_are_what_a_plain_count_says(
        self, session: Session, ada: UserId, steps: list[tuple[str, int]], allows_debt: bool
    ) -> None:
        nested = session.begin_nested()
        unit = make_unit(session, expiry=Expiry.DAYS, expiry_count=4, allows_debt=allows_debt)
        available, held, opened, spent = 0, 0, [], []
        for number, (step, amount) in enumerate(steps):
            at, key = NOW + number * DAY, str(number)
            may = allows_debt or available >= amount
            if step == "earn":
                earn(session, unit, ada, amount, key, at)
                available += amount
            elif step == "spend" and may:
                spent.append((spend(session, unit, ada, amount, key, at), amount))
                available -= amount
            elif step == "hold" and may:
                opened.append(holds.reserve(session, unit, ada, amount, key=key, until=None, at=at))
                available, held = available - amount, held + amount
            elif step == "capture" and opened:
                held -= opened[-1].amount
                holds.capture(session, opened.pop(), at=at)
            elif step == "release" and opened:
                available, held = available + opened[-1].amount, held - opened[-1].amount
                holds.release(session, opened.pop(), at=at)
            elif step == "reverse" and spent:
                row, amount = spent.pop()
                moving.reverse(session, ada, row.id, reason="back", at=at)
                available += amount
            elif step == "expire":
                before = sum(remaining(session))
                moving.expire_due(session, at)
                available -= before - sum(remaining(session))
        found = queries.balances(session, [ada], at=NOW)
        assert [(it.available, it.held) for it in found] in ([(available, held)], [])
        assert (found != []) or (available, held) == (0, 0)
        assert proof.prove(session, at=NOW) == []
        nested.rollback()

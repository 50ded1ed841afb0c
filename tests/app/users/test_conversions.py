"""Changes of type over all members: exact reports, exact values, exactly taken back."""

from datetime import UTC, datetime, timedelta

import pytest

from app.accounts.models import Merchant
from app.users import conversions, properties, slots
from app.users.conversion_rules import Rules, Shape
from app.users.errors import ConversionStateError, PropertyInvalidError
from app.users.models import Property
from app.users.slots import Kind
from app.users.upkeep_models import Conversion, ConversionState
from core.db import Role, unit_of_work
from core.types import PropertyId, UserId
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.people import make_property, run_conversion, set_values, values_of

DAYS = Shape(Kind.DATE)
FEW = 7
TEXTS = [
    "31.03.2026" if number % 33 else f"some day {number}" for number in range(1, 101)
]  # three of a hundred are no dates


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that several parts follow each other."""
    monkeypatch.setattr(conversions, "VALUES_A_PART", FEW)


@pytest.fixture
def birthday(merchant: Merchant, small_parts: None) -> PropertyId:
    """A text property of which three values in a hundred are no dates, and one member has none."""
    with unit_of_work(merchant=merchant.id) as session:
        row = make_property(session, "Birthday")
        users = make_members(session, *(f"m{number}@example.com" for number in range(101)))
        set_values(session, row, dict(zip(users, TEXTS, strict=False)))
        return row.id


def begin(merchant: Merchant, row_id: PropertyId, rules: Rules) -> Conversion:
    with unit_of_work(merchant=merchant.id) as session:
        row = properties.get(session, row_id)
        found = conversions.begin(session, row, DAYS, rules, at=NOW)
    run_conversion(merchant.id, found.id)
    with unit_of_work(merchant=merchant.id) as session:
        return session.get_one(Conversion, found.id)


def run(merchant: Merchant, found: Conversion) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        conversions.run(session, session.get_one(Conversion, found.id))
    run_conversion(merchant.id, found.id)


def state_of(merchant: Merchant, row_id: PropertyId) -> tuple[Kind, dict[UserId, object]]:
    with unit_of_work(merchant=merchant.id) as session:
        row = properties.get(session, row_id)
        return row.kind, dict(values_of(session, row))


class TestDryRun:
    def test_counts_every_member_and_changes_nothing(
        self, merchant: Merchant, birthday: PropertyId
    ) -> None:
        before = state_of(merchant, birthday)
        found = begin(merchant, birthday, Rules(order="dmy"))
        assert found.state is ConversionState.PREVIEWED
        counts = (found.user_count, found.converted_count, found.empty_count, found.failed_count)
        assert counts == (101, 97, 1, 3)
        assert state_of(merchant, birthday) == before
        with unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, birthday)
            shown = {text for _, text in conversions.examples(session, row, found)}
            assert shown == {"some day 33", "some day 66", "some day 99"}
            listed = [line[2] for line in conversions.failures(session, row, found)]
            assert sorted(listed) == sorted(shown)

    def test_is_one_at_a_time(self, merchant: Merchant, birthday: PropertyId) -> None:
        found = begin(merchant, birthday, Rules())
        assert found.failed_count == 100
        with pytest.raises(ConversionStateError), unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, birthday)
            conversions.begin(session, row, DAYS, Rules(), at=NOW)
        with unit_of_work(merchant=merchant.id) as session:
            conversions.abort(session, session.get_one(Conversion, found.id), at=NOW)
            row = properties.get(session, birthday)
            conversions.begin(session, row, DAYS, Rules(), at=NOW)

    def test_refuses_what_cannot_become_the_other(
        self, merchant: Merchant, birthday: PropertyId
    ) -> None:
        with pytest.raises(PropertyInvalidError), unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, birthday)
            conversions.begin(session, row, Shape(Kind.TEXT), Rules(), at=NOW)


class TestRun:
    def test_needs_a_dry_run(self, merchant: Merchant, birthday: PropertyId) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, birthday)
            found = conversions.begin(session, row, DAYS, Rules(), at=NOW)
        with pytest.raises(ConversionStateError), unit_of_work(merchant=merchant.id) as session:
            conversions.run(session, session.get_one(Conversion, found.id))

    def test_converts_exactly_and_goes_back_exactly(
        self, merchant: Merchant, birthday: PropertyId
    ) -> None:
        before = state_of(merchant, birthday)
        run(merchant, begin(merchant, birthday, Rules(order="dmy")))
        kind, after = state_of(merchant, birthday)
        assert kind is Kind.DATE
        assert set(after.values()) == {datetime(2026, 3, 31, tzinfo=UTC)} and len(after) == 97
        with unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, birthday)
            last = conversions.find_last(session, row)
            assert last is not None and (last.converted_count, last.failed_count) == (97, 3)
            assert len(list(conversions.failures(session, row, last))) == 3
            conversions.roll_back(session, row, at=NOW + timedelta(days=29))
        assert state_of(merchant, birthday) == before

    def test_takes_what_changed_meanwhile(self, merchant: Merchant, birthday: PropertyId) -> None:
        found = begin(merchant, birthday, Rules(order="dmy"))
        with unit_of_work(merchant=merchant.id) as session:
            conversions.run(session, session.get_one(Conversion, found.id))
        for _ in range(3):
            with unit_of_work(merchant=merchant.id, role=Role.ENGINE) as session:
                assert conversions.run_part(session, found.id, at=NOW)
        with unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, birthday)
            first, second, *_ = sorted(values_of(session, row))
            set_values(session, row, {first: "01.02.2003", second: None})
        run_conversion(merchant.id, found.id)
        after = state_of(merchant, birthday)[1]
        assert after[first] == datetime(2003, 2, 1, tzinfo=UTC)
        assert second not in after

    def test_cannot_be_taken_back_after_thirty_days(
        self, merchant: Merchant, birthday: PropertyId
    ) -> None:
        run(merchant, begin(merchant, birthday, Rules(order="dmy")))
        with pytest.raises(ConversionStateError), unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, birthday)
            conversions.roll_back(session, row, at=NOW + timedelta(days=30))


class TestClearing:
    def clear(self, merchant: Merchant, row_id: PropertyId, at: datetime) -> None:
        more = True
        while more:
            with unit_of_work(merchant=merchant.id, role=Role.ENGINE) as session:
                row = session.get_one(Property, row_id)
                more = conversions.clear_due(session, row, at=at)

    def test_leaves_old_values_for_thirty_days_and_then_frees_their_slot(
        self, merchant: Merchant, birthday: PropertyId
    ) -> None:
        run(merchant, begin(merchant, birthday, Rules(order="dmy")))
        self.clear(merchant, birthday, NOW + timedelta(days=29))
        with unit_of_work(merchant=merchant.id) as session:
            assert properties.get(session, birthday).retired_slot == 1
            assert properties.free_slot(session, Kind.TEXT) == 2
        self.clear(merchant, birthday, NOW + timedelta(days=30))
        with unit_of_work(merchant=merchant.id) as session:
            assert properties.get(session, birthday).retired_slot is None
            row = make_property(session, "New")
            assert row.slot == 1 and values_of(session, row) == {}

    def test_of_a_deleted_property_takes_its_values(
        self, merchant: Merchant, birthday: PropertyId
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            properties.delete(session, properties.get(session, birthday), at=NOW)
            assert properties.free_slot(session, Kind.TEXT) == 2
        self.clear(merchant, birthday, NOW)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get(Property, birthday) is None
            assert slots.value_name(Kind.TEXT, properties.free_slot(session, Kind.TEXT)) == "t1"
            assert values_of(session, make_property(session, "Birthday")) == {}

"""Members hear a month and a week before points end, once for each day, in the morning."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import func, select, update

from app import upkeep
from app.accounts.models import Merchant
from app.points import moving, units, warnings
from app.points.ledger import Stamp
from app.points.models import Expiry, PointsUnit, PointsWarning, TransactionKind
from app.users.models import User, UserState
from core.db import unit_of_work
from core.mail import Mail, outbox
from core.settings import core_settings
from core.types import MerchantId, PointsUnitId
from tests.app.points.test_ledger import make_unit
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members

DAY = timedelta(days=1)
END = NOW.replace(hour=0) + 101 * DAY
"""Of points that came now and last for a hundred days: the 9th of September is the last."""


class Brand:
    def __init__(self, merchant: MerchantId) -> None:
        self.merchant = merchant
        with unit_of_work(merchant=merchant) as session:
            self.unit: PointsUnitId = make_unit(
                session, expiry=Expiry.DAYS, expiry_count=100, allows_debt=False
            ).id
            [self.ada] = make_members(session, "ada@example.com")

    def move(self, amount: int, key: str, at: datetime = NOW) -> None:
        kind = TransactionKind.EARN if amount > 0 else TransactionKind.SPEND
        with unit_of_work(merchant=self.merchant) as session:
            unit = session.get_one(PointsUnit, self.unit)
            moving.post(session, unit, self.ada, amount, Stamp(key, kind, "test"), at=at)

    def warn(self, at: datetime) -> list[Mail]:
        """The mails of one round."""
        before = letters()
        more = True
        while more:
            with unit_of_work(merchant=self.merchant) as session:
                more = warnings.warn_due(session, at)
        count = letters() - before
        return outbox()[:count] if count else []


def letters() -> int:
    """How many mails of all tests there are: reading them takes long."""
    return sum(1 for _ in (core_settings().data_dir / "mail").glob("*.eml"))


@pytest.fixture
def brand(merchant: Merchant) -> Brand:
    return Brand(merchant.id)


class TestWarning:
    def test_comes_a_month_and_a_week_before_and_each_once(self, brand: Brand) -> None:
        brand.move(50, "a")
        noon = timedelta(hours=12)
        days = [brand.warn(END - it * DAY + noon) for it in range(40, -2, -1)]
        assert [40 - number for number, mails in enumerate(days) if mails] == [30, 7]
        for [mail] in (it for it in days if it):
            assert mail.to == "ada@example.com"
            assert mail.subject == "50 Beans end on 9 Sep 2026"
            assert "http://testserver/space/points" in mail.text

    def test_says_what_is_left_and_one_is_one(self, brand: Brand) -> None:
        brand.move(50, "a")
        brand.move(-49, "b")
        [mail] = brand.warn(END - 20 * DAY + timedelta(hours=12))
        assert mail.subject.startswith("1 Bean end")

    def test_is_not_given_of_what_is_spent(self, brand: Brand) -> None:
        brand.move(50, "a")
        brand.move(-50, "b")
        assert brand.warn(END - 20 * DAY + timedelta(hours=12)) == []

    def test_is_one_for_each_day_that_ends(self, brand: Brand) -> None:
        for number in (0, 1):
            brand.move(10, f"a{number}", NOW + number * DAY)
            brand.move(5, f"b{number}", NOW + number * DAY + timedelta(hours=1))
        mails = brand.warn(END - 20 * DAY + timedelta(hours=12))
        assert sorted(it.subject for it in mails) == [
            "15 Beans end on 10 Sep 2026",
            "15 Beans end on 9 Sep 2026",
        ]

    def test_a_week_is_enough_where_both_are_due(self, brand: Brand) -> None:
        brand.move(50, "a")
        noon = END - 3 * DAY + timedelta(hours=12)
        assert len(brand.warn(noon)) == 1
        assert brand.warn(noon + timedelta(hours=1)) == []

    def test_is_not_given_for_a_day_that_had_passed_when_they_came(self, brand: Brand) -> None:
        with unit_of_work(merchant=brand.merchant) as session:
            units.get(session, brand.unit).expiry_count = 20
        brand.move(50, "a")
        last = NOW.replace(hour=12) + 20 * DAY
        assert [number for number in range(20) if brand.warn(NOW + number * DAY)] == [14]
        assert brand.warn(last + 2 * DAY) == []

    def test_waits_for_the_morning_at_the_brand(self, brand: Brand) -> None:
        with unit_of_work() as session:
            session.execute(update(Merchant).values(time_zone="Pacific/Auckland"))
        brand.move(50, "a")
        day = NOW + 80 * DAY
        assert brand.warn(day.replace(hour=20)) == []  # eight o'clock there
        assert len(brand.warn(day.replace(hour=21))) == 1

    def test_goes_to_nobody_whom_mail_does_not_reach(self, brand: Brand) -> None:
        brand.move(50, "a")
        with unit_of_work(merchant=brand.merchant) as session:
            session.execute(update(User).values(state=UserState.BLOCKED))
        noon = END - 20 * DAY + timedelta(hours=12)
        assert brand.warn(noon) == []

    def test_many_take_several_rounds(self, brand: Brand, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(warnings, "MOST_AT_ONCE", 2)
        for number in range(5):
            brand.move(10, f"a{number}", NOW + number * DAY)
        assert len(brand.warn(END - 20 * DAY + timedelta(hours=12))) == 5

    def test_what_is_over_is_forgotten(self, brand: Brand) -> None:
        brand.move(50, "a")
        brand.warn(END - 20 * DAY + timedelta(hours=12))
        brand.warn(END + 3 * DAY + timedelta(hours=12))
        with unit_of_work(merchant=brand.merchant) as session:
            assert session.scalar(select(func.count()).select_from(PointsWarning)) == 0

    def test_a_rollback_tells_nobody_and_the_next_run_does(self, brand: Brand) -> None:
        brand.move(50, "a")
        noon = END - 20 * DAY + timedelta(hours=12)
        before = letters()
        with pytest.raises(RuntimeError), unit_of_work(merchant=brand.merchant) as session:
            warnings.warn_due(session, noon)
            raise RuntimeError
        assert letters() == before
        assert len(brand.warn(noon)) == 1

    def test_the_worker_asks_for_every_brand(self, brand: Brand) -> None:
        upkeep.warn_of_ends(brand.merchant)


class TestTwoWorkers:
    def test_tell_nobody_twice(self, committed: None) -> None:
        brand = Brand(make_merchant().id)
        for number in range(20):
            brand.move(10, f"a{number}", NOW + number * DAY)
        before, barrier = len(outbox()), Barrier(4)
        noon = END - 20 * DAY + timedelta(hours=12)

        def work(_: int) -> None:
            barrier.wait()
            with unit_of_work(merchant=brand.merchant) as session:
                warnings.warn_due(session, noon)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert len(outbox()) - before == 11

"""A code that was scanned is known, and opens something once, whoever scans at the same time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.passes import seen
from app.passes.models import SeenCode
from app.passes.tokens import Claims
from core.db import unit_of_work
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant

CLAIMS = Claims("0kgs4w5x", "7h3k9m2p", int(NOW.timestamp()), bytes(range(8)), number="0-0001")
SOON = NOW + timedelta(seconds=7)


def rows(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(SeenCode)) or 0


class TestSee:
    def test_the_first_time_nothing_is_known(self, session: Session) -> None:
        assert seen.see(session, CLAIMS, at=NOW) is None

    def test_the_second_time_the_first_is_told(self, session: Session) -> None:
        seen.see(session, CLAIMS, at=NOW)
        assert seen.see(session, CLAIMS, at=SOON) == seen.Earlier(NOW, None)

    def test_another_code_is_another(self, session: Session) -> None:
        seen.see(session, CLAIMS, at=NOW)
        other = Claims("0kgs4w5x", "7h3k9m2p", CLAIMS.issued_at, bytes(8), number="0-0001")
        assert seen.see(session, other, at=SOON) is None

    def test_another_brand_knows_nothing_of_it(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            seen.see(session, CLAIMS, at=NOW)
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            assert seen.see(session, CLAIMS, at=SOON) is None


class TestUse:
    def test_opens_once_and_tells_when(self, session: Session) -> None:
        assert seen.use(session, CLAIMS, at=NOW) is None
        assert seen.use(session, CLAIMS, at=SOON) == NOW

    def test_after_it_was_only_looked_at(self, session: Session) -> None:
        seen.see(session, CLAIMS, at=NOW)
        assert seen.use(session, CLAIMS, at=SOON) is None
        assert seen.see(session, CLAIMS, at=SOON) == seen.Earlier(NOW, SOON)

    def test_what_was_rolled_back_did_not_open(self, session: Session) -> None:
        savepoint = session.begin_nested()
        seen.use(session, CLAIMS, at=NOW)
        savepoint.rollback()
        assert seen.use(session, CLAIMS, at=SOON) is None

    def test_of_eight_at_once_one_opens_and_seven_are_told_its_time(self, committed: None) -> None:
        merchant, together = make_merchant().id, Barrier(8)

        def use(place: int) -> tuple[datetime, datetime | None]:
            at = NOW + timedelta(milliseconds=place)
            with unit_of_work(merchant=merchant) as session:
                together.wait()
                return at, seen.use(session, CLAIMS, at=at)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(use, range(8)))
        [winner] = [at for at, first in answers if first is None]
        assert [first for _, first in answers if first is not None] == [winner] * 7


class TestPrune:
    def test_looked_at_codes_go_once_they_are_over(self, session: Session) -> None:
        seen.see(session, CLAIMS, at=NOW)
        assert seen.prune(session, at=NOW + timedelta(minutes=2)) == 0
        assert seen.prune(session, at=NOW + timedelta(minutes=10)) == 1

    def test_used_ones_stay_as_long_as_a_scanner_may_be_offline(self, session: Session) -> None:
        seen.use(session, CLAIMS, at=NOW)
        assert seen.prune(session, at=NOW + timedelta(days=7)) == 0
        assert rows(session) == 1
        assert seen.prune(session, at=NOW + timedelta(days=9)) == 1

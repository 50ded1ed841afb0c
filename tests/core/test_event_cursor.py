"""Readers of events: in the order of commits, nothing skipped, nothing twice."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event as Signal

from core import event_cursor
from core.db import unit_of_work
from core.events import emit
from core.types import MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant

READER = "test"


def _emit(merchant: MerchantId, name: str) -> None:
    with unit_of_work(merchant=merchant) as session:
        emit(session, name, at=NOW)


def _read(merchant: MerchantId, *, limit: int = 100) -> list[str]:
    with unit_of_work(merchant=merchant) as session:
        cursor = event_cursor.claim(session, READER)
        assert cursor is not None
        return [fact.type for fact in event_cursor.read(session, cursor, limit=limit).facts]


class TestRead:
    def test_hands_over_each_event_once_in_the_order_of_commits(self, committed: None) -> None:
        merchant = make_merchant()
        before = _read(merchant.id)
        for number in range(5):
            _emit(merchant.id, f"e{number}")
        assert _read(merchant.id, limit=3) == ["e0", "e1", "e2"]
        assert _read(merchant.id) == ["e3", "e4"]
        assert _read(merchant.id) == []
        assert not set(before) & {f"e{number}" for number in range(5)}

    def test_waits_for_a_transaction_that_began_earlier(self, committed: None) -> None:
        merchant = make_merchant()
        _read(merchant.id)
        begun, go_on = Signal(), Signal()

        def slow() -> None:
            with unit_of_work(merchant=merchant.id) as session:
                emit(session, "slow", at=NOW)
                begun.set()
                assert go_on.wait(20)

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(slow)
            assert begun.wait(20)
            _emit(merchant.id, "quick")
            assert _read(merchant.id) == []
            go_on.set()
            done.result()
        assert _read(merchant.id) == ["slow", "quick"]

    def test_keeps_the_cursor_when_the_work_is_rolled_back(self, committed: None) -> None:
        merchant = make_merchant()
        _read(merchant.id)
        _emit(merchant.id, "e")
        with unit_of_work(merchant=merchant.id) as session:
            cursor = event_cursor.claim(session, READER)
            assert cursor is not None
            event_cursor.read(session, cursor, limit=9)
            session.rollback()
        assert _read(merchant.id) == ["e"]

    def test_shows_no_event_of_another_merchant(self, committed: None) -> None:
        merchant = make_merchant()
        other = make_other_merchant(merchant)
        _read(merchant.id)
        _emit(other, "theirs")
        assert _read(merchant.id) == []

    def test_says_that_the_cursor_is_from_another_server(self, committed: None) -> None:
        merchant = make_merchant()
        with unit_of_work(merchant=merchant.id) as session:
            cursor = event_cursor.claim(session, READER)
            assert cursor is not None
            cursor.xid = 2**60
        with unit_of_work(merchant=merchant.id) as session:
            cursor = event_cursor.claim(session, READER)
            assert cursor is not None
            assert event_cursor.read(session, cursor, limit=9).is_lost
            event_cursor.skip(session, cursor)
            assert not event_cursor.read(session, cursor, limit=9).is_lost


class TestClaim:
    def test_lets_one_process_read_at_a_time(self, committed: None) -> None:
        merchant = make_merchant()
        with unit_of_work(merchant=merchant.id) as first:
            assert event_cursor.claim(first, READER) is not None
        with unit_of_work(merchant=merchant.id) as first:
            assert event_cursor.claim(first, READER) is not None
            with unit_of_work(merchant=merchant.id) as second:
                assert event_cursor.claim(second, READER) is None
                assert event_cursor.claim(second, "another") is not None


class TestIsBehind:
    def test_counts_what_waits(self, committed: None) -> None:
        merchant = make_merchant()
        _read(merchant.id)
        for number in range(3):
            _emit(merchant.id, f"e{number}")
        with unit_of_work(merchant=merchant.id) as session:
            cursor = event_cursor.claim(session, READER)
            assert cursor is not None
            assert event_cursor.is_behind(session, cursor, by=2)
            assert not event_cursor.is_behind(session, cursor, by=3)

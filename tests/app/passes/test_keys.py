"""Keys: one signs, its neighbours are known a week before and after, old ones are destroyed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import worker
from app.accounts.models import Merchant
from app.passes import keys, tokens
from app.passes.errors import SigningKeyGoneError
from app.passes.models import SigningKey
from app.passes.tokens import Claims
from core.db import unit_of_work
from core.secrets import SealBrokenError
from core.types import MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant

DAY = timedelta(days=1)


def signs(session: Session, at: datetime) -> int:
    """The ordinal of the key that signs at this moment."""
    return keys.current(session, at=at).ordinal


def ordinals(session: Session) -> list[int]:
    session.expire_all()
    return [key.ordinal for key in keys.published(session)]


class TestCurrent:
    def test_the_first_is_made_when_it_is_asked_for_and_stays(self, session: Session) -> None:
        first = keys.current(session, at=NOW)
        assert keys.current(session, at=NOW + DAY).id == first.id
        assert len(keys.published(session)) == 1

    def test_signs_what_its_public_part_proves(self, session: Session) -> None:
        key = keys.current(session, at=NOW)
        claims = Claims("0kgs4w5x", key.id, 1, bytes(8), number="0-0001")
        signed = tokens.parse(tokens.sign(claims, keys.private_part(key)))
        found = keys.find(session, key.id)
        assert found is not None and signed.is_signed_by(found[1])

    def test_is_sealed_in_its_row(self, session: Session) -> None:
        key = keys.current(session, at=NOW)
        assert key.sealed is not None
        assert keys.private_part(key) not in key.sealed

    def test_a_row_that_was_moved_does_not_open(self, session: Session) -> None:
        key = keys.current(session, at=NOW)
        moved = SigningKey(id="aaaaaaaa", sealed=key.sealed)
        with pytest.raises(SealBrokenError):
            keys.private_part(moved)

    def test_of_many_that_are_made_at_once_one_stays(self, committed: None) -> None:
        merchant, together = make_merchant().id, Barrier(4)

        def ask(_: int) -> str:
            with unit_of_work(merchant=merchant) as session:
                together.wait()
                return keys.current(session, at=NOW).id

        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(ask, range(4)))) == 1


class TestFind:
    def test_knows_whose_it_is_before_anybody_chose_a_merchant(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            key = keys.current(session, at=NOW)
        with unit_of_work() as session:
            assert keys.find(session, key.id) == (merchant.id, key.public_key)
            assert session.scalar(text("SELECT current_user")) == "cohort_app"

    def test_knows_nobody_elses(self, session: Session) -> None:
        assert keys.find(session, "00000000") is None

    def test_is_not_listed_with_another_merchants(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            keys.current(session, at=NOW)
        with unit_of_work(merchant=merchant.id) as session:
            assert list(keys.published(session)) == []


class TestRotate:
    def test_without_a_key_does_nothing(self, session: Session) -> None:
        keys.rotate(session, at=NOW)
        assert ordinals(session) == []

    def test_the_next_is_published_a_week_before_it_signs(self, session: Session) -> None:
        keys.current(session, at=NOW)
        keys.rotate(session, at=NOW + 82 * DAY)
        assert ordinals(session) == [1]
        keys.rotate(session, at=NOW + 83 * DAY)
        assert ordinals(session) == [1, 2]
        assert signs(session, NOW + 89 * DAY) == 1
        assert signs(session, NOW + 90 * DAY) == 2

    def test_the_last_is_accepted_for_another_week(self, session: Session) -> None:
        first = keys.current(session, at=NOW)
        keys.rotate(session, at=NOW + 83 * DAY)
        keys.rotate(session, at=NOW + 96 * DAY)
        assert keys.find(session, first.id) is not None
        keys.rotate(session, at=NOW + 97 * DAY)
        assert keys.find(session, first.id) is None
        assert ordinals(session) == [2]

    def test_its_private_part_is_destroyed_once_it_signs_no_more(self, session: Session) -> None:
        keys.current(session, at=NOW)
        keys.rotate(session, at=NOW + 83 * DAY)
        keys.rotate(session, at=NOW + 91 * DAY)
        session.expire_all()
        first, second = keys.published(session)
        with pytest.raises(SigningKeyGoneError):
            keys.private_part(first)
        assert len(keys.private_part(second)) == 32

    def test_again_changes_nothing(self, session: Session) -> None:
        keys.current(session, at=NOW)
        for _ in range(3):
            keys.rotate(session, at=NOW + 83 * DAY)
        assert ordinals(session) == [1, 2]

    def test_after_a_standstill_the_next_still_is_known_before_it_signs(
        self, session: Session
    ) -> None:
        keys.current(session, at=NOW)
        late = NOW + 400 * DAY
        keys.rotate(session, at=late)
        assert (signs(session, late), signs(session, late + 7 * DAY)) == (1, 2)

    def test_two_at_once_make_one_key(self, committed: None) -> None:
        merchant, together = make_merchant().id, Barrier(3)
        with unit_of_work(merchant=merchant) as session:
            keys.current(session, at=NOW)

        def rotate(_: int) -> None:
            with unit_of_work(merchant=merchant) as session:
                together.wait()
                keys.rotate(session, at=NOW + 83 * DAY)

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(rotate, range(3)))
        with unit_of_work(merchant=merchant) as session:
            assert ordinals(session) == [1, 2]


class TestSweep:
    def test_is_on_the_schedule(self) -> None:
        assert worker.celery.conf.beat_schedule["codes"]["task"] == "engine.codes"

    def test_serves_every_merchant(self, committed: None) -> None:
        first = make_merchant()
        merchants: list[MerchantId] = [first.id, make_other_merchant(first)]
        for merchant in merchants:
            with unit_of_work(merchant=merchant) as session:
                # Older than any clock this test can run under.
                keys.current(session, at=NOW - 3650 * DAY)
        worker.keep_codes()
        for merchant in merchants:
            with unit_of_work(merchant=merchant) as session:
                assert session.scalars(select(SigningKey.ordinal)).all() == [1, 2]

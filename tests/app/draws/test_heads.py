"""Heads of a log: every thousand openings, every hour and in the end, each once."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from app import upkeep
from app.accounts.models import Merchant
from app.draws import boxes, documents, heads, service, steps, verifier
from app.draws.models import Box, BoxOpening, Draw, DrawHead, DrawState, EntryState
from core.db import unit_of_work
from core.types import BoxId, DrawId, MerchantId
from minting.anchor_models import AnchoredDigest
from tests.app.draws import independent
from tests.app.draws.made import some
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members
from tests.factories.draws import hand_out, make_draw, make_raffle

HOUR = heads.PATIENCE


@pytest.fixture
def every_third(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head with every third opening."""
    monkeypatch.setattr(heads, "EVERY", 3)


def make(session: Session, count: int, **changes: int) -> Draw:
    """A draw of so many boxes, all of one member."""
    draw = make_draw(session, 2, boxes=count, **changes)
    hand_out(session, draw, *make_members(session, "a@example.com"), times=count)
    return draw


def open_some(session: Session, draw: Draw, count: int, *, at: datetime = NOW) -> None:
    is_sealed = (Box.draw_id == draw.id) & (Box.state == EntryState.SEALED)
    for box in session.scalars(select(Box).where(is_sealed).order_by(Box.id).limit(count)).all():
        boxes.open_box(session, box, nonce=some(box.id.int % 1_000, 32), at=at)


def published(session: Session) -> Sequence[DrawHead]:
    return session.scalars(select(DrawHead).order_by(DrawHead.number)).all()


def numbers(session: Session) -> list[int]:
    return [head.number for head in published(session)]


def hash_at(session: Session, draw: Draw, number: int) -> bytes:
    return session.get_one(BoxOpening, (draw.id, number)).hash


def due(session: Session, at: datetime) -> list[DrawId]:
    return [draw for _, draw in steps.list_due(session, at)]


class TestOpenings:
    def test_so_many_are_a_thousand(self) -> None:
        assert heads.EVERY == 1_000

    def test_publish_a_head_each_time_they_are_so_many(
        self, session: Session, every_third: None
    ) -> None:
        draw = make(session, 8)
        for opened, expected in [(2, []), (1, [3]), (2, [3]), (1, [3, 6])]:
            open_some(session, draw, opened)
            assert numbers(session) == expected
        for head in published(session):
            assert (head.hash, head.published_at) == (hash_at(session, draw, head.number), NOW)

    def test_of_the_whole_draw_end_with_one(self, session: Session, every_third: None) -> None:
        draw = make(session, 5)
        open_some(session, draw, 5)
        assert numbers(session) == [3, 5]
        assert published(session)[-1].hash == draw.log_end

    def test_that_end_with_the_third_publish_it_once(
        self, session: Session, every_third: None
    ) -> None:
        open_some(session, make(session, 3), 3)
        assert numbers(session) == [3]

    def test_are_asked_for_on_the_chain(self, session: Session, every_third: None) -> None:
        draw = make(session, 5)
        open_some(session, draw, 5)
        wanted = {draw.commitment, *(head.hash for head in published(session))}
        assert set(session.scalars(select(AnchoredDigest.digest))) == wanted
        assert len(wanted) == 3

    def test_automatic_ones_too(self, session: Session, every_third: None) -> None:
        draw = make(session, 7)
        boxes.open_due(session, draw, at=NOW + boxes.OPENED_AFTER)
        assert numbers(session) == [3, 6, 7]


class TestHour:
    def test_after_the_first_opening_publishes_one(
        self, session: Session, merchant: Merchant
    ) -> None:
        draw = make(session, 9)
        open_some(session, draw, 1)
        open_some(session, draw, 1, at=NOW + timedelta(minutes=50))
        session.flush()
        early, late = NOW + HOUR - timedelta(seconds=1), NOW + HOUR
        assert (due(session, early), due(session, late)) == ([], [draw.id])
        steps.advance(merchant.id, draw.id, at=early)
        assert numbers(session) == []
        steps.advance(merchant.id, draw.id, at=late)
        [head] = published(session)
        assert (head.number, head.hash) == (2, draw.log_end)
        assert head.published_at == late

    def test_is_counted_from_the_first_opening_without_one(
        self, session: Session, merchant: Merchant
    ) -> None:
        draw = make(session, 9)
        open_some(session, draw, 1)
        session.flush()
        steps.advance(merchant.id, draw.id, at=NOW + HOUR)
        assert due(session, NOW + 5 * HOUR) == []
        open_some(session, draw, 1, at=NOW + 3 * HOUR)
        session.flush()
        assert due(session, NOW + 4 * HOUR - timedelta(seconds=1)) == []
        assert due(session, NOW + 4 * HOUR) == [draw.id]
        steps.advance(merchant.id, draw.id, at=NOW + 4 * HOUR)
        assert numbers(session) == [1, 2]

    def test_publishes_nothing_twice(self, session: Session, merchant: Merchant) -> None:
        draw = make(session, 9)
        open_some(session, draw, 4)
        session.flush()
        for minutes in range(60, 180, 30):
            steps.advance(merchant.id, draw.id, at=NOW + timedelta(minutes=minutes))
        assert numbers(session) == [4]

    def test_a_head_of_the_openings_comes_first(
        self, session: Session, merchant: Merchant, every_third: None
    ) -> None:
        draw = make(session, 9)
        open_some(session, draw, 3)
        session.flush()
        assert due(session, NOW + HOUR) == []

    def test_is_nothing_to_who_has_no_log(self, session: Session) -> None:
        make_draw(session)
        hand_out(session, make_raffle(session), *make_members(session, "b@example.com"))
        session.flush()
        assert due(session, NOW + HOUR) == []

    def test_of_draws_is_found_by_the_worker(self, session: Session) -> None:
        draw = make(session, 9)
        open_some(session, draw, 1)
        session.flush()
        for work in upkeep.due_draws(NOW + HOUR):
            work()
        assert numbers(session) == [1]


class TestForEver:
    @pytest.mark.parametrize(
        "change", ["UPDATE draw_heads SET number = 1", "DELETE FROM draw_heads"]
    )
    def test_no_role_changes_a_head(self, session: Session, every_third: None, change: str) -> None:
        open_some(session, make(session, 4), 3)
        with pytest.raises(ProgrammingError, match="permission denied"), session.begin_nested():
            session.execute(text(change))

    def test_there_is_none_of_what_was_not_opened(self, session: Session) -> None:
        draw = make(session, 4)
        row = {"draw_id": draw.id, "number": 1, "hash": draw.log_end, "published_at": NOW}
        with pytest.raises(IntegrityError, match="fk_draw_heads"), session.begin_nested():
            session.execute(insert(DrawHead).values(row))


class TestDocument:
    def lines(self, session: Session, merchant: Merchant) -> list[bytes]:
        draw = make(session, 8)
        open_some(session, draw, 8)
        session.flush()
        return list(documents.lines(merchant.id, draw.id))

    def test_has_all_of_them_where_a_second_reading_expects_them(
        self, session: Session, merchant: Merchant, every_third: None
    ) -> None:
        first, *rest = map(json.loads, self.lines(session, merchant))
        openings = [it for it in rest if it["type"] == "opening"]
        log = independent.log(bytes.fromhex(first["commitment"]), openings)
        found = [it for it in rest if it["type"] == "head"]
        assert (first["format"], first["heads"]) == (2, 3)
        assert found == [
            {"type": "head", "k": number, "logHash": log[number - 1]} for number in (3, 6, 8)
        ]
        for head in found:
            assert rest[rest.index(head) - 1]["k"] == head["k"]

    def test_holds_and_with_another_head_does_not(
        self, session: Session, merchant: Merchant, every_third: None
    ) -> None:
        lines = self.lines(session, merchant)
        assert verifier.verify(lines).is_sound
        for number, line in enumerate(lines):
            if b'"type":"head"' not in line:
                continue
            hash_ = line.split(b'"logHash":"')[1][:64]
            forged = [*lines]
            forged[number] = line.replace(hash_, hash_[::-1])
            last = verifier.verify(forged).steps[-1]
            assert (last.name, last.problem is None) == ("heads", False)

    def test_from_before_there_were_heads_holds(
        self, session: Session, merchant: Merchant, every_third: None
    ) -> None:
        lines = self.lines(session, merchant)
        old = [line for line in lines if b'"type":"head"' not in line]
        old[0] = old[0].replace(b'"format":2,"heads":3,', b'"format":1,')
        assert verifier.verify(old).is_sound

    def test_is_told_before_the_end_to_who_asks(self, session: Session, every_third: None) -> None:
        draw = make(session, 8)
        open_some(session, draw, 7)
        said = documents.summary(session, draw)["heads"]
        assert [(it["k"], it["logHash"], it["anchor"]) for it in said] == [
            (6, hash_at(session, draw, 6).hex(), None),
            (3, hash_at(session, draw, 3).hex(), None),
        ]


class TestConcurrently:
    """Real transactions of real connections, all at once."""

    def prepare(self, count: int) -> tuple[MerchantId, DrawId, list[BoxId]]:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            draw = make(session, count)
            return merchant, draw.id, list(session.scalars(select(Box.id)))

    def test_openings_and_the_hour_publish_each_head_once(
        self, committed: None, every_third: None
    ) -> None:
        merchant, draw_id, ids = self.prepare(40)

        def one(number: int) -> None:
            if number % 4 == 3:
                steps.advance(merchant, draw_id, at=NOW + HOUR)
                return
            with unit_of_work(merchant=merchant) as session:
                box = session.get_one(Box, ids[number])
                boxes.open_box(session, box, nonce=some(number, 32), at=NOW)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(40)))
            list(pool.map(lambda _: steps.advance(merchant, draw_id, at=NOW + HOUR), range(8)))
        with unit_of_work(merchant=merchant) as session:
            draw = session.get_one(Draw, draw_id)
            assert (draw.opened_count, draw.state) == (30, DrawState.OPEN)
            found = published(session)
            assert {3 * number for number in range(1, 11)} <= {it.number for it in found}
            for head in found:
                assert head.hash == hash_at(session, draw, head.number)
            count = session.scalar(select(func.count()).select_from(AnchoredDigest))
            assert count == 1 + len(found)

    def test_the_hour_that_comes_to_many_at_once_publishes_one(self, committed: None) -> None:
        merchant, draw_id, _ = self.prepare(5)
        with unit_of_work(merchant=merchant) as session:
            open_some(session, session.get_one(Draw, draw_id), 2)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: steps.advance(merchant, draw_id, at=NOW + HOUR), range(16)))
        with unit_of_work(merchant=merchant) as session:
            assert numbers(session) == [2]
            assert service.get(session, draw_id).opened_count == 2

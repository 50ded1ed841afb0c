"""A draw whose worker is killed again and again loses nothing and gives nothing twice."""

import multiprocessing
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from app.draws import boxes, documents, service, verifier
from app.draws.models import Box, BoxOpening, Draw, DrawHead, DrawState, EntryState, Ticket
from app.perks.models import Holding, Perk
from app.rewards.models import Grant
from core.db import unit_of_work
from core.events import Event
from core.settings import core_settings
from core.types import DrawId, MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members
from tests.factories.draw_worker import advance
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle
from tests.factories.killing import kill_again_and_again

KILLS = 4
PEOPLE, EACH = 60, 30
PRIZES = (40, 360)
PART = 40
LATE = NOW + boxes.OPENED_AFTER


class Work:
    """A draw on its way to its end."""

    def __init__(self, engine: Engine, merchant: MerchantId, draw: DrawId, at: datetime) -> None:
        self.url = engine.url.render_as_string(hide_password=False)
        self.merchant, self.draw_id, self.at = merchant, draw, at

    def start(self) -> Any:
        """A process that goes on with it."""
        context = multiprocessing.get_context("forkserver")
        facts = (str(self.merchant), str(self.draw_id), self.at.isoformat(), PART)
        worker = context.Process(
            target=advance, args=(str(core_settings().data_dir), self.url, *facts)
        )
        worker.start()
        return worker

    def place(self) -> tuple[DrawState, int]:
        """How far it is."""
        with unit_of_work(merchant=self.merchant) as session:
            draw = session.get_one(Draw, self.draw_id)
            return draw.state, draw.opened_count

    def check_sound(self) -> None:
        """What is published holds."""
        assert verifier.verify(documents.lines(self.merchant, self.draw_id)).is_sound


def given(session: Session, draw: Draw, *, prizes: tuple[int, ...]) -> None:
    """Every prize has one winner, and every counter says so."""
    assert draw.state is DrawState.REVEALED
    assert tuple(line.won_count for line in draw.lines) == prizes
    grants = Counter(session.scalars(select(Grant.reward_line_id)))
    assert [grants[line.reward_line_id] for line in draw.lines] == list(prizes)
    assert session.scalar(select(func.count()).select_from(Holding)) == sum(prizes)
    assert sorted(session.scalars(select(Perk.granted_count))) == sorted(prizes)
    told = select(func.count()).where(Event.type == "cohort.perk.received")
    assert session.scalar(told) == sum(prizes)


class TestBoxes:
    @pytest.fixture
    def work(self, committed: None, engine: Engine) -> Work:
        """A draw whose boxes nobody opened in a week."""
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            draw = make_draw(session, *PRIZES, boxes=PEOPLE * EACH)
            users = make_members(session, *(f"m{it}@example.com" for it in range(PEOPLE)))
            hand_out(session, draw, *users, times=EACH)
            assert draw.ended_at is not None
            return Work(engine, merchant, draw.id, LATE)

    def test_are_opened_each_once(self, work: Work) -> None:
        kill_again_and_again(work.start, work.place, times=KILLS)
        state, count = work.place()
        assert state is DrawState.OPEN and 0 < count < PEOPLE * EACH
        work.start().join()
        with unit_of_work(merchant=work.merchant) as session:
            draw = session.get_one(Draw, work.draw_id)
            given(session, draw, prizes=PRIZES)
            rows = session.scalars(select(BoxOpening).order_by(BoxOpening.number)).all()
            assert [row.number for row in rows] == list(range(1, PEOPLE * EACH + 1))
            assert set(session.scalars(select(Box.state))) == {EntryState.OPENED}
            published = session.scalars(select(DrawHead.number).order_by(DrawHead.number))
            assert published.all() == [1_000, PEOPLE * EACH]
            kind = "cohort.mystery-box.opened"
            told = session.scalars(select(Event.data).where(Event.type == kind)).all()
            assert len({it["boxId"] for it in told}) == len(told) == PEOPLE * EACH
        work.check_sound()


class TestRaffle:
    @pytest.fixture
    def work(self, committed: None, engine: Engine) -> Work:
        """A raffle whose date has come."""
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            draw = make_raffle(session, *PRIZES, reserves=50, max_wins_per_user=20)
            users = make_members(session, *(f"m{it}@example.com" for it in range(PEOPLE)))
            hand_out(session, draw, *users, times=EACH)
            return Work(engine, merchant, draw.id, DRAW_AT)

    def test_is_drawn_once(self, work: Work) -> None:
        """It has few steps, so the worker is killed after the first, and then in the middle."""
        kill_again_and_again(work.start, work.place, times=1)
        for _ in range(KILLS):
            worker = work.start()
            worker.join(1.5)
            worker.kill()
            worker.join()
        work.start().join()
        with unit_of_work(merchant=work.merchant) as session:
            given(session, session.get_one(Draw, work.draw_id), prizes=PRIZES)
            assert service.get(session, work.draw_id).tickets_root is not None
            assert set(session.scalars(select(Ticket.state))) == {EntryState.OPENED}
        work.check_sound()

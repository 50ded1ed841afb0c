"""What draws do by themselves, found across merchants, one transaction a step."""

import dataclasses
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import upkeep
from app.accounts.models import Merchant
from app.draws import boxes, raffles, service, steps
from app.draws.models import BoxOpening, Draw, DrawState
from chain.models import Chain, ChainKind
from chain.nodes import Block
from core.db import Role, unit_of_work
from core.types import DrawId, Gas, Wei
from tests.app.draws.made import some
from tests.conftest import NOW
from tests.factories.brand import make_members, make_other_merchant
from tests.factories.chain import make_chain, make_lane
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle

WEEK = boxes.OPENED_AFTER
BLOCKS = [
    Block(number, some(number, 32), b"", int(DRAW_AT.timestamp()) + 12 * number, Wei(0), Gas(0))
    for number in range(20)
]


def due(at: datetime) -> list[DrawId]:
    with unit_of_work(role=Role.ENGINE) as session:
        return [draw for _, draw in steps.list_due(session, at)]


def state(merchant: Merchant, draw: DrawId) -> DrawState:
    with unit_of_work(merchant=merchant.id) as session:
        return session.get_one(Draw, draw).state


@dataclasses.dataclass
class Node:
    """A chain whose newest final block is `line`."""

    line: int

    def agreed_block(self, number: int) -> Block:
        assert number <= self.line
        return BLOCKS[number]

    def finalized_number(self) -> int:
        return self.line


class TestDue:
    def test_is_nothing_while_there_is_time(self, session: Session) -> None:
        make_draw(session)
        make_raffle(session)
        session.flush()
        assert due(DRAW_AT - timedelta(seconds=1)) == []

    def test_are_raffles_on_their_date_and_old_boxes(self, session: Session) -> None:
        draw, raffle = make_draw(session), make_raffle(session)
        hand_out(session, draw, *make_members(session, "a@example.com"))
        service.end(session, draw, at=NOW)
        session.flush()
        assert due(NOW + WEEK - timedelta(seconds=1)) == [raffle.id]
        assert due(NOW + WEEK) == [draw.id, raffle.id]

    def test_are_found_across_merchants_and_done(
        self, session: Session, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as other:
            theirs = make_raffle(other).id
        for work in upkeep.due_draws(DRAW_AT):
            work()
        with unit_of_work(role=Role.ENGINE) as engine:
            assert engine.get_one(Draw, theirs).state is DrawState.VOID


class TestAdvance:
    def test_opens_old_boxes(self, session: Session, merchant: Merchant) -> None:
        draw = make_draw(session, 1, boxes=4)
        hand_out(session, draw, *make_members(session, "a@example.com"), times=4)
        session.flush()
        steps.advance(merchant.id, draw.id, at=NOW + WEEK)
        assert state(merchant, draw.id) is DrawState.REVEALED
        flags = session.scalars(select(BoxOpening.flag)).all()
        assert flags == ["automatic"] * 4
        assert due(NOW + WEEK) == []

    def test_closes_draws_and_reveals_a_raffle(self, session: Session, merchant: Merchant) -> None:
        draw = make_raffle(session, 1)
        hand_out(session, draw, *make_members(session, "a@example.com", "b@example.com"))
        session.flush()
        steps.advance(merchant.id, draw.id, at=DRAW_AT - timedelta(seconds=1))
        assert state(merchant, draw.id) is DrawState.OPEN
        steps.advance(merchant.id, draw.id, at=DRAW_AT)
        assert state(merchant, draw.id) is DrawState.REVEALED
        assert due(DRAW_AT) == []

    def test_goes_on_from_the_step_at_which_it_was_killed(
        self, session: Session, merchant: Merchant
    ) -> None:
        draw = make_raffle(session, 1)
        hand_out(session, draw, *make_members(session, "a@example.com"))
        raffles.close(session, draw, at=DRAW_AT)
        session.flush()
        assert due(DRAW_AT) == [draw.id]
        steps.advance(merchant.id, draw.id, at=DRAW_AT)
        assert state(merchant, draw.id) is DrawState.REVEALED

    def test_waits_until_the_root_is_on_the_chain_but_not_for_ever(
        self, session: Session, merchant: Merchant
    ) -> None:
        make_lane(session)
        draw = make_raffle(session, 1)
        hand_out(session, draw, *make_members(session, "a@example.com"))
        session.flush()
        for at in (DRAW_AT, DRAW_AT + steps.PATIENCE - timedelta(seconds=1)):
            steps.advance(merchant.id, draw.id, at=at)
            assert state(merchant, draw.id) is DrawState.CLOSED
        steps.advance(merchant.id, draw.id, at=DRAW_AT + steps.PATIENCE)
        assert state(merchant, draw.id) is DrawState.REVEALED

    def test_a_raffle_of_nobody_is_void(self, session: Session, merchant: Merchant) -> None:
        draw = make_raffle(session)
        session.flush()
        steps.advance(merchant.id, draw.id, at=DRAW_AT)
        assert state(merchant, draw.id) is DrawState.VOID
        assert due(DRAW_AT) == []


class TestBeacon:
    @pytest.fixture
    def draw(self, session: Session) -> Draw:
        chain = make_chain(session)
        chain.kind, chain.confirmations = ChainKind.EXTERNAL, None
        draw = make_raffle(session, beacon_chain_id=chain.id)
        hand_out(session, draw, *make_members(session, "a@example.com", "b@example.com"))
        session.flush()
        return draw

    @pytest.mark.parametrize(("line", "is_drawn"), [(3, False), (4, False), (5, True), (19, True)])
    def test_is_the_first_final_block_a_minute_later(
        self,
        session: Session,
        merchant: Merchant,
        draw: Draw,
        monkeypatch: pytest.MonkeyPatch,
        line: int,
        is_drawn: bool,
    ) -> None:
        def client_for(_: Chain) -> Node:
            return Node(line)

        monkeypatch.setattr(steps, "client_for", client_for)
        steps.advance(merchant.id, draw.id, at=DRAW_AT)
        expected = DrawState.REVEALED if is_drawn else DrawState.CLOSED
        assert state(merchant, draw.id) is expected
        session.refresh(draw)
        assert draw.beacon_hash == (BLOCKS[5].hash if is_drawn else None)
        assert draw.tickets_root is not None  # published before anybody knows the block

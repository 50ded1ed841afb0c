"""The machine of boxes and tickets: sealed until opened or void, and nothing leads back."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.draws import boxes, moving, raffles, service
from app.draws.boxes import OPENED_AFTER
from app.draws.errors import DrawStateError
from app.draws.models import Box, BoxOpening, Draw, EntryState, Ticket
from app.users.models import User, UserState
from core.errors import AppError
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle

GONE = (UserState.BLOCKED, UserState.ERASED)
Act = Callable[[Session, Draw], object]


def _is_gone(session: Session, state: UserState = UserState.BLOCKED) -> None:
    ada = update(User).where(User.email_key == "ada@example.com")
    session.execute(ada.values(state=state))


TICKETS: dict[str, Act] = {
    "close": lambda session, it: raffles.close(session, it, at=DRAW_AT),
    "draw": lambda session, it: raffles.draw_winners(session, it, at=DRAW_AT),
    "reveal": lambda session, it: moving.reveal(session, it, at=DRAW_AT),
}
LIVES = {
    "sealed": (),
    "sealed, closed": ("close",),
    "opened": ("close", "draw"),
    "opened, revealed": ("close", "draw", "reveal"),
    "void": ("gone", "close"),
    "void, drawn": ("gone", "close", "draw"),
}
"""By which acts a ticket gets where it is."""
LISTED = {
    ("sealed", "close"): "sealed",
    ("sealed", "gone, close"): "void",
    ("sealed, closed", "draw"): "opened",
    ("sealed, closed", "gone, draw"): "opened",
    ("opened", "reveal"): "opened",
    ("opened", "gone, reveal"): "opened",
    ("void", "draw"): "void",
    ("void, drawn", "reveal"): "void",
}
IS_STILL_THERE = {(life, act) for life, act in product(LIVES, TICKETS)}
IS_GONE_BY_NOW = {
    (life, f"gone, {act}") for life, act in IS_STILL_THERE if not life.startswith("void")
}


class TestTicket:
    """Ada's, beside another one, so that the draw goes on without it."""

    def act(self, session: Session, draw: Draw, acts: tuple[str, ...]) -> None:
        for act in acts:
            if act == "gone":
                _is_gone(session)
            else:
                TICKETS[act](session, draw)

    def state(self, session: Session) -> EntryState:
        session.expire_all()
        is_hers = User.email_key == "ada@example.com"
        query = select(Ticket.state).join(User, User.id == Ticket.user_id).where(is_hers)
        return session.scalars(query).one()

    @pytest.mark.parametrize(("life", "act"), sorted(IS_STILL_THERE | IS_GONE_BY_NOW))
    def test_only_what_is_listed_happens(self, session: Session, life: str, act: str) -> None:
        draw = make_raffle(session)
        hand_out(session, draw, *make_members(session, "ada@example.com", "eve@example.com"))
        self.act(session, draw, LIVES[life])
        assert self.state(session) == life.split(",")[0]
        target = LISTED.get((life, act))
        if target is None:
            with pytest.raises(DrawStateError) as refused:
                self.act(session, draw, tuple(act.split(", ")))
            assert (refused.value.status, refused.value.code) == (409, "invalid_transition")
        else:
            self.act(session, draw, tuple(act.split(", ")))
        assert self.state(session) == (target or life.split(",")[0])

    @pytest.mark.parametrize("state", GONE)
    def test_of_who_is_gone_before_the_draw_closes_is_void(
        self, session: Session, state: UserState
    ) -> None:
        draw = make_raffle(session)
        hand_out(session, draw, *make_members(session, "ada@example.com", "eve@example.com"))
        _is_gone(session, state)
        raffles.close(session, draw, at=DRAW_AT)
        assert self.state(session) is EntryState.VOID


class TestBox:
    """Of an instant draw that has ended, so that the sweep is due in a week."""

    def box_of(self, session: Session) -> tuple[Draw, Box]:
        draw = make_draw(session, 1, boxes=3)
        hand_out(session, draw, *make_members(session, "ada@example.com"))
        service.end(session, draw, at=NOW)
        return draw, session.scalars(select(Box)).one()

    def test_is_opened_by_its_owner_once(self, session: Session) -> None:
        _, box = self.box_of(session)
        first = boxes.open_box(session, box, nonce=None, at=NOW)
        assert box.state is EntryState.OPENED
        again = boxes.open_box(session, box, nonce=b"\x01" * 32, at=NOW + timedelta(days=1))
        assert (again.number, again.opened_at, again.client_nonce) == (1, NOW, bytes(32))
        assert first is again

    @pytest.mark.parametrize("state", [UserState.ACTIVE, *GONE])
    def test_is_opened_by_itself_and_never_void(self, session: Session, state: UserState) -> None:
        draw, box = self.box_of(session)
        _is_gone(session, state)
        boxes.open_due(session, draw, at=NOW + OPENED_AFTER - timedelta(seconds=1))
        assert box.state is EntryState.SEALED
        boxes.open_due(session, draw, at=NOW + OPENED_AFTER)
        assert box.state is EntryState.OPENED
        row = session.scalars(select(BoxOpening)).one()
        assert row.flag == "automatic"

    def test_stays_opened_whatever_becomes_of_its_owner(self, session: Session) -> None:
        draw, box = self.box_of(session)
        boxes.open_box(session, box, nonce=None, at=NOW)
        _is_gone(session)
        with pytest.raises(AppError) as refused:
            service.end(session, draw, at=NOW)
        assert refused.value.code == "invalid_transition"
        boxes.open_due(session, draw, at=NOW + OPENED_AFTER)
        session.refresh(box)
        assert box.state is EntryState.OPENED
        assert len(session.scalars(select(BoxOpening)).all()) == 1

"""The machine of draws: what its table lists happens, and every other pair is refused."""

from collections.abc import Callable
from itertools import product

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.draws import boxes, moving, raffles, service, winners
from app.draws.algorithm import Mode
from app.draws.errors import DrawStateError, NoWinnerError
from app.draws.models import Box, Draw, DrawState
from core.ids import new_id
from core.types import TicketId
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.draws import DRAW_AT, hand_out, make_draw, make_raffle

Act = Callable[[Session, Draw], object]


def _hand_out(session: Session, draw: Draw) -> object:
    return hand_out(session, draw, *make_members(session, f"{new_id().hex}@example.com"))


def _open(session: Session, draw: Draw) -> object:
    box = session.scalars(select(Box).where(Box.draw_id == draw.id)).one()
    return boxes.open_box(session, box, nonce=None, at=NOW)


def _replace(session: Session, draw: Draw) -> object:
    held = next(iter(winners.holders(session, draw)), TicketId(new_id()))
    return winners.replace_winner(session, draw, held, reason="No answer", at=DRAW_AT)


ACTS: dict[str, Act] = {
    "hand_out": _hand_out,
    "end": lambda session, it: service.end(session, it, at=NOW),
    "open": _open,
    "close": lambda session, it: raffles.close(session, it, at=DRAW_AT),
    "draw": lambda session, it: raffles.draw_winners(session, it, at=DRAW_AT),
    "reveal": lambda session, it: moving.reveal(session, it, at=DRAW_AT),
    "replace": _replace,
}
LISTED = {
    (Mode.INSTANT, "committed", "hand_out"): "open",
    (Mode.INSTANT, "committed", "end"): "void",
    (Mode.INSTANT, "open", "hand_out"): "open",
    (Mode.INSTANT, "open", "end"): "open",
    (Mode.INSTANT, "open", "open"): "open",
    (Mode.RAFFLE, "committed", "hand_out"): "open",
    (Mode.RAFFLE, "committed", "end"): "void",
    (Mode.RAFFLE, "committed", "close"): "void",
    (Mode.RAFFLE, "open", "hand_out"): "open",
    (Mode.RAFFLE, "open", "end"): "open",
    (Mode.RAFFLE, "open", "close"): "closed",
    (Mode.RAFFLE, "closed", "draw"): "drawn",
    (Mode.RAFFLE, "drawn", "reveal"): "revealed",
    (Mode.RAFFLE, "drawn", "replace"): "drawn",
    (Mode.RAFFLE, "revealed", "replace"): "revealed",
}
REACHED = {
    Mode.INSTANT: {
        "committed": (),
        "open": ("hand_out",),
        "revealed": ("hand_out", "end", "open"),
        "void": ("end",),
    },
    Mode.RAFFLE: {
        "committed": (),
        "open": ("hand_out",),
        "closed": ("hand_out", "close"),
        "drawn": ("hand_out", "close", "draw"),
        "revealed": ("hand_out", "close", "draw", "reveal"),
        "void": ("end",),
    },
}
"""By which acts a draw gets into a state; boxes pass the closed and the drawn in one step."""
BOXLESS = {(Mode.INSTANT, "committed"), (Mode.INSTANT, "void")}
PAIRS = [
    (mode, state, act)
    for mode in Mode
    for state, act in product(REACHED[mode], ACTS)
    if act != "open" or (mode is Mode.INSTANT and (mode, state) not in BOXLESS)
]


def test_every_state_is_reached() -> None:
    assert set(REACHED[Mode.RAFFLE]) == set(DrawState)


@pytest.mark.parametrize(("mode", "state", "act"), PAIRS)
def test_what_is_listed_happens_and_nothing_else(
    session: Session, mode: Mode, state: str, act: str
) -> None:
    make = make_raffle if mode is Mode.RAFFLE else make_draw
    draw = make(session, 1, **({"boxes": 5} if mode is Mode.INSTANT else {}))
    for step in REACHED[mode][state]:
        ACTS[step](session, draw)
    assert draw.state == state
    target = LISTED.get((mode, state, act))
    if target is not None:
        ACTS[act](session, draw)
        assert draw.state == target
        return
    count, drawn = draw.handed_out_count, draw.opened_count
    if (mode, state, act) == (Mode.INSTANT, "revealed", "open"):
        ACTS[act](session, draw)  # a repeat: the receipt of the first time
    else:
        # Boxes have no places, so nobody follows; every other refusal is the state's.
        is_placeless = (mode, state, act) == (Mode.INSTANT, "revealed", "replace")
        with pytest.raises(NoWinnerError if is_placeless else DrawStateError) as refused:
            ACTS[act](session, draw)
        assert refused.value.status == 409
        assert is_placeless or refused.value.code == "invalid_transition"
    assert (draw.state, draw.handed_out_count, draw.opened_count) == (state, count, drawn)

"""Limits of a draw: at the limit it is committed to, one beyond is named and nothing set aside."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.draws import raffles, service, winners
from app.draws.algorithm import Mode
from app.draws.errors import DrawInvalidError, ReasonMissingError
from app.draws.models import Draw
from app.draws.service import DrawDraft
from app.perks.models import Perk
from app.rewards.lines import Choice
from core.ids import new_id
from tests.conftest import NOW
from tests.factories.brand import make_members, make_perk
from tests.factories.draws import DRAW_AT, hand_out, make_raffle

MOST = 100_000_000
SECOND = timedelta(seconds=1)
TAKEN: list[dict[str, Any]] = [
    {"name": "x"},
    {"name": "x" * 120},
    {"name": f"  {'x' * 120} "},
    {"quantities": [1], "boxes": 1},
    {"quantities": [MOST], "boxes": MOST},
    {"quantities": [1] * 10, "boxes": 10},
    {"quantities": [2, 3], "boxes": 5},
    {"mode": Mode.RAFFLE},
    {"mode": Mode.RAFFLE, "boxes": 1},
    {"mode": Mode.RAFFLE, "boxes": MOST},
    {"mode": Mode.RAFFLE, "max_wins_per_user": 1_000, "reserves": 1_000},
    {"mode": Mode.RAFFLE, "draw_at": NOW + SECOND},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": " \t"}, "name"),
    ({"name": "x" * 121}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"quantities": []}, "lines"),
    ({"quantities": [1] * 11, "boxes": 11}, "lines"),
    ({"quantities": [0]}, "lines"),
    ({"quantities": [None]}, "lines"),
    ({"quantities": [-1]}, "lines"),
    ({"boxes": None}, "boxes"),
    ({"boxes": 0}, "boxes"),
    ({"boxes": MOST + 1}, "boxes"),
    ({"quantities": [2, 3], "boxes": 4}, "boxes"),
    ({"mode": Mode.RAFFLE, "boxes": 0}, "boxes"),
    ({"mode": Mode.RAFFLE, "boxes": MOST + 1}, "boxes"),
    ({"mode": Mode.RAFFLE, "max_wins_per_user": 0}, "max_wins_per_user"),
    ({"mode": Mode.RAFFLE, "max_wins_per_user": 1_001}, "max_wins_per_user"),
    ({"mode": Mode.RAFFLE, "reserves": -1}, "reserves"),
    ({"mode": Mode.RAFFLE, "reserves": 1_001}, "reserves"),
    ({"mode": Mode.RAFFLE, "draw_at": NOW}, "draw_at"),
    ({"mode": Mode.RAFFLE, "draw_at": None}, "draw_at"),
]


def commit(session: Session, changes: dict[str, Any]) -> Draw:
    """A draw of a new perk for each quantity."""
    changes = dict(changes)
    lines = [
        Choice(perk_id=make_perk(session, f"Prize {new_id()}").id, quantity=quantity)
        for quantity in changes.pop("quantities", [1])
    ]
    is_raffle = changes.get("mode") is Mode.RAFFLE
    said = {"boxes": None, "draw_at": DRAW_AT} if is_raffle else {"boxes": 2}
    values = {"name": "Summer", "mode": Mode.INSTANT, **said, **changes}
    return service.commit(session, DrawDraft(lines=lines, **values), at=NOW)


@pytest.mark.parametrize("changes", TAKEN)
def test_at_the_limit_it_is_committed_to(session: Session, changes: dict[str, Any]) -> None:
    draw = commit(session, changes)
    assert draw.name == changes.get("name", "Summer").strip()


@pytest.mark.parametrize(("changes", "field"), REFUSED)
def test_beyond_it_the_field_is_named(
    session: Session, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(DrawInvalidError) as refused:
        commit(session, changes)
    assert (refused.value.status, list(refused.value.fields)) == (422, [field])
    assert session.scalars(select(Draw)).all() == []
    assert set(session.scalars(select(Perk.granted_count))) <= {0}


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        ({"quantities": [2, 3], "boxes": 5, "name": ""}, "draw_invalid", ["name"]),
        (
            {"quantities": [2, 3], "boxes": 4, "name": ""},
            "boxes_below_quantities",
            ["name", "boxes"],
        ),
        (
            {"mode": Mode.RAFFLE, "draw_at": NOW, "reserves": -1},
            "draw_date_before_end",
            ["draw_at", "reserves"],
        ),
        ({"mode": Mode.RAFFLE, "draw_at": NOW + SECOND, "name": ""}, "draw_invalid", ["name"]),
    ],
)
def test_what_has_a_name_is_told_by_it_with_whatever_else_is_wrong(
    session: Session, changes: dict[str, Any], code: str, fields: list[str]
) -> None:
    with pytest.raises(DrawInvalidError) as refused:
        commit(session, changes)
    assert (refused.value.status, refused.value.code) == (422, code)
    assert list(refused.value.fields) == fields


def test_a_reason_is_kept_whole_or_refused(session: Session) -> None:
    draw = make_raffle(session, reserves=2)
    hand_out(session, draw, *make_members(session, *(f"m{it}@example.com" for it in range(3))))
    raffles.close(session, draw, at=DRAW_AT)
    raffles.draw_winners(session, draw, at=DRAW_AT)
    for reason in ("", "  ", "x" * 201, "a\nb"):
        [winner] = winners.holders(session, draw)
        with pytest.raises(ReasonMissingError) as refused:
            winners.replace_winner(session, draw, winner, reason=reason, at=DRAW_AT)
        assert (refused.value.status, list(refused.value.fields)) == (422, ["reason"])
    for reason in ("x", "x" * 200):
        [winner] = winners.holders(session, draw)
        row = winners.replace_winner(session, draw, winner, reason=reason, at=DRAW_AT)
        assert row.reason == reason

"""Reserved points are redeemed or go back, once: whatever ended is not ended otherwise."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.points import holds
from app.points.errors import HoldEndedError
from app.points.models import HoldState, PointsHold, PointsTransaction
from core.types import UserId
from tests.app.points.test_ledger import earn, has, make_unit
from tests.conftest import NOW
from tests.factories.brand import make_members

LATE = NOW + timedelta(days=2)
Act = Callable[[Session, PointsHold], object]

ACTS: dict[str, Act] = {
    "capture": lambda session, it: holds.capture(session, it, at=NOW),
    "release": lambda session, it: holds.release(session, it, at=NOW),
    "time is over": lambda session, _: holds.release_due(session, LATE),
}
LISTED = {
    ("open", "capture"): ("captured", (70, 0)),
    ("open", "release"): ("released", (100, 0)),
    ("open", "time is over"): ("released", (100, 0)),
}
"""The state afterwards, and what is available and held of a hundred, thirty of them reserved."""
REPEATED = {
    *(("captured", "capture"), ("released", "release")),
    *(("captured", "time is over"), ("released", "time is over")),
}


def _reserve(session: Session) -> tuple[UserId, PointsHold]:
    [ada] = make_members(session, "ada@example.com")
    unit = make_unit(session)
    earn(session, unit, ada, 100, "k")
    until = NOW + timedelta(days=1)
    return ada, holds.reserve(session, unit, ada, 30, key="order:1", until=until, at=NOW)


@pytest.mark.parametrize(("state", "act"), product(HoldState, ACTS))
def test_only_what_is_listed_happens(session: Session, state: HoldState, act: str) -> None:
    ada, hold = _reserve(session)
    if state is not HoldState.OPEN:
        ACTS["capture" if state is HoldState.CAPTURED else "release"](session, hold)
    assert hold.state is state
    target = LISTED.get((state, act))
    if target is not None:
        ACTS[act](session, hold)
        session.refresh(hold)
        assert (hold.state, has(session, ada)) == target
        return
    count = select(func.count()).select_from(PointsTransaction)
    before = (hold.ended_by_id, has(session, ada), session.scalar(count))
    if (state, act) in REPEATED:
        ACTS[act](session, hold)
    else:
        with pytest.raises(HoldEndedError) as refused:
            ACTS[act](session, hold)
        assert (refused.value.status, refused.value.code) == (409, "hold_ended")
    session.refresh(hold)
    assert hold.state is state
    assert (hold.ended_by_id, has(session, ada), session.scalar(count)) == before

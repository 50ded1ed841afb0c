"""The machine of codes in a pool: what its table lists happens, and every other pair is refused.

A code is free, assigned to a holding, used up with it, or void; no act makes one free again.
"""

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.perks import codes, sweeping, using
from app.perks.code_models import CodeRefusal, PerkCode
from app.perks.errors import AlreadyUndoneError, CodeUnknownError
from app.perks.models import Channel, Holding, HoldingState, Perk, Redemption, Transition
from app.perks.terms import RedemptionType
from app.rewards.granting import grant
from app.rewards.lines import Choice, make_line
from app.rewards.models import GrantSource
from app.rewards.service import Source
from core.errors import AppError
from core.ids import new_id
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.perks import hold, load, perk_of

CODE = "CODE-1"
ENDS = NOW + timedelta(days=1)
LATE = NOW + timedelta(days=2)
Act = Callable[[Session, Perk], str | None]
"""What a machine is told who asks for it, or None where it is done."""


def _give(session: Session, perk: Perk) -> str | None:
    """To one more member, at a moment at which the code is good."""
    [user] = make_members(session, f"{new_id().hex}@example.com")
    source = Source(GrantSource.CLAIM, UUID(int=1))
    line = make_line(session, Choice(perk_id=perk.id))
    return _told(lambda: grant(session, line, user, source=source, at=NOW))


def _use(session: Session, _: Perk) -> str | None:
    found = codes.find(session, CODE)
    if not found:
        return CodeUnknownError().code
    [holding] = found
    return _told(
        lambda: using.use(session, holding, channel=Channel.STAFF, actor="member:mem_1", at=NOW)
    )


def _undo(session: Session, _: Perk) -> str | None:
    used = select(Redemption).where(Redemption.transition == Transition.USED)
    row = session.scalars(used).one_or_none()
    if row is None:
        return AlreadyUndoneError().code
    return _told(lambda: using.undo(session, row, actor="member:mem_1", at=NOW))


def _void(session: Session, perk: Perk) -> str | None:
    done = codes.void_typed(session, perk, CODE, reason="printed wrong", at=NOW)
    return None if done.free + done.assigned == 1 else "not_voided"


def _end(session: Session, _: Perk) -> str | None:
    """Its own time is over: what nobody has is void, what somebody has expires with the holding."""
    sweeping.void_ended(session, LATE)
    sweeping.expire_due(session, LATE)
    session.expire_all()
    return None


def _load_again(session: Session, perk: Perk) -> str | None:
    load(session, perk, f"{CODE}\n", name="again.txt")
    return session.scalars(select(CodeRefusal.reason)).one_or_none()


def _told(act: Callable[[], object]) -> str | None:
    try:
        act()
    except AppError as refused:
        assert refused.status == 409
        return refused.code
    return None


ACTS: dict[str, Act] = {
    "give": _give,
    "use": _use,
    "undo": _undo,
    "void": _void,
    "end": _end,
    "load again": _load_again,
}
LISTED = {
    ("free", "give"): "assigned",
    ("free", "void"): "void",
    ("free", "end"): "void",
    ("assigned", "use"): "used",
    ("assigned", "void"): "void",
    ("used", "undo"): "assigned",
}
STATES = ("free", "assigned", "used", "void while free", "void")
_ALWAYS = {
    "give": "code_pool_empty",
    "undo": "already_undone",
    "void": "not_voided",
    "end": None,
    "load again": "duplicate_in_pool",
}
REFUSED = {
    **{pair: _ALWAYS.get(pair[1]) for pair in product(STATES, ACTS) if pair not in LISTED},
    ("free", "use"): "code_unknown",
    ("void while free", "use"): "code_unknown",
    ("used", "use"): "already_used",
    ("void", "use"): "revoked",
}


def _in_state(session: Session, state: str) -> Perk:
    perk = perk_of(session, RedemptionType.UNIQUE_CODE)
    load(session, perk, f"code,expiresAt\n{CODE},{ENDS:%F}\n")
    if state in ("assigned", "used", "void"):
        hold(session, perk)
    if state == "used":
        assert _use(session, perk) is None
    if state.startswith("void"):
        assert _void(session, perk) is None
    return perk


def _state_of(session: Session) -> str:
    session.expire_all()
    row = session.scalars(select(PerkCode)).one()
    holding = None if row.holding_id is None else session.get_one(Holding, row.holding_id)
    is_used = holding is not None and holding.state is HoldingState.USED
    return "used" if is_used and row.state == "assigned" else row.state.value


@pytest.mark.parametrize(("state", "act"), LISTED)
def test_what_is_listed_happens(session: Session, state: str, act: str) -> None:
    perk = _in_state(session, state)
    assert _state_of(session) == state
    assert ACTS[act](session, perk) is None
    assert _state_of(session) == LISTED[state, act]


@pytest.mark.parametrize(("state", "act"), REFUSED)
def test_every_other_pair_is_refused(session: Session, state: str, act: str) -> None:
    perk = _in_state(session, state)
    before = session.scalars(select(PerkCode)).one()
    known = (before.state, before.holding_id, before.void_reason, perk.granted_count)
    assert ACTS[act](session, perk) == REFUSED[state, act]
    assert _state_of(session) == state.split(" ")[0]
    after = session.scalars(select(PerkCode)).one()
    session.refresh(perk)
    assert (after.state, after.holding_id, after.void_reason, perk.granted_count) == known


@pytest.mark.parametrize("state", ["assigned", "used"])
def test_what_is_taken_back_takes_its_code_along(session: Session, state: str) -> None:
    _in_state(session, state)
    using.revoke(session, session.scalars(select(Holding)).one(), reason="refunded", at=NOW)
    assert _state_of(session) == "void"

"""The machines of claim codes and their batches: what is listed happens, nothing else does."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy.orm import Session

from app.claims import service
from app.claims.claiming import Attempt, Claimed, claim
from app.claims.guessing import network_of
from app.claims.models import ClaimBatch, CodeState
from app.claims.seeds import code_of
from app.claims.service import BatchDraft
from app.rewards.lines import Choice
from app.users.models import User
from core.errors import AppError
from core.ids import new_id
from tests.conftest import NOW
from tests.factories.brand import make_members, make_perk
from tests.factories.claims import make_batch, make_codes

Act = Callable[[Session, ClaimBatch], str | None]
"""What whoever asks is told, or None where it is done."""


def _claim(session: Session, batch: ClaimBatch) -> str | None:
    """A new member claims the first code."""
    [user] = make_members(session, f"{new_id().hex}@example.com")
    attempt = Attempt(code_of(batch, 1), network_of("192.0.2.1"))
    outcome = claim(session, session.get_one(User, user), attempt, at=NOW)
    return None if isinstance(outcome, Claimed) else outcome.code


def _asked(act: Callable[[Session, ClaimBatch], object]) -> Act:
    def ask(session: Session, batch: ClaimBatch) -> str | None:
        try:
            act(session, batch)
        except AppError as refused:
            assert refused.status == 409
            return refused.code
        return None

    return ask


def _end(session: Session, batch: ClaimBatch) -> None:
    """Its time is over."""
    batch.valid_until = NOW
    session.flush()


CODE_ACTS: dict[str, Act] = {
    "claim": _claim,
    "disable": _asked(lambda s, it: service.disable(s, it, 1, is_disabled=True, at=NOW)),
    "enable": _asked(lambda s, it: service.disable(s, it, 1, is_disabled=False, at=NOW)),
}
CODE_LISTED = {
    ("active", "claim"): "exhausted",
    ("active", "disable"): "disabled",
    ("disabled", "enable"): "active",
}
CODE_TOLD = {
    ("exhausted", "claim"): "code_used",
    ("expired", "claim"): "code_expired",
    ("disabled", "claim"): "code_disabled",
}
"""Tills and members have names for these; everything else is one of the machine's."""


class TestCode:
    def in_state(self, session: Session, state: CodeState) -> ClaimBatch:
        batch = make_batch(session)
        if state is CodeState.EXHAUSTED:
            CODE_ACTS["claim"](session, batch)
        elif state is CodeState.DISABLED:
            CODE_ACTS["disable"](session, batch)
        elif state is CodeState.EXPIRED:
            _end(session, batch)
        return batch

    def state_of(self, session: Session, batch: ClaimBatch) -> CodeState:
        session.expire_all()
        return service.get_code(session, batch, 1).state(batch, NOW)

    @pytest.mark.parametrize(("state", "act"), product(CodeState, CODE_ACTS))
    def test_only_what_is_listed_happens(
        self, session: Session, state: CodeState, act: str
    ) -> None:
        batch = self.in_state(session, state)
        assert self.state_of(session, batch) is state
        told = CODE_ACTS[act](session, batch)
        target = CODE_LISTED.get((state, act))
        refused = CODE_TOLD.get((state, act), "invalid_transition")
        assert told == (None if target else refused)
        assert self.state_of(session, batch) == (target or state)

    def test_of_several_uses_is_active_until_the_last(self, session: Session) -> None:
        batch = make_batch(session, uses_per_code=2)
        for state in (CodeState.ACTIVE, CodeState.EXHAUSTED):
            assert _claim(session, batch) is None
            assert self.state_of(session, batch) is state

    def test_is_good_again_once_its_batch_is_prolonged(self, session: Session) -> None:
        batch = self.in_state(session, CodeState.EXPIRED)
        service.extend(session, batch, NOW + timedelta(days=1), at=NOW)
        assert self.state_of(session, batch) is CodeState.ACTIVE


BATCH_ACTS: dict[str, Act] = {
    "make": _asked(make_codes),
    "top up": _asked(lambda session, it: service.top_up(session, it, 1, at=NOW)),
    "close": _asked(lambda session, it: service.close(session, it, at=NOW)),
    "reopen": _asked(lambda session, it: service.reopen(session, it, at=NOW)),
    "seal": _asked(lambda session, it: service.seal_batch(session, it, at=NOW)),
}
BATCH_LISTED = {
    ("generating", "make"): "ready",
    ("generating", "top up"): "generating",
    ("generating", "close"): "closed",
    ("ready", "top up"): "generating",
    ("ready", "close"): "closed",
    ("ready", "seal"): "sealed",
    ("sealed", "close"): "closed",
    ("closed", "reopen"): "ready",
    ("closed", "top up"): "closed",
    ("closed", "seal"): "closed",
}
BATCH_TOLD = {
    ("generating", "seal"): "batch_unfinished",
    ("sealed", "top up"): "batch_sealed",
}
BATCH_REPEATED = {
    *(("generating", "reopen"), ("ready", "make"), ("ready", "reopen"), ("sealed", "make")),
    *(("sealed", "reopen"), ("sealed", "seal"), ("closed", "make"), ("closed", "close")),
}
"""Done already: nobody is told anything, and nothing changes."""
BATCH_STATES = ("generating", "ready", "sealed", "closed")


class TestBatch:
    """Closing stops every code of a batch at once, finished or not, until it is opened again."""

    def in_state(self, session: Session, state: str) -> ClaimBatch:
        choice = Choice(perk_id=make_perk(session).id)
        batch = service.create(session, BatchDraft(name="Flyers", choice=choice), at=NOW)
        if state != "generating":
            make_codes(session, batch)
        if state in ("sealed", "closed"):
            BATCH_ACTS["seal" if state == "sealed" else "close"](session, batch)
        return batch

    def state_of(self, session: Session, batch: ClaimBatch) -> str:
        session.refresh(batch)
        if batch.closed_at is not None:
            return "closed"
        if batch.made_count < batch.code_count:
            return "generating"
        return "ready" if batch.sealed_at is None else "sealed"

    def test_every_pair_has_its_answer(self) -> None:
        answered = [*BATCH_LISTED, *BATCH_TOLD, *BATCH_REPEATED]
        assert sorted(answered) == sorted(product(BATCH_STATES, BATCH_ACTS))

    @pytest.mark.parametrize(("state", "act"), product(BATCH_STATES, BATCH_ACTS))
    def test_only_what_is_listed_happens(self, session: Session, state: str, act: str) -> None:
        batch = self.in_state(session, state)
        assert self.state_of(session, batch) == state
        told = BATCH_ACTS[act](session, batch)
        assert told == BATCH_TOLD.get((state, act))
        assert self.state_of(session, batch) == BATCH_LISTED.get((state, act), state)

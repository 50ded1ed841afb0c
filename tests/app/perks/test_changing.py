"""What the team changes of everybody's at once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.perks import changing, service, shipping, using
from app.perks.code_models import CodeState
from app.perks.drafting import draft_of
from app.perks.errors import ReasonMissingError
from app.perks.models import (
    Channel,
    Holding,
    HoldingState,
    Perk,
    Redemption,
    Revocation,
    Transition,
)
from app.perks.shipping import Address
from app.perks.terms import Options, RedemptionType, Validity
from core.events import Event
from tests.conftest import NOW
from tests.factories.brand import make_perk
from tests.factories.perks import codes_of, hold, load, perk_of

DAY = timedelta(days=1)


def finish(session: Session, piece: Callable[[Session, datetime], bool]) -> int:
    """How many parts there were."""
    parts = 0
    while piece(session, NOW):
        parts += 1
    session.expire_all()
    return parts


def revalidated(session: Session, perk: Perk, **changes: Any) -> None:
    draft = draft_of(session, perk)
    values = {**vars(draft), **changes}
    service.edit(session, perk, type(draft)(**values), is_validity_for_all=True)
    finish(session, changing.revalidate)


class TestValidity:
    def test_counts_for_what_is_given_later_unless_said_otherwise(self, session: Session) -> None:
        perk = perk_of(session, RedemptionType.NONE, validity=Validity.DAYS, valid_days=2)
        holding = hold(session, perk)
        draft = draft_of(session, perk)
        service.edit(session, perk, type(draft)(**{**vars(draft), "valid_days": 9}))
        assert finish(session, changing.revalidate) == 0
        assert holding.valid_until == NOW + 2 * DAY
        assert hold(session, perk).valid_until == NOW + 9 * DAY

    @pytest.mark.parametrize(
        ("changes", "span"),
        [
            ({"validity": Validity.DAYS, "valid_days": 9}, (None, NOW + 9 * DAY)),
            ({"validity": Validity.UNTIL, "valid_until": NOW + DAY}, (None, NOW + DAY)),
            (
                {
                    "validity": Validity.WINDOW,
                    "valid_from": NOW + DAY,
                    "valid_until": NOW + 3 * DAY,
                },
                (NOW + DAY, NOW + 3 * DAY),
            ),
            ({"validity": Validity.NONE}, (None, None)),
        ],
    )
    def test_is_carried_over_part_by_part(
        self,
        session: Session,
        monkeypatch: pytest.MonkeyPatch,
        changes: dict[str, Any],
        span: tuple[datetime | None, datetime | None],
    ) -> None:
        monkeypatch.setattr(changing, "AT_ONCE", 2)
        perk = perk_of(session, RedemptionType.NONE, validity=Validity.DAYS, valid_days=2)
        held = [hold(session, perk, f"m{n}@example.com") for n in range(5)]
        using.use(session, held[4], channel=Channel.STAFF, actor="test", at=NOW)
        revalidated(session, perk, **changes)
        assert {(it.valid_from, it.valid_until) for it in held[:4]} == {span}
        assert held[4].valid_until == NOW + 2 * DAY
        assert perk.revalidate_after is None

    def test_is_never_longer_than_the_code(self, session: Session) -> None:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE)
        load(session, perk, "code,expiresAt\nA,2026-07-01T00:00:00Z\n")
        holding = hold(session, perk)
        ends = holding.valid_until
        revalidated(session, perk, validity=Validity.DAYS, valid_days=900)
        assert holding.valid_until == ends
        revalidated(session, perk, validity=Validity.DAYS, valid_days=3)
        assert holding.valid_until == NOW + 3 * DAY


class TestRevocation:
    def test_takes_those_of_a_state_and_tells_of_each(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(changing, "AT_ONCE", 2)
        perk = perk_of(session, RedemptionType.UNIQUE_CODE)
        load(session, perk, "A\nB\nC\nD\nE\n", name="c.txt")
        held = [hold(session, perk, f"m{n}@example.com") for n in range(5)]
        using.use(session, held[1], channel=Channel.STAFF, actor="test", at=NOW)
        available = HoldingState.AVAILABLE
        row = changing.revoke_many(session, perk, state=available, reason=" recalled ", at=NOW)
        assert finish(session, changing.revoke_due) == 3
        assert [it.state for it in held] == [
            *(HoldingState.REVOKED, HoldingState.USED),
            *[HoldingState.REVOKED] * 3,
        ]
        states = [it.state for it in codes_of(session, perk).values()]
        assert (states.count(CodeState.VOID), states.count(CodeState.ASSIGNED)) == (4, 1)
        log = session.execute(
            select(Redemption.reason, Redemption.actor).where(
                Redemption.transition == Transition.REVOKED
            )
        ).all()
        assert set(log) == {("recalled", "test")} and len(log) == 4
        told = select(Event.user_id).where(Event.type == "cohort.perk.revoked")
        assert len(session.scalars(told).all()) == 4
        assert (row.revoked_count, row.finished_at) == (4, NOW)

    def test_of_any_state_leaves_what_is_revoked_or_given_later(self, session: Session) -> None:
        perk = make_perk(session)
        held = [hold(session, perk, f"m{n}@example.com") for n in range(3)]
        using.use(session, held[0], channel=Channel.STAFF, actor="test", at=NOW)
        using.revoke(session, held[1], reason="before", at=NOW)
        row = changing.revoke_many(session, perk, state=None, reason="recalled", at=NOW)
        later = hold(session, perk, "late@example.com", at=NOW + DAY)
        finish(session, changing.revoke_due)
        assert {it.state for it in held} == {HoldingState.REVOKED}
        assert (later.state, row.revoked_count) == (HoldingState.AVAILABLE, 2)

    def test_forgets_addresses(self, session: Session) -> None:
        perk = perk_of(session, RedemptionType.PHYSICAL)
        holding = hold(session, perk)
        home = Address("Ada", "1 Lane", "", "1000", "Brussels", "", "BE")
        shipping.give_address(session, holding, home, terms=Options(), at=NOW)
        changing.revoke_many(session, perk, state=None, reason="recalled", at=NOW)
        finish(session, changing.revoke_due)
        assert shipping.address_of(session, holding) is None

    def test_needs_a_reason(self, session: Session) -> None:
        with pytest.raises(ReasonMissingError):
            changing.revoke_many(session, make_perk(session), state=None, reason=" ", at=NOW)
        assert session.scalars(select(Revocation)).all() == []

    def test_of_another_perk_nothing_is_touched(self, session: Session) -> None:
        other = hold(session, make_perk(session, "Tea"))
        perk = make_perk(session)
        changing.revoke_many(session, perk, state=None, reason="recalled", at=NOW)
        finish(session, changing.revoke_due)
        assert session.get_one(Holding, other.id).state is HoldingState.AVAILABLE

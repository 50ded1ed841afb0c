"""Grants follow what becomes of the perk they gave: one that was taken back is revoked, and why."""

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import engine
from app.accounts.models import Merchant
from app.campaigns import deliveries
from app.campaigns.deliveries import RecipientState
from app.perks import changing, using
from app.perks.models import Channel, Holding, HoldingState, Perk
from app.perks.terms import RedemptionType
from app.rewards import manual, revoking
from app.rewards.models import Grant, GrantState, RewardLine
from core.db import unit_of_work
from core.ids import encode_id
from tests.app.web.client import HTML, TestClient
from tests.conftest import NOW
from tests.factories.perks import hold, perk_of


def revoke(session: Session, holding: Holding, reason: str = "wrong person") -> None:
    using.revoke(session, holding, reason=reason, at=NOW)


def sweep(session: Session) -> None:
    while revoking.revoke_taken_back(session, NOW):
        pass
    session.expire_all()


def states(session: Session) -> dict[str | None, GrantState]:
    """State by reason."""
    return {reason: state for state, reason in session.execute(select(Grant.state, Grant.reason))}


@pytest.fixture
def perk(session: Session) -> Perk:
    """A perk that staff validates."""
    return perk_of(session, RedemptionType.SCAN, uses_per_holding=1)


class TestSweep:
    def test_the_grant_of_a_revoked_holding_is_revoked_for_its_reason(
        self, session: Session, perk: Perk
    ) -> None:
        revoke(session, hold(session, perk))
        kept = hold(session, perk, "bob@example.com")
        sweep(session)
        assert states(session) == {
            "wrong person": GrantState.REVOKED,
            None: GrantState.DELIVERED,
        }
        of_kept = session.get_one(Grant, kept.grant_id)
        assert of_kept.state is GrantState.DELIVERED

    def test_so_is_that_of_a_used_one(self, session: Session, perk: Perk) -> None:
        holding = hold(session, perk)
        using.use(session, holding, channel=Channel.STAFF, actor="member:mem_1", at=NOW)
        revoke(session, holding)
        sweep(session)
        assert states(session) == {"wrong person": GrantState.REVOKED}

    def test_used_and_expired_ones_stay_delivered(self, session: Session, perk: Perk) -> None:
        holding = hold(session, perk)
        using.use(session, holding, channel=Channel.STAFF, actor="member:mem_1", at=NOW)
        sweep(session)
        assert states(session) == {None: GrantState.DELIVERED}

    def test_many_are_revoked_in_parts(
        self, session: Session, perk: Perk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(revoking, "AT_ONCE", 2)
        for number in range(5):
            hold(session, perk, f"m{number}@example.com")
        changing.revoke_many(session, perk, state=None, reason="recalled", at=NOW)
        while changing.revoke_due(session, NOW):
            pass
        found = [revoking.revoke_taken_back(session, NOW) for _ in range(4)]
        assert found == [True, True, False, False]
        session.expire_all()
        assert {it.state for it in session.scalars(select(Grant))} == {GrantState.REVOKED}

    def test_a_second_sweep_changes_nothing(self, session: Session, perk: Perk) -> None:
        revoke(session, hold(session, perk))
        sweep(session)
        session.execute(text("UPDATE grants SET reason = 'seen'"))
        sweep(session)
        assert states(session) == {"seen": GrantState.REVOKED}

    def test_stock_does_not_return(self, session: Session, perk: Perk) -> None:
        perk.total_quantity = 1
        holding = hold(session, perk)
        revoke(session, holding)
        sweep(session)
        assert (perk.granted_count, perk.left) == (1, 0)

    def test_the_sweep_of_perks_does_it(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            revoke(session, hold(session, perk_of(session, RedemptionType.SCAN)))
        engine.sweep_perks(merchant.id)
        with unit_of_work(merchant=merchant.id) as session:
            assert states(session) == {"wrong person": GrantState.REVOKED}


class TestScreens:
    def test_recipients_are_revoked_and_not_cancelled(self, session: Session, perk: Perk) -> None:
        revoke(session, hold(session, perk))
        sweep(session)
        grant = session.scalars(select(Grant)).one()
        assert deliveries._state(grant, None) is RecipientState.REVOKED
        line = session.get_one(RewardLine, grant.reward_line_id)
        assert manual.counts_of(session, line) == manual.Counts(delivered=1, open=0, skipped=0)

    def test_the_member_and_the_holding_say_why_and_by_whom(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="system") as session:
            holding = hold(session, perk_of(session, RedemptionType.SCAN))
            revoke(session, holding)
            assert holding.state is HoldingState.REVOKED
        page = admin.get(f"/admin/users/{encode_id('usr', holding.user_id)}/rewards", headers=HTML)
        link = f"/holdings/{encode_id('hld', holding.id)}"
        assert link in page.text
        perk_id = encode_id("prk", holding.perk_id)
        log = admin.get(f"/admin/perks/{perk_id}{link}", headers=HTML).text
        assert "wrong person" in log and "system" in log

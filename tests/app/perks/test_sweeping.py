"""What is due with perks by itself."""

import io
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import engine, worker
from app.accounts.models import Merchant, TeamRole
from app.accounts.service import add_member
from app.perks import code_files, service, sweeping, using
from app.perks.code_models import CodeState, PerkCode
from app.perks.models import Holding, HoldingState, Perk, PerkState, Redemption, Transition
from app.perks.terms import RedemptionType, Validity
from core.db import unit_of_work
from core.events import Event
from core.mail import outbox
from tests.conftest import NOW
from tests.factories.brand import make_perk
from tests.factories.perks import codes_of, hold, load, perk_of

MINUTE = timedelta(minutes=1)
NO_SHARE: dict[str, int | None] = {"low_stock_percent": None}


def sweep(session: Session, at: object = NOW) -> None:
    for piece in sweeping.pieces():
        while piece(session, at):  # type: ignore[arg-type]
            pass
    session.expire_all()


class TestExpiry:
    def test_ends_what_is_over_and_tells_once(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "AT_ONCE", 2)
        until = NOW + MINUTE
        perk = perk_of(session, RedemptionType.NONE, validity=Validity.UNTIL, valid_until=until)
        held = [hold(session, perk, f"m{number}@example.com") for number in range(5)]
        using.revoke(session, held[4], reason="because", at=NOW)
        sweep(session, until - timedelta(seconds=1))
        assert {it.state for it in held[:4]} == {HoldingState.AVAILABLE}
        sweep(session, until)
        sweep(session, until)
        assert [it.state for it in held] == [HoldingState.EXPIRED] * 4 + [HoldingState.REVOKED]
        rows = session.scalars(select(Redemption.transition))
        assert list(rows).count(Transition.EXPIRED) == 4
        told = session.scalars(select(Event.data).where(Event.type == "cohort.perk.expired"))
        assert {it["holdingId"] for it in told} == {str(it.id) for it in held[:4]}

    def test_what_has_no_end_stays(self, session: Session) -> None:
        holding = hold(session, make_perk(session))
        sweep(session, NOW + timedelta(days=4_000))
        assert holding.state is HoldingState.AVAILABLE


class TestDeletedPerks:
    def test_their_free_codes_are_removed_and_given_ones_stay(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "AT_ONCE", 2)
        perk = perk_of(session, RedemptionType.UNIQUE_CODE)
        load(session, perk, "A\nB\nC\nD\nE\nF\n", name="c.txt")
        using.revoke(session, hold(session, perk), reason="because", at=NOW)
        service.archive(session, perk, is_in_use=False)
        service.delete(session, perk, is_in_use=False)
        sweep(session)
        [left] = codes_of(session, perk).values()
        assert (left.state, perk.code_count) == (CodeState.VOID, 0)

    def test_of_others_nothing_is_removed(self, session: Session) -> None:
        perk = perk_of(session, RedemptionType.UNIQUE_CODE, state=PerkState.ARCHIVED)
        load(session, perk, "A\n", name="c.txt")
        sweep(session)
        assert len(session.scalars(select(PerkCode)).all()) == 1


class TestLowStock:
    @pytest.mark.parametrize(
        ("changes", "is_low"),
        [
            ({"total_quantity": 100, "granted_count": 89}, False),
            ({"total_quantity": 100, "granted_count": 90}, True),
            ({"total_quantity": None, "granted_count": 90}, False),
            ({"total_quantity": 100, "granted_count": 98, **NO_SHARE}, False),
            (
                {
                    "total_quantity": 100,
                    "granted_count": 95,
                    "low_stock_percent": None,
                    "low_stock_count": 5,
                },
                True,
            ),
        ],
    )
    def test_is_a_share_or_a_number(
        self, session: Session, changes: dict[str, int | None], is_low: bool
    ) -> None:
        perk = make_perk(session, **{"low_stock_percent": 10, **changes})
        assert perk.is_low is is_low
        sweep(session)
        assert (perk.low_stock_told_at is not None) is is_low

    def test_is_told_again_once_there_were_more(self, session: Session) -> None:
        perk = make_perk(session, total_quantity=10, granted_count=9, low_stock_percent=10)
        sweep(session)
        assert perk.low_stock_told_at == NOW
        sweep(session, NOW + MINUTE)
        assert perk.low_stock_told_at == NOW
        perk.total_quantity = 100
        session.flush()
        sweep(session, NOW + MINUTE)
        assert perk.low_stock_told_at is None

    def test_by_mail_to_whoever_edits_perks(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            found = session.get_one(Merchant, merchant.id)
            for role in (TeamRole.EDITOR, TeamRole.ANALYST):
                address = f"{role}@example.com"
                add_member(session, found.organisation, address, role=role, at=NOW)
            make_perk(
                session, "Last ones", total_quantity=10, granted_count=9, low_stock_percent=10
            )
            sweep(session)
        told = [it for it in outbox() if "Last ones" in it.subject]
        owner = next(it.to for it in told if it.to != "editor@example.com")
        assert {it.to for it in told} == {"editor@example.com", owner}
        assert "has 1 of 10 left" in told[0].text


class TestWorker:
    def test_does_every_piece_for_the_merchant(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            holding = hold(session, perk_of(session, RedemptionType.NONE, valid_until=NOW))
        engine.sweep_perks(merchant.id)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(Holding, holding.id).state is HoldingState.EXPIRED

    def test_takes_up_files_whose_message_was_lost(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            perk = perk_of(session, RedemptionType.UNIQUE_CODE)
            row = code_files.upload(session, perk, "c.txt", io.BytesIO(b"A\n"), at=NOW)
        assert engine.unfinished_code_files() == [(merchant.id, row.id)]
        worker.sweep_code_files()
        assert engine.unfinished_code_files() == []
        with unit_of_work(merchant=merchant.id) as session:
            assert set(codes_of(session, session.get_one(Perk, perk.id))) == {"A"}

"""Wallets and passes follow members: once each, whatever is repeated or lost."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.users import provisioning
from app.users.models import User
from app.users.service import ensure_user
from core.db import unit_of_work
from core.event_cursor import EventCursor
from core.types import MerchantId
from minting.models import MembershipPass, PassState
from tests.conftest import NOW, make_merchant
from tests.factories.imports import count, run
from wallets.models import Wallet, WalletKind

FILE = "email\n" + "".join(f"m{number}@example.com\n" for number in range(30))


@pytest.fixture
def merchant_id(committed: None) -> Iterator[MerchantId]:
    """A merchant with thirty imported members, committed."""
    merchant = make_merchant().id
    with unit_of_work(merchant=merchant, actor="test") as session:
        run(session, FILE)
    yield merchant


def provision(merchant: MerchantId) -> None:
    more = True
    while more:
        with unit_of_work(merchant=merchant) as session:
            more = provisioning.run_part(session, at=NOW)


def check(session: Session, members: int) -> None:
    assert count(session, User) == members
    assert count(session, Wallet, kind=WalletKind.MEMBER) == members
    assert count(session, MembershipPass, state=PassState.QUEUED) == members
    assert provisioning.waiting_count(session) == 0


class TestProvisioning:
    def test_gives_every_imported_member_a_wallet_and_a_queued_pass(
        self, merchant_id: MerchantId
    ) -> None:
        for _ in range(3):
            provision(merchant_id)
            with unit_of_work(merchant=merchant_id) as session:
                check(session, 30)

    def test_leaves_alone_who_signed_up(self, merchant_id: MerchantId) -> None:
        with unit_of_work(merchant=merchant_id) as session:
            ensure_user(session, "m1@example.com", source="space", at=NOW)
            ensure_user(session, "new@example.com", source="space", at=NOW)
        provision(merchant_id)
        with unit_of_work(merchant=merchant_id) as session:
            check(session, 31)

    def test_killed_inside_a_part_it_repeats_nothing(self, merchant_id: MerchantId) -> None:
        with pytest.raises(KeyboardInterrupt), unit_of_work(merchant=merchant_id) as session:
            provisioning.run_part(session, at=NOW)
            raise KeyboardInterrupt
        provision(merchant_id)
        with unit_of_work(merchant=merchant_id) as session:
            check(session, 30)

    def test_with_a_lost_cursor_looks_at_everybody(
        self, merchant_id: MerchantId, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(provisioning, "USERS_A_PART", 12)
        with unit_of_work(merchant=merchant_id) as session:
            provisioning.run_part(session, at=NOW)
            session.execute(update(EventCursor).values(xid=1 << 60))
        provision(merchant_id)
        with unit_of_work(merchant=merchant_id) as session:
            check(session, 30)
            assert session.scalars(select(EventCursor.xid)).one() < 1 << 60

    def test_erased_members_get_nothing(self, merchant_id: MerchantId) -> None:
        with unit_of_work(merchant=merchant_id) as session:
            session.execute(update(User).values(state="erased"))
        provision(merchant_id)
        with unit_of_work(merchant=merchant_id) as session:
            assert count(session, MembershipPass) == 0

"""Members one by one and in sets: one person, one wallet, one pass."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.emails import EmailInvalidError
from app.accounts.models import Merchant
from app.users.errors import UserNotFoundError
from app.users.fields import fold
from app.users.models import User
from app.users.service import create_users, ensure_user, get_user, new_row
from core.db import unit_of_work
from core.ids import new_id
from core.types import UserId
from minting.models import MembershipPass, PassState
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members, make_other_merchant
from wallets.models import Wallet, WalletKind


class TestEnsureUser:
    def test_makes_a_member_with_wallet_and_queued_pass(self, session: Session) -> None:
        user = ensure_user(session, " Ada@Example.com ", source="space", at=NOW)
        assert (user.email, user.email_key) == ("Ada@Example.com", "ada@example.com")
        wallet = session.scalars(select(Wallet).where(Wallet.owner_id == user.id)).one()
        membership = session.scalars(select(MembershipPass)).one()
        assert membership.state is PassState.QUEUED
        assert (membership.user_id, membership.address) == (user.id, wallet.address)

    def test_again_finds_the_same_member(self, session: Session) -> None:
        first = ensure_user(session, "ada@example.com", source="space", at=NOW)
        assert ensure_user(session, "ADA@example.com", source="import", at=NOW).id == first.id

    def test_no_address_is_refused(self, session: Session) -> None:
        with pytest.raises(EmailInvalidError):
            ensure_user(session, "ada", source="space", at=NOW)

    def test_the_same_address_at_another_merchant_is_another_person(
        self, merchant: Merchant
    ) -> None:
        found = []
        for place in (merchant.id, make_other_merchant(merchant)):
            with unit_of_work(merchant=place) as session:
                found.append(ensure_user(session, "ada@example.com", source="space", at=NOW).id)
        assert found[0] != found[1]

    def test_of_many_at_once_one_makes_the_member(self, committed: None) -> None:
        merchant = make_merchant().id
        together = Barrier(6)

        def arrive(number: int) -> UserId:
            together.wait(20)
            with unit_of_work(merchant=merchant) as session:
                email = "ADA@example.com" if number % 2 else "ada@example.com"
                return ensure_user(session, email, source="space", at=NOW).id

        with ThreadPoolExecutor(6) as pool:
            assert len(set(pool.map(arrive, range(6)))) == 1
        with unit_of_work(merchant=merchant) as session:
            members = select(func.count()).select_from(Wallet).filter_by(kind=WalletKind.MEMBER)
            assert session.scalar(members) == 1
            assert session.scalar(select(func.count()).select_from(User)) == 1
            assert session.scalar(select(func.count()).select_from(MembershipPass)) == 1


class TestCreateUsers:
    def test_answers_who_is_new_and_leaves_the_others_alone(self, session: Session) -> None:
        make_members(session, "ada@example.com")
        rows = [
            new_row(email, email, source="later", first_name="Changed")
            for email in ("ada@example.com", "bob@example.com")
        ]
        assert create_users(session, rows, at=NOW) == {"bob@example.com"}
        ada = session.scalars(select(User).where(User.email_key == "ada@example.com")).one()
        assert (ada.first_name, ada.source) == (None, "test")

    def test_of_nobody_is_nothing(self, session: Session) -> None:
        assert create_users(session, [], at=NOW) == set()


class TestGetUser:
    def test_unknown_and_foreign_members_do_not_exist_in_the_same_words(
        self, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            [ada] = make_members(session, "ada@example.com")
        sentences = set()
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            for unknown in (ada, UserId(new_id())):
                with pytest.raises(UserNotFoundError) as refused:
                    get_user(session, unknown)
                sentences.add(str(refused.value))
        assert len(sentences) == 1


class TestFold:
    @pytest.mark.parametrize(
        ("text", "folded"),
        [("Joëlle", "joelle"), ("STRASSE", "strasse"), ("Groß", "gross"), ("Ιώ", "ιω"), ("", "")],
    )
    def test_drops_case_and_accents(self, text: str, folded: str) -> None:
        assert fold(text) == folded

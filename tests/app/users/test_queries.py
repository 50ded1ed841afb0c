"""Searching members by the beginning of what is known of them."""

import pytest
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.users import queries
from app.users.models import User
from app.users.service import create_users, find_by_email, get_user, new_row
from core.db import unit_of_work
from minting import passes
from tests.conftest import NOW
from tests.factories.brand import make_other_merchant, make_pass_contract

PEOPLE = [
    ("ada@example.com", "Ada", "Lovelace", "AT-1"),
    ("joelle@example.com", "Joëlle", "Kuiper", "AT-12"),
    ("giorgos@example.net", "Γιώργος", "Αλεξίου", None),
    ("strasse@example.org", "Karl", "Groß", "100%"),
]


@pytest.fixture(autouse=True)
def people(session: Session) -> None:
    """Four members."""
    rows = [
        new_row(email, email, source="test", first_name=first, last_name=last, reference_id=number)
        for email, first, last, number in PEOPLE
    ]
    create_users(session, rows, at=NOW)


def search(session: Session, text: str) -> list[str]:
    return sorted(user.email.split("@")[0] for user in session.scalars(queries.users(text)))


class TestSearch:
    def test_nothing_typed_finds_everybody(self, session: Session) -> None:
        assert len(search(session, "  ")) == 4
        assert queries.count_users(session) == 4

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("ada@ex", ["ada"]),
            ("ADA@EX", ["ada"]),
            ("example.com", []),
            ("Joel", ["joelle"]),
            ("joëlle k", ["joelle"]),
            ("JOELLE KUIPER", ["joelle"]),
            ("Kuiper", ["joelle"]),
            ("γιωργος", ["giorgos"]),
            ("karl gross", ["strasse"]),
            ("AT-1", ["ada", "joelle"]),
            ("AT-12", ["joelle"]),
            ("at-12", []),
            ("100%", ["strasse"]),
            ("%", []),
            ("_", []),
            ("' OR 1=1 --", []),
            ("nobody", []),
        ],
    )
    def test_finds_by_address_name_and_reference(
        self, session: Session, text: str, found: list[str]
    ) -> None:
        assert search(session, text) == found

    def test_finds_by_wallet_in_any_case(self, session: Session) -> None:
        ada = find_by_email(session, "ada@example.com")
        assert ada is not None
        membership = queries.passes_of(session, [ada.id])[ada.id]
        assert membership is not None
        for text in (membership.address, "0x" + membership.address[2:].lower()):
            assert search(session, text) == ["ada"]
        assert search(session, membership.address[:20]) == []
        assert search(session, "0x" + "ff" * 20) == []

    def test_finds_by_pass_number(self, session: Session) -> None:
        make_pass_contract(session)
        passes.freeze_queue(session, at=NOW)
        ada = find_by_email(session, "ada@example.com")
        assert ada is not None
        membership = queries.passes_of(session, [ada.id])[ada.id]
        assert membership is not None and membership.number is not None
        assert search(session, membership.number) == ["ada"]
        assert search(session, "0-0099") == search(session, "7-0000") == []

    def test_a_number_beyond_every_column_finds_nobody(self, session: Session) -> None:
        for text in ("9999999999-1", "1-999999999", "99999999999999999999-1", "٣-٤", "²-1"):
            assert search(session, text) == []


class TestOtherMerchant:
    def test_sees_nobody_of_ours(self, session: Session, merchant: Merchant) -> None:
        session.commit()
        with unit_of_work(merchant=make_other_merchant(merchant)) as other:
            assert other.scalars(queries.users()).all() == []
            assert other.scalars(queries.users("ada")).all() == []
            assert find_by_email(other, "ada@example.com") is None
            assert queries.count_users(other) == 0


class TestReads:
    def test_of_one_member(self, session: Session) -> None:
        ada = find_by_email(session, "ADA@example.com")
        assert ada is not None
        assert get_user(session, ada.id) is ada
        assert set(queries.passes_of(session, [ada.id])) == {ada.id}
        assert [event.type for event in session.scalars(queries.events_of([ada.id]))] == [
            "cohort.user.created"
        ]
        assert queries.tokens_of(session, [ada.id]) == []

    def test_the_name_shown_is_the_address_where_no_name_is_known(self) -> None:
        unnamed = User(**new_row("x@example.com", "x@example.com", source="test"))
        named = User(**new_row("x@example.com", "x@example.com", source="test", last_name="Kuiper"))
        assert (unnamed.display_name, named.display_name) == ("x@example.com", "Kuiper")

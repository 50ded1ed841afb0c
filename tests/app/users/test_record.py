"""A member's fields: validated, remembered, told of once, and never overwritten unseen."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.users import consents, fields, queries, record, standing
from app.users.errors import (
    EmailTakenError,
    RecordChangedError,
    RecordInvalidError,
    UserErasedError,
)
from app.users.models import PropertyChange, User, UserState
from app.users.slots import Kind
from core.db import unit_of_work
from core.events import Event
from core.ids import encode_id
from core.types import UserId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members
from tests.factories.people import make_property


@pytest.fixture
def ada(session: Session) -> User:
    """A member."""
    [user, _] = make_members(session, "ada@example.com", "bob@example.com")
    return session.get_one(User, user)


def change(session: Session, user: User, **texts: str) -> list[str]:
    return list(record.change(session, user, texts, version=user.version, at=NOW))


def events(session: Session, kind: str) -> list[Event]:
    return list(session.scalars(select(Event).where(Event.type == kind)))


class TestChange:
    def test_stores_remembers_and_tells_once(self, session: Session, ada: User) -> None:
        key = encode_id("prp", make_property(session, "Shoe size", Kind.NUMBER).id)
        assert change(session, ada, first_name="Ádá", country="ch", **{key: "42.50"}) == [
            "first_name",
            "country",
            key,
        ]
        assert (ada.first_name, ada.first_key, ada.name_key) == ("Ádá", "ada", "ada")
        assert (ada.country, ada.version) == ("CH", 2)
        known = fields.catalogue(session)
        assert record.as_text(known[key], record.read(session, ada, known)[key]) == "42.5"
        told = events(session, "cohort.user.updated")
        assert [it.data for it in told] == [{"changed": ["first_name", "country", key]}]
        history = session.scalars(select(PropertyChange)).all()
        assert {(it.field, it.before, it.after) for it in history} == {
            ("first_name", None, "Ádá"),
            ("country", None, "CH"),
            (key, None, "42.5"),
        }

    def test_of_nothing_tells_nothing(self, session: Session, ada: User) -> None:
        assert change(session, ada, first_name="", email="ada@example.com") == []
        assert ada.version == 1 and events(session, "cohort.user.updated") == []

    def test_takes_a_value_away(self, session: Session, ada: User) -> None:
        key = encode_id("prp", make_property(session, "Word").id)
        change(session, ada, **{key: "x"})
        assert record.change(
            session, ada, {key: " "}, version=2, at=NOW + timedelta(seconds=1)
        ) == [key]
        known = fields.catalogue(session)
        assert record.read(session, ada, known)[key] is None

    @pytest.mark.parametrize(
        ("field", "text"),
        [
            *(("first_name", "x" * 101), ("phone", "044"), ("lang", "deu"), ("country", "1x")),
            *(("time_zone", "Mars/Olympus"), ("email", "nobody"), ("reference_id", "x" * 129)),
            ("last_name", "a\0b"),
        ],
    )
    def test_refuses_what_is_no_value(
        self, session: Session, ada: User, field: str, text: str
    ) -> None:
        with pytest.raises(RecordInvalidError) as caught:
            change(session, ada, **{field: text})
        assert set(caught.value.fields) == {field}

    def test_leaves_alone_what_follows_by_itself(self, session: Session, ada: User) -> None:
        assert change(session, ada, state="blocked", source="x", created_at="2020-01-01") == []

    def test_refuses_an_address_or_reference_of_somebody_else(
        self, session: Session, ada: User
    ) -> None:
        bob = session.scalars(select(User).where(User.email_key == "bob@example.com")).one()
        change(session, bob, reference_id="B-1")
        with pytest.raises(EmailTakenError):
            change(session, ada, email="BOB@example.com")
        with pytest.raises(RecordInvalidError):
            change(session, ada, reference_id="B-1")

    def test_of_an_address_makes_it_unverified(self, session: Session, ada: User) -> None:
        ada.email_verified_at = NOW
        session.flush()
        assert change(session, ada, email="Ada@Example.org") == ["email"]
        assert (ada.email_key, ada.email_verified_at) == ("ada@example.org", None)

    def test_refuses_who_was_erased(self, session: Session, ada: User) -> None:
        ada.state = UserState.ERASED
        session.flush()
        with pytest.raises(UserErasedError):
            change(session, ada, first_name="Ada")

    def test_of_two_at_once_the_second_is_refused(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            [user] = make_members(session, "ada@example.com")
        with unit_of_work(merchant=merchant) as one:
            ada = one.get_one(User, user)
            with unit_of_work(merchant=merchant) as other:
                change(other, other.get_one(User, user), first_name="First")
            with pytest.raises(RecordChangedError):
                change(one, ada, last_name="Second")


class TestStanding:
    def test_blocking_tells_why_and_unblocking_takes_it_back(
        self, session: Session, ada: User
    ) -> None:
        assert standing.block(session, queries.only(ada.id), reason=" spam ", at=NOW) == 1
        assert standing.block(session, queries.only(ada.id), reason="again", at=NOW) == 0
        session.refresh(ada)
        assert (ada.state, ada.version) == (UserState.BLOCKED, 2)
        assert [it.data for it in events(session, "cohort.user.blocked")] == [{"reason": "spam"}]
        assert standing.unblock(session, queries.only(ada.id), at=NOW) == 1
        session.refresh(ada)
        assert ada.state is UserState.ACTIVE

    def test_who_was_erased_stays_so(self, session: Session, ada: User) -> None:
        ada.state = UserState.ERASED
        session.flush()
        assert standing.block(session, queries.only(ada.id), reason="", at=NOW) == 0
        assert standing.unblock(session, queries.only(ada.id), at=NOW) == 0

    def test_a_reason_is_short(self, session: Session, ada: User) -> None:
        with pytest.raises(RecordInvalidError):
            standing.block(session, queries.only(ada.id), reason="x" * 501, at=NOW)


class TestConsents:
    def give(self, session: Session, user: User, *, is_given: bool, purpose: str = "terms") -> None:
        consents.record(session, user, purpose, is_given=is_given, channel="admin", at=NOW)

    def test_only_ever_grow_and_the_newest_counts(self, session: Session, ada: User) -> None:
        for is_given in (True, True, False, True):
            self.give(session, ada, is_given=is_given)
        said = [it.is_given for it in consents.history(session, ada.id)]
        assert said == [True, False, True]
        assert [it.is_given for it in consents.current(session, [ada.id])] == [True]
        assert [it.data for it in events(session, "cohort.user.consent-updated")][-1] == {
            "purpose": "terms",
            "given": True,
        }

    def test_nobody_who_never_gave_it_withdraws(self, session: Session, ada: User) -> None:
        self.give(session, ada, is_given=False)
        assert len(consents.history(session, ada.id)) == 1

    @pytest.mark.parametrize("purpose", ["", "With Space", "x" * 51, "1x", "a'--"])
    def test_refuse_misspelt_purposes(self, session: Session, ada: User, purpose: str) -> None:
        with pytest.raises(RecordInvalidError):
            self.give(session, ada, is_given=True, purpose=purpose)

    def test_refuse_a_purpose_too_many(
        self, session: Session, ada: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(consents, "MOST_PURPOSES", 3)
        with pytest.raises(RecordInvalidError):
            self.give(session, ada, is_given=True, purpose="another")


def test_a_merged_row_is_another_identity(session: Session, ada: User) -> None:
    bob = session.scalars(select(User).where(User.email_key == "bob@example.com")).one()
    assert queries.identities(session, ada.id) == [ada.id]
    bob.merged_into_id = UserId(ada.id)
    session.flush()
    assert queries.identities(session, ada.id) == [ada.id, bob.id]

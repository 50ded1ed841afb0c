"""Mail to members reaches who they are now, and nobody whom mail does not reach."""

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.users.mailing import write_to
from app.users.models import MailStatus, User, UserState
from app.web import i18n
from core.db import unit_of_work
from core.mail import Mail, outbox
from core.settings import core_settings
from core.types import UserId
from tests.conftest import NOW
from tests.factories.brand import make_members


def words(merchant: Merchant, language: str) -> tuple[str, str]:
    return f"Hello in {language}", f"News of {merchant.name}."


def write(merchant: Merchant, user: UserId) -> Mail | None:
    """The mail that came of it, if one did."""
    before = len(outbox())
    with unit_of_work(merchant=merchant.id) as session:
        told = write_to(session, user, words, kind="test", path="/space/home", at=NOW)
    assert len(outbox()) - before == told
    return outbox()[0] if told else None


def newest() -> bytes:
    """The newest message as it was written."""
    return max((core_settings().data_dir / "mail").glob("*.eml")).read_bytes()


@pytest.fixture
def people(merchant: Merchant) -> list[UserId]:
    with unit_of_work(merchant=merchant.id) as session:
        return make_members(session, "ada@example.com", "bo@example.com")


def change(merchant: Merchant, user: UserId, **values: object) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        session.execute(update(User).where(User.id == user).values(values))


class TestWriteTo:
    def test_says_what_and_leads_to_the_space(
        self, merchant: Merchant, people: list[UserId]
    ) -> None:
        mail = write(merchant, people[0])
        assert mail is not None and (mail.to, mail.subject) == ("ada@example.com", "Hello in en")
        assert b"Reply-To: owner@example.com" in newest()
        assert "News of" in mail.text and "http://testserver/space/home" in mail.text

    def test_what_the_brand_wrote_is_in_the_members_language(
        self, merchant: Merchant, people: list[UserId]
    ) -> None:
        change(merchant, people[0], lang="fr")
        mail = write(merchant, people[0])
        assert mail is not None and mail.subject == "Hello in fr"

    def test_who_was_merged_is_who_they_are_now(
        self, merchant: Merchant, people: list[UserId]
    ) -> None:
        ada, bo = people
        change(merchant, ada, state=UserState.MERGED, merged_into_id=bo)
        mail = write(merchant, ada)
        assert mail is not None and mail.to == "bo@example.com"

    @pytest.mark.parametrize(
        "values",
        [
            {"state": UserState.BLOCKED},
            {"state": UserState.ERASED},
            {"mail_status": MailStatus.BOUNCED},
            {"mail_status": MailStatus.COMPLAINED},
        ],
    )
    def test_nobody_else_is_written_to(
        self, merchant: Merchant, people: list[UserId], values: dict[str, object]
    ) -> None:
        change(merchant, people[0], **values)
        assert write(merchant, people[0]) is None


class TestSpoken:
    def test_is_a_language_with_texts(self, session: Session) -> None:
        for wanted in ((), (None,), ("en", "de"), ("xx",), ("../../etc",), ("de-", "en")):
            assert i18n.spoken(*wanted) == "en"

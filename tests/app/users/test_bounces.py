"""Addresses no mail server knows: noted once, told, and mended by a mail that arrived."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from app import upkeep
from app.accounts.models import Merchant
from app.spaces import service
from app.users.mailing import note_bounces
from app.users.models import MailStatus, User
from core.db import unit_of_work
from core.events import Event
from core.ids import new_id
from core.mail import MailState, OutgoingMail, outbox
from core.types import MailId
from tests.conftest import NOW
from tests.factories.brand import make_members, make_other_merchant

UNKNOWN = "550 5.1.1 <Ada@Example.com>: no such mailbox"
MINUTE = timedelta(minutes=1)


def fail(merchant: Merchant, error: str = UNKNOWN, at: datetime = NOW) -> None:
    """A message to Ada was given up."""
    with unit_of_work(merchant=merchant.id) as session:
        session.add(
            OutgoingMail(
                id=MailId(new_id()),
                recipient="Ada@Example.com",
                kind="prize",
                state=MailState.FAILED,
                next_try_at=at,
                created_at=at,
                error=error,
            )
        )


def note(merchant: Merchant) -> int:
    with unit_of_work(merchant=merchant.id, actor="test") as session:
        return note_bounces(session, at=NOW)


def status(merchant: Merchant) -> tuple[MailStatus, int]:
    """Ada's, and how often it was told that it changed."""
    with unit_of_work(merchant=merchant.id) as session:
        told = session.scalars(select(Event.data).where(Event.type == "cohort.user.updated")).all()
        found = session.scalars(select(User.mail_status)).one()
        return found, sum(it == {"changed": ["mail_status"]} for it in told)


@pytest.fixture(autouse=True)
def ada(merchant: Merchant) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        make_members(session, "ada@example.com")


class TestNoteBounces:
    def test_is_noted_and_told_once(self, merchant: Merchant) -> None:
        fail(merchant)
        assert [note(merchant), note(merchant)] == [1, 0]
        assert status(merchant) == (MailStatus.BOUNCED, 1)

    @pytest.mark.parametrize(
        "error",
        [
            "550 5.7.1 we do not like your server",
            "552 5.2.2 mailbox full",
            "550 no",
            "The mail server does not answer: 550 5.1.1",
            "451 4.1.1 later",
        ],
    )
    def test_what_is_not_of_the_address_does_not_count(
        self, merchant: Merchant, error: str
    ) -> None:
        fail(merchant, error)
        assert (note(merchant), status(merchant)) == (0, (MailStatus.OK, 0))

    def test_another_brands_mail_does_not_count(self, merchant: Merchant) -> None:
        with unit_of_work() as session:
            other = session.get_one(Merchant, make_other_merchant(merchant))
            session.expunge_all()
        fail(other)
        assert note(merchant) == 0

    def test_the_worker_notes_it(self, merchant: Merchant) -> None:
        fail(merchant)
        upkeep.note_bounces(merchant.id)
        assert status(merchant)[0] is MailStatus.BOUNCED


class TestNoteArrival:
    def test_signing_in_by_mail_mends_it_and_the_old_bounce_does_not_come_back(
        self, merchant: Merchant
    ) -> None:
        fail(merchant)
        note(merchant)
        later = NOW + MINUTE
        with unit_of_work() as session:
            service.request_sign_in(
                session, merchant, "ada@example.com", browser="b", ip="10.0.0.1", at=later
            )
        code = outbox()[0].subject.split()[0]
        with unit_of_work() as session:
            service.sign_in_with_code(
                session, merchant, "ada@example.com", code, browser="b", ip="10.0.0.1", at=later
            )
        assert status(merchant) == (MailStatus.OK, 2)
        assert note(merchant) == 0
        fail(merchant, at=NOW + 2 * MINUTE)
        assert note(merchant) == 1

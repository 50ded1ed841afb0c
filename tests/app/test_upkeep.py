"""What is due with members is found across merchants, whoever lost the message about it."""

from datetime import timedelta

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app import upkeep
from app.accounts.models import Merchant
from app.claims import guessing
from app.claims import service as claim_batches
from app.claims.models import ClaimBatch, ClaimGuess
from app.claims.service import BatchDraft
from app.privacy import copies, erasure
from app.privacy.models import SubjectExport, SubjectExportState
from app.rewards import refusals
from app.rewards.errors import StockExhaustedError
from app.rewards.lines import Choice, make_line
from app.rewards.models import GrantRefusal, GrantSource
from app.rewards.service import Source
from app.users import conversions, properties
from app.users.conversion_rules import Rules, Shape
from app.users.models import Property, User, UserState
from app.users.slots import Kind
from app.users.upkeep_models import Conversion, ConversionState
from core.db import unit_of_work
from core.types import utc_now
from tests.factories.brand import make_members, make_perk
from tests.factories.people import make_property, set_values, values_of
from wallets.models import Wallet


def work() -> int:
    """Everything that is due now was done; how much it was."""
    done = 0
    for piece in upkeep.due_work(utc_now()):
        piece()
        done += 1
    return done


def person(session: Session) -> User:
    return session.get_one(User, make_members(session, "ada@example.com")[0])


class TestProperties:
    def test_a_conversion_goes_on_to_its_end(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = make_property(session, "Size")
            set_values(session, row, {person(session).id: "42"})
            shape = Shape(Kind.NUMBER)
            found = conversions.begin(session, row, shape, Rules(), at=utc_now())
        assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            conversions.run(session, session.get_one(Conversion, found.id))
        assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(Conversion, found.id).state is ConversionState.COMPLETED
            assert list(values_of(session, properties.get(session, row.id)).values()) == [42]
        assert work() == 0

    def test_a_deleted_property_is_cleared(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = make_property(session, "Size")
            set_values(session, row, {person(session).id: "42"})
            properties.delete(session, row, at=utc_now())
        assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get(Property, row.id) is None
            assert session.scalar(text("SELECT count(t1) FROM users")) == 0


class TestPeople:
    def test_who_is_due_is_erased_and_the_key_destroyed_when_it_can_be(
        self, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            user = person(session)
            long_ago = utc_now() - timedelta(days=8)
            erasure.request(session, user, reason="asked", at=long_ago)
        assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(User, user.id).state is UserState.ERASED
            wallet = session.scalars(select(Wallet)).one()
            assert wallet.destroyed_at is None
            session.execute(
                text("UPDATE passes SET state = 'revoked', batch_number = 0, index = 0")
            )
        assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(Wallet)).one().destroyed_at is not None
        assert work() == 0

    def test_copies_are_made_and_leave_after_a_week(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = copies.request(session, person(session), at=utc_now())
        assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(SubjectExport, row.id).state is SubjectExportState.READY
            old = utc_now() - timedelta(days=7)
            session.execute(update(SubjectExport).values(created_at=old))
        assert copies.file_of(row.id).exists()
        assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get(SubjectExport, row.id) is None
        assert not copies.file_of(row.id).exists()


class TestAnswers:
    def test_an_old_refusal_is_forgotten(self, merchant: Merchant) -> None:
        now = utc_now()
        with unit_of_work(merchant=merchant.id) as session:
            line = make_line(session, Choice(perk_id=make_perk(session).id))
            for at in (now - refusals.KEPT - timedelta(days=1), now):
                refusals.note(
                    session,
                    line,
                    person(session).id if at == now else make_members(session, "b@example.com")[0],
                    StockExhaustedError(1, 0),
                    source=Source(GrantSource.CLAIM, line.id),
                    at=at,
                )
        assert (work(), work()) == (1, 0)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(GrantRefusal.refused_at)).all() == [now]


class TestClaimCodes:
    def test_are_made_whoever_lost_the_message(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            choice = Choice(perk_id=make_perk(session).id)
            draft = BatchDraft(name="Flyers", choice=choice, code_count=7)
            batch = claim_batches.create(session, draft, at=utc_now())
        with upkeep._making:  # another thread is at it
            assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(ClaimBatch, batch.id).made_count == 0
        assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(ClaimBatch, batch.id).made_count == 7
        assert work() == 0

    def test_old_guesses_are_forgotten(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            guessing.count(session, b"n", at=utc_now() - guessing.KEPT - timedelta(days=1))
            guessing.count(session, b"n", at=utc_now())
        assert work() == 1
        with unit_of_work(merchant=merchant.id) as session:
            assert len(session.scalars(select(ClaimGuess)).all()) == 1
        assert work() == 0

"""A person is forgotten: no table holds anything of them, and the books still add up."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import upkeep
from app.accounts import sessions, signin
from app.accounts.models import Audience, Merchant
from app.campaigns.models import AudienceFile, AudienceRow, FileState
from app.perks import shipping
from app.perks.code_models import CodeState
from app.perks.models import HoldingState
from app.perks.shipping import Address
from app.perks.terms import Options, RedemptionType
from app.privacy import copies, erasure
from app.privacy.errors import CopyNotFoundError, ErasureStateError, ReasonMissingError
from app.privacy.known import everything_of
from app.rewards.models import Grant, GrantSource, GrantState
from app.users import consents, lists, queries, record
from app.users.imports import running
from app.users.imports import service as imports
from app.users.imports.models import (
    ImportChange,
    ImportConflict,
    ImportKind,
    ImportRefusal,
    ImportState,
    UserImport,
)
from app.users.models import User, UserState
from app.users.service import ensure_user
from app.users.slots import Kind
from core.db import Base, unit_of_work
from core.events import Event
from core.ids import encode_id, new_id
from core.mail import MailState, OutgoingMail
from core.types import AudienceFileId, GrantId, ImportId, MailId, UserId
from minting.models import MembershipPass, PassState
from tests.conftest import NOW
from tests.factories.brand import make_asset, make_campaign, make_line, make_members
from tests.factories.imports import go_on
from tests.factories.people import make_property
from tests.factories.perks import codes_of, hold, load, perk_of
from tests.signing import acting_as, reveal, stolen_key
from wallets.models import Wallet

DUE = NOW + timedelta(days=7)
CANARIES = {
    "email": "Kanarienvogel.Zwölf@Canary-Bücher.example",
    "key": "kanarienvogel.zwölf@xn--canary-bcher-klb.example",
    "first": "Ottilie-Canary",
    "last": "Vogelsang-Canary",
    "folded": "ottilie-canary",
    "phone": "+41798765432",
    "reference": "CANARY-REF-77",
    "text": "loves canary yellow",
    "number": "8765432.125",
    "proof": "form-canary-proof-3",
    "before": "Formername-Canary",
    "reason": "she asked by letter of canary day",
    "told": "ordered a canary cage",
    "external": "canary-order-2026",
}
STREET = "12 Canary Wharf Road"


def make_person(session: Session) -> User:
    """Somebody the brand knows a lot about, in every table that can."""
    user = ensure_user(session, CANARIES["email"], source="test", at=NOW)
    session.add(
        OutgoingMail(
            id=MailId(new_id()),
            recipient=CANARIES["email"],
            kind="sign_in",
            state=MailState.FAILED,
            next_try_at=NOW,
            created_at=NOW,
            error=f"550 no {CANARIES['email']} here",
        )
    )
    word, number = make_property(session, "Note"), make_property(session, "Amount", Kind.NUMBER)
    for step, texts in enumerate(
        (
            {"first_name": CANARIES["before"]},
            {
                "first_name": CANARIES["first"],
                "last_name": CANARIES["last"],
                "phone": CANARIES["phone"],
                "reference_id": CANARIES["reference"],
                encode_id("prp", word.id): CANARIES["text"],
                encode_id("prp", number.id): CANARIES["number"],
            },
        )
    ):
        at = NOW + timedelta(seconds=step)
        record.change(session, user, texts, version=user.version, at=at)
    row = consents.record(session, user, "terms", is_given=True, channel="form", at=NOW)
    row.proof = CANARIES["proof"]
    best = lists.create(session, "Best", at=NOW)
    lists.add(session, best, queries.only(user.id), reason="manual", at=NOW)
    name_in_files(session, user)
    bring_event(session, user)
    return user


def bring_event(session: Session, user: User) -> None:
    """Something happened to the person, as a file says."""
    content = f"email,time,event,event id,properties\n{user.email},2026-05-01,order,{{}},{{}}\n"
    said = content.format(CANARIES["external"], f'"{{""note"": ""{CANARIES["told"]}""}}"')
    row = imports.upload(
        session, "events.csv", io.BytesIO(said.encode()), kind=ImportKind.EVENTS, at=NOW
    )
    running.run_part(session, row.id, at=NOW)
    imports.start(session, row, at=NOW)
    go_on(session, row)
    assert row.created_count == 1


def name_in_files(session: Session, user: User) -> None:
    campaign = make_campaign(session)
    file = AudienceFile(
        id=AudienceFileId(new_id()),
        campaign_id=campaign.id,
        file_name="guests.csv",
        state=FileState.READY,
        actor="system",
        created_at=NOW,
    )
    session.add(file)
    session.flush()
    email, key = CANARIES["email"], user.email_key
    ours = {"file_id": file.id, "email": email, "email_key": key, "user_id": user.id}
    session.add(AudienceRow(line=2, key=CANARIES["reference"], **ours))
    said = f"{email}, {CANARIES['first']}"
    session.add(AudienceRow(file_id=file.id, line=3, reason="duplicate_row", text=said))
    line = make_line(session, campaign.id, make_asset(session).id)
    session.add(
        Grant(
            id=GrantId(new_id()),
            source_type=GrantSource.AIRDROP,
            source_id=campaign.id,
            reward_line_id=line.id,
            recipient_key=CANARIES["reference"],
            user_id=user.id,
            state=GrantState.DELIVERED,
            created_at=NOW,
        )
    )
    upload = UserImport(
        id=ImportId(new_id()),
        file_name="members.csv",
        state=ImportState.COMPLETED,
        columns=["email"],
        samples=[[email, CANARIES["last"]]],
        mapping={},
        actor="system",
        created_at=NOW,
    )
    session.add(upload)
    session.flush()
    cells = [email, CANARIES["last"]]
    session.add(ImportRefusal(import_id=upload.id, line=2, reason="reference_taken", cells=cells))
    session.add(
        ImportChange(
            merchant_id=upload.merchant_id,
            import_id=upload.id,
            user_id=user.id,
            changes={"last_name": [None, CANARIES["last"]]},
        )
    )
    session.add(
        ImportConflict(
            import_id=upload.id, user_id=user.id, field="last_name", now=CANARIES["last"]
        )
    )
    session.flush()


def leftovers(session: Session, wanted: dict[str, str]) -> dict[str, list[str]]:
    """Where each of these texts still is: every column of every table, whatever its type."""
    found: dict[str, list[str]] = {}
    with acting_as(session):
        columns = session.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = 'public' ORDER BY 1, 2"
            )
        ).all()
        assert {table for table, _ in columns} >= set(Base.metadata.tables)
        for table, column in columns:
            for name, needle in wanted.items():
                spellings = {needle.lower(), json.dumps(needle)[1:-1].lower()}
                hit = " OR ".join(
                    f'strpos(lower("{column}"::text), :n{i}) > 0' for i in range(len(spellings))
                )
                values = {f"n{i}": it for i, it in enumerate(sorted(spellings))}
                query = text(f'SELECT 1 FROM "{table}" WHERE {hit} LIMIT 1')
                if session.execute(query, values).first():
                    found.setdefault(name, []).append(f"{table}.{column}")
    return found


def erase(session: Session, user: User) -> None:
    row = erasure.request(session, user, reason=CANARIES["reason"], at=NOW)
    erasure.erase(session, row.id, at=DUE)


class TestErase:
    def test_leaves_nothing_of_the_person_in_any_column(
        self, session: Session, merchant: Merchant
    ) -> None:
        user = make_person(session)
        row = erasure.request(session, user, reason=CANARIES["reason"], at=NOW)
        sessions.open_space_session(session, merchant.id, user.id, at=NOW)
        wanted = {**CANARIES, "key": user.email_key}
        asked = signin.Request(Audience.SPACE, merchant.id, user.email, "browser", "10.0.0.1")
        signin.start(session, asked, at=NOW)
        found = leftovers(session, wanted)
        assert set(found) == set(CANARIES) and "login_tokens.email_key" in found["key"]
        erasure.erase(session, row.id, at=DUE)
        assert leftovers(session, wanted) == {}

    def test_keeps_the_books(self, session: Session) -> None:
        user = make_person(session)
        before = session.scalar(select(func.count()).select_from(Grant))
        erase(session, user)
        assert session.scalar(select(func.count()).select_from(Grant)) == before == 1
        assert session.scalars(select(Grant.recipient_key)).one() == str(user.id)
        assert session.scalars(select(MembershipPass)).one().user_id == user.id
        assert [it.is_given for it in consents.history(session, user.id)] == [True]

    def test_tells_of_it_once_and_frees_the_address(self, session: Session) -> None:
        user = make_person(session)
        row = erasure.request(session, user, reason="asked", at=NOW)
        for _ in range(2):
            erasure.erase(session, row.id, at=DUE)
        told = select(func.count()).where(Event.type == "cohort.user.deleted")
        assert session.scalar(told) == 1
        left = select(Event.data).where(Event.type == "cohort.list.left")
        assert session.scalars(left).one()["reason"] == "erased"
        session.refresh(user)
        assert (user.state, user.display_name) == (UserState.ERASED, "erased")
        again = ensure_user(session, CANARIES["email"], source="space", at=DUE)
        assert again.id != user.id and again.state is UserState.ACTIVE

    def test_forgets_refused_rows_that_know_the_person_by_reference_alone(
        self, session: Session
    ) -> None:
        user = make_person(session)
        said = (
            "customer id,time,event,note\n"
            f"{CANARIES['reference']},soon,a,{CANARIES['told']}\nC-1,soon,a,of somebody else\n"
        )
        content = io.BytesIO(said.encode())
        row = imports.upload(session, "events.csv", content, kind=ImportKind.EVENTS, at=NOW)
        running.run_part(session, row.id, at=NOW)
        imports.preview(session, row, at=NOW)
        go_on(session, row)
        imports.start(session, row, at=NOW)
        go_on(session, row)
        assert row.rejected_count == 2
        erase(session, user)
        assert leftovers(session, CANARIES) == {}
        kept = session.scalars(select(ImportRefusal.cells))
        assert [it for it in kept if "of somebody else" in it] != []

    def test_the_next_import_of_an_old_file_does_not_bring_the_person_back(
        self, session: Session
    ) -> None:
        erase(session, make_person(session))
        content = f"email\n{CANARIES['email']}\n"
        row = imports.upload(session, "old.csv", io.BytesIO(content.encode()), at=DUE)
        running.run_part(session, row.id, at=DUE)
        imports.start(session, row, at=DUE)
        go_on(session, row)
        assert (row.created_count, row.rejected_count) == (0, 1)

    def test_takes_those_who_were_merged_along(self, session: Session) -> None:
        user = make_person(session)
        [other] = make_members(session, "second-canary@example.com")
        row = session.get_one(User, other)
        row.state, row.merged_into_id = UserState.MERGED, user.id
        session.flush()
        erase(session, user)
        assert leftovers(session, {"second": "second-canary"}) == {}

    def test_leaves_everybody_else_alone(self, session: Session) -> None:
        user = make_person(session)
        [other] = make_members(session, "ada@example.com")
        ada = session.get_one(User, other)
        record.change(session, ada, {"first_name": "Ada"}, version=1, at=NOW)
        erase(session, user)
        session.refresh(ada)
        assert (ada.email, ada.first_name, ada.state) == ("ada@example.com", "Ada", "active")
        assert session.scalar(text("SELECT count(*) FROM property_changes")) == 1

    def test_deletes_copies(self, session: Session) -> None:
        user = make_person(session)
        copy = copies.request(session, user, at=NOW)
        copies.make(session, copy.id, at=NOW)
        erase(session, user)
        with pytest.raises(CopyNotFoundError):
            copies.read(session, user.id, copy.id, at=NOW)
        copies.file_of(copy.id).unlink()


class TestPerks:
    def test_are_lost_with_their_codes_and_addresses(self, session: Session) -> None:
        user = ensure_user(session, CANARIES["email"], source="test", at=NOW)
        coffee = perk_of(session, RedemptionType.UNIQUE_CODE)
        head, email = "code,expiresAt,email", CANARIES["email"]
        load(session, coffee, f"{head}\nA,,\nB,,{email}\nC,,x@y.example\n")
        mug = perk_of(session, RedemptionType.PHYSICAL, title="Mug")
        code, parcel = (hold(session, it, CANARIES["email"]) for it in (coffee, mug))
        address = Address("O", STREET, "", "1000", "Brussels", "", "BE")
        shipping.give_address(session, parcel, address, terms=Options(), at=NOW)
        load(session, coffee, f"{head}\nD,,{email}\n", name="d.csv")
        told = everything_of(session, user, at=NOW)
        assert {it["code"] for it in told["perks"]} == {"B", None}
        assert STREET in json.dumps(told["perks"])
        assert told["keptCodes"] == [{"perk": "Coffee"}]
        seen = select(func.count()).where(Event.type == "cohort.perk.code-revealed")
        assert session.scalar(seen) == 1
        erase(session, user)
        session.expire_all()
        assert (code.state, parcel.state) == (HoldingState.REVOKED, HoldingState.REVOKED)
        assert shipping.address_of(session, parcel) is None
        found = {it: row.reserved_for for it, row in codes_of(session, coffee).items()}
        assert found == {"A": None, "B": None, "C": "x@y.example", "D": None}
        assert codes_of(session, coffee)["D"].state is CodeState.FREE


class TestGrace:
    def test_nothing_happens_before_it_is_over(self, session: Session) -> None:
        user = make_person(session)
        row = erasure.request(session, user, reason="asked", at=NOW)
        erasure.erase(session, row.id, at=DUE - timedelta(seconds=1))
        session.refresh(user)
        assert user.state is UserState.ACTIVE

    def test_it_can_be_taken_back(self, session: Session) -> None:
        user = make_person(session)
        row = erasure.request(session, user, reason="asked", at=NOW)
        erasure.cancel(session, user, at=NOW)
        erasure.erase(session, row.id, at=DUE)
        session.refresh(user)
        assert user.state is UserState.ACTIVE
        with pytest.raises(ErasureStateError):
            erasure.cancel(session, user, at=NOW)

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\0b"])
    def test_a_reason_is_needed(self, session: Session, reason: str) -> None:
        user = make_person(session)
        with pytest.raises(ReasonMissingError):
            erasure.request(session, user, reason=reason, at=NOW)

    def test_it_is_asked_for_once(self, session: Session) -> None:
        user = make_person(session)
        erasure.request(session, user, reason="asked", at=NOW)
        with pytest.raises(ErasureStateError):
            erasure.request(session, user, reason="again", at=NOW)

    def test_who_was_erased_is_not_erased_again(self, session: Session) -> None:
        user = make_person(session)
        erase(session, user)
        session.refresh(user)
        with pytest.raises(ErasureStateError):
            erasure.request(session, user, reason="again", at=NOW)


class TestKeys:
    def wallet_of(self, session: Session, user: UserId) -> Wallet:
        return session.scalars(select(Wallet).where(Wallet.owner_id == user)).one()

    def settle(self, session: Session, user: UserId) -> None:
        with acting_as(session):
            session.execute(
                text(
                    "UPDATE passes SET state = 'active', batch_number = 0, index = 0"
                    " WHERE user_id = :user"
                ),
                {"user": user},
            )
        session.expire_all()

    def test_stay_while_the_pass_is_on_its_way(self, session: Session) -> None:
        user = make_person(session)
        assert session.scalars(select(MembershipPass.state)).one() is PassState.QUEUED
        row = erasure.request(session, user, reason="asked", at=NOW)
        assert not erasure.destroy_keys(session, row.id, at=DUE)
        erasure.erase(session, row.id, at=DUE)
        assert not erasure.destroy_keys(session, row.id, at=DUE)
        assert len(stolen_key(session, self.wallet_of(session, user.id).address)) == 32

    def test_are_destroyed_once_everything_is_final(self, session: Session) -> None:
        user = make_person(session)
        row = erasure.request(session, user, reason="asked", at=NOW)
        self.settle(session, user.id)
        erasure.erase(session, row.id, at=DUE)
        for _ in range(2):
            assert erasure.destroy_keys(session, row.id, at=DUE)
        wallet = self.wallet_of(session, user.id)
        session.refresh(wallet)
        reveal(session, wallet)
        assert wallet.ciphertext == b"" and wallet.destroyed_at is not None


def test_a_property_on_its_way_out_is_cleared_too(session: Session) -> None:
    user = make_person(session)
    session.execute(
        text("UPDATE properties SET deleted_at = now() WHERE name = 'Note'"),
    )
    session.expire_all()
    erase(session, user)
    assert leftovers(session, {"text": CANARIES["text"]}) == {}


def test_the_engine_finds_what_is_due(merchant: Merchant) -> None:
    def due(at: Any) -> int:
        return len(list(upkeep.due_work(at)))

    with unit_of_work(merchant=merchant.id) as session:
        user = make_person(session)
        erasure.request(session, user, reason="asked", at=NOW)
    assert due(NOW) == 0 and due(DUE) == 1
    with unit_of_work(merchant=merchant.id) as session:
        copies.request(session, session.get_one(User, user.id), at=NOW)
    assert due(NOW) == 1

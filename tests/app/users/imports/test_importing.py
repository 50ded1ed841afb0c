"""Imports: the example file as promised, every option, refusals, and undoing."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.uploads.export import safe_cell
from app.users import consents, forgotten, lists, properties, provisioning
from app.users.fields import of_property
from app.users.imports import queries, running, service
from app.users.imports.cells import Reading
from app.users.imports.errors import ImportNotFoundError, ImportStateError, MappingInvalidError
from app.users.imports.models import (
    ImportChange,
    ImportState,
    Mode,
    OnDuplicate,
    OnEmpty,
    UserImport,
)
from app.users.imports.service import Options
from app.users.models import Consent, ErasedAddress, ListMember, Property, User, UserList
from app.users.service import ensure_user
from app.users.slots import Kind
from core.db import unit_of_work
from core.events import Event
from core.ids import encode_id, new_id
from core.types import ImportId, ListId
from minting import passes
from minting.models import MembershipPass, PassState
from tests.conftest import NOW
from tests.factories.brand import make_other_merchant
from tests.factories.imports import count, counts, go_on, refused, run, upload

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


def user(session: Session, key: str) -> User:
    session.expire_all()
    return session.scalars(select(User).where(User.email_key == key)).one()


def own(session: Session, key: str, column: str) -> Any:
    return session.scalar(text(f"SELECT {column} FROM users WHERE email_key = :key"), {"key": key})


class TestExample:
    @pytest.fixture
    def done(self, session: Session) -> UserImport:
        """The example file, imported."""
        return run(session, (EXAMPLES / "members.csv").read_bytes())

    def test_refuses_exactly_what_was_announced(self, session: Session, done: UserImport) -> None:
        announced = json.loads((EXAMPLES / "expected_refusals.json").read_text("utf-8"))
        found = [
            {"line": r.line, "reason": r.reason, "email": r.cells[0]}
            for r in queries.list_refusals(session, done.id)
        ]
        assert found == announced
        assert done.state is ImportState.COMPLETED_WITH_ERRORS

    def test_makes_a_thousand_members_who_then_get_wallet_and_pass(
        self, session: Session, done: UserImport
    ) -> None:
        assert counts(done) == (1000, 0, 0, 10)
        assert count(session, User) == 1000
        assert count(session, Event, type="cohort.user.created") == 1000
        assert count(session, MembershipPass) == 0
        assert provisioning.waiting_count(session) == 1000

    def test_again_changes_nobody(self, session: Session, done: UserImport) -> None:
        again = run(session, (EXAMPLES / "members.csv").read_bytes())
        assert counts(again) == (0, 0, 1000, 10)
        assert refused(session, again) == refused(session, done)
        assert count(session, User) == 1000


class TestUpload:
    def test_proposes_the_obvious_mapping(self, session: Session) -> None:
        row = upload(session, "Mail,Given name,points\na@example.com,Ada,7\n")
        assert row.mapping == {"0": "email", "1": "first_name"}
        assert row.state is ImportState.ANALYSED

    def test_remembers_how_such_a_file_was_mapped(self, session: Session) -> None:
        content = "contact,called\na@example.com,Ada\n"
        options = Options(on_empty=OnEmpty.CLEAR)
        run(session, content, mapping={0: "email", 1: "last_name"}, options=options)
        row = upload(session, content)
        assert row.mapping == {"0": "email", "1": "last_name"}
        assert service.load_options(row.options) == options

    @pytest.mark.parametrize(
        "content",
        [b"", b"\x00\x01\x02\x03" * 100, b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"PK\x03\x04no"],
    )
    def test_of_what_is_no_table_says_so(self, session: Session, content: bytes) -> None:
        row = upload(session, content)
        assert row.state is ImportState.FAILED
        assert row.failure is not None and row.failure.endswith((".", "that."))

    def test_without_rows_says_so(self, session: Session) -> None:
        row = upload(session, "email,name\n")
        assert row.failure is not None and "no rows" in row.failure

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_is_read_however_it_was_written(
        self, session: Session, encoding: str, delimiter: str
    ) -> None:
        rows = [["email", "last name"], ["a@example.com", "Müller"], ["b@example.com", 'x"\ny']]
        output = io.StringIO(newline="")
        csv.writer(output, delimiter=delimiter).writerows(rows)
        row = run(session, output.getvalue().encode(encoding))
        assert counts(row) == (2, 0, 0, 0)
        assert user(session, "a@example.com").last_key == "muller"
        assert user(session, "b@example.com").last_name == 'x"\ny'

    def test_can_be_without_a_header(self, session: Session) -> None:
        row = upload(session, "a@example.com,Ada\nb@example.com,Bo\n")
        layout = service.load_layout(row)
        service.choose_layout(
            session, row, type(layout)(**{**layout.__dict__, "has_header": False})
        )
        go_on(session, row)
        assert row.columns == ["Column 1", "Column 2"]
        service.choose_mapping(session, row, {0: "email", 1: "first_name"})
        service.start(session, row, at=NOW)
        assert counts(go_on(session, row)) == (2, 0, 0, 0)


class TestStart:
    def test_twice_is_once(self, session: Session) -> None:
        row = run(session, "email\na@example.com\n")
        service.start(session, row, at=NOW)
        assert row.state is ImportState.COMPLETED
        assert not running.run_part(session, row.id, at=NOW)

    def test_afterwards_the_mapping_stays(self, session: Session) -> None:
        row = run(session, "email\na@example.com\n")
        with pytest.raises(ImportStateError):
            service.choose_mapping(session, row, {0: "email"})

    @pytest.mark.parametrize(
        "mapping", [{}, {0: "first_name"}, {0: "email", 1: "email"}, {7: "email"}]
    )
    def test_needs_a_mapping_that_says_who(self, session: Session, mapping: dict[int, str]) -> None:
        row = upload(session, "a,b\nc,d\n")
        with pytest.raises(MappingInvalidError):
            service.choose_mapping(session, row, mapping)

    def test_an_import_of_another_merchant_does_not_exist(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant), actor="test") as session:
            theirs = upload(session, "email\na@example.com\n").id
        with unit_of_work(merchant=merchant.id) as session, pytest.raises(ImportNotFoundError):
            service.get(session, theirs)
        with unit_of_work(merchant=merchant.id) as session, pytest.raises(ImportNotFoundError):
            service.get(session, ImportId(new_id()))

    def test_a_pause_stops_it_until_it_is_resumed(self, session: Session) -> None:
        row = upload(session, "email\na@example.com\n")
        service.start(session, row, at=NOW)
        service.pause(session, row)
        assert not running.run_part(session, row.id, at=NOW)
        assert row.state is ImportState.PAUSED
        service.resume(session, row, at=NOW)
        assert counts(go_on(session, row)) == (1, 0, 0, 0)


class TestFileThatWentBad:
    def test_that_was_deleted_ends_it_with_what_to_do(self, session: Session) -> None:
        row = upload(session, "email\na@example.com\n")
        service.start(session, row, at=NOW)
        service.forget_files(row.id)
        go_on(session, row)
        assert row.state is ImportState.FAILED
        assert row.failure is not None and "Upload it again" in row.failure

    def test_a_quote_that_is_never_closed_names_the_line(self, session: Session) -> None:
        row = run(session, 'email,note\na@example.com,x\nb@example.com,"open\nc@example.com,y\n')
        assert row.state is ImportState.FAILED
        assert row.failure is not None and "quote" in row.failure and "Line " in row.failure


class TestUpdate:
    def test_what_the_file_says_otherwise_is_overwritten_and_empty_cells_are_skipped(
        self, session: Session
    ) -> None:
        run(session, "email,first_name,last_name\na@example.com,Ada,King\nb@example.com,Bob,\n")
        row = run(session, "email,first_name,last_name\nA@example.com,Augusta,\nb@example.com,,\n")
        assert counts(row) == (0, 1, 1, 0)
        ada = user(session, "a@example.com")
        assert (ada.first_name, ada.last_name, ada.name_key) == ("Augusta", "King", "augusta king")
        assert (ada.first_key, ada.version) == ("augusta", 2)
        [event] = session.scalars(select(Event).where(Event.type == "cohort.user.updated"))
        assert event.data == {"changed": ["first_name"]}

    def test_empty_cells_clear_when_they_shall(self, session: Session) -> None:
        run(session, "email,first_name,last_name\na@example.com,Ada,King\n")
        options = Options(on_empty=OnEmpty.CLEAR)
        row = run(session, "email,first_name,last_name\na@example.com,,King\n", options=options)
        assert counts(row) == (0, 1, 0, 0)
        ada = user(session, "a@example.com")
        assert (ada.first_name, ada.first_key, ada.name_key) == (None, None, "king")

    def test_a_reference_of_somebody_else_is_refused(self, session: Session) -> None:
        run(session, "email,customer id\na@example.com,7\n")
        row = run(session, "email,customer id\nb@example.com,7\nc@example.com,8\nd@example.com,8\n")
        assert refused(session, row) == [(2, "reference_taken"), (4, "reference_taken")]
        assert count(session, User) == 2

    def test_by_reference_known_people_are_found_and_nobody_is_created(
        self, session: Session
    ) -> None:
        run(session, "email,customer id\na@example.com,7\n")
        row = run(session, "customer id,first name\n7,Ada\n8,Bob\n,Cy\n")
        assert counts(row) == (0, 1, 0, 2)
        assert refused(session, row) == [(3, "unknown_user"), (4, "reference_missing")]
        assert user(session, "a@example.com").first_name == "Ada"

    @pytest.mark.parametrize(
        ("mode", "reason"), [(Mode.UPDATE_ONLY, "unknown_user"), (Mode.CREATE_ONLY, "exists")]
    )
    def test_a_narrower_mode_refuses_the_others(
        self, session: Session, mode: Mode, reason: str
    ) -> None:
        run(session, "email\na@example.com\n")
        content = "email,first name\na@example.com,Ada\nb@example.com,Bo\n"
        row = run(session, content, options=Options(mode=mode))
        assert refused(session, row) == [(3 if mode is Mode.UPDATE_ONLY else 2, reason)]

    def test_who_was_erased_is_not_created_again(self, session: Session) -> None:
        run(session, "email\na@example.com\n")
        session.execute(update(User).values(state="erased"))
        row = run(session, "email\na@example.com\n")
        assert refused(session, row) == [(2, "user_erased")]


class TestDuplicates:
    CONTENT = "email,first name\na@example.com,One\nb@example.com,Bo\nA@example.com,Two\n"

    @pytest.mark.parametrize(
        ("rule", "lines", "name"),
        [
            (OnDuplicate.FIRST, [4], "One"),
            (OnDuplicate.LAST, [2], "Two"),
            (OnDuplicate.REJECT, [2, 4], None),
        ],
    )
    def test_go_by_the_rule(
        self, session: Session, rule: OnDuplicate, lines: list[int], name: str | None
    ) -> None:
        row = run(session, self.CONTENT, options=Options(on_duplicate=rule))
        assert refused(session, row) == [(line, "duplicate_in_file") for line in lines]
        found = session.scalar(select(User.first_name).where(User.email_key == "a@example.com"))
        assert found == name

    def test_of_refused_rows_are_none(self, session: Session) -> None:
        row = run(session, "email,lang\na@example.com,xyz\na@example.com,fr\n")
        assert refused(session, row) == [(2, "type_mismatch:lang")]
        assert counts(row) == (1, 0, 0, 1)


class TestProperties:
    CONTENT = (
        "email,Size,Points,Since,Fan\n"
        "a@example.com,Größe 5,12.50,2024-02-29,yes\n"
        "b@example.com,x,many,2024-02-30,perhaps\n"
        "c@example.com,,1e2,,\n"
    )

    @pytest.fixture
    def own_properties(self, session: Session) -> list[Property]:
        """One of each kind."""
        kinds = {"Size": Kind.TEXT, "Points": Kind.NUMBER, "Since": Kind.DATE, "Fan": Kind.BOOLEAN}
        return [properties.create(session, name, kind, at=NOW) for name, kind in kinds.items()]

    def test_are_found_by_name_and_kept_in_their_columns(
        self, session: Session, own_properties: list[Property]
    ) -> None:
        row = run(session, self.CONTENT)
        assert counts(row) == (2, 0, 0, 1)
        assert refused(session, row) == [(3, "type_mismatch:points")]
        found = own(session, "a@example.com", "ARRAY[t1, k1]")
        assert found == ["Größe 5", "grosse 5"]
        assert own(session, "a@example.com", "n1") == Decimal("12.5")
        assert own(session, "c@example.com", "n1") == Decimal(100)
        assert own(session, "a@example.com", "d1") == datetime(2024, 2, 29, tzinfo=UTC)
        assert own(session, "a@example.com", "b1") is True

    def test_a_refusal_says_line_column_and_what_it_would_take(
        self, session: Session, own_properties: list[Property]
    ) -> None:
        row = run(session, self.CONTENT)
        [refusal] = queries.list_refusals(session, row.id)
        assert row.columns[refusal.position or 0] == "Points"
        assert refusal.hint == "Enter a number such as 12 or 3.5."

    def test_dates_that_are_not_clear_are_refused_unless_the_order_is_said(
        self, session: Session, own_properties: list[Property]
    ) -> None:
        content = 'email,Since,Points\na@example.com,03/04/2026,"1.234,5"\n'
        row = run(session, content)
        assert refused(session, row) == [(2, "date_ambiguous")]
        row = run(session, content, options=Options(reading=Reading(",", "dmy")))
        assert counts(row) == (1, 0, 0, 0)
        assert own(session, "a@example.com", "d1") == datetime(2026, 4, 3, tzinfo=UTC)
        assert own(session, "a@example.com", "n1") == Decimal("1234.5")

    def test_too_long_texts_are_refused(
        self, session: Session, own_properties: list[Property]
    ) -> None:
        row = run(session, f"email,Size\na@example.com,{'x' * 2_001}\n")
        assert refused(session, row) == [(2, "value_too_long:size")]


class TestPreview:
    def test_says_what_the_run_then_does_and_writes_nothing(self, session: Session) -> None:
        run(session, "email,first name\na@example.com,Ada\nb@example.com,Bo\n")
        content = "email,first name\na@example.com,Eve\nb@example.com,Bo\nc@x.com,\nC@x.com,\n,\n"
        row = upload(session, content)
        service.choose_mapping(session, row, {0: "email", 1: "first_name"})
        service.preview(session, row, at=NOW)
        go_on(session, row)
        assert row.state is ImportState.PREVIEWED and row.preview is not None
        said = row.preview
        assert (said["created"], said["updated"], said["unchanged"]) == (1, 1, 1)
        assert said["refused"] == {"duplicate_in_file": 1, "email_missing": 1}
        assert said["changes"][0]["changes"] == {"first_name": ["Ada", "Eve"]}
        assert count(session, User) == 2
        service.start(session, row, at=NOW)
        assert counts(go_on(session, row)) == (1, 1, 1, 2)


class TestLists:
    def test_everybody_of_the_file_is_on_the_list_once(self, session: Session) -> None:
        run(session, "email\na@example.com\n")
        made = UserList(id=ListId(new_id()), name="VIP", created_at=NOW)
        session.add(made)
        session.flush()
        content = "email\na@example.com\nb@example.com\nnobody\n"
        row = run(session, content, list_id=made.id)
        assert row.listed_count == count(session, ListMember, list_id=made.id) == 2
        assert count(session, Event, type="cohort.list.joined") == 2
        assert run(session, content, list_id=made.id).listed_count == 0
        told = session.scalars(select(Event.data).where(Event.type == "cohort.list.joined"))
        name = encode_id("lst", made.id)
        assert {tuple(sorted(it.items())) for it in told} == {
            (("cohortId", name), ("listId", name), ("reason", "import"))
        }

    def test_unknown_people_are_refused_when_nobody_shall_be_created(
        self, session: Session
    ) -> None:
        run(session, "email\na@example.com\n")
        made = lists.create(session, "VIP", at=NOW)
        options = Options(mode=Mode.UPDATE_ONLY)
        content = "email\na@example.com\nb@example.com\n"
        row = run(session, content, list_id=made.id, options=options)
        assert refused(session, row) == [(3, "unknown_user")]
        assert row.listed_count == count(session, ListMember, list_id=made.id) == 1

    def test_who_was_merged_comes_on_no_list(self, session: Session) -> None:
        run(session, "email\na@example.com\nb@example.com\n")
        who = user(session, "b@example.com").id
        session.execute(
            update(User)
            .where(User.email_key == "a@example.com")
            .values(state="merged", merged_into_id=who)
        )
        made = lists.create(session, "VIP", at=NOW)
        row = run(session, "email,first name\na@example.com,Ada\n", list_id=made.id)
        assert refused(session, row) == [(2, "user_merged")]
        assert count(session, ListMember) == 0


CONSENTS = {0: "email", 1: "consent:marketing_email", 2: "consent:terms"}


class TestConsents:
    CONTENT = (
        "email,Newsletter,terms\na@example.com,yes,\nb@example.com,no,yes\n"
        "c@example.com,perhaps,\nd@example.com,,\n"
    )

    def said(self, session: Session, key: str) -> dict[str, bool]:
        who = user(session, key).id
        return {it.purpose: it.is_given for it in consents.current(session, [who])}

    def test_are_answers_with_the_import_as_proof(self, session: Session) -> None:
        row = run(session, self.CONTENT, mapping=CONSENTS)
        assert refused(session, row) == [(4, "type_mismatch:marketing_email")]
        assert (*counts(row), row.consent_count) == (3, 0, 0, 1, 3)
        assert self.said(session, "a@example.com") == {"marketing_email": True}
        assert self.said(session, "b@example.com") == {"marketing_email": False, "terms": True}
        assert self.said(session, "d@example.com") == {}
        for consent in session.scalars(select(Consent)):
            assert (consent.channel, consent.proof) == ("import", encode_id("imp", row.id))
        told = session.scalars(
            select(Event.data).where(Event.type == "cohort.user.consent-updated")
        )
        assert sorted((it["purpose"], it["given"]) for it in told) == [
            ("marketing_email", False),
            ("marketing_email", True),
            ("terms", True),
        ]

    def test_that_say_the_same_again_add_nothing_and_others_do(self, session: Session) -> None:
        run(session, self.CONTENT, mapping=CONSENTS)
        again = run(session, self.CONTENT, mapping=CONSENTS)
        assert (again.consent_count, count(session, Consent)) == (0, 3)
        other = run(
            session,
            "email,x\na@example.com,no\n",
            mapping={0: "email", 1: "consent:marketing_email"},
        )
        assert (counts(other), other.consent_count) == ((0, 0, 1, 0), 1)
        assert self.said(session, "a@example.com") == {"marketing_email": False}

    def test_are_counted_by_a_trial_that_writes_none(self, session: Session) -> None:
        run(session, "email\na@example.com\n")
        row = upload(session, self.CONTENT)
        service.choose_mapping(session, row, CONSENTS)
        service.preview(session, row, at=NOW)
        go_on(session, row)
        assert row.preview is not None and row.preview["consents"] == 3
        assert count(session, Consent) == 0

    def test_in_live_mode_rest_on_something(self, session: Session, merchant: Merchant) -> None:
        row = upload(session, self.CONTENT)
        service.choose_mapping(session, row, CONSENTS)
        session.execute(update(Merchant).values(mode="live"))
        session.expire_all()
        for begin in (service.preview, service.start):
            with pytest.raises(MappingInvalidError, match="rest"):
                begin(session, row, at=NOW)
        with pytest.raises(MappingInvalidError, match="2,000"):
            options = Options(consent_basis="x" * 2_001)
            service.choose_mapping(session, row, CONSENTS, options=options)
        options = Options(consent_basis="Paper forms, spring fair 2026")
        service.choose_mapping(session, row, CONSENTS, options=options)
        service.start(session, row, at=NOW)
        assert go_on(session, row).consent_count == 3
        service.choose_mapping(session, upload(session, "email\na@example.com\n"), {0: "email"})

    def test_rest_on_what_is_said_of_each_file_anew(self, session: Session) -> None:
        options = Options(consent_basis="The fair", is_recreating=True, on_empty=OnEmpty.CLEAR)
        run(session, self.CONTENT, mapping=CONSENTS, options=options)
        again = service.load_options(upload(session, self.CONTENT).options)
        assert again == Options(on_empty=OnEmpty.CLEAR)

    @pytest.mark.parametrize("purpose", ["Two words", "", "x" * 51, "ümlaut", 'a"; --'])
    def test_have_a_purpose_that_can_be_one(self, session: Session, purpose: str) -> None:
        row = upload(session, self.CONTENT)
        with pytest.raises(MappingInvalidError):
            service.choose_mapping(session, row, {0: "email", 1: f"consent:{purpose}"})

    def test_have_twenty_purposes_at_most(self, session: Session) -> None:
        names = [f"p{number}" for number in range(18)]
        header = ",".join(names)
        row = upload(session, f"email,{header}\na@example.com{',yes' * 18}\n")
        mapping = {at: f"consent:{name}" for at, name in enumerate(names, start=1)}
        with pytest.raises(MappingInvalidError, match="20 purposes"):
            service.choose_mapping(session, row, {0: "email", **mapping})
        del mapping[18]
        service.choose_mapping(session, row, {0: "email", **mapping})
        service.start(session, row, at=NOW)
        assert go_on(session, row).consent_count == 17
        assert "p0" in consents.purposes(session)

    def test_are_taken_back_by_another_answer_unless_the_person_answered_since(
        self, session: Session
    ) -> None:
        run(session, "email\na@example.com\nb@example.com\nc@example.com\n")
        ada, bob = user(session, "a@example.com"), user(session, "b@example.com")
        consents.record(session, ada, "terms", is_given=True, channel="space", at=NOW)
        content = "email,terms\na@example.com,no\nb@example.com,yes\nc@example.com,yes\n"
        row = run(session, content, mapping={0: "email", 1: "consent:terms"})
        assert row.consent_count == 3
        consents.record(session, bob, "terms", is_given=False, channel="space", at=NOW)
        consents.record(session, bob, "terms", is_given=True, channel="space", at=NOW)
        service.undo(session, row, at=NOW)
        go_on(session, row)
        assert self.said(session, "a@example.com") == {"terms": True}
        assert self.said(session, "b@example.com") == {"terms": True}
        assert self.said(session, "c@example.com") == {"terms": False}
        assert count(session, Consent, channel="undo") == 2

    def test_of_people_the_import_created_go_with_them(self, session: Session) -> None:
        content = "email,terms\na@example.com,yes\nb@example.com,yes\n"
        row = run(session, content, mapping={0: "email", 1: "consent:terms"})
        bob = user(session, "b@example.com")
        consents.record(session, bob, "terms", is_given=False, channel="space", at=NOW)
        service.undo(session, row, at=NOW)
        go_on(session, row)
        assert session.scalars(select(User.email_key)).all() == ["b@example.com"]
        assert count(session, Consent, user_id=bob.id) == count(session, Consent) == 2
        assert row.conflict_count == 1


class TestErasedAddresses:
    CONTENT = "email\na@example.com\nb@example.com\n"

    def test_are_refused_unless_these_people_shall_be_there_again(self, session: Session) -> None:
        forgotten.remember(session, ["a@example.com"])
        row = run(session, self.CONTENT)
        assert refused(session, row) == [(2, "user_erased")]
        [refusal] = queries.list_refusals(session, row.id)
        assert (refusal.position, counts(row)) == (0, (1, 0, 0, 1))
        again = run(session, self.CONTENT, options=Options(is_recreating=True))
        assert counts(again) == (1, 0, 1, 0)
        assert user(session, "a@example.com").state == "active"

    def test_of_who_joined_again_count_like_any(self, session: Session) -> None:
        forgotten.remember(session, ["a@example.com"])
        ensure_user(session, "a@example.com", source="space", at=NOW)
        assert counts(run(session, self.CONTENT)) == (1, 0, 1, 0)

    def test_are_unknown_where_nobody_shall_be_created(self, session: Session) -> None:
        forgotten.remember(session, ["a@example.com"])
        row = run(session, self.CONTENT, options=Options(mode=Mode.UPDATE_ONLY))
        assert refused(session, row) == [(2, "unknown_user"), (3, "unknown_user")]

    def test_are_of_one_brand_and_cannot_be_read(
        self, merchant: Merchant, session: Session
    ) -> None:
        forgotten.remember(session, ["a@example.com"])
        [kept] = session.scalars(select(ErasedAddress.fingerprint))
        assert len(kept) == 32
        assert forgotten.erased(session, ["a@example.com", None, "A@example.com"]) == [
            *(True, False, False),
        ]
        with unit_of_work(merchant=make_other_merchant(merchant), actor="test") as theirs:
            assert forgotten.erased(theirs, ["a@example.com"]) == [False]
            forgotten.remember(theirs, ["a@example.com"])
            [other] = theirs.scalars(select(ErasedAddress.fingerprint))
        assert other != kept


class TestUndo:
    def undo(self, session: Session, row: UserImport) -> UserImport:
        service.undo(session, row, at=NOW)
        go_on(session, row)
        session.expire_all()
        return row

    def test_deletes_who_was_created_and_untouched_with_the_queued_pass(
        self, session: Session
    ) -> None:
        row = run(session, "email\na@example.com\nb@example.com\n")
        ids = session.scalars(select(User.id)).all()
        passes.queue(session, ids, at=NOW)
        self.undo(session, row)
        assert row.state is ImportState.UNDONE and row.conflict_count == 0
        assert count(session, User) == count(session, MembershipPass) == 0
        assert count(session, Event, type="cohort.user.deleted") == 2
        assert count(session, ImportChange) == 0

    def test_of_a_frozen_pass_the_row_stays_without_who_it_was(self, session: Session) -> None:
        row = run(session, "email,first name,customer id\na@example.com,Ada,7\n")
        passes.queue(session, session.scalars(select(User.id)).all(), at=NOW)
        session.execute(
            update(MembershipPass).values(state=PassState.MINTING, batch_number=0, index=0)
        )
        self.undo(session, row)
        left = session.scalars(select(User)).one()
        assert (left.state, left.first_name, left.first_key) == ("erased", None, None)
        assert (left.name_key, left.reference_id) == ("", None)
        assert "a@example.com" not in left.email + left.email_key

    def test_whoever_was_touched_since_stays(self, session: Session) -> None:
        row = run(session, "email\na@example.com\n")
        session.execute(update(User).values(last_seen_at=NOW))
        self.undo(session, row)
        assert row.conflict_count == 1
        assert count(session, User) == 1

    def test_returns_values_unless_they_were_changed_since(self, session: Session) -> None:
        made = properties.create(session, "Points", Kind.NUMBER, at=NOW)
        run(session, "email,first name,Points\na@x.com,Ada,1\nb@x.com,Bo,2\nc@x.com,,\n")
        before = session.execute(text("SELECT email, first_name, name_key, n1 FROM users")).all()
        row = run(session, "email,first name,Points\na@x.com,Eve,7\nb@x.com,Zoë,8\nc@x.com,Cy,9\n")
        session.execute(text("UPDATE users SET n1 = 5 WHERE email_key = 'b@x.com'"))
        self.undo(session, row)
        after = session.execute(text("SELECT email, first_name, name_key, n1 FROM users")).all()
        changed = {tuple(it) for it in after} - {tuple(it) for it in before}
        assert changed == {("b@x.com", "Bo", "bo", Decimal(5))}
        [conflict] = queries.list_conflicts(session, row.id)
        assert (conflict.field, conflict.before, conflict.imported, conflict.now) == (
            of_property(made).key,
            *("2", "8", "5"),
        )

    def test_takes_list_entries_back(self, session: Session) -> None:
        run(session, "email\na@example.com\n")
        made = UserList(id=ListId(new_id()), name="VIP", created_at=NOW)
        session.add(made)
        session.flush()
        row = run(session, "email\na@example.com\nb@example.com\n", list_id=made.id)
        self.undo(session, row)
        assert count(session, ListMember) == 0
        assert count(session, User) == 1

    def test_is_possible_for_thirty_days(self, session: Session) -> None:
        row = run(session, "email\na@example.com\n")
        with pytest.raises(ImportStateError):
            service.undo(session, row, at=NOW + timedelta(days=31))


class TestErrorFile:
    def rows(self, session: Session, row: UserImport) -> list[list[str]]:
        return list(csv.reader(io.StringIO("".join(queries.refusals_as_csv(session, row)))))

    def test_names_line_reason_and_column_before_the_cells(self, session: Session) -> None:
        row = run(session, 'email,note\na@example.com,x\nnobody,"two\nlines"\n,\na,b,c\n')
        header, *rows = self.rows(session, row)
        assert header == ["line", "reason", "column", "hint", "email", "note"]
        assert [[*it[:3], *it[4:]] for it in rows] == [
            ["3", "email_invalid", "email", "nobody", "two\nlines"],
            ["5", "email_missing", "email", "", ""],
            ["6", "column_count", "", "a", "b", "c"],
        ]

    def test_a_row_that_is_no_text_is_refused(self, session: Session) -> None:
        filler = b"".join(b"m%d@example.com,x\n" % number for number in range(6_000))
        row = upload(session, b"email,note\n" + filler + b"z@example.com,\xff\xfe\xfa\n")
        layout = service.load_layout(row)
        utf8 = type(layout)(**{**layout.__dict__, "encoding": "utf-8"})
        service.choose_layout(session, row, utf8)
        go_on(session, row)
        service.start(session, row, at=NOW)
        go_on(session, row)
        assert refused(session, row) == [(6_002, "encoding")]

    def test_no_cell_is_a_formula(self, session: Session) -> None:
        row = run(session, 'email,=1+1\n@SUM(A1),"=cmd|x"\n-1,+2\n')
        header, *rows = self.rows(session, row)
        assert header[4:] == ["email", "'=1+1"]
        assert [cells[4:] for cells in rows] == [["'@SUM(A1)", "'=cmd|x"], ["'-1", "'+2"]]

    @pytest.mark.parametrize("text", ["Ada", "a@example.com", "1-2", " =1", ""])
    def test_harmless_cells_stay_as_they_are(self, text: str) -> None:
        assert safe_cell(text) == text

    @pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
    def test_every_beginning_of_a_formula_is_quoted(self, first: str) -> None:
        assert safe_cell(f"{first}1") == f"'{first}1"

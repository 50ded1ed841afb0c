"""Events from files: who, when, what and the rest; once each, and gone again when undone."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select, text, tuple_, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.segments import keeping, rules
from app.segments import service as segments
from app.segments.models import SegmentMember
from app.users.imports import event_fields, running, service
from app.users.imports.cells import Reading
from app.users.imports.errors import MappingInvalidError
from app.users.imports.models import (
    ImportedEvent,
    ImportKind,
    ImportState,
    OnDuplicate,
    UserImport,
)
from app.users.imports.service import Options
from app.users.models import User
from app.users.slots import Kind
from core.db import Role, choose_merchant, unit_of_work
from core.event_cursor import EventCursor
from core.events import Event
from core.ids import encode_id
from core.types import MerchantId, UserId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members, make_other_merchant
from tests.factories.imports import count, counts, go_on, refused
from tests.factories.spreadsheets import day, workbook
from tests.factories.spreadsheets import text as xml

_UNREAD = (
    select(Event.id)
    .join(EventCursor, EventCursor.merchant_id == Event.merchant_id)
    .where(tuple_(Event.xid, Event.id) > tuple_(EventCursor.xid, EventCursor.event_id))
    .limit(1)
)
HEADER = "email,time,event,event id\n"
WHEN = "2026-05-01T10:00:00Z"


def upload(session: Session, content: str | bytes, name: str = "events.csv") -> UserImport:
    """The file of events, looked at."""
    raw = content.encode() if isinstance(content, str) else content
    row = service.upload(session, name, io.BytesIO(raw), kind=ImportKind.EVENTS, at=NOW)
    running.run_part(session, row.id, at=NOW)
    return row


def run(session: Session, content: str | bytes, **choices: Any) -> UserImport:
    """The events of this content, mapped as guessed and as said, imported to their end."""
    row = upload(session, content, choices.pop("name", "events.csv"))
    guessed = {int(at): key for at, key in row.mapping.items()}
    service.choose_mapping(session, row, guessed | choices.pop("also", {}), **choices)
    service.start(session, row, at=NOW)
    return go_on(session, row)


def events(session: Session) -> list[Event]:
    """What files told of, oldest first."""
    query = select(Event).where(Event.type.startswith(event_fields.PREFIX))
    query = query.order_by(Event.occurred_at, Event.type)
    return list(session.scalars(query.execution_options(populate_existing=True)))


@pytest.fixture
def people(session: Session) -> list[UserId]:
    """Ada and Bo."""
    return make_members(session, "ada@example.com", "bo@example.com")


class TestImport:
    def test_brings_each_event_with_who_when_and_what(
        self, session: Session, people: list[UserId]
    ) -> None:
        row = run(
            session,
            "Email,Time,Event,Event ID\n"
            f"ADA@example.com,{WHEN},order.paid,e1\n"
            "bo@example.com,2024-02-29 23:30:00+02:00,custom.visit,e2\n",
        )
        assert row.state is ImportState.COMPLETED
        assert counts(row) == (2, 0, 0, 0)
        said = [(it.user_id, it.type, it.occurred_at) for it in events(session)]
        assert said == [
            (people[1], "custom.visit", datetime(2024, 2, 29, 21, 30, tzinfo=UTC)),
            (people[0], "custom.order.paid", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ]
        [told] = session.scalars(select(Event).where(Event.type == "cohort.import.completed"))
        assert (told.data["rows"], told.data["created"]) == ("events", 2)

    def test_knows_people_by_reference_or_id_as_well(
        self, session: Session, people: list[UserId]
    ) -> None:
        session.execute(update(User).where(User.id == people[0]).values(reference_id="C-7"))
        by_reference = run(session, f"customer id,time,event\nC-7,{WHEN},a\nC-8,{WHEN},a\n")
        usr = encode_id("usr", people[1])
        by_id = run(session, f"user id,time,event\n{usr},{WHEN},b\nusr_1,{WHEN},b\n")
        assert [(it.user_id, it.type) for it in events(session)] == [
            (people[0], "custom.a"),
            (people[1], "custom.b"),
        ]
        assert refused(session, by_reference) == [(3, "unknown_user")]
        assert refused(session, by_id) == [(3, "type_mismatch:user_id")]

    def test_of_who_was_merged_the_events_are_of_who_stayed(
        self, session: Session, people: list[UserId]
    ) -> None:
        gone = update(User).where(User.id == people[1])
        session.execute(gone.values(state="merged", merged_into_id=people[0]))
        run(session, f"{HEADER}bo@example.com,{WHEN},a,1\n")
        assert [it.user_id for it in events(session)] == [people[0]]

    def test_takes_one_type_for_all_rows(self, session: Session, people: list[UserId]) -> None:
        content = f"email,time\nada@example.com,{WHEN}\nbo@example.com,{WHEN}\n"
        row = run(session, content, options=Options(event_type="custom.visit"))
        assert counts(row) == (2, 0, 0, 0)
        assert {it.type for it in events(session)} == {"custom.visit"}

    def test_reads_tables_however_they_were_written(
        self, session: Session, people: list[UserId]
    ) -> None:
        run(session, f"email\ttime\tevent\nada@example.com\t{WHEN}\ttsv\n".encode("utf-16"))
        book = workbook(
            xml("email") + xml("time") + xml("event"),
            xml("ada@example.com") + day(46_143) + xml("xlsx"),
        )
        run(session, book, name="events.xlsx")
        said = {it.type: it.occurred_at for it in events(session)}
        assert said == {
            "custom.xlsx": datetime(2026, 5, 1, tzinfo=UTC),
            "custom.tsv": datetime(2026, 5, 1, 10, tzinfo=UTC),
        }

    def test_makes_nobody(self, session: Session, people: list[UserId]) -> None:
        row = run(session, f"{HEADER}eve@example.com,{WHEN},a,1\nada@example.com,{WHEN},a,2\n")
        assert refused(session, row) == [(2, "unknown_user")]
        assert counts(row) == (1, 0, 0, 1)
        assert count(session, User) == 2

    def test_refuses_each_row_that_lacks_or_misspells_something(
        self, session: Session, people: list[UserId]
    ) -> None:
        row = run(
            session,
            f"{HEADER},{WHEN},a,1\nada@example.com,,a,2\nada@example.com,{WHEN},,3\n"
            "ada@example.com,soon,a,4\nada@example.com,03/04/2026,a,5\n"
            f"nobody,{WHEN},a,6\nada@example.com,{WHEN},Order Paid,7\n"
            f"ada@example.com,{WHEN},a,{'x' * 256}\nada@example.com,{WHEN}\n"
            "ada@example.com,2026-06-01T12:06:00Z,a,8\n",
        )
        assert refused(session, row) == [
            (2, "email_missing"),
            (3, "time_missing"),
            (4, "type_missing"),
            (5, "type_mismatch:event_time"),
            (6, "date_ambiguous"),
            (7, "email_invalid"),
            (8, "type_invalid"),
            (9, "value_too_long:event_id"),
            (10, "column_count"),
            (11, "time_in_future"),
        ]
        assert row.state is ImportState.COMPLETED_WITH_ERRORS
        assert events(session) == []

    def test_a_clock_that_is_a_little_ahead_is_believed(
        self, session: Session, people: list[UserId]
    ) -> None:
        row = run(session, f"{HEADER}ada@example.com,2026-06-01T12:04:59Z,a,1\n")
        assert counts(row) == (1, 0, 0, 0)

    def test_dates_are_read_as_the_file_writes_them(
        self, session: Session, people: list[UserId]
    ) -> None:
        content = f"{HEADER}ada@example.com,03/04/2026 08:30,a,1\n"
        run(session, content, options=Options(reading=Reading(date_order="dmy")))
        assert events(session)[0].occurred_at == datetime(2026, 4, 3, 8, 30, tzinfo=UTC)


class TestTypes:
    @pytest.mark.parametrize(
        "name",
        ["cohort.badge.gained", "cohort", "custom.cohort.badge.gained", "custom.custom.a"],
    )
    def test_no_file_tells_of_what_the_product_tells_of(
        self, session: Session, people: list[UserId], name: str
    ) -> None:
        before = count(session, Event)
        row = run(session, f"{HEADER}ada@example.com,{WHEN},{name},1\n")
        assert refused(session, row) == [(2, "type_reserved")]
        assert count(session, Event) == before + 1  # that the import has ended
        with pytest.raises(MappingInvalidError):
            run(
                session,
                f"email,time\nada@example.com,{WHEN}\n",
                options=Options(event_type=name),
            )


class TestMapping:
    @pytest.mark.parametrize(
        ("mapping", "event_type"),
        [
            ({1: "event_time", 2: "event_type"}, None),
            ({0: "email", 2: "event_type"}, None),
            ({0: "email", 1: "event_time"}, None),
            ({0: "email", 1: "event_time"}, "Not A Name"),
            ({0: "email", 1: "event_time", 2: "event_type"}, "a"),
            ({0: "email", 1: "event_time", 2: "event_type", 3: "reference_id"}, None),
            ({0: "email", 1: "event_time", 2: "event_time"}, "a"),
            ({0: "email", 1: "event_time", 2: "property:text:A", 3: "property:number:A"}, "a"),
            ({0: "email", 1: "event_time", 2: f"property:text:{'x' * 61}"}, "a"),
            ({0: "email", 1: "event_time", 9: "property:text:A"}, "a"),
        ],
    )
    def test_says_who_when_and_what_once(
        self, session: Session, mapping: dict[int, str], event_type: str | None
    ) -> None:
        row = upload(session, f"{HEADER}ada@example.com,{WHEN},a,1\n")
        with pytest.raises(MappingInvalidError):
            service.choose_mapping(session, row, mapping, options=Options(event_type=event_type))

    def test_is_guessed_and_remembered_apart_from_files_of_users(
        self, session: Session, people: list[UserId]
    ) -> None:
        content = "email,user id,time,event,points\nada@example.com,,2026-05-01,a,5\n"
        row = run(session, content, also={4: event_fields.property_key(Kind.NUMBER, "Points")})
        assert row.mapping == {
            "0": "email",
            "2": "event_time",
            "3": "event_type",
            "4": "property:number:Points",
        }
        assert upload(session, content).mapping == row.mapping
        of_users = service.upload(session, "users.csv", io.BytesIO(content.encode()), at=NOW)
        running.run_part(session, of_users.id, at=NOW)
        assert of_users.mapping == {"0": "email"}


class TestProperties:
    def test_come_from_a_column_of_json_and_from_columns_of_their_own(
        self, session: Session, people: list[UserId]
    ) -> None:
        columns = {
            4: event_fields.property_key(Kind.NUMBER, "amount"),
            5: event_fields.property_key(Kind.BOOLEAN, "is gift"),
            6: event_fields.property_key(Kind.DATE, "due"),
            7: event_fields.property_key(Kind.TEXT, "na\"me'); --"),
        }
        row = run(
            session,
            "email,time,event,properties,amount,gift,due,name\n"
            f'ada@example.com,{WHEN},a,"{{""amount"": 1, ""deep"": {{""x"": null}}}}",'
            '12.50,yes,2026-03-31 14:30,"O\'Neill, ""x"""\n'
            f"bo@example.com,{WHEN},b,,,,,\n",
            also=columns,
        )
        assert counts(row) == (2, 0, 0, 0)
        first, second = events(session)
        assert first.data == {
            "amount": 12.5,
            "deep": {"x": None},
            "is gift": True,
            "due": "2026-03-31T14:30:00.000Z",
            "na\"me'); --": 'O\'Neill, "x"',
        }
        assert second.data == {}
        kinds = "SELECT jsonb_typeof(data -> 'amount') FROM events WHERE type = 'custom.a'"
        assert session.scalar(text(kinds)) == "number"

    @pytest.mark.parametrize(
        "said",
        [
            *(
                "[1]",
                "7",
                "no",
                '{"a": NaN}',
                '{"a": Infinity}',
                '{"a": 1e99999}',
                '{"a": "\\u0000"}',
            ),
            *('{"a": "\\ud800"}', '{"\\u0000": 1}', '{"a": 1', '{"a": ' + "[" * 3_000),
        ],
    )
    def test_that_are_no_object_are_refused_and_never_reach_the_database(
        self, session: Session, people: list[UserId], said: str
    ) -> None:
        cell = said.replace('"', '""')
        row = run(session, f'email,time,event,properties\nada@example.com,{WHEN},a,"{cell}"\n')
        assert refused(session, row) == [(2, "type_mismatch:properties")]

    def test_of_the_wrong_type_or_too_long_are_refused_with_their_column(
        self, session: Session, people: list[UserId]
    ) -> None:
        columns = {at: event_fields.property_key(Kind.TEXT, f"t{at}") for at in range(5, 14)}
        columns[4] = event_fields.property_key(Kind.NUMBER, "amount")
        width = ",".join(f"c{at}" for at in range(5, 14))
        long = ",".join(["x" * 1_999] * 9)
        row = run(
            session,
            f"email,time,event,properties,amount,{width}\n"
            f"ada@example.com,{WHEN},a,,many{',' * 9}\n"
            f"ada@example.com,{WHEN},a,,1,{'x' * 2_001}{',' * 8}\n"
            f'ada@example.com,{WHEN},a,"{{""a"": ""{"x" * 16_400}""}}"{"," * 10}\n'
            f"ada@example.com,{WHEN},a,,1,{long}\n",
            also=columns,
        )
        assert refused(session, row) == [
            (2, "type_mismatch:amount"),
            (3, "value_too_long:t5"),
            (4, "value_too_long:properties"),
            (5, "properties_too_long"),
        ]


class TestIdentity:
    def test_one_id_of_a_type_is_one_event_in_whichever_file(
        self, session: Session, people: list[UserId]
    ) -> None:
        content = f"{HEADER}ada@example.com,{WHEN},a,1\nada@example.com,{WHEN},b,1\n"
        assert counts(run(session, content)) == (2, 0, 0, 0)
        again = run(session, f"{content}bo@example.com,{WHEN},a,2\n")
        assert counts(again) == (1, 0, 2, 0)
        assert len(events(session)) == 3

    @pytest.mark.parametrize(
        ("rule", "lines", "left"),
        [
            (OnDuplicate.FIRST, [4], ["ada"]),
            (OnDuplicate.LAST, [2], ["bo"]),
            (OnDuplicate.REJECT, [2, 4], []),
        ],
    )
    def test_twice_in_a_file_goes_by_the_rule(
        self,
        session: Session,
        people: list[UserId],
        rule: OnDuplicate,
        lines: list[int],
        left: list[str],
    ) -> None:
        content = (
            f"{HEADER}ada@example.com,{WHEN},a,1\nada@example.com,{WHEN},b,1\n"
            f"bo@example.com,{WHEN},a,1\n"
        )
        row = run(session, content, options=Options(on_duplicate=rule))
        assert refused(session, row) == [(line, "duplicate_in_file") for line in lines]
        names = {people[0]: "ada", people[1]: "bo"}
        found = [names[it.user_id] for it in events(session) if it.type == "custom.a"]
        assert found == left

    def test_without_an_id_every_row_is_an_event(
        self, session: Session, people: list[UserId]
    ) -> None:
        content = (
            f"email,time,event,event id\nada@example.com,{WHEN},a,\nada@example.com,{WHEN},a,\n"
        )
        assert counts(run(session, content)) == (2, 0, 0, 0)
        assert counts(run(session, content)) == (2, 0, 0, 0)

    def test_two_imports_at_once_bring_it_once(self, committed: None, engine: Engine) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant, actor="test") as session:
            make_members(session, "ada@example.com")
            rows = "".join(f"ada@example.com,{WHEN},a,{number}\n" for number in range(500))
            backwards = "".join(reversed(rows.splitlines(keepends=True)))
            started = []
            for content in (rows, backwards):
                row = upload(session, HEADER + content)
                mapping = {int(at): key for at, key in row.mapping.items()}
                service.choose_mapping(session, row, mapping)
                service.start(session, row, at=NOW)
                while not row.is_surveyed:
                    running.run_part(session, row.id, at=NOW)
                started.append(row.id)
        together = Barrier(2)

        def work(import_id: Any) -> int:
            together.wait(30)
            with unit_of_work(merchant=merchant, actor="test") as own:
                while running.run_part(own, import_id, at=NOW):
                    pass
                return service.get(own, import_id).created_count

        with ThreadPoolExecutor(2) as pool:
            created = list(pool.map(work, started))
        assert sum(created) == 500
        with unit_of_work(merchant=merchant) as session:
            assert len(events(session)) == count(session, ImportedEvent) == 500

    def test_another_merchant_has_ids_of_its_own(
        self, merchant: Merchant, session: Session, people: list[UserId]
    ) -> None:
        run(session, f"{HEADER}ada@example.com,{WHEN},a,1\n")
        other = make_other_merchant(merchant)
        with unit_of_work(merchant=other, actor="test") as theirs:
            make_members(theirs, "ada@example.com")
            assert counts(run(theirs, f"{HEADER}ada@example.com,{WHEN},a,1\n")) == (1, 0, 0, 0)


class TestPreview:
    def test_says_what_the_run_then_does_and_writes_nothing(
        self, session: Session, people: list[UserId]
    ) -> None:
        run(session, f"{HEADER}ada@example.com,{WHEN},a,1\n")
        row = upload(
            session,
            f"{HEADER}ada@example.com,{WHEN},a,1\nbo@example.com,{WHEN},a,2\n"
            f"eve@example.com,{WHEN},a,3\nada@example.com,soon,a,4\n",
        )
        service.preview(session, row, at=NOW)
        go_on(session, row)
        assert row.state is ImportState.PREVIEWED and row.preview is not None
        assert (row.preview["created"], row.preview["unchanged"]) == (1, 1)
        assert row.preview["refused"] == {"unknown_user": 1, "type_mismatch:event_time": 1}
        assert row.preview["examples"]["unknown_user"][0]["position"] == 0
        assert len(events(session)) == 1
        service.start(session, row, at=NOW)
        assert counts(go_on(session, row)) == (1, 0, 1, 2)


class TestUndo:
    def test_takes_back_what_the_import_brought_and_nothing_else(
        self, session: Session, people: list[UserId]
    ) -> None:
        kept = run(session, f"{HEADER}ada@example.com,{WHEN},a,1\n")
        row = run(session, f"{HEADER}ada@example.com,{WHEN},a,1\nbo@example.com,{WHEN},a,2\n")
        service.undo(session, row, at=NOW)
        go_on(session, row)
        assert row.state is ImportState.UNDONE
        assert [it.user_id for it in events(session)] == [people[0]]
        assert count(session, ImportedEvent, import_id=kept.id) == 1
        [told] = session.scalars(select(Event).where(Event.type == "cohort.event.removed"))
        assert (told.user_id, told.data) == (people[1], {"eventType": "custom.a"})
        assert counts(run(session, f"{HEADER}bo@example.com,{WHEN},a,2\n")) == (1, 0, 0, 0)

    def test_goes_on_where_it_stood(
        self, session: Session, people: list[UserId], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.users.imports.event_loading.EVENTS_A_PART", 2)
        rows = "".join(f"ada@example.com,{WHEN},a,{number}\n" for number in range(5))
        row = run(session, HEADER + rows)
        service.undo(session, row, at=NOW)
        assert running.run_part(session, row.id, at=NOW)
        assert len(events(session)) == 3
        go_on(session, row)
        assert events(session) == [] and row.state is ImportState.UNDONE

    def test_the_program_itself_can_neither_change_nor_remove_events(
        self, session: Session, people: list[UserId]
    ) -> None:
        run(session, f"{HEADER}ada@example.com,{WHEN},a,1\n")
        for statement in (delete(Event), update(Event).values(data={})):
            with pytest.raises(DBAPIError, match="permission denied"), session.begin_nested():
                session.execute(statement)
        assert len(events(session)) == 1

    def test_the_owners_function_leaves_the_products_own_events_and_other_brands_alone(
        self, merchant: Merchant, session: Session, people: list[UserId]
    ) -> None:
        row = run(session, f"{HEADER}ada@example.com,{WHEN},a,1\n")
        own = session.scalars(select(Event).where(Event.type == "cohort.import.completed")).one()
        session.add(
            ImportedEvent(
                import_id=row.id, event_id=own.id, occurred_at=own.occurred_at, type=own.type
            )
        )
        session.flush()
        other = make_other_merchant(merchant)
        with unit_of_work(merchant=other) as theirs:
            theirs.execute(select(func.cohort_take_back_events(row.id, 10)))
        choose_merchant(session, merchant.id)
        assert len(events(session)) == 1
        session.execute(select(func.cohort_take_back_events(row.id, 10)))
        assert events(session) == []
        assert session.get(Event, (own.id, own.occurred_at), populate_existing=True) is not None


class TestSegments:
    """Segments see what happened long ago, and that it did not after all."""

    @pytest.fixture
    def merchant_id(self, committed: None) -> MerchantId:
        return make_merchant().id

    @contextmanager
    def unit(self, merchant: MerchantId, role: Role = Role.APP) -> Iterator[Session]:
        with unit_of_work(merchant=merchant, actor="test", role=role) as session:
            yield session

    def keep(self, merchant: MerchantId, at: datetime) -> None:
        """Until nothing is left to do; the server's own work may hold events back for a moment."""
        is_behind = True
        while is_behind:
            with self.unit(merchant, Role.ENGINE) as session:
                while keeping.keep(session, at=at) or keeping.rebuild_next(session, at=at):
                    pass
            with self.unit(merchant) as session:
                is_behind = session.scalar(_UNREAD) is not None

    def members(self, merchant: MerchantId) -> set[str]:
        with self.unit(merchant) as session:
            query = select(User.email).join(SegmentMember, SegmentMember.user_id == User.id)
            return {it.partition("@")[0] for it in session.scalars(query)}

    def test_follow_imported_events_their_time_and_their_end(self, merchant_id: MerchantId) -> None:
        asked = {
            "kind": "event",
            "type": "custom.order",
            "window": {"kind": "last", "amount": 30, "unit": "days"},
            "filters": [{"name": "amount", "op": "at_least", "value": "10"}],
        }
        with self.unit(merchant_id) as session:
            make_members(session, "ada@example.com", "bo@example.com", "cy@example.com")
            rule = rules.load({"groups": [{"conditions": [asked]}]})
            segments.create(session, rule, name="Buyers", at=NOW)
        self.keep(merchant_id, NOW)
        assert self.members(merchant_id) == set()
        with self.unit(merchant_id) as session:
            row = run(
                session,
                "email,time,event,amount\nada@example.com,2026-05-31,order,10\n"
                "bo@example.com,2026-05-05,order,12.5\ncy@example.com,2026-03-01,order,99\n"
                "cy@example.com,2026-05-31,order,9\n",
                also={3: event_fields.property_key(Kind.NUMBER, "amount")},
            )
        later = NOW + timedelta(seconds=5)
        self.keep(merchant_id, later)
        assert self.members(merchant_id) == {"ada", "bo"}
        after = datetime(2026, 6, 4, 0, 0, 2, tzinfo=UTC)
        self.keep(merchant_id, after)
        assert self.members(merchant_id) == {"ada"}
        with self.unit(merchant_id) as session:
            row = service.get(session, row.id)
            service.undo(session, row, at=NOW)
            go_on(session, row)
        self.keep(merchant_id, after + timedelta(seconds=5))
        assert self.members(merchant_id) == set()

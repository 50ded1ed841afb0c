"""Exports: what they hold, that no cell is a formula, that a kill repeats no row."""

import csv
import json
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from app.users import properties
from app.users.exports import service
from app.users.exports.errors import ExportInvalidError, ExportNotFoundError
from app.users.exports.models import ExportFormat, ExportKind, ExportState, UserExport
from app.users.fields import of_property
from app.users.slots import Kind
from core.events import Event
from tests.conftest import NOW
from tests.factories.imports import count, run


def made(
    session: Session, kind: ExportKind, form: ExportFormat, **options: object
) -> tuple[UserExport, str]:
    """The export, written to its end."""
    row = service.request(session, kind, form, options, at=NOW)
    while service.run_part(session, row.id, at=NOW):
        pass
    return row, service.file_path(row).read_text("utf-8")


class TestUsers:
    @pytest.fixture
    def key(self, session: Session) -> str:
        """A property with values."""
        key = of_property(properties.create(session, "Points", Kind.NUMBER, at=NOW)).key
        run(session, "email,first name,Points\na@example.com,=1+1,1.50\nb@example.com,Bo,\n")
        return key

    def test_have_the_chosen_columns_and_no_formula(self, session: Session, key: str) -> None:
        columns = ["email", "first_name", key]
        row, text = made(session, ExportKind.USERS, ExportFormat.CSV, columns=columns)
        header, *rows = list(csv.reader(text.splitlines()))
        assert header == ["userId", "Email", "First name", "Points"]
        assert [it[1:] for it in rows] == [
            ["a@example.com", "'=1+1", "1.5"],
            ["b@example.com", "Bo", ""],
        ]
        assert (row.state, row.done_count, row.row_count) == (ExportState.COMPLETED, 2, 2)

    def test_as_lines_of_json_are_what_they_are(self, session: Session, key: str) -> None:
        _, text = made(session, ExportKind.USERS, ExportFormat.JSONL, columns=["email", key])
        rows = [json.loads(line) for line in text.splitlines()]
        assert [(it["Email"], it["Points"]) for it in rows] == [
            ("a@example.com", "1.5"),
            ("b@example.com", None),
        ]

    def test_without_columns_are_refused(self, session: Session) -> None:
        with pytest.raises(ExportInvalidError):
            service.request(session, ExportKind.USERS, ExportFormat.CSV, {"columns": []}, at=NOW)

    def test_go_on_where_they_were_killed(
        self, session: Session, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "ROWS_A_PART", 1)
        options = {"columns": ["email"]}
        row = service.request(session, ExportKind.USERS, ExportFormat.CSV, options, at=NOW)
        assert service.run_part(session, row.id, at=NOW)
        with service.file_path(row).open("ab") as file:
            file.write(b"half of a row that was not commi")
        while service.run_part(session, row.id, at=NOW):
            pass
        lines = service.file_path(row).read_text("utf-8").splitlines()
        assert [line.partition(",")[2] for line in lines] == [
            "Email",
            "a@example.com",
            "b@example.com",
        ]


class TestEvents:
    def test_have_their_columns_and_can_be_of_one_type(self, session: Session) -> None:
        run(session, "email\na@example.com\nb@example.com\n")
        _, text = made(session, ExportKind.EVENTS, ExportFormat.CSV, type="cohort.user.created")
        header, *rows = list(csv.reader(text.splitlines()))
        assert header[:5] == ["eventTime", "eventType", "eventId", "userId", "email"]
        assert [(it[1], it[4], it[7]) for it in rows] == [
            ("cohort.user.created", "a@example.com", '{"source": "import"}'),
            ("cohort.user.created", "b@example.com", '{"source": "import"}'),
        ]

    def test_can_be_of_a_range(self, session: Session) -> None:
        run(session, "email\na@example.com\n")
        later = (NOW + timedelta(days=1)).isoformat()
        row, _ = made(session, ExportKind.EVENTS, ExportFormat.JSONL, **{"from": later})
        assert row.done_count == 0


class TestDownload:
    def test_is_written_down_and_ends_after_seven_days(self, session: Session) -> None:
        run(session, "email\na@example.com\n")
        row, _ = made(session, ExportKind.USERS, ExportFormat.CSV, columns=["email"])
        path = service.download(session, row, at=NOW)
        assert count(session, Event, type="cohort.export.downloaded") == 1
        later = NOW + timedelta(days=7)
        with pytest.raises(ExportNotFoundError):
            service.download(session, row, at=later)
        assert not service.run_part(session, row.id, at=later)
        assert row.state is ExportState.EXPIRED and not path.exists()

"""Imports: the example file as promised, repeated, killed in the middle, and reported."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.uploads.errors import FileUnreadableError
from app.uploads.export import safe_cell
from app.users import imports, queries
from app.users.errors import ImportNotFoundError, ImportStateError
from app.users.imports import ROWS_A_PART, file_path, refusals_as_csv
from app.users.models import ImportState, User, UserImport
from app.users.table import Field
from core.db import unit_of_work
from core.events import Event
from core.ids import new_id
from core.settings import core_settings
from core.types import ImportId, MerchantId
from minting.models import MembershipPass, PassState
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant
from wallets.models import Wallet, WalletKind

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def upload(session: Session, content: str | bytes, name: str = "members.csv") -> UserImport:
    raw = content.encode() if isinstance(content, str) else content
    return imports.upload(session, name, io.BytesIO(raw), at=NOW)


def run(session: Session, content: str | bytes) -> UserImport:
    """The import of this content, mapped as guessed, run to its end."""
    row = upload(session, content)
    imports.start(session, row, at=NOW)
    while imports.run_part(session, row.id, at=NOW):
        pass
    return row


def counts(row: UserImport) -> tuple[int, int, int, int]:
    return row.created_count, row.updated_count, row.unchanged_count, row.rejected_count


def count(session: Session, table: type[Any], **values: Any) -> int:
    return session.scalar(select(func.count()).select_from(table).filter_by(**values)) or 0


def refused(session: Session, row: UserImport) -> list[tuple[int, str]]:
    return [(r.line, r.reason) for r in queries.list_refusals(session, row.id)]


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

    def test_makes_a_thousand_members_with_wallet_and_queued_pass(
        self, session: Session, done: UserImport
    ) -> None:
        assert counts(done) == (1000, 0, 0, 10)
        assert count(session, User) == 1000
        assert count(session, Wallet, kind=WalletKind.MEMBER) == 1000
        assert count(session, MembershipPass, state=PassState.QUEUED) == 1000
        assert count(session, Event, type="cohort.user.created") == 1000

    def test_again_changes_nobody(self, session: Session, done: UserImport) -> None:
        again = run(session, (EXAMPLES / "members.csv").read_bytes())
        assert counts(again) == (0, 0, 1000, 10)
        assert refused(session, again) == refused(session, done)
        assert count(session, User) == count(session, Wallet, kind=WalletKind.MEMBER) == 1000


class TestUpload:
    def test_proposes_the_obvious_mapping(self, session: Session) -> None:
        row = upload(session, "Mail,Given name,points\na@example.com,Ada,7\n")
        assert imports.mapping_of(row) == {0: Field.EMAIL, 1: Field.FIRST_NAME}
        assert (row.state, row.row_count) == (ImportState.ANALYSED, 1)

    def test_of_an_unreadable_file_nothing_is_kept(self, session: Session) -> None:
        folder = core_settings().data_dir / "imports"
        before = set(folder.glob("*"))
        with pytest.raises(FileUnreadableError):
            upload(session, b"email\n\xff\xfe\n")
        assert set(folder.glob("*")) == before
        assert count(session, UserImport) == 0

    def test_the_forecast_counts_the_whole_file_and_writes_nothing(self, session: Session) -> None:
        row = upload(session, "email\na@example.com\nA@example.com\nnobody\nb@example.com\n")
        found = imports.forecast(row)
        assert (found.rows, found.accepted) == (4, 2)
        assert found.refused == {"duplicate_in_file": 1, "email_invalid": 1}
        assert count(session, User) == 0


class TestStart:
    def test_twice_is_once(self, session: Session) -> None:
        row = upload(session, "email\na@example.com\n")
        imports.start(session, row, at=NOW)
        imports.run_part(session, row.id, at=NOW)
        imports.start(session, row, at=NOW)
        assert row.state is ImportState.COMPLETED
        assert not imports.run_part(session, row.id, at=NOW)

    def test_afterwards_the_mapping_stays(self, session: Session) -> None:
        row = upload(session, "email\na@example.com\n")
        imports.start(session, row, at=NOW)
        with pytest.raises(ImportStateError):
            imports.choose_mapping(session, row, {0: Field.EMAIL})

    def test_an_import_of_another_merchant_does_not_exist(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = upload(session, "email\na@example.com\n")
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            for unknown in (row.id, ImportId(new_id())):
                with pytest.raises(ImportNotFoundError):
                    imports.get(session, unknown)


class TestLostFile:
    """The upload is harmed between two parts."""

    SIZE = ROWS_A_PART + 1_500
    GONE = "The uploaded file is gone or cannot be read. Upload it again; nothing is done twice."

    def run_on(self, session: Session, harm: Callable[[Path], object]) -> UserImport:
        """The import, whose file was harmed after its first part."""
        lines = ("email", *(f"m{n}@example.com" for n in range(self.SIZE)))
        row = upload(session, "\n".join(lines))
        imports.start(session, row, at=NOW)
        assert imports.run_part(session, row.id, at=NOW)
        harm(file_path(row.id))
        assert not imports.run_part(session, row.id, at=NOW)
        return row

    def check(self, session: Session, row: UserImport, sentence: str) -> None:
        assert (row.state, row.finished_at) == (ImportState.FAILED, NOW)
        assert row.failure is not None and sentence in row.failure
        assert row.next_row == count(session, User) == ROWS_A_PART
        assert count(session, Event, type="cohort.import.completed") == 0
        assert not imports.run_part(session, row.id, at=NOW)

    def test_that_was_deleted_ends_it_with_what_to_do(self, session: Session) -> None:
        self.check(session, self.run_on(session, Path.unlink), self.GONE)

    def test_that_is_no_file_any_more_does_too(self, session: Session) -> None:
        def harm(path: Path) -> None:
            path.unlink()
            path.mkdir()

        row = self.run_on(session, harm)
        file_path(row.id).rmdir()
        self.check(session, row, self.GONE)

    def test_that_was_cut_says_how_much_is_left(self, session: Session) -> None:
        row = self.run_on(session, lambda path: os.truncate(path, 10_000))
        self.check(session, row, f"ends after {ROWS_A_PART} of {self.SIZE} rows")

    def test_that_was_overwritten_names_the_line(self, session: Session) -> None:
        def harm(path: Path) -> None:
            content = path.read_bytes()
            path.write_bytes(content.replace(b"m2000@", b"m\xff\xfe\xfd0@"))

        self.check(session, self.run_on(session, harm), "is not UTF-8 text after line")

    def test_that_stays_whole_is_imported(self, session: Session) -> None:
        row = upload(session, "email\na@example.com\n")
        imports.start(session, row, at=NOW)
        assert not imports.run_part(session, row.id, at=NOW)
        assert (row.state, row.failure) == (ImportState.COMPLETED, None)


class TestUpdate:
    def test_what_the_file_says_otherwise_is_overwritten_and_empty_cells_are_skipped(
        self, session: Session
    ) -> None:
        run(session, "email,first_name,last_name\na@example.com,Ada,King\nb@example.com,Bob,\n")
        row = run(session, "email,first_name,last_name\nA@example.com,Augusta,\nb@example.com,,\n")
        assert counts(row) == (0, 1, 1, 0)
        ada = session.scalars(select(User).where(User.email_key == "a@example.com")).one()
        assert (ada.first_name, ada.last_name, ada.name_key) == ("Augusta", "King", "augusta king")

    def test_a_reference_of_somebody_else_is_refused(self, session: Session) -> None:
        run(session, "email,customer id\na@example.com,7\n")
        row = run(session, "email,customer id\nb@example.com,7\nc@example.com,8\nd@example.com,8\n")
        assert refused(session, row) == [(2, "reference_taken"), (4, "reference_taken")]
        assert count(session, User) == 2


class TestKilled:
    """A worker that dies inside a part; the next one goes on."""

    SIZE = 2 * ROWS_A_PART + 500
    LINES = ("email", *(f"m{n}@example.com" for n in range(SIZE)), "M0@example.com", "nobody")

    @pytest.fixture
    def started(self, committed: None) -> Iterator[tuple[MerchantId, ImportId]]:
        """An import of three parts; its second last line repeats the first."""
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            row = upload(session, "\n".join(self.LINES))
            imports.start(session, row, at=NOW)
        yield merchant, row.id
        file_path(row.id).unlink()

    def part(self, merchant: MerchantId, row: ImportId) -> bool:
        with unit_of_work(merchant=merchant) as session:
            return imports.run_part(session, row, at=NOW)

    def die_in_part(self, merchant: MerchantId, row: ImportId) -> None:
        with pytest.raises(KeyboardInterrupt), unit_of_work(merchant=merchant) as session:
            imports.run_part(session, row, at=NOW)
            raise KeyboardInterrupt

    @pytest.mark.parametrize("after", [0, 1, 2])
    def test_repeats_nothing(self, started: tuple[MerchantId, ImportId], after: int) -> None:
        for _ in range(after):
            assert self.part(*started)
        self.die_in_part(*started)
        while self.part(*started):
            pass
        with unit_of_work(merchant=started[0]) as session:
            row = imports.get(session, started[1])
            assert counts(row) == (self.SIZE, 0, 0, 2)
            assert row.state is ImportState.COMPLETED_WITH_ERRORS
            for table in (User, MembershipPass):
                assert count(session, table) == self.SIZE
            assert count(session, Wallet, kind=WalletKind.MEMBER) == self.SIZE
            assert count(session, Event, type="cohort.import.completed") == 1
            assert refused(session, row) == [
                (self.SIZE + 2, "duplicate_in_file"),
                (self.SIZE + 3, "email_invalid"),
            ]


class TestErrorFile:
    def rows(self, session: Session, row: UserImport) -> list[list[str]]:
        return list(csv.reader(io.StringIO("".join(refusals_as_csv(session, row)))))

    def test_names_line_and_reason_before_the_cells(self, session: Session) -> None:
        row = run(session, 'email,note\na@example.com,x\nnobody,"two\nlines"\n,\n')
        assert self.rows(session, row) == [
            ["line", "reason", "email", "note"],
            ["3", "email_invalid", "nobody", "two\nlines"],
            ["5", "email_missing", "", ""],
        ]

    def test_no_cell_is_a_formula(self, session: Session) -> None:
        row = run(session, 'email,=1+1\n@SUM(A1),"=cmd|x"\n-1,+2\n')
        header, *rows = self.rows(session, row)
        assert header[2:] == ["email", "'=1+1"]
        assert [cells[2:] for cells in rows] == [["'@SUM(A1)", "'=cmd|x"], ["'-1", "'+2"]]

    @pytest.mark.parametrize("text", ["Ada", "a@example.com", "1-2", " =1", ""])
    def test_harmless_cells_stay_as_they_are(self, text: str) -> None:
        assert safe_cell(text) == text

    @pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
    def test_every_beginning_of_a_formula_is_quoted(self, first: str) -> None:
        assert safe_cell(f"{first}1") == f"'{first}1"

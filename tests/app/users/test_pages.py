"""Imports and exports on screen, from the file to the report."""

import io

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.users import lists
from app.users.exports import service as exports
from app.users.imports import running, service
from app.users.imports.models import ImportState, UserImport
from app.users.models import ListMember, User, UserList
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import utc_now
from tests.app.web.client import HTML, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.imports import count, counts, upload


def address(row: UserImport) -> str:
    return f"/admin/users/imports/{encode_id('imp', row.id)}"


@pytest.fixture
def row(merchant: Merchant) -> UserImport:
    """An uploaded file nobody started yet."""
    with unit_of_work(merchant=merchant.id, actor="test") as session:
        return upload(session, "email,name\na@example.com,Ada\nnobody,Bob\n")


def post(admin: TestClient, path: str, **values: str) -> str:
    """Send the form of a page; where it leads."""
    token = token_in(admin.get("/admin/users/import", headers=HTML).text)
    headers = {"origin": "http://testserver", **HTML}
    answer = admin.post(path, data={"csrf": token, **values}, headers=headers)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def work(row: UserImport) -> UserImport:
    with unit_of_work(merchant=row.merchant_id) as session:
        while running.run_part(session, row.id, at=utc_now()):
            pass
        return service.get(session, row.id)


class TestMapping:
    def test_shows_examples(self, admin: TestClient, row: UserImport) -> None:
        page = admin.get(address(row), headers=HTML)
        assert page.status_code == 200
        assert "a@example.com, nobody" in page.text

    def test_that_is_wrong_says_so_and_keeps_what_was_chosen(
        self, admin: TestClient, row: UserImport
    ) -> None:
        token = token_in(admin.get(address(row), headers=HTML).text)
        form = {"csrf": token, "column-1": "last_name", "act": "start"}
        headers = {"origin": "http://testserver", **HTML}
        page = admin.post(address(row), data=form, headers=headers)
        assert page.status_code == 422
        assert "Choose which column holds the email address" in page.text
        assert '<option value="last_name" selected>' in page.text

    def test_can_make_a_property_and_a_list(
        self, admin: TestClient, row: UserImport, session: Session
    ) -> None:
        form = {
            "column-0": "email",
            "column-1": "new:text",
            "name-1": "Nickname",
            "list_name": "All",
        }
        post(admin, address(row), act="preview", **form)
        done = work(row)
        assert done.state is ImportState.PREVIEWED
        part = admin.get(address(row), headers={**HTML, "hx-request": "true"})
        assert "<html" not in part.text and part.headers["hx-refresh"] == "true"
        page = admin.get(address(row), headers=HTML).text
        assert "What importing would do" in page and "email_invalid" in page
        assert "Nickname" in page and ">All<" in page

    def test_leads_to_the_report(self, admin: TestClient, row: UserImport) -> None:
        where = post(admin, address(row), act="start", **{"column-0": "email"})
        assert counts(work(row)) == (1, 0, 0, 1)
        page = admin.get(where, headers=HTML).text
        assert "Enter an address such as name@example.com." in page
        assert "alert-red" not in page and "Undo this import" in page
        file = admin.get(f"{address(row)}/refused.csv").text
        assert file.splitlines()[1].startswith("3,email_invalid,email,")

    def test_can_be_undone(self, admin: TestClient, row: UserImport, session: Session) -> None:
        post(admin, address(row), act="start", **{"column-0": "email"})
        work(row)
        post(admin, f"{address(row)}/undo")
        work(row)
        assert "Undone" in admin.get(address(row), headers=HTML).text
        assert count(session, User) == 0


class TestUpload:
    def test_of_pasted_cells_is_an_import(self, admin: TestClient, session: Session) -> None:
        where = post(admin, "/admin/users/import/paste", text="email\tname\na@x.com\tAda\n")
        assert "is being looked at" in admin.get(where, headers=HTML).text

    def test_of_a_file_that_is_no_table_says_so(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            row = service.upload(session, "x.csv", io.BytesIO(b"\0\1\2" * 99), at=NOW)
            running.run_part(session, row.id, at=NOW)
        page = admin.get(address(row), headers=HTML).text
        assert "The file is no table" in page and "Failed" in page
        assert "hx-get" not in page


class TestExports:
    def test_are_asked_for_and_taken(
        self, admin: TestClient, row: UserImport, session: Session
    ) -> None:
        post(admin, address(row), act="start", **{"column-0": "email"})
        work(row)
        post(admin, "/admin/users/exports/users", columns="email", format="csv")
        [export] = exports.list_exports(session)
        while exports.run_part(session, export.id, at=NOW):
            pass
        page = admin.get("/admin/users/exports", headers=HTML).text
        assert "Completed" in page

    def test_without_columns_are_refused(self, admin: TestClient) -> None:
        token = token_in(admin.get("/admin/users/exports", headers=HTML).text)
        headers = {"origin": "http://testserver", **HTML}
        answer = admin.post("/admin/users/exports/users", data={"csrf": token}, headers=headers)
        assert answer.status_code == 422
        assert "Choose at least one column" in answer.text


class TestConsents:
    def test_are_mapped_with_what_they_rest_on(
        self, admin: TestClient, row: UserImport, session: Session
    ) -> None:
        form = {"column-0": "email", "column-1": "new:consent", "name-1": "Two words"}
        token = token_in(admin.get(address(row), headers=HTML).text)
        headers = {"origin": "http://testserver", **HTML}
        wrong = admin.post(address(row), data={"csrf": token, **form}, headers=headers)
        assert wrong.status_code == 422 and "A purpose of consent" in wrong.text
        form |= {"name-1": "Partners", "consent_basis": "The fair", "is_recreating": "1"}
        post(admin, address(row), act="preview", **form)
        work(row)
        page = admin.get(address(row), headers=HTML).text
        assert '<option value="consent:partners" selected>' in page and "The fair" in page
        with_basis = {"column-0": "email", "column-1": "consent:partners"}
        post(admin, address(row), act="start", consent_basis="The fair", **with_basis)
        done = work(row)
        assert done.rejected_count == 2  # an answer is yes or no, and nobody is an address
        assert service.load_options(done.options).consent_basis == "The fair"


class TestPaste:
    @pytest.mark.parametrize(("size", "status"), [(4_900_000, 303), (5_000_001, 422)])
    def test_of_five_megabytes_is_taken_and_no_more(
        self, admin: TestClient, size: int, status: int
    ) -> None:
        text = "email\n" + "a@example.com\n" * (size // 14)
        text += "x" * (size - len(text))
        token = token_in(admin.get("/admin/users/import", headers=HTML).text)
        headers = {"origin": "http://testserver", **HTML}
        sent = {"csrf": token, "text": text}
        answer = admin.post("/admin/users/import/paste", data=sent, headers=headers)
        assert answer.status_code == status


class TestListsScreen:
    @pytest.fixture
    def listed(self, session: Session) -> UserList:
        """A list with nobody on it."""
        return lists.create(session, "Best", at=NOW)

    def test_a_file_from_there_fills_the_list(
        self, admin: TestClient, merchant: Merchant, session: Session, listed: UserList
    ) -> None:
        name = encode_id("lst", listed.id)
        page = admin.get(f"/admin/users/lists/{name}", headers=HTML).text
        assert f"/admin/users/import?list={name}" in page
        form = admin.get(f"/admin/users/import?list={name}", headers=HTML).text
        assert f'name="list" value="{name}"' in form
        where = post(admin, "/admin/users/import/paste", text="email\na@x.com\n", list=name)
        row = newest(session)
        work(row)
        assert f'<option value="{name}" selected>' in admin.get(where, headers=HTML).text
        post(admin, where, act="start", list=name, **{"column-0": "email"})
        assert work(row).listed_count == 1
        assert count(session, ListMember, list_id=listed.id) == 1

    def test_a_list_that_is_put_away_or_not_there_takes_nobody(
        self, admin: TestClient, session: Session, listed: UserList
    ) -> None:
        lists.archive(session, listed, at=NOW)
        page = admin.get(f"/admin/users/lists/{encode_id('lst', listed.id)}", headers=HTML)
        assert "/admin/users/import?list=" not in page.text
        token = token_in(admin.get("/admin/users/import", headers=HTML).text)
        headers = {"origin": "http://testserver", **HTML}
        sent = {"csrf": token, "text": "email\na@x.com\n"}
        for name, status in ((encode_id("lst", listed.id), 409), (encode_id("lst", new_id()), 404)):
            answer = admin.post(
                "/admin/users/import/paste", data={**sent, "list": name}, headers=headers
            )
            assert answer.status_code == status
        assert count(session, UserImport) == 0


class TestEvents:
    def test_are_imported_from_pasted_cells_to_the_members_timeline(
        self, admin: TestClient, merchant: Merchant, session: Session
    ) -> None:
        [ada] = make_members(session, "ada@example.com")
        page = admin.get("/admin/users/import?kind=events", headers=HTML).text
        assert 'name="kind" value="events"' in page
        cells = "email\ttime\tAmount\nada@example.com\t2026-05-01\t12,5\nada@example.com\tx\t1\n"
        where = post(admin, "/admin/users/import/paste", text=cells, kind="events")
        row = newest(session)
        work(row)
        mapping = admin.get(where, headers=HTML).text
        assert "Event time" in mapping and "creates and updates users" not in mapping
        form = {
            "column-0": "email",
            "column-1": "event_time",
            "column-2": "new:number",
            "name-2": "amount",
            "decimal": ",",
        }
        token = token_in(admin.get(where, headers=HTML).text)
        headers = {"origin": "http://testserver", **HTML}
        wrong = admin.post(where, data={"csrf": token, "act": "start", **form}, headers=headers)
        assert wrong.status_code == 422 and "one event type for all rows" in wrong.text
        assert 'value="amount"' in wrong.text
        post(admin, where, act="preview", event_type="order", **form)
        work(row)
        shown = admin.get(where, headers=HTML).text
        assert "Known already" in shown and "type_mismatch:event_time" in shown
        assert '<option value="new:number" selected>' in shown and 'value="amount"' in shown
        post(admin, where, act="start", event_type="order", **form)
        assert counts(work(row)) == (1, 0, 0, 1)
        timeline = admin.get(f"/admin/users/{encode_id('usr', ada)}/events", headers=HTML).text
        assert "custom.order" in timeline and "12.5" in timeline
        post(admin, f"{where}/undo")
        assert work(row).state is ImportState.UNDONE

    def test_a_property_of_no_kind_is_refused(
        self, admin: TestClient, session: Session, row: UserImport
    ) -> None:
        token = token_in(admin.get(address(row), headers=HTML).text)
        headers = {"origin": "http://testserver", **HTML}
        sent = {"csrf": token, "act": "start", "column-0": "email", "column-1": "new:colour"}
        assert admin.post(address(row), data=sent, headers=headers).status_code == 422


def newest(session: Session) -> UserImport:
    return session.scalars(select(UserImport).order_by(UserImport.id.desc()).limit(1)).one()

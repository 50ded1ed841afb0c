"""Imports on screen: what a file that went bad looks like, before and after the start."""

import io

import pytest
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.users import imports
from app.users.imports import file_path
from app.users.models import UserImport
from core.db import unit_of_work
from core.ids import encode_id
from tests.app.web.client import HTML, TestClient
from tests.conftest import NOW

GONE = "The uploaded file is gone or cannot be read. Upload it again; nothing is done twice."


def upload(session: Session, content: str) -> UserImport:
    return imports.upload(session, "members.csv", io.BytesIO(content.encode()), at=NOW)


def address(row: UserImport) -> str:
    return f"/admin/users/imports/{encode_id('imp', row.id)}"


@pytest.fixture
def row(merchant: Merchant) -> UserImport:
    """An uploaded file nobody started yet."""
    with unit_of_work(merchant=merchant.id) as session:
        return upload(session, "email,name\na@example.com,Ada\nnobody,Bob\n")


def run(row: UserImport) -> None:
    with unit_of_work(merchant=row.merchant_id) as session:
        imports.start(session, imports.get(session, row.id), at=NOW)
        imports.run_part(session, row.id, at=NOW)


class TestMapping:
    def test_shows_examples_and_what_would_happen(self, admin: TestClient, row: UserImport) -> None:
        page = admin.get(address(row), headers=HTML)
        assert page.status_code == 200
        assert "a@example.com, nobody" in page.text
        assert "Would be refused" in page.text

    def test_without_an_email_column_foretells_nothing(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = upload(session, "contact\na@example.com\n")
        page = admin.get(address(row), headers=HTML)
        assert page.status_code == 200
        assert "Would be refused" not in page.text

    def test_of_a_file_that_is_gone_says_so(self, admin: TestClient, row: UserImport) -> None:
        file_path(row.id).unlink()
        page = admin.get(address(row), headers=HTML)
        assert page.status_code == 422
        assert GONE in page.text


class TestReport:
    def test_of_a_whole_file_shows_no_failure(self, admin: TestClient, row: UserImport) -> None:
        run(row)
        page = admin.get(address(row), headers=HTML).text
        assert "not an email address" in page
        assert GONE not in page and "alert-red" not in page

    def test_of_a_lost_file_says_failed_and_what_to_do(
        self, admin: TestClient, row: UserImport
    ) -> None:
        file_path(row.id).unlink()
        run(row)
        page = admin.get(address(row), headers=HTML)
        assert page.status_code == 200
        assert GONE in page.text and "Failed" in page.text
        assert "hx-get" not in page.text

"""The schema, the roles and the policies on a PostgreSQL of the machine, when one answers.

Set `COHORT_TEST_POSTGRES_URL` to a superuser's URL to name another one.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import create_engine, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from app import database
from app.users.models import User
from app.users.service import create_users, new_row
from core import db
from core.db import unit_of_work
from core.ids import new_id
from tests.conftest import NOW, make_merchant

pytestmark = pytest.mark.services

_URL = os.environ.get(
    "COHORT_TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
)
_LOGIN = "cohort_test_login"
_SIGNER = "cohort_test_signer"
Urls = tuple[URL, URL, URL]


def answers() -> bool:
    patience = {"connect_timeout": 3}
    engine = create_engine(_URL, connect_args=patience, poolclass=NullPool)
    with suppress(OperationalError), engine.connect():
        return True
    return False


@pytest.fixture
def urls() -> Iterator[Urls]:
    """Owner, login and signer of a database that exists for one test."""
    if not answers():
        pytest.skip("no PostgreSQL answers on this machine (COHORT_TEST_POSTGRES_URL)")
    name = f"cohort_test_{new_id().hex[-12:]}"
    admin = create_engine(_URL, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    owner = make_url(_URL).set(database=name)
    yield owner, *(owner.set(username=name, password=None) for name in (_LOGIN, _SIGNER))
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        for role in (_LOGIN, _SIGNER):
            connection.execute(text(f"DROP ROLE IF EXISTS {role}"))
    admin.dispose()


def rendered(url: URL) -> str:
    return url.render_as_string(hide_password=False)


class TestOwnPostgres:
    def test_preparing_it_twice_changes_nothing(self, urls: Urls) -> None:
        owner, login, signer = map(rendered, urls)
        database.prepare(owner, login, signer)
        database.prepare(owner, login, signer)

    def test_members_are_written_and_only_their_merchant_sees_them(self, urls: Urls) -> None:
        owner, login, signer = map(rendered, urls)
        database.prepare(owner, login, signer)
        with create_engine(owner, poolclass=NullPool).begin() as connection:
            connection.execute(text(f"GRANT cohort_signer TO {_LOGIN}"))  # this process signs
        engine = create_engine(login, poolclass=NullPool)
        with db.use_bind(engine):
            merchant = make_merchant().id
            with unit_of_work(merchant=merchant) as session:
                row = new_row("ada@example.com", "ada@example.com", source="test")
                create_users(session, [row], at=NOW)
            with unit_of_work(merchant=merchant) as session:
                assert session.scalars(select(User.email)).all() == ["ada@example.com"]
            with unit_of_work() as session:
                assert session.scalars(select(User.email)).all() == []
        with engine.connect() as connection, pytest.raises(ProgrammingError, match="permission"):
            connection.execute(text("SELECT * FROM users"))
        engine.dispose()

    def test_a_schema_of_a_newer_version_is_refused(self, urls: Urls) -> None:
        owner, login, signer = map(rendered, urls)
        database.prepare(owner, login, signer)
        with create_engine(owner, poolclass=NullPool).begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(database.NewerDataError, match="revision 9999"):
            database.prepare(owner, login, signer)

    def test_a_signer_that_is_not_apart_is_refused(self, urls: Urls) -> None:
        owner, login, signer = map(rendered, urls)
        for together in (login, owner):
            with pytest.raises(database.SignerNotApartError, match="can read sealed keys"):
                database.prepare(owner, together, login)
        database.prepare(owner, login, signer)  # what was refused has granted nothing
        with create_engine(owner, poolclass=NullPool).begin() as connection:
            connection.execute(text(f"ALTER TABLE wallets OWNER TO {_LOGIN}"))
        with pytest.raises(database.SignerNotApartError):
            database.prepare(owner, login, signer)

    def test_rights_of_an_earlier_version_are_taken_back(self, urls: Urls) -> None:
        owner, login, signer = map(rendered, urls)
        database.prepare(owner, login, signer)
        with create_engine(owner, poolclass=NullPool).begin() as connection:
            connection.execute(text("GRANT SELECT, UPDATE ON wallets, data_keys TO cohort_app"))
        database.prepare(owner, login, signer)
        engine = create_engine(login, poolclass=NullPool)
        with (
            db.use_bind(engine),
            pytest.raises(ProgrammingError, match="permission denied"),
            unit_of_work() as session,
        ):
            session.execute(text("SELECT ciphertext FROM wallets"))


class TestNoPostgres:
    def test_that_answers_is_one_sentence(self) -> None:
        nowhere = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
        with pytest.raises(database.DatabaseUnreachableError, match="does not answer"):
            database.prepare(nowhere, nowhere, nowhere)

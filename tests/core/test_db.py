"""The tenant of a transaction, the one commit, and what runs after it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.users.models import User
from app.users.service import new_row
from core import db
from core.db import Role, unit_of_work
from core.types import MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant


def add_user(merchant: MerchantId, email: str) -> None:
    with unit_of_work(merchant=merchant) as session:
        session.add(User(**new_row(email, email, source="test"), created_at=NOW))


class TestTenant:
    def test_a_row_belongs_to_the_merchant_of_its_transaction(self, merchant: Merchant) -> None:
        add_user(merchant.id, "ada@example.com")
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(User.email)).all() == ["ada@example.com"]

    def test_another_merchant_sees_nothing_of_it(self, merchant: Merchant) -> None:
        add_user(merchant.id, "ada@example.com")
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            assert session.scalars(select(User)).all() == []

    def test_no_merchant_sees_nothing_of_anybody(self, merchant: Merchant) -> None:
        add_user(merchant.id, "ada@example.com")
        with unit_of_work() as session:
            assert session.scalars(select(User)).all() == []

    def test_a_row_cannot_be_written_for_another_merchant(self, merchant: Merchant) -> None:
        other = make_other_merchant(merchant)
        row = new_row("eve@example.com", "eve@example.com", source="test")
        with (
            pytest.raises(ProgrammingError, match="row-level security"),
            unit_of_work(merchant=merchant.id) as session,
        ):
            session.add(User(**row, created_at=NOW, merchant_id=other))

    def test_the_engine_role_sees_every_merchant(self, merchant: Merchant) -> None:
        add_user(merchant.id, "ada@example.com")
        add_user(make_other_merchant(merchant), "bob@example.com")
        with unit_of_work(role=Role.ENGINE) as session:
            assert len(session.scalars(select(User)).all()) == 2

    def test_the_login_role_alone_reads_nothing(self, engine: Engine) -> None:
        with engine.connect() as connection, pytest.raises(ProgrammingError, match="permission"):
            connection.execute(text("SELECT * FROM users"))

    def test_events_are_never_changed(self, merchant: Merchant) -> None:
        with (
            pytest.raises(ProgrammingError, match="permission"),
            unit_of_work(merchant=merchant.id) as session,
        ):
            session.execute(text("DELETE FROM events"))


class TestBeyondPolicies:
    def role(self, session: Session) -> str:
        return str(session.scalar(text("SELECT current_user")))

    def test_the_role_is_the_engines_inside_and_the_apps_again(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            with db.beyond_policies(session):
                assert self.role(session) == "cohort_engine"
            assert self.role(session) == "cohort_app"

    def test_also_after_an_error_of_ours(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            with pytest.raises(KeyError), db.beyond_policies(session):
                raise KeyError
            assert self.role(session) == "cohort_app"

    def test_an_error_of_the_database_is_the_one_that_is_told(self, merchant: Merchant) -> None:
        with (
            pytest.raises(ProgrammingError, match="nowhere"),
            unit_of_work(merchant=merchant.id) as session,
            db.beyond_policies(session),
        ):
            session.execute(text("SELECT * FROM nowhere"))


class TestMetadata:
    def test_every_table_has_a_policy_or_is_listed_as_having_no_tenant(self, owner: Engine) -> None:
        without_tenant = {
            "organisations",
            "merchants",
            "team_members",
            "login_tokens",
            "login_sessions",
            "chains",
            "contract_addresses",
        }
        assert set(db.Base.metadata.tables) - without_tenant == set(db.tenant_tables())
        with owner.connect() as connection:
            protected = connection.execute(
                text("SELECT tablename FROM pg_policies WHERE policyname = 'tenant'")
            ).scalars()
            assert set(protected) == set(db.tenant_tables())

    def test_no_application_role_bypasses_the_policies(self, owner: Engine) -> None:
        with owner.connect() as connection:
            bypassing = connection.execute(
                text("SELECT rolname FROM pg_roles WHERE rolbypassrls AND rolname LIKE 'cohort%'")
            ).scalars()
            assert set(bypassing) == {"cohort_owner", "cohort_engine"}


class TestUnitOfWork:
    def test_what_is_registered_runs_after_the_commit(self, merchant: Merchant) -> None:
        seen = []
        with unit_of_work(merchant=merchant.id) as session:
            db.after_commit(session, lambda: seen.append("sent"))
            assert seen == []
        assert seen == ["sent"]

    def test_a_rollback_forgets_it(self, merchant: Merchant) -> None:
        seen = []
        with pytest.raises(RuntimeError), unit_of_work(merchant=merchant.id) as session:
            db.after_commit(session, lambda: seen.append("sent"))
            raise RuntimeError
        assert seen == []

    def test_a_failing_nudge_does_not_undo_the_work(self, merchant: Merchant) -> None:
        def fail() -> None:
            raise ConnectionError

        with unit_of_work(merchant=merchant.id) as session:
            db.after_commit(session, fail)
            session.add(
                User(**new_row("ada@example.com", "ada@example.com", source="t"), created_at=NOW)
            )
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(User.email)) == "ada@example.com"

    def test_an_error_in_the_block_rolls_back(self, merchant: Merchant) -> None:
        with pytest.raises(RuntimeError), unit_of_work(merchant=merchant.id) as session:
            session.add(
                User(**new_row("ada@example.com", "ada@example.com", source="t"), created_at=NOW)
            )
            session.flush()
            raise RuntimeError
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(User)).all() == []


class TestDurability:
    def test_a_commit_is_on_disk_whatever_the_server_says(
        self, owner: Engine, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            session.execute(text("RESET role"))
            session.execute(text("SET synchronous_commit = off"))  # as a role's default would
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(text("SHOW synchronous_commit")) == "on"

    def test_without_a_unit_of_work_the_servers_default_holds(self, engine: Engine) -> None:
        with engine.connect() as connection:
            connection.execute(text("SET synchronous_commit = off"))
            assert connection.scalar(text("SHOW synchronous_commit")) == "off"

    def test_who_stands_still_in_a_transaction_is_disconnected(self, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            patience = session.scalar(text("SHOW idle_in_transaction_session_timeout"))
            assert patience == db.IDLE_IN_TRANSACTION == "2min"

    def test_so_nobody_waits_for_its_locks_for_ever(self, committed: None) -> None:
        merchant = make_merchant().id
        add_user(merchant, "ada@example.com")
        locked = select(User).where(User.email == "ada@example.com").with_for_update()
        with pytest.raises(DBAPIError), unit_of_work(merchant=merchant) as asleep:
            asleep.scalars(locked).one().first_name = "old"
            asleep.flush()
            asleep.execute(text("SET LOCAL idle_in_transaction_session_timeout = '10ms'"))
            with unit_of_work(merchant=merchant) as other:
                other.scalars(locked).one().first_name = "new"
        with unit_of_work(merchant=merchant) as session:
            assert session.scalars(select(User.first_name)).one() == "new"


class TestVersions:
    def test_of_two_writers_who_read_the_same_version_one_is_refused(self, committed: None) -> None:
        merchant = make_merchant()
        add_user(merchant.id, "ada@example.com")

        def rename(name: str) -> bool:
            try:
                with unit_of_work(merchant=merchant.id) as session:
                    user = session.scalars(select(User)).one()
                    user.first_name = name
                return True
            except (DBAPIError, Exception):
                return False

        with unit_of_work(merchant=merchant.id) as session:
            stale = session.scalars(select(User)).one()
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(rename, "Ada").result()
            stale.first_name = "Eda"
            with pytest.raises(Exception, match="UPDATE statement on table 'users'"):
                session.flush()
            session.rollback()

"""Prepares a database: roles, migrations, rights and event partitions; repeating changes nothing.

The login role owns no rights. A unit of work takes on `cohort_app` (under row-level security) or
`cohort_engine` (bypasses it); a session that takes on neither can read nothing.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from core.db import Role, tenant_tables
from core.errors import SettingsError

_ROOT = Path(__file__).resolve().parent.parent
_LOCK = 4_207_771_001
_OLDEST = 150_000


class DatabaseUnreachableError(SettingsError):
    """No connection to the configured database."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"The database does not answer: {detail}. Check COHORT_DATABASE_OWNER_URL and "
            "COHORT_DATABASE_URL."
        )


class NewerDataError(SettingsError):
    """The data was written by a newer version of the product."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"The database was written by a newer version (revision {revision} is unknown here). "
            "Install that version again, or restore a backup made before the upgrade."
        )


class RolesMissingError(SettingsError):
    """The owner may not create the roles, and nobody else has."""

    def __init__(self) -> None:
        super().__init__(
            "The owner role may not create database roles. Let a superuser run once: "
            "CREATE ROLE cohort_app NOLOGIN; CREATE ROLE cohort_engine NOLOGIN BYPASSRLS; and "
            "grant both to the roles in COHORT_DATABASE_URL and COHORT_DATABASE_OWNER_URL."
        )


def prepare(owner_url: str, login_url: str) -> None:
    """The database has the roles, the newest schema, the rights and this month's partitions.

    Raises:
        DatabaseUnreachableError: no connection, or older than PostgreSQL 15.
        NewerDataError: the schema is newer than this program.
        RolesMissingError: roles are missing and the owner may not make them.
    """
    engine = create_engine(owner_url)
    try:
        with engine.connect() as connection:
            _check_version(connection)
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            connection.commit()
            _make_roles(connection, str(make_url(login_url).username))
            _migrate(connection)
            _grant(connection)
            connection.execute(text("SELECT cohort_make_event_partitions()"))
            connection.commit()
    except OperationalError as error:
        raise DatabaseUnreachableError(str(error.orig).strip().splitlines()[-1]) from None
    finally:
        engine.dispose()


def answers(owner_url: str) -> bool:
    """True when the server accepts connections."""
    engine = create_engine(owner_url)
    try:
        with engine.connect():
            return True
    except OperationalError:
        return False
    finally:
        engine.dispose()


def alembic_config() -> Config:
    """Alembic's configuration, read from `pyproject.toml`."""
    return Config(toml_file=_ROOT / "pyproject.toml")


def _check_version(connection: Connection) -> None:
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if version < _OLDEST:
        raise DatabaseUnreachableError(f"PostgreSQL 15 or newer is needed, this is {version}")


def _make_roles(connection: Connection, login: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote(login)
    wanted = {
        Role.APP: "NOLOGIN",
        Role.ENGINE: "NOLOGIN BYPASSRLS",
        login: "LOGIN NOINHERIT",
    }
    try:
        for name, options in wanted.items():
            if not _role_exists(connection, name):
                role = connection.dialect.identifier_preparer.quote(name)
                connection.execute(text(f"CREATE ROLE {role} {options}"))
        if not _is_member(connection, login):
            connection.execute(text(f"GRANT cohort_app, cohort_engine TO {quoted}"))
        connection.commit()
    except ProgrammingError:
        raise RolesMissingError from None


def _role_exists(connection: Connection, name: str) -> bool:
    found = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name})
    return found.first() is not None


def _is_member(connection: Connection, login: str) -> bool:
    query = text(
        "SELECT pg_has_role(:login, 'cohort_app', 'MEMBER')"
        " AND pg_has_role(:login, 'cohort_engine', 'MEMBER')"
    )
    return bool(connection.execute(query, {"login": login}).scalar_one())


def _migrate(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise NewerDataError(_current_revision(connection)) from None
    connection.commit()


def _current_revision(connection: Connection) -> str:
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())


def head_revision() -> str:
    """The newest revision this program knows."""
    return str(ScriptDirectory.from_config(alembic_config()).get_current_head())


def _grant(connection: Connection) -> None:
    """Both roles work on our tables; partitions are reached through their parent only."""
    for role in (Role.APP, Role.ENGINE):
        connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {role}"))
        tables = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ).scalars()
        for table in tables:
            if table == "alembic_version" or table.startswith("events_"):
                continue
            rights = "SELECT, INSERT" if table == "events" else "SELECT, INSERT, UPDATE, DELETE"
            connection.execute(text(f'GRANT {rights} ON "{table}" TO {role}'))
        connection.execute(
            text(f"GRANT EXECUTE ON FUNCTION cohort_make_event_partitions() TO {role}")
        )
    connection.commit()


def policy_statements() -> list[str]:
    """The statements that put every tenant table under its policy; migrations hold copies."""
    return [
        statement
        for table in tenant_tables()
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant ON {table} USING (merchant_id = "
            "nullif(current_setting('cohort.merchant_id', true), '')::uuid)",
        )
    ]

"""Prepares a database: roles, migrations, rights and event partitions; repeating changes nothing.

The login role owns no rights. A unit of work takes on `cohort_app` (under row-level security) or
`cohort_engine` (bypasses it); a session that takes on neither can read nothing. Sealed keys are
read by `cohort_signer` only, which the signer's own login takes on, and the other login cannot.
"""

from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from core.db import Role, tenant_tables
from core.errors import SettingsError
from core.settings import core_settings

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
            "CREATE ROLE cohort_app NOLOGIN; CREATE ROLE cohort_engine NOLOGIN BYPASSRLS; "
            "CREATE ROLE cohort_signer NOLOGIN; grant the first two to the roles in "
            "COHORT_DATABASE_URL and COHORT_DATABASE_OWNER_URL, and the third to the role in "
            "COHORT_DATABASE_SIGNER_URL alone."
        )


class SignerNotApartError(SettingsError):
    """The role of everything else may read sealed keys."""

    def __init__(self, login: str) -> None:
        super().__init__(
            f"The database role {login} can read sealed keys (as a superuser, an owner of the "
            "tables, the signer or a member of cohort_signer), so any part of Cohort could. Use a "
            "plain role in COHORT_DATABASE_URL and another in COHORT_DATABASE_SIGNER_URL."
        )


def prepare(owner_url: str, login_url: str, signer_url: str) -> None:
    """The database has the roles, the newest schema, the rights and this month's partitions.

    Raises:
        DatabaseUnreachableError: no connection, or older than PostgreSQL 15.
        NewerDataError: the schema is newer than this program.
        RolesMissingError: roles are missing and the owner may not make them.
        SignerNotApartError: the signer's role is not the signer's alone.
    """
    engine = create_engine(owner_url)
    try:
        with engine.connect() as connection:
            _check_version(connection)
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            connection.commit()
            _make_roles(connection, _user(login_url), _user(signer_url))
            _migrate(connection)
            _grant(connection)
            _refuse_readers(connection, _user(login_url))
            connection.execute(text("SELECT cohort_make_event_partitions()"))
            connection.commit()
    except OperationalError as error:
        raise DatabaseUnreachableError(str(error.orig).strip().splitlines()[-1]) from None
    finally:
        engine.dispose()


def _user(url: str) -> str:
    return str(make_url(url).username)


def urls() -> tuple[str, str, str]:
    """Of the owner, of the login, and of the signer.

    Raises:
        SettingsError: the settings name some of them and not all.
    """
    login, owner = core_settings().database_url, core_settings().database_owner_url
    if login is None or owner is None:
        raise SettingsError(
            "COHORT_DATABASE_URL is set but COHORT_DATABASE_OWNER_URL is not. Set it to the "
            "role that owns the tables; migrations need it."
        )
    return owner.get_secret_value(), login.get_secret_value(), signer_url()


def signer_url() -> str:
    """Of the signer.

    Raises:
        SettingsError: the settings do not name it.
    """
    url = core_settings().database_signer_url
    if url is None:
        raise SettingsError(
            "COHORT_DATABASE_URL is set but COHORT_DATABASE_SIGNER_URL is not. Set it to a role "
            "for the signer alone: only that role reads sealed keys."
        )
    return url.get_secret_value()


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


def _make_roles(connection: Connection, login: str, signer: str) -> None:
    wanted = {
        Role.APP: "NOLOGIN",
        Role.ENGINE: "NOLOGIN BYPASSRLS",
        Role.SIGNER: "NOLOGIN",
        login: "LOGIN NOINHERIT",
        signer: "LOGIN NOINHERIT",
    }
    try:
        for name, options in wanted.items():
            if not _role_exists(connection, name):
                connection.execute(text(f"CREATE ROLE {_quoted(connection, name)} {options}"))
        for role, member in ((Role.APP, login), (Role.ENGINE, login), (Role.SIGNER, signer)):
            if not _is_member(connection, member, role):
                connection.execute(text(f"GRANT {role} TO {_quoted(connection, member)}"))
    except ProgrammingError:
        raise RolesMissingError from None
    if _is_member(connection, login, Role.SIGNER):
        raise SignerNotApartError(login)  # and nothing was granted
    connection.commit()


def _refuse_readers(connection: Connection, login: str) -> None:
    """Nobody reads sealed keys by another way: as their owner, or by a right of its own."""
    query = text("SELECT has_column_privilege(:login, 'wallets', 'ciphertext', 'SELECT')")
    owner = text(
        "SELECT pg_has_role(:login, tableowner, 'MEMBER') FROM pg_tables"
        " WHERE schemaname = 'public' AND tablename = 'wallets'"
    )
    if any(connection.scalar(it, {"login": login}) for it in (query, owner)):
        raise SignerNotApartError(login)


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _role_exists(connection: Connection, name: str) -> bool:
    found = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name})
    return found.first() is not None


def _is_member(connection: Connection, member: str, role: Role) -> bool:
    query = text("SELECT pg_has_role(:member, :role, 'MEMBER')")
    found = connection.execute(query, {"member": member, "role": role.value})
    return bool(found.scalar_one())


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


_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
_RIGHTS = {
    "events": ("SELECT", "INSERT"),
    "approvals": ("SELECT", "INSERT"),
    "signatures": (),
    "wallets": (
        "SELECT (id, merchant_id, kind, owner_id, address, data_key_id, created_at, destroyed_at)",
        "INSERT",
    ),
    "anchored_digests": ("SELECT", "INSERT", "UPDATE (plan_id)"),
    "draws": ("SELECT", "INSERT", "UPDATE"),
    "draw_lines": ("SELECT", "INSERT", "UPDATE (won_count)"),
    "draw_seeds": ("INSERT",),
    "draw_seed_reads": ("SELECT",),
    "draw_boxes": ("SELECT", "INSERT", "UPDATE (state)"),
    "draw_openings": ("SELECT", "INSERT"),
    "draw_heads": ("SELECT", "INSERT"),
    "draw_tickets": ("SELECT", "INSERT", "UPDATE (state)"),
    "draw_places": ("SELECT", "INSERT"),
    "draw_replacements": ("SELECT", "INSERT"),
    "points_transactions": ("SELECT", "INSERT", "UPDATE (reason)"),
    "points_entries": ("SELECT", "INSERT"),
    "points_lot_uses": ("SELECT", "INSERT"),
    "data_keys": (
        "SELECT (id, merchant_id, kek_id, fingerprint, replaced_by_id, wallet_count, created_at)",
        "INSERT",
        "UPDATE (wallet_count)",
    ),
}
"""Of both roles on tables where they have not all of them."""

_FUNCTIONS = (
    "cohort_make_event_partitions()",
    "cohort_add_property_slot(text, int)",
    "cohort_take_back_events(uuid, int)",
    "cohort_forget_events(uuid[])",
    "cohort_read_draw_seed(uuid, text, text)",
)
"""What both roles may have done by the owner of the tables."""

_SIGNER_RIGHTS = {
    "approvals": ("SELECT",),
    "signatures": ("SELECT", "INSERT"),
    "wallets": ("SELECT", "UPDATE (data_key_id, salt, ciphertext, destroyed_at)"),
    "data_keys": _ALL,
}


def _grant(connection: Connection) -> None:
    """Roles work on our tables as far as they need; partitions are reached through their parent."""
    tables = connection.execute(
        text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ).scalars()
    ours = [it for it in tables if it != "alembic_version" and not it.startswith("events_")]
    for role in (Role.APP, Role.ENGINE):
        for table in ours:
            _allow(connection, role, table, _RIGHTS.get(table, _ALL))
        for function in _FUNCTIONS:
            connection.execute(text(f"GRANT EXECUTE ON FUNCTION {function} TO {role}"))
    for table, rights in _SIGNER_RIGHTS.items():
        _allow(connection, Role.SIGNER, table, rights)
    for role in Role:
        connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {role}"))
    connection.commit()


def _allow(connection: Connection, role: Role, table: str, rights: Sequence[str]) -> None:
    """These rights and no others, whatever an earlier version gave."""
    connection.execute(text(f'REVOKE ALL ON "{table}" FROM {role}'))
    for right in rights:
        connection.execute(text(f'GRANT {right} ON "{table}" TO {role}'))


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

"""The database: one declarative base, one place that commits, one tenant a transaction.

Every business table carries `merchant_id` and a row-level-security policy. `unit_of_work()` opens
a transaction, takes on the role it was asked for and names the merchant; a query that forgets its
filter then finds nothing of another brand. The login role owns no rights of its own.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache
from typing import Any

import structlog
from sqlalchemy import (
    BigInteger,
    DateTime,
    Engine,
    Executable,
    ForeignKey,
    Function,
    MetaData,
    cast,
    create_engine,
    func,
    text,
)
from sqlalchemy import Enum as SqlEnum
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    declared_attr,
    mapped_column,
)

from core import types
from core.errors import SettingsError
from core.settings import core_settings

log = structlog.get_logger(__name__)

TENANT_SETTING = "cohort.merchant_id"
TENANT_VALUE = f"nullif(current_setting('{TENANT_SETTING}', true), '')::uuid"
_IDENTIFIERS = [
    value for value in vars(types).values() if getattr(value, "__supertype__", None) is uuid.UUID
]


class Base(DeclarativeBase):
    """Base of every table; names constraints so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads a plain dictionary
        **{identifier: UUID(as_uuid=True) for identifier in _IDENTIFIERS},
        types.Wei: types.Uint256(),
        types.Gas: BigInteger(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(),
        list[Any]: JSONB(),
        # States are stored by their value, as text: a new state needs no ALTER TYPE.
        Enum: SqlEnum(
            Enum, native_enum=False, length=32, values_callable=lambda kind: [m.value for m in kind]
        ),
    }


class TenantMixin:
    """A table of one merchant's rows; the transaction's tenant is the default."""

    merchant_id: Mapped[types.MerchantId] = mapped_column(
        ForeignKey("merchants.id"),
        server_default=text(f"({TENANT_VALUE})"),
        info={"tenant": True},
    )


def sql_id() -> Function[uuid.UUID]:
    """A new identifier, made by the database for each row of a set (`core.ids.new_id`)."""
    return func.cohort_new_id(type_=UUID(as_uuid=True))


def sql_ids(identifiers: Sequence[uuid.UUID]) -> Function[uuid.UUID]:
    """These identifiers as rows: one parameter, however many they are."""
    kind: UUID[uuid.UUID] = UUID(as_uuid=True)
    return func.unnest(cast(list(identifiers), ARRAY(kind)), type_=kind)


def change(session: Session, statement: Executable) -> int:
    """How many rows the statement inserted or changed."""
    done = session.execute(statement, execution_options={"preserve_rowcount": True})
    return int(getattr(done, "rowcount", 0))


class VersionMixin:
    """A row that people edit: SQLAlchemy refuses to overwrite a version it did not read."""

    version: Mapped[int] = mapped_column(default=1)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805 - SQLAlchemy passes the class
        """Let the mapper check and raise the version."""
        return {"version_id_col": cls.__table__.c.version}  # type: ignore[attr-defined]


class Role(StrEnum):
    """Database roles a transaction can take on."""

    APP = "cohort_app"
    """Requests and tasks, under row-level security."""
    ENGINE = "cohort_engine"
    """Sweeps and set-based work across merchants; bypasses the policies, names merchants itself."""
    SIGNER = "cohort_signer"
    """Custody: the only one that reads sealed keys, and hardly anything else."""


SYSTEM = "system"
IDLE_IN_TRANSACTION = "2min"
"""How long a process may stand still inside a transaction, whose locks others wait for."""


@cache
def _engine() -> Engine:
    url = core_settings().database_url
    if url is None:
        raise SettingsError(
            "No database is configured. Start everything with `cohort up`, "
            "or set COHORT_DATABASE_URL to a PostgreSQL 15 or newer."
        )
    return create_engine(
        url.get_secret_value(), pool_pre_ping=True, pool_size=10, max_overflow=10, pool_timeout=10
    )


def forget_engine() -> None:
    """The next unit of work connects anew, to whatever the settings say then."""
    if _engine.cache_info().currsize:
        _engine().dispose()
    _engine.cache_clear()


_bind: Engine | Connection | None = None


@contextmanager
def use_bind(bind: Engine | Connection) -> Iterator[None]:
    """Inside the block every unit of work uses this engine or open connection (tests, tools)."""
    global _bind
    previous, _bind = _bind, bind
    try:
        yield
    finally:
        _bind = previous


def _new_session() -> Session:
    bind = _bind if _bind is not None else _engine()
    mode: Any = "create_savepoint" if isinstance(bind, Connection) else "conditional_savepoint"
    return Session(bind, expire_on_commit=False, join_transaction_mode=mode)


@contextmanager
def unit_of_work(
    *,
    merchant: types.MerchantId | None = None,
    actor: str = SYSTEM,
    role: Role = Role.APP,
) -> Iterator[Session]:
    """One transaction: committed when the block ends well, rolled back when it raises.

    What was registered with `after_commit` runs after the commit and never before it. What is
    committed is on disk, whatever the server's default is: a database that forgets signed bytes
    gives their nonce to another batch.

    Args:
        merchant: the tenant; without one only tables without tenant are visible to `Role.APP`.
        actor: who acts, written into every event: `member:mem_…`, `user:usr_…` or `system`.
        role: the database role; `Role.ENGINE` needs a reason.
    """
    with _new_session() as session:
        session.info.update(actor=actor, merchant=merchant, after_commit=[])
        _take_on(session, role=role, merchant=merchant)
        yield session
        session.commit()
        hooks = session.info["after_commit"]
    _run_hooks(hooks)


def _take_on(session: Session, *, role: Role, merchant: types.MerchantId | None) -> None:
    session.execute(
        text(
            "SELECT set_config('role', :role, true), set_config(:name, :merchant, true),"
            " set_config('synchronous_commit', 'on', true),"
            " set_config('idle_in_transaction_session_timeout', :patience, true)"
        ),
        {
            "role": role.value,
            "name": TENANT_SETTING,
            "merchant": str(merchant or ""),
            "patience": IDLE_IN_TRANSACTION,
        },
    )


@contextmanager
def beyond_policies(session: Session) -> Iterator[None]:
    """Inside the block the transaction has the engine's role: every query names its merchant.

    For searches below a policy that could not use an index, because the operator they compare
    with is not leakproof: numbers, tuples of a number and an id.
    """
    session.flush()
    _become(session, Role.ENGINE)
    try:
        yield
    except DBAPIError:
        raise  # the transaction is lost, and its role with it
    except BaseException:
        _become(session, Role.APP)
        raise
    _become(session, Role.APP)


def _become(session: Session, role: Role) -> None:
    session.execute(text("SELECT set_config('role', :role, true)"), {"role": role.value})


def use_memory(session: Session, megabytes: int = 64) -> None:
    """From here on the transaction sorts and hashes so much in memory, for work on whole sets."""
    session.execute(text("SELECT set_config('work_mem', :size, true)"), {"size": f"{megabytes}MB"})


def choose_merchant(session: Session, merchant: types.MerchantId) -> None:
    """From here on the transaction belongs to `merchant`: for requests that learn it on the way."""
    session.info["merchant"] = merchant
    session.execute(
        text("SELECT set_config(:name, :merchant, true)"),
        {"name": TENANT_SETTING, "merchant": str(merchant)},
    )


def choose_actor(session: Session, actor: str) -> None:
    """Name who acts, once the request knows it."""
    session.info["actor"] = actor


def merchant_of(session: Session) -> types.MerchantId:
    """The tenant of this transaction.

    Raises:
        SettingsError: the unit of work was opened without one; that is our bug.
    """
    merchant: types.MerchantId | None = session.info["merchant"]
    if merchant is None:
        raise SettingsError("This work belongs to a merchant, but none was named.")
    return merchant


def after_commit(session: Session, hook: Callable[[], None]) -> None:
    """Run `hook` once this unit of work has committed; a rollback forgets it."""
    session.info["after_commit"].append(hook)


def _run_hooks(hooks: list[Callable[[], None]]) -> None:
    for hook in hooks:
        try:
            hook()
        except Exception:
            # The rows are committed and are the truth; a lost nudge only delays.
            log.exception("after_commit_failed")


def tenant_tables() -> list[str]:
    """Names of all tables whose rows belong to one merchant (`TenantMixin`), sorted."""
    return sorted(
        name
        for name, table in Base.metadata.tables.items()
        if any(column.info.get("tenant") for column in table.columns)
    )

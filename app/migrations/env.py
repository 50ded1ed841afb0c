"""Runs migrations as the database owner; `app.database` hands over the connection."""

import re
from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Enum, create_engine
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.engine import Connection
from sqlalchemy.types import TypeDecorator

import app.models  # noqa: F401 - fills the metadata
from core.db import Base
from core.errors import SettingsError
from core.events import Xid8
from core.settings import core_settings

PARTITION_PREFIX = "events_"
# Reflection would otherwise warn of a type SQLAlchemy does not ship.
ischema_names["xid8"] = Xid8


SLOT = re.compile(r"(ix_users_)?[tknbd]\d+")
"""Columns of users that hold the values of properties, and their indexes."""


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Partitions come and go by the month, and slots with properties: no part of the model."""
    if name is None:
        return True
    if kind == "table":
        return not name.startswith(PARTITION_PREFIX)
    return not (kind in ("column", "index") and SLOT.fullmatch(name))


def render_item(kind: str, item: object, autogen: AutogenContext) -> str | Literal[False]:
    """Write plain column types, so that an old migration never depends on today's code."""
    if kind != "type":
        return False
    if isinstance(item, Enum):
        return f"sa.String({item.length})"
    if isinstance(item, Xid8):
        autogen.imports.add("from core.events import Xid8")
        return "Xid8()"
    return f"sa.{item.impl!r}" if isinstance(item, TypeDecorator) else False


def run(connection: Connection) -> None:
    """Upgrade or compare over an open connection."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=include_name,
        render_item=render_item,
        compare_server_default=False,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def owner_connection() -> Connection:
    """A connection of our own when the alembic command line runs without `app.database`."""
    url = core_settings().database_owner_url
    if url is None:
        raise SettingsError("Set COHORT_DATABASE_OWNER_URL to the owner of the database.")
    return create_engine(url.get_secret_value()).connect()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with owner_connection() as own:
        run(own)

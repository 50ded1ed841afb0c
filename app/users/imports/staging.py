"""A part of an import on its way into the tables: copied once, then asked about as a whole set.

Rows are matched by indexes alone: while the first import fills an empty table, the planner still
believes that it is empty.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.csv as arrow_csv
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.users.imports.columns import column_type
from app.users.imports.mapping import Target
from app.users.imports.service import Options
from core.db import merchant_of
from core.ids import encode_id
from core.types import ImportId, ListId

_PLANS = ("seqscan", "bitmapscan", "material", "mergejoin")
"""Ways to read a table that take forever when it is larger than the planner believes."""
_NAMED = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")


def _plans(value: str) -> Any:
    return text(
        "SELECT " + ", ".join(f"set_config('enable_{it}', '{value}', true)" for it in _PLANS)
    )


@dataclass(frozen=True)
class Order:
    """What is to be done with rows.

    Args:
        actor: who uploaded the file.
    """

    import_id: ImportId
    targets: Sequence[Target]
    options: Options
    list_id: ListId | None
    actor: str
    at: datetime


@dataclass(frozen=True)
class Outcome:
    """What became of the rows; `examples` are changes of values, `consents` new answers."""

    created: int
    updated: int
    unchanged: int
    listed: int
    refused: dict[int, str]
    examples: list[dict[str, Any]]
    consents: int = 0


class Staging:
    """One set of rows in a temporary table, in the caller's transaction."""

    def __init__(self, session: Session, order: Order, rows: pa.Table) -> None:
        self._session = session
        self._order = order
        self._rows = rows
        self._names = [name for name in rows.column_names if name != "line"]
        self._values: dict[str, Any] = {
            "merchant": merchant_of(session),
            "import": order.import_id,
            "list": order.list_id,
            "at": order.at,
            "actor": order.actor,
            "list_actor": list_actor(order.import_id),
            "proof": encode_id("imp", order.import_id),
            "list_fact": encode_id("lst", order.list_id) if order.list_id else None,
        }

    def _stage(self) -> None:
        """The rows are in `import_part`, and are matched by indexes from now on."""
        columns = ", ".join(f'"{name}" {column_type(name)}' for name in self._names)
        self._session.execute(text(f"CREATE TEMPORARY TABLE import_part (line bigint, {columns})"))
        buffer = io.BytesIO()
        options = arrow_csv.WriteOptions(include_header=False)
        arrow_csv.write_csv(self._rows, buffer, options)
        cursor: Any = self._session.connection().connection.cursor()
        with cursor, cursor.copy("COPY import_part FROM STDIN (FORMAT csv)") as copy:
            copy.write(buffer.getbuffer())
        self._session.execute(_plans("off"))

    def _clear(self) -> None:
        """Nothing of the part is left beside what was written."""
        self._session.execute(_plans("on"))
        self._session.execute(text("DROP TABLE import_part, import_known"))

    def _statement(self, statement: str) -> Any:
        """With those of our values that it names."""
        named = set(_NAMED.findall(statement))
        return text(statement).bindparams(**{it: self._values[it] for it in named})

    def _execute(self, statement: str) -> Any:
        return self._session.execute(self._statement(statement))


def by_index(name: str, key: str) -> str:
    """The member with a row's key; the limit makes it one look into the index a row."""
    return (
        "LATERAL (SELECT users.* FROM users WHERE users.merchant_id = :merchant"
        f' AND users."{key}" = p."{key}" LIMIT 1) {name}'
    )


def list_actor(import_id: UUID) -> str:
    """Who put a member on a list, when an import did."""
    return f"import:{encode_id('imp', import_id)}"

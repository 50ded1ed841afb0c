"""Events of a part go into the event table, and are taken out of it when the import is undone.

The event table is written to and never changed; what a file brought can leave it again by one
function of the tables' owner, which knows these events and no others. Who read an event hears of
its end by another one: `cohort.event.removed`.
"""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.users.imports import event_fields, undoing
from app.users.imports.columns import column_names
from app.users.imports.models import UserImport
from app.users.imports.staging import Outcome, Staging
from app.users.slots import Kind
from core.db import change

REMOVED = "cohort.event.removed"
EVENTS_A_PART = 20_000
_PAIRS = 40
"""So many names and values are one object: PostgreSQL functions take a hundred arguments."""


class EventLoading(Staging):
    """One set of events on its way, in the caller's transaction."""

    def run(self, *, is_trial: bool) -> Outcome:
        """The events are in the table, those it has already excepted; of a trial, the outcome."""
        self._values |= {"prefix": event_fields.PREFIX, "most": event_fields.DATA_BYTES}
        self._stage()
        self._execute(self._match())
        refused = {line: reason for line, reason in self._execute(_REFUSED)}
        accepted = self._rows.num_rows - len(refused)
        if is_trial:
            created = accepted - self._execute(_KNOWN).scalar_one()
        else:
            created = change(self._session, self._statement(_INSERT))
        self._clear()
        return Outcome(created, 0, accepted - created, 0, refused, [])

    def _match(self) -> str:
        """Each row with its member, its properties, and why it is refused."""
        return (
            "CREATE TEMPORARY TABLE import_known AS SELECT m.*,"
            " CASE WHEN m.user_id IS NULL THEN 'unknown_user'"
            " WHEN octet_length(CAST(m.data AS text)) > :most THEN 'properties_too_long'"
            " END AS reason FROM ("
            f"SELECT p.line, p.event_time, {self._type()} AS type, {self._external()},"
            f" u.id AS user_id, {self._data()} AS data"
            f" FROM import_part p LEFT JOIN {self._member()} ON true) m"
        )

    def _type(self) -> str:
        """What happened; how it begins is never read from a file."""
        if event_fields.TYPE in self._names:
            return "CAST(:prefix AS text) || p.event_type"
        said = self._order.options.event_type or ""
        self._values["type"] = event_fields.plain_type(said)
        return "CAST(:prefix AS text) || CAST(:type AS text)"

    def _external(self) -> str:
        is_said = event_fields.ID in self._names
        return f"{'p.event_id' if is_said else 'NULL::text'} AS external_id"

    def _member(self) -> str:
        """Whom the row names; of somebody who was merged, who stays."""
        key, name = "reference_id", "reference_id"
        if "email_key" in self._names:
            key, name = "email_key", "email_key"
        elif event_fields.USER in self._names:
            key, name = "id", event_fields.USER
        return (
            "LATERAL (SELECT coalesce(users.merged_into_id, users.id) AS id FROM users"
            f" WHERE users.merchant_id = :merchant AND users.{key} = p.{name}"
            " AND users.state <> 'erased' LIMIT 1) u"
        )

    def _data(self) -> str:
        """The properties as one object, those that a column of its own says last."""
        base = "p.properties" if event_fields.DATA in self._names else "NULL::jsonb"
        pairs = []
        for target in self._order.targets:
            if event_fields.is_property(target.field.key):
                [name] = column_names(target.field)
                self._values[f"name_{name}"] = target.label
                pairs.append(f"CAST(:name_{name} AS text), {_value(name, target.field.kind)}")
        objects = [
            f"jsonb_strip_nulls(jsonb_build_object({', '.join(pairs[at : at + _PAIRS])}))"
            for at in range(0, len(pairs), _PAIRS)
        ]
        return " || ".join([f"coalesce({base}, '{{}}')", *objects])


def _value(name: str, kind: Kind) -> str:
    """A column of the part as JSON has it: a date is a text, in UTC."""
    if kind is not Kind.DATE:
        return f"p.{name}"
    return f"to_char(p.{name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"


_REFUSED = "SELECT line, reason FROM import_known WHERE reason IS NOT NULL"
_KNOWN = """
SELECT count(*) FROM import_known m WHERE m.reason IS NULL AND EXISTS (
    SELECT FROM imported_events k WHERE k.merchant_id = :merchant AND k.type = m.type
    AND k.external_id = m.external_id)
"""
# In one order, so that of two imports with the same events neither waits for the other in a circle.
_INSERT = """
WITH fresh AS MATERIALIZED (
    SELECT cohort_new_id() AS id, m.* FROM import_known m WHERE m.reason IS NULL
    ORDER BY m.type, m.external_id, m.line),
kept AS (
    INSERT INTO imported_events (event_id, merchant_id, import_id, occurred_at, type, external_id)
    SELECT id, :merchant, :import, event_time, type, external_id FROM fresh
    ON CONFLICT DO NOTHING RETURNING event_id)
INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)
SELECT f.id, :merchant, f.event_time, f.type, f.user_id, :actor, f.data
FROM fresh f JOIN kept k ON k.event_id = f.id
"""


# A call that removes, and a statement that tells of it, see the same moment.
_TAKE_BACK = """
WITH gone AS MATERIALIZED (SELECT user_id, type FROM cohort_take_back_events(:import, :most)),
told AS (
    INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)
    SELECT cohort_new_id(), :merchant, :at, :removed, user_id, :actor,
        jsonb_build_object('eventType', type)
    FROM (SELECT DISTINCT user_id, type FROM gone) concerned)
SELECT count(*) FROM gone
"""


def take_back_part(session: Session, row: UserImport, *, at: datetime) -> bool:
    """The next events of the import are gone, and whoever counted them hears of it.

    Returns:
        True while there is more to do.
    """
    values = {
        "import": row.id,
        "most": EVENTS_A_PART,
        "merchant": row.merchant_id,
        "at": at,
        "removed": REMOVED,
        "actor": session.info["actor"],
    }
    count = session.execute(text(_TAKE_BACK), values).scalar_one()
    row.done_count += count
    if count:
        return True
    undoing.end(session, row, at=at)
    return False

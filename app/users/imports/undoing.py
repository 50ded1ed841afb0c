"""Takes back what an import did: members, values, list entries and answers to consents.

A created member that nothing happened to since is deleted. Of one whose pass is frozen into a batch
or minted, which cannot be taken back, the row stays without what identifies it. Who was touched
since stays as it is; a value that somebody changed since is listed as a conflict. Answers are never
changed: what counted before is said once more, unless the person answered since.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.users.fields import CORE, fold
from app.users.imports import mapping as mappings
from app.users.imports.columns import column_names, column_type
from app.users.imports.models import ImportState, UserImport
from app.users.imports.staging import list_actor
from core.db import Base, change, merchant_of
from core.events import emit
from core.ids import encode_id

USERS_A_PART = 5_000
_STAGE = """
CREATE TEMPORARY TABLE undo_part AS
SELECT c.user_id, c.changes FROM import_changes c
WHERE c.merchant_id = :merchant AND c.import_id = :import ORDER BY c.user_id LIMIT :limit
"""
_OWN_EVENTS = """
('cohort.user.created', 'cohort.list.joined', 'cohort.list.left', 'cohort.segment.joined',
 'cohort.segment.left', 'cohort.badge.gained', 'cohort.badge.lost', 'cohort.pass.issued',
 'cohort.event.removed', 'cohort.user.consent-updated')
"""
_CREATED = """
CREATE TEMPORARY TABLE undo_created AS
SELECT u.id,
    u.version = 1 AND u.last_seen_at IS NULL AND u.email_verified_at IS NULL
    AND NOT EXISTS (SELECT FROM events e WHERE e.merchant_id = :merchant AND e.user_id = u.id
        AND e.type NOT IN {own_events})
    AND NOT EXISTS (SELECT FROM list_members l WHERE l.user_id = u.id AND l.actor <> :list_actor)
    AND NOT EXISTS (SELECT FROM consents x
        WHERE x.user_id = u.id AND x.proof IS DISTINCT FROM :proof)
    {unnamed} AS is_untouched,
    EXISTS (SELECT FROM passes p WHERE p.user_id = u.id AND p.state <> 'queued') AS is_numbered
FROM undo_part d JOIN users u ON u.id = d.user_id
WHERE d.changes IS NULL AND u.merchant_id = :merchant AND u.state <> 'erased'
FOR UPDATE OF u
"""
_FOLLOWING = ("list_members", "passes", "badge_owners", "consents")
"""Tables whose rows come and go with the member."""
_UNLIST = """
WITH gone AS (DELETE FROM list_members l USING undo_part d
    WHERE l.list_id = :list AND l.user_id = d.user_id AND l.merchant_id = :merchant
    AND l.actor = :list_actor RETURNING l.user_id)
INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)
SELECT cohort_new_id(), :merchant, :at, 'cohort.list.left', user_id, :actor,
    jsonb_build_object('cohortId', CAST(:list_fact AS text), 'listId', CAST(:list_fact AS text),
    'reason', 'undo') FROM gone
"""
_DELETED = (
    "INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)"
    " SELECT cohort_new_id(), :merchant, :at, 'cohort.user.deleted', id, :actor,"
    ' \'{"source": "undo"}\' FROM undo_created WHERE is_untouched',
    "DELETE FROM passes p USING undo_created c"
    " WHERE p.user_id = c.id AND c.is_untouched AND NOT c.is_numbered",
    "DELETE FROM badge_owners b USING undo_created c"
    " WHERE b.user_id = c.id AND c.is_untouched AND NOT c.is_numbered",
    "DELETE FROM consents x USING undo_created c"
    " WHERE x.user_id = c.id AND c.is_untouched AND NOT c.is_numbered",
    "DELETE FROM users u USING undo_created c"
    " WHERE u.id = c.id AND c.is_untouched AND NOT c.is_numbered",
)
_TOUCHED = """
INSERT INTO import_conflicts (merchant_id, import_id, user_id, field)
SELECT :merchant, :import, id, '' FROM undo_created WHERE NOT is_untouched
"""


def run_part(session: Session, row: UserImport, *, at: datetime) -> bool:
    """The next members are as they were before the import.

    Returns:
        True while there is more to do.

    Locks: the members.
    """
    undo = _Undo(session, row, at=at)
    undo.run(_STAGE)
    count = undo.run("SELECT count(*) FROM undo_part").scalar_one()
    if row.list_id is not None:
        undo.run(_UNLIST)
    undo.take_back_members()
    undo.take_back_values()
    undo.run(
        "DELETE FROM import_changes c USING undo_part d"
        " WHERE c.import_id = :import AND c.user_id = d.user_id"
    )
    undo.run("DROP TABLE undo_part")
    row.done_count += count
    if count == USERS_A_PART:
        return True
    if row.list_id is not None:
        undo.run(_UNLIST_REST)
    if row.consent_count:
        undo.run(_ANSWER_AGAIN)
    end(session, row, at=at)
    return False


def end(session: Session, row: UserImport, *, at: datetime) -> None:
    """Nothing of the import is left to take back."""
    row.state, row.undone_at = ImportState.UNDONE, at
    emit(
        session,
        "cohort.import.undone",
        at=at,
        importId=encode_id("imp", row.id),
        conflicts=row.conflict_count,
    )


_UNLIST_REST = """
WITH gone AS (DELETE FROM list_members l
    WHERE l.list_id = :list AND l.merchant_id = :merchant AND l.actor = :list_actor
    RETURNING l.user_id)
INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)
SELECT cohort_new_id(), :merchant, :at, 'cohort.list.left', user_id, :actor,
    jsonb_build_object('cohortId', CAST(:list_fact AS text), 'listId', CAST(:list_fact AS text),
    'reason', 'undo') FROM gone
"""


_ANSWER_AGAIN = """
WITH ours AS (SELECT DISTINCT user_id, purpose FROM consents
    WHERE merchant_id = :merchant AND channel = 'import' AND proof = :proof),
newest AS (SELECT DISTINCT ON (c.user_id, c.purpose) c.* FROM consents c
    JOIN ours o ON o.user_id = c.user_id AND o.purpose = c.purpose
    ORDER BY c.user_id, c.purpose, c.id DESC),
before AS (SELECT n.user_id, n.purpose, n.is_given AS is_now, coalesce((
    SELECT b.is_given FROM consents b
    WHERE b.user_id = n.user_id AND b.purpose = n.purpose AND b.id < n.id
    ORDER BY b.id DESC LIMIT 1), false) AS is_given
    FROM newest n JOIN users u ON u.id = n.user_id AND u.state <> 'erased'
    WHERE n.channel = 'import' AND n.proof = :proof),
kept AS (INSERT INTO consents
    (id, merchant_id, user_id, purpose, is_given, at, channel, proof, actor)
    SELECT cohort_new_id(), :merchant, user_id, purpose, is_given, :at, 'undo', :proof, :actor
    FROM before WHERE is_given <> is_now RETURNING user_id, purpose, is_given)
INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)
SELECT cohort_new_id(), :merchant, :at, 'cohort.user.consent-updated', user_id, :actor,
    jsonb_build_object('purpose', purpose, 'given', is_given) FROM kept
"""


class _Undo:
    """One part of taking back, in the caller's transaction."""

    def __init__(self, session: Session, row: UserImport, *, at: datetime) -> None:
        self._session = session
        self._row = row
        self._fields = mappings.fields(session)
        self._values = {
            "merchant": merchant_of(session),
            "import": row.id,
            "list": row.list_id,
            "list_actor": list_actor(row.id),
            "proof": encode_id("imp", row.id),
            "list_fact": encode_id("lst", row.list_id) if row.list_id else None,
            "actor": session.info["actor"],
            "at": at,
            "limit": USERS_A_PART,
        }

    def run(self, statement: str) -> Any:
        """Execute with those of our values that it names."""
        return self._session.execute(self._bound(statement))

    def _bound(self, statement: str) -> Any:
        named = text(statement)
        return named.bindparams(**{it: self._values[it] for it in named._bindparams})

    def take_back_members(self) -> None:
        """Members the import created are gone, erased, or touched and so a conflict."""
        self.run(_CREATED.format(own_events=_OWN_EVENTS, unnamed=_unnamed()))
        for statement in _DELETED:
            self.run(statement)
        self.run(self._erase())
        self._row.conflict_count += change(self._session, self._bound(_TOUCHED))
        self.run("DROP TABLE undo_created")

    def _erase(self) -> str:
        """The row stays for its pass; nothing in it says whose it was."""
        core = [name for key in mappings.IMPORTED if key != "email" for name in _columns(key)]
        own = [
            name
            for key, (field, _) in self._fields.items()
            if key not in mappings.IMPORTED
            for name in column_names(field)
        ]
        empty = ", ".join(f'"{name}" = NULL' for name in core + own)
        return (
            f"UPDATE users u SET {empty}, name_key = '', email = 'erased-' || u.id,"
            " email_key = 'erased-' || u.id, state = 'erased', version = u.version + 1"
            " FROM undo_created c WHERE u.id = c.id AND c.is_untouched AND c.is_numbered"
        )

    def take_back_values(self) -> None:
        """Values the import wrote are as before, but for those that were changed since."""
        for key, (field, _) in self._fields.items():
            if key != "email" and self._is_changed(key):
                self._take_back(key, column_names(field))
        self.run(_NAMES)
        self.run(_UPDATED)

    def _is_changed(self, key: str) -> bool:
        found = self._session.execute(
            text("SELECT EXISTS (SELECT FROM undo_part WHERE changes ? :key)"), {"key": key}
        )
        return bool(found.scalar_one())

    def _take_back(self, key: str, names: Sequence[str]) -> None:
        kind = column_type(names[0]).partition(" ")[0]
        before, after = (f"CAST(d.changes -> '{key}' ->> {it} AS {kind})" for it in (0, 1))
        same = f'u."{names[0]}" IS NOT DISTINCT FROM {after}'
        if key == "reference_id":
            same += (
                " AND NOT EXISTS (SELECT FROM users o WHERE o.merchant_id = :merchant"
                f" AND o.reference_id = {before} AND o.id <> u.id)"
            )
        of_part = (
            "u.id = d.user_id AND u.merchant_id = :merchant AND u.state <> 'erased'"
            f" AND d.changes ? '{key}'"
        )
        self._row.conflict_count += change(
            self._session,
            self._bound(
                "INSERT INTO import_conflicts"
                " (merchant_id, import_id, user_id, field, before, imported, now)"
                f" SELECT :merchant, :import, u.id, '{key}', CAST({before} AS text),"
                f' CAST({after} AS text), CAST(u."{names[0]}" AS text)'
                f" FROM undo_part d JOIN users u ON {of_part} WHERE NOT ({same})"
            ),
        )
        settings, folds = f'"{names[0]}" = {before}', ""
        if len(names) > 1:
            settings += f', "{names[1]}" = f.folded'
            folds = f" LEFT JOIN undo_folds f ON f.said = {before}"
            self._fold(key)
        self.run(
            f"UPDATE users u SET {settings}, version = u.version + 1"
            f" FROM undo_part d{folds} WHERE {of_part} AND {same}"
        )
        if folds:
            self.run("DROP TABLE undo_folds")

    def _fold(self, key: str) -> None:
        """What texts are compared by is written by Python."""
        said = self._session.scalars(
            text("SELECT DISTINCT changes -> :key ->> 0 FROM undo_part WHERE changes ? :key"),
            {"key": key},
        ).all()
        texts = [it for it in said if it is not None]
        self._session.execute(
            text(
                "CREATE TEMPORARY TABLE undo_folds AS SELECT * FROM"
                " unnest(CAST(:said AS text[]), CAST(:folded AS text[])) AS f (said, folded)"
            ),
            {"said": texts, "folded": [fold(it) for it in texts]},
        )


_NAMES = """
UPDATE users u SET name_key = concat_ws(' ', u.first_key, u.last_key) FROM undo_part d
WHERE u.id = d.user_id AND u.merchant_id = :merchant AND u.state <> 'erased'
AND d.changes ?| ARRAY['first_name', 'last_name']
"""
_UPDATED = """
INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)
SELECT cohort_new_id(), :merchant, :at, 'cohort.user.updated', t.user_id, :actor,
    jsonb_build_object('changed', t.keys) FROM (
    SELECT d.user_id, jsonb_agg(k.key) AS keys
    FROM undo_part d CROSS JOIN LATERAL jsonb_object_keys(d.changes) AS k (key)
    WHERE EXISTS (SELECT FROM users u WHERE u.id = d.user_id AND u.state <> 'erased')
    AND NOT EXISTS (SELECT FROM import_conflicts c WHERE c.import_id = :import
        AND c.user_id = d.user_id AND c.field = k.key)
    GROUP BY d.user_id) t
"""


def _unnamed() -> str:
    """Nothing refers to the member that does not come and go with it."""
    return " ".join(
        f'AND NOT EXISTS (SELECT FROM "{table.name}" x WHERE x."{column.name}" = u.id)'
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if table.name not in _FOLLOWING
        and any(it.target_fullname == "users.id" for it in column.foreign_keys)
    )


def _columns(key: str) -> list[str]:
    """The columns of a core field."""
    return column_names(CORE[key])

"""Users of a part go into the tables: a few statements over the whole set.

What a statement tells of a row is decided by SQL, so that a million members never are a million
objects.
"""

from typing import Any

import pyarrow as pa

from app.users import forgotten
from app.users.imports import consent_fields
from app.users.imports.columns import ERASED, column_names
from app.users.imports.errors import RowsMovedError
from app.users.imports.models import Mode, OnEmpty
from app.users.imports.staging import Outcome, Staging, by_index
from core.db import change
from core.ids import encode_id

CHANNEL = "import"
"""Where an answer of a file was given, as far as the product knows."""


class Loading(Staging):
    """One set of users on its way, in the caller's transaction."""

    def run(self, *, is_trial: bool) -> Outcome:
        """The rows are in the tables; of a trial only the outcome is known.

        Raises:
            RowsMovedError: somebody else changed one of the members at the same moment; roll back
                and try again.

        Locks: the members that change.
        """
        self._find_erased()
        self._stage()
        self._execute(self._match())
        refused = {line: reason for line, reason in self._execute(_REFUSED)}
        known, updated = self._execute(_COUNTED).one()
        created = self._rows.num_rows - known - len(refused)
        examples = self._examples() if is_trial else []
        listed = 0
        if not is_trial:
            self._write(created, updated)
            listed = self._list() if self._order.list_id else 0
        consents = sum(self._consents(it, is_trial=is_trial) for it in self._consent_columns())
        self._clear()
        return Outcome(created, updated, known - updated, listed, refused, examples, consents)

    def _find_erased(self) -> None:
        """Rows of addresses that were erased say so, unless these people shall be there again."""
        self._marks_erased = False
        if not self._is_by_email or self._order.options.is_recreating:
            return
        found = forgotten.erased(self._session, self._rows["email_key"].to_pylist())
        self._marks_erased = any(found)
        if self._marks_erased:
            self._rows = self._rows.append_column(ERASED, pa.array(found, pa.bool_()))
            self._names.append(ERASED)

    def _consent_columns(self) -> list[str]:
        return [name for name in self._names if consent_fields.is_column(name)]

    def _user_columns(self) -> list[str]:
        beside = {*self._consent_columns(), ERASED}
        return [name for name in self._names if name not in beside]

    @property
    def _is_by_email(self) -> bool:
        return "email_key" in self._names

    def _match(self) -> str:
        """Rows of known members, and rows that are refused, with what would change."""
        key = "email_key" if self._is_by_email else "reference_id"
        other = "NULL::uuid"
        join = f"LEFT JOIN {by_index('u', key)} ON true"
        wanted = "u.id IS NOT NULL"
        if self._is_by_email and "reference_id" in self._names:
            join += f" LEFT JOIN {by_index('r', 'reference_id')} ON r.id IS DISTINCT FROM u.id"
            other, wanted = "r.id", "(u.id IS NOT NULL OR r.id IS NOT NULL)"
        is_creating = self._is_by_email and self._order.options.mode is not Mode.UPDATE_ONLY
        unknown = "false" if is_creating else "u.id IS NULL"
        erased = f"u.id IS NULL AND p.{ERASED}" if self._marks_erased and is_creating else "false"
        exists = "u.id IS NOT NULL" if self._order.options.mode is Mode.CREATE_ONLY else "false"
        return (
            "CREATE TEMPORARY TABLE import_known AS SELECT m.line, m.user_id, m.version, m.reason,"
            " CASE WHEN m.reason IS NULL THEN m.changes END AS changes FROM ("
            "SELECT p.line, u.id AS user_id, u.version, CASE"
            f" WHEN u.state = 'erased' OR ({erased}) THEN 'user_erased'"
            " WHEN u.state = 'merged' THEN 'user_merged'"
            f" WHEN {unknown} THEN 'unknown_user'"
            f" WHEN {exists} THEN 'exists' WHEN {other} IS NOT NULL THEN 'reference_taken'"
            f" END AS reason, {self._changes()} AS changes"
            f" FROM import_part p {join} WHERE {wanted} OR {unknown} OR ({erased})) m"
        )

    def _examples(self) -> list[dict[str, Any]]:
        found = self._execute(_EXAMPLES)
        return [{"user": encode_id("usr", user), "changes": changes} for user, changes in found]

    def _changed_fields(self) -> list[tuple[str, str, str]]:
        """Key, column and condition of each field that can change on a known member."""
        fields = []
        for target in self._order.targets:
            key = target.field.key
            if consent_fields.is_consent(key):
                continue
            name = column_names(target.field)[0]
            if key == "email" or (key == "reference_id" and not self._is_by_email):
                continue
            differs = f'u."{name}" IS DISTINCT FROM p."{name}"'
            if self._order.options.on_empty is OnEmpty.SKIP:
                differs = f'(p."{name}" IS NOT NULL AND {differs})'
            fields.append((key, name, differs))
        return fields

    def _changes(self) -> str:
        parts = [
            f"CASE WHEN {differs} THEN jsonb_build_object('{key}', jsonb_build_array("
            f'to_jsonb(u."{name}"), to_jsonb(p."{name}"))) ELSE \'{{}}\' END'
            for key, name, differs in self._changed_fields()
        ]
        if not parts:
            return "NULL::jsonb"
        anything = " OR ".join(differs for _, _, differs in self._changed_fields())
        return f"CASE WHEN u.id IS NOT NULL AND ({anything}) THEN {' || '.join(parts)} END"

    def _write(self, created: int, updated: int) -> None:
        done = 0
        if updated:
            done = change(self._session, self._statement(self._update()))
        if created and self._is_by_email:
            done += change(self._session, self._statement(self._insert()))
        if done != created + updated:
            raise RowsMovedError

    def _insert(self) -> str:
        columns = ", ".join(f'"{name}"' for name in self._user_columns())
        copied = ", ".join(f'p."{name}"' for name in self._user_columns())
        name_key = ("", "") if "name_key" in self._names else (", name_key", ", ''")
        return (
            "WITH fresh AS (INSERT INTO users"
            f" (id, merchant_id, {columns}{name_key[0]}, state, source, mail_status, created_at,"
            f" version) SELECT cohort_new_id(), :merchant, {copied}{name_key[1]},"
            " 'active', 'import', 'ok', :at, 1 FROM import_part p WHERE NOT EXISTS"
            " (SELECT FROM import_known k WHERE k.line = p.line) RETURNING id),"
            " told AS (INSERT INTO events"
            " (id, merchant_id, occurred_at, type, user_id, actor, data)"
            " SELECT cohort_new_id(), :merchant, :at, 'cohort.user.created', id, :actor,"
            ' \'{"source": "import"}\' FROM fresh)'
            " INSERT INTO import_changes (merchant_id, import_id, user_id)"
            " SELECT :merchant, :import, id FROM fresh"
        )

    def _update(self) -> str:
        settings = []
        is_skipping = self._order.options.on_empty is OnEmpty.SKIP
        changed = {name for _, name, _ in self._changed_fields()}
        for target in self._order.targets:
            names = column_names(target.field)
            for name in names if names[0] in changed else ():
                new = f'coalesce(p."{name}", u."{name}")' if is_skipping else f'p."{name}"'
                settings.append(f'"{name}" = {new}')
        if "name_key" in self._names:
            first, last = (self._name_part(it, is_skipping) for it in ("first_key", "last_key"))
            settings.append(f"name_key = concat_ws(' ', {first}, {last})")
        return (
            f"WITH changed AS (UPDATE users u SET {', '.join(settings)}, version = u.version + 1"
            " FROM import_known k JOIN import_part p ON p.line = k.line"
            " WHERE u.id = k.user_id AND u.version = k.version AND k.changes IS NOT NULL"
            " RETURNING u.id, k.changes), told AS (INSERT INTO events"
            " (id, merchant_id, occurred_at, type, user_id, actor, data)"
            " SELECT cohort_new_id(), :merchant, :at, 'cohort.user.updated', id, :actor,"
            " jsonb_build_object('changed', (SELECT jsonb_agg(key) FROM jsonb_object_keys(changes)"
            " AS keys (key))) FROM changed)"
            " INSERT INTO import_changes (merchant_id, import_id, user_id, changes)"
            " SELECT :merchant, :import, id, changes FROM changed"
        )

    def _name_part(self, name: str, is_skipping: bool) -> str:
        if name not in self._names:
            return f"u.{name}"
        return f"coalesce(p.{name}, u.{name})" if is_skipping else f"p.{name}"

    def _consents(self, name: str, *, is_trial: bool) -> int:
        """What people answer to a purpose is written down where it is not what they said last."""
        purpose = name.removeprefix(f"{consent_fields.CONSENT}_")
        self._values |= {"purpose": purpose, "channel": CHANNEL}
        key = "email_key" if self._is_by_email else "reference_id"
        said = (
            f'SELECT u.id AS user_id, p."{name}" AS is_given FROM import_part p'
            f" LEFT JOIN {by_index('u', key)} ON true LEFT JOIN LATERAL (SELECT c.is_given"
            " FROM consents c WHERE c.user_id = u.id AND c.purpose = :purpose"
            " ORDER BY c.id DESC LIMIT 1) newest ON true"
            f' WHERE p."{name}" IS DISTINCT FROM newest.is_given AND p."{name}" IS NOT NULL'
            " AND NOT EXISTS (SELECT FROM import_known k"
            " WHERE k.line = p.line AND k.reason IS NOT NULL)"
        )
        if is_trial:
            return int(self._execute(f"SELECT count(*) FROM ({said}) s").scalar_one())
        return change(
            self._session,
            self._statement(
                f"WITH said AS ({said}), kept AS (INSERT INTO consents (id, merchant_id, user_id,"
                " purpose, is_given, at, channel, proof, actor) SELECT cohort_new_id(), :merchant,"
                " user_id, :purpose, is_given, :at, :channel, :proof, :actor FROM said"
                " RETURNING user_id, is_given)"
                " INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)"
                " SELECT cohort_new_id(), :merchant, :at, 'cohort.user.consent-updated', user_id,"
                " :actor, jsonb_build_object('purpose', CAST(:purpose AS text), 'given', is_given)"
                " FROM kept"
            ),
        )

    def _list(self) -> int:
        """Everybody of the part is on the list."""
        key = "email_key" if self._is_by_email else "reference_id"
        return change(
            self._session,
            self._statement(
                "WITH joined AS (INSERT INTO list_members"
                " (list_id, user_id, merchant_id, added_at, actor)"
                " SELECT :list, u.id, :merchant, :at, :list_actor FROM import_part p"
                f" JOIN {by_index('u', key)} ON true"
                " WHERE NOT EXISTS (SELECT FROM import_known k"
                " WHERE k.line = p.line AND k.reason IS NOT NULL)"
                " ON CONFLICT DO NOTHING RETURNING user_id)"
                " INSERT INTO events (id, merchant_id, occurred_at, type, user_id, actor, data)"
                " SELECT cohort_new_id(), :merchant, :at, 'cohort.list.joined', user_id, :actor,"
                " jsonb_build_object('cohortId', CAST(:list_fact AS text),"
                " 'listId', CAST(:list_fact AS text), 'reason', 'import') FROM joined"
            ),
        )


_REFUSED = "SELECT line, reason FROM import_known WHERE reason IS NOT NULL"
_COUNTED = "SELECT count(*) FILTER (WHERE reason IS NULL), count(changes) FROM import_known"
_EXAMPLES = (
    "SELECT user_id, changes FROM import_known WHERE changes IS NOT NULL ORDER BY line LIMIT 5"
)

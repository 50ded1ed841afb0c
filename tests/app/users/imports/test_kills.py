"""An import whose worker is killed again and again ends as one that nobody disturbed."""

import io
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from app.users import properties
from app.users.imports import event_fields, running, service
from app.users.imports.models import ImportKind, ImportState, OnDuplicate
from app.users.imports.service import Options
from app.users.models import UserList
from app.users.slots import Kind
from core.db import unit_of_work
from core.ids import new_id
from core.settings import core_settings
from core.types import ImportId, ListId, MerchantId
from tests.conftest import NOW, make_merchant
from tests.factories import imports as factory
from tests.factories.brand import make_other_merchant
from tests.factories.import_worker import work
from tests.factories.imports import upload
from tests.factories.killing import kill_again_and_again

ROWS = int(os.environ.get("ROWS") or 20_000)
KILLS = 10 if "ROWS" in os.environ else 4
"""Starting a worker again takes longer than what it then does."""
PARTS = 40

_TABLES = {
    "users": "SELECT email, email_key, first_name, first_key, name_key, reference_id, t1, k1, n1,"
    " state, source, version FROM users WHERE merchant_id = :merchant",
    "lists": "SELECT u.email_key FROM list_members l JOIN users u ON u.id = l.user_id"
    " WHERE l.merchant_id = :merchant",
    "events": "SELECT e.type, u.email_key, e.data - '{importId,listId,cohortId}'::text[]"
    " FROM events e LEFT JOIN users u ON u.id = e.user_id WHERE e.merchant_id = :merchant",
    "imported": "SELECT u.email_key, i.type, i.external_id, i.occurred_at FROM imported_events i"
    " JOIN events e ON e.id = i.event_id JOIN users u ON u.id = e.user_id"
    " WHERE i.merchant_id = :merchant",
    "changes": "SELECT u.email_key, c.changes FROM import_changes c JOIN users u"
    " ON u.id = c.user_id WHERE c.merchant_id = :merchant",
    "refusals": "SELECT line, reason, position, hint, cells FROM import_refusals"
    " WHERE merchant_id = :merchant",
    "imports": "SELECT state, row_count, created_count, updated_count, unchanged_count,"
    " rejected_count, listed_count FROM imports WHERE merchant_id = :merchant",
}


def content() -> str:
    """Rows of every kind: new people, known ones, people named twice, and refused ones."""
    rows = ["email,first name,customer id,City,Points"]
    for number in range(ROWS):
        who = number if number % 50 else number // 2
        bad = number % 100 == 77
        email = "nobody" if bad else f"Person.{who}@example{number % 13 if number % 50 else 0}.com"
        rows.append(f'{email},Zoë {number % 97},C{number},"City\n{number % 31}",{number}.50')
    return "\n".join(rows)


def prepare(merchant: MerchantId, text_of_file: str) -> ImportId:
    """An import that was started, of a merchant that knows some of the people."""
    with unit_of_work(merchant=merchant, actor="test") as session:
        for name, kind in (("City", Kind.TEXT), ("Points", Kind.NUMBER)):
            properties.create(session, name, kind, at=NOW)
        known = "email,first name\n" + "".join(
            f"person.{number}@example{number % 13}.com,Old\n" for number in range(1, 400)
        )
        factory.run(session, known)
        made = UserList(id=ListId(new_id()), name="All", created_at=NOW)
        session.add(made)
        session.flush()
        row = upload(session, text_of_file)
        mapping = {int(at): key for at, key in row.mapping.items()}
        options = Options(on_duplicate=OnDuplicate.LAST)
        service.choose_mapping(session, row, mapping, options=options, list_id=made.id)
        service.start(session, row, at=NOW)
        return row.id


def event_content() -> str:
    """Rows of every kind: events with an ID and without, some twice, some of nobody or wrong."""
    rows = ["email,time,event,event id,amount,note"]
    for number in range(ROWS):
        email = f"person.{number % 397}@example.com" if number % 100 != 77 else "nobody@example.com"
        at = "soon" if number % 100 == 33 else f"2026-0{1 + number % 5}-{1 + number % 28:02} 10:30"
        named = "" if number % 7 == 0 else f"E{number if number % 50 else number // 2}"
        rows.append(f'{email},{at},order{number % 3},{named},{number}.5,"two\n{number % 31}"')
    return "\n".join(rows)


def prepare_events(merchant: MerchantId, text_of_file: str) -> ImportId:
    """An import of events that was started, of a merchant that knows most of the people."""
    with unit_of_work(merchant=merchant, actor="test") as session:
        people = "".join(f"person.{number}@example.com\n" for number in range(397))
        factory.run(session, f"email\n{people}")
        content = io.BytesIO(text_of_file.encode())
        row = service.upload(session, "events.csv", content, kind=ImportKind.EVENTS, at=NOW)
        running.run_part(session, row.id, at=NOW)
        mapping = {int(at): key for at, key in row.mapping.items()}
        mapping |= {4: event_fields.property_key(Kind.NUMBER, "amount")}
        mapping |= {5: event_fields.property_key(Kind.TEXT, "note")}
        options = Options(on_duplicate=OnDuplicate.LAST)
        service.choose_mapping(session, row, mapping, options=options)
        service.start(session, row, at=NOW)
        return row.id


def contents(owner: Engine, merchant: MerchantId) -> dict[str, list[str]]:
    """Everything the import wrote, but for identifiers and times."""
    with owner.connect() as connection:
        return {
            name: sorted(
                re.sub("prp_[0-9a-z]{26}", "prp", str(row))
                for row in connection.execute(text(query), {"merchant": merchant})
            )
            for name, query in _TABLES.items()
        }


class TestKilled:
    @pytest.fixture
    def context(self) -> Iterator[Any]:
        """Processes that start at once, because another one has imported everything before."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.factories.import_worker"])
        yield context

    @pytest.mark.parametrize(
        ("content", "prepare", "wrote"),
        [(content, prepare, "changes"), (event_content, prepare_events, "imported")],
        ids=["users", "events"],
    )
    def test_again_and_again_in_the_middle_it_ends_like_a_clean_run(
        self,
        committed: None,
        engine: Engine,
        owner: Engine,
        context: Any,
        content: Callable[[], str],
        prepare: Callable[[MerchantId, str], ImportId],
        wrote: str,
    ) -> None:
        first = make_merchant()
        other = make_other_merchant(first)
        said = content()
        clean, killed = prepare(first.id, said), prepare(other, said)
        with unit_of_work(merchant=first.id) as session:
            size = service.get(session, clean).byte_count // PARTS
        url = engine.url.render_as_string(hide_password=False)
        folder = str(core_settings().data_dir)

        def run(merchant: MerchantId, import_id: ImportId) -> Any:
            arguments = (folder, url, str(merchant), str(import_id), size)
            worker = context.Process(target=work, args=arguments)
            worker.start()
            return worker

        run(first.id, clean).join()
        kill_again_and_again(
            lambda: run(other, killed), lambda: self.place(other, killed), times=KILLS
        )
        with unit_of_work(merchant=other) as session:
            assert service.get(session, killed).state is ImportState.RUNNING
        run(other, killed).join()
        left, right = contents(owner, other), contents(owner, first.id)
        assert len(left[wrote]) > ROWS // 2
        for name, rows in left.items():
            assert set(rows) ^ set(right[name]) == set()
            assert rows == right[name]

    def place(self, merchant: MerchantId, import_id: ImportId) -> tuple[bool, int]:
        with unit_of_work(merchant=merchant) as session:
            row = service.get(session, import_id)
            return row.is_surveyed, row.next_byte

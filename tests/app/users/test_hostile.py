"""A thousand texts that were made to break things, typed into every field about people.

Each is data and nothing else: no screen fails, and no statement is refused by the database.
"""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event, func, select

from app.accounts.models import Merchant
from app.users import properties
from app.users.models import User
from core.db import unit_of_work
from core.ids import encode_id
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.factories.brand import make_members
from tests.factories.hostile import SEEDS, hostile
from tests.factories.people import make_property

COUNT = 1_000
OPS = ("is", "begins", "from", "set", "unset", "no such op")


@pytest.fixture
def refusals(engine: Engine) -> Iterator[list[str]]:
    """What the database, or its driver, refused."""
    found: list[str] = []

    def note(context: object) -> None:
        found.append(str(getattr(context, "original_exception", context)))

    event.listen(engine, "handle_error", note)
    yield found
    event.remove(engine, "handle_error", note)


def test_every_screen_takes_them_for_text(
    admin: TestClient, merchant: Merchant, refusals: list[str]
) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        row = make_property(session, "Word")
        [user] = make_members(session, "ada@example.com")
    settings = f"/admin/settings/properties/{encode_id('prp', row.id)}"
    record = f"/admin/users/{encode_id('usr', user)}"
    key = encode_id("prp", row.id)
    headers = {"origin": ORIGIN, **HTML}
    token = token_in(admin.get("/admin", headers=HTML).text)
    version, statuses = 1, set()
    for number, name in enumerate(hostile(COUNT)):
        sent = {"csrf": token, "version": str(version), "first_name": name, key: name}
        query = {"q": name, "field": key, "op": OPS[number % 6], "value": name, "sort": name}
        renamed = {"csrf": token, "name": name, "reference_id": f"ref_{number}"}
        acts = {"csrf": token, "act": "block", "query": name, "everybody": "1", "reason": name}
        columns = {"csrf": token, "column": name}
        screens = [
            lambda sent=sent: admin.post(record, data=sent, headers=headers),
            lambda query=query: admin.get("/admin/users", params=query, headers=HTML),
            lambda sent=renamed: admin.post(settings, data=sent, headers=headers),
            lambda sent=acts: admin.post("/admin/users/many", data=sent, headers=headers),
            lambda sent=columns: admin.post("/admin/users/columns", data=sent, headers=headers),
        ]
        # The worst ones through all of them, the others through one after the other.
        chosen = screens if number < len(SEEDS) else [screens[number % len(screens)]]
        answers = [screen() for screen in chosen]
        is_saved = chosen[0] is screens[0] and answers[0].status_code == 303
        version += is_saved
        statuses |= {it.status_code for it in answers}
        assert all(it.status_code < 500 for it in answers), name
        assert refusals == [], name
        if is_saved and number % 20 == 0:
            for page in (record, settings, "/admin/settings/properties", f"{record}/audit"):
                shown = admin.get(page, headers=HTML)
                assert shown.status_code == 200, name
                assert "<script>alert" not in shown.text
    assert {200, 303, 422} <= statuses <= {200, 303, 404, 409, 422}
    with unit_of_work(merchant=merchant.id) as session:
        assert session.scalar(select(func.count()).select_from(User)) == 1
        assert properties.get(session, row.id).slot == 1


def test_they_name_properties_or_are_refused(
    admin: TestClient, merchant: Merchant, refusals: list[str]
) -> None:
    headers = {"origin": ORIGIN, **HTML}
    token = token_in(admin.get("/admin", headers=HTML).text)
    made = 0
    for number, name in enumerate(hostile(len(SEEDS))):
        kind = ("text", "number", "boolean", "date")[number % 4]
        sent = {"csrf": token, "name": name, "kind": kind, "reference_id": name[: number % 2 * 99]}
        answer = admin.post("/admin/settings/properties/new", data=sent, headers=headers)
        assert answer.status_code in (303, 422), name
        made += answer.status_code == 303
    assert refusals == []
    assert admin.get("/admin/settings/properties", headers=HTML).status_code == 200
    assert admin.get("/admin/users", headers=HTML).status_code == 200
    with unit_of_work(merchant=merchant.id) as session:
        assert len(properties.list_all(session)) == made > 20

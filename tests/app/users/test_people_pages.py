"""The list and the record on screen: what is shown, what is done, and who may do it."""

import pytest
from fastapi import FastAPI

from app.accounts.models import Merchant, TeamRole
from app.users import lists, queries, standing
from app.users.models import User, UserState
from app.users.slots import Kind
from core.db import unit_of_work
from core.ids import encode_id
from core.types import UserId
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.people import make_property, set_values

LIST = "/admin/users"
TABS = ("", "/campaigns", "/rewards", "/lists", "/events", "/wallet", "/consents", "/audit")


@pytest.fixture
def people(merchant: Merchant) -> list[UserId]:
    """Three members."""
    with unit_of_work(merchant=merchant.id) as session:
        return make_members(session, "ada@example.com", "bob@example.com", "cy@example.com")


def address(user: UserId) -> str:
    return f"{LIST}/{encode_id('usr', user)}"


def state_of(merchant: Merchant, user: UserId) -> UserState:
    with unit_of_work(merchant=merchant.id) as session:
        return session.get_one(User, user).state


class TestList:
    def test_remembers_the_columns_of_each_of_the_team(
        self, admin: TestClient, browse: Browse, merchant: Merchant, people: list[UserId]
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = make_property(session, "Shoe size", Kind.NUMBER)
            set_values(session, row, {people[0]: "42.5"})
            key = encode_id("prp", row.id)
        assert submit(admin, f"{LIST}/columns", column=[key, "lang", "gone"]).status_code == 303
        page = admin.get(LIST, headers=HTML).text
        assert f'href="/admin/users?sort={key}"' in page and "42.5" in page
        assert 'data-label="Email"' not in page and 'data-label="Language"' in page
        other = browser_as(browse, merchant, TeamRole.ANALYST)
        assert 'data-label="Email"' in other.get(LIST, headers=HTML).text

    def test_keeps_filters_in_the_address(self, admin: TestClient, people: list[UserId]) -> None:
        page = admin.get(f"{LIST}?field=email&op=begins&value=bob&sort=-email", headers=HTML).text
        assert address(people[1]) in page and address(people[0]) not in page
        assert "1 in total" in page and 'value="field=email&amp;op=begins&amp;value=bob"' in page

    def test_of_nobody_says_so(self, admin: TestClient, people: list[UserId]) -> None:
        assert "Nobody found" in admin.get(f"{LIST}?q=zz", headers=HTML).text
        assert admin.get(f"{LIST}?list=nonsense", headers=HTML).status_code == 404
        answer = admin.get(f"{LIST}?field=created_at&op=is&value=soon", headers=HTML)
        assert answer.status_code == 422


class TestMany:
    def test_are_asked_about_first(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        chosen = [encode_id("usr", it) for it in people[:2]]
        answer = submit(admin, f"{LIST}/many", act="block", user=chosen)
        assert answer.status_code == 200 and "2 members are blocked" in answer.text
        assert state_of(merchant, people[0]) is UserState.ACTIVE
        fields = {"act": "block", "user": chosen, "confirmed": "1", "reason": "spam"}
        assert submit(admin, f"{LIST}/many", **fields).status_code == 303
        states = [state_of(merchant, it) for it in people]
        assert states == [UserState.BLOCKED, UserState.BLOCKED, UserState.ACTIVE]

    def test_everybody_found_goes_on_a_list_and_leaves_it(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = lists.create(session, "Best", at=NOW)
        name = encode_id("lst", row.id)
        fields = {"everybody": "1", "query": "q=b", "list": name, "confirmed": "1"}
        for act, count in (("add", 1), ("add", 1), ("remove", 0)):
            assert submit(admin, f"{LIST}/many", act=act, **fields).status_code == 303
            with unit_of_work(merchant=merchant.id) as session:
                assert lists.count_members(session, [row.id]).get(row.id, 0) == count

    def test_nobody_is_nothing_to_do(self, admin: TestClient, people: list[UserId]) -> None:
        assert submit(admin, f"{LIST}/many", act="block").status_code == 422
        chosen = encode_id("usr", people[0])
        assert submit(admin, f"{LIST}/many", act="explode", user=chosen).status_code == 422

    def test_an_analyst_only_looks(
        self, browse: Browse, merchant: Merchant, people: list[UserId]
    ) -> None:
        analyst = browser_as(browse, merchant, TeamRole.ANALYST)
        chosen = encode_id("usr", people[0])
        fields = {"act": "block", "user": chosen, "confirmed": "1"}
        assert submit(analyst, f"{LIST}/many", **fields).status_code == 403
        for tab in TABS:
            assert analyst.get(f"{address(people[0])}{tab}", headers=HTML).status_code == 200, tab
        for path in ("", "/block", "/unblock", "/lists", "/consents"):
            assert submit(analyst, f"{address(people[0])}{path}").status_code == 403, path


class TestRecord:
    def test_saves_what_was_typed(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        path = address(people[0])
        answer = submit(admin, path, version="1", first_name="Ada", email="ada@example.com")
        assert answer.status_code == 303
        assert "Ada" in admin.get(path, headers=HTML).text
        audit = admin.get(f"{path}/audit", headers=HTML).text
        assert "First name" in audit and "owner@example.com" in audit

    def test_comes_back_with_the_mistakes(self, admin: TestClient, people: list[UserId]) -> None:
        answer = submit(admin, address(people[0]), version="1", phone="12", first_name="Ada")
        assert answer.status_code == 422
        assert "Enter a number with its country" in answer.text and 'value="Ada"' in answer.text

    def test_refuses_an_old_page(self, admin: TestClient, people: list[UserId]) -> None:
        path = address(people[0])
        for version in ("7", "", "1; DROP TABLE users"):
            assert submit(admin, path, version=version, first_name="X").status_code == 409

    def test_blocks_and_unblocks(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        path = address(people[0])
        assert submit(admin, f"{path}/block", reason="spam").status_code == 303
        assert "Unblock" in admin.get(path, headers=HTML).text
        assert "reason: <bdi>spam" in admin.get(f"{path}/events", headers=HTML).text
        assert submit(admin, f"{path}/unblock").status_code == 303
        assert state_of(merchant, people[0]) is UserState.ACTIVE

    def test_gives_and_withdraws_consent(self, admin: TestClient, people: list[UserId]) -> None:
        path = f"{address(people[0])}/consents"
        for given in ("true", "false"):
            answer = submit(admin, path, purpose="marketing_email", given=given)
            assert answer.status_code == 303
        page = admin.get(path, headers=HTML).text
        assert "withdrawn" in page and "Nothing here is ever changed." in page
        assert submit(admin, path, purpose="Not OK", given="true").status_code == 422

    def test_puts_on_a_list(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            name = encode_id("lst", lists.create(session, "Best", at=NOW).id)
        path = f"{address(people[0])}/lists"
        assert submit(admin, path, list=name).status_code == 303
        assert "Best" in admin.get(path, headers=HTML).text
        assert submit(admin, path, list=name, act="remove").status_code == 303
        assert "On no list" in admin.get(path, headers=HTML).text

    def test_shows_events_by_type(self, admin: TestClient, people: list[UserId]) -> None:
        path = f"{address(people[0])}/events"
        assert "cohort.user.created" in admin.get(path, headers=HTML).text
        page = admin.get(f"{path}?kind=cohort.user.blocked", headers=HTML).text
        assert "Nothing happened yet" in page


def test_blocking_ends_the_session(
    whole_app: FastAPI, member: TestClient, merchant: Merchant
) -> None:
    assert member.get("/space/home", headers=HTML).status_code == 200
    with unit_of_work(merchant=merchant.id) as session:
        standing.block(session, queries.users().with_only_columns(User.id), reason="", at=NOW)
        standing.unblock(session, queries.users().with_only_columns(User.id), at=NOW)
    assert member.get("/space/home", headers=HTML).status_code == 303

"""Lists: whoever comes or leaves is told of once, and what is used stays."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant, TeamRole
from app.segments.models import Badge, BadgeState
from app.users import lists, queries
from app.users.errors import ListArchivedError, ListInvalidError
from app.users.models import ListMember, User, UserList, UserState
from core.db import unit_of_work
from core.events import Event
from core.ids import encode_id, new_id
from core.types import BadgeId, ListId, UserId
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_members, make_other_merchant

LISTS = "/admin/users/lists"


@pytest.fixture
def people(session: Session) -> list[UserId]:
    """Three members."""
    return make_members(session, "ada@example.com", "bob@example.com", "cy@example.com")


def told(session: Session, kind: str) -> list[tuple[UserId | None, dict[str, object]]]:
    rows = session.execute(select(Event.user_id, Event.data).where(Event.type == kind))
    return [(user, data) for user, data in rows]


class TestMembers:
    def test_come_and_leave_once(self, session: Session, people: list[UserId]) -> None:
        row = lists.create(session, "Best", at=NOW)
        name = encode_id("lst", row.id)
        assert lists.add(session, row, select(User.id), reason="manual", at=NOW) == 3
        assert lists.add(session, row, select(User.id), reason="manual", at=NOW) == 0
        data = {"cohortId": name, "listId": name, "reason": "manual"}
        joined = told(session, "cohort.list.joined")
        assert sorted(user for user, _ in joined if user) == sorted(people)
        assert all(it == data for _, it in joined)
        one = queries.only(people[0])
        assert lists.remove(session, row, one, reason="api", at=NOW) == 1
        assert lists.remove(session, row, one, reason="api", at=NOW) == 0
        assert told(session, "cohort.list.left") == [(people[0], {**data, "reason": "api"})]
        assert lists.count_members(session, [row.id]) == {row.id: 2}

    def test_who_is_gone_does_not_come(self, session: Session, people: list[UserId]) -> None:
        states = (UserState.ERASED, UserState.MERGED, UserState.BLOCKED)
        for user, state in zip(people, states, strict=True):
            session.get_one(User, user).state = state
        session.flush()
        row = lists.create(session, "Best", at=NOW)
        assert lists.add(session, row, select(User.id), reason="manual", at=NOW) == 1

    def test_nobody_comes_on_an_archived_list(self, session: Session, people: list[UserId]) -> None:
        row = lists.create(session, "Best", at=NOW)
        lists.archive(session, row, at=NOW)
        with pytest.raises(ListArchivedError):
            lists.add(session, row, select(User.id), reason="manual", at=NOW)
        lists.restore(session, row)
        assert lists.add(session, row, select(User.id), reason="manual", at=NOW) == 3

    def test_at_once_are_told_of_once(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            make_members(session, *(f"m{number}@example.com" for number in range(20)))
            list_id = lists.create(session, "Best", at=NOW).id

        def add(_number: int) -> int:
            with unit_of_work(merchant=merchant) as session:
                row = lists.get(session, list_id)
                return lists.add(session, row, select(User.id), reason="manual", at=NOW)

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(add, range(8))) == 20
        with unit_of_work(merchant=merchant) as session:
            assert len(told(session, "cohort.list.joined")) == 20


class TestNames:
    @pytest.mark.parametrize("name", ["", " ", "x" * 121, "a\0b", "a\nb"])
    def test_that_nobody_could_read_are_refused(self, session: Session, name: str) -> None:
        with pytest.raises(ListInvalidError):
            lists.create(session, name, at=NOW)

    def test_references_are_unique(self, session: Session) -> None:
        first = lists.create(session, "One", reference_id="vip", at=NOW)
        with pytest.raises(ListInvalidError) as caught:
            lists.create(session, "Two", reference_id=" vip ", at=NOW)
        assert "reference_id" in caught.value.fields
        lists.rename(session, first, name="One", reference_id="")
        assert lists.create(session, "Two", reference_id="vip", at=NOW).reference_id == "vip"

    def test_there_are_so_many_at_the_most(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lists, "MOST_LISTS", 1)
        lists.create(session, "One", at=NOW)
        with pytest.raises(ListInvalidError):
            lists.create(session, "Two", at=NOW)


class TestPages:
    @pytest.fixture
    def best(self, merchant: Merchant) -> ListId:
        """A list with one of two members."""
        with unit_of_work(merchant=merchant.id) as session:
            row = lists.create(session, "Best", at=NOW)
            ada, _ = make_members(session, "ada@example.com", "bob@example.com")
            lists.add(session, row, queries.only(ada), reason="manual", at=NOW)
            return row.id

    def address(self, list_id: ListId) -> str:
        return f"{LISTS}/{encode_id('lst', list_id)}"

    def test_make_rename_and_fill_a_list(self, admin: TestClient, best: ListId) -> None:
        assert submit(admin, f"{LISTS}/new", name="New").status_code == 303
        assert submit(admin, f"{LISTS}/new", name="").status_code == 422
        assert submit(admin, self.address(best), name="Better").status_code == 303
        assert submit(admin, self.address(best), name="x" * 200).status_code == 422
        members = f"{self.address(best)}/members"
        assert submit(admin, members, email="BOB@example.com").status_code == 303
        for email in ("nobody", "who@example.com"):
            assert submit(admin, members, email=email).status_code == 422
        page = admin.get(self.address(best), headers=HTML).text
        assert "Better" in page and "2 in total" in page
        assert "Better" in admin.get(LISTS, headers=HTML).text

    def test_archive_and_delete(self, admin: TestClient, merchant: Merchant, best: ListId) -> None:
        assert submit(admin, f"{self.address(best)}/archive").status_code == 303
        assert self.address(best) not in admin.get(LISTS, headers=HTML).text
        assert self.address(best) in admin.get(f"{LISTS}?archived=true", headers=HTML).text
        assert submit(admin, f"{self.address(best)}/delete").status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalar(select(func.count()).select_from(UserList)) == 0
            assert session.scalar(select(func.count()).select_from(ListMember)) == 0
            assert [data["reason"] for _, data in told(session, "cohort.list.left")] == ["deleted"]

    def test_refuse_to_delete_what_a_badge_uses(
        self, admin: TestClient, merchant: Merchant, best: ListId
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            session.add(
                Badge(
                    id=BadgeId(new_id()),
                    internal_name="Pioneer",
                    list_id=best,
                    state=BadgeState.LIVE,
                    created_at=NOW,
                )
            )
        answer = submit(admin, f"{self.address(best)}/delete")
        assert answer.status_code == 409 and "the badge “Pioneer”" in answer.text
        assert "Used by" in admin.get(self.address(best), headers=HTML).text

    def test_of_somebody_else_do_not_exist(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            theirs = lists.create(session, "Theirs", at=NOW).id
        assert admin.get(self.address(theirs), headers=HTML).status_code == 404
        for path in ("", "/members", "/archive", "/delete"):
            assert submit(admin, f"{self.address(theirs)}{path}", name="x").status_code == 404

    def test_an_analyst_only_looks(self, browse: Browse, merchant: Merchant, best: ListId) -> None:
        analyst = browser_as(browse, merchant, TeamRole.ANALYST)
        assert analyst.get(self.address(best), headers=HTML).status_code == 200
        for path in ("", "/members", "/archive", "/delete"):
            assert submit(analyst, f"{self.address(best)}{path}").status_code == 403

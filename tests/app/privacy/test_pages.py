"""The privacy tab: typed confirmations, admins only, archives for whom they are about."""

import io
import json
import zipfile

import pytest

from app.accounts.models import Merchant, TeamRole
from app.claims.claiming import Attempt, Claimed, claim
from app.claims.seeds import code_of
from app.privacy import copies, erasure
from app.users.models import User, UserState
from core.db import unit_of_work
from core.ids import encode_id
from core.types import UserId, utc_now
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.claims import make_batch


@pytest.fixture
def people(merchant: Merchant) -> list[UserId]:
    """Two members."""
    with unit_of_work(merchant=merchant.id) as session:
        return make_members(session, "bob@example.com", "cy@example.com")


def use_code(merchant: Merchant, user: UserId) -> None:
    """The member claims a code."""
    with unit_of_work(merchant=merchant.id) as session:
        tried = Attempt(code_of(make_batch(session), 1), b"network")
        assert isinstance(claim(session, session.get_one(User, user), tried, at=NOW), Claimed)


def tab(user: UserId) -> str:
    return f"/admin/users/{encode_id('usr', user)}/privacy"


def make_copies(merchant: Merchant, user: UserId) -> str:
    with unit_of_work(merchant=merchant.id) as session:
        [copy] = copies.of_member(session, user)
        copies.make(session, copy.id, at=utc_now())
        return encode_id("cpy", copy.id)


class TestCopy:
    def test_is_an_archive_of_everything(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        use_code(merchant, people[0])
        for _ in range(2):
            assert submit(admin, f"{tab(people[0])}/copy").status_code == 303
        name = make_copies(merchant, people[0])
        assert name in admin.get(tab(people[0]), headers=HTML).text
        answer = admin.get(f"{tab(people[0])}/copies/{name}", headers=HTML)
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            known = json.loads(archive.read("everything.json"))
            page = archive.read("everything.html").decode()
        assert known["profile"]["Email"] == "bob@example.com"
        assert known["wallets"][0]["address"].startswith("0x")
        assert known["events"][0]["type"] == "cohort.user.created"
        assert known["claims"] == [{"codes": "Flyers", "number": 1, "at": NOW.isoformat()}]
        assert "bob@example.com" in page and known["wallets"][0]["address"] in page

    def test_of_one_member_is_not_anothers(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        submit(admin, f"{tab(people[0])}/copy")
        name = make_copies(merchant, people[0])
        path = f"{tab(people[1])}/copies/{name}"
        assert admin.get(path, headers=HTML).status_code == 404


class TestErase:
    def test_needs_the_address_typed(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        path = f"{tab(people[0])}/erase"
        answer = submit(admin, path, reason="asked by mail", confirmation="bob")
        assert answer.status_code == 422 and "asked by mail" in answer.text
        for fields in ({"confirmation": "bob@example.com"}, {"reason": "asked"}):
            assert submit(admin, path, **fields).status_code == 422
        with unit_of_work(merchant=merchant.id) as session:
            assert erasure.find_open(session, people[0]) is None

    def test_can_be_taken_back(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        fields = {"reason": "asked", "confirmation": "bob@example.com"}
        assert submit(admin, f"{tab(people[0])}/erase", **fields).status_code == 303
        page = admin.get(tab(people[0]), headers=HTML).text
        assert "About to be erased" in page and "owner@example.com" in page
        assert submit(admin, f"{tab(people[0])}/keep").status_code == 303
        assert "About to be erased" not in admin.get(tab(people[0]), headers=HTML).text
        assert submit(admin, f"{tab(people[0])}/keep").status_code == 409


class TestMerge:
    def test_is_shown_then_confirmed(
        self, admin: TestClient, merchant: Merchant, people: list[UserId]
    ) -> None:
        path = f"{tab(people[0])}/merge"
        shown = admin.get(f"{path}?other=CY@example.com", headers=HTML)
        assert shown.status_code == 200 and "This cannot be undone." in shown.text
        other = encode_id("usr", people[1])
        assert "Grants" in admin.get(f"{path}?other={other}", headers=HTML).text
        refused = submit(admin, path, other=other, confirmation="bob@example.com")
        assert refused.status_code == 422
        done = submit(admin, path, other=other, confirmation="cy@example.com")
        assert done.status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(User, people[1]).state is UserState.MERGED
        gone = admin.get(f"/admin/users/{other}", headers=HTML).text
        assert "Merged into another member" in gone

    @pytest.mark.parametrize("other", ["", "nobody", "x@example.com", "usr_1", "bob@example.com"])
    def test_with_nobody_says_so(self, admin: TestClient, people: list[UserId], other: str) -> None:
        answer = admin.get(f"{tab(people[0])}/merge", params={"other": other}, headers=HTML)
        assert answer.status_code in (404, 409, 422)


def test_only_admins_act(browse: Browse, merchant: Merchant, people: list[UserId]) -> None:
    editor = browser_as(browse, merchant, TeamRole.EDITOR)
    assert editor.get(tab(people[0]), headers=HTML).status_code == 200
    for path in ("copy", "erase", "keep", "merge"):
        assert submit(editor, f"{tab(people[0])}/{path}").status_code == 403, path
    for path in ("merge", "copies/cpy_0"):
        assert editor.get(f"{tab(people[0])}/{path}", headers=HTML).status_code == 403, path

"""Badges on screen: from a name to a mark in the space of its owners."""

import csv
import io
from datetime import timedelta

import pytest
from PIL import Image
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.segments import badges
from app.segments.models import Badge, BadgeState
from app.users import lists, queries
from app.users.models import User
from core.db import unit_of_work
from core.ids import encode_id
from core.types import BadgeId, ListId
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, ORIGIN, TestClient, submit, token_in
from tests.conftest import NOW
from tests.factories.brand import make_members, make_other_merchant

BADGES = "/admin/users/badges"


def picture(colour: str = "#335577") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (400, 400), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def best(merchant: Merchant) -> ListId:
    """A list with nobody on it."""
    with unit_of_work(merchant=merchant.id) as session:
        return lists.create(session, "Best", at=NOW).id


def make(admin: TestClient, merchant: Merchant) -> tuple[str, BadgeId]:
    assert submit(admin, BADGES, internal_name="Pioneer").status_code == 303
    with unit_of_work(merchant=merchant.id) as session:
        row = session.scalars(select(Badge)).one()
    return f"{BADGES}/{encode_id('bdg', row.id)}", row.id


def send(admin: TestClient, path: str, *, locked: bytes | None = None, **fields: str) -> "object":
    data = {"csrf": token_in(admin.get("/admin", headers=HTML).text), **fields}
    files = {"image": ("badge.png", picture(), "image/png")}
    if locked is not None:
        files["locked_image"] = ("locked.png", locked, "image/png")
    return admin.post(path, data=data, files=files, headers={"origin": ORIGIN, **HTML})


class TestPages:
    def test_lead_from_a_name_to_a_mark_in_the_space(
        self, admin: TestClient, member: TestClient, merchant: Merchant, best: ListId
    ) -> None:
        path, badge_id = make(admin, merchant)
        fields = {
            "internal_name": "Pioneer",
            "title-en": "Pioneer",
            "description-en": "You were here first.",
            "locked-en": "Come early.",
            "language": "de",
            "title-new": "Vorreiter",
            "owners": encode_id("lst", best),
        }
        assert send(admin, path, act="publish", **fields).status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            row = badges.get(session, badge_id)
            assert row.state is BadgeState.LIVE
            assert row.title == {"en": "Pioneer", "de": "Vorreiter"}
        home = member.get("/space/home", headers=HTML).text
        assert "Come early." in home and "You were here first." not in home
        with unit_of_work(merchant=merchant.id) as session:
            everybody = queries.users().with_only_columns(User.id)
            badges.give(session, row, [(it, NOW) for it in session.scalars(everybody)], at=NOW)
        home = member.get("/space/home", headers=HTML).text
        assert "You were here first." in home
        assert "Pioneer" in admin.get(BADGES, headers=HTML).text
        assert "ada@example.com" in admin.get(path, headers=HTML).text

    def test_have_a_picture_for_outsiders_or_the_grey_one(
        self, admin: TestClient, member: TestClient, merchant: Merchant, best: ListId
    ) -> None:
        path, badge_id = make(admin, merchant)
        fields = {"internal_name": "P", "title-en": "P", "owners": encode_id("lst", best)}
        send(admin, path, act="publish", locked=picture("#111111"), **fields)
        with unit_of_work(merchant=merchant.id) as session:
            row = badges.get(session, badge_id)
            own, locked = row.media_cid, row.locked_media_cid
        assert own and locked and own != locked
        for page in ("/space/home", "/space/profile"):
            shown = member.get(page, headers=HTML).text
            assert f"/ipfs/{locked}" in shown and f"/ipfs/{own}" not in shown
            assert "is-locked" in shown and "is-grey" not in shown
        assert f"/ipfs/{locked}" in admin.get(path, headers=HTML).text
        broken = send(admin, path, locked=b"no picture", **fields)
        assert broken.status_code == 422
        submit(admin, path, is_grey="1", **fields)
        shown = member.get("/space/home", headers=HTML).text
        assert f"/ipfs/{own}" in shown and "is-grey" in shown
        with unit_of_work(merchant=merchant.id) as session:
            everybody = session.scalars(queries.users().with_only_columns(User.id))
            badges.give(
                session, badges.get(session, badge_id), [(it, NOW) for it in everybody], at=NOW
            )
        assert "is-locked" not in member.get("/space/home", headers=HTML).text

    def test_of_owners_only_nobody_else_sees_anything(
        self, admin: TestClient, member: TestClient, merchant: Merchant, best: ListId
    ) -> None:
        path, _ = make(admin, merchant)
        fields = {"internal_name": "P", "title-en": "Secret", "owners": encode_id("lst", best)}
        send(admin, path, act="publish", locked=picture("#111111"), visibility="owners", **fields)
        for page in ("/space/home", "/space/profile"):
            assert "Secret" not in member.get(page, headers=HTML).text

    def test_tell_their_owners_as_a_file(
        self, browse: Browse, admin: TestClient, merchant: Merchant, best: ListId
    ) -> None:
        path, badge_id = make(admin, merchant)
        fields = {"internal_name": "P", "title-en": "P", "owners": encode_id("lst", best)}
        send(admin, path, act="publish", **fields)
        assert "owners.csv" not in admin.get(path, headers=HTML).text
        with unit_of_work(merchant=merchant.id) as session:
            [ada, bob] = make_members(session, "=ada@example.com", "bob@example.com")
            row = badges.get(session, badge_id)
            badges.give(session, row, [(bob, NOW), (ada, NOW + timedelta(days=1))], at=NOW)
        assert "owners.csv" in admin.get(path, headers=HTML).text
        answer = admin.get(f"{path}/owners.csv", headers=HTML)
        assert list(csv.reader(io.StringIO(answer.text))) == [
            ["userId", "email", "firstName", "lastName", "gainedAt"],
            [encode_id("usr", bob), "bob@example.com", "", "", "2026-06-01T12:00:00+00:00"],
            [encode_id("usr", ada), "'=ada@example.com", "", "", "2026-06-02T12:00:00+00:00"],
        ]
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        assert editor.get(f"{path}/owners.csv", headers=HTML).status_code == 403
        assert "owners.csv" not in editor.get(path, headers=HTML).text

    def test_keep_what_was_typed_when_something_is_missing(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        path, _ = make(admin, merchant)
        answer = submit(
            admin, path, act="publish", internal_name="Pioneer", **{"title-en": "Pioneer"}
        )
        assert answer.status_code == 422
        assert "Choose a picture." in answer.text and 'value="Pioneer"' in answer.text
        later = submit(admin, path, internal_name="Pioneer", **{"title-en": "Later"})
        assert later.status_code == 303
        assert submit(admin, BADGES, internal_name="").status_code == 422

    def test_duplicate_archive_and_delete(
        self, admin: TestClient, merchant: Merchant, best: ListId
    ) -> None:
        path, _ = make(admin, merchant)
        fields = {"internal_name": "P", "title-en": "P", "owners": encode_id("lst", best)}
        send(admin, path, act="publish", **fields)
        assert submit(admin, f"{path}/delete").status_code == 409
        twin = submit(admin, f"{path}/duplicate").headers["location"]
        assert "P (copy)" in admin.get(twin, headers=HTML).text
        assert submit(admin, f"{path}/archive").status_code == 303
        for gone in (path, twin):
            assert submit(admin, f"{gone}/delete").status_code == 303
        assert "No badges yet" in admin.get(BADGES, headers=HTML).text

    def test_of_somebody_else_do_not_exist(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            theirs = badges.create(session, "Theirs", at=NOW).id
        path = f"{BADGES}/{encode_id('bdg', theirs)}"
        assert admin.get(path, headers=HTML).status_code == 404
        for act in ("", "/archive", "/duplicate", "/delete"):
            assert submit(admin, f"{path}{act}").status_code == 404

    def test_an_analyst_only_looks(
        self, browse: Browse, admin: TestClient, merchant: Merchant
    ) -> None:
        path, _ = make(admin, merchant)
        analyst = browser_as(browse, merchant, TeamRole.ANALYST)
        with unit_of_work(merchant=merchant.id) as session:
            [user] = make_members(session, "bob@example.com")
        record = f"/admin/users/{encode_id('usr', user)}/badges"
        for page in (BADGES, path, record):
            assert analyst.get(page, headers=HTML).status_code == 200
        for act in ("", "/archive", "/duplicate", "/delete"):
            assert submit(analyst, f"{path}{act}").status_code == 403

"""Screens of segments: built on screen with every button, counted, explained, refused in words."""

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.segments import keeping
from app.segments.models import Segment, SegmentState
from core.db import Role, unit_of_work
from core.ids import encode_id
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_members

RULE = {"g0.c0.kind": "property", "g0.c0.field": "email", "g0.c0.op": "starts_with"}


def only(merchant: Merchant) -> Segment:
    """The one segment there is."""
    with unit_of_work(merchant=merchant.id) as session:
        return session.scalars(select(Segment)).one()


def build(merchant: Merchant) -> None:
    """What the worker does."""
    with unit_of_work(merchant=merchant.id, role=Role.ENGINE) as session:
        while keeping.rebuild_next(session, at=NOW):
            pass


def make(editor: TestClient, **more: str) -> str:
    """A segment made on screen; its address."""
    form = {"name": "First letters", **RULE, "g0.c0.value": "a", **more}
    answer = submit(editor, "/admin/segments/new", **form)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


class TestCreate:
    def test_makes_what_the_form_says_and_builds_it(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_members(session, "ada@example.com", "bob@example.com")
        place = make(admin)
        assert only(merchant).state is SegmentState.BUILDING
        build(merchant)
        page = admin.get(place).text
        assert "ada@example.com" in page and "bob@example.com" not in page
        assert only(merchant).member_count == 1

    def test_says_which_condition_is_wrong_and_keeps_the_rest(self, admin: TestClient) -> None:
        form = {
            "name": "Half",
            **RULE,
            "g0.c0.value": "a",
            "g0.c1.kind": "property",
            "g0.c1.field": "created_at",
            "g0.c1.op": "on",
            "g0.c1.value": "yesterday",
        }
        answer = submit(admin, "/admin/segments/new", **form)
        assert answer.status_code == 422
        assert "Enter a date" in answer.text and 'value="yesterday"' in answer.text

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            ("add:0", 'name="g0.c1.kind"'),
            ("add-group", 'name="g1.c0.kind"'),
            ("remove:0.0", 'name="g0.c0.kind"'),
            ("remove:9.9", 'name="g0.c0.kind"'),
            ("add:99999999999", 'name="g0.c0.kind"'),
            ("nonsense:'--", 'name="g0.c0.kind"'),
            ("refresh", 'name="g0.c0.kind"'),
        ],
    )
    def test_buttons_change_the_form_without_saving(
        self, admin: TestClient, merchant: Merchant, action: str, expected: str
    ) -> None:
        answer = submit(admin, "/admin/segments/new", **{"name": "N", **RULE, "action": action})
        assert answer.status_code == 200 and expected in answer.text
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(Segment)).all() == []

    def test_an_analyst_may_look_and_not_make(self, browse: Browse, merchant: Merchant) -> None:
        analyst = browser_as(browse, merchant, TeamRole.ANALYST)
        assert analyst.get("/admin/segments").status_code == 200
        assert analyst.get("/admin/segments/new").status_code == 403

    def test_refuses_a_segment_inside_itself(self, admin: TestClient, merchant: Merchant) -> None:
        place = make(admin)
        inner = str(only(merchant).id)
        form = {"name": "First letters", "g0.c0.kind": "segment", "g0.c0.id": inner}
        answer = submit(admin, f"{place}/edit", **form)
        assert answer.status_code == 422 and "depend on itself" in answer.text
        assert only(merchant).rule_number == 1


class TestCount:
    def test_counts_exactly_and_shows_some(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            make_members(session, *(f"a{n}@example.com" for n in range(30)))
        answer = submit(admin, "/admin/segments/count", **{**RULE, "g0.c0.value": "a"})
        assert ">30<" in answer.text and answer.text.count("<li>") == 20

    def test_says_what_is_missing(self, admin: TestClient) -> None:
        answer = submit(admin, "/admin/segments/count", **RULE)
        assert answer.status_code == 200 and "Enter a value." in answer.text


class TestEdit:
    def test_a_new_rule_gets_a_version_and_the_old_one_can_be_opened(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        place = make(admin)
        build(merchant)
        form = {"name": "Renamed", **RULE, "g0.c0.value": "b"}
        assert submit(admin, f"{place}/edit", **form).status_code == 303
        segment = only(merchant)
        assert (segment.name, segment.rule_number) == ("Renamed", 2)
        assert segment.state is SegmentState.REBUILDING
        assert 'value="a"' in admin.get(f"{place}/edit?number=1").text

    def test_is_put_away_unless_something_needs_it(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        place = make(admin)
        inner = str(only(merchant).id)
        make(admin, **{"name": "Outer", "g0.c0.kind": "segment", "g0.c0.id": inner})
        answer = submit(admin, f"{place}/archive")
        assert answer.status_code == 409 and "Outer" in answer.text


class TestExplain:
    def test_shows_what_each_condition_found(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            [user] = make_members(session, "zoe@example.com")
        place = make(admin)
        page = admin.get(f"{place}/members/{encode_id('usr', user)}").text
        assert "zoe@example.com" in page and "Not in" in page

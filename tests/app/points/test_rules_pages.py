"""Screens of earning rules: made, tried, changed and paused, and nothing typed is lost."""

from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from app.points import rules
from app.points.rule_models import PointsRule
from core.db import unit_of_work
from core.events import emit
from core.ids import encode_id
from core.types import utc_now
from tests.app.conftest import Browse, browser_as
from tests.app.points.test_ledger import make_unit
from tests.app.web.client import TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_members, make_other_merchant

LIST = "/admin/points/rules"
NEW = f"{LIST}/new"


@pytest.fixture
def form(merchant: Merchant) -> dict[str, str]:
    """A rule as somebody types it."""
    with unit_of_work(merchant=merchant.id) as session:
        unit = encode_id("pun", make_unit(session).id)
    return {
        "name": "One a euro",
        "event_type": "custom.order",
        "unit": unit,
        "rate": "0.5",
        "property": "total",
        "budget": "1000",
        "first_day": "2026-06-01",
        "filters.0.name": "channel",
        "filters.0.op": "is",
        "filters.0.value": "web",
    }


def only(merchant: Merchant) -> PointsRule:
    with unit_of_work(merchant=merchant.id) as session:
        return session.scalars(select(PointsRule)).one()


def address(row: PointsRule) -> str:
    return f"{LIST}/{encode_id('prl', row.id)}"


class TestForm:
    def test_makes_a_rule_that_is_listed(
        self, admin: TestClient, merchant: Merchant, form: dict[str, str]
    ) -> None:
        assert "No rules yet" in admin.get(LIST).text
        assert submit(admin, NEW, **form).status_code == 303
        page = admin.get(LIST).text
        assert "One a euro" in page and "0.5 × total" in page and "1,000" in page
        row = only(merchant)
        assert row.filters == [{"name": "channel", "op": "is", "value": "web"}]
        page = admin.get(address(row)).text
        assert 'value="0.5"' in page and 'value="channel"' in page and 'value="2026-06-01"' in page

    def test_before_there_are_points_leads_to_them(self, admin: TestClient) -> None:
        assert "Make a unit of points first" in admin.get(LIST).text

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"rate": "many"}, "More than 0"),
            ({"property": ""}, "A whole number from 1"),
            ({"budget": "-1"}, "or nothing"),
            ({"first_day": "soon"}, "Enter a day such as"),
            ({"first_day": ""}, "Choose the first day"),
            ({"unit": "pun_1"}, "Choose the points"),
            ({"event_type": "cohort.points.spent"}, "Points cannot earn points"),
            ({"filters.0.op": "more", "filters.0.value": "lots"}, "Filter 1: Enter a number"),
            ({"filters.0.name": ""}, "Filter 1: Name the property"),
            ({"cooldown_minutes": "9" * 30}, "minutes, or nothing"),
        ],
    )
    def test_nonsense_comes_back_with_all_that_was_typed(
        self, admin: TestClient, form: dict[str, str], changes: dict[str, str], sentence: str
    ) -> None:
        answer = submit(admin, NEW, **{**form, **changes})
        assert answer.status_code == 422 and sentence in answer.text
        for name, value in {**form, **changes}.items():
            if value and not name.endswith(("op", "unit")):
                assert f'value="{value}"' in answer.text, name

    def test_tries_without_saving(
        self, admin: TestClient, merchant: Merchant, form: dict[str, str]
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            [user] = make_members(session, "bea@example.com")
            for total in (30, 41):
                emit(
                    session, "custom.order", at=utc_now(), user_id=user, total=total, channel="web"
                )
            emit(session, "custom.order", at=utc_now(), user_id=user, total=99, channel="shop")
        answer = submit(admin, NEW, **{**form, "budget": "30"}, action="try")
        assert "would have given 30 points. Events: 2. Members: 1." in answer.text
        assert "held back 5" in answer.text and 'value="One a euro"' in answer.text
        assert "No rules yet" in admin.get(LIST).text

    def test_a_trial_of_nonsense_says_where(self, admin: TestClient, form: dict[str, str]) -> None:
        assert submit(admin, NEW, **{**form, "rate": "0"}, action="try").status_code == 422


class TestChange:
    def test_is_saved_and_the_unit_stays(
        self, admin: TestClient, merchant: Merchant, form: dict[str, str]
    ) -> None:
        submit(admin, NEW, **form)
        row = only(merchant)
        with unit_of_work(merchant=merchant.id) as session:
            other = encode_id("pun", make_unit(session, "stars").id)
        changed = {**form, "rate": "2", "unit": other, "version": str(row.version)}
        assert submit(admin, address(row), **changed).status_code == 303
        assert (only(merchant).rate, only(merchant).unit_id) == (2, row.unit_id)

    def test_of_an_old_version_comes_back_and_can_be_kept(
        self, admin: TestClient, merchant: Merchant, form: dict[str, str]
    ) -> None:
        submit(admin, NEW, **form)
        row = only(merchant)
        first = {**form, "rate": "2", "version": str(row.version)}
        submit(admin, address(row), **first)
        answer = submit(admin, address(row), **{**first, "rate": "3"})
        assert answer.status_code == 409 and "Somebody changed this rule" in answer.text
        assert 'value="3"' in answer.text and only(merchant).rate == 2
        newest = str(only(merchant).version)
        assert f'name="version" value="{newest}"' in answer.text
        submit(admin, address(row), **{**first, "rate": "3", "version": newest})
        assert only(merchant).rate == 3


class TestPause:
    def test_and_go_on(self, admin: TestClient, merchant: Merchant, form: dict[str, str]) -> None:
        submit(admin, NEW, **form)
        row = only(merchant)
        for verb, is_on, word in (("pause", False, "Paused"), ("resume", True, ">On<")):
            assert submit(admin, f"{address(row)}/{verb}", page=LIST).status_code == 303
            assert only(merchant).is_on is is_on and word in admin.get(LIST).text


class TestRights:
    def test_analysts_look_and_do_not_touch(
        self, browse: Browse, admin: TestClient, merchant: Merchant, form: dict[str, str]
    ) -> None:
        submit(admin, NEW, **form)
        row = only(merchant)
        analyst = browser_as(browse, merchant, TeamRole.ANALYST)
        page = analyst.get(LIST).text
        assert "One a euro" in page and "Pause" not in page and "New rule" not in page
        assert analyst.get(NEW).status_code == 403
        assert analyst.get(address(row)).status_code == 403

    def test_another_brands_rule_is_not_there(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            draft = rules.RuleDraft(
                make_unit(session).id, "Theirs", "custom.order", Decimal(1), date(2026, 1, 1)
            )
            row = rules.create(session, draft, at=NOW)
        assert admin.get(address(row)).status_code == 404
        assert "Theirs" not in admin.get(LIST).text

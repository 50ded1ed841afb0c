"""Screens of points: of the team, and of the member."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from app.accounts.models import Merchant, TeamRole
from app.points import moving, queries, units
from app.points.models import Expiry, PointsTransaction
from app.privacy import erasure, merging
from app.privacy.known import everything_of
from app.users.models import User
from core.db import unit_of_work
from core.ids import encode_id
from core.types import UserId
from tests.app.conftest import Browse, browser_as
from tests.app.points.test_ledger import earn, has, make_unit
from tests.app.web.client import TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_members

UNIT = {
    "code": "beans",
    "name": "Bean",
    "plural": "Beans",
    "icon": "gift",
    "expiry": "days",
    "expiry_count": "30",
    "is_spendable": "1",
}


@pytest.fixture
def ada(merchant: Merchant) -> UserId:
    with unit_of_work(merchant=merchant.id) as session:
        [user] = make_members(session, "bea@example.com")
        return user


def address(user: UserId) -> str:
    return f"/admin/users/{encode_id('usr', user)}/points"


class TestUnits:
    def test_one_is_made_and_changed(self, admin: TestClient, merchant: Merchant) -> None:
        assert "No points yet" in admin.get("/admin/points").text
        assert submit(admin, "/admin/points/new", **UNIT).status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            [row] = units.list_all(session)
            path = f"/admin/points/{encode_id('pun', row.id)}"
        assert "Bean" in admin.get(path).text
        assert (
            submit(admin, path, **{**UNIT, "plural": "Grains", "code": "other"}).status_code == 303
        )
        page = admin.get("/admin/points").text
        assert "Grains" in page and "<code>beans</code>" in page

    def test_nonsense_comes_back(self, admin: TestClient) -> None:
        answer = submit(admin, "/admin/points/new", **{**UNIT, "code": "NO", "expiry_count": "x"})
        assert answer.status_code == 422
        assert "2 to 20 lowercase letters" in answer.text

    @pytest.mark.parametrize("count", ["9" * 5_000, "-1", "1.5", "3651"])
    def test_an_end_that_is_no_number_of_days_comes_back(
        self, admin: TestClient, count: str
    ) -> None:
        answer = submit(admin, "/admin/points/new", **{**UNIT, "expiry_count": count})
        assert answer.status_code == 422
        assert "A whole number from 0 to 3,650." in answer.text

    def test_an_editor_makes_none(self, browse: Browse, merchant: Merchant) -> None:
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        assert submit(editor, "/admin/points/new", **UNIT).status_code == 403


class TestRecord:
    def adjust(self, admin: TestClient, merchant: Merchant, ada: UserId, **typed: str) -> object:
        with unit_of_work(merchant=merchant.id) as session:
            row = (units.list_all(session) or [make_unit(session)])[0]
        data = {"unit": encode_id("pun", row.id), "amount": "10", "reason": "=sorry", "key": "k"}
        return submit(admin, address(ada), **{**data, **typed})

    def test_points_are_adjusted_once_and_reversed(
        self, admin: TestClient, merchant: Merchant, ada: UserId
    ) -> None:
        for _ in range(2):
            assert self.adjust(admin, merchant, ada).status_code == 303  # type: ignore[attr-defined]
        page = admin.get(address(ada)).text
        assert "+10" in page and "=sorry" in page
        csv = admin.get(f"{address(ada)}/history.csv").text
        assert ",adjust,10," in csv and "'=sorry" in csv
        with unit_of_work(merchant=merchant.id) as session:
            row = session.scalars(select(PointsTransaction)).one()
        path = f"{address(ada)}/{encode_id('ltx', row.id)}/reverse"
        assert submit(admin, path, **{"reason": ""}).status_code == 422
        assert submit(admin, path, **{"reason": "mistake"}).status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            assert has(session, ada) == (0, 0)

    @pytest.mark.parametrize(
        ("typed", "status"),
        [({"amount": "-1"}, 409), ({"amount": "many"}, 422), ({"reason": " "}, 422)],
    )
    def test_what_cannot_be_comes_back(
        self, admin: TestClient, merchant: Merchant, ada: UserId, typed: dict[str, str], status: int
    ) -> None:
        assert self.adjust(admin, merchant, ada, **typed).status_code == status  # type: ignore[attr-defined]
        with unit_of_work(merchant=merchant.id) as session:
            assert session.scalars(select(PointsTransaction)).all() == []

    def test_an_analyst_adjusts_nothing(
        self, browse: Browse, merchant: Merchant, ada: UserId
    ) -> None:
        analyst = browser_as(browse, merchant, TeamRole.ANALYST)
        assert analyst.get(address(ada)).status_code == 200
        assert self.adjust(analyst, merchant, ada).status_code == 403  # type: ignore[attr-defined]


class TestSpace:
    def test_the_member_sees_points_and_not_the_teams_reasons(
        self, member: TestClient, merchant: Merchant
    ) -> None:
        assert "No points yet" in member.get("/space/points").text
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            user = session.scalars(select(User.id).where(User.email_key == "ada@example.com")).one()
            unit = make_unit(session, expiry=Expiry.NEVER)
            moving.adjust(session, unit, user, 7, key="1", reason="complains a lot", at=NOW)
        page = member.get("/space/points").text
        assert "Beans" in page and "+7" in page and "complains" not in page
        assert "/space/points" in member.get("/space/home").text

    @pytest.mark.parametrize(
        ("zone", "last"),
        [("Pacific/Auckland", "12 Jun 2026"), ("America/Los_Angeles", "11 Jun 2026")],
    )
    def test_days_are_the_brands_to_both(
        self, admin: TestClient, member: TestClient, merchant: Merchant, zone: str, last: str
    ) -> None:
        with unit_of_work() as session:
            session.execute(update(Merchant).values(time_zone=zone))
        moment = datetime(2026, 6, 1, 23, 0, tzinfo=UTC)
        with unit_of_work(merchant=merchant.id, actor="test") as session:
            user = session.scalars(select(User.id).where(User.email_key == "ada@example.com")).one()
            unit = make_unit(session, expiry=Expiry.DAYS, expiry_count=10)
            earn(session, unit, user, 7, "a", at=moment)
        assert f"ends on {last}" in member.get("/space/points").text
        assert f"expire on {last}" in member.get("/space/home").text
        assert last in admin.get(address(user)).text


class TestPeople:
    def test_merging_moves_points_and_what_is_reserved(self, merchant: Merchant) -> None:
        from app.points import holds, proof

        with unit_of_work(merchant=merchant.id, actor="test") as session:
            one, two = make_members(session, "one@example.com", "two@example.com")
            unit = make_unit(session)
            earn(session, unit, one, 10, "a")
            row = earn(session, unit, two, 20, "b")
            hold = holds.reserve(session, unit, two, 5, key="o", until=None, at=NOW)
            users = {it.id: it for it in session.scalars(select(User))}
            merging.merge(session, users[one], users[two], at=NOW)
            assert (has(session, one), has(session, two)) == ((25, 5), (0, 0))
            holds.release(session, hold, at=NOW)
            earn(session, unit, two, 1, "late")
            moving.reverse(session, two, row.id, reason="mistake", at=NOW)
            assert has(session, one) == (11, 0)
            assert proof.prove(session, at=NOW) == []

    def test_the_copy_has_them_and_erasing_forgets_why(self, merchant: Merchant) -> None:
        from datetime import timedelta

        from app.points import holds, proof

        with unit_of_work(merchant=merchant.id, actor="test") as session:
            [one] = make_members(session, "one@example.com")
            unit = make_unit(session)
            moving.adjust(session, unit, one, 10, key="a", reason="canary reason", at=NOW)
            holds.reserve(session, unit, one, 4, key="o", until=None, at=NOW)
            user = session.get_one(User, one)
            known = everything_of(session, user, at=NOW)["points"]
            assert [(it["what"], it["amount"]) for it in known] == [("hold", -4), ("adjust", 10)]
            asked = erasure.request(session, user, reason="asked", at=NOW)
            erasure.erase(session, asked.id, at=NOW + timedelta(days=8))
            reasons = session.scalars(select(PointsTransaction.reason)).all()
            assert set(reasons) == {None}
            assert has(session, one) == (0, 0)
            assert proof.prove(session, at=NOW) == []
            assert queries.find_proof(session) is not None

"""Settings of custom properties on screen: made, renamed, converted, deleted, and refused."""

import pytest
from sqlalchemy import select, update

from app.accounts.models import Merchant, TeamRole
from app.segments.models import Segment
from app.users import properties
from app.users.models import Property
from app.users.slots import Kind
from app.users.upkeep_models import Conversion
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import PropertyId, SegmentId, utc_now
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, TestClient, submit
from tests.conftest import NOW
from tests.factories.brand import make_members, make_other_merchant
from tests.factories.people import make_property, run_conversion, set_values, values_of

LIST = "/admin/settings/properties"


@pytest.fixture
def size(merchant: Merchant) -> PropertyId:
    """A text property with two values."""
    with unit_of_work(merchant=merchant.id) as session:
        row = make_property(session, "Size")
        ada, bob = make_members(session, "ada@example.com", "bob@example.com")
        set_values(session, row, {ada: "42", bob: "large"})
        return row.id


def address(row_id: PropertyId) -> str:
    return f"{LIST}/{encode_id('prp', row_id)}"


def use_in_segment(merchant: Merchant, row_id: PropertyId) -> None:
    with unit_of_work(merchant=merchant.id) as session:
        session.add(
            Segment(
                id=SegmentId(new_id()),
                name="Big feet",
                rule={"any": [{"field": encode_id("prp", row_id), "is": "42"}]},
                created_at=NOW,
            )
        )


class TestDays:
    def test_a_date_without_a_time_is_the_same_day_everywhere(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        with unit_of_work() as session:
            session.execute(update(Merchant).values(time_zone="America/Los_Angeles"))
        with unit_of_work(merchant=merchant.id) as session:
            row = make_property(session, "Birthday", Kind.DATE)
            [ada] = make_members(session, "ada@example.com")
            set_values(session, row, {ada: "1990-05-01"})
            key = encode_id("prp", row.id)
        submit(admin, "/admin/users/columns", column=key)
        assert "1 May 1990" in admin.get("/admin/users", headers=HTML).text


class TestList:
    def test_teaches_the_first_step(self, admin: TestClient) -> None:
        assert "No custom properties yet" in admin.get(LIST, headers=HTML).text

    def test_shows_what_there_is(self, admin: TestClient, size: PropertyId) -> None:
        page = admin.get(LIST, headers=HTML).text
        assert "Size" in page and address(size) in page

    def test_an_analyst_sees_it_and_changes_nothing(
        self, browse: Browse, merchant: Merchant, size: PropertyId
    ) -> None:
        analyst = browser_as(browse, merchant, TeamRole.ANALYST)
        assert analyst.get(address(size), headers=HTML).status_code == 200
        editor = browser_as(browse, merchant, TeamRole.EDITOR)
        assert submit(editor, f"{address(size)}/delete").status_code == 403
        assert submit(editor, f"{LIST}/new", name="X").status_code == 403


class TestCreate:
    def test_leads_to_the_property(self, admin: TestClient, merchant: Merchant) -> None:
        answer = submit(admin, f"{LIST}/new", name="Birthday", kind="date", is_sensitive="1")
        assert answer.status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            [row] = properties.list_all(session)
            assert (row.name, row.kind, row.is_sensitive) == ("Birthday", Kind.DATE, True)
            assert answer.headers["location"] == address(row.id)

    def test_comes_back_with_what_was_typed(self, admin: TestClient, size: PropertyId) -> None:
        answer = submit(admin, f"{LIST}/new", name="size", kind="number", reference_id="ok_1")
        assert answer.status_code == 422
        assert "There is a property with this name already." in answer.text
        assert 'value="ok_1"' in answer.text


class TestRename:
    def test_changes_name_and_use(
        self, admin: TestClient, merchant: Merchant, size: PropertyId
    ) -> None:
        fields = {"name": "Shoe size", "reference_id": "shoe", "is_user_editable": "1"}
        assert submit(admin, address(size), **fields).status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, size)
            assert (row.name, row.reference_id) == ("Shoe size", "shoe")
            assert row.is_user_visible and row.is_user_editable and not row.is_sensitive

    def test_is_refused_with_a_sentence(self, admin: TestClient, size: PropertyId) -> None:
        answer = submit(admin, address(size), name="Email", reference_id="Shoe Size")
        assert answer.status_code == 422
        assert answer.text.count("form-error") >= 2


class TestDelete:
    def test_takes_it_off_every_screen(self, admin: TestClient, size: PropertyId) -> None:
        assert submit(admin, f"{address(size)}/delete").status_code == 303
        assert address(size) not in admin.get(LIST, headers=HTML).text
        assert admin.get(address(size), headers=HTML).status_code == 404

    def test_is_refused_while_a_segment_asks_for_it(
        self, admin: TestClient, merchant: Merchant, size: PropertyId
    ) -> None:
        use_in_segment(merchant, size)
        answer = submit(admin, f"{address(size)}/delete")
        assert answer.status_code == 409
        assert "the segment “Big feet”" in answer.text
        assert admin.get(address(size), headers=HTML).status_code == 200

    def test_of_somebody_else_finds_nothing(self, admin: TestClient, merchant: Merchant) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as session:
            theirs = make_property(session, "Theirs").id
        assert admin.get(address(theirs), headers=HTML).status_code == 404
        assert submit(admin, f"{address(theirs)}/delete").status_code == 404
        assert submit(admin, f"{address(theirs)}/type", kind="number").status_code == 404


class TestType:
    def try_it(self, admin: TestClient, merchant: Merchant, size: PropertyId) -> None:
        assert submit(admin, f"{address(size)}/type", kind="number").status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            found = session.scalars(select(Conversion).order_by(Conversion.id.desc())).first()
            assert found is not None
            identifier = found.id
        run_conversion(merchant.id, identifier)

    def test_is_tried_shown_run_and_taken_back(
        self, admin: TestClient, merchant: Merchant, size: PropertyId
    ) -> None:
        self.try_it(admin, merchant, size)
        page = admin.get(f"{address(size)}/type", headers=HTML).text
        assert "Values that would be lost" in page and "large" in page
        report = admin.get(f"{address(size)}/type/failed.csv", headers=HTML).text
        assert "bob@example.com,large" in report and "42" not in report
        assert submit(admin, f"{address(size)}/type/run").status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            identifier = session.scalars(select(Conversion.id)).one()
        run_conversion(merchant.id, identifier, at=utc_now())
        part = admin.get(f"{address(size)}/type", headers={**HTML, "hx-request": "true"})
        assert part.headers["hx-redirect"] == address(size)
        with unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, size)
            assert row.kind is Kind.NUMBER and len(values_of(session, row)) == 1
        assert "Its type was changed" in admin.get(address(size), headers=HTML).text
        assert submit(admin, f"{address(size)}/type/undo").status_code == 303
        with unit_of_work(merchant=merchant.id) as session:
            row = properties.get(session, size)
            assert row.kind is Kind.TEXT and len(values_of(session, row)) == 2
        assert submit(admin, f"{address(size)}/type/undo").status_code == 409
        assert submit(admin, f"{address(size)}/type/keep").status_code == 409

    def test_is_aborted(self, admin: TestClient, merchant: Merchant, size: PropertyId) -> None:
        self.try_it(admin, merchant, size)
        assert submit(admin, f"{address(size)}/type/abort").status_code == 303
        assert "Start dry run" in admin.get(f"{address(size)}/type", headers=HTML).text
        assert submit(admin, f"{address(size)}/type/run").status_code == 409

    def test_is_refused_while_a_segment_asks_for_it(
        self, admin: TestClient, merchant: Merchant, size: PropertyId
    ) -> None:
        use_in_segment(merchant, size)
        assert "Big feet" in admin.get(f"{address(size)}/type", headers=HTML).text
        assert submit(admin, f"{address(size)}/type", kind="number").status_code == 409

    def test_with_rules_that_contradict_comes_back(
        self, admin: TestClient, size: PropertyId
    ) -> None:
        words = {"true_words": "yes, 1", "false_words": "no, YES"}
        answer = submit(admin, f"{address(size)}/type", kind="boolean", **words)
        assert answer.status_code == 422 and "A word cannot mean both." in answer.text


class TestSlots:
    def test_a_property_cannot_be_overtaken(self, merchant: Merchant, size: PropertyId) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            row = session.get_one(Property, size)
            other = make_property(session, "Other")
            assert (row.kind, row.slot) != (other.kind, other.slot)

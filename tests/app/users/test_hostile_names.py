"""A thousand properties whose names were made to break things, through every screen and rule.

A brand has three hundred properties at the most, so there are four brands in turn. Each name is
shown as it is written, each value is found where it belongs, and the database refuses nothing.
"""

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from markupsafe import escape
from sqlalchemy import Engine, event, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.privacy.known import everything_of
from app.segments import keeping, queries
from app.segments.explain import explain
from app.segments.models import Segment, SegmentMember
from app.uploads.export import safe_cell
from app.users import conversions, fields, filters, listing, properties, record
from app.users.exports import service as exports
from app.users.exports.models import UserExport
from app.users.filters import Filters
from app.users.imports import running
from app.users.imports import service as imports
from app.users.imports.models import ImportState, UserImport
from app.users.models import Property, User
from app.users.properties import MOST_PROPERTIES
from app.users.slots import Kind
from core.db import Role, unit_of_work
from core.ids import encode_id
from core.types import UserId, utc_now
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.conftest import NOW
from tests.factories.brand import make_members
from tests.factories.hostile import hostile_names
from tests.factories.people import run_conversion

NAMES = hostile_names(1_000)
SHARES = [NAMES[at : at + MOST_PROPERTIES] for at in range(0, len(NAMES), MOST_PROPERTIES)]
KINDS = (Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN, Kind.DATE)
FIRST_DAY = date(2020, 1, 1)


@pytest.fixture(autouse=True)
def refusals(engine: Engine) -> Iterator[list[str]]:
    """What the database, or its driver, refused; nothing may be there in the end."""
    found: list[str] = []

    def note(context: Any) -> None:
        found.append(str(context.original_exception))

    event.listen(engine, "handle_error", note)
    yield found
    event.remove(engine, "handle_error", note)
    assert found == []


@dataclass(frozen=True)
class Named:
    """One property, and what Ada and Bob have of it, as text."""

    key: str
    name: str
    kind: Kind
    ada: str
    bob: str


def values_of(number: int, name: str) -> tuple[str, str]:
    """Ada's value and Bob's, which comes later in every order."""
    day = FIRST_DAY + timedelta(days=number)
    return {
        Kind.TEXT: (f"a {name}", f"b {name}"),
        Kind.NUMBER: (f"{number}.5", f"{number + 1}"),
        Kind.BOOLEAN: ("false", "true"),
        Kind.DATE: (day.isoformat(), (day + timedelta(days=1)).isoformat()),
    }[KINDS[number % 4]]


class Desk:
    """A team member at work on a brand of two people and hundreds of properties."""

    def __init__(self, admin: TestClient, merchant: Merchant, names: Sequence[str]) -> None:
        self.admin, self.merchant, self.names = admin, merchant, names
        with self.unit() as session:
            self.ada, self.bob = make_members(session, "ada@example.com", "bob@example.com")
        self.token = token_in(admin.get("/admin", headers=HTML).text)
        self.named: list[Named] = []

    def unit(self, role: Role = Role.APP) -> Any:
        return unit_of_work(merchant=self.merchant.id, actor="test", role=role)

    def get(self, path: str, **params: Any) -> str:
        answer = self.admin.get(path, headers=HTML, params=params)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text
        return str(answer.text)

    def post(self, path: str, **sent: Any) -> str:
        headers = {"origin": ORIGIN, **HTML}
        answer = self.admin.post(path, data={"csrf": self.token, **sent}, headers=headers)
        assert answer.status_code == 303, answer.text[:2_000]
        return str(answer.headers["location"])

    def record_of(self, user: UserId) -> str:
        return f"/admin/users/{encode_id('usr', user)}"

    def shows_all(self, page: str) -> None:
        """Every name stands in the page as it is written, and is text there."""
        assert [it for it in self.names if str(escape(it)) not in page] == []

    def of(self, session: Session, user: UserId) -> dict[str, str]:
        """What the member has, as text, by key."""
        known = fields.catalogue(session)
        row = session.get_one(User, user)
        said = record.read(session, row, known)
        return {key: record.as_text(field, said[key]) for key, field in known.items()}

    # The steps, in their order.

    def make_by_an_import(self) -> None:
        """The columns of a file become properties, and Bob has its values."""
        file = io.StringIO()
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        bobs = [values_of(number, name)[1] for number, name in enumerate(self.names)]
        writer.writerows([["email", *self.names], ["bob@example.com", *bobs]])
        with self.unit() as session:
            content = io.BytesIO(file.getvalue().encode())
            row = imports.upload(session, "people.csv", content, at=NOW)
            running.run_part(session, row.id, at=NOW)
            assert row.columns == ["email", *self.names], row.failure
        place = f"/admin/users/imports/{encode_id('imp', row.id)}"
        chosen = {f"column-{at + 1}": f"new:{KINDS[at % 4]}" for at in range(len(self.names))}
        self.shows_all(self.get(place))
        self.post(place, act="start", **{"column-0": "email"}, **chosen)
        with self.unit() as session:
            while running.run_part(session, row.id, at=NOW):
                pass
            done = session.get_one(UserImport, row.id)
            assert done.state is ImportState.COMPLETED and done.updated_count == 1
            rows = properties.list_all(session)
            by_name = {it.name: it for it in rows}
            assert set(by_name) == set(self.names)
            for number, name in enumerate(self.names):
                found = by_name[name]
                key = encode_id("prp", found.id)
                self.named.append(Named(key, name, found.kind, *values_of(number, name)))

    def save_the_record(self) -> None:
        """Ada's values are typed into the form of her record."""
        self.shows_all(self.get(self.record_of(self.ada)))
        with self.unit() as session:
            version = session.get_one(User, self.ada).version
        self.post(
            self.record_of(self.ada), version=version, **{it.key: it.ada for it in self.named}
        )
        with self.unit() as session:
            adas, bobs = self.of(session, self.ada), self.of(session, self.bob)
        assert {it.key: it.ada for it in self.named} == {it.key: adas[it.key] for it in self.named}
        assert {it.key: it.bob for it in self.named} == {it.key: bobs[it.key] for it in self.named}
        self.shows_all(self.audit())

    def audit(self) -> str:
        """Every page of what was changed by hand."""
        place, said = f"{self.record_of(self.ada)}/audit", ""
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(place, **({"cursor": cursor} if cursor else {}))
            found = re.search(r'cursor=([^"&]+)"><span>Next', page)
            cursor = unquote(found[1]) if found else None
            said += page
        return said

    def show_the_list(self) -> None:
        """Thirty columns at a time."""
        for at in range(0, len(self.named), listing.MOST_COLUMNS):
            some = self.named[at : at + listing.MOST_COLUMNS]
            self.post("/admin/users/columns", column=[it.key for it in some])
            page = self.get("/admin/users", sort=some[0].key, field=some[-1].key, op="set")
            self.shows_all(page)
            assert page.count("@example.com") >= 2

    def sort_and_filter(self) -> None:
        """By each property: Bob comes first from above, and Ada finds herself."""
        with self.unit() as session:
            known = fields.catalogue(session)
            for number, it in enumerate(self.named):
                conditions = filters.conditions(session, Filters(field=it.key, op="set"), known)
                order = listing.order_of(f"-{it.key}", known)
                page = listing.list_members(session, conditions, order, [known[it.key]])
                assert [row.user.id for row in page.items] == [self.bob, self.ada]
                if number % 3 == 0:
                    asked = Filters(field=it.key, op="is", value=it.ada)
                    conditions = filters.conditions(session, asked, known)
                    assert listing.ids(session, conditions, limit=3) == [self.ada]

    def change_the_own_profile(self, member: TestClient) -> None:
        """Ada sees them all in the space, changes them all, and is told them all."""
        with self.unit() as session:
            session.execute(update(Property).values(is_user_visible=True, is_user_editable=True))
        page = member.get("/space/profile", headers=HTML)
        self.shows_all(page.text)
        token = token_in(page.text)
        headers = {"origin": ORIGIN, **HTML}
        for values in (
            {it.key: it.bob for it in self.named},
            {it.key: it.ada for it in self.named},
        ):
            sent = {"csrf": token, **values}
            assert member.post("/space/profile", data=sent, headers=headers).status_code == 303
            with self.unit() as session:
                assert values.items() <= self.of(session, self.ada).items()
        with self.unit() as session:
            found = everything_of(session, session.get_one(User, self.ada), at=NOW)
        assert {it.name: it.ada for it in self.named}.items() <= found["profile"].items()

    def look_at_settings(self) -> None:
        """The list of properties, and of some their own pages and those of their types."""
        self.shows_all(self.get("/admin/settings/properties"))
        for it in _some(self.named, 15):
            for place in ("", "/type"):
                page = self.get(f"/admin/settings/properties/{it.key}{place}")
                assert str(escape(it.name)) in page

    def export(self) -> None:
        """One file with every property."""
        self.shows_all(self.get("/admin/users/exports"))
        keys = ["email", *(it.key for it in self.named)]
        self.post("/admin/users/exports/users", format="csv", columns=keys)
        with self.unit() as session:
            [row] = session.query(UserExport).all()
            while exports.run_part(session, row.id, at=NOW):
                pass
            said = exports.download(session, row, at=NOW).read_text("utf-8-sig")
        head, *lines = csv.reader(io.StringIO(said))
        assert head == ["userId", "Email", *(safe_cell(it.name) for it in self.named)]
        by_email = {line[1]: line[2:] for line in lines}
        assert by_email == {
            "ada@example.com": [safe_cell(it.ada) for it in self.named],
            "bob@example.com": [safe_cell(it.bob) for it in self.named],
        }

    def ask_in_segments(self) -> None:
        """A rule that names them all takes in who has Ada's values, and is told and explained."""
        self.shows_all(self.get("/admin/segments/new"))
        form = {"name": "All of Ada"}
        for number, it in enumerate(self.named):
            place = f"g{number // 20}.c{number % 20}"
            op, value = _ASKED[it.kind], it.ada
            form |= {f"{place}.kind": "property", f"{place}.field": it.key, f"{place}.op": op}
            if it.kind is not Kind.BOOLEAN:
                form[f"{place}.value"] = value
        headers = {"origin": ORIGIN, **HTML}
        count = self.admin.post(
            "/admin/segments/count", data={"csrf": self.token, **form}, headers=headers
        )
        assert count.status_code == 200
        assert "ada@example.com" in count.text and "bob@example.com" not in count.text
        place = self.post("/admin/segments/new", **form)
        with self.unit(Role.ENGINE) as session:
            while keeping.rebuild_next(session, at=NOW):
                pass
        with self.unit() as session:
            segment = session.query(Segment).one()
            members = [it.user_id for it in session.query(SegmentMember)]
            assert members == [self.ada] and segment.problem is None
        self.shows_all(self.get(place))
        page = self.get(f"{place}/members/{encode_id('usr', self.ada)}")
        self.shows_all(page)
        assert page.count("</svg> yes</td>") == len(self.named)
        with self.unit(Role.ENGINE) as session:
            found = explain(session, session.get_one(Segment, segment.id), self.bob, at=NOW)
        assert not found.is_in and {it.is_met for group in found.groups for it in group} == {False}
        assert queries.address(segment) == place

    def delete(self) -> None:
        """Refused in words while the segment asks for it."""
        headers = {"origin": ORIGIN, **HTML}
        for it in _some(self.named, 10):
            place = f"/admin/settings/properties/{it.key}/delete"
            answer = self.admin.post(place, data={"csrf": self.token}, headers=headers)
            assert answer.status_code == 409 and str(escape(it.name)) in answer.text

    def convert(self) -> None:
        """Of each kind: numbers, dates and yes or no become texts, tried first, and return."""
        headers = {"origin": ORIGIN, **HTML}
        some = _some([it for it in self.named if it.kind is not Kind.TEXT], 4)
        for it in some:
            place = f"/admin/settings/properties/{it.key}/type"
            self.post(place, kind="text")
            self.work(it)
            page = self.get(place)
            assert str(escape(it.name)) in page
            self.post(f"{place}/run")
            self.work(it)
            with self.unit() as session:
                assert self.of(session, self.ada)[it.key] == it.ada
            self.post(f"{place}/undo")
            with self.unit() as session:
                assert self.of(session, self.bob)[it.key] == it.bob
        answer = self.admin.get(f"{place}/failed.csv", headers=headers)
        assert answer.status_code == 200

    def work(self, it: Named) -> None:
        with self.unit() as session:
            [row] = [row for row in properties.list_all(session) if row.name == it.name]
            found = conversions.find_open(session, row)
            assert found is not None
        run_conversion(self.merchant.id, found.id, utc_now())


def _some(named: Sequence["Named"], count: int) -> Sequence["Named"]:
    """About so many of them; all of them with ALL_NAMES=1, which takes three minutes."""
    return named if os.environ.get("ALL_NAMES") else named[:: max(1, len(named) // count)]


_ASKED = {Kind.TEXT: "is", Kind.NUMBER: "at_most", Kind.BOOLEAN: "false", Kind.DATE: "on"}


@pytest.mark.parametrize("share", range(len(SHARES)))
def test_are_texts_on_every_screen_and_in_every_rule(
    admin: TestClient, member: TestClient, merchant: Merchant, share: int
) -> None:
    desk = Desk(admin, merchant, SHARES[share])

    desk.make_by_an_import()
    desk.save_the_record()
    desk.change_the_own_profile(member)
    desk.show_the_list()
    desk.sort_and_filter()
    desk.look_at_settings()
    desk.export()
    desk.convert()
    desk.ask_in_segments()
    desk.delete()

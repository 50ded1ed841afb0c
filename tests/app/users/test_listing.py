"""The list of members against a plain list in Python: filters, every order, pages both ways."""

import random
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.users import fields, filters, listing, lists, queries, standing, stored
from app.users.errors import ValueInvalidError
from app.users.filters import Filters
from app.users.models import Property, User, UserState
from app.users.slots import Kind
from app.web.pagination import UnknownCursorError
from core.db import unit_of_work
from core.ids import UnknownIdentifierError, encode_id, new_id
from core.types import SegmentId, UserId
from tests.conftest import NOW
from tests.factories.brand import make_members, make_other_merchant
from tests.factories.people import make_property, set_values

PEOPLE = 23
SIZE = 5


@pytest.fixture
def people(session: Session) -> list[UserId]:
    """Members, of whom a third has no value of anything; many values are equal."""
    draw = random.Random(7)
    users = make_members(session, *(f"m{number:02d}@example.com" for number in range(PEOPLE)))
    for name, kind in (("Word", Kind.TEXT), ("Amount", Kind.NUMBER), ("Yes", Kind.BOOLEAN)):
        row = make_property(session, name, kind)
        some = {it: _value(kind, draw) for it in users if draw.random() > 0.3}
        set_values(session, row, some)
    row = make_property(session, "Day", Kind.DATE)
    set_values(session, row, {it: f"2026-01-{draw.randint(1, 9):02d}" for it in users[::2]})
    for user in users[::3]:
        seen = NOW + timedelta(days=draw.randint(0, 3))
        values = {"first_name": "Ada", "first_key": "ada", "lang": "de", "last_seen_at": seen}
        session.execute(update(User).where(User.id == user).values(**values))
    return users


def _value(kind: Kind, draw: random.Random) -> str:
    if kind is Kind.TEXT:
        return draw.choice(["alpha", "Álpha", "beta", "x" * 100, "x" * 100 + "y"])
    return str(draw.randint(-3, 3)) if kind is Kind.NUMBER else draw.choice(["true", "false"])


def walk(session: Session, sort: str, asked: Filters = Filters()) -> list[list[UserId]]:
    """Every page, forward to the end and back again, of which both have to be the same."""
    known = fields.catalogue(session)
    found = filters.conditions(session, asked, known)
    order = listing.order_of(sort, known)

    def page(cursor: str | None) -> Any:
        return listing.list_members(session, found, order, (), cursor=cursor, size=SIZE)

    pages = [page(None)]
    while pages[-1].next:
        pages.append(page(pages[-1].next))
    back = [pages[-1]]
    while back[-1].previous:
        back.append(page(back[-1].previous))
    ids = [[row.user.id for row in it.items] for it in pages]
    assert [[row.user.id for row in it.items] for it in reversed(back)] == ids
    return ids


def expected(session: Session, key: str, *, is_descending: bool) -> list[UserId]:
    """With a value first, by value and id; then the others by id."""
    field = fields.catalogue(session)[key]
    column = field.sought
    rows: Sequence[Any] = session.execute(select(User.id, column)).all()
    cut = 64 if field.is_cut else None
    pairs = [(value[:cut] if cut and value else value, user) for user, value in rows]
    valued = sorted((it for it in pairs if it[0] is not None), reverse=is_descending)
    empty = sorted((user for value, user in pairs if value is None), reverse=is_descending)
    return [user for _, user in valued] + empty


class TestOrder:
    @pytest.mark.parametrize("is_descending", [False, True])
    @pytest.mark.parametrize(
        "name",
        [
            *("Word", "Amount", "Yes", "Day", "email", "first_name", "lang", "state", "source"),
            *("created_at", "last_seen_at", "reference_id"),
        ],
    )
    def test_of_every_field_pages_through_everybody_once(
        self, session: Session, people: list[UserId], name: str, is_descending: bool
    ) -> None:
        known = fields.catalogue(session)
        key = next(it.key for it in known.values() if name in (it.key, it.name))
        pages = walk(session, f"-{key}" if is_descending else key)
        found = [user for page in pages for user in page]
        if key == "created_at":
            assert found == sorted(people, reverse=is_descending)
        else:
            assert found == expected(session, key, is_descending=is_descending)
        assert [len(page) for page in pages[:-1]] == [SIZE] * (len(pages) - 1)

    def test_that_is_unknown_is_the_newest_first(
        self, session: Session, people: list[UserId]
    ) -> None:
        assert walk(session, "'; DROP TABLE users; --")[0][0] == max(people)

    def test_does_not_take_the_cursor_of_another(
        self, session: Session, people: list[UserId]
    ) -> None:
        known = fields.catalogue(session)
        by_email = listing.order_of("email", known)
        page = listing.list_members(session, [], by_email, (), size=2)
        amount = next(it.key for it in known.values() if it.name == "Amount")
        by_amount = listing.order_of(amount, known)
        for cursor in (page.next, "nonsense"):
            with pytest.raises(UnknownCursorError):
                listing.list_members(session, [], by_amount, (), cursor=cursor)


class TestFilters:
    def found(self, session: Session, **asked: str) -> set[UserId]:
        pages = walk(session, "created_at", Filters(**asked))
        conditions = filters.conditions(session, Filters(**asked), fields.catalogue(session))
        ids = {user for page in pages for user in page}
        assert listing.count(session, conditions) == listing.Count(len(ids), is_all=True)
        return ids

    def property(self, session: Session, name: str) -> str:
        return next(it.key for it in fields.catalogue(session).values() if it.name == name)

    @pytest.mark.parametrize(
        ("name", "op", "value", "claim"),
        [
            ("Amount", "is", "2", lambda it: it == 2),
            ("Amount", "from", "1", lambda it: it >= 1),
            ("Amount", "to", "-1.5", lambda it: it <= Decimal("-1.5")),
            ("Yes", "is", "yes", lambda it: it is True),
            ("Word", "is", "ALPHA", lambda it: it in ("alpha", "Álpha")),
            ("Word", "is", "x" * 100, lambda it: it == "x" * 100),
            ("Word", "begins", "al", lambda it: it[:1] in "aÁ"),
            ("Word", "begins", "x" * 101, lambda it: False),
            ("Day", "is", "2026-01-03", lambda it: it.day == 3),
            ("Day", "from", "2026-01-03", lambda it: it.day >= 3),
            ("Day", "to", "2026-01-03", lambda it: it.day <= 3),
        ],
    )
    def test_by_a_property(
        self, session: Session, people: list[UserId], name: str, op: str, value: str, claim: Any
    ) -> None:
        key = self.property(session, name)
        field = fields.catalogue(session)[key]
        rows = session.execute(select(User.id, field.value))
        wanted = {user for user, it in rows if it is not None and claim(it)}
        assert self.found(session, field=key, op=op, value=value) == wanted

    def test_by_having_a_value_or_none(self, session: Session, people: list[UserId]) -> None:
        key = self.property(session, "Day")
        assert self.found(session, field=key, op="set") == set(people[::2])
        assert self.found(session, field=key, op="unset") == set(people[1::2])
        assert self.found(session, field="prp_gone", op="set") == set(people)

    def test_refuse_what_is_no_value(self, session: Session, people: list[UserId]) -> None:
        with pytest.raises(ValueInvalidError):
            self.found(session, field=self.property(session, "Amount"), op="is", value="many")

    def test_by_list_segment_state_and_source(
        self, session: Session, merchant: Merchant, people: list[UserId]
    ) -> None:
        row = lists.create(session, "Best", at=NOW)
        lists.add(session, row, queries.only(people[3]), reason="manual", at=NOW)
        segment = SegmentId(new_id())
        session.execute(
            text("INSERT INTO segment_members (segment_id, user_id, since) VALUES (:s, :u, :at)"),
            {"s": segment, "u": people[4], "at": NOW},
        )
        standing.block(session, queries.only(people[5]), reason="", at=NOW)
        assert self.found(session, list=encode_id("lst", row.id)) == {people[3]}
        assert self.found(session, segment=encode_id("seg", segment)) == {people[4]}
        assert self.found(session, state="blocked") == {people[5]}
        assert self.found(session, source="test", state="active") == set(people) - {people[5]}
        assert self.found(session, source="import") == set()
        with pytest.raises(UnknownIdentifierError):
            self.found(session, list="lst_1")

    def test_leave_out_who_was_erased_or_merged(
        self, session: Session, people: list[UserId]
    ) -> None:
        session.get_one(User, people[0]).state = UserState.ERASED
        session.get_one(User, people[1]).state = UserState.MERGED
        session.flush()
        assert self.found(session) == set(people[2:])
        assert self.found(session, state="erased") == {people[0]}

    def test_search_finds_beginnings(self, session: Session, people: list[UserId]) -> None:
        assert self.found(session, q="M07@ex") == {people[7]}
        assert self.found(session, q="example") == set()
        [pass_row] = queries.passes_of(session, [people[2]]).values()
        assert self.found(session, q=pass_row.address) == {people[2]}

    def test_never_reach_another_merchant(
        self, session: Session, merchant: Merchant, people: list[UserId]
    ) -> None:
        with unit_of_work(merchant=make_other_merchant(merchant)) as other:
            [eve] = make_members(other, "m99@example.com")
            row = make_property(other, "Theirs", Kind.NUMBER)
            stored.write(other, Kind.NUMBER, row.slot, [(eve, Decimal(2)), (people[0], Decimal(9))])
        with unit_of_work(merchant=merchant.id) as session:
            assert eve not in self.found(session) | self.found(session, q="m99")
            key = self.property(session, "Amount")
            assert eve not in self.found(session, field=key, op="set")
            row = session.scalars(select(Property).where(Property.name == "Amount")).one()
            assert row.slot == 1


class TestCount:
    def test_does_not_pretend(
        self, session: Session, people: list[UserId], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listing, "MOST_COUNTED", 10)
        assert listing.count(session, []) == listing.Count(10, is_all=False)


class TestSources:
    def test_are_listed_once_each(self, session: Session, people: list[UserId]) -> None:
        session.get_one(User, people[0]).source = "space"
        session.flush()
        assert queries.list_sources(session) == ["space", "test"]

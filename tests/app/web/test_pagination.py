"""Keyset pages: there and back, nothing twice and nothing left out."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.web.pagination import (
    Cursor,
    Page,
    UnknownCursorError,
    decode_cursor,
    encode_cursor,
    list_page,
)


class Base(DeclarativeBase):
    """Apart from the product's tables."""


class Row(Base):
    __tablename__ = "rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@pytest.fixture
def session() -> Session:  # type: ignore[misc]
    """Ten rows, two of a name."""
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(Row(id=number, name=f"n{number // 2}") for number in range(10))
        session.flush()
        yield session
    engine.dispose()


def page(session: Session, cursor: str | None, *, is_descending: bool = False) -> Page[Row]:
    keys = [Row.name, Row.id]
    return list_page(
        session, select(Row), keys=keys, cursor=cursor, size=4, is_descending=is_descending
    )


def ids(found: Page[Row]) -> list[int]:
    return [row.id for row in found.items]


class TestCursor:
    def test_survives_the_way_through_an_address(self) -> None:
        moment, identifier = datetime(2026, 6, 1, 12, 0, 0, 1, tzinfo=UTC), uuid4()
        cursor = Cursor((moment, identifier, "Zoë", 7), is_backward=True)
        text = encode_cursor(cursor)
        assert text.isascii()
        assert decode_cursor(text, [datetime, UUID, str, int]) == cursor

    @pytest.mark.parametrize("text", ["", "x", "e30", "bnVsbA", "WzBd", "é", "W1s", "WzEsMl0=="])
    def test_anything_else_is_refused_with_a_sentence(self, text: str) -> None:
        with pytest.raises(UnknownCursorError, match="beginning"):
            decode_cursor(text, [str, int])


class TestListPage:
    def test_forward_through_everything_and_back(self, session: Session) -> None:
        first = page(session, None)
        second = page(session, first.next)
        third = page(session, second.next)
        assert [ids(first), ids(second), ids(third)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert (first.previous, third.next) == (None, None)
        assert ids(page(session, third.previous)) == [4, 5, 6, 7]
        back = page(session, second.previous)
        assert (ids(back), back.previous) == ([0, 1, 2, 3], None)

    def test_descending(self, session: Session) -> None:
        first = page(session, None, is_descending=True)
        second = page(session, first.next, is_descending=True)
        assert [ids(first), ids(second)] == [[9, 8, 7, 6], [5, 4, 3, 2]]
        assert ids(page(session, second.previous, is_descending=True)) == [9, 8, 7, 6]

    def test_a_row_that_vanishes_shifts_nothing(self, session: Session) -> None:
        first = page(session, None)
        session.delete(first.items[3])
        session.flush()
        assert ids(page(session, first.next)) == [4, 5, 6, 7]

    def test_an_empty_list_has_no_neighbours(self, session: Session) -> None:
        nothing = list_page(session, select(Row).where(Row.id < 0), keys=[Row.id])
        assert nothing == Page(items=[])

    def test_a_cursor_of_another_list_is_refused(self, session: Session) -> None:
        with pytest.raises(UnknownCursorError):
            page(session, encode_cursor(Cursor((1, "a"))))

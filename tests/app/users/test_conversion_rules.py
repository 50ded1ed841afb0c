"""What becomes of values when a property changes its type."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.users import values
from app.users.conversion_rules import Rules, Shape, convert
from app.users.errors import ValueInvalidError
from app.users.slots import Kind
from app.users.values import Value

TEXT, NUMBER, BOOLEAN, DATE = (Shape(kind) for kind in Kind)
MOMENT = Shape(Kind.DATE, with_time=True)
DAY = datetime(2026, 3, 31, tzinfo=UTC)


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "mark", "number"),
        [
            ("12", ".", "12"),
            (" -3.50 ", ".", "-3.5"),
            ("1,234,567.8", ".", "1234567.8"),
            ("1.234.567,8", ",", "1234567.8"),
            ("1 234,5", ",", "1234.5"),
            ("1'234.5", ".", "1234.5"),
        ],
    )
    def test_are_read_with_the_chosen_mark(self, text: str, mark: str, number: str) -> None:
        assert convert(text, TEXT, NUMBER, Rules(mark=mark)) == Decimal(number)

    @pytest.mark.parametrize(
        ("text", "mark"),
        [("1,5", "."), ("1.5", ","), ("12,34", "."), ("abc", "."), ("1e5", "."), ("NaN", ".")],
    )
    def test_are_never_guessed(self, text: str, mark: str) -> None:
        with pytest.raises(ValueInvalidError):
            convert(text, TEXT, NUMBER, Rules(mark=mark))


class TestDates:
    @pytest.mark.parametrize(
        ("text", "order"),
        [
            ("2026-03-31", "ymd"),
            ("2026/3/31", "ymd"),
            ("31.03.2026", "dmy"),
            ("31 3 2026", "dmy"),
            ("3/31/2026", "mdy"),
        ],
    )
    def test_are_read_in_the_chosen_order(self, text: str, order: str) -> None:
        assert convert(text, TEXT, DATE, Rules(order=order)) == DAY

    @pytest.mark.parametrize(
        ("text", "order"),
        [
            ("31/03/2026", "mdy"),
            ("2026-02-30", "ymd"),
            ("31.03.26", "dmy"),
            ("2026-03-31T10:00", "ymd"),
            ("tomorrow", "ymd"),
        ],
    )
    def test_are_never_guessed(self, text: str, order: str) -> None:
        with pytest.raises(ValueInvalidError):
            convert(text, TEXT, DATE, Rules(order=order))

    def test_keep_their_time_where_the_property_has_one(self) -> None:
        moment = datetime(2026, 3, 31, 14, 30, tzinfo=UTC)
        assert convert("31.03.2026 14:30", TEXT, MOMENT, Rules(order="dmy")) == moment
        assert convert("2026-03-31T16:30+02:00", TEXT, MOMENT, Rules()) == moment


class TestOthers:
    @pytest.mark.parametrize(
        ("value", "source", "target", "result"),
        [
            ("Ja", TEXT, BOOLEAN, True),
            ("nein", TEXT, BOOLEAN, False),
            (Decimal("1"), NUMBER, BOOLEAN, True),
            (Decimal("3.50"), NUMBER, TEXT, "3.5"),
            (True, BOOLEAN, TEXT, "true"),
            (False, BOOLEAN, NUMBER, Decimal(0)),
            (DAY, DATE, TEXT, "2026-03-31"),
            ("  ", TEXT, NUMBER, None),
        ],
    )
    def test_become_what_they_say(
        self, value: Value, source: Shape, target: Shape, result: Value | None
    ) -> None:
        rules = Rules(true_words=("ja", "1"), false_words=("nein", "0"))
        assert convert(value, source, target, rules) == result

    def test_a_word_that_is_neither_is_refused(self) -> None:
        with pytest.raises(ValueInvalidError):
            convert("perhaps", TEXT, BOOLEAN, Rules())

    def test_rules_survive_being_stored(self) -> None:
        rules = Rules(order="mdy", mark=",", true_words=("si",), false_words=("no",))
        assert Rules.from_options(rules.as_options()) == rules

    def test_what_is_shown_is_read_again(self) -> None:
        assert values.parse(values.show(DAY, Kind.DATE), Kind.DATE) == DAY

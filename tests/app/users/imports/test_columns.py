"""Columns decide of every cell what Python decides of one: value, key, reason."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.accounts.emails import EmailInvalidError, email_key
from app.users import slots
from app.users.errors import ValueInvalidError
from app.users.fields import CORE, Field, fold
from app.users.imports import cells, columns
from app.users.imports.cells import Reading
from app.users.slots import Kind
from app.users.values import Value
from core.ids import new_id
from core.types import PropertyId

_READINGS = st.builds(Reading, st.sampled_from([".", ","]), st.sampled_from([None, "dmy", "mdy"]))
_ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
_EMAILS = st.one_of(
    st.from_regex(r"[A-Za-z0-9.+_'-]{0,66}@[A-Za-z0-9.-]{1,30}", fullmatch=True),
    st.from_regex(r"[\w\"(). ]{1,8}@[\wäß.-]{1,12}", fullmatch=True),
    st.emails(),
    _ANY,
)
_NUMBERS = st.one_of(
    st.from_regex(r"[+-]?[0-9]{0,30}([.,][0-9]{0,14})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["NaN", "inf", "1_000", "٣", "-0", "0x1", "1.", ".5"]),
    _ANY,
)
_DATES = st.one_of(
    st.dates().map(str),
    st.datetimes().map(str),
    st.from_regex(r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}( [0-9]{2}:[0-9]{2})?", fullmatch=True),
    _ANY,
)


def own(kind: Kind, **more: Any) -> Field:
    value, sought = slots.value_column(kind, 1), slots.sought_column(kind, 1)
    return Field("prp_x", "X", kind, value, sought, property_id=PropertyId(new_id()), **more)


def said(value: Value) -> str:
    """As the database reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, datetime) else value


def same(field: Field, kind: Kind, texts: list[str], reading: Reading) -> None:
    """Columns and cells agree on each of the texts."""
    column = columns.stripped(pa.array(texts, pa.string()))
    checked = columns.check(field, column, reading)
    name = columns.column_names(field)[0]
    for place, text in enumerate(texts):
        bare = text.strip()
        assert column[place].as_py() == (bare or None)
        found, problem = checked.values[name][place].as_py(), checked.problems[place].as_py()
        if not bare:
            assert (found, problem) == (None, None)
            continue
        try:
            value = cells.parse(field, bare, reading)
        except ValueInvalidError as error:
            assert problem == error.problem
            continue
        assert problem is None
        if kind is Kind.NUMBER:
            assert Decimal(found) == value
        else:
            assert found == said(value)


class TestEmails:
    @given(st.lists(_EMAILS, max_size=8))
    @example(
        ["a@example.com", " B@Example.COM ", "a@b@c", "x" * 65 + "@example.com", "ä@exämple.de"]
    )
    @example(["a@" + "x" * 60 + "." + "y" * 60 + "." + "z" * 60 + "." + "w" * 60 + ".comm.example"])
    @settings(max_examples=300, deadline=None)
    def test_have_the_key_of_one(self, texts: list[str]) -> None:
        column = columns.stripped(pa.array(texts, pa.string()))
        checked = columns.check(CORE["email"], column, Reading())
        for place, text in enumerate(texts):
            try:
                key = email_key(text.strip()) if text.strip() else None
            except EmailInvalidError:
                key = None
            assert checked.values["email_key"][place].as_py() == key
            problem = "email_invalid" if key is None and text.strip() else None
            assert checked.problems[place].as_py() == problem


class TestTexts:
    @given(st.lists(_ANY, max_size=8))
    @example([" Ada ", "\x85x", "\x1cy\x1f", "İ", "ß", "¨x", "ÅNGSTRÖM", "ﬁ", "\ufeffz"])
    @settings(max_examples=300, deadline=None)
    def test_are_folded_and_stripped_like_one(self, texts: list[str]) -> None:
        column = pa.array(texts, pa.string())
        assert columns.folded(column).to_pylist() == [fold(text) for text in texts]
        assert columns.stripped(column).to_pylist() == [text.strip() or None for text in texts]

    @pytest.mark.parametrize("length", [2_000, 2_001])
    @pytest.mark.parametrize("letter", ["x", "ä", "𝒳"])
    def test_are_as_long_as_one_may_be(self, length: int, letter: str) -> None:
        same(own(Kind.TEXT), Kind.TEXT, [letter * length], Reading())


class TestOthers:
    @given(st.lists(_NUMBERS, max_size=8), _READINGS)
    @settings(max_examples=300, deadline=None)
    def test_numbers(self, texts: list[str], reading: Reading) -> None:
        same(own(Kind.NUMBER), Kind.NUMBER, texts, reading)

    @given(st.lists(_DATES, max_size=8), _READINGS, st.booleans())
    @settings(max_examples=300, deadline=None)
    def test_dates(self, texts: list[str], reading: Reading, with_time: bool) -> None:
        same(own(Kind.DATE, with_time=with_time), Kind.DATE, texts, reading)

    @given(st.lists(st.one_of(st.sampled_from(["yes", "NO", "1", "off", "ja"]), _ANY), max_size=8))
    @settings(max_examples=100, deadline=None)
    def test_booleans(self, texts: list[str]) -> None:
        same(own(Kind.BOOLEAN), Kind.BOOLEAN, texts, Reading())

    @given(
        st.sampled_from(["lang", "country", "phone", "time_zone", "first_name", "reference_id"]),
        st.lists(st.one_of(_ANY, st.sampled_from(["fr", "+49 30 1234567", "Europe/Paris"]))),
    )
    @settings(max_examples=100, deadline=None)
    def test_core_fields(self, key: str, texts: list[str]) -> None:
        same(CORE[key], Kind.TEXT, texts, Reading())

"""Whole columns of cells become values: what `cells.parse` does, for a block of rows at once.

The common spellings are recognised by patterns over the whole column; every other text is looked
at by Python, each different one once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.accounts.emails import MAX_LENGTH, EmailInvalidError, email_key
from app.users import values
from app.users.errors import ValueInvalidError
from app.users.fields import Field, fold
from app.users.imports import cells, consent_fields, event_fields
from app.users.imports.cells import Reading
from app.users.slots import Kind

ERASED = "was_erased"
"""A column beside those of users: somebody with the row's address was erased."""
_SPACES = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"
"""What `str.strip` takes away of ASCII texts."""
_PLAIN_EMAIL = r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[^@]+$"
_MOST_DIGITS = values.NUMBER_DIGITS - values.NUMBER_PLACES
_PLAIN_NUMBER = rf"^[+-]?[0-9]{{1,{_MOST_DIGITS}}}(\.[0-9]{{1,{values.NUMBER_PLACES}}})?$"
_MOST_LOCAL = 64


@dataclass(frozen=True)
class Checked:
    """A column of the file as columns of users.

    Args:
        values: name of a users column -> its values; null where the cell is empty or refused.
        problems: what is wrong with each refused cell; null elsewhere.
    """

    values: dict[str, pa.Array]
    problems: pa.Array


def stripped(column: pa.Array) -> pa.Array:
    """Without spaces around; empty cells are null."""
    plain = pc.utf8_trim(column, characters=_SPACES)
    text = _or_else(plain, pc.string_is_ascii(column), column, str.strip)
    return pc.if_else(pc.equal(text, ""), None, text)


def folded(column: pa.Array) -> pa.Array:
    """As `fields.fold` writes each text."""
    plain = pc.utf8_trim(pc.ascii_lower(column), characters=_SPACES)
    return _or_else(plain, pc.string_is_ascii(column), column, fold)


def check(field: Field, column: pa.Array, reading: Reading) -> Checked:
    """The column's values for the field, and what is wrong.

    Args:
        column: stripped.
    """
    if field.key == "email":
        return _emails(column)
    if cells.is_free_text(field):
        return _texts(field, column)
    if field.kind is Kind.NUMBER:
        return _numbers(field, column, reading)
    return _each(field, column, reading)


def _or_else(
    fast: pa.Array, is_fast: pa.Array, column: pa.Array, slow: Callable[[str], str | None]
) -> pa.Array:
    """The fast column, and what Python says of the texts it does not hold for."""
    is_slow = pc.fill_null(pc.invert(is_fast), False)
    if not pc.any(is_slow).as_py():
        return fast
    rest = column.filter(is_slow).dictionary_encode()
    said = pa.array([slow(text) for text in rest.dictionary.to_pylist()], fast.type)
    return pc.replace_with_mask(fast, is_slow, said.take(rest.indices))


def _emails(column: pa.Array) -> Checked:
    """The address as it is written, and its key as `email_key` makes it."""
    place = pc.find_substring(column, "@")
    is_plain = pc.and_(
        pc.match_substring_regex(column, _PLAIN_EMAIL),
        pc.and_(
            pc.and_(pc.less_equal(place, _MOST_LOCAL), pc.string_is_ascii(column)),
            pc.less_equal(pc.binary_length(column), MAX_LENGTH),
        ),
    )
    keys = _or_else(_plain_keys(column, is_plain), is_plain, column, _key)
    problems = pc.if_else(pc.and_(pc.is_null(keys), pc.is_valid(column)), "email_invalid", None)
    return Checked({"email": column, "email_key": keys}, problems)


def _plain_keys(column: pa.Array, is_plain: pa.Array) -> pa.Array:
    plain = pc.fill_null(is_plain, False)
    parts = pc.split_pattern(column.filter(plain), "@", max_splits=1)
    local, domain = pc.list_element(parts, 0), pc.list_element(parts, 1).dictionary_encode()
    known = [_domain(text) for text in domain.dictionary.to_pylist()]
    domains = pa.array(known, pa.string()).take(domain.indices)
    keys = pc.binary_join_element_wise(pc.ascii_lower(local), domains, "@")
    keys = pc.if_else(pc.less_equal(pc.binary_length(keys), MAX_LENGTH), keys, None)
    return pc.replace_with_mask(pa.nulls(len(column), pa.string()), plain, keys)


def _domain(text: str) -> str | None:
    key = _key(f"a@{text}")
    return None if key is None else key.partition("@")[2]


def _key(text: str) -> str | None:
    try:
        return email_key(text)
    except EmailInvalidError:
        return None


def _texts(field: Field, column: pa.Array) -> Checked:
    most = cells.LENGTHS.get(field.key, values.TEXT_LENGTH)
    is_long = pc.fill_null(pc.greater(pc.utf8_length(column), most), False)
    kept = pc.if_else(is_long, None, column)
    problems = pc.if_else(is_long, "value_too_long", None)
    return Checked({name: _spelled(name, kept) for name in column_names(field)}, problems)


def _spelled(name: str, column: pa.Array) -> pa.Array:
    return folded(column) if name.startswith("k") or name.endswith("_key") else column


def _numbers(field: Field, column: pa.Array, reading: Reading) -> Checked:
    plain = column
    if reading.decimal == ",":
        plain = pc.replace_substring(pc.replace_substring(column, ".", ""), ",", ".")
    is_fast = pc.match_substring_regex(plain, _PLAIN_NUMBER)
    if pc.all(is_fast).as_py():
        return Checked({column_names(field)[0]: plain}, pa.nulls(len(column), pa.string()))
    is_fast = pc.fill_null(is_fast, True)
    rest = _each(field, pc.if_else(is_fast, None, column), reading)
    [name] = rest.values
    merged = pc.if_else(is_fast, plain, rest.values[name])
    return Checked({name: merged}, rest.problems)


def _each(field: Field, column: pa.Array, reading: Reading) -> Checked:
    """By Python, each different text once."""
    coded = column.dictionary_encode()
    said: list[str | None] = []
    problems: list[str | None] = []
    for text in coded.dictionary.to_pylist():
        try:
            said.append(_as_sql(cells.parse(field, text, reading)))
            problems.append(None)
        except ValueInvalidError as error:
            said.append(None)
            problems.append(error.problem)
    known = pa.array(said, pa.string()).take(coded.indices)
    reasons = pa.array(problems, pa.string()).take(coded.indices)
    return Checked({column_names(field)[0]: known}, reasons)


def _as_sql(value: Any) -> str:
    """As PostgreSQL reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def column_names(field: Field) -> list[str]:
    """The columns of users the field is kept in: the value, then what it is sought by."""
    names = [str(it).removeprefix("users.") for it in (field.value, field.sought)]
    return list(dict.fromkeys(names)) if field.kind is Kind.TEXT else names[:1]


def column_type(name: str) -> str:
    """The SQL type of a column the import writes."""
    if name in event_fields.COLUMN_TYPES:
        return event_fields.COLUMN_TYPES[name]
    if consent_fields.is_column(name) or name == ERASED:
        return "boolean"
    kinds = {"n": "numeric", "b": "boolean", "d": "timestamptz"}
    if name[1:].isdigit():
        return kinds.get(name[0], 'text COLLATE "C"' if name[0] == "k" else "text")
    return 'text COLLATE "C"' if name.endswith("_key") or name == "reference_id" else "text"

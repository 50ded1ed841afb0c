"""What the columns of a members file mean, and which of its records are refused. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path

from app.accounts.emails import EmailInvalidError, email_key
from app.uploads import records
from app.uploads.errors import FileUnreadableError
from app.uploads.records import BEGINNING, CSV_CELL_LIMIT, GONE, Dialect, Place, Record
from app.users.errors import MappingInvalidError

_LENGTH = {"first_name": 100, "last_name": 100, "reference_id": 128}
_LANGUAGE_LENGTH = 2


class Field(StrEnum):
    """A property a column can be mapped to."""

    EMAIL = "email"
    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    LANG = "lang"
    COUNTRY = "country"
    REFERENCE_ID = "reference_id"


_SPELLINGS = {
    "email": Field.EMAIL,
    "emailaddress": Field.EMAIL,
    "mail": Field.EMAIL,
    "firstname": Field.FIRST_NAME,
    "givenname": Field.FIRST_NAME,
    "lastname": Field.LAST_NAME,
    "familyname": Field.LAST_NAME,
    "surname": Field.LAST_NAME,
    "lang": Field.LANG,
    "language": Field.LANG,
    "country": Field.COUNTRY,
    "referenceid": Field.REFERENCE_ID,
    "customerid": Field.REFERENCE_ID,
}


@dataclass(frozen=True)
class Row:
    """A record that can be imported; `values` holds only fields that are not empty."""

    line: int
    email: str
    email_key: str
    values: dict[Field, str]
    cells: list[str]


@dataclass(frozen=True)
class Refusal:
    """A record that cannot be imported, and why."""

    line: int
    reason: str
    cells: list[str]


@dataclass(frozen=True)
class Sample:
    """What the mapping screen shows: the header and the first records."""

    columns: list[str]
    records: list[list[str]]


def peek(path: Path, *, sample_size: int = 5) -> Sample:
    """The header and a few records; the rest of the file is not read.

    Raises:
        FileUnreadableError: empty, gone, or not a CSV table as far as it was read.
    """
    found = read_records(path)
    header = next(found, None)
    if header is None:
        raise FileUnreadableError("The file is empty. Export it again with a header row.")
    first = [record.cells for record in islice(found, sample_size)]
    return Sample([cell.strip() for cell in header.cells], first)


def read_records(path: Path, *, start: Place = BEGINNING) -> Iterator[Record]:
    """Every record of the file from `start` on (`app.uploads.records`); the header is number 0.

    Raises:
        FileUnreadableError: gone, not UTF-8, or no table; the sentence names the line.
    """
    try:
        dialect = Dialect(_delimiter(path))
    except OSError:
        raise FileUnreadableError(GONE) from None
    yield from records.read_records(path, dialect, start=start)


def _delimiter(path: Path) -> str:
    """Comma or semicolon, whichever the first line has more of."""
    with path.open("rb") as file:
        head = file.readline(CSV_CELL_LIMIT)
    return ";" if head.count(b";") > head.count(b",") else ","


def guess_mapping(columns: list[str]) -> dict[int, Field]:
    """The obvious mapping by column names; unknown columns are left out."""
    mapping: dict[int, Field] = {}
    for position, name in enumerate(columns):
        plain = "".join(character for character in name.lower() if character.isalnum())
        found = _SPELLINGS.get(plain)
        if found is not None and found not in mapping.values():
            mapping[position] = found
    return mapping


def check_mapping(mapping: dict[int, Field], columns: list[str]) -> None:
    """The mapping names an email column, and every field once.

    Raises:
        MappingInvalidError: the sentence says what is missing.
    """
    fields = list(mapping.values())
    if Field.EMAIL not in fields:
        raise MappingInvalidError("Choose which column holds the email address.")
    doubled = {field for field in fields if fields.count(field) > 1}
    if doubled:
        raise MappingInvalidError(f"Two columns are mapped to “{sorted(doubled)[0]}”.")
    if any(position >= len(columns) for position in mapping):
        raise MappingInvalidError("The mapping names a column the file does not have.")


def judge(record: Record, mapping: dict[int, Field], width: int) -> Row | Refusal:
    """The record as a row to import, or why it is refused.

    Args:
        width: how many columns the header has; fewer or more cells are refused.
    """
    if len(record.cells) != width:
        return Refusal(record.place.line, "column_count", record.cells)
    values = {
        field: value
        for position, field in mapping.items()
        if (value := record.cells[position].strip())
    }
    email = values.pop(Field.EMAIL, "")
    if not email:
        return Refusal(record.place.line, "email_missing", record.cells)
    try:
        key = email_key(email)
    except EmailInvalidError:
        return Refusal(record.place.line, "email_invalid", record.cells)
    problem = _problem(values)
    if problem is not None:
        return Refusal(record.place.line, problem, record.cells)
    return Row(record.place.line, email, key, _normalised(values), record.cells)


def _problem(values: dict[Field, str]) -> str | None:
    for name, most in _LENGTH.items():
        if len(values.get(Field(name), "")) > most:
            return f"value_too_long:{name}"
    for field in (Field.LANG, Field.COUNTRY):
        value = values.get(field)
        if value is not None and not (len(value) == _LANGUAGE_LENGTH and value.isalpha()):
            return f"type_mismatch:{field}"
    return None


def _normalised(values: dict[Field, str]) -> dict[Field, str]:
    changed = dict(values)
    if Field.LANG in changed:
        changed[Field.LANG] = changed[Field.LANG].lower()
    if Field.COUNTRY in changed:
        changed[Field.COUNTRY] = changed[Field.COUNTRY].upper()
    return changed

"""What the columns of an audience file mean, and what each of its rows says. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from app.accounts.emails import EmailInvalidError, email_key
from app.uploads.errors import FileUnreadableError
from app.uploads.records import Dialect, Record
from wallets import addresses
from wallets.errors import AddressInvalidError

KEY_LENGTH = 200
TEXT_LENGTH = 1_000
_QUANTITIES: dict[str, int | None] = {"": None, **{str(n): n for n in range(1, 101)}}
"""What a cell may say: nothing for as many as the campaign gives each."""


class Field(StrEnum):
    """What a column can hold."""

    EMAIL = "email"
    ADDRESS = "address"
    QUANTITY = "quantity"
    REWARD = "reward"
    KEY = "key"


class Rejection(StrEnum):
    """Why a row names nobody who could receive anything."""

    COLUMN_COUNT = "column_count"
    EMAIL_INVALID = "email_invalid"
    ADDRESS_INVALID = "address_invalid"
    TWO_RECIPIENTS = "two_recipients"
    QUANTITY_INVALID = "quantity_invalid"
    KEY_TOO_LONG = "key_too_long"
    CONTRACT_OF_OURS = "address_is_contract_of_ours"
    UNKNOWN_REWARD = "unknown_reward"
    DUPLICATE_ROW = "duplicate_row"


_SPELLINGS = {
    **dict.fromkeys(("email", "emailaddress", "mail"), Field.EMAIL),
    **dict.fromkeys(("address", "wallet", "walletaddress"), Field.ADDRESS),
    "quantity": Field.QUANTITY,
    "reward": Field.REWARD,
    "key": Field.KEY,
}
_WITHOUT_HEADER = (Field.EMAIL, Field.QUANTITY, Field.REWARD, Field.KEY)


@dataclass(frozen=True)
class Layout:
    """How a file is read.

    Args:
        columns: field -> position. A column of emails may hold addresses, and the reverse.
        width: how many cells every row has.
    """

    dialect: Dialect
    columns: dict[Field, int]
    width: int
    has_header: bool

    def dump(self) -> dict[str, Any]:
        """The layout as JSON."""
        return {
            "delimiter": self.dialect.delimiter,
            "encoding": self.dialect.encoding,
            "columns": {field.value: position for field, position in self.columns.items()},
            "width": self.width,
            "has_header": self.has_header,
        }


def load_layout(values: dict[str, Any]) -> Layout:
    """The layout that was dumped."""
    return Layout(
        Dialect(values["delimiter"], values["encoding"]),
        {Field(field): position for field, position in values["columns"].items()},
        values["width"],
        values["has_header"],
    )


def layout_of(dialect: Dialect, first: Sequence[str]) -> Layout:
    """How to read the rows, by the first one: column names, or already a recipient.

    Without names the columns are recipient, quantity, reward and key, as far as there are any.

    Raises:
        FileUnreadableError: it is neither.
    """
    named: dict[Field, int] = {}
    for position, name in enumerate(first):
        plain = "".join(character for character in name.lower() if character.isalnum())
        found = _SPELLINGS.get(plain)
        if found is not None:
            named.setdefault(found, position)
    if Field.EMAIL in named or Field.ADDRESS in named:
        return Layout(dialect, named, len(first), has_header=True)
    if _recipient(first[0].strip())[2] is not None:
        raise FileUnreadableError(
            "The first row neither names a column “email” or “address” nor begins with one. "
            "Name the columns in the first row and upload the file again."
        )
    columns = dict(zip(_WITHOUT_HEADER, range(len(first)), strict=False))
    return Layout(dialect, columns, len(first), has_header=False)


class Row(NamedTuple):
    """What a record says, as it is loaded: one recipient, or the reason why there is none."""

    line: int
    email: str | None = None
    email_key: str | None = None
    address: bytes | None = None
    quantity: int | None = None
    reward: str | None = None
    key: str | None = None
    reason: Rejection | None = None
    text: str | None = None


class Judge:
    """Says of each record of a file what it means; called a million times, so positions are plain.

    Args:
        layout: how the file is read.
    """

    def __init__(self, layout: Layout) -> None:
        self._width = layout.width
        self._delimiter = layout.dialect.delimiter
        absent = layout.width  # an empty cell is put there
        places = [layout.columns.get(field, absent) for field in Field]
        self._email, self._address, self._quantity, self._reward, self._key = places

    def __call__(self, record: Record) -> Row:
        """The record as a row."""
        cells, line = record.cells, record.place.line
        if len(cells) != self._width:
            return self._rejected(record, Rejection.COLUMN_COUNT)
        cells = [*cells, ""]
        email, address = cells[self._email].strip(), cells[self._address].strip()
        if email and address:
            return self._rejected(record, Rejection.TWO_RECIPIENTS)
        email_key, raw, reason = _recipient(email or address)
        if reason is not None:
            return self._rejected(record, reason)
        said = cells[self._quantity].strip()
        if said not in _QUANTITIES:
            return self._rejected(record, Rejection.QUANTITY_INVALID)
        key = cells[self._key].strip() or None
        if key is not None and len(key) > KEY_LENGTH:
            return self._rejected(record, Rejection.KEY_TOO_LONG)
        reward = cells[self._reward].strip()[:KEY_LENGTH] or None
        typed = None if email_key is None else email or address
        return Row(line, typed, email_key, raw, _QUANTITIES[said], reward, key)

    def _rejected(self, record: Record, reason: Rejection) -> Row:
        text = self._delimiter.join(record.cells)[:TEXT_LENGTH]
        return Row(record.place.line, reason=reason, text=text)


def _recipient(text: str) -> tuple[str | None, bytes | None, Rejection | None]:
    """Email key, address, or why it is neither."""
    try:
        if text[:2] in ("0x", "0X") and "@" not in text:
            return None, addresses.parse(text), None
        return email_key(text), None, None
    except AddressInvalidError:
        return None, None, Rejection.ADDRESS_INVALID
    except EmailInvalidError:
        return None, None, Rejection.EMAIL_INVALID

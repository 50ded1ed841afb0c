"""Columns of a file that say what people agreed to: one column a purpose, yes or no."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Boolean, column
from sqlalchemy.orm import Session

from app.users import consents
from app.users.fields import Field
from app.users.imports.errors import MappingInvalidError
from app.users.slots import Kind

BASIS_LENGTH = 2_000
CONSENT = "consent"


def key_of(purpose: str) -> str:
    """The key of a column of answers."""
    return f"{CONSENT}:{purpose}"


def is_consent(key: str) -> bool:
    """Whether the key is one of `key_of`."""
    return key.startswith(f"{CONSENT}:")


def purpose_of(key: str) -> str:
    """What a column of answers is about."""
    return key.partition(":")[2]


def is_column(name: str) -> bool:
    """Whether a column of the part holds answers."""
    return name.startswith(f"{CONSENT}_")


def known(session: Session, mapping: Mapping[Any, str]) -> dict[str, tuple[Field, str]]:
    """A field for each purpose there is, and those this mapping is the first to name, by key."""
    named = [purpose_of(it) for it in mapping.values() if is_consent(it)]
    purposes = dict.fromkeys((*consents.purposes(session), *named))
    return {key_of(it): (_field(it), it) for it in purposes if consents.is_purpose(it)}


def _field(purpose: str) -> Field:
    where: Any = column(f"{CONSENT}_{purpose}", Boolean())
    return Field(key_of(purpose), purpose, Kind.BOOLEAN, where, where)


def check(session: Session, keys: Collection[str], basis: str | None, *, is_live: bool) -> None:
    """The purposes can be asked for, and somebody said on what the answers rest.

    Args:
        basis: why the brand may believe the file; in live mode nobody imports answers without.

    Raises:
        MappingInvalidError: the sentence says what is missing.
    """
    asked = {purpose_of(it) for it in keys if is_consent(it)}
    if not asked:
        return
    if any(not consents.is_purpose(it) for it in asked):
        raise MappingInvalidError(
            "A purpose of consent is written in small letters, digits and _; 50 at most."
        )
    if len({*consents.purposes(session), *asked}) > consents.MOST_PURPOSES:
        raise MappingInvalidError(
            f"There can be {consents.MOST_PURPOSES} purposes of consent. Map fewer new ones."
        )
    if is_live and not basis:
        raise MappingInvalidError(
            "Say on what the consents rest, for instance where and when people agreed."
        )
    if basis and len(basis) > BASIS_LENGTH:
        raise MappingInvalidError(
            f"What the consents rest on is said in {BASIS_LENGTH:,} characters at most."
        )

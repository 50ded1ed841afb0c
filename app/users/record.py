"""One member's fields: read, changed by somebody, and remembered as they were before.

Every change is validated, has a row in the history of its field, and is told of by one event that
names the fields and never their values.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.emails import EmailInvalidError, email_key
from app.users import fields, properties, stored, values
from app.users.errors import (
    EmailTakenError,
    RecordChangedError,
    RecordInvalidError,
    UserErasedError,
    ValueInvalidError,
)
from app.users.fields import Field, fold
from app.users.models import PropertyChange, User, UserState
from app.users.service import name_key
from core.db import change as rows_changed
from core.events import emit

NAME_LENGTH = 100
REFERENCE_LENGTH = 128
EDITABLE = (
    "email",
    "first_name",
    "last_name",
    "reference_id",
    "phone",
    "lang",
    "country",
    "time_zone",
)
"""The core fields that people change; the others follow what happens."""
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True)
class _Change:
    field: Field
    before: str | None
    after: Any


def read(session: Session, user: User, known: Mapping[str, Field]) -> dict[str, Any]:
    """The member's value of every field, by key."""
    columns = [it.value.label(f"c{number}") for number, it in enumerate(known.values())]
    row = session.execute(select(*columns).select_from(User).where(User.id == user.id)).one()
    return dict(zip(known, row, strict=True))


def as_text(field: Field, value: Any) -> str:
    """The value as a form shows it, and as `change` reads it again."""
    return "" if value is None else values.show(value, field.kind, with_time=field.with_time)


def change(
    session: Session,
    user: User,
    texts: Mapping[str, str],
    *,
    version: int,
    zone: ZoneInfo | None = None,
    at: datetime,
) -> Sequence[str]:
    """The member has these values; an empty text takes one away.

    Args:
        texts: by key; fields that are not named stay what they are.
        version: what the member was when the values were read.
        zone: what times without an offset are in.

    Returns:
        The keys of the fields that changed.

    Raises:
        RecordInvalidError: some texts are no values; `fields` has a sentence for each.
        EmailTakenError: somebody else has the address.
        RecordChangedError: somebody changed the member meanwhile.
        UserErasedError: there is nobody left to change.

    Locks: the properties against changes of type, then the member.
    """
    if user.state in (UserState.ERASED, UserState.MERGED):
        raise UserErasedError(user.id)
    properties.hold(session)
    known = fields.catalogue(session)
    changes = _changes(session, user, known, texts, zone=zone)
    if changes:
        _store(session, user, changes, version=version)
        _remember(session, user, changes, at=at)
        keys = [it.field.key for it in changes]
        emit(session, "cohort.user.updated", at=at, user_id=user.id, changed=keys)
    return [it.field.key for it in changes]


def _changes(
    session: Session,
    user: User,
    known: Mapping[str, Field],
    texts: Mapping[str, str],
    *,
    zone: ZoneInfo | None,
) -> list[_Change]:
    now, changes, problems = read(session, user, known), [], {}
    for key, text in texts.items():
        field = known.get(key)
        if field is None or (field.property_id is None and key not in EDITABLE):
            continue
        try:
            after = _value(field, text, zone)
        except (ValueInvalidError, EmailInvalidError) as error:
            problems[key] = error.fields.get("email", str(error))
            continue
        if after != now[key]:
            changes.append(_Change(field, as_text(field, now[key]) or None, after))
    problems.update(_taken(session, user, changes))
    if problems:
        raise RecordInvalidError(problems)
    return changes


def _value(field: Field, text: str, zone: ZoneInfo | None) -> Any:
    if field.property_id is not None:
        if not text.strip():
            return None
        return values.parse(text, field.kind, with_time=field.with_time, zone=zone)
    plain = str(values.parse(text.strip(), field.kind))
    if field.key == "email":
        email_key(plain)
        return plain
    return _CHECKS[field.key](plain) if plain else None


def _short(most: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if len(text) > most:
            raise ValueInvalidError(f"At most {most} characters.")
        return text

    return check


def _phone(text: str) -> str:
    plain = re.sub(r"[ ()./-]", "", text)
    if not _PHONE.fullmatch(plain):
        raise ValueInvalidError("Enter a number with its country, such as +41 44 123 45 67.")
    return plain


def _two_letters(text: str) -> str:
    if not (len(text) == 2 and text.isascii() and text.isalpha()):
        raise ValueInvalidError("Enter the code of two letters.")
    return text


def _time_zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueInvalidError("Enter a zone such as Europe/Zurich.")
    return text


_CHECKS: Mapping[str, Callable[[str], str]] = {
    "first_name": _short(NAME_LENGTH),
    "last_name": _short(NAME_LENGTH),
    "reference_id": _short(REFERENCE_LENGTH),
    "phone": _phone,
    "lang": lambda text: _two_letters(text).lower(),
    "country": lambda text: _two_letters(text).upper(),
    "time_zone": _time_zone,
}


def _taken(session: Session, user: User, changes: Sequence[_Change]) -> dict[str, str]:
    after = {it.field.key: it.after for it in changes}
    if after.get("email"):
        holder = User.email_key == email_key(after["email"])
        if session.scalar(select(User.id).where(holder, User.id != user.id)):
            raise EmailTakenError
    if after.get("reference_id"):
        holder = User.reference_id == after["reference_id"]
        if session.scalar(select(User.id).where(holder, User.id != user.id)):
            return {"reference_id": "Somebody else has this reference ID."}
    return {}


def _store(session: Session, user: User, changes: Sequence[_Change], *, version: int) -> None:
    core = {it.field.key: it.after for it in changes if it.field.property_id is None}
    statement = (
        update(User)
        .where(User.id == user.id, User.version == version)
        .values(version=version + 1, **_columns(user, core))
        .execution_options(synchronize_session=False)
    )
    try:
        with session.begin_nested():
            count = rows_changed(session, statement)
    except IntegrityError:
        # Somebody else took the address or the reference since it was looked for.
        raise RecordChangedError from None
    if not count:
        raise RecordChangedError
    own = [(it.field, it.after) for it in changes if it.field.property_id is not None]
    stored.write_one(session, user.id, own)
    session.refresh(user)


def _columns(user: User, core: Mapping[str, Any]) -> dict[str, Any]:
    """The core fields with everything that is made from them."""
    columns = dict(core)
    if "email" in core:
        columns |= {"email_key": email_key(core["email"]), "email_verified_at": None}
    first = core.get("first_name", user.first_name)
    last = core.get("last_name", user.last_name)
    if {"first_name", "last_name"} & set(core):
        columns |= {
            "first_key": None if first is None else fold(first),
            "last_key": None if last is None else fold(last),
            "name_key": name_key(first, last),
        }
    return columns


def _remember(session: Session, user: User, changes: Sequence[_Change], *, at: datetime) -> None:
    session.add_all(
        PropertyChange(
            user_id=user.id,
            field=it.field.key,
            at=at,
            before=it.before,
            after=as_text(it.field, it.after) or None,
            actor=session.info["actor"],
        )
        for it in changes
    )
    session.flush()

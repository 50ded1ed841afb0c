"""Members: created one by one or in sets; each gets a wallet and a queued pass with its row."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, literal, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.accounts.emails import email_key
from app.users.errors import UserNotFoundError
from app.users.fields import fold
from app.users.models import MailStatus, User, UserState
from core.db import sql_id, sql_ids
from core.events import emit_each, emit_many
from core.ids import new_id
from core.types import UserId
from minting import passes

_USERS_A_PART = 10_000


def name_key(first_name: str | None, last_name: str | None) -> str:
    """The folded name of a member, first name first."""
    return fold(" ".join(part for part in (first_name, last_name) if part))


def get_user(session: Session, user_id: UserId) -> User:
    """The member.

    Raises:
        UserNotFoundError: this merchant has none with the id.
    """
    user = session.get(User, user_id)
    if user is None:
        raise UserNotFoundError(user_id)
    return user


def find_by_email(session: Session, email: str) -> User | None:
    """The member with this address, or None.

    Raises:
        EmailInvalidError: not an address.
    """
    return session.scalar(select(User).where(User.email_key == email_key(email)))


def ensure_user(session: Session, email: str, *, source: str, at: datetime) -> User:
    """The member with this address exists, with a wallet and a queued pass.

    Raises:
        EmailInvalidError: not an address.
    """
    found = find_by_email(session, email)
    if found is None:
        create_users(session, [new_row(email.strip(), email_key(email), source=source)], at=at)
        found = session.scalars(select(User).where(User.email_key == email_key(email))).one()
    return found


def new_row(email: str, key: str, *, source: str, **values: str | None) -> dict[str, Any]:
    """A row for `create_users`; every row has the same columns."""
    first, last = values.get("first_name"), values.get("last_name")
    return {
        "id": UserId(new_id()),
        "email": email,
        "email_key": key,
        "first_name": first,
        "last_name": last,
        "first_key": None if first is None else fold(first),
        "last_key": None if last is None else fold(last),
        "name_key": name_key(first, last),
        "lang": values.get("lang"),
        "country": values.get("country"),
        "reference_id": values.get("reference_id"),
        "source": source,
    }


def create_from(
    session: Session, people: Select[str | None, str | None], *, source: str, at: datetime
) -> int:
    """Everybody in the query is a member, with a wallet and a queued pass; nobody twice.

    Args:
        people: email and email key of each.

    Returns:
        How many members are new.
    """
    email, key = people.subquery().c
    facts: dict[InstrumentedAttribute[Any], Any] = {
        User.id: sql_id(),
        User.email: email,
        User.email_key: key,
        User.name_key: literal(""),
        User.state: literal(UserState.ACTIVE, type_=User.state.type),
        User.source: literal(source),
        User.mail_status: literal(MailStatus.OK, type_=User.mail_status.type),
        User.created_at: literal(at),
        User.version: literal(1),
    }
    created = (
        insert(User)
        .from_select([it.key for it in facts], select(*facts.values()), include_defaults=False)
        .on_conflict_do_nothing(index_elements=["merchant_id", "email_key"])
        .returning(User.id)
    )
    users = session.scalars(created).all()
    for start in range(0, len(users), _USERS_A_PART):
        part = users[start : start + _USERS_A_PART]
        passes.queue(session, part, at=at)
        created_now = select(sql_ids(part), literal({}, JSONB))
        emit_each(session, "cohort.user.created", created_now, at=at)
    return len(users)


def create_users(session: Session, rows: Sequence[dict[str, Any]], *, at: datetime) -> set[str]:
    """New members exist with wallets and queued passes; known addresses are left alone.

    Returns:
        The email keys that were new.
    """
    if not rows:
        return set()
    statement = (
        insert(User)
        .on_conflict_do_nothing(index_elements=["merchant_id", "email_key"])
        .returning(User.id, User.email_key)
    )
    # Rows beside the statement, not in it: a statement of a thousand rows is built anew each time.
    values = [{**row, "created_at": at, "version": 1} for row in rows]
    created = session.execute(statement, values).all()
    users = [user_id for user_id, _ in created]
    passes.queue(session, users, at=at)
    facts: list[tuple[UserId | None, dict[str, Any]]] = [(user, {}) for user in users]
    emit_many(session, "cohort.user.created", facts, at=at)
    return {key for _, key in created}

"""Lists: static sets of members, picked by hand or imported.

Whoever comes on a list or leaves it is told of by one event each, written by the statement that
changes the list: nobody is counted twice, and a repeat tells nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from app.users.errors import ListArchivedError, ListInvalidError, ListNotFoundError
from app.users.models import ListMember, User, UserList, UserState
from core.events import emit_each
from core.ids import encode_id, new_id
from core.types import ListId, UserId

MOST_LISTS = 10_000
NAME_LENGTH = 120
REFERENCE_LENGTH = 128


def create(
    session: Session, name: str, *, reference_id: str | None = None, at: datetime
) -> UserList:
    """There is a list with nobody on it.

    Raises:
        ListInvalidError: the name or the reference is missing, too long or taken, or there are
            too many lists.
    """
    row = UserList(id=ListId(new_id()), name="", created_at=at)
    problems = _problems(session, row.id, name.strip(), _plain(reference_id))
    if (session.scalar(select(func.count()).select_from(UserList)) or 0) >= MOST_LISTS:
        problems["name"] = f"There can be {MOST_LISTS:,} lists. Delete one first."
    if problems:
        raise ListInvalidError(problems)
    row.name, row.reference_id = name.strip(), _plain(reference_id)
    session.add(row)
    session.flush()
    return row


def rename(session: Session, row: UserList, *, name: str, reference_id: str | None) -> None:
    """The list is called so from now on.

    Raises:
        ListInvalidError: the name or the reference is missing, too long or taken.
    """
    problems = _problems(session, row.id, name.strip(), _plain(reference_id))
    if problems:
        raise ListInvalidError(problems)
    row.name, row.reference_id = name.strip(), _plain(reference_id)
    session.flush()


def _plain(reference_id: str | None) -> str | None:
    return (reference_id or "").strip() or None


def _problems(
    session: Session, list_id: ListId, name: str, reference_id: str | None
) -> dict[str, str]:
    problems = {}
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        problems["name"] = f"Enter a name of 1 to {NAME_LENGTH} printable characters."
    if reference_id is None:
        return problems
    if len(reference_id) > REFERENCE_LENGTH or not reference_id.isprintable():
        problems["reference_id"] = f"At most {REFERENCE_LENGTH} printable characters."
    elif session.scalar(
        select(UserList.id).where(UserList.reference_id == reference_id, UserList.id != list_id)
    ):
        problems["reference_id"] = "There is a list with this reference ID already."
    return problems


def get(session: Session, list_id: ListId) -> UserList:
    """The list.

    Raises:
        ListNotFoundError: this merchant has none with the id.
    """
    row = session.get(UserList, list_id)
    if row is None:
        raise ListNotFoundError(list_id)
    return row


def lists(*, is_archived: bool = False) -> Select[UserList]:
    """The lists in use, or the archived ones."""
    is_put_away = UserList.archived_at.is_not(None)
    return select(UserList).where(is_put_away if is_archived else ~is_put_away)


def list_active(session: Session) -> Sequence[UserList]:
    """The lists in use by name, for choosing one."""
    return session.scalars(lists().order_by(UserList.name, UserList.id).limit(MOST_LISTS)).all()


def archive(session: Session, row: UserList, *, at: datetime) -> None:
    """Nobody is put on the list any more; whoever is on it stays."""
    row.archived_at = row.archived_at or at
    session.flush()


def restore(session: Session, row: UserList) -> None:
    """The list is in use again."""
    row.archived_at = None
    session.flush()


def delete_list(session: Session, row: UserList, *, at: datetime) -> None:
    """The list is gone; everybody on it has left it.

    Whoever calls it has made sure that nothing uses the list.
    """
    members = select(ListMember.user_id).where(ListMember.list_id == row.id)
    remove(session, row, members, reason="deleted", at=at)
    session.delete(row)
    session.flush()


def add(
    session: Session, row: UserList, users: Select[UserId], *, reason: str, at: datetime
) -> int:
    """These members are on the list; erased ones cannot be.

    Args:
        users: ids of members.
        reason: what brought them, for the event: `manual`, `import`, `api`.

    Returns:
        How many are new on it.

    Raises:
        ListArchivedError: the list is put away.
    """
    if row.archived_at is not None:
        raise ListArchivedError(row.name)
    facts: dict[str, Any] = {
        "list_id": literal(row.id),
        "user_id": User.id,
        "added_at": literal(at),
        "actor": literal(session.info["actor"]),
    }
    wanted = select(*facts.values()).where(
        User.id.in_(users.order_by(None)),
        User.state.in_((UserState.ACTIVE, UserState.BLOCKED)),
    )
    added = (
        insert(ListMember)
        .from_select(list(facts), wanted, include_defaults=False)
        .on_conflict_do_nothing()
        .returning(ListMember.user_id)
        .cte("added")
    )
    told = select(added.c.user_id, literal(_data(row, reason), JSONB))
    return emit_each(session, "cohort.list.joined", told, at=at)


def remove(
    session: Session, row: UserList, users: Select[UserId], *, reason: str, at: datetime
) -> int:
    """These members are not on the list.

    Returns:
        How many were on it.
    """
    removed = (
        delete(ListMember)
        .where(ListMember.list_id == row.id, ListMember.user_id.in_(users.order_by(None)))
        .returning(ListMember.user_id)
        .cte("removed")
    )
    told = select(removed.c.user_id, literal(_data(row, reason), JSONB))
    return emit_each(session, "cohort.list.left", told, at=at)


def _data(row: UserList, reason: str) -> dict[str, str]:
    name = encode_id("lst", row.id)
    return {"cohortId": name, "listId": name, "reason": reason}


def count_members(session: Session, ids: Sequence[ListId]) -> dict[ListId, int]:
    """How many members are on each of these lists."""
    rows = session.execute(
        select(ListMember.list_id, func.count())
        .where(ListMember.list_id.in_(ids))
        .group_by(ListMember.list_id)
    )
    return {list_id: count for list_id, count in rows}


def members_of(list_id: ListId) -> Select[User]:
    """Everybody on the list."""
    return (
        select(User)
        .join(ListMember, ListMember.user_id == User.id)
        .where(ListMember.list_id == list_id)
    )


def lists_of(session: Session, user_id: UserId) -> Sequence[tuple[UserList, ListMember]]:
    """The lists the member is on, and since when, newest first."""
    rows = session.execute(
        select(UserList, ListMember)
        .join(ListMember, ListMember.list_id == UserList.id)
        .where(ListMember.user_id == user_id)
        .order_by(ListMember.added_at.desc(), UserList.id)
    )
    return [(row, membership) for row, membership in rows]

"""Whether members take part: blocked ones are in no audience and cannot sign in."""

from datetime import datetime

from sqlalchemy import Select, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.accounts import sessions
from app.users.errors import RecordInvalidError
from app.users.models import User, UserState
from core.events import emit_each
from core.types import UserId

REASON_LENGTH = 500


def block(session: Session, users: Select[UserId], *, reason: str, at: datetime) -> int:
    """The active ones among these members are blocked, and signed out everywhere.

    Args:
        reason: for the team; it stands in the event, so it should name nobody.

    Returns:
        How many were blocked.

    Raises:
        RecordInvalidError: the reason is too long, or no text.
    """
    if len(reason) > REASON_LENGTH or "\0" in reason:
        raise RecordInvalidError({"reason": f"At most {REASON_LENGTH} characters of text."})
    sessions.end_all_of_users(session, users, at=at)
    return _change(
        session,
        users,
        (UserState.ACTIVE, UserState.BLOCKED),
        ("cohort.user.blocked", {"reason": reason.strip()}),
        at=at,
    )


def unblock(session: Session, users: Select[UserId], *, at: datetime) -> int:
    """The blocked ones among these members take part again.

    Returns:
        How many there were.
    """
    states = (UserState.BLOCKED, UserState.ACTIVE)
    return _change(session, users, states, ("cohort.user.unblocked", {}), at=at)


def _change(
    session: Session,
    users: Select[UserId],
    states: tuple[UserState, UserState],
    told: tuple[str, dict[str, str]],
    *,
    at: datetime,
) -> int:
    before, after = states
    kind, data = told
    changed = (
        update(User)
        .where(User.id.in_(users), User.state == before)
        .values(state=after, version=User.version + 1)
        .returning(User.id)
        .cte("changed")
    )
    facts = select(changed.c.id, literal(data, JSONB))
    count = emit_each(session, kind, facts, at=at)
    session.expire_all()
    return count

"""What members agreed to: a row for every yes and every no; the newest of a purpose counts."""

import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.users.errors import RecordInvalidError, UserErasedError
from app.users.models import Consent, User, UserState
from core.events import emit
from core.ids import new_id
from core.types import ConsentId, UserId

PURPOSES = ("marketing_email", "terms", "profiling")
MOST_PURPOSES = 20
_PURPOSE = re.compile(r"[a-z][a-z0-9_]{0,49}")


def record(
    session: Session,
    user: User,
    purpose: str,
    *,
    is_given: bool,
    channel: str,
    lang: str | None = None,
    at: datetime,
) -> Consent:
    """The member agrees to the purpose, or not any more; saying it again adds nothing.

    Args:
        channel: where it was said: `admin`, `space`, `link`, `import`, `api`.

    Raises:
        RecordInvalidError: the purpose is misspelt, or one too many.
        UserErasedError: there is nobody left to agree.
    """
    if user.state in (UserState.ERASED, UserState.MERGED):
        raise UserErasedError(user.id)
    if not is_purpose(purpose):
        raise RecordInvalidError({"purpose": "Use small letters, digits and _; 50 at most."})
    known = purposes(session)
    if purpose not in known and len(known) >= MOST_PURPOSES:
        raise RecordInvalidError({"purpose": f"There can be {MOST_PURPOSES} purposes."})
    last = {it.purpose: it for it in current(session, [user.id])}.get(purpose)
    if last is not None and last.is_given == is_given:
        return last
    row = Consent(
        id=ConsentId(new_id()),
        user_id=user.id,
        purpose=purpose,
        is_given=is_given,
        at=at,
        channel=channel,
        lang=lang,
        actor=session.info["actor"],
    )
    session.add(row)
    session.flush()
    told = {"purpose": purpose, "given": is_given}
    emit(session, "cohort.user.consent-updated", at=at, user_id=user.id, **told)
    return row


def is_purpose(text: str) -> bool:
    """Whether something can be called so that people agree to."""
    return _PURPOSE.fullmatch(text) is not None


def purposes(session: Session) -> Sequence[str]:
    """What members can agree to: what everybody knows, and what the brand asked for."""
    asked = session.scalars(select(Consent.purpose).distinct().order_by(Consent.purpose))
    return list(dict.fromkeys((*PURPOSES, *asked)))


def current(session: Session, user_ids: Sequence[UserId]) -> Sequence[Consent]:
    """What these members said last of each purpose."""
    return session.scalars(
        select(Consent)
        .where(Consent.user_id.in_(user_ids))
        .order_by(Consent.user_id, Consent.purpose, Consent.id.desc())
        .ext(distinct_on(Consent.user_id, Consent.purpose))
    ).all()


def history(session: Session, user_id: UserId) -> Sequence[Consent]:
    """Everything the member ever said, newest first."""
    return session.scalars(
        select(Consent).where(Consent.user_id == user_id).order_by(Consent.id.desc())
    ).all()

"""Whether mail leaves: what waits, what was put off and why, what was given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import SettingsError
from core.mail import MailState, OutgoingMail, has_server
from core.smtp import server

_SHOWN = 50
_WAITING = OutgoingMail.state == MailState.QUEUED


@dataclass(frozen=True)
class MailStanding:
    """The merchant's mail in numbers, and the messages that have trouble.

    Args:
        leaves_by: the mail server's name; empty in development without one.
        problem: what has to be set before anything leaves.
        put_off: are tried again; the newest first, as are `failed`.
    """

    leaves_by: str
    problem: str
    waiting: int
    oldest: datetime | None
    failed_count: int
    put_off: Sequence[OutgoingMail]
    failed: Sequence[OutgoingMail]


def standing(session: Session) -> MailStanding:
    """How the merchant's mail stands."""
    leaves_by, problem = "", ""
    try:
        leaves_by = server().host if has_server() else ""
    except SettingsError as error:
        problem = str(error)
    is_failed = OutgoingMail.state == MailState.FAILED
    waiting, oldest, failed = session.execute(
        select(
            func.count().filter(_WAITING),
            func.min(OutgoingMail.created_at).filter(_WAITING),
            func.count().filter(is_failed),
        )
    ).one()
    newest = select(OutgoingMail).order_by(OutgoingMail.created_at.desc()).limit(_SHOWN)
    put_off = session.scalars(newest.where(_WAITING, OutgoingMail.error.is_not(None))).all()
    lost = session.scalars(newest.where(is_failed)).all()
    return MailStanding(leaves_by, problem, waiting, oldest, failed, put_off, lost)


def stuck_reasons(session: Session) -> list[str]:
    """Why mail has not left for a while: the newest answer, if a message was put off twice."""
    found = session.scalar(
        select(OutgoingMail.error)
        .where(_WAITING, OutgoingMail.error.is_not(None), OutgoingMail.tries > 1)
        .order_by(OutgoingMail.created_at.desc())
        .limit(1)
    )
    return [] if found is None else [f"mail does not leave: {found}"]

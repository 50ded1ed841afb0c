"""Messages that wait for the mail server: taken up, sent, put off, or given up.

Each is a short unit of work, because none may be open while somebody speaks with the server: an
open transaction keeps every reader of events waiting.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from core.mail import SEALED, Mail, MailState, OutgoingMail, message_of
from core.secrets import SealBrokenError, unseal
from core.types import MailId

IN_HAND = timedelta(minutes=3)
"""So long a message is nobody else's after it was taken up; what a kill left behind waits."""
PAUSES = (
    *(timedelta(seconds=it) for it in (10, 30, 120, 600, 1_800)),
    *(timedelta(hours=it) for it in (1, 2, 4, 8, 8)),
)
"""After the first try, the second, and so on; after the last there is no other."""
KEPT = timedelta(days=30)
"""How long it is shown that a message did not leave."""
_MOST_TRIES = len(PAUSES) + 1
_ERROR_LENGTH = 300
_TOO_LATE = "It was of no use any more when its turn came."
_INTERRUPTED = "Whoever sent it was ended in the middle, each time."
_UNREADABLE = "It was sealed under another COHORT_SECRET_KEY and cannot be read."


@dataclass(frozen=True)
class Letter:
    """A message in the hand of who sends it, for the time of `IN_HAND`.

    Args:
        number: of the try.
    """

    id: MailId
    number: int
    mail: Mail

    def message(self, sender: str, recipient: str) -> EmailMessage:
        """The message as it travels; its Message-ID is the same however often it is sent.

        Args:
            recipient: as the server is told.

        Raises:
            ValueError: a header would have more than one line.

        References:
            RFC 5322 §3.6.4 (Message-ID), RFC 3834 §5 (Auto-Submitted).
        """
        message = message_of(replace(self.mail, to=recipient))
        message["From"] = sender
        domain = message["From"].addresses[0].domain
        message["Message-ID"] = f"<{self.id.hex}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        return message


def take_up(session: Session, *, at: datetime) -> Letter | None:
    """The most urgent message that is due, for the caller alone; None when none is.

    The next try is fixed before the first byte is sent: a kill delays a message, and one that kills
    whoever sends it is not tried for ever. What can never be sent is given up on the way.

    Args:
        session: as the engine's role; messages of all merchants leave by one server.

    Locks: the message, skipping those that others take up.
    """
    while True:
        row = session.scalar(
            select(OutgoingMail)
            .where(OutgoingMail.state == MailState.QUEUED, OutgoingMail.next_try_at <= at)
            .order_by(OutgoingMail.valid_until.asc().nulls_last(), OutgoingMail.next_try_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return None
        problem = _problem(row, at)
        if problem is None:
            row.tries += 1
            row.next_try_at = at + IN_HAND
            session.flush()
            return Letter(row.id, row.tries, _mail(row))
        _give_up(row, problem)
        session.flush()


def _problem(row: OutgoingMail, at: datetime) -> str | None:
    """Why it is not worth a try, or None."""
    if row.valid_until is not None and row.valid_until <= at:
        return row.error or _TOO_LATE
    if row.tries >= _MOST_TRIES:
        return row.error or _INTERRUPTED
    try:
        _mail(row)
    except SealBrokenError:
        return _UNREADABLE
    return None


def _mail(row: OutgoingMail) -> Mail:
    content = unseal(SEALED, row.content or b"", bound_to=row.id.bytes)
    subject, text, reply_to = json.loads(content)
    return Mail(row.recipient, subject, text, row.created_at, row.kind, row.valid_until, reply_to)


def sent(session: Session, letter: Letter) -> None:
    """The server has the message, and nothing of it is kept here."""
    session.execute(delete(OutgoingMail).where(OutgoingMail.id == letter.id))


def put_off(session: Session, letter: Letter, reason: str, *, at: datetime) -> None:
    """The message is tried again later, or given up if that was the last try.

    Locks: the message. Somebody else's later try is not touched.
    """
    row = _lock(session, letter)
    if row is None:
        return
    row.error = _shown(reason)
    if letter.number >= _MOST_TRIES:
        _give_up(row, reason)
    else:
        row.next_try_at = at + PAUSES[letter.number - 1]
    session.flush()


def refuse(session: Session, letter: Letter, reason: str) -> None:
    """The message will never be taken; that is shown for `KEPT`.

    Locks: the message. Somebody else's later try is not touched.
    """
    row = _lock(session, letter)
    if row is not None:
        _give_up(row, reason)
        session.flush()


def _lock(session: Session, letter: Letter) -> OutgoingMail | None:
    return session.scalar(
        select(OutgoingMail)
        .where(
            OutgoingMail.id == letter.id,
            OutgoingMail.state == MailState.QUEUED,
            OutgoingMail.tries == letter.number,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _give_up(row: OutgoingMail, reason: str) -> None:
    row.state, row.content, row.error = MailState.FAILED, None, _shown(reason)


def _shown(reason: str) -> str:
    return "".join(it if it.isprintable() else " " for it in reason)[:_ERROR_LENGTH]


def forget_old(session: Session, *, at: datetime) -> None:
    """What did not leave long ago, and what was never meant to, is gone."""
    is_old = (OutgoingMail.state == MailState.FAILED) & (OutgoingMail.created_at < at - KEPT)
    is_nothing = OutgoingMail.state == MailState.DISCARDED
    session.execute(delete(OutgoingMail).where(or_(is_old, is_nothing)))

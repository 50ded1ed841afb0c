"""Mail: a message is a row of the transaction that decides about it, and leaves once it committed.

A worker sends the rows by SMTP (`core.mail_delivery`). In development without a mail server each
message is written into the data directory instead, where the outbox page shows it; that page
answers on loopback only and never in production. Templates live in the features.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from core import jobs
from core.db import Base, TenantMixin, after_commit
from core.ids import new_id
from core.secrets import seal
from core.settings import core_settings
from core.types import MailId

TASK = "mail.deliver"
SEALED = "mail/v1"
"""What subjects and texts are sealed for."""


@dataclass(frozen=True)
class Mail:
    """A plain-text message to one address.

    Args:
        kind: what it is, in a word or two that may be shown: `sign_in`, `low_stock`.
        valid_until: later it is of no use and is not sent any more; what ends soonest goes first.
        reply_to: who reads an answer, if not the sender.
    """

    to: str
    subject: str
    text: str
    sent_at: datetime
    kind: str = ""
    valid_until: datetime | None = None
    reply_to: str = ""


class MailState(StrEnum):
    """Where a message is that has not left; one that has left is no row any more."""

    QUEUED = "queued"
    FAILED = "failed"
    DISCARDED = "discarded"
    """Only there to take the time of a delivery."""


class OutgoingMail(TenantMixin, Base):
    """A message that waits for the mail server, or did not leave.

    Subject and text are sealed, because they open doors; nothing of them is kept once they are of
    no use.
    """

    __tablename__ = "mails"
    __table_args__ = (
        Index(
            "ix_mails_due", "valid_until", "next_try_at", postgresql_where=text("state = 'queued'")
        ),
    )

    id: Mapped[MailId] = mapped_column(primary_key=True)
    recipient: Mapped[str]
    kind: Mapped[str]
    content: Mapped[bytes | None]
    state: Mapped[MailState]
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    valid_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    error: Mapped[str | None]


def send_after_commit(session: Session, mail: Mail) -> None:
    """`mail` leaves once this unit of work has committed, and not otherwise."""
    if has_server():
        _queue(session, mail, MailState.QUEUED)
    else:
        after_commit(session, lambda: _write(mail))


def discard_after_commit(session: Session, mail: Mail) -> None:
    """Do the work of a delivery and deliver nothing: unknown addresses take as long as known."""
    if has_server():
        _queue(session, mail, MailState.DISCARDED)
    else:
        after_commit(session, lambda: _draft(mail).unlink())


def has_server() -> bool:
    """Whether messages wait for a mail server; if not, this machine shows them to its developer."""
    return core_settings().is_production or core_settings().smtp_url is not None


def _queue(session: Session, mail: Mail, state: MailState) -> None:
    identifier = MailId(new_id())
    content = json.dumps([mail.subject, mail.text, mail.reply_to]).encode()
    row = OutgoingMail(
        id=identifier,
        recipient=mail.to,
        kind=mail.kind,
        content=seal(SEALED, content, bound_to=identifier.bytes),
        state=state,
        next_try_at=mail.sent_at,
        valid_until=mail.valid_until,
        created_at=mail.sent_at,
    )
    session.add(row)
    session.flush()
    if not session.info.get(TASK):
        session.info[TASK] = True  # one nudge is enough of many messages
        jobs.after_commit(session, TASK)


def outbox() -> list[Mail]:
    """The messages of the local outbox, newest first."""
    return [_read(path) for path in sorted(_folder().glob("*.eml"), reverse=True)]


def message_of(mail: Mail) -> EmailMessage:
    """The message as RFC 5322 writes it, but for where it comes from; lines are short and ASCII.

    Raises:
        ValueError: a header would have more than one line.
    """
    message = EmailMessage(policy=policy.SMTP)
    message["To"], message["Subject"] = mail.to, mail.subject
    message["Date"] = mail.sent_at
    if mail.reply_to:
        message["Reply-To"] = mail.reply_to
    message.set_content(mail.text, cte="quoted-printable")
    return message


def _folder() -> Path:
    folder = core_settings().data_dir / "mail"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _write(mail: Mail) -> None:
    draft = _draft(mail)
    draft.replace(draft.with_suffix(".eml"))


def _draft(mail: Mail) -> Path:
    path = _folder() / f"{new_id().hex}.part"
    path.touch(mode=0o600)
    path.write_bytes(message_of(mail).as_bytes())
    return path


def _read(path: Path) -> Mail:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    return Mail(
        to=str(message["To"]),
        subject=str(message["Subject"]),
        text=str(message.get_content()),
        sent_at=message["Date"].datetime,
    )

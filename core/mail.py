"""Mail: messages leave after the commit, through the configured transport.

The embedded transport writes each message into the data directory, where the outbox page shows
it; that page answers on loopback only and never in production. Templates live in the features.
"""

from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from sqlalchemy.orm import Session

from core.db import after_commit
from core.errors import SettingsError
from core.ids import new_id
from core.settings import core_settings


@dataclass(frozen=True)
class Mail:
    """A plain-text message to one address."""

    to: str
    subject: str
    text: str
    sent_at: datetime


def send_after_commit(session: Session, mail: Mail) -> None:
    """Deliver `mail` once this unit of work has committed.

    Raises:
        SettingsError: in production, where no transport is configured yet.
    """
    if core_settings().is_production:
        raise SettingsError("No mail transport is configured; the local outbox is for development.")
    after_commit(session, lambda: _write(mail))


def discard_after_commit(session: Session, mail: Mail) -> None:
    """Do the work of a delivery and deliver nothing: unknown addresses take as long as known."""
    after_commit(session, lambda: _draft(mail).unlink())


def outbox() -> list[Mail]:
    """The messages of the local outbox, newest first."""
    return [_read(path) for path in sorted(_folder().glob("*.eml"), reverse=True)]


def _folder() -> Path:
    folder = core_settings().data_dir / "mail"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _write(mail: Mail) -> None:
    draft = _draft(mail)
    draft.replace(draft.with_suffix(".eml"))


def _draft(mail: Mail) -> Path:
    message = EmailMessage(policy=policy.SMTP)
    message["To"], message["Subject"] = mail.to, mail.subject
    message["Date"] = mail.sent_at
    message.set_content(mail.text)
    path = _folder() / f"{new_id().hex}.part"
    path.touch(mode=0o600)
    path.write_bytes(message.as_bytes())
    return path


def _read(path: Path) -> Mail:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    return Mail(
        to=str(message["To"]),
        subject=str(message["Subject"]),
        text=str(message.get_content()),
        sent_at=message["Date"].datetime,
    )

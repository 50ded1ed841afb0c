"""Mail to members: about what is theirs, in their language, where mail reaches them."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.users.models import MailStatus, User, UserState
from app.web import i18n
from app.web.zones import use_zone
from core.db import merchant_of
from core.events import emit_many
from core.mail import Mail, MailState, OutgoingMail, send_after_commit
from core.settings import core_settings
from core.types import UserId

UPDATED = "cohort.user.updated"
CHANGED = {"changed": ["mail_status"]}
Words = Callable[[Merchant, str], tuple[str, str]]
"""Subject and text, made while texts, dates and days are the reader's; given the brand, and the
language for what the brand wrote itself."""


def note_bounces(session: Session, *, at: datetime) -> int:
    """Members whose address a mail server does not know are written to no more.

    Only what the server says of the address counts, and only if nobody signed in by a mail to it
    since.

    References:
        RFC 3463 §3.2 (X.1.XXX, addressing status).
    """
    refused = (
        select(
            func.lower(OutgoingMail.recipient).label("key"),
            func.max(OutgoingMail.created_at).label("at"),
        )
        .where(
            OutgoingMail.state == MailState.FAILED,
            OutgoingMail.error.regexp_match(r"^5\d\d 5\.1\.\d"),
        )
        .group_by(func.lower(OutgoingMail.recipient))
        .subquery()
    )
    users = session.scalars(
        update(User)
        .where(
            User.email_key == refused.c.key,
            User.mail_status == MailStatus.OK,
            or_(User.last_seen_at.is_(None), User.last_seen_at < refused.c.at),
        )
        .values(mail_status=MailStatus.BOUNCED)
        .returning(User.id)
        .execution_options(synchronize_session=False)
    ).all()
    emit_many(session, UPDATED, [(it, CHANGED) for it in users], at=at)
    return len(users)


def note_arrival(session: Session, user: User, *, at: datetime) -> None:
    """Somebody read a mail to the member, so mail reaches them, whatever was noted before."""
    if user.mail_status is MailStatus.BOUNCED:
        user.mail_status = MailStatus.OK
        emit_many(session, UPDATED, [(user.id, CHANGED)], at=at)


def write_to(
    session: Session,
    user_id: UserId,
    words: Words,
    *,
    kind: str,
    path: str,
    at: datetime,
    valid_until: datetime | None = None,
) -> bool:
    """The member, or whoever they were merged into, has a mail once this unit of work committed.

    Args:
        kind: as of `core.mail.Mail`.
        path: of the space, where the text leads.

    Returns:
        False where nobody is there, or mail does not reach them.
    """
    user = session.get(User, user_id)
    while user is not None and user.merged_into_id is not None:
        user = session.get(User, user.merged_into_id)
    if user is None or user.state is not UserState.ACTIVE or user.mail_status is not MailStatus.OK:
        return False
    merchant = session.get_one(Merchant, merchant_of(session))
    language = user.lang or merchant.language
    texts = i18n.spoken(user.lang, merchant.language)
    with i18n.use_language(texts), use_zone(merchant.time_zone):
        subject, text = words(merchant, language)
    address = core_settings().public_url + path
    letter = f"{text}\n\n{address}\n\n{merchant.name}\n"
    send_after_commit(
        session,
        Mail(user.email, subject, letter, at, kind, valid_until, merchant.contact_email),
    )
    return True

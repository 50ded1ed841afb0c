"""Mail to members: about what is theirs, in their language, where mail reaches them."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.users.models import MailStatus, User, UserState
from app.web import i18n
from app.web.zones import use_zone
from core.db import merchant_of
from core.mail import Mail, send_after_commit
from core.settings import core_settings
from core.types import UserId

Words = Callable[[Merchant, str], tuple[str, str]]
"""Subject and text, made while texts, dates and days are the reader's; given the brand, and the
language for what the brand wrote itself."""


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

"""What members do in the brand's own space: sign in, and look at what is theirs."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.accounts import sessions, signin
from app.accounts.models import Audience, Merchant
from app.accounts.signin import CodeAnswer, Request
from app.spaces.errors import MemberBlockedError
from app.users.mailing import note_arrival
from app.users.models import User, UserState
from app.users.service import ensure_user
from core.db import choose_merchant
from core.events import emit
from core.mail import Mail, send_after_commit
from core.settings import core_settings


def request_sign_in(
    session: Session,
    merchant: Merchant,
    email: str,
    *,
    browser: str,
    ip: str,
    at: datetime,
    destination: str = "",
) -> None:
    """A code is in the mail; known and unknown addresses are treated alike.

    Args:
        destination: where the link leads; empty: home.

    Raises:
        EmailInvalidError: not an address.
        TooManyMailsError: over the limits of one address or one place.
    """
    asked = Request(Audience.SPACE, merchant.id, email, browser, ip)
    challenge = signin.start(session, asked, at=at)
    base = core_settings().public_url
    choose_merchant(session, merchant.id)
    send_after_commit(
        session,
        Mail(
            to=email.strip(),
            subject=f"{challenge.code} is your code for {merchant.name}",
            text=(
                f"Your code for {merchant.name}: {challenge.code}\n\n"
                "Or open this link in the browser you asked from:\n\n"
                f"{base}{challenge.link('/space/login', destination)}\n\n"
                "Both work once, for ten minutes. If you did not ask, ignore this mail.\n"
            ),
            sent_at=at,
            kind="sign_in",
            valid_until=at + signin.LIFETIME[Audience.SPACE],
            reply_to=merchant.contact_email,
        ),
    )


def sign_in_with_code(
    session: Session,
    merchant: Merchant,
    email: str,
    code: str,
    *,
    browser: str,
    ip: str,
    at: datetime,
) -> str | CodeAnswer:
    """The session cookie's value, or what was wrong with the code.

    Raises:
        MemberBlockedError: the code was right but the brand blocked this member.
    """
    asked = Request(Audience.SPACE, merchant.id, email, browser, ip)
    answer = signin.try_code(session, asked, code, at=at)
    if answer is not CodeAnswer.RIGHT:
        return answer
    return _enter(session, merchant, email, at=at)


def sign_in_with_link(
    session: Session, merchant: Merchant, token: str, *, browser: str, at: datetime
) -> str:
    """The session cookie's value.

    Raises:
        LinkExpiredError: used, expired, unknown, or opened in another browser.
        MemberBlockedError: the brand blocked this member.
    """
    used = signin.use_link(session, token, browser, audience=Audience.SPACE, at=at)
    return _enter(session, merchant, used.email_key, at=at)


def _enter(session: Session, merchant: Merchant, email: str, *, at: datetime) -> str:
    choose_merchant(session, merchant.id)
    user = member_behind(session, ensure_user(session, email, source="space", at=at))
    if user.state is not UserState.ACTIVE:
        raise MemberBlockedError
    user.email_verified_at = user.email_verified_at or at
    user.last_seen_at = at
    note_arrival(session, user, at=at)
    emit(session, "cohort.user.signed-in", at=at, user_id=user.id)
    return sessions.open_space_session(session, merchant.id, user.id, at=at)


def member_behind(session: Session, user: User) -> User:
    """The member this row is, or was merged into: either address opens the same space."""
    return user if user.merged_into_id is None else session.get_one(User, user.merged_into_id)


def greeting_name(user: User) -> str:
    """What the member is called on their own pages: the first name, or the address."""
    return user.first_name or user.email

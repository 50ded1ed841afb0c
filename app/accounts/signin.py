"""Sign-in by mail: a one-time link for the team, a six-digit code for everybody.

Only keyed hashes are stored. The answer to a request never shows whether the address is known,
and unknown addresses cost the same work and count against the same limits.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.accounts.emails import email_key
from app.accounts.errors import LinkExpiredError, TooManyMailsError
from app.accounts.models import Audience, LoginToken
from core.ids import new_id
from core.secrets import fingerprint, same

LIFETIME = {Audience.TEAM: timedelta(minutes=5), Audience.SPACE: timedelta(minutes=10)}
_MAILS_AN_ADDRESS = 5
_MAILS_AN_IP = 20
_LIMIT_WINDOW = timedelta(hours=1)
_RESEND_AFTER = timedelta(seconds=30)
_TRIES = 5
_LOCK = timedelta(minutes=15)


@dataclass(frozen=True)
class Request:
    """Who asks to sign in, from where.

    Args:
        realm_id: the organisation for the team, the merchant for members.
        browser: the random value of this browser's cookie; the link works there only.
    """

    audience: Audience
    realm_id: UUID
    email: str
    browser: str
    ip: str


@dataclass(frozen=True)
class Challenge:
    """What goes into the mail; nothing of it is stored in clear."""

    email_key: str
    link_token: str
    code: str

    def link(self, address: str, destination: str) -> str:
        """The link's path below the page that asked, and where it leads; empty: home."""
        path = f"{address}/{self.link_token}"
        return f"{path}?destination={quote(destination)}" if destination else path


def start(session: Session, request: Request, *, at: datetime) -> Challenge:
    """A fresh link and code exist for the address; earlier ones stay valid until they expire.

    Raises:
        EmailInvalidError: not an address.
        TooManyMailsError: five an address or twenty a place in an hour, or again within 30 s.
    """
    key = email_key(request.email)
    # Parallel requests for one address are counted one after the other.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"sign-in:{key}"))))
    _check_limits(session, request, key, at=at)
    challenge = Challenge(key, secrets.token_urlsafe(32), f"{secrets.randbelow(10**6):06d}")
    session.add(
        LoginToken(
            id=new_id(),
            audience=request.audience,
            realm_id=request.realm_id,
            email_key=key,
            token_hash=fingerprint("link", challenge.link_token),
            code_hash=_code_hash(request, key, challenge.code),
            browser_hash=fingerprint("browser", request.browser),
            ip_hash=fingerprint("ip", request.ip),
            created_at=at,
            expires_at=at + LIFETIME[request.audience],
            locked_until=_locked_until(session, request, key, at=at),
        )
    )
    session.flush()
    return challenge


def _check_limits(session: Session, request: Request, key: str, *, at: datetime) -> None:
    since = at - _LIMIT_WINDOW
    sent, newest = session.execute(
        select(func.count(), func.max(LoginToken.created_at)).where(
            *_address(request, key), LoginToken.created_at > since
        )
    ).one()
    if newest is not None and at - newest < _RESEND_AFTER:
        raise TooManyMailsError(int((newest + _RESEND_AFTER - at).total_seconds()) + 1)
    from_here = session.scalar(
        select(func.count())
        .select_from(LoginToken)
        .where(LoginToken.ip_hash == fingerprint("ip", request.ip), LoginToken.created_at > since)
    )
    if sent >= _MAILS_AN_ADDRESS or (from_here or 0) >= _MAILS_AN_IP:
        raise TooManyMailsError(int(_LIMIT_WINDOW.total_seconds()))


def _locked_until(session: Session, request: Request, key: str, *, at: datetime) -> datetime | None:
    """A lock outlives the code it was earned with: a new mail gives no new tries."""
    return session.scalar(
        select(func.max(LoginToken.locked_until)).where(
            *_address(request, key), LoginToken.locked_until > at
        )
    )


class CodeAnswer(StrEnum):
    """What became of a typed code; wrong tries are counted, so nothing is raised."""

    RIGHT = "right"
    WRONG = "wrong"
    EXPIRED = "expired"
    LOCKED = "locked"


def try_code(session: Session, request: Request, code: str, *, at: datetime) -> CodeAnswer:
    """The newest code of the address is used up if it was typed right, one try poorer if not.

    Locks: the newest token of the address.
    """
    key = email_key(request.email)
    token = session.scalar(
        select(LoginToken)
        .where(*_address(request, key))
        .order_by(LoginToken.created_at.desc())
        .limit(1)
        .with_for_update()
    )
    if token is None or token.consumed_at is not None or token.expires_at <= at:
        return CodeAnswer.EXPIRED
    if token.locked_until is not None and token.locked_until > at:
        return CodeAnswer.LOCKED
    if same(token.code_hash, _code_hash(request, key, code.strip())):
        token.consumed_at = at
        return CodeAnswer.RIGHT
    token.wrong_tries += 1
    if token.wrong_tries < _TRIES:
        return CodeAnswer.WRONG
    token.locked_until = at + _LOCK
    return CodeAnswer.LOCKED


def find_link(
    session: Session, link_token: str, browser: str, *, audience: Audience, at: datetime
) -> LoginToken:
    """The unused token behind a link, opened in the browser and for the place that asked for it.

    Raises:
        LinkExpiredError: used, expired, unknown, or opened in another browser.
    """
    token = session.scalar(
        select(LoginToken)
        .where(LoginToken.token_hash == fingerprint("link", link_token))
        .with_for_update()
    )
    is_over = token is None or token.consumed_at is not None or token.expires_at <= at
    if token is None or is_over or token.audience is not audience:
        raise link_expired(audience)
    if not same(token.browser_hash, fingerprint("browser", browser)):
        raise link_expired(audience)
    return token


def link_expired(audience: Audience) -> LinkExpiredError:
    """Links of this audience live so long."""
    return LinkExpiredError(int(LIFETIME[audience].total_seconds()) // 60)


def use_link(
    session: Session, link_token: str, browser: str, *, audience: Audience, at: datetime
) -> LoginToken:
    """The link is used up.

    Raises:
        LinkExpiredError: as `find_link`.

    Locks: the token.
    """
    token = find_link(session, link_token, browser, audience=audience, at=at)
    token.consumed_at = at
    return token


def _address(request: Request, key: str) -> tuple[ColumnElement[bool], ...]:
    return (
        LoginToken.audience == request.audience,
        LoginToken.realm_id == request.realm_id,
        LoginToken.email_key == key,
    )


def _code_hash(request: Request, key: str, code: str) -> bytes:
    return fingerprint("code", f"{request.audience}:{request.realm_id}:{key}:{code}")

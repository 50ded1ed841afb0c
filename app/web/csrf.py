"""Forged requests: every unsafe request must come from our own page and prove it twice.

First the browser's word (`Origin`, or `Sec-Fetch-Site`), then a token bound to the session cookie.
The token is salted anew for every page, so compression never reveals it.
"""

import hmac
import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from starlette.requests import Request

from app.web.cookies import session_token, surface_of
from app.web.forms import read_form
from core.errors import ForbiddenError
from core.secrets import fingerprint
from core.settings import core_settings

FIELD = "csrf"
HEADER = "X-CSRF-Token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = "/v1/public/"
"""Below here routes act for nobody who is signed in."""
_SALT_BYTES = 16
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class ForgedRequestError(ForbiddenError):
    """The request did not provably come from one of our own pages."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "This page is out of date, so nothing was changed. "
            "Go back, reload the page and try again."
        )
        self.reason = reason


def csrf_token(request: Request) -> str:
    """A new spelling of the token that this browser's session may send."""
    salt = secrets.token_hex(_SALT_BYTES)
    return f"{salt}.{_signature(request, salt)}"


async def refuse_forged(request: Request) -> AsyncIterator[None]:
    """The handler runs only if the request is safe, or came from our page with its token.

    Requests that carry no cookie and a bearer key, or ask what anybody may, have nothing of the
    browser's that could be abused.

    Raises:
        ForgedRequestError: foreign or missing origin; missing, foreign or old token.
    """
    try:
        if request.method not in _SAFE and not _is_without_session(request):
            await _demand_proof(request)
        yield
    finally:
        # Reading the token may have parsed a form, and with it opened files.
        await request.close()


async def _demand_proof(request: Request) -> None:
    if not _is_same_origin(request):
        raise ForgedRequestError("origin")
    if not _is_valid(request, await _sent_token(request)):
        raise ForgedRequestError("token")


def _is_without_session(request: Request) -> bool:
    has_key = request.headers.get("authorization", "").lower().startswith("bearer ")
    is_open = request.url.path.startswith(_OPEN)
    return (has_key or is_open) and "cookie" not in request.headers


def _is_same_origin(request: Request) -> bool:
    origin = request.headers.get("origin")
    if origin is not None:
        return origin in _own_origins(request)
    return request.headers.get("sec-fetch-site") == "same-origin"


def _own_origins(request: Request) -> set[str]:
    public = urlsplit(core_settings().public_url)
    origins = {f"{public.scheme}://{public.netloc}"}
    if not core_settings().is_secure:
        host = request.headers.get("host", "")
        # Any other name could be made to lead here by whoever owns it (DNS rebinding).
        if urlsplit(f"//{host}").hostname in _LOOPBACK:
            origins.add(f"http://{host}")
    return origins


async def _sent_token(request: Request) -> str:
    header = request.headers.get(HEADER)
    if header is not None:
        return header
    if not request.headers.get("content-type", "").startswith(_FORM_TYPES):
        return ""
    field = (await read_form(request)).get(FIELD)
    return field if isinstance(field, str) else ""


def _is_valid(request: Request, token: str) -> bool:
    salt, _, signature = token.partition(".")
    expected = _signature(request, salt)
    return hmac.compare_digest(signature.encode(), expected.encode())


def _signature(request: Request, salt: str) -> str:
    surface = surface_of(request)
    return fingerprint("csrf/v1", f"{surface}|{session_token(request, surface) or ''}|{salt}").hex()

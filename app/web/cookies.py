"""Session cookies: one name a surface, `__Host-` and Secure wherever people arrive over https."""

from enum import StrEnum

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.settings import core_settings


class Surface(StrEnum):
    """Which people a session belongs to: the brand's team, its members, or whoever scans."""

    ADMIN = "admin"
    SPACE = "space"
    SCAN = "scan"


def surface_of(request: Request) -> Surface:
    """`/admin` is the team's and `/scan` the scanner's; everything else is the members' side."""
    path = request.url.path
    for surface in (Surface.ADMIN, Surface.SCAN):
        if path == f"/{surface}" or path.startswith(f"/{surface}/"):
            return surface
    return Surface.SPACE


def cookie_name(surface: Surface) -> str:
    """`__Host-cohort_admin`, or without the prefix where the installation runs on plain http."""
    prefix = "__Host-" if core_settings().is_secure else ""
    return f"{prefix}cohort_{surface}"


def session_token(request: Request, surface: Surface) -> str | None:
    """The opaque token the browser sent for this surface, if any."""
    return request.cookies.get(cookie_name(surface)) or None


def set_session_cookie(response: Response, surface: Surface, token: str, *, max_age: int) -> None:
    """The browser keeps `token` for `max_age` seconds; scripts never see it."""
    response.set_cookie(
        cookie_name(surface),
        token,
        max_age=max_age,
        path="/",
        secure=core_settings().is_secure,
        httponly=True,
        samesite="lax",
    )


def renew_session_cookie(request: Request, surface: Surface, token: str, *, max_age: int) -> None:
    """The answer to this request sets the cookie anew, whatever the handler answers."""
    request.state.renewed_cookie = (surface, token, max_age)


class RenewedCookies:
    """Puts the cookie that `renew_session_cookie` named on the answer.

    A handler that sets or clears the same cookie itself has the last word.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_cookie(message: Message) -> None:
            renewed = scope.get("state", {}).get("renewed_cookie")
            if message["type"] == "http.response.start" and renewed is not None:
                _add_cookie(message, *renewed)
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def _add_cookie(message: Message, surface: Surface, token: str, max_age: int) -> None:
    headers = MutableHeaders(scope=message)
    begin = f"{cookie_name(surface)}="
    if not any(value.startswith(begin) for value in headers.getlist("set-cookie")):
        draft = Response()
        set_session_cookie(draft, surface, token, max_age=max_age)
        headers.append("set-cookie", draft.headers["set-cookie"])


def clear_session_cookie(response: Response, surface: Surface) -> None:
    """The browser forgets its token for this surface."""
    response.delete_cookie(
        cookie_name(surface),
        path="/",
        secure=core_settings().is_secure,
        httponly=True,
        samesite="lax",
    )

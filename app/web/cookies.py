"""Session cookies: one name a surface, `__Host-` and Secure wherever people arrive over https."""

from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response

from core.settings import core_settings


class Surface(StrEnum):
    """Which people a session belongs to: the brand's team, or its members."""

    ADMIN = "admin"
    SPACE = "space"


def surface_of(request: Request) -> Surface:
    """The team's screens live below `/admin`; everything else is the members' side."""
    path = request.url.path
    return Surface.ADMIN if path == "/admin" or path.startswith("/admin/") else Surface.SPACE


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


def clear_session_cookie(response: Response, surface: Surface) -> None:
    """The browser forgets its token for this surface."""
    response.delete_cookie(
        cookie_name(surface),
        path="/",
        secure=core_settings().is_secure,
        httponly=True,
        samesite="lax",
    )

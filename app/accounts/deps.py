"""Who is asking: the signed-in team member, declared on every route of the admin."""

import secrets
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts import sessions
from app.accounts.errors import RoleMissingError, SignInRequiredError
from app.accounts.models import Mode, TeamRole
from app.accounts.sessions import SignedInMember
from app.web.access import Access
from app.web.cookies import Surface, session_token, surface_of
from app.web.deps import AtDep, SessionDep
from app.web.errors import answer, problem_of
from app.web.rendering import Shell, set_shell
from core.db import choose_actor, choose_merchant
from core.ids import encode_id
from core.settings import core_settings

BROWSER_COOKIE = "cohort_browser"
_RANK = list(TeamRole)
_YEAR = 31_536_000
_DOORS = {
    Surface.ADMIN: "/admin/sign-in",
    Surface.SPACE: "/space/login",
    Surface.SCAN: "/scan/sign-in",
}


class TeamAccess(Access):
    """A signed-in member of the team with at least this role.

    Args:
        role: the narrowest role that may pass; wider ones may, too.
    """

    def __init__(self, role: TeamRole) -> None:
        super().__init__(f"team:{role}")
        self._role = role

    def __call__(self, request: Request, session: SessionDep, at: AtDep) -> SignedInMember:
        """The caller; the request belongs to their merchant from here on.

        Raises:
            SignInRequiredError: nobody is signed in.
            RoleMissingError: the role is too narrow.
        """
        token = session_token(request, Surface.ADMIN)
        found = sessions.find_member(session, token, at=at) if token else None
        if found is None:
            raise SignInRequiredError
        if _RANK.index(found.member.role) > _RANK.index(self._role):
            raise RoleMissingError(found.member.role, self._role)
        choose_merchant(session, found.merchant.id)
        choose_actor(session, f"member:{encode_id('mem', found.member.id)}")
        shell = Shell(
            name=found.merchant.name,
            is_test=found.merchant.mode is Mode.TEST,
            person=found.member.email,
            zone=found.merchant.time_zone,
            roles=frozenset(_RANK[_RANK.index(found.member.role) :]),
        )
        set_shell(request, shell)
        return found


Analyst = Annotated[SignedInMember, Depends(TeamAccess(TeamRole.ANALYST))]
Editor = Annotated[SignedInMember, Depends(TeamAccess(TeamRole.EDITOR))]
Admin = Annotated[SignedInMember, Depends(TeamAccess(TeamRole.ADMIN))]


def browser_of(request: Request) -> str:
    """The random value of this browser's cookie; empty when it has none."""
    return request.cookies.get(BROWSER_COOKIE, "")


def remember_browser(request: Request, response: Response) -> str:
    """The browser has a random value, so that links can be bound to it."""
    value = browser_of(request) or secrets.token_urlsafe(24)
    response.set_cookie(
        BROWSER_COOKIE,
        value,
        max_age=_YEAR,
        secure=core_settings().is_secure,
        httponly=True,
        samesite="lax",
    )
    return value


def address_of(request: Request) -> str:
    """The network address the request came from; proxies are not trusted yet."""
    return request.client.host if request.client else "unknown"


async def ask_to_sign_in(request: Request, error: Exception) -> Response:
    """Pages lead to the sign-in and back; everything else is told 401."""
    assert isinstance(error, SignInRequiredError)
    is_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if not is_page:
        return answer(request, problem_of(error))
    target = _DOORS[surface_of(request)]
    return RedirectResponse(f"{target}?destination={quote(request.url.path)}", status_code=303)


def own_path(destination: str, *, below: str) -> str:
    """`destination` if it is a plain path of ours below `below`, else `below` itself.

    Everything a browser could read as another host, a scheme or a header is refused.
    """
    is_plain = all(c.isalnum() or c in "/-_." for c in destination) and destination.isascii()
    inside = destination == below or destination.startswith(below.rstrip("/") + "/")
    return destination if is_plain and inside and "//" not in destination else below

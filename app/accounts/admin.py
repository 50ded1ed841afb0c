"""Sign-in of the team: ask for a mail, open its link or type its code, sign out."""

from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from app.accounts import service, sessions, signin
from app.accounts.deps import address_of, browser_of
from app.accounts.door import Door
from app.accounts.errors import LinkExpiredError
from app.accounts.models import Audience
from app.accounts.signin import CodeAnswer
from app.web.access import PUBLIC
from app.web.cookies import Surface
from app.web.deps import AtDep, SessionDep
from app.web.rendering import Shell

router = APIRouter(prefix="/admin", dependencies=[PUBLIC])
_HOME = "/admin"


def _shell(session: Session) -> Shell:
    return Shell(name=service.first_merchant(session).organisation.name)


_DOOR = Door(
    audience=Audience.TEAM,
    surface=Surface.ADMIN,
    address="/admin/sign-in",
    home=_HOME,
    inside=("/admin",),
    template="accounts/sign_in.html",
    lifetime=sessions.TEAM_LIFETIME,
    around=_shell,
)


@router.get("/sign-in")
def ask(request: Request, session: SessionDep, destination: str = _HOME) -> Response:
    """The form that asks for the address."""
    return _DOOR.page(request, session, "ask", typed={"destination": destination})


@router.post("/sign-in")
def send(
    request: Request,
    session: SessionDep,
    at: AtDep,
    email: Annotated[str, Form()] = "",
    destination: Annotated[str, Form()] = _HOME,
) -> Response:
    """The same screen for known and unknown addresses; the mail goes to known ones only."""

    def mail(browser: str, ip: str) -> None:
        onward = _DOOR.onward(destination)
        service.request_team_sign_in(
            session, email, browser=browser, ip=ip, at=at, destination=onward
        )

    return _DOOR.send(request, session, mail, email=email, destination=destination)


@router.post("/sign-in/code")
def type_code(
    request: Request,
    session: SessionDep,
    at: AtDep,
    email: Annotated[str, Form()] = "",
    code: Annotated[str, Form()] = "",
    destination: Annotated[str, Form()] = _HOME,
) -> Response:
    """The code from the mail signs in; wrong ones are counted."""
    realm = service.first_merchant(session).organisation_id
    asked = signin.Request(Audience.TEAM, realm, email, browser_of(request), address_of(request))
    answer = signin.try_code(session, asked, code, at=at)
    member = service.find_active_member(session, email) if answer is CodeAnswer.RIGHT else None
    if member is None:
        return _DOOR.refuse(request, session, answer, email=email, destination=destination)
    return _DOOR.enter(sessions.open_team_session(session, member, at=at), destination)


@router.get("/sign-in/{token}")
def open_link(
    request: Request, session: SessionDep, at: AtDep, token: str, destination: str = _HOME
) -> Response:
    """A page with a button; opening the link consumes nothing."""
    return _DOOR.open_link(request, session, token, destination, at=at)


@router.post("/sign-in/{token}")
def use_link(
    request: Request,
    session: SessionDep,
    at: AtDep,
    token: str,
    destination: Annotated[str, Form()] = _HOME,
) -> Response:
    """The button behind the link signs in, once."""
    used = signin.use_link(session, token, browser_of(request), audience=Audience.TEAM, at=at)
    member = service.member_of_token(session, used)
    if member is None:
        raise LinkExpiredError
    return _DOOR.enter(sessions.open_team_session(session, member, at=at), destination)


@router.post("/sign-out")
def sign_out(request: Request, session: SessionDep, at: AtDep) -> Response:
    """The browser's session ends on the server, too."""
    return _DOOR.sign_out(request, session, at=at)

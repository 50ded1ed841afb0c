"""Sign-in of the team: ask for a mail, open its link or type its code, sign out."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts import service, sessions, signin
from app.accounts.deps import address_of, browser_of, own_path, remember_browser
from app.accounts.errors import LinkExpiredError
from app.accounts.models import Audience, TeamMember
from app.accounts.signin import CodeAnswer
from app.web.access import PUBLIC
from app.web.cookies import Surface, clear_session_cookie, session_token, set_session_cookie
from app.web.deps import AtDep, SessionDep
from app.web.rendering import Shell, render, set_shell
from core.errors import AppError, InvalidError, TooManyError

router = APIRouter(prefix="/admin", dependencies=[PUBLIC])
_SENTENCES = {
    CodeAnswer.WRONG: "That is not the code in the newest mail. Try again.",
    CodeAnswer.EXPIRED: "This code no longer works. Ask for a new mail.",
    CodeAnswer.LOCKED: "Too many wrong codes. Wait 15 minutes, then ask for a new mail.",
}


@router.get("/sign-in")
def ask(request: Request, session: SessionDep, destination: str = "/admin") -> Response:
    """The form that asks for the address."""
    return _page(request, session, "ask", destination=destination)


@router.post("/sign-in")
def send(
    request: Request,
    session: SessionDep,
    at: AtDep,
    email: Annotated[str, Form()] = "",
    destination: Annotated[str, Form()] = "/admin",
) -> Response:
    """The same screen for known and unknown addresses; the mail goes to known ones only."""
    draft = Response()
    browser = remember_browser(request, draft)
    try:
        service.request_team_sign_in(session, email, browser=browser, ip=address_of(request), at=at)
    except (InvalidError, TooManyError) as error:
        return _page(request, session, "ask", email=email, destination=destination, error=error)
    page = _page(request, session, "sent", email=email, destination=destination)
    page.headers.raw.extend(h for h in draft.headers.raw if h[0] == b"set-cookie")
    return page


@router.post("/sign-in/code")
def type_code(
    request: Request,
    session: SessionDep,
    at: AtDep,
    email: Annotated[str, Form()] = "",
    code: Annotated[str, Form()] = "",
    destination: Annotated[str, Form()] = "/admin",
) -> Response:
    """The code from the mail signs in; wrong ones are counted."""
    realm = service.first_merchant(session).organisation_id
    asked = signin.Request(Audience.TEAM, realm, email, browser_of(request), address_of(request))
    answer = signin.try_code(session, asked, code, at=at)
    member = service.find_active_member(session, email) if answer is CodeAnswer.RIGHT else None
    if member is None:
        sentence = _SENTENCES.get(answer, _SENTENCES[CodeAnswer.WRONG])
        error = InvalidError("You are not signed in yet.", fields={"code": sentence})
        return _page(request, session, "sent", email=email, destination=destination, error=error)
    return _enter(session, member, destination, at=at)


@router.get("/sign-in/{token}")
def open_link(request: Request, session: SessionDep, at: AtDep, token: str) -> Response:
    """A page with a button: mail scanners follow links, so opening one consumes nothing."""
    try:
        signin.find_link(session, token, browser_of(request), audience=Audience.TEAM, at=at)
    except LinkExpiredError as error:
        return _page(request, session, "ask", error=error)
    return _page(request, session, "confirm", token=token)


@router.post("/sign-in/{token}")
def use_link(request: Request, session: SessionDep, at: AtDep, token: str) -> Response:
    """The button behind the link signs in, once."""
    used = signin.use_link(session, token, browser_of(request), audience=Audience.TEAM, at=at)
    member = service.member_of_token(session, used)
    if member is None:
        raise LinkExpiredError
    return _enter(session, member, "/admin", at=at)


@router.post("/sign-out")
def sign_out(request: Request, session: SessionDep, at: AtDep) -> Response:
    """The browser's session ends on the server, too."""
    token = session_token(request, Surface.ADMIN)
    if token is not None:
        sessions.end(session, token, at=at)
    response = RedirectResponse("/admin/sign-in", status_code=303)
    clear_session_cookie(response, Surface.ADMIN)
    return response


def _enter(session: Session, member: TeamMember, destination: str, *, at: datetime) -> Response:
    token = sessions.open_team_session(session, member, at=at)
    response = RedirectResponse(own_path(destination, below="/admin"), status_code=303)
    lifetime = int(sessions.TEAM_LIFETIME.total_seconds())
    set_session_cookie(response, Surface.ADMIN, token, max_age=lifetime)
    return response


def _page(
    request: Request,
    session: Session,
    step: str,
    *,
    email: str = "",
    destination: str = "/admin",
    token: str = "",
    error: AppError | None = None,
) -> Response:
    set_shell(request, Shell(name=service.first_merchant(session).organisation.name))
    shown = error if error is None or isinstance(error, InvalidError) else InvalidError(str(error))
    return render(
        request,
        "accounts/sign_in.html",
        status_code=error.status if error else 200,
        step=step,
        email=email,
        destination=destination,
        token=token,
        error=shown,
    )

"""Ways to the scanner: staff sign in by mail, a device is paired by a code that an admin shows."""

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts import service, sessions, signin
from app.accounts.deps import address_of, browser_of
from app.accounts.door import Door
from app.accounts.errors import LinkExpiredError
from app.accounts.models import Audience, Merchant
from app.accounts.signin import CodeAnswer
from app.scanning import devices
from app.spaces.deps import shell_of
from app.web.access import PUBLIC
from app.web.cookies import Surface, set_session_cookie
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, set_shell
from app.web.static import static_tree

router = APIRouter(prefix="/scan", dependencies=[PUBLIC])
_HOME = "/scan"
_SIGN_IN = "/scan/sign-in"
_DOOR = Door(
    audience=Audience.TEAM,
    surface=Surface.SCAN,
    address=_SIGN_IN,
    home=_HOME,
    inside=(_HOME,),
    template="scanning/sign_in.html",
    lifetime=sessions.TEAM_LIFETIME,
    around=lambda session: shell_of(service.first_merchant(session)),
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
        service.request_team_sign_in(
            session,
            email,
            browser=browser,
            ip=ip,
            at=at,
            address=_SIGN_IN,
            destination=_DOOR.onward(destination),
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
    """The browser scans no more; a person's session ends on the server, too."""
    return _DOOR.sign_out(request, session, at=at)


@router.get("/worker.js")
def serve_worker() -> Response:
    """The script that opens the scanner without connection; it sees nothing but the scanner."""
    script = static_tree().assets["js/scan-worker.js"]
    headers = {"Service-Worker-Allowed": _HOME, "Cache-Control": "no-cache"}
    return Response(script.body, media_type=script.media_type, headers=headers)


@router.get("/pair/{code}")
def show_pairing(request: Request, session: SessionDep, at: AtDep, code: str) -> Response:
    """A page with a button; opening it consumes nothing."""
    device = devices.find_invited(session, code, at=at)
    set_shell(request, shell_of(session.get_one(Merchant, device.merchant_id)))
    return render(request, "scanning/pair.html", device=device, code=code)


@router.post("/pair/{code}")
def pair(session: SessionDep, at: AtDep, code: str) -> Response:
    """This browser is the device from now on."""
    _device, key = devices.pair(session, code, at=at)
    response = RedirectResponse(_HOME, status_code=303)
    lifetime = int(devices.LIFETIME.total_seconds())
    set_session_cookie(response, Surface.SCAN, key, max_age=lifetime)
    return response

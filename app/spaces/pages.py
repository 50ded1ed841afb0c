"""Pages of the brand's space: sign-in, home with pass and collectibles, one collectible."""

from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts import sessions, signin
from app.accounts.deps import address_of, browser_of, own_path, remember_browser
from app.accounts.errors import LinkExpiredError
from app.accounts.models import Audience
from app.accounts.service import first_merchant
from app.accounts.signin import CodeAnswer
from app.spaces import queries, service
from app.spaces.deps import MemberDep, shell_of
from app.spaces.theme import brand_css
from app.web.access import PUBLIC
from app.web.cookies import Surface, clear_session_cookie, session_token, set_session_cookie
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, set_shell
from core.errors import AppError, InvalidError, TooManyError
from core.ids import decode_id, encode_id
from core.types import TokenRowId

public = APIRouter(dependencies=[PUBLIC])
router = APIRouter(prefix="/space")
_HOME = "/space/home"
_YEAR = "public, max-age=31536000, immutable"
_SENTENCES = {
    CodeAnswer.WRONG: "That is not the code in the newest mail. Try again.",
    CodeAnswer.EXPIRED: "This code no longer works. Ask for a new one.",
    CodeAnswer.LOCKED: "Too many wrong codes. Wait 15 minutes, then ask for a new one.",
}


@public.get("/")
def index() -> Response:
    """The brand's home."""
    return RedirectResponse(_HOME, status_code=303)


@public.get("/space/brand.css")
def colours(session: SessionDep) -> Response:
    """The brand's colours."""
    css = brand_css(first_merchant(session))
    return Response(css, media_type="text/css", headers={"Cache-Control": _YEAR})


@public.get("/space/login")
def ask(request: Request, session: SessionDep, destination: str = _HOME) -> Response:
    """The form that asks for the address."""
    return _page(request, session, "ask", destination=destination)


@public.post("/space/login")
def send(
    request: Request,
    session: SessionDep,
    at: AtDep,
    email: Annotated[str, Form()] = "",
    destination: Annotated[str, Form()] = _HOME,
) -> Response:
    """A code is on its way to whatever address was typed."""
    draft = Response()
    browser = remember_browser(request, draft)
    try:
        service.request_sign_in(
            session, first_merchant(session), email, browser=browser, ip=address_of(request), at=at
        )
    except (InvalidError, TooManyError) as error:
        return _page(request, session, "ask", email=email, destination=destination, error=error)
    page = _page(request, session, "code", email=email, destination=destination)
    page.headers.raw.extend(h for h in draft.headers.raw if h[0] == b"set-cookie")
    return page


@public.post("/space/login/code")
def type_code(
    request: Request,
    session: SessionDep,
    at: AtDep,
    email: Annotated[str, Form()] = "",
    code: Annotated[str, Form()] = "",
    destination: Annotated[str, Form()] = _HOME,
) -> Response:
    """The right code signs in; wrong ones are counted."""
    entered = service.sign_in_with_code(
        session,
        first_merchant(session),
        email,
        code,
        browser=browser_of(request),
        ip=address_of(request),
        at=at,
    )
    if isinstance(entered, CodeAnswer):
        error = InvalidError("You are not signed in yet.", fields={"code": _SENTENCES[entered]})
        return _page(request, session, "code", email=email, destination=destination, error=error)
    return _welcome(entered, destination)


@public.get("/space/login/{token}")
def open_link(request: Request, session: SessionDep, at: AtDep, token: str) -> Response:
    """A page with a button; opening the link consumes nothing."""
    try:
        signin.find_link(session, token, browser_of(request), audience=Audience.SPACE, at=at)
    except LinkExpiredError as error:
        return _page(request, session, "ask", error=error)
    return _page(request, session, "confirm", token=token)


@public.post("/space/login/{token}")
def use_link(request: Request, session: SessionDep, at: AtDep, token: str) -> Response:
    """The button behind the link signs in, once."""
    entered = service.sign_in_with_link(
        session, first_merchant(session), token, browser=browser_of(request), at=at
    )
    return _welcome(entered, _HOME)


@public.post("/space/sign-out")
def sign_out(request: Request, session: SessionDep, at: AtDep) -> Response:
    """The browser's session ends on the server, too."""
    token = session_token(request, Surface.SPACE)
    if token is not None:
        sessions.end(session, token, at=at)
    response = RedirectResponse("/space/login", status_code=303)
    clear_session_cookie(response, Surface.SPACE)
    return response


@router.get("/home")
def home(request: Request, session: SessionDep, who: MemberDep) -> Response:
    """The member's pass and collectibles."""
    return render(
        request,
        "spaces/home.html",
        user=who.user,
        merchant=who.merchant,
        membership=queries.find_pass(session, who.user.id),
        contract=queries.find_pass_contract(session),
        tokens=queries.list_collectibles(session, who.user.id),
        is_test=request.state.shell.is_test,
        encode_id=encode_id,
    )


@router.get("/rewards/{token}")
def show_collectible(request: Request, session: SessionDep, who: MemberDep, token: str) -> Response:
    """One collectible with its details and its proof."""
    found = queries.get_collectible(session, who.user.id, TokenRowId(decode_id("tok", token)))
    return render(request, "spaces/collectible.html", token=found, asset=found.asset)


def _welcome(cookie: str, destination: str) -> Response:
    response = RedirectResponse(own_path(destination, below="/space"), status_code=303)
    lifetime = int(sessions.SPACE_LIFETIME.total_seconds())
    set_session_cookie(response, Surface.SPACE, cookie, max_age=lifetime)
    return response


def _page(
    request: Request,
    session: Session,
    step: str,
    *,
    email: str = "",
    destination: str = _HOME,
    token: str = "",
    error: AppError | None = None,
) -> Response:
    set_shell(request, shell_of(first_merchant(session)))
    shown = error if error is None or isinstance(error, InvalidError) else InvalidError(str(error))
    return render(
        request,
        "spaces/login.html",
        status_code=error.status if error else 200,
        step=step,
        email=email,
        destination=destination,
        token=token,
        error=shown,
    )

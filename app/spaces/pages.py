"""Pages of the brand's space: sign-in, home with pass and collectibles, one collectible."""

from typing import Annotated

from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts import sessions
from app.accounts.deps import address_of, browser_of
from app.accounts.door import Door
from app.accounts.models import Audience
from app.accounts.service import first_merchant
from app.accounts.signin import CodeAnswer
from app.draws.looks import look_of
from app.perks.models import HoldingState
from app.perks.queries import list_held
from app.points import queries as points
from app.segments import badge_views
from app.spaces import queries, service
from app.spaces.deps import MemberDep, shell_of
from app.spaces.theme import brand_css
from app.users.queries import identities
from app.web.access import PUBLIC
from app.web.cookies import Surface
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render
from core.ids import decode_id, encode_id
from core.types import TokenRowId

public = APIRouter(dependencies=[PUBLIC])
router = APIRouter(prefix="/space")
_HOME = "/space/home"
_YEAR = "public, max-age=31536000, immutable"
_DOOR = Door(
    audience=Audience.SPACE,
    surface=Surface.SPACE,
    address="/space/login",
    home=_HOME,
    inside=("/space", "/claim"),
    template="spaces/login.html",
    lifetime=sessions.SPACE_LIFETIME,
    around=lambda session: shell_of(first_merchant(session)),
)


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
    return _DOOR.page(request, session, "ask", typed={"destination": destination})


@public.post("/space/login")
def send(
    request: Request,
    session: SessionDep,
    at: AtDep,
    email: Annotated[str, Form()] = "",
    destination: Annotated[str, Form()] = _HOME,
) -> Response:
    """A code is on its way to whatever address was typed."""

    def mail(browser: str, ip: str) -> None:
        merchant = first_merchant(session)
        service.request_sign_in(
            session,
            merchant,
            email,
            browser=browser,
            ip=ip,
            at=at,
            destination=_DOOR.onward(destination),
        )

    return _DOOR.send(request, session, mail, email=email, destination=destination)


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
    browser, ip = browser_of(request), address_of(request)
    merchant = first_merchant(session)
    entered = service.sign_in_with_code(
        session, merchant, email, code, browser=browser, ip=ip, at=at
    )
    if isinstance(entered, CodeAnswer):
        return _DOOR.refuse(request, session, entered, email=email, destination=destination)
    return _DOOR.enter(entered, destination)


@public.get("/space/login/{token}")
def open_link(
    request: Request, session: SessionDep, at: AtDep, token: str, destination: str = _HOME
) -> Response:
    """A page with a button; opening the link consumes nothing."""
    return _DOOR.open_link(request, session, token, destination, at=at)


@public.post("/space/login/{token}")
def use_link(
    request: Request,
    session: SessionDep,
    at: AtDep,
    token: str,
    destination: Annotated[str, Form()] = _HOME,
) -> Response:
    """The button behind the link signs in, once."""
    entered = service.sign_in_with_link(
        session, first_merchant(session), token, browser=browser_of(request), at=at
    )
    return _DOOR.enter(entered, destination)


@public.post("/space/sign-out")
def sign_out(request: Request, session: SessionDep, at: AtDep) -> Response:
    """The browser's session ends on the server, too."""
    return _DOOR.sign_out(request, session, at=at)


@router.get("/home")
def home(request: Request, session: SessionDep, at: AtDep, who: MemberDep) -> Response:
    """The member's pass, collectibles, and the perks that can be used."""
    ids = identities(session, who.user.id)
    held = list_held(session, ids)
    return render(
        request,
        "spaces/home.html",
        points=points.balances(session, ids, at=at),
        text_in=badge_views.text_in,
        look_of=look_of,
        user=who.user,
        merchant=who.merchant,
        membership=queries.find_pass(session, who.user.id),
        contract=queries.find_pass_contract(session),
        badges=badge_views.shown_to(session, who.user),
        tokens=queries.list_collectibles(session, who.user.id),
        entries=queries.list_entries(session, who.user.id),
        held=[it for it in held if it.holding.state is HoldingState.AVAILABLE],
        is_test=request.state.shell.is_test,
        encode_id=encode_id,
    )


@router.get("/rewards/{token}")
def show_collectible(request: Request, session: SessionDep, who: MemberDep, token: str) -> Response:
    """One collectible with its details and its proof."""
    found = queries.get_collectible(session, who.user.id, TokenRowId(decode_id("tok", token)))
    return render(request, "spaces/collectible.html", token=found, asset=found.asset)

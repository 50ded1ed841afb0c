"""Ways to the scanner: staff sign in by mail, a device is paired by a code that an admin shows."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts import service, sessions
from app.accounts.door import Door
from app.accounts.models import Audience, Merchant
from app.accounts.team_door import team_routes
from app.scanning import devices
from app.spaces.deps import shell_of
from app.web.access import PUBLIC
from app.web.cookies import Surface, set_session_cookie
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, set_shell
from app.web.static import static_tree

router = APIRouter(prefix="/scan", dependencies=[PUBLIC])
_HOME = "/scan"
_DOOR = Door(
    audience=Audience.TEAM,
    surface=Surface.SCAN,
    address="/scan/sign-in",
    home=_HOME,
    inside=(_HOME,),
    template="scanning/sign_in.html",
    lifetime=sessions.TEAM_LIFETIME,
    around=lambda session: shell_of(service.first_merchant(session)),
)
sign_in = team_routes(_DOOR)


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

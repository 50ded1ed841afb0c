"""A small application that shows every component: for eyes, for axe, for screenshots."""

from datetime import timedelta

from fastapi import APIRouter, FastAPI, Request, Response

from app.accounts.models import TeamRole
from app.web.access import PUBLIC
from app.web.application import new_application
from app.web.pagination import Page
from app.web.rendering import Shell, render, set_shell
from core.errors import InvalidError
from core.types import utc_now

PAGES = {
    "/admin/campaigns/gallery": "gallery/admin.html",
    "/admin/campaigns/new": "gallery/form.html",
    "/admin/users": "gallery/users.html",
    "/admin/sign-in": "gallery/signin.html",
    "/space/home": "gallery/space.html",
    "/verify/gallery": "gallery/public.html",
}
STATES = [
    "draft",
    "scheduled",
    "live",
    "paused",
    "ended",
    "failed",
    "signed",
    "sent",
    "mined",
    "final",
    "reverted",
    "cancelled",
    "queued",
    "minting",
    "active",
    "suspended",
    "revoked",
    "running",
    "completed",
    "completed_with_errors",
]
ROWS = [
    ("Ada Lovelace", "ada@example.com", "final", 2591),
    ("Zoë Ångström-Nguyễn", "zoe.angstrom.nguyen@a-very-long-domain.example.com", "mined", 2604),
    ("Łukasz Żółć", "lukasz@example.com", "sent", 0),
    ("Bo", "bo@example.com", "reverted", 21000),
]
ART = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect
width="100" height="100" fill="#e9dcc9"/><circle cx="50" cy="46" r="24" fill="#a0522d"/><path
d="M0 78q25-12 50 0t50 0v22H0z"
fill="#2f5d62"/></svg>"""

router = APIRouter(dependencies=[PUBLIC])


def _show(request: Request) -> Response:
    is_admin = request.url.path != "/admin/sign-in" and request.url.path.startswith("/admin")
    person = "ada@example.com" if is_admin else "Ada"
    tabs = ("/space/home", "/space/pass", "/space/rewards", "/space/profile")
    roles = frozenset(TeamRole) if is_admin else frozenset()
    set_shell(request, Shell("Alder & Tide Coffee", True, person, tabs=tabs, roles=roles))
    return render(
        request,
        PAGES[request.url.path],
        at=utc_now() - timedelta(hours=3),
        states=STATES,
        rows=ROWS,
        page=Page(items=ROWS, next="n"),
        error=InvalidError(
            "Two fields need another look.",
            fields={
                "name": "Give the campaign a name.",
                "members": "The file has no column named email.",
            },
        ),
    )


for _path in PAGES:
    router.get(_path)(_show)


@router.get("/gallery/media.svg")
def media() -> Response:
    """A picture for the collectibles."""
    return Response(ART, media_type="image/svg+xml")


@router.get("/gallery/progress")
def progress() -> Response:
    """Nothing new yet."""
    return Response(status_code=204)


@router.get("/space/brand.css")
def brand() -> Response:
    """A brand that is not ours."""
    colours = (
        ":root{--brand:#5b2a16;--on-brand:#fff;--brand-accent:#e0a526;"
        "--on-brand-accent:#16161d;--brand-page:#fdfaf6;}"
    )
    return Response(colours, media_type="text/css")


def gallery_application() -> FastAPI:
    """The product's empty application with the gallery's pages."""
    app = new_application()
    app.include_router(router)
    return app

"""Pages without sign-in that the installation itself needs: health, and the local outbox."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import APIRouter
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.operations.errors import OutboxClosedError
from app.web.access import PUBLIC
from app.web.deps import SessionDep
from app.web.rendering import render
from core.mail import outbox
from core.settings import core_settings

router = APIRouter(dependencies=[PUBLIC])
_SHOWN = 50


@router.get("/health")
def health(session: SessionDep) -> Response:
    """200 once the process serves and the database answers."""
    session.execute(text("SELECT 1"))
    return JSONResponse({"status": "ok"})


@router.get("/outbox")
def show_outbox(request: Request) -> Response:
    """The mails of a development installation, newest first; for this machine's browser only."""
    host = request.client.host if request.client else ""
    if core_settings().is_production or not _is_loopback(host) or not _is_own_name(request):
        raise OutboxClosedError
    return render(request, "operations/outbox.html", mails=outbox()[:_SHOWN])


def _is_own_name(request: Request) -> bool:
    """A name of somebody else's that was made to lead here (DNS rebinding) shows nothing."""
    names = {"127.0.0.1", "localhost", "::1", urlsplit(core_settings().public_url).hostname}
    return request.url.hostname in names


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

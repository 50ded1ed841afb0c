"""The screen at the door: a QR code that changes, opened by a link and nothing else.

The page itself uses no code up. It asks for the code to show with the proof that it is our page, so
what follows links finds none.
"""

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.service import first_merchant
from app.claims import kiosk
from app.claims.models import ClaimBatch
from app.claims.paths import link_of
from app.rewards.lines import reward_of
from app.spaces.deps import shell_of
from app.web.access import PUBLIC
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, set_shell
from core.db import choose_merchant

router = APIRouter(prefix="/kiosk", dependencies=[PUBLIC])
_ASK_SECONDS = 5
"""How often the screen asks, so that a used code is replaced soon."""


@router.get("/{token}")
def show_screen(request: Request, session: SessionDep, token: str) -> Response:
    """The page of the screen, still without a code."""
    batch = _batch(request, session, token)
    page = render(
        request,
        "claims/kiosk.html",
        reward=reward_of(session, batch.reward_line_id),
        address=f"/kiosk/{token}",
        seconds=_ASK_SECONDS,
    )
    page.headers["Referrer-Policy"] = "same-origin"
    return page


@router.post("/{token}")
def show_code(request: Request, session: SessionDep, at: AtDep, token: str) -> Response:
    """The code to show now."""
    code = kiosk.shown_code(session, _batch(request, session, token), at=at)
    link = None if code is None else link_of(code)
    return render(request, "claims/kiosk.html", block="code", link=link)


def _batch(request: Request, session: Session, token: str) -> ClaimBatch:
    """Whose codes are shown; the request belongs to the brand from here on."""
    merchant = first_merchant(session)
    choose_merchant(session, merchant.id)
    set_shell(request, shell_of(merchant))
    return kiosk.find(session, token)

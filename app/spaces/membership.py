"""The member's pass: the card, and the code that proves it to whoever scans it."""

from datetime import datetime

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from app.passes import codes
from app.passes.codes import Code
from app.spaces import queries
from app.spaces.deps import MemberDep, SignedInUser
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render

router = APIRouter(prefix="/space/pass")


@router.get("")
def show_pass(request: Request, session: SessionDep, at: AtDep, who: MemberDep) -> Response:
    """The card and its code; the page asks for those of the next minutes by itself."""
    return render(
        request,
        "spaces/pass.html",
        user=who.user,
        merchant=who.merchant,
        membership=queries.find_pass(session, who.user.id),
        contract=queries.find_pass_contract(session),
        is_test=request.state.shell.is_test,
        codes=_codes(session, who, ahead=0, at=at),
    )


@router.get("/code")
def show_code(request: Request, session: SessionDep, at: AtDep, who: MemberDep) -> Response:
    """The code of now, for the page that is open."""
    found = _codes(session, who, ahead=0, at=at)
    return render(request, "spaces/pass.html", block="code", codes=found)


@router.get("/reserve")
def show_reserve(request: Request, session: SessionDep, at: AtDep, who: MemberDep) -> Response:
    """The codes of the next minutes, for the page that is open."""
    found = _codes(session, who, ahead=codes.AHEAD, at=at)
    return render(request, "spaces/pass.html", block="reserve", codes=found)


def _codes(session: Session, who: SignedInUser, *, ahead: int, at: datetime) -> list[Code]:
    membership = queries.find_pass(session, who.user.id)
    return codes.of_pass(session, membership, ahead=ahead, at=at) if membership else []

"""Rotating codes for anybody: the page a phone's camera opens, the answer for programs, the keys.

Nobody signs in; programs of every origin may ask.
"""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.accounts.service import first_merchant
from app.passes import keys
from app.segments.badge_views import text_in
from app.spaces.deps import shell_of
from app.verification import passes
from app.verification.deps import limited_scans
from app.web.access import PUBLIC
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, set_shell
from core.db import choose_merchant

router = APIRouter(dependencies=[PUBLIC])
_LONGEST = 4096
_EVERYBODY = {"Access-Control-Allow-Origin": "*"}


class VerifyRequest(BaseModel):
    """A code, as it was scanned."""

    token: str = Field(max_length=_LONGEST)


@router.get("/v/{token}", dependencies=[Depends(limited_scans)])
def show_verdict(request: Request, at: AtDep, token: str) -> Response:
    """Valid or not, understood in three seconds."""
    verdict = passes.verify(token, at=at)
    if verdict.merchant is not None:
        set_shell(request, shell_of(verdict.merchant))
    return render(request, "verification/pass.html", verdict=verdict, text_in=text_in, at=at)


@router.post("/v1/public/passes/verify", dependencies=[Depends(limited_scans)])
def verify_pass(at: AtDep, asked: VerifyRequest) -> Response:
    """The verdict for programs; a code that is not valid is an answer, not an error."""
    document = passes.as_document(passes.verify(asked.token, at=at))
    return JSONResponse(document, headers={**_EVERYBODY, "Cache-Control": "no-store"})


@router.options("/v1/public/passes/verify")
def allow_verification() -> Response:
    """Pages of every origin may ask."""
    allowed = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": "86400",
    }
    return Response(status_code=204, headers={**_EVERYBODY, **allowed})


@router.get("/.well-known/pass-keys.json")
def list_keys(session: SessionDep) -> Response:
    """The public keys of the brand of this host; a new one is here a week before it signs."""
    merchant = first_merchant(session)
    choose_merchant(session, merchant.id)
    document = keys.as_document(merchant.id, keys.published(session))
    return JSONResponse(document, headers={**_EVERYBODY, "Cache-Control": "max-age=3600"})

"""Claiming a code: the page behind a link or a scanned code, and what becomes of it.

Opening a page uses nothing up, so whatever follows links is harmless; claiming takes the button.
"""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.accounts.deps import address_of
from app.accounts.service import first_merchant
from app.claims import challenge, claiming
from app.claims.claiming import Attempt, Claimed
from app.claims.codes import canonical, in_groups
from app.claims.errors import ProofNeededError
from app.claims.guessing import network_of
from app.claims.paths import path_of
from app.claims.schemas import place_of
from app.spaces.deps import MemberDep, find_signed_in, shell_of
from app.users.models import User
from app.web.access import PUBLIC
from app.web.deps import AtDep, SessionDep
from app.web.errors import answer, problem_of, wants_json
from app.web.rendering import render, set_shell
from core.db import choose_merchant
from core.errors import AppError
from core.ids import UnknownIdentifierError, encode_id

public = APIRouter(prefix="/claim", dependencies=[PUBLIC])
members = APIRouter(prefix="/claim")


@public.get("")
def ask_for_code(request: Request, session: SessionDep, at: AtDep) -> Response:
    """The form for a code that somebody reads from paper."""
    _visitor(request, session, at=at)
    return _private(render(request, "claims/ask.html"))


@public.post("")
def type_code(
    request: Request, session: SessionDep, at: AtDep, code: Annotated[str, Form()] = ""
) -> Response:
    """The page of the typed code."""
    typed = canonical(code)
    if typed is not None:
        return RedirectResponse(f"/claim/{typed}", status_code=303)
    return _landing(request, session, code, at=at)


@public.get("/{code}")
def show_claim(request: Request, session: SessionDep, at: AtDep, code: str) -> Response:
    """What the code gives and under which conditions; nothing is used up."""
    return _landing(request, session, code, at=at)


@public.get("/{code}/at/{place}")
def show_claim_at(
    request: Request, session: SessionDep, at: AtDep, code: str, place: str
) -> Response:
    """The same for a code that is put up at a place."""
    return _landing(request, session, code, place, at=at)


@members.post("/{code}/at/{place}")
def claim_code_at(
    request: Request,
    session: SessionDep,
    at: AtDep,
    who: MemberDep,
    code: str,
    place: str,
    proof: Annotated[str, Form(alias="answer")] = "",
) -> Response:
    """The same as `claim_code` for a code that is put up at a place."""
    return _claim(request, session, who.user, _attempt(request, code, proof, place), at=at)


@members.post("/{code}")
def claim_code(
    request: Request,
    session: SessionDep,
    at: AtDep,
    who: MemberDep,
    code: str,
    proof: Annotated[str, Form(alias="answer")] = "",
) -> Response:
    """The member has what the code gives, or reads why not."""
    return _claim(request, session, who.user, _attempt(request, code, proof), at=at)


def _claim(
    request: Request, session: Session, user: User, tried: Attempt, *, at: datetime
) -> Response:
    outcome = claiming.claim(session, user, tried, at=at)
    if isinstance(outcome, AppError):
        return _refused(request, tried, user, outcome, at=at)
    if wants_json(request):
        return JSONResponse(_result(outcome))
    return _private(render(request, "claims/claimed.html", reward=outcome.reward))


def _result(claimed: Claimed) -> dict[str, str | None]:
    """What a program is told of a claim."""
    line, holding = claimed.reward.line, claimed.given.holding_id
    return {
        "batchId": encode_id("clb", claimed.batch.id),
        "rewardId": encode_id("prk" if line.perk_id else "das", line.reward_id),
        "holdingId": None if holding is None else encode_id("hld", holding),
    }


def _visitor(request: Request, session: Session, *, at: datetime) -> User | None:
    """Who looks, if they are signed in; the request belongs to the brand from here on."""
    found = find_signed_in(request, session, at=at)
    if found is not None:
        return found.user
    merchant = first_merchant(session)
    choose_merchant(session, merchant.id)
    set_shell(request, shell_of(merchant))
    return None


def _attempt(request: Request, typed: str, proof: str = "", place: str = "") -> Attempt:
    """What is no place is nowhere: the code is good all the same."""
    try:
        found = place_of(place)
    except UnknownIdentifierError:
        found = None
    return Attempt(typed, network_of(address_of(request)), proof, found)


def _landing(
    request: Request, session: Session, typed: str, place: str = "", *, at: datetime
) -> Response:
    user = _visitor(request, session, at=at)
    tried = _attempt(request, typed, place=place)
    offer = claiming.look(session, tried, user, at=at)
    if isinstance(offer, AppError):
        return _refused(request, tried, user, offer, at=at)
    context = _context(tried, user, needs_proof=offer.needs_proof, at=at)
    return _private(render(request, "claims/landing.html", offer=offer, **context))


def _refused(
    request: Request, tried: Attempt, user: User | None, error: AppError, *, at: datetime
) -> Response:
    """The reason in a sentence; what was noted about it is committed."""
    if wants_json(request):
        return answer(request, problem_of(error))
    needs_proof = isinstance(error, ProofNeededError)
    page = render(
        request,
        "claims/refused.html",
        status_code=error.status,
        error=error,
        **_context(tried, user, needs_proof=needs_proof, at=at),
    )
    page.headers.update(problem_of(error).headers)
    return _private(page)


def _context(
    tried: Attempt, user: User | None, *, needs_proof: bool, at: datetime
) -> dict[str, Any]:
    """What the pages of a code share: the code if it is one, who looks, and a challenge if due."""
    code = canonical(tried.typed)
    address = None if code is None else path_of(code, tried.place)
    return {
        "address": address,
        "shown": None if code is None else in_groups(code),
        "sign_in": f"/space/login?destination={quote(address or '/space/home')}",
        "is_member": user is not None,
        "challenge": challenge.new_challenge(tried.network, at=at) if needs_proof else None,
        "bits": challenge.BITS,
    }


def _private(page: Response) -> Response:
    """The address holds the code: it is told to nobody else."""
    page.headers["Referrer-Policy"] = "same-origin"
    return page

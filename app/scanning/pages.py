"""The scanner: read a code, answer on one screen, validate, take back; also without connection."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form
from pydantic import AwareDatetime, BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.perks import places
from app.scanning import answers, offline, queries
from app.scanning.answers import Answer
from app.scanning.deps import ScannerDep, place_cookie, remember_place
from app.scanning.errors import DeviceKeyRefusedError, DeviceStandsError
from app.scanning.offline import Queued
from app.scanning.scanner import Scanner
from app.segments.badge_views import text_in
from app.web.deps import AtDep
from app.web.rendering import is_htmx, render
from core.db import unit_of_work
from core.ids import decode_id, encode_id
from core.types import RedemptionId

router = APIRouter(prefix="/scan")
MOST_AT_ONCE = 100


class SyncItem(BaseModel):
    """One code that a device accepted without connection."""

    id: UUID
    token: str = Field(min_length=1, max_length=4096)
    scannedAt: AwareDatetime  # noqa: N815 - as in JSON


class SyncRequest(BaseModel):
    """What waited on the device."""

    items: list[SyncItem] = Field(max_length=MOST_AT_ONCE)


@router.get("")
def show_scanner(request: Request, scanner: ScannerDep, at: AtDep) -> Response:
    """Where codes are read."""
    return _page(request, scanner, None, at=at)


@router.post("/lookup")
def look_up(
    request: Request, scanner: ScannerDep, at: AtDep, code: Annotated[str, Form()] = ""
) -> Response:
    """What was scanned."""
    return _page(request, scanner, answers.look_up(scanner, code, at=at), at=at)


@router.post("/redeem")
def validate(
    request: Request,
    scanner: ScannerDep,
    at: AtDep,
    ticket: Annotated[str, Form()] = "",
    uses: Annotated[int, Form()] = 1,
) -> Response:
    """The uses are taken."""
    return _page(request, scanner, answers.validate(scanner, ticket, uses=uses, at=at), at=at)


@router.post("/undo/{redemption_id}")
def take_back(request: Request, scanner: ScannerDep, at: AtDep, redemption_id: str) -> Response:
    """The uses are left again."""
    found = RedemptionId(decode_id("rdm", redemption_id))
    return _page(request, scanner, answers.take_back(scanner, found, at=at), at=at)


@router.post("/place")
def choose_place(scanner: ScannerDep, place: Annotated[str, Form()] = "") -> Response:
    """The person stands there from now on, or nowhere in particular."""
    if scanner.device is not None:
        raise DeviceStandsError(scanner.device.place.name)
    with unit_of_work(merchant=scanner.merchant.id) as session:
        known = {encode_id("plc", it.id) for it in places.list_open(session)}
    response = RedirectResponse("/scan", status_code=303)
    if place in known:
        remember_place(response, place)
    else:
        response.delete_cookie(place_cookie())
    return response


@router.get("/recent")
def show_recent(request: Request, scanner: ScannerDep, at: AtDep) -> Response:
    """What this device validated last."""
    return _page(request, scanner, None, at=at, block="recent")


@router.get("/offline")
def offline_terms(scanner: ScannerDep, at: AtDep) -> Response:
    """What the device needs to go on without connection."""
    with unit_of_work(merchant=scanner.merchant.id) as session:
        terms = offline.terms(session, scanner, at=at)
    return JSONResponse(terms, headers={"Cache-Control": "no-store"})


@router.post("/sync")
def sync(scanner: ScannerDep, at: AtDep, asked: SyncRequest) -> Response:
    """A judgement of everything that waited, the same when it is sent again."""
    if scanner.device is None:
        raise DeviceKeyRefusedError
    items = [Queued(it.id, it.token, it.scannedAt) for it in asked.items]
    with unit_of_work(merchant=scanner.merchant.id, actor=scanner.actor) as session:
        rows = offline.sync(session, scanner, items, at=at)
    return JSONResponse({"items": [offline.as_document(row) for row in rows]})


def _page(
    request: Request,
    scanner: Scanner,
    answer: Answer | None,
    *,
    at: datetime,
    block: str | None = None,
) -> Response:
    """The whole screen, or the part of it that htmx asked for; a part says that something moved."""
    if block is None and is_htmx(request):
        block = "answer"
    with unit_of_work(merchant=scanner.merchant.id) as session:
        recent = queries.list_validations(session, scanner)
        today = queries.count_today(session, scanner, at=at)
        stands = [] if scanner.device else places.list_open(session)
    response = render(
        request,
        "scanning/scan.html",
        block=block,
        scanner=scanner,
        answer=answer,
        recent=recent,
        today=today,
        places=[(encode_id("plc", it.id), it.name) for it in stands],
        at=at,
        text_in=text_in,
        encode_id=encode_id,
    )
    if answer is not None and answer.word in ("validated", "undone"):
        response.headers["HX-Trigger"] = "validated"
    return response

"""Screens of the codes of a batch: page by page, one code, who used them, and when."""

from datetime import timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Admin, Analyst, Editor
from app.claims import queries, service, taking
from app.claims.models import ClaimCode, ClaimUse
from app.claims.paths import base_of, batch_of, link_of
from app.claims.seeds import code_of
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from core.db import merchant_of
from core.ids import encode_id

router = APIRouter(prefix="/admin/claims/{batch_id}")
_SHOWN = {"hour": timedelta(days=3), "day": timedelta(days=60)}


@router.get("/codes")
def list_codes(
    request: Request, session: SessionDep, _who: Editor, batch_id: str, cursor: str | None = None
) -> Response:
    """The codes in their order, with their links as long as nobody sealed them."""
    batch = batch_of(session, batch_id)
    page = list_page(session, queries.codes(batch.id), keys=[ClaimCode.position], cursor=cursor)
    codes = {} if batch.seed is None else taking.codes_at(batch, [it.position for it in page.items])
    links = {position: link_of(code) for position, code in codes.items()}
    return render(
        request,
        "claims/codes.html",
        batch=batch,
        base=base_of(batch),
        page=page,
        codes=codes,
        links=links,
    )


@router.get("/codes/{position}")
def show_code(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, batch_id: str, position: int
) -> Response:
    """One code with its QR code, and who used it."""
    batch = batch_of(session, batch_id)
    row = service.get_code(session, batch, position)
    code = None if batch.seed is None else code_of(batch, position)
    uses = list_page(session, queries.uses_of_code(row), keys=[ClaimUse.id]).items
    return render(
        request,
        "claims/code.html",
        batch=batch,
        base=base_of(batch),
        row=row,
        at=at,
        code=code,
        link=None if code is None else link_of(code),
        uses=uses,
        users=queries.members_of(session, uses),
        encode_id=encode_id,
    )


@router.post("/codes/{position}/disable")
def disable_code(
    session: SessionDep, at: AtDep, _who: Editor, batch_id: str, position: int
) -> Response:
    """The code works no more."""
    batch = batch_of(session, batch_id)
    service.disable(session, batch, position, is_disabled=True, at=at)
    return RedirectResponse(f"{base_of(batch)}/codes/{position}", status_code=303)


@router.post("/codes/{position}/enable")
def enable_code(
    session: SessionDep, at: AtDep, _who: Editor, batch_id: str, position: int
) -> Response:
    """The code works again."""
    batch = batch_of(session, batch_id)
    service.disable(session, batch, position, is_disabled=False, at=at)
    return RedirectResponse(f"{base_of(batch)}/codes/{position}", status_code=303)


@router.get("/uses")
def list_uses(
    request: Request, session: SessionDep, _who: Analyst, batch_id: str, cursor: str | None = None
) -> Response:
    """Who used a code, newest first."""
    batch = batch_of(session, batch_id)
    page = list_page(
        session, queries.uses(batch.id), keys=[ClaimUse.id], is_descending=True, cursor=cursor
    )
    return render(
        request,
        "claims/uses.html",
        batch=batch,
        base=base_of(batch),
        page=page,
        users=queries.members_of(session, page.items),
        encode_id=encode_id,
    )


@router.get("/uses.csv")
def download_uses(session: SessionDep, _who: Admin, batch_id: str) -> Response:
    """The same rows as a file."""
    batch = batch_of(session, batch_id)
    return StreamingResponse(
        taking.uses_as_csv(merchant_of(session), batch.id),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="uses.csv"'},
    )


@router.get("/analytics")
def show_analytics(
    request: Request, session: SessionDep, at: AtDep, who: Analyst, batch_id: str, by: str = "day"
) -> Response:
    """What was opened and claimed, by day or by hour."""
    batch, unit = batch_of(session, batch_id), "hour" if by == "hour" else "day"
    zone, since = who.merchant.time_zone, at - _SHOWN[unit]
    periods = queries.periods(session, batch.id, unit=unit, zone=zone, since=since)
    return render(
        request,
        "claims/analytics.html",
        batch=batch,
        base=base_of(batch),
        unit=unit,
        zone=zone,
        periods=periods,
        places=queries.at_places(session, batch.id),
        most=max((max(it.opened, it.claimed) for it in periods), default=1),
    )

"""Screens of physical items: what is to be sent, the table of it, and tracking numbers."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, UploadFile
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Admin, Editor
from app.perks import queries, shipping
from app.perks.admin import address_of, get_perk, head_of
from app.perks.errors import TrackingInvalidError
from app.perks.holdings_admin import get_holding
from app.perks.models import Holding, Perk
from app.web.deps import AtDep, SessionDep
from app.web.i18n import gettext as _
from app.web.pagination import list_page
from app.web.rendering import render
from core.errors import InvalidError

router = APIRouter(prefix="/admin/perks/{perk_id}/shipments")


@router.get("")
def list_shipments(
    request: Request, session: SessionDep, _who: Editor, perk_id: str, cursor: str | None = None
) -> Response:
    """What is to be sent and what is on its way."""
    return _page(request, session, get_perk(session, perk_id), cursor=cursor)


@router.post("/export")
def export_shipments(session: SessionDep, at: AtDep, _who: Admin, perk_id: str) -> Response:
    """What is to be sent, with its addresses; who took them is written down."""
    lines = list(shipping.export(session, get_perk(session, perk_id), at=at))
    return StreamingResponse(
        iter(lines),
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="shipments.csv"',
            "Cache-Control": "no-store",
        },
    )


@router.post("/tracking")
def upload_tracking(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    perk_id: str,
    file: UploadFile | None = None,
) -> Response:
    """Whatever the table names is on its way or has arrived, or nothing of it."""
    perk = get_perk(session, perk_id)
    try:
        if file is None or not file.filename:
            raise TrackingInvalidError(_("Choose a file first."))
        with tempfile.TemporaryDirectory() as folder, session.begin_nested():
            path = Path(folder) / "tracking.upload"
            with path.open("wb") as target:
                shutil.copyfileobj(file.file, target)
            count = shipping.take_tracking(session, perk, path, at=at)
    except InvalidError as error:
        return _page(request, session, perk, error=error)
    return _page(request, session, perk, moved=count)


@router.post("/{holding_id}/sent")
def mark_sent(
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    perk_id: str,
    holding_id: str,
    carrier: Annotated[str, Form()] = "",
    tracking: Annotated[str, Form()] = "",
) -> Response:
    """The item is on its way."""
    perk = get_perk(session, perk_id)
    holding = get_holding(session, perk, holding_id)
    shipping.ship(session, holding, carrier=carrier, tracking=tracking, at=at)
    return _back(perk)


@router.post("/{holding_id}/delivered")
def mark_delivered(
    session: SessionDep, at: AtDep, _who: Editor, perk_id: str, holding_id: str
) -> Response:
    """The item has arrived."""
    perk = get_perk(session, perk_id)
    shipping.deliver(session, get_holding(session, perk, holding_id), at=at)
    return _back(perk)


def _back(perk: Perk) -> Response:
    return RedirectResponse(f"{address_of(perk)}/shipments", status_code=303)


def _page(
    request: Request,
    session: Session,
    perk: Perk,
    *,
    cursor: str | None = None,
    error: InvalidError | None = None,
    moved: int | None = None,
) -> Response:
    page = list_page(session, shipping.open_shipments(perk), keys=[Holding.id], cursor=cursor)
    return render(
        request,
        "perks/shipments.html",
        status_code=error.status if error else 200,
        **head_of(session, perk),
        page=page,
        owners=queries.owners_of(session, page.items),
        parcels=shipping.parcels_of(session, page.items),
        error=error,
        moved=moved,
    )

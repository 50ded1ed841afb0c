"""Codes taken out: as a table, as pictures, as sheets to print. Who takes them is written down."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.accounts.deps import Editor
from app.claims import sheets, taking
from app.claims.models import MOST_CODES, ClaimBatch
from app.claims.paths import base_of, batch_of
from app.claims.schemas import SheetForm, number_of, place_of
from app.claims.sheets import Paper
from app.claims.taking import MOST_IN_A_FILE, Printable
from app.perks import places
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render
from core.errors import InvalidError
from core.events import emit
from core.ids import encode_id

router = APIRouter(prefix="/admin/claims/{batch_id}")


@router.get("/output")
def show_output(request: Request, session: SessionDep, _who: Editor, batch_id: str) -> Response:
    """What can be taken out."""
    return _page(request, session, batch_of(session, batch_id))


@router.get("/codes.csv")
def download_csv(
    session: SessionDep, at: AtDep, _who: Editor, batch_id: str, place: str = ""
) -> Response:
    """Every code that can still be used, with its link."""
    batch = batch_of(session, batch_id)
    chosen = Printable.of(batch, 1, MOST_CODES, place=place_of(place))
    return _file(session, batch, "codes.csv", taking.codes_as_csv(chosen), at=at)


@router.get("/codes.zip")
def download_zip(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    batch_id: str,
    first: str = "1",
    place: str = "",
) -> Response:
    """A QR code as a picture for each of ten thousand codes."""
    batch = batch_of(session, batch_id)
    try:
        chosen = _range(batch, first)
    except InvalidError as error:
        return _page(request, session, batch, error=error)
    pictures = taking.qr_codes_as_zip(chosen.codes(), place_of(place))
    return _file(session, batch, "codes.zip", pictures, at=at)


@router.get("/codes.pdf")
def download_pdf(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    batch_id: str,
    asked: Annotated[SheetForm, Query()],
) -> Response:
    """Sheets to print of ten thousand codes."""
    batch = batch_of(session, batch_id)
    try:
        chosen, sheet = _range(batch, asked.first), asked.as_sheet()
    except InvalidError as error:
        return _page(request, session, batch, error=error)
    pages = sheets.as_pdf(sheet, chosen.codes())
    return _file(session, batch, "codes.pdf", pages, at=at)


_MEDIA_TYPES = {
    "codes.csv": "text/csv; charset=utf-8",
    "codes.zip": "application/zip",
    "codes.pdf": "application/pdf",
}


def _range(batch: ClaimBatch, first: str) -> Printable:
    """So many codes as a file holds, from this number on.

    Raises:
        InvalidError: there is no such number.
    """
    start = number_of(first, "first")
    if not 1 <= start <= batch.made_count:
        sentence = f"Between 1 and {batch.made_count:,}."
        raise InvalidError("The file cannot be made yet.", fields={"first": sentence})
    return Printable.of(batch, start, start + MOST_IN_A_FILE - 1)


def _file(
    session: Session,
    batch: ClaimBatch,
    name: str,
    content: Iterator[str] | Iterator[bytes],
    *,
    at: datetime,
) -> Response:
    shown = encode_id("clb", batch.id)
    emit(session, "cohort.claim-batch.exported", at=at, batchId=shown, file=name)
    return StreamingResponse(
        content,
        media_type=_MEDIA_TYPES[name],
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def _page(
    request: Request, session: Session, batch: ClaimBatch, *, error: InvalidError | None = None
) -> Response:
    context: dict[str, Any] = {
        "batch": batch,
        "base": base_of(batch),
        "typed": {**SheetForm().model_dump(), **request.query_params},
        "most": MOST_IN_A_FILE,
        "places": [(encode_id("plc", it.id), it.name) for it in places.list_open(session)],
        "papers": [(it.value, it.value.title()) for it in Paper],
        "error": error,
    }
    status = error.status if error else 200
    return render(request, "claims/output.html", status_code=status, **context)

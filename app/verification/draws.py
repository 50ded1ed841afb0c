"""The public page of a draw, which recomputes it in the browser, and what it downloads."""

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from app.accounts.models import Merchant
from app.draws import documents, heads, queries
from app.draws.models import Draw, DrawHead
from app.spaces.deps import shell_of
from app.verification.deps import limited
from app.web.access import PUBLIC
from app.web.deps import SessionDep
from app.web.pagination import list_page
from app.web.rendering import render, set_shell
from core.db import merchant_of
from core.ids import decode_id
from core.types import DrawId

router = APIRouter(dependencies=[PUBLIC, Depends(limited)])
_OPEN = {"Access-Control-Allow-Origin": "*"}


@router.get("/verify/draw/{draw_id}")
def show_draw(
    request: Request, session: SessionDep, draw_id: str, cursor: str | None = None
) -> Response:
    """What was promised, and whether what came of it holds."""
    draw = _open(session, draw_id)
    set_shell(request, shell_of(session.get_one(Merchant, merchant_of(session))))
    rows = heads.of_draw(draw.id)
    page = list_page(session, rows, keys=[DrawHead.number], is_descending=True, cursor=cursor)
    return render(
        request,
        "verification/draw.html",
        draw=draw,
        draw_id=draw_id,
        prizes=queries.prizes(session, draw),
        summary=documents.summary(session, draw),
        page=page,
        heads=documents.heads_json(session, page.items),
    )


@router.get("/verify/draw/{draw_id}/params.json")
def download_params(session: SessionDep, draw_id: str) -> Response:
    """The bytes that the commitment covers."""
    draw = _open(session, draw_id)
    return Response(draw.params, media_type="application/json", headers=_OPEN)


@router.get("/verify/draw/{draw_id}/draw.jsonl.gz")
def download_document(session: SessionDep, draw_id: str) -> Response:
    """Everything behind a revealed draw, written while it is read."""
    draw = _open(session, draw_id)
    documents.head_of(session, draw)
    parts = documents.gzipped(documents.lines(merchant_of(session), draw.id))
    name = f'attachment; filename="{draw_id}.jsonl.gz"'
    return StreamingResponse(
        parts, media_type="application/gzip", headers={**_OPEN, "Content-Disposition": name}
    )


@router.get("/v1/draws/{draw_id}")
def describe_draw(session: SessionDep, draw_id: str) -> Response:
    """The same for programs, from the commitment on."""
    draw = _open(session, draw_id)
    return JSONResponse(documents.summary(session, draw), headers=_OPEN)


def _open(session: Session, text: str) -> Draw:
    return documents.open_public(session, DrawId(decode_id("drw", text)))

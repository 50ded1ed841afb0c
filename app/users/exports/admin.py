"""Screens of exports: what to take out, how far it is, and the file."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from app.accounts.deps import Admin
from app.users.exports import service
from app.users.exports.errors import ExportInvalidError
from app.users.exports.forms import options_of
from app.users.exports.models import ExportFormat, ExportKind, ExportState
from app.users.fields import catalogue
from app.users.imports.forms import list_choices
from app.users.models import UserState
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.rendering import render, render_part
from core.ids import decode_id, encode_id
from core.types import ExportId

router = APIRouter(prefix="/admin/users/exports")
DEFAULT_COLUMNS = ("email", "first_name", "last_name", "lang", "country", "created_at")
_LIST = "users/exports.html"


@router.get("")
def list_exports(request: Request, session: SessionDep, _who: Admin) -> Response:
    """The form, and the files there are."""
    return _page(request, session, None, None)


@router.post("/{kind}")
def request_export(
    request: Request, session: SessionDep, at: AtDep, _who: Admin, form: FormDep, kind: ExportKind
) -> Response:
    """The file is written in the background."""
    chosen = ExportFormat.JSONL if form.get("format") == "jsonl" else ExportFormat.CSV
    try:
        service.request(session, kind, chosen, options_of(kind, form), at=at)
    except ExportInvalidError as error:
        return _page(request, session, error, form)
    return RedirectResponse("/admin/users/exports", status_code=303)


@router.get("/{export_id}/file")
def download(session: SessionDep, at: AtDep, who: Admin, export_id: str) -> Response:
    """The file, named after who takes it."""
    row = service.get(session, ExportId(UUID(bytes=decode_id("exp", export_id).bytes)))
    path = service.download(session, row, at=at)
    name = f"{row.kind}-{row.created_at:%Y-%m-%d}-{encode_id('mem', who.member.id)}.{row.format}"
    return FileResponse(path, filename=name, media_type="application/octet-stream")


def _page(
    request: Request,
    session: Session,
    error: ExportInvalidError | None,
    form: FormData | None,
) -> Response:
    exports = service.list_exports(session)
    is_moving = any(row.state is ExportState.RUNNING for row in exports)
    context: dict[str, Any] = {
        "exports": exports,
        "fields": list(catalogue(session).values()),
        "chosen": DEFAULT_COLUMNS if form is None else form.getlist("columns"),
        "lists": list_choices(session),
        "states": list(UserState),
        "error": error,
        "encode_id": encode_id,
    }
    if error is not None:
        return render(request, _LIST, status_code=error.status, is_moving=False, **context)
    return render_part(request, _LIST, block="exports", is_moving=is_moving, **context)

"""Screens of the import of members, from file to report."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, UploadFile
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Analyst, Editor
from app.uploads.errors import FileUnreadableError
from app.users import imports, queries
from app.users.errors import MappingInvalidError
from app.users.models import ImportState, UserImport
from app.users.survey import Forecast
from app.users.table import Field, peek
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.i18n import gettext as _
from app.web.rendering import render, render_part
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import ImportId

router = APIRouter(prefix="/admin/users")
IMPORT_BYTES = 64_000_000
_SHOW = "users/import_show.html"
_RUNNING = (ImportState.RUNNING, ImportState.INTERRUPTED)


@router.get("/import")
def new_import(request: Request, _who: Editor) -> Response:
    """The upload form."""
    return _upload_page(request, None)


@router.post("/import")
def upload(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, file: UploadFile | None = None
) -> Response:
    """The file is stored and its mapping proposed."""
    if file is None or not file.filename:
        return _upload_page(request, FileUnreadableError(_("Choose a CSV file first.")))
    try:
        row = imports.upload(session, file.filename, file.file, at=at)
    except FileUnreadableError as error:
        return _upload_page(request, error)
    return RedirectResponse(_address(row), status_code=303)


@router.get("/imports/{import_id}")
def show_import(request: Request, session: SessionDep, _who: Analyst, import_id: str) -> Response:
    """The import where it stands: mapping, progress or report."""
    row = _import(session, import_id)
    return _import_page(request, session, row)


@router.post("/imports/{import_id}")
def run_import(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, form: FormDep, import_id: str
) -> Response:
    """The chosen mapping is checked and the import starts."""
    row = _import(session, import_id)
    chosen = {
        position: Field(value)
        for position in range(len(row.columns))
        if (value := str(form.get(f"column-{position}", ""))) in set(Field)
    }
    try:
        imports.choose_mapping(session, row, chosen)
    except MappingInvalidError as error:
        return _import_page(request, session, row, error=error, chosen=chosen)
    imports.start(session, row, at=at)
    return RedirectResponse(_address(row), status_code=303)


@router.get("/imports/{import_id}/refused.csv")
def download_refused(session: SessionDep, _who: Editor, import_id: str) -> Response:
    """The refused rows with line and reason."""
    row = _import(session, import_id)
    lines = list(imports.refusals_as_csv(session, row))
    return StreamingResponse(
        iter(lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="refused-rows.csv"'},
    )


def _import(session: Session, text: str) -> UserImport:
    return imports.get(session, ImportId(UUID(bytes=decode_id("imp", text).bytes)))


def _address(row: UserImport) -> str:
    return f"/admin/users/imports/{encode_id('imp', row.id)}"


def _upload_page(request: Request, error: InvalidError | None) -> Response:
    status = error.status if error else 200
    return render(request, "users/import.html", status_code=status, error=error, limit=IMPORT_BYTES)


def _forecast(row: UserImport) -> Forecast | None:
    """None where nobody could be imported until somebody says which column is the address."""
    return imports.forecast(row) if Field.EMAIL in imports.mapping_of(row).values() else None


def _import_page(
    request: Request,
    session: Session,
    row: UserImport,
    *,
    error: InvalidError | None = None,
    chosen: dict[int, Field] | None = None,
) -> Response:
    is_open = row.started_at is None
    context: dict[str, Any] = {
        "row": row,
        "address": _address(row),
        "is_open": is_open,
        "sample": peek(imports.file_path(row.id)) if is_open else None,
        "forecast": _forecast(row) if is_open and not error else None,
        "mapping": imports.mapping_of(row) if chosen is None else chosen,
        "fields": list(Field),
        "refusals": queries.list_refusals(session, row.id),
        "error": error,
    }
    if is_open:
        status = error.status if error else 200
        return render(request, _SHOW, status_code=status, is_moving=False, **context)
    is_moving = row.state in _RUNNING
    return render_part(request, _SHOW, block="progress", is_moving=is_moving, **context)

"""Screens of imports: from the file over its columns and a trial to the report, and back."""

import io
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Query, UploadFile
from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Analyst, Editor
from app.uploads.errors import FileUnreadableError
from app.uploads.tables import ENCODINGS
from app.users.imports import forms, queries, service
from app.users.imports.models import ImportKind, Mode, OnDuplicate, OnEmpty, UserImport
from app.users.slots import Kind
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.i18n import gettext as _
from app.web.rendering import render, render_part
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import ImportId, utc_now

router = APIRouter(prefix="/admin/users")
ToDep = Annotated[str, Query(alias="list")]
"""The list everybody of the file comes on, as its page asked for."""
_SHOW = "users/import_show.html"


@router.get("/import")
def new_import(
    request: Request, _who: Editor, kind: ImportKind = ImportKind.USERS, to: ToDep = ""
) -> Response:
    """The upload form."""
    return _upload_page(request, None, kind, to)


@router.post("/import")
def upload(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    file: UploadFile | None = None,
    kind: Annotated[ImportKind, Form()] = ImportKind.USERS,
    to: Annotated[str, Form(alias="list")] = "",
) -> Response:
    """The file is stored and looked at."""
    if file is None or not file.filename:
        return _upload_page(request, FileUnreadableError(_("Choose a file first.")), kind, to)
    list_id = forms.list_of(session, to)
    row = service.upload(session, file.filename, file.file, kind=kind, list_id=list_id, at=at)
    return RedirectResponse(_address(row), status_code=303)


@router.post("/import/paste")
def paste(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, form: FormDep
) -> Response:
    """What was pasted is stored like a file."""
    text, kind, to = forms.pasted(form)
    if not text.strip() or len(text) > service.PASTE_BYTES:
        return _upload_page(
            request, FileUnreadableError(_("Paste cells of 5 MB at most.")), kind, to
        )
    list_id, content = forms.list_of(session, to), io.BytesIO(text)
    row = service.upload(session, _("Pasted cells"), content, kind=kind, list_id=list_id, at=at)
    return RedirectResponse(_address(row), status_code=303)


@router.get("/imports/{import_id}")
def show_import(request: Request, session: SessionDep, _who: Analyst, import_id: str) -> Response:
    """The import where it stands: mapping, progress or report."""
    return _import_page(request, session, _import(session, import_id))


@router.post("/imports/{import_id}")
def map_import(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, form: FormDep, import_id: str
) -> Response:
    """The chosen mapping is checked, and the import is tried or starts."""
    row = _import(session, import_id)
    begin = service.preview if form.get("act") == "preview" else service.start
    try:
        with session.begin_nested():  # properties of a mapping that is refused are not made
            forms.choose(session, row, form, at=at)
            begin(session, row, at=at)
    except InvalidError as error:
        session.expire_all()
        return _import_page(request, session, _import(session, import_id), error=error, form=form)
    return RedirectResponse(_address(row), status_code=303)


@router.post("/imports/{import_id}/layout")
def read_again(session: SessionDep, _who: Editor, form: FormDep, import_id: str) -> Response:
    """The file is read in another way."""
    row = _import(session, import_id)
    service.choose_layout(session, row, forms.layout_of(row, form))
    return RedirectResponse(_address(row), status_code=303)


@router.post("/imports/{import_id}/pause")
def pause_import(session: SessionDep, _who: Editor, import_id: str) -> Response:
    """The import stands still after the part it is at."""
    row = _import(session, import_id)
    service.pause(session, row)
    return RedirectResponse(_address(row), status_code=303)


@router.post("/imports/{import_id}/resume")
def resume_import(session: SessionDep, at: AtDep, _who: Editor, import_id: str) -> Response:
    """The import goes on."""
    row = _import(session, import_id)
    service.resume(session, row, at=at)
    return RedirectResponse(_address(row), status_code=303)


@router.post("/imports/{import_id}/undo")
def undo_import(session: SessionDep, at: AtDep, _who: Editor, import_id: str) -> Response:
    """What the import did is taken back."""
    row = _import(session, import_id)
    service.undo(session, row, at=at)
    return RedirectResponse(_address(row), status_code=303)


@router.get("/imports/{import_id}/refused.csv")
def download_refused(session: SessionDep, _who: Editor, import_id: str) -> Response:
    """The refused rows with line, reason, column and what it would take."""
    row = _import(session, import_id)
    return StreamingResponse(
        iter(list(queries.refusals_as_csv(session, row))),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="refused-rows.csv"'},
    )


def _import(session: Session, text: str) -> UserImport:
    return service.get(session, ImportId(UUID(bytes=decode_id("imp", text).bytes)))


def _address(row: UserImport) -> str:
    return f"/admin/users/imports/{encode_id('imp', row.id)}"


def _upload_page(
    request: Request, error: InvalidError | None, kind: ImportKind, to: str
) -> Response:
    status = error.status if error else 200
    return render(
        request,
        "users/import.html",
        status_code=status,
        error=error,
        limit=service.FILE_BYTES,
        kind=kind,
        list_id=to,
    )


def _import_page(
    request: Request,
    session: Session,
    row: UserImport,
    *,
    error: InvalidError | None = None,
    form: FormData | None = None,
) -> Response:
    is_open = row.state in service.EDITABLE
    context: dict[str, Any] = {
        "row": row,
        "address": _address(row),
        "is_open": is_open,
        "is_undoable": service.is_undoable(row, at=utc_now()),
        "progress": service.progress(row, at=utc_now()),
        "error": error,
        "encode_id": encode_id,
    }
    if is_open:
        context |= forms.choices(session, row, form)
        context |= {
            "encodings": ENCODINGS,
            "modes": list(Mode),
            "empties": list(OnEmpty),
            "duplicates": list(OnDuplicate),
            "kinds": list(Kind),
        }
        if error is None:
            return render_part(request, _SHOW, block="progress", is_moving=False, **context)
        return render(request, _SHOW, status_code=error.status, is_moving=False, **context)
    context["refusals"] = queries.list_refusals(session, row.id)
    context["conflicts"] = queries.list_conflicts(session, row.id)
    is_moving = row.state in service.MOVING
    return render_part(request, _SHOW, block="progress", is_moving=is_moving, **context)

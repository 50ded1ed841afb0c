"""Screens of a perk's codes: files in, codes made, voided, and taken out by an admin."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, UploadFile
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Admin, Analyst, Editor
from app.perks import code_files, codes
from app.perks.admin import address_of, get_perk, head_of
from app.perks.code_models import CodeFileState
from app.perks.errors import PatternInvalidError
from app.perks.models import Perk
from app.perks.patterns import EASY, Pattern
from app.uploads.errors import FileUnreadableError
from app.web.deps import AtDep, FormDep, SessionDep
from app.web.i18n import gettext as _
from app.web.rendering import render, render_part
from core.db import merchant_of
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import CodeFileId

router = APIRouter(prefix="/admin/perks/{perk_id}/codes")
_CSV = "text/csv; charset=utf-8"
BLANK = {"prefix": "", "alphabet": EASY, "length": "10", "has_check": "", "count": "1000"}


@router.get("")
def show_codes(request: Request, session: SessionDep, _who: Analyst, perk_id: str) -> Response:
    """The pool, and the files on their way into it."""
    return _page(request, session, get_perk(session, perk_id))


@router.post("")
def upload_codes(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    perk_id: str,
    file: UploadFile | None = None,
) -> Response:
    """The codes of the file are on their way."""
    perk = get_perk(session, perk_id)
    if file is None or not file.filename:
        return _page(request, session, perk, FileUnreadableError(_("Choose a file first.")))
    code_files.upload(session, perk, file.filename, file.file, at=at)
    return _back(perk)


@router.post("/made")
def make_codes(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, perk_id: str, form: FormDep
) -> Response:
    """So many codes are being made, or the form says what to change."""
    perk = get_perk(session, perk_id)
    typed = {name: str(form.get(name, "")) for name in BLANK}
    try:
        code_files.generate(session, perk, _pattern(typed), _number(typed, "count"), at=at)
    except InvalidError as error:
        return _page(request, session, perk, error, typed=typed)
    return _back(perk)


@router.post("/void")
def void_codes(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    perk_id: str,
    typed: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """These codes are void, and whoever had one has it no more."""
    perk = get_perk(session, perk_id)
    try:
        voided = codes.void_typed(session, perk, typed, reason=reason, at=at)
    except InvalidError as error:
        return _page(request, session, perk, error)
    return _page(request, session, perk, voided=voided)


@router.post("/void-free")
def void_free_codes(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    perk_id: str,
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Codes that nobody has are void."""
    perk = get_perk(session, perk_id)
    try:
        count = codes.void_free(session, perk, reason=reason, at=at)
    except InvalidError as error:
        return _page(request, session, perk, error)
    return _page(request, session, perk, voided=codes.Voided(count))


@router.post("/export")
def export_codes(session: SessionDep, at: AtDep, _who: Admin, perk_id: str) -> Response:
    """Every code of the pool in the open; who took them is written down first."""
    perk = get_perk(session, perk_id)
    codes.log_export(session, perk, at=at)
    lines = codes.written(merchant_of(session), perk.id, actor=session.info["actor"])
    return StreamingResponse(lines, media_type=_CSV, headers=_file("codes.csv"))


@router.get("/{file_id}/refused.csv")
def download_refused(session: SessionDep, _who: Editor, perk_id: str, file_id: str) -> Response:
    """The refused rows with line and reason."""
    perk = get_perk(session, perk_id)
    row = code_files.get(session, perk, CodeFileId(decode_id("cdf", file_id)))
    lines = iter(list(code_files.refusals_as_csv(session, row)))
    return StreamingResponse(lines, media_type=_CSV, headers=_file("refused-codes.csv"))


def _file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}


def _pattern(typed: dict[str, str]) -> Pattern:
    return Pattern(
        prefix=typed["prefix"].strip(),
        alphabet=typed["alphabet"].strip(),
        length=_number(typed, "length"),
        has_check=bool(typed["has_check"]),
    )


def _number(typed: dict[str, str], name: str) -> int:
    plain = typed[name].strip().replace(",", "")
    if not (plain.isascii() and plain.isdecimal() and len(plain) <= 9):
        raise PatternInvalidError({name: _("A whole number.")})
    return int(plain)


def _back(perk: Perk) -> Response:
    return RedirectResponse(f"{address_of(perk)}/codes", status_code=303)


def _page(
    request: Request,
    session: Session,
    perk: Perk,
    error: InvalidError | None = None,
    *,
    typed: dict[str, str] = BLANK,
    voided: codes.Voided | None = None,
) -> Response:
    files = code_files.of_perk(session, perk.id)
    is_moving = any(row.state is CodeFileState.RUNNING for row in files)
    context: dict[str, Any] = {
        **head_of(session, perk),
        "files": files,
        "error": error,
        "typed": typed,
        "voided": voided,
        "limit": code_files.FILE_BYTES,
        "file_id": lambda row: encode_id("cdf", row.id),
    }
    if error is not None or voided is not None:
        status = error.status if error else 200
        return render(request, "perks/codes.html", status_code=status, is_moving=False, **context)
    return render_part(request, "perks/codes.html", block="files", is_moving=is_moving, **context)

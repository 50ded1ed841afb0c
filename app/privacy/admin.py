"""The privacy tab of a member's record: a copy of everything, two made one, somebody forgotten."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Admin, Analyst
from app.accounts.emails import EmailInvalidError
from app.accounts.service import names_of
from app.privacy import copies, erasure, merging
from app.privacy.errors import ConfirmationMissingError, MergeRefusedError
from app.users.errors import UserNotFoundError
from app.users.models import User
from app.users.record_admin import address_of, get_user, head_of
from app.users.service import find_by_email
from app.web.deps import AtDep, SessionDep
from app.web.i18n import gettext as _
from app.web.rendering import render
from core.errors import AppError, InvalidError
from core.ids import UnknownIdentifierError, decode_id
from core.types import SubjectExportId

router = APIRouter(prefix="/admin/users/{user_id}/privacy")
ZIP = "application/zip"


@router.get("")
def show_privacy(request: Request, session: SessionDep, _who: Analyst, user_id: str) -> Response:
    """What can be asked for, and what was."""
    return _page(request, session, get_user(session, user_id), None)


@router.post("/copy")
def request_copy(session: SessionDep, at: AtDep, _who: Admin, user_id: str) -> Response:
    """A copy is being made."""
    user = get_user(session, user_id)
    copies.request(session, user, at=at)
    return _back(user)


@router.get("/copies/{export_id}")
def download_copy(
    session: SessionDep, at: AtDep, _who: Admin, user_id: str, export_id: str
) -> Response:
    """The archive."""
    user = get_user(session, user_id)
    found = SubjectExportId(decode_id("cpy", export_id))
    content = copies.read(session, user.id, found, at=at)
    return as_download(content, export_id)


@router.post("/erase")
def request_erasure(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    user_id: str,
    reason: Annotated[str, Form()] = "",
    confirmation: Annotated[str, Form()] = "",
) -> Response:
    """The member is forgotten in a week, if the address was typed."""
    user = get_user(session, user_id)
    try:
        _confirm(user, confirmation)
        erasure.request(session, user, reason=reason, at=at)
    except InvalidError as error:
        return _page(request, session, user, error, typed=reason)
    return _back(user)


@router.post("/keep")
def cancel_erasure(session: SessionDep, at: AtDep, _who: Admin, user_id: str) -> Response:
    """The member stays."""
    user = get_user(session, user_id)
    erasure.cancel(session, user, at=at)
    return _back(user)


@router.get("/merge")
def preview_merge(
    request: Request, session: SessionDep, _who: Admin, user_id: str, other: str = ""
) -> Response:
    """What merging another member into this one would do."""
    user = get_user(session, user_id)
    try:
        found = _named(session, other)
        return _merge_page(request, session, user, found, None)
    except (MergeRefusedError, EmailInvalidError, UserNotFoundError) as error:
        return _page(request, session, user, error)


@router.post("/merge")
def merge_users(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    user_id: str,
    other: Annotated[str, Form()] = "",
    confirmation: Annotated[str, Form()] = "",
) -> Response:
    """The two are one, if the address of who goes away was typed."""
    user, found = get_user(session, user_id), get_user(session, other)
    try:
        _confirm(found, confirmation)
    except ConfirmationMissingError as error:
        return _merge_page(request, session, user, found, error)
    merging.merge(session, user, found, at=at)
    return RedirectResponse(address_of(user.id), status_code=303)


def as_download(content: bytes, name: str) -> Response:
    """The archive as a file to keep."""
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.zip"',
        "Cache-Control": "no-store",
    }
    return Response(content, media_type=ZIP, headers=headers)


def _back(user: User) -> Response:
    return RedirectResponse(f"{address_of(user.id)}/privacy", status_code=303)


def _confirm(user: User, typed: str) -> None:
    if typed.strip() != user.email:
        raise ConfirmationMissingError


def _named(session: Session, text: str) -> User:
    """By address or by id, whichever was typed."""
    if text.startswith("usr_"):
        try:
            return get_user(session, text.strip())
        except UnknownIdentifierError:
            pass
    found = find_by_email(session, text) if text.strip() else None
    if found is None:
        raise MergeRefusedError(_("Nobody has this address or id."))
    return found


def _page(
    request: Request, session: Session, user: User, error: AppError | None, *, typed: str = ""
) -> Response:
    pending = erasure.find_open(session, user.id)
    context: dict[str, Any] = {
        "pending": pending,
        "copies": copies.of_member(session, user.id),
        "names": names_of(session, [pending.actor] if pending else []),
        "error": error,
        "problems": error.fields if isinstance(error, InvalidError) else {},
        "typed": typed,
        "grace_days": erasure.GRACE.days,
        "kept_days": copies.KEPT.days,
    }
    status = error.status if error else 200
    head = head_of(session, user)
    return render(request, "privacy/tab.html", status_code=status, **context, **head)


def _merge_page(
    request: Request, session: Session, user: User, other: User, error: InvalidError | None
) -> Response:
    return render(
        request,
        "privacy/merge.html",
        status_code=error.status if error else 200,
        other=other,
        preview=merging.preview(session, user, other),
        error=error,
        **head_of(session, user),
    )

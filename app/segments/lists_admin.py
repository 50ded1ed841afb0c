"""Screens of lists: made, named, filled by hand, put away, deleted unless something uses them."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.accounts.emails import EmailInvalidError
from app.segments import usage
from app.users import lists, queries
from app.users.errors import ListInUseError
from app.users.models import User, UserList
from app.users.service import find_by_email
from app.web.deps import AtDep, SessionDep
from app.web.i18n import gettext as _
from app.web.pagination import list_page
from app.web.rendering import render
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import ListId, UserId

router = APIRouter(prefix="/admin/users/lists")
_LISTS = "/admin/users/lists"


@router.get("")
def list_lists(
    request: Request,
    session: SessionDep,
    _who: Analyst,
    archived: bool = False,
    cursor: str | None = None,
) -> Response:
    """The lists, newest first."""
    query = lists.lists(is_archived=archived)
    page = list_page(session, query, keys=[UserList.id], is_descending=True, cursor=cursor)
    return render(
        request,
        "segments/lists.html",
        page=page,
        archived=archived,
        counts=lists.count_members(session, [row.id for row in page.items]),
        encode_id=encode_id,
    )


@router.get("/new")
def new_list(request: Request, _who: Editor) -> Response:
    """The form of a new list."""
    return _form_page(request, "", "", None)


@router.post("/new")
def create_list(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    name: Annotated[str, Form()] = "",
    reference_id: Annotated[str, Form()] = "",
) -> Response:
    """There is a list, or the form comes back with what to change."""
    try:
        row = lists.create(session, name, reference_id=reference_id, at=at)
    except InvalidError as error:
        return _form_page(request, name, reference_id, error)
    return RedirectResponse(_address(row), status_code=303)


@router.get("/{list_id}")
def show_list(
    request: Request, session: SessionDep, _who: Analyst, list_id: str, cursor: str | None = None
) -> Response:
    """The list and who is on it."""
    return _page(request, session, _get(session, list_id), cursor=cursor)


@router.post("/{list_id}")
def rename_list(
    request: Request,
    session: SessionDep,
    _who: Editor,
    list_id: str,
    name: Annotated[str, Form()] = "",
    reference_id: Annotated[str, Form()] = "",
) -> Response:
    """The list is called so."""
    row = _get(session, list_id)
    try:
        lists.rename(session, row, name=name, reference_id=reference_id)
    except InvalidError as error:
        return _page(request, session, row, error=error, typed=(name, reference_id))
    return RedirectResponse(_address(row), status_code=303)


@router.post("/{list_id}/members")
def change_members(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    list_id: str,
    email: Annotated[str, Form()] = "",
    user: Annotated[str, Form()] = "",
) -> Response:
    """Whoever has the address comes on the list; whose id is sent leaves it."""
    row = _get(session, list_id)
    try:
        _change(session, row, email=email, user=user, at=at)
    except InvalidError as error:
        return _page(request, session, row, error=error)
    return RedirectResponse(_address(row), status_code=303)


@router.post("/{list_id}/archive")
def archive_list(session: SessionDep, at: AtDep, _who: Editor, list_id: str) -> Response:
    """The list is put away, or in use again."""
    row = _get(session, list_id)
    if row.archived_at is None:
        lists.archive(session, row, at=at)
    else:
        lists.restore(session, row)
    return RedirectResponse(_address(row), status_code=303)


@router.post("/{list_id}/delete")
def delete_list(session: SessionDep, at: AtDep, _who: Editor, list_id: str) -> Response:
    """The list is gone, unless something uses it."""
    row = _get(session, list_id)
    uses = usage.of_list(session, row)
    if uses:
        raise ListInUseError(row.name, uses)
    lists.delete_list(session, row, at=at)
    return RedirectResponse(_LISTS, status_code=303)


def _get(session: Session, text: str) -> UserList:
    return lists.get(session, ListId(decode_id("lst", text)))


def _address(row: UserList) -> str:
    return f"{_LISTS}/{encode_id('lst', row.id)}"


def _change(session: Session, row: UserList, *, email: str, user: str, at: Any) -> None:
    if user:
        gone = queries.only(UserId(decode_id("usr", user)))
        lists.remove(session, row, gone, reason="manual", at=at)
        return
    try:
        found = find_by_email(session, email)
    except EmailInvalidError:
        found = None
    if found is None:
        sentence = _("Nobody has this address. Import them, or check the spelling.")
        raise InvalidError(_("Nobody was added."), fields={"email": sentence})
    lists.add(session, row, queries.only(found.id), reason="manual", at=at)


def _page(
    request: Request,
    session: Session,
    row: UserList,
    *,
    cursor: str | None = None,
    error: InvalidError | None = None,
    typed: tuple[str, str] | None = None,
) -> Response:
    query = lists.members_of(row.id)
    return render(
        request,
        "segments/list.html",
        status_code=error.status if error else 200,
        row=row,
        address=_address(row),
        page=list_page(session, query, keys=[User.id], is_descending=True, cursor=cursor),
        total=lists.count_members(session, [row.id]).get(row.id, 0),
        uses=usage.of_list(session, row),
        typed=typed or (row.name, row.reference_id or ""),
        error=error,
        encode_id=encode_id,
    )


def _form_page(
    request: Request, name: str, reference_id: str, error: InvalidError | None
) -> Response:
    return render(
        request,
        "segments/list_new.html",
        status_code=error.status if error else 200,
        name=name,
        reference_id=reference_id,
        error=error,
    )

"""Screens of places."""

from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.perks import places
from app.perks.models import Place
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import PlaceId

router = APIRouter(prefix="/admin/places")


@router.get("")
def list_places(request: Request, session: SessionDep, _who: Analyst) -> Response:
    """Every place in use, and the form of a new one."""
    return _page(request, session, None, None)


@router.post("")
def create_place(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    name: Annotated[str, Form()] = "",
    address: Annotated[str, Form()] = "",
) -> Response:
    """There is a new place, or the form says what to change."""
    try:
        places.save(session, None, name, address, at=at)
    except InvalidError as error:
        return _page(request, session, None, error, typed=(name, address))
    return RedirectResponse("/admin/places", status_code=303)


@router.get("/{place_id}")
def edit_place(request: Request, session: SessionDep, _who: Editor, place_id: str) -> Response:
    """The form of a place."""
    return _page(request, session, _get(session, place_id), None)


@router.post("/{place_id}")
def save_place(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    place_id: str,
    name: Annotated[str, Form()] = "",
    address: Annotated[str, Form()] = "",
) -> Response:
    """The place is as typed, or the form says what to change."""
    place = _get(session, place_id)
    try:
        places.save(session, place, name, address, at=at)
    except InvalidError as error:
        return _page(request, session, place, error, typed=(name, address))
    return RedirectResponse("/admin/places", status_code=303)


@router.post("/{place_id}/archive")
def archive_place(session: SessionDep, at: AtDep, _who: Editor, place_id: str) -> Response:
    """Nothing is used there any more."""
    places.archive(session, _get(session, place_id), at=at)
    return RedirectResponse("/admin/places", status_code=303)


def _get(session: Session, text: str) -> Place:
    return places.get(session, PlaceId(decode_id("plc", text)))


def _page(
    request: Request,
    session: Session,
    place: Place | None,
    error: InvalidError | None,
    *,
    typed: tuple[str, str] | None = None,
) -> Response:
    known = ("", "") if place is None else (place.name, place.address)
    return render(
        request,
        "perks/places.html",
        status_code=error.status if error else 200,
        places=places.list_open(session),
        place=place,
        error=error,
        typed=typed or known,
        encode_id=encode_id,
    )

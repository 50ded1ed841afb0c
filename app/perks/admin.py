"""Screens of perks: list, create, edit, publish, who has it."""

from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.perks import queries, service
from app.perks.models import Holding, Perk, PerkState
from app.perks.schemas import PerkForm
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from core.errors import AppError, InvalidError
from core.ids import decode_id, encode_id
from core.types import PerkId

router = APIRouter(prefix="/admin/perks")


@router.get("")
def list_perks(
    request: Request, session: SessionDep, _who: Analyst, cursor: str | None = None, state: str = ""
) -> Response:
    """Perks, newest first; archived ones only when asked for."""
    chosen = PerkState(state) if state in set(PerkState) else None
    query = queries.perks(state=chosen)
    page = list_page(session, query, keys=[Perk.id], is_descending=True, cursor=cursor)
    counts = queries.received_counts(session, [perk.id for perk in page.items])
    return render(
        request, "perks/list.html", page=page, counts=counts, state=state, encode_id=encode_id
    )


@router.get("/new")
def new_perk(request: Request, _who: Editor) -> Response:
    """The form of a new perk."""
    return _form_page(request, PerkForm(), None)


@router.post("/new")
def create_perk(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    form: Annotated[PerkForm, Form()],
) -> Response:
    """A draft exists, or the form comes back with what to change."""
    try:
        perk = service.create(session, form.as_draft(), at=at)
    except InvalidError as error:
        return _form_page(request, form, error)
    return _to(perk)


@router.get("/{perk_id}")
def show_perk(
    request: Request, session: SessionDep, _who: Analyst, perk_id: str, cursor: str | None = None
) -> Response:
    """The perk and who has it."""
    perk = _get(session, perk_id)
    page = list_page(session, queries.holdings(perk.id), keys=[Holding.id], cursor=cursor)
    return render(
        request,
        "perks/show.html",
        perk=perk,
        base=f"/admin/perks/{perk_id}",
        page=page,
        owners=queries.owners_of(session, page.items),
        received=queries.received_counts(session, [perk.id]).get(perk.id, 0),
        encode_id=encode_id,
    )


@router.get("/{perk_id}/edit")
def edit_perk(request: Request, session: SessionDep, _who: Editor, perk_id: str) -> Response:
    """The form with what the perk is."""
    perk = _get(session, perk_id)
    return _form_page(request, PerkForm.of(perk), None, perk)


@router.post("/{perk_id}/edit")
def save_perk(
    request: Request,
    session: SessionDep,
    _who: Editor,
    perk_id: str,
    form: Annotated[PerkForm, Form()],
) -> Response:
    """The perk is as typed, or the form comes back with what to change."""
    perk = _get(session, perk_id)
    try:
        service.edit(session, perk, form.as_draft())
    except InvalidError as error:
        return _form_page(request, form, error, perk)
    return _to(perk)


@router.post("/{perk_id}/publish")
def publish_perk(session: SessionDep, at: AtDep, _who: Editor, perk_id: str) -> Response:
    """The perk can be given."""
    perk = _get(session, perk_id)
    service.publish(session, perk, at=at)
    return _to(perk)


def _get(session: Session, text: str) -> Perk:
    return service.get(session, PerkId(decode_id("prk", text)))


def _to(perk: Perk) -> Response:
    return RedirectResponse(f"/admin/perks/{encode_id('prk', perk.id)}", status_code=303)


def _form_page(
    request: Request, form: PerkForm, error: AppError | None, perk: Perk | None = None
) -> Response:
    return render(
        request,
        "perks/edit.html",
        status_code=error.status if error else 200,
        form=form,
        error=error,
        perk=perk,
        base="/admin/perks/new" if perk is None else f"/admin/perks/{encode_id('prk', perk.id)}",
    )

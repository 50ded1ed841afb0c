"""Screens of perks: list, create, edit, publish, duplicate, and what each is."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, UploadFile
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.accounts.sessions import SignedInMember
from app.perks import links, places, queries, service
from app.perks.drafting import PerkDraft, draft_of
from app.perks.models import Perk, PerkState
from app.perks.schemas import PerkForm
from app.perks.terms import PLACEHOLDERS, RedemptionType
from app.perks.using import places_of
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import PerkId
from minting.content import content_store
from minting.errors import ImageInvalidError
from minting.media import render_image

router = APIRouter(prefix="/admin/perks")
MEDIA_BYTES = 5_000_000
BLANK = PerkForm.of(PerkDraft("", ""))


@router.get("")
def list_perks(
    request: Request, session: SessionDep, _who: Analyst, cursor: str | None = None, state: str = ""
) -> Response:
    """Perks, newest first; archived ones only when asked for."""
    chosen = PerkState(state) if state in {"draft", "live", "archived"} else None
    query = queries.perks(state=chosen)
    page = list_page(session, query, keys=[Perk.id], is_descending=True, cursor=cursor)
    counts = queries.counts_of(session, [perk.id for perk in page.items])
    return render(
        request, "perks/list.html", page=page, counts=counts, state=state, encode_id=encode_id
    )


@router.get("/new")
def new_perk(request: Request, session: SessionDep, who: Editor) -> Response:
    """The form of a new perk."""
    return _form_page(request, session, who, BLANK, None)


@router.post("/new")
def create_perk(
    request: Request,
    session: SessionDep,
    at: AtDep,
    who: Editor,
    form: Annotated[PerkForm, Form()],
) -> Response:
    """A draft exists, or is live at once, or the form comes back with what to change."""
    try:
        with session.begin_nested():
            perk = service.create(session, form.as_draft(), at=at)
            if form.act == "publish":
                service.publish(session, perk, at=at)
    except InvalidError as error:
        return _form_page(request, session, who, form, error)
    return _to(perk)


@router.get("/{perk_id}")
def show_perk(request: Request, session: SessionDep, _who: Analyst, perk_id: str) -> Response:
    """The perk: what it is, and how many of it are where."""
    return _show_page(request, session, get_perk(session, perk_id), None)


@router.post("/{perk_id}/visual")
def upload_visual(
    request: Request,
    session: SessionDep,
    _who: Editor,
    perk_id: str,
    image: UploadFile | None = None,
) -> Response:
    """The perk has this picture, or the page says why it cannot be used."""
    perk = get_perk(session, perk_id)
    try:
        media = render_image(b"" if image is None else image.file.read(MEDIA_BYTES + 1))
    except ImageInvalidError as error:
        return _show_page(request, session, perk, error)
    service.picture(session, content_store(), perk, media)
    return _to(perk)


@router.get("/{perk_id}/edit")
def edit_perk(request: Request, session: SessionDep, who: Editor, perk_id: str) -> Response:
    """The form with what the perk is."""
    perk = get_perk(session, perk_id)
    return _form_page(request, session, who, PerkForm.of(draft_of(session, perk)), None, perk)


@router.post("/{perk_id}/edit")
def save_perk(
    request: Request,
    session: SessionDep,
    at: AtDep,
    who: Editor,
    perk_id: str,
    form: Annotated[PerkForm, Form()],
) -> Response:
    """The perk is as typed, or the form comes back with what to change."""
    perk = get_perk(session, perk_id)
    try:
        with session.begin_nested():
            for_all = form.for_all != ""
            service.edit(session, perk, form.as_draft(), is_validity_for_all=for_all)
            if form.act == "publish":
                service.publish(session, perk, at=at)
    except InvalidError as error:
        return _form_page(request, session, who, form, error, get_perk(session, perk_id))
    return _to(perk)


@router.post("/{perk_id}/publish")
def publish_perk(
    request: Request, session: SessionDep, at: AtDep, who: Editor, perk_id: str
) -> Response:
    """The perk can be given, or its form says what is missing."""
    perk = get_perk(session, perk_id)
    try:
        with session.begin_nested():
            service.publish(session, perk, at=at)
    except InvalidError as error:
        form = PerkForm.of(draft_of(session, perk))
        return _form_page(request, session, who, form, error, perk)
    return _to(perk)


@router.post("/{perk_id}/duplicate")
def duplicate_perk(
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    perk_id: str,
    internal_name: Annotated[str, Form()] = "",
) -> Response:
    """A draft like it, under another name."""
    perk = get_perk(session, perk_id)
    return _to(service.duplicate(session, perk, internal_name, at=at))


def get_perk(session: Session, text: str) -> Perk:
    """The perk with this public identifier.

    Raises:
        PerkNotFoundError, UnknownIdentifierError: there is none.
    """
    return service.get(session, PerkId(decode_id("prk", text)))


def address_of(perk: Perk) -> str:
    """Where the perk's page is."""
    return f"/admin/perks/{encode_id('prk', perk.id)}"


def head_of(session: Session, perk: Perk) -> dict[str, Any]:
    """What every page of a perk shows around itself."""
    return {
        "perk": perk,
        "base": address_of(perk),
        "counts": queries.counts_of(session, [perk.id])[perk.id],
        "is_physical": perk.redemption is RedemptionType.PHYSICAL,
        "encode_id": encode_id,
    }


def _show_page(
    request: Request, session: Session, perk: Perk, error: InvalidError | None
) -> Response:
    return render(
        request,
        "perks/show.html",
        status_code=error.status if error else 200,
        **head_of(session, perk),
        places=places_of(session, perk),
        link_key=links.key_of(perk) if perk.terms.signature else None,
        limit=MEDIA_BYTES,
        error=error,
    )


def _to(perk: Perk) -> Response:
    return RedirectResponse(address_of(perk), status_code=303)


def _form_page(
    request: Request,
    session: Session,
    who: SignedInMember,
    form: PerkForm,
    error: InvalidError | None,
    perk: Perk | None = None,
) -> Response:
    return render(
        request,
        "perks/edit.html",
        status_code=error.status if error else 200,
        form=form,
        error=error,
        perk=perk,
        base="/admin/perks/new" if perk is None else address_of(perk),
        places=places.list_open(session),
        placeholders=", ".join(f"{{{{{it}}}}}" for it in PLACEHOLDERS),
        time_zone=who.merchant.time_zone,
        holders=0 if perk is None else queries.count_available(session, perk.id),
        encode_id=encode_id,
    )

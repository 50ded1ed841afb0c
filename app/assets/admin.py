"""Screens of digital assets: list, create, publish, change, owners."""

from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Admin, Analyst, Editor
from app.assets import queries
from app.assets.schemas import AssetForm
from app.uploads.export import as_csv
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render, render_part
from core.db import merchant_of
from core.errors import AppError, InvalidError
from core.ids import decode_id, encode_id
from core.types import AssetId, TokenRowId
from minting import assets, changes
from minting.content import content_store
from minting.media import Media, render_image
from minting.models import ContractState, DigitalAsset, PlanState, Token, TokenState

router = APIRouter(prefix="/admin/assets")
MEDIA_BYTES = 32_000_000


@router.get("")
def list_assets(
    request: Request,
    session: SessionDep,
    _who: Analyst,
    cursor: str | None = None,
    archived: bool = False,
) -> Response:
    """Assets, newest first; those in the archive only when asked for."""
    query, keys = queries.assets(is_archived=archived), [DigitalAsset.id]
    page = list_page(session, query, keys=keys, is_descending=True, cursor=cursor)
    counts = queries.owned_counts(session, [asset.id for asset in page.items])
    return render(
        request,
        "assets/list.html",
        page=page,
        counts=counts,
        archived=archived,
        encode_id=encode_id,
    )


@router.get("/new")
def new_asset(request: Request, _who: Editor) -> Response:
    """The form of a new asset."""
    return _form_page(request, AssetForm(), None)


@router.post("/new")
def create_asset(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    form: Annotated[AssetForm, Form()],
) -> Response:
    """A draft exists, or the form comes back with what to change."""
    try:
        media = render_image(_read(form.image))
        asset = assets.create(session, content_store(), form.as_draft(), media, at=at)
    except InvalidError as error:
        return _form_page(request, form, error)
    return _to(asset)


@router.get("/{asset_id}")
def show_asset(
    request: Request,
    session: SessionDep,
    _who: Analyst,
    asset_id: str,
    cursor: str | None = None,
    block: str = "",
) -> Response:
    """The asset, its contract and its owners, now or after a block."""
    asset = _get(session, asset_id)
    try:
        return _show(request, session, asset, cursor=cursor, block=_block(block))
    except InvalidError as error:
        return _show(request, session, asset, error=error)


@router.get("/{asset_id}/edit")
def edit_asset(request: Request, session: SessionDep, _who: Editor, asset_id: str) -> Response:
    """The form with what the asset is."""
    asset = _get(session, asset_id)
    return _form_page(request, AssetForm.of(asset), None, asset)


@router.post("/{asset_id}/edit")
def save_asset(
    request: Request,
    session: SessionDep,
    at: AtDep,
    who: Editor,
    asset_id: str,
    form: Annotated[AssetForm, Form()],
) -> Response:
    """The asset is as typed, or the form comes back with what to change."""
    asset, store = _get(session, asset_id), content_store()
    form = form.with_fixed(asset)
    try:
        draft, media = form.as_draft(), _media(form.image)
        changes.save(session, store, asset, draft, media, issuer_name=who.merchant.name, at=at)
    except InvalidError as error:
        return _form_page(request, form, error, asset)
    return _to(asset)


@router.post("/{asset_id}/duplicate")
def duplicate_asset(
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    asset_id: str,
    internal_name: Annotated[str, Form()] = "",
) -> Response:
    """A draft like it, under another name."""
    asset = _get(session, asset_id)
    return _to(assets.duplicate(session, asset, internal_name=internal_name, at=at))


@router.post("/{asset_id}/restore")
def restore_asset(session: SessionDep, _who: Editor, asset_id: str) -> Response:
    """It can be given again."""
    asset = _get(session, asset_id)
    assets.restore(session, asset)
    return _to(asset)


@router.post("/{asset_id}/revoke")
def revoke_tokens(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Admin,
    asset_id: str,
    token: Annotated[list[str] | None, Form()] = None,
    reason: Annotated[str, Form()] = "",
) -> Response:
    """These tokens end once the chain confirms it, or the page says what is missing."""
    asset = _get(session, asset_id)
    ids = [TokenRowId(decode_id("tok", text)) for text in token or []]
    actor = session.info["actor"]
    try:
        changes.revoke(session, asset, ids, reason=reason, actor=actor, at=at)
    except InvalidError as error:
        return _show(request, session, asset, error=error, chosen=frozenset(ids))
    return _to(asset)


@router.get("/{asset_id}/owners.csv")
def download_owners(session: SessionDep, _who: Admin, asset_id: str, block: str = "") -> Response:
    """Everybody who has one, or is about to; or who had one after a block."""
    asset = _get(session, asset_id)
    rows = queries.owner_rows(merchant_of(session), asset.id, block=_block(block))
    return StreamingResponse(
        as_csv(rows),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="owners.csv"'},
    )


@router.post("/{asset_id}/publish")
def publish_asset(session: SessionDep, at: AtDep, who: Editor, asset_id: str) -> Response:
    """The asset is on its way to the chain."""
    asset = _get(session, asset_id)
    assets.publish(session, content_store(), asset, issuer_name=who.merchant.name, at=at)
    return RedirectResponse(f"/admin/assets/{asset_id}", status_code=303)


def _get(session: Session, text: str) -> DigitalAsset:
    return assets.get(session, AssetId(decode_id("das", text)))


def _to(asset: DigitalAsset) -> Response:
    return RedirectResponse(f"/admin/assets/{encode_id('das', asset.id)}", status_code=303)


def _block(text: str) -> int | None:
    """Raises: InvalidError: no number that a block can have."""
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdecimal() and len(text) <= 18):
        sentence = "A block is a whole number, such as 1024."
        raise InvalidError(sentence, fields={"block": sentence})
    return int(text)


def _media(image: object) -> Media | None:
    """None where no file was sent: the image stays."""
    is_sent = isinstance(image, UploadFile) and bool(image.filename)
    return render_image(_read(image)) if is_sent else None


def _read(image: object) -> bytes:
    if not isinstance(image, UploadFile) or not image.filename:
        sentence = "Choose a square image of at least 400 pixels a side."
        raise InvalidError("The digital asset cannot be saved yet.", fields={"image": sentence})
    return image.file.read(MEDIA_BYTES + 1)


def _show(
    request: Request,
    session: Session,
    asset: DigitalAsset,
    *,
    cursor: str | None = None,
    block: int | None = None,
    error: AppError | None = None,
    chosen: frozenset[TokenRowId] = frozenset(),
) -> Response:
    tokens = queries.tokens(asset.id, block=block)
    page = list_page(session, tokens, keys=[Token.id], cursor=cursor)
    decisions = queries.decisions(session, asset.id)
    counts = queries.counts_by_state(session, asset.id)
    goes_on = any(decision.state is PlanState.RUNNING for decision in decisions)
    return render_part(
        request,
        "assets/show.html",
        block="standing",
        status_code=error.status if error else 200,
        is_moving=goes_on
        or asset.state is ContractState.PUBLISHING
        or TokenState.MINTING in counts,
        asset=asset,
        asset_id=encode_id("das", asset.id),
        page=page,
        owners=queries.owners_of(session, page.items),
        revocations=queries.revocations(session, page.items),
        counts=counts,
        decisions=decisions,
        versions=[(it, changes.is_withdrawn(it)) for it in changes.versions(session, asset)],
        at_block=block,
        error=error,
        chosen=chosen,
        encode_id=encode_id,
    )


def _form_page(
    request: Request, form: AssetForm, error: AppError | None, asset: DigitalAsset | None = None
) -> Response:
    return render(
        request,
        "assets/new.html",
        status_code=error.status if error else 200,
        form=form,
        error=error,
        limit=MEDIA_BYTES,
        asset=asset,
        base=f"/admin/assets/{encode_id('das', asset.id)}" if asset else "/admin/assets",
        is_published=asset is not None and asset.state is not ContractState.DRAFT,
    )

"""Screens of digital assets: list, create, publish, owners."""

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
from core.types import AssetId
from minting import assets
from minting.content import content_store
from minting.media import render_image
from minting.models import ContractState, DigitalAsset, Token, Transferability

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
    request: Request, session: SessionDep, _who: Analyst, asset_id: str, cursor: str | None = None
) -> Response:
    """The asset, its contract and its owners."""
    return _show(request, session, _get(session, asset_id), cursor=cursor)


@router.get("/{asset_id}/edit")
def edit_asset(request: Request, session: SessionDep, _who: Editor, asset_id: str) -> Response:
    """The form with what the draft is."""
    asset = _get(session, asset_id)
    return _form_page(request, AssetForm.of(asset), None, asset)


@router.post("/{asset_id}/edit")
def save_asset(
    request: Request,
    session: SessionDep,
    _who: Editor,
    asset_id: str,
    form: Annotated[AssetForm, Form()],
) -> Response:
    """The draft is as typed, or the form comes back with what to change."""
    asset = _get(session, asset_id)
    try:
        media = render_image(_read(form.image)) if _is_sent(form.image) else None
        assets.revise(session, content_store(), asset, form.as_draft(), media)
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


@router.post("/{asset_id}/delete")
def delete_asset(session: SessionDep, _who: Editor, asset_id: str) -> Response:
    """The draft is gone."""
    assets.delete(session, _get(session, asset_id))
    return RedirectResponse("/admin/assets", status_code=303)


@router.get("/{asset_id}/owners.csv")
def download_owners(session: SessionDep, _who: Admin, asset_id: str) -> Response:
    """Everybody who has one, or is about to."""
    rows = queries.owner_rows(merchant_of(session), _get(session, asset_id).id)
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


def _is_sent(image: object) -> bool:
    return isinstance(image, UploadFile) and bool(image.filename)


def _read(image: object) -> bytes:
    if not isinstance(image, UploadFile) or not image.filename:
        sentence = "Choose a square image of at least 400 pixels a side."
        raise InvalidError("The digital asset cannot be saved yet.", fields={"image": sentence})
    return image.file.read(MEDIA_BYTES + 1)


def _show(
    request: Request, session: Session, asset: DigitalAsset, *, cursor: str | None
) -> Response:
    page = list_page(session, queries.tokens(asset.id), keys=[Token.id], cursor=cursor)
    return render_part(
        request,
        "assets/show.html",
        block="standing",
        is_moving=asset.state is ContractState.PUBLISHING,
        asset=asset,
        asset_id=encode_id("das", asset.id),
        page=page,
        owners=queries.owners_of(session, page.items),
        owned=queries.owned_counts(session, [asset.id]).get(asset.id, 0),
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
        choices=list(Transferability),
    )

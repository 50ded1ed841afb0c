"""Screens of digital assets: list, create, publish, owners."""

from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.assets import queries
from app.assets.schemas import AssetForm
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render, render_part
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
    request: Request, session: SessionDep, _who: Analyst, cursor: str | None = None
) -> Response:
    """Assets, newest first."""
    keys = [DigitalAsset.id]
    page = list_page(session, queries.assets(), keys=keys, is_descending=True, cursor=cursor)
    counts = queries.owned_counts(session, [asset.id for asset in page.items])
    return render(request, "assets/list.html", page=page, counts=counts, encode_id=encode_id)


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
    return RedirectResponse(f"/admin/assets/{encode_id('das', asset.id)}", status_code=303)


@router.get("/{asset_id}")
def show_asset(
    request: Request, session: SessionDep, _who: Analyst, asset_id: str, cursor: str | None = None
) -> Response:
    """The asset, its contract and its owners."""
    return _show(request, session, _get(session, asset_id), cursor=cursor)


@router.post("/{asset_id}/publish")
def publish_asset(session: SessionDep, at: AtDep, who: Editor, asset_id: str) -> Response:
    """The asset is on its way to the chain."""
    asset = _get(session, asset_id)
    assets.publish(session, content_store(), asset, issuer_name=who.merchant.name, at=at)
    return RedirectResponse(f"/admin/assets/{asset_id}", status_code=303)


def _get(session: Session, text: str) -> DigitalAsset:
    return assets.get(session, AssetId(decode_id("das", text)))


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


def _form_page(request: Request, form: AssetForm, error: AppError | None) -> Response:
    return render(
        request,
        "assets/new.html",
        status_code=error.status if error else 200,
        form=form,
        error=error,
        limit=MEDIA_BYTES,
        choices=list(Transferability),
    )

"""What a digital asset unlocks: perks for whoever owns it."""

from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.perks import service as perks
from app.rewards import unlocking
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render
from core.errors import InvalidError
from core.ids import decode_id, encode_id
from core.types import AssetId, PerkId
from minting import assets
from minting.models import DigitalAsset

router = APIRouter(prefix="/admin/assets/{asset_id}/unlocks")


@router.get("")
def list_unlocks(request: Request, session: SessionDep, _who: Analyst, asset_id: str) -> Response:
    """The perks that come with the asset, and the form of one more."""
    return _page(request, session, _asset(session, asset_id), None)


@router.post("")
def add_unlock(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    asset_id: str,
    perk: Annotated[str, Form()] = "",
) -> Response:
    """Owners receive the perk, too; or the page says why not."""
    asset = _asset(session, asset_id)
    try:
        unlocking.add(session, asset, PerkId(decode_id("prk", perk)), at=at)
    except InvalidError as error:
        return _page(request, session, asset, error)
    return _to(asset)


@router.post("/remove")
def remove_unlock(
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    asset_id: str,
    perk: Annotated[str, Form()] = "",
) -> Response:
    """Nobody more receives the perk with the asset."""
    asset = _asset(session, asset_id)
    unlocking.remove(session, asset.id, PerkId(decode_id("prk", perk)), at=at)
    return _to(asset)


def _asset(session: Session, text: str) -> DigitalAsset:
    return assets.get(session, AssetId(decode_id("das", text)))


def _to(asset: DigitalAsset) -> Response:
    return RedirectResponse(f"/admin/assets/{encode_id('das', asset.id)}/unlocks", status_code=303)


def _page(
    request: Request, session: Session, asset: DigitalAsset, error: InvalidError | None
) -> Response:
    unlocked = unlocking.list_of(session, asset.id)
    taken = {perk.id for perk, _ in unlocked}
    free = [it for it in perks.list_live(session) if it.id not in taken]
    return render(
        request,
        "rewards/unlocks.html",
        status_code=error.status if error else 200,
        asset=asset,
        base=f"/admin/assets/{encode_id('das', asset.id)}",
        unlocked=unlocked,
        choices=[(encode_id("prk", it.id), it.internal_name) for it in free],
        most=unlocking.MOST,
        error=error,
        encode_id=encode_id,
    )

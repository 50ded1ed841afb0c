"""Archives and deletes rewards: whether a campaign still gives them is known here."""

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Editor
from app.campaigns import queries
from app.perks import service as perks
from app.web.deps import SessionDep
from core.ids import decode_id
from core.types import AssetId, PerkId
from minting import assets

router = APIRouter(prefix="/admin")


@router.post("/perks/{perk_id}/archive")
def archive_perk(session: SessionDep, _who: Editor, perk_id: str) -> Response:
    """The perk is given no more."""
    perk = perks.get(session, PerkId(decode_id("prk", perk_id)))
    perks.archive(session, perk, is_in_use=queries.gives(session, perk.id))
    return RedirectResponse(f"/admin/perks/{perk_id}", status_code=303)


@router.post("/perks/{perk_id}/delete")
def delete_perk(session: SessionDep, _who: Editor, perk_id: str) -> Response:
    """Nobody sees the perk any more."""
    perk = perks.get(session, PerkId(decode_id("prk", perk_id)))
    perks.delete(session, perk, is_in_use=queries.gives(session, perk.id))
    return RedirectResponse("/admin/perks", status_code=303)


@router.post("/assets/{asset_id}/archive")
def archive_asset(session: SessionDep, _who: Editor, asset_id: str) -> Response:
    """The digital asset is given no more."""
    asset = assets.get(session, AssetId(decode_id("das", asset_id)))
    assets.archive(session, asset, is_in_use=queries.gives(session, asset.id))
    return RedirectResponse(f"/admin/assets/{asset_id}", status_code=303)


@router.post("/assets/{asset_id}/delete")
def delete_asset(session: SessionDep, _who: Editor, asset_id: str) -> Response:
    """The team sees the digital asset no more."""
    asset = assets.get(session, AssetId(decode_id("das", asset_id)))
    assets.delete(session, asset, is_in_use=queries.gives(session, asset.id))
    return RedirectResponse("/admin/assets", status_code=303)

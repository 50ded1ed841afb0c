"""Archives and deletes a perk: whether a campaign still gives it is known here."""

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Editor
from app.campaigns import queries
from app.perks import service as perks
from app.web.deps import SessionDep
from core.ids import decode_id
from core.types import PerkId

router = APIRouter(prefix="/admin/perks")


@router.post("/{perk_id}/archive")
def archive_perk(session: SessionDep, _who: Editor, perk_id: str) -> Response:
    """The perk is given no more."""
    perk = perks.get(session, PerkId(decode_id("prk", perk_id)))
    perks.archive(session, perk, is_in_use=queries.gives_perk(session, perk.id))
    return RedirectResponse(f"/admin/perks/{perk_id}", status_code=303)


@router.post("/{perk_id}/delete")
def delete_perk(session: SessionDep, _who: Editor, perk_id: str) -> Response:
    """Nobody sees the perk any more."""
    perk = perks.get(session, PerkId(decode_id("prk", perk_id)))
    perks.delete(session, perk, is_in_use=queries.gives_perk(session, perk.id))
    return RedirectResponse("/admin/perks", status_code=303)

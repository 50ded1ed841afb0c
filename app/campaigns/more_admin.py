"""More recipients for a live airdrop: a further file is read, looked at, and added."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, UploadFile
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Editor
from app.campaigns import files, queries, service
from app.campaigns.errors import AudienceFileMissingError, FileNotReadyError
from app.campaigns.models import Campaign
from app.campaigns.paths import base_of, get_campaign
from app.campaigns.standing import rejected_rows, standing
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, render_part
from core.errors import InvalidError
from core.ids import encode_id

router = APIRouter(prefix="/admin/campaigns/{campaign_id}/more")


@router.get("")
def show_more(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, campaign_id: str
) -> Response:
    """The form, and how far the file is."""
    return _page(request, session, _extensible(session, campaign_id), at=at)


@router.post("")
def upload_more(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    campaign_id: str,
    file: UploadFile | None = None,
) -> Response:
    """A file is read while the page shows how far it is."""
    campaign = _extensible(session, campaign_id)
    if file is None or not file.filename:
        return _page(request, session, campaign, at=at, error=AudienceFileMissingError())
    run = queries.get_run(session, campaign.id)
    service.choose_more(session, run, file.filename, file.file, at=at)
    return RedirectResponse(f"{base_of(campaign)}/more", status_code=303)


@router.post("/add")
def add_more(
    session: SessionDep, at: AtDep, _who: Editor, campaign_id: str, file: Annotated[str, Form()]
) -> Response:
    """Whoever the file names and has nothing from the airdrop yet is a recipient."""
    campaign = _extensible(session, campaign_id)
    found = files.find_more(session, campaign)
    if found is None or encode_id("aud", found.id) != file:
        raise FileNotReadyError  # another one was chosen meanwhile, or it was added already
    service.add_rows(session, queries.get_run(session, campaign.id), found, at=at)
    return RedirectResponse(base_of(campaign), status_code=303)


@router.get("/rejected.csv")
def download_rejected(session: SessionDep, _who: Editor, campaign_id: str) -> Response:
    """The rejected rows with line and reason."""
    found = files.find_more(session, get_campaign(session, campaign_id))
    if found is None:
        raise FileNotReadyError
    return rejected_rows(session, found)


def _extensible(session: Session, text: str) -> Campaign:
    campaign = get_campaign(session, text)
    service.check_extensible(session, campaign, queries.get_run(session, campaign.id))
    return campaign


def _page(
    request: Request,
    session: Session,
    campaign: Campaign,
    *,
    at: datetime,
    error: InvalidError | None = None,
) -> Response:
    file = files.find_more(session, campaign)
    context = {
        "campaign": campaign,
        "base": base_of(campaign),
        "place": f"{base_of(campaign)}/more",
        "file_id": encode_id("aud", file.id) if file else None,
        "error": error,
        **standing(session, file, at=at),
    }
    if error is not None:
        context["is_moving"] = False
        return render(request, "campaigns/more.html", status_code=error.status, **context)
    return render_part(request, "campaigns/more.html", block="file", **context)

"""More recipients for a live airdrop: a further file is read, looked at, and added."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, UploadFile
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Editor
from app.campaigns import audiences, files, queries, service
from app.campaigns.errors import AudienceFileMissingError, FileNotReadyError
from app.campaigns.models import AudienceFile, Campaign, FileState
from app.campaigns.paths import base_of, get_campaign
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, render_part
from core.errors import InvalidError
from core.ids import encode_id

router = APIRouter(prefix="/admin/campaigns/{campaign_id}/more")
_MOVING = (FileState.READING, FileState.CHECKING)


@router.get("")
def show_more(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, campaign_id: str
) -> Response:
    """The form, and how far the file is."""
    campaign = _extensible(session, campaign_id)
    file = files.find_more(session, campaign)
    context = _context(session, campaign, file)
    progress = files.progress(file, at=at) if file else None
    return render_part(
        request, "campaigns/more.html", block="file", error=None, progress=progress, **context
    )


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
        return _refuse(request, session, campaign, AudienceFileMissingError())
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
    lines = list(files.rejected_as_csv(session, found))
    return StreamingResponse(
        iter(lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="rejected-rows.csv"'},
    )


def _extensible(session: Session, text: str) -> Campaign:
    campaign = get_campaign(session, text)
    service.check_extensible(session, campaign, queries.get_run(session, campaign.id))
    return campaign


def _refuse(
    request: Request, session: Session, campaign: Campaign, error: InvalidError
) -> Response:
    context = _context(session, campaign, None)
    return render(
        request,
        "campaigns/more.html",
        status_code=error.status,
        error=error,
        progress=None,
        **context,
    )


def _context(session: Session, campaign: Campaign, file: AudienceFile | None) -> dict[str, Any]:
    is_ready = file is not None and file.state is FileState.READY
    return {
        "campaign": campaign,
        "base": base_of(campaign),
        "place": f"{base_of(campaign)}/more",
        "limit": files.FILE_BYTES,
        "file": file,
        "file_id": encode_id("aud", file.id) if file else None,
        "is_moving": file is not None and file.state in _MOVING,
        "reach": audiences.reach_of(session, file) if file and is_ready else None,
        "rejected": files.sample_rejected(session, file) if file and is_ready else [],
    }

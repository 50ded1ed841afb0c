"""Step 2 of the creation flow: who receives it, everybody or whom a file names."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, UploadFile
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.deps import Editor
from app.campaigns import files, service
from app.campaigns.errors import AudienceFileMissingError
from app.campaigns.models import AudienceKind, Campaign
from app.campaigns.paths import base_of, get_campaign, get_draft, to_step
from app.campaigns.standing import rejected_rows, standing
from app.users import queries as users
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, render_part
from core.errors import InvalidError

router = APIRouter(prefix="/admin/campaigns")


@router.get("/{campaign_id}/audience")
def edit_audience(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, campaign_id: str
) -> Response:
    """The choice, and how far the file is."""
    return _page(request, session, get_draft(session, campaign_id), at=at)


@router.post("/{campaign_id}/audience")
def save_audience(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    campaign_id: str,
    audience: Annotated[AudienceKind, Form()] = AudienceKind.ALL,
    file: UploadFile | None = None,
) -> Response:
    """The audience is saved; a new file is read while the page shows how far it is."""
    campaign = get_draft(session, campaign_id)
    if audience is AudienceKind.ALL:
        service.choose_audience(session, campaign, audience)
    elif file is not None and file.filename:
        service.choose_file(session, campaign, file.filename, file.file, at=at)
        return to_step(campaign, "audience")
    elif campaign.audience_id is None:
        return _page(request, session, campaign, at=at, error=AudienceFileMissingError())
    return to_step(campaign, "rewards")


@router.get("/{campaign_id}/audience/rejected.csv")
def download_rejected(session: SessionDep, _who: Editor, campaign_id: str) -> Response:
    """The rejected rows with line and reason."""
    return rejected_rows(session, files.get(session, get_campaign(session, campaign_id)))


def _page(
    request: Request,
    session: Session,
    campaign: Campaign,
    *,
    at: datetime,
    error: InvalidError | None = None,
) -> Response:
    context: dict[str, Any] = {
        "campaign": campaign,
        "base": base_of(campaign),
        "place": f"{base_of(campaign)}/audience",
        "members": users.count_users(session),
        "error": error,
        **standing(session, files.find(session, campaign), at=at),
    }
    if error is not None:
        context |= {"is_moving": False, "chosen": AudienceKind.FILE}
        return render(request, "campaigns/audience.html", status_code=error.status, **context)
    chosen = campaign.audience_kind or AudienceKind.ALL
    return render_part(request, "campaigns/audience.html", block="file", chosen=chosen, **context)

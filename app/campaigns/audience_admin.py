"""Step 2 of the creation flow: who receives it, everybody or whom a file names."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.deps import Editor
from app.campaigns import files, queries, service
from app.campaigns.errors import AudienceFileMissingError, CohortMissingError
from app.campaigns.models import AudienceKind, Campaign
from app.campaigns.paths import base_of, get_campaign, get_draft, to_step
from app.campaigns.schemas import AudienceForm
from app.campaigns.standing import rejected_rows, standing
from app.segments.models import Segment
from app.users import queries as users
from app.users.models import UserList
from app.web.deps import AtDep, SessionDep
from app.web.rendering import render, render_part
from core.errors import InvalidError
from core.ids import encode_id

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
    form: Annotated[AudienceForm, Form()],
) -> Response:
    """The audience is saved; a new file is read while the page shows how far it is."""
    campaign, file = get_draft(session, campaign_id), form.file
    try:
        if form.audience is not AudienceKind.FILE:
            service.choose_audience(session, campaign, form.audience, form.cohort)
        elif isinstance(file, UploadFile) and file.filename:
            service.choose_file(session, campaign, file.filename, file.file, at=at)
            return to_step(campaign, "audience")
        elif files.find(session, campaign) is None:
            raise AudienceFileMissingError
    except (AudienceFileMissingError, CohortMissingError) as error:
        return _page(request, session, campaign, at=at, error=error, chosen=form.audience)
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
    chosen: AudienceKind = AudienceKind.FILE,
) -> Response:
    context: dict[str, Any] = {
        "campaign": campaign,
        "base": base_of(campaign),
        "place": f"{base_of(campaign)}/audience",
        "members": users.count_users(session),
        "lists": [(encode_id("lst", it), name) for it, name in queries.cohorts(session, UserList)],
        "segments": [
            (encode_id("seg", it), name) for it, name in queries.cohorts(session, Segment)
        ],
        "cohort": campaign.audience_id,
        "encode_id": encode_id,
        "error": error,
        **standing(session, files.find(session, campaign), at=at),
    }
    if error is not None:
        context |= {"is_moving": False, "chosen": chosen}
        return render(request, "campaigns/audience.html", status_code=error.status, **context)
    context["chosen"] = campaign.audience_kind or AudienceKind.ALL
    return render_part(request, "campaigns/audience.html", block="file", **context)

"""What people do with a published airdrop: pause, resume, retry, end, cancel, see who got it."""

from typing import Annotated

from fastapi import APIRouter, Form
from sqlalchemy import Select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from app.accounts.deps import Admin, Analyst, Editor
from app.campaigns import deliveries, queries, runs, service
from app.campaigns.deliveries import RecipientState
from app.campaigns.models import AirdropRun, Campaign
from app.rewards.lines import rewards_of
from app.rewards.models import Grant
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render
from core.db import merchant_of
from core.ids import decode_id, encode_id
from core.types import CampaignId, RewardLineId

router = APIRouter(prefix="/admin/campaigns")

TypedTitle = Annotated[str, Form()]


@router.post("/{campaign_id}/pause")
def pause(session: SessionDep, who: Editor, campaign_id: str) -> Response:
    """Nothing new is signed for the airdrop."""
    _, run = _published(session, campaign_id)
    runs.pause(session, run, by=who.member.email)
    return _back(campaign_id)


@router.post("/{campaign_id}/resume")
def resume(session: SessionDep, _who: Editor, campaign_id: str) -> Response:
    """The airdrop goes on."""
    _, run = _published(session, campaign_id)
    runs.resume(session, run)
    return _back(campaign_id)


@router.post("/{campaign_id}/retry")
def retry(session: SessionDep, at: AtDep, _who: Editor, campaign_id: str) -> Response:
    """What failed, and can be, is tried again with the same bytes."""
    _, run = _published(session, campaign_id)
    runs.retry(session, run, at=at)
    return _back(campaign_id)


@router.post("/{campaign_id}/end")
def end(
    session: SessionDep, at: AtDep, _who: Editor, campaign_id: str, title: TypedTitle = ""
) -> Response:
    """Nobody joins any more."""
    campaign, _ = _published(session, campaign_id)
    service.end(session, campaign, title=title, at=at)
    return _back(campaign_id)


@router.post("/{campaign_id}/cancel")
def cancel(
    session: SessionDep, at: AtDep, who: Editor, campaign_id: str, title: TypedTitle = ""
) -> Response:
    """What nothing was signed for does not happen."""
    campaign, run = _published(session, campaign_id)
    service.check_typed(campaign, title)
    runs.cancel(session, run, by=who.member.email, at=at)
    return _back(campaign_id)


@router.get("/{campaign_id}/recipients")
def list_recipients(
    request: Request,
    session: SessionDep,
    _who: Analyst,
    campaign_id: str,
    cursor: str | None = None,
    state: str = "",
    line: str = "",
    q: str = "",
) -> Response:
    """Everybody the airdrop reaches, by state or reward or found by a search."""
    campaign, run = _published(session, campaign_id)
    query = _recipients(run, state, line, q)
    page = list_page(session, query, keys=deliveries.KEYS, cursor=cursor)
    return render(
        request,
        "campaigns/recipients.html",
        campaign=campaign,
        campaign_id=campaign_id,
        rewards=rewards_of(session, campaign.id),
        page=page,
        rows=deliveries.details(session, run, page.items),
        states=list(RecipientState),
        state=state,
        line=line,
        q=q,
        encode_id=encode_id,
    )


@router.get("/{campaign_id}/recipients.csv")
def download_recipients(
    session: SessionDep,
    _who: Admin,
    campaign_id: str,
    state: str = "",
    line: str = "",
    q: str = "",
) -> Response:
    """The same rows as a file."""
    _, run = _published(session, campaign_id)
    return StreamingResponse(
        deliveries.as_csv(merchant_of(session), run, _recipients(run, state, line, q)),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="recipients.csv"'},
    )


def _published(session: Session, text: str) -> tuple[Campaign, AirdropRun]:
    campaign = service.get(session, CampaignId(decode_id("cmp", text)))
    return campaign, queries.get_run(session, campaign.id)


def _recipients(run: AirdropRun, state: str, line: str, search: str) -> Select[Grant]:
    return deliveries.recipients(
        run,
        state=RecipientState(state) if state in set(RecipientState) else None,
        line=RewardLineId(decode_id("rwl", line)) if line else None,
        search=search,
    )


def _back(campaign_id: str) -> Response:
    return RedirectResponse(f"/admin/campaigns/{campaign_id}", status_code=303)

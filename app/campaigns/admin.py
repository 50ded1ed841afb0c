"""Screens of campaigns: list, the creation flow of an airdrop, live progress."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.accounts.deps import Analyst, Editor
from app.assets import queries as asset_queries
from app.campaigns import files, previews, progress, queries, schedule, service
from app.campaigns.errors import PreviewStaleError
from app.campaigns.models import Campaign, CampaignState
from app.campaigns.paths import base_of, get_campaign, get_draft, to_step
from app.campaigns.schemas import DeliveryForm, RewardsForm
from app.perks import service as perks
from app.rewards.lines import lines_of, rewards_of
from app.web.deps import AtDep, SessionDep
from app.web.pagination import list_page
from app.web.rendering import render, render_part
from core.errors import AppError, InvalidError
from core.ids import decode_id, encode_id
from minting.models import ContractState, DigitalAsset

router = APIRouter(prefix="/admin/campaigns")


@router.get("")
def list_campaigns(
    request: Request, session: SessionDep, _who: Analyst, cursor: str | None = None
) -> Response:
    """Campaigns, newest first."""
    page = list_page(
        session, queries.campaigns(), keys=[Campaign.id], is_descending=True, cursor=cursor
    )
    details = queries.details_of(session, [campaign.id for campaign in page.items])
    return render(request, "campaigns/list.html", page=page, details=details, encode_id=encode_id)


@router.get("/new")
def new_campaign(request: Request, _who: Editor) -> Response:
    """The first question: an internal title."""
    return render(request, "campaigns/new.html", title="", error=None)


@router.post("/new")
def create_campaign(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    internal_title: Annotated[str, Form()] = "",
) -> Response:
    """A draft exists and its first step opens."""
    try:
        campaign = service.create_airdrop(session, internal_title, at=at)
    except InvalidError as error:
        return render(
            request, "campaigns/new.html", status_code=422, title=internal_title, error=error
        )
    return to_step(campaign, "texts")


@router.get("/{campaign_id}")
def show_campaign(
    request: Request, session: SessionDep, at: AtDep, _who: Analyst, campaign_id: str
) -> Response:
    """A published campaign with its live numbers; drafts open where they stand."""
    campaign = get_campaign(session, campaign_id)
    run = queries.find_run(session, campaign.id)
    if run is None:
        return to_step(campaign, "texts" if not campaign.title else "review")
    numbers = progress.progress(session, run, at=at)
    return render_part(
        request,
        "campaigns/show.html",
        block="progress",
        is_moving=not numbers.is_over,
        campaign=campaign,
        campaign_id=campaign_id,
        rewards=rewards_of(session, campaign.id),
        run=run,
        file=files.find(session, campaign),
        progress=numbers,
        encode_id=encode_id,
    )


@router.get("/{campaign_id}/texts")
def edit_texts(request: Request, session: SessionDep, _who: Editor, campaign_id: str) -> Response:
    """Step 1: what members read."""
    campaign = get_draft(session, campaign_id)
    return _step(request, session, campaign, "texts")


@router.post("/{campaign_id}/texts")
def save_texts(
    request: Request,
    session: SessionDep,
    _who: Editor,
    campaign_id: str,
    title: Annotated[str, Form()] = "",
    description: Annotated[str, Form()] = "",
) -> Response:
    """The texts are saved, or come back as typed."""
    campaign = get_draft(session, campaign_id)
    try:
        service.describe(session, campaign, title=title, description=description)
    except InvalidError as error:
        typed = {"title": title, "description": description}
        return _step(request, session, campaign, "texts", error=error, typed=typed)
    return to_step(campaign, "audience")


@router.get("/{campaign_id}/rewards")
def edit_rewards(request: Request, session: SessionDep, _who: Editor, campaign_id: str) -> Response:
    """Step 3: what everybody receives."""
    return _step(request, session, get_draft(session, campaign_id), "rewards")


@router.post("/{campaign_id}/rewards")
def save_rewards(
    request: Request,
    session: SessionDep,
    _who: Editor,
    campaign_id: str,
    form: Annotated[RewardsForm, Form()],
) -> Response:
    """The rewards are saved, or come back as typed."""
    campaign = get_draft(session, campaign_id)
    try:
        service.choose_rewards(session, campaign, form.choices())
    except InvalidError as error:
        return _step(request, session, campaign, "rewards", error=error, given=form)
    return to_step(campaign, "delivery")


@router.get("/{campaign_id}/delivery")
def edit_delivery(
    request: Request, session: SessionDep, _who: Editor, campaign_id: str
) -> Response:
    """Step 4: late joiners and limits."""
    return _step(request, session, get_draft(session, campaign_id), "delivery")


@router.post("/{campaign_id}/delivery")
def save_delivery(
    request: Request,
    session: SessionDep,
    _who: Editor,
    campaign_id: str,
    form: Annotated[DeliveryForm, Form()],
) -> Response:
    """The limits are saved, or come back as typed."""
    campaign = get_draft(session, campaign_id)
    try:
        service.choose_delivery(session, campaign, form.delivery())
    except InvalidError as error:
        return _step(request, session, campaign, "delivery", error=error, typed=form.typed())
    return to_step(campaign, "review")


@router.get("/{campaign_id}/review")
def review(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, campaign_id: str
) -> Response:
    """Step 5: everything once more, with a fresh preview of recipients, gas and cost."""
    return _review(request, session, get_draft(session, campaign_id), at=at)


@router.post("/{campaign_id}/publish")
def publish(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    campaign_id: str,
    preview: Annotated[str, Form()] = "",
) -> Response:
    """The airdrop runs; a stale preview comes back fresh instead."""
    campaign = get_campaign(session, campaign_id)
    try:
        found = previews.get(session, campaign, _preview_id(preview))
        service.publish(session, campaign, found, at=at)
    except PreviewStaleError as error:
        return _review(request, session, campaign, at=at, error=error)
    return RedirectResponse(f"/admin/campaigns/{campaign_id}", status_code=303)


@router.get("/{campaign_id}/confirm")
def review_again(
    request: Request, session: SessionDep, at: AtDep, _who: Editor, campaign_id: str
) -> Response:
    """A scheduled airdrop once more, with a fresh preview to start from."""
    return _review(request, session, get_campaign(session, campaign_id), at=at)


@router.post("/{campaign_id}/confirm")
def confirm(
    request: Request,
    session: SessionDep,
    at: AtDep,
    _who: Editor,
    campaign_id: str,
    preview: Annotated[str, Form()] = "",
) -> Response:
    """The scheduled airdrop starts from this preview when it is time."""
    campaign = get_campaign(session, campaign_id)
    try:
        found = previews.get(session, campaign, _preview_id(preview))
        schedule.confirm(session, queries.get_run(session, campaign.id), found, at=at)
    except PreviewStaleError as error:
        return _review(request, session, campaign, at=at, error=error)
    return RedirectResponse(base_of(campaign), status_code=303)


@router.post("/{campaign_id}/unschedule")
def unschedule(session: SessionDep, _who: Editor, campaign_id: str) -> Response:
    """The scheduled airdrop is a draft again."""
    campaign = get_campaign(session, campaign_id)
    schedule.unschedule(session, queries.get_run(session, campaign.id))
    return to_step(campaign, "review")


def _preview_id(text: str) -> UUID:
    return decode_id("prv", text)


def _step(
    request: Request,
    session: Session,
    campaign: Campaign,
    step: str,
    *,
    error: AppError | None = None,
    typed: Mapping[str, object] | None = None,
    given: RewardsForm | None = None,
) -> Response:
    live = asset_queries.assets().where(DigitalAsset.state == ContractState.LIVE)
    return render(
        request,
        "campaigns/edit.html",
        status_code=error.status if error else 200,
        step=step,
        campaign=campaign,
        base=base_of(campaign),
        typed=typed or _as_typed(campaign),
        assets=session.scalars(live.order_by(DigitalAsset.id.desc())).all(),
        perks=perks.list_live(session),
        given=given or RewardsForm.of(lines_of(session, campaign.id)),
        error=error,
        encode_id=encode_id,
    )


def _as_typed(campaign: Campaign) -> Mapping[str, object]:
    texts = {"title": campaign.title, "description": campaign.description}
    return {**texts, **DeliveryForm.of(campaign).typed()}


def _review(
    request: Request,
    session: Session,
    campaign: Campaign,
    *,
    at: datetime,
    error: AppError | None = None,
) -> Response:
    missing = service.failing_rules(session, campaign)
    preview = None if missing else previews.make(session, campaign, at=at)
    return render(
        request,
        "campaigns/review.html",
        status_code=error.status if error else 200,
        campaign=campaign,
        base=base_of(campaign),
        rewards=rewards_of(session, campaign.id),
        missing=missing,
        preview=preview,
        preview_id=encode_id("prv", preview.id) if preview else "",
        file=files.find(session, campaign),
        error=error,
        is_draft=campaign.state is CampaignState.DRAFT,
    )

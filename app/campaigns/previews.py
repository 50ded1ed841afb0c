"""The dry run of an airdrop: who, what it costs, what is missing; publishing needs one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.campaigns import audiences
from app.campaigns.audiences import Reach
from app.campaigns.errors import CampaignNotPublishableError, PreviewStaleError
from app.campaigns.freshness import terms
from app.campaigns.models import AirdropPreview, Campaign
from app.campaigns.needs import Need, needs
from app.campaigns.service import failing_rules
from chain.networks import client_for, find_lane, get_chain
from core.ids import new_id
from minting.forecast import Audience, Forecast, forecast_drops
from minting.planner import GAS_CEILING

_SECONDS_TO_FINAL = 4


def make(session: Session, campaign: Campaign, *, at: datetime) -> AirdropPreview:
    """A fresh report of what publishing would do now; nothing else is written.

    Raises:
        CampaignNotPublishableError: every failing rule at once.
        ChainUnavailableError: prices cannot be read now.
    """
    fields = failing_rules(session, campaign)
    if fields:
        raise CampaignNotPublishableError(fields)
    reach, wanted = audiences.reach(session, campaign), needs(session, campaign)
    forecast = _forecast(session, campaign, reach, wanted)
    preview = AirdropPreview(
        id=new_id(),
        campaign_id=campaign.id,
        campaign_version=campaign.version,
        recipient_count=reach.total,
        report={**_of_people(reach, wanted), **_of_chain(forecast, reach, wanted)},
        created_at=at,
    )
    session.add(preview)
    session.flush()
    return preview


def _forecast(
    session: Session, campaign: Campaign, reach: Reach, wanted: Sequence[Need]
) -> Forecast | None:
    """What digital assets cost; None where there are none: the chain is not asked."""
    shares = [share for need in wanted for share in need.shares]
    if not shares:
        return None
    chain_id = shares[0].asset.chain_id
    assert chain_id is not None  # live assets only, and all on one chain
    lane = find_lane(session, chain_id)
    assert lane is not None  # nothing is published without one
    client = client_for(get_chain(session, chain_id))
    everybody = Audience(audiences.members(campaign), reach.newcomers, reach.addresses)
    ceiling = campaign.max_batch_gas or GAS_CEILING
    return forecast_drops(session, client, lane, everybody, shares, ceiling=ceiling)


def _of_people(reach: Reach, wanted: Sequence[Need]) -> dict[str, Any]:
    """JSON values: whom it reaches, and what they need."""
    lines = [
        {
            "title": need.reward.title,
            "is_perk": need.reward.perk is not None,
            "needed": need.needed,
            "skipped": need.skipped,
            "available": need.reward.left,
            "missing": need.missing,
        }
        for need in wanted
    ]
    return {
        "rewards": terms([need.reward for need in wanted]),
        "lines": lines,
        "recipients": reach.total,
        "known": reach.known,
        "newcomers": reach.newcomers,
        "addresses": reach.addresses,
        "inactive": reach.inactive,
        "rejected": reach.rejected,
    }


def _of_chain(forecast: Forecast | None, reach: Reach, wanted: Sequence[Need]) -> dict[str, Any]:
    """JSON values; amounts in wei are text, as everywhere outside."""
    if forecast is None:
        return {
            **{"is_on_chain": False, "passes_to_issue": 0, "transactions": 0},
            **{"gas": 0, "seconds": 0},
        }
    transactions = forecast.pass_transactions + forecast.drop_transactions
    tokens = sum(need.needed for need in wanted if need.shares)
    return {
        "is_on_chain": True,
        "passes_to_issue": forecast.passes_to_issue,
        "transactions": transactions,
        "gas": forecast.gas,
        "drop_gas": forecast.drop_gas,
        "gas_a_recipient": forecast.drop_gas // reach.total,
        "gas_a_token": forecast.drop_gas // tokens,
        "gas_is_exact": forecast.is_exact,
        "gas_price": str(forecast.gas_price),
        "cost": str(forecast.cost),
        "cost_at_half_more": str(forecast.cost * 3 // 2),
        "cost_at_three_times": str(forecast.cost * 3),
        "relayer_balance": str(forecast.balance),
        "relayer_shortfall": str(forecast.shortfall),
        "seconds": transactions * _SECONDS_TO_FINAL,
    }


def find(session: Session, campaign: Campaign, preview_id: UUID) -> AirdropPreview | None:
    """The campaign's preview with this id, or None."""
    preview = session.get(AirdropPreview, preview_id)
    return preview if preview is not None and preview.campaign_id == campaign.id else None


def get(session: Session, campaign: Campaign, preview_id: UUID) -> AirdropPreview:
    """The campaign's preview with this id.

    Raises:
        PreviewStaleError: there is none any more.
    """
    found = find(session, campaign, preview_id)
    if found is None:
        raise PreviewStaleError("it was not found")
    return found


def newest(session: Session, campaign: Campaign) -> AirdropPreview | None:
    """The campaign's newest preview, or None."""
    return session.scalar(
        select(AirdropPreview)
        .where(AirdropPreview.campaign_id == campaign.id)
        .order_by(AirdropPreview.id.desc())
        .limit(1)
    )

"""The dry run of an airdrop: who, what it costs, what is missing; publishing needs one."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.campaigns import audiences
from app.campaigns.audiences import Reach
from app.campaigns.errors import CampaignNotPublishableError
from app.campaigns.models import AirdropPreview, Campaign
from app.campaigns.service import failing_rules
from app.rewards.service import find_line
from chain.models import NonceLane
from chain.networks import client_for, get_chain
from core.ids import new_id
from minting import assets
from minting.forecast import Forecast, Wanted, forecast_drop
from minting.models import DigitalAsset
from minting.planner import GAS_CEILING

_SECONDS_TO_FINAL = 4


def make(session: Session, campaign: Campaign, *, at: datetime) -> AirdropPreview:
    """A fresh report of what publishing would do now; nothing else is written.

    Raises:
        CampaignNotPublishableError: every failing rule at once.
        ChainUnavailableError: prices cannot be read now.
    """
    fields = failing_rules(session, campaign)
    line = find_line(session, campaign.id)
    if fields or line is None:
        raise CampaignNotPublishableError(fields)
    asset = assets.get(session, line.asset_id)
    reach = audiences.reach(session, campaign)
    preview = AirdropPreview(
        id=new_id(),
        campaign_id=campaign.id,
        campaign_version=campaign.version,
        recipient_count=reach.total,
        report=_report(asset, reach, _forecast(session, campaign, asset, reach)),
        created_at=at,
    )
    session.add(preview)
    session.flush()
    return preview


def _forecast(session: Session, campaign: Campaign, asset: DigitalAsset, reach: Reach) -> Forecast:
    assert asset.chain_id is not None  # live assets only
    lane = session.scalars(select(NonceLane).where(NonceLane.chain_id == asset.chain_id)).one()
    client = client_for(get_chain(session, asset.chain_id))
    wanted = Wanted(
        audiences.members(campaign),
        newcomers=reach.newcomers,
        addresses=reach.addresses,
        ceiling=campaign.max_batch_gas or GAS_CEILING,
    )
    return forecast_drop(session, client, lane, asset, wanted)


def _report(asset: DigitalAsset, reach: Reach, forecast: Forecast) -> dict[str, Any]:
    """JSON values; amounts in wei are text, as everywhere outside."""
    available = None if asset.max_supply is None else asset.max_supply - asset.minted_count
    transactions = forecast.pass_transactions + forecast.drop_transactions
    return {
        "asset_id": str(asset.id),
        "recipients": reach.total,
        "known": reach.known,
        "newcomers": reach.newcomers,
        "addresses": reach.addresses,
        "inactive": reach.inactive,
        "rejected": reach.rejected,
        "stock_needed": reach.total,
        "stock_available": available,
        "passes_to_issue": forecast.passes_to_issue,
        "transactions": transactions,
        "gas": forecast.gas,
        "drop_gas": forecast.drop_gas,
        "gas_a_recipient": forecast.drop_gas // reach.total,
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


def newest(session: Session, campaign: Campaign) -> AirdropPreview | None:
    """The campaign's newest preview, or None."""
    return session.scalar(
        select(AirdropPreview)
        .where(AirdropPreview.campaign_id == campaign.id)
        .order_by(AirdropPreview.id.desc())
        .limit(1)
    )

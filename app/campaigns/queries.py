"""Reads of campaigns for screens."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.campaigns.errors import NotPublishedError
from app.campaigns.models import AirdropRun, Campaign
from app.rewards.models import Grant, RewardLine
from core.types import CampaignId, UserId
from minting.models import DigitalAsset


def campaigns() -> Select[Campaign]:
    """All campaigns of the merchant."""
    return select(Campaign)


@dataclass(frozen=True)
class Details:
    """What a list shows beside a campaign, when it has it."""

    asset: DigitalAsset | None
    run: AirdropRun | None


def details_of(session: Session, campaign_ids: Sequence[CampaignId]) -> dict[CampaignId, Details]:
    """Reward and run of these campaigns, by campaign."""
    rows = session.execute(
        select(Campaign.id, DigitalAsset, AirdropRun)
        .outerjoin(RewardLine, RewardLine.campaign_id == Campaign.id)
        .outerjoin(DigitalAsset, DigitalAsset.id == RewardLine.asset_id)
        .outerjoin(AirdropRun, AirdropRun.campaign_id == Campaign.id)
        .where(Campaign.id.in_(campaign_ids))
    )
    return {campaign_id: Details(asset, run) for campaign_id, asset, run in rows}


def find_run(session: Session, campaign_id: CampaignId) -> AirdropRun | None:
    """The campaign's run, or None before it is published."""
    return session.scalar(select(AirdropRun).where(AirdropRun.campaign_id == campaign_id))


def get_run(session: Session, campaign_id: CampaignId) -> AirdropRun:
    """The campaign's run.

    Raises:
        NotPublishedError: there is none yet.
    """
    run = find_run(session, campaign_id)
    if run is None:
        raise NotPublishedError
    return run


def reward_of(session: Session, campaign_id: CampaignId) -> DigitalAsset | None:
    """The digital asset the campaign gives, or None before one is chosen."""
    return session.scalar(
        select(DigitalAsset)
        .join(RewardLine, RewardLine.asset_id == DigitalAsset.id)
        .where(RewardLine.campaign_id == campaign_id)
    )


def list_by_title(session: Session, title: str) -> Sequence[Campaign]:
    """Campaigns of exactly this internal title."""
    return session.scalars(select(Campaign).where(Campaign.internal_title == title)).all()


_MOST_RECEIVED = 200


def received_by(
    session: Session, user_ids: Sequence[UserId]
) -> Sequence[tuple[Campaign, DigitalAsset, Grant]]:
    """What campaigns gave to these members, newest first."""
    rows = session.execute(
        select(Campaign, DigitalAsset, Grant)
        .select_from(Grant)
        .join(RewardLine, RewardLine.id == Grant.reward_line_id)
        .join(Campaign, Campaign.id == RewardLine.campaign_id)
        .join(DigitalAsset, DigitalAsset.id == RewardLine.asset_id)
        .where(Grant.user_id.in_(user_ids))
        .order_by(Grant.id.desc())
        .limit(_MOST_RECEIVED)
    )
    return [(campaign, asset, grant) for campaign, asset, grant in rows]

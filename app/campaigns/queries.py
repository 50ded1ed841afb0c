"""Reads of campaigns for screens."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session

from app.campaigns.errors import NotPublishedError
from app.campaigns.models import AirdropRun, Campaign, CampaignState
from app.perks.models import Perk
from app.rewards.lines import Reward, rewards_of_many
from app.rewards.models import Grant, RewardLine
from app.segments.models import Segment
from app.users.models import UserList
from core.types import AssetId, CampaignId, PerkId, UserId
from minting.models import DigitalAsset


def cohorts(session: Session, kind: type[UserList] | type[Segment]) -> Sequence[tuple[UUID, str]]:
    """The lists, or the segments, a campaign can be for: identifier and name."""
    rows = session.execute(
        select(kind.id, kind.name).where(kind.archived_at.is_(None)).order_by(kind.name)
    )
    return [(identifier, name) for identifier, name in rows]


def campaigns() -> Select[Campaign]:
    """All campaigns of the merchant."""
    return select(Campaign)


@dataclass(frozen=True)
class Details:
    """What a list shows beside a campaign, when it has it."""

    rewards: Sequence[Reward]
    run: AirdropRun | None


def details_of(session: Session, campaign_ids: Sequence[CampaignId]) -> dict[CampaignId, Details]:
    """Rewards and run of these campaigns, by campaign."""
    rewards = rewards_of_many(session, campaign_ids)
    found = session.scalars(select(AirdropRun).where(AirdropRun.campaign_id.in_(campaign_ids)))
    runs = {run.campaign_id: run for run in found}
    return {it: Details(rewards.get(it, ()), runs.get(it)) for it in campaign_ids}


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


def gives(session: Session, reward_id: PerkId | AssetId) -> bool:
    """Whether a campaign that is scheduled or live gives the perk or the digital asset."""
    is_live = Campaign.state.in_((CampaignState.SCHEDULED, CampaignState.PUBLISHED))
    is_it = (RewardLine.perk_id == reward_id) | (RewardLine.asset_id == reward_id)
    given = is_it & (RewardLine.campaign_id == Campaign.id)
    return bool(session.scalar(select(exists().where(given, is_live))))


def list_by_title(session: Session, title: str) -> Sequence[Campaign]:
    """Campaigns of exactly this internal title."""
    return session.scalars(select(Campaign).where(Campaign.internal_title == title)).all()


_MOST_RECEIVED = 200


def received_by(
    session: Session, user_ids: Sequence[UserId]
) -> Sequence[tuple[Campaign, Reward, Grant]]:
    """What campaigns gave to these members, newest first."""
    rows = session.execute(
        select(Campaign, RewardLine, DigitalAsset, Perk, Grant)
        .select_from(Grant)
        .join(RewardLine, RewardLine.id == Grant.reward_line_id)
        .join(Campaign, Campaign.id == RewardLine.campaign_id)
        .outerjoin(DigitalAsset, DigitalAsset.id == RewardLine.asset_id)
        .outerjoin(Perk, Perk.id == RewardLine.perk_id)
        .where(Grant.user_id.in_(user_ids))
        .order_by(Grant.id.desc())
        .limit(_MOST_RECEIVED)
    )
    return [
        (campaign, Reward(line, asset, perk), grant) for campaign, line, asset, perk, grant in rows
    ]

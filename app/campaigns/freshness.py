"""Whether a preview still says what publishing would do."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.campaigns import audiences
from app.campaigns.errors import PreviewStaleError
from app.campaigns.models import AirdropPreview, Campaign
from app.rewards.lines import Reward, rewards_of

STALE_SHARE = 50
"""A recipient count that moved by more than one in this many makes a preview stale (2 %)."""


def check_fresh(
    session: Session, campaign: Campaign, preview: AirdropPreview, *, at: datetime
) -> None:
    """The preview says what publishing would do now, near enough.

    Raises:
        PreviewStaleError: of another campaign or version, older than a day, or the audience moved.
    """
    if preview.campaign_id != campaign.id or preview.campaign_version != campaign.version:
        raise PreviewStaleError("the campaign was changed since")
    if not preview.is_fresh(at):
        raise PreviewStaleError("it is older than a day")
    check_count(preview, audiences.reach(session, campaign).total)
    if preview.report.get("rewards") != terms(rewards_of(session, campaign.id)):
        raise PreviewStaleError("the rewards were changed since")


def check_count(preview: AirdropPreview, recipients: int) -> None:
    """About as many recipients as the preview counted.

    Raises:
        PreviewStaleError: more than 2 % more or fewer.
    """
    if abs(recipients - preview.recipient_count) * STALE_SHARE > preview.recipient_count:
        raise PreviewStaleError(
            f"it counted {preview.recipient_count} recipients, now there are {recipients}"
        )


def terms(rewards: Sequence[Reward]) -> list[list[Any]]:
    """What is given, as JSON that says whether it is the same as before."""
    lines = [reward.line for reward in rewards]
    return [[str(line.reward_id), line.per_recipient, line.quantity] for line in lines]

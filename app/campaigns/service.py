"""Campaigns: drafts are edited, previewed, and published once."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.campaigns import audiences, files
from app.campaigns.errors import (
    CampaignNotFoundError,
    CampaignNotPublishableError,
    CohortMissingError,
    FileNotReadyError,
    InvalidTransitionError,
)
from app.campaigns.freshness import check_fresh
from app.campaigns.models import (
    AirdropPreview,
    AirdropRun,
    AudienceFile,
    AudienceKind,
    Campaign,
    CampaignState,
    CampaignType,
    FileState,
    RunState,
)
from app.campaigns.runs import OVER, prepare, start
from app.rewards.lines import Choice, rewards_of, set_lines
from core.errors import InvalidError
from core.events import emit
from core.ids import new_id
from core.types import CampaignId, Gas, RunId, Wei
from minting.planner import GAS_CEILING

LEAST_BATCH_GAS = Gas(3_000_000)
"""A whole pass batch is in one transaction, whatever the limit."""


def create_airdrop(session: Session, internal_title: str, *, at: datetime) -> Campaign:
    """A draft airdrop exists under its internal title.

    Raises:
        InvalidError: the title is empty or over 120 characters.
    """
    title = internal_title.strip()
    if not 1 <= len(title) <= 120:
        raise InvalidError(
            "The campaign needs a title.",
            fields={"internal_title": "Between 1 and 120 characters; members never see it."},
        )
    campaign = Campaign(
        id=CampaignId(new_id()),
        type=CampaignType.AIRDROP,
        internal_title=title,
        audience_kind=AudienceKind.ALL,
        created_at=at,
    )
    session.add(campaign)
    session.flush()
    return campaign


def get(session: Session, campaign_id: CampaignId) -> Campaign:
    """The campaign.

    Raises:
        CampaignNotFoundError: this merchant has none with the id.
    """
    campaign = session.get(Campaign, campaign_id)
    if campaign is None:
        raise CampaignNotFoundError(campaign_id)
    return campaign


def describe(session: Session, campaign: Campaign, *, title: str, description: str) -> None:
    """The draft has the texts members will see.

    Raises:
        InvalidError: `fields` names what must change.
        InvalidTransitionError: it is no draft any more.
    """
    must_be_draft(campaign, "edited")
    fields = {}
    if not 1 <= len(title.strip()) <= 80:
        fields["title"] = "Between 1 and 80 characters."
    if len(description) > 5000:
        fields["description"] = "At most 5,000 characters."
    if fields:
        raise InvalidError("The campaign cannot be saved yet.", fields=fields)
    campaign.title, campaign.description = title.strip(), description.strip()
    campaign.slug = campaign.slug or _free_slug(session, campaign.title)
    session.flush()


def choose_audience(
    session: Session, campaign: Campaign, kind: AudienceKind, cohort: UUID | None = None
) -> None:
    """The campaign is for these people; a file that was chosen before is deleted.

    Args:
        cohort: which list or segment.

    Raises:
        InvalidTransitionError: it is no draft any more.
        CohortMissingError: no such list or segment is in use; nothing changed.
    """
    must_be_draft(campaign, "edited")
    is_named = kind in (AudienceKind.LIST, AudienceKind.SEGMENT)
    if is_named and audiences.find_name(session, kind, cohort) is None:
        raise CohortMissingError(kind)
    files.replace(session, campaign)
    campaign.audience_kind, campaign.audience_id = kind, cohort if is_named else None
    session.flush()


@dataclass(frozen=True)
class Delivery:
    """How an airdrop is delivered.

    Args:
        late_joiners: whether who joins while it is published receives it, too.
        starts_at: or None for at once.
        max_batch_gas: planned gas of one transaction.
        max_fee_per_gas: wei per gas.
        max_total: wei, over all its transactions.
    """

    late_joiners: bool = True
    starts_at: datetime | None = None
    max_batch_gas: Gas | None = None
    max_fee_per_gas: Wei | None = None
    max_total: Wei | None = None


def choose_delivery(session: Session, campaign: Campaign, delivery: Delivery) -> None:
    """The draft is delivered within these limits.

    Raises:
        InvalidError: `fields` names what must change.
        InvalidTransitionError: it is no draft any more.
    """
    must_be_draft(campaign, "edited")
    fields = {}
    gas = delivery.max_batch_gas
    if gas is not None and not LEAST_BATCH_GAS <= gas <= GAS_CEILING:
        fields["max_batch_gas"] = f"Between {LEAST_BATCH_GAS:,} and {GAS_CEILING:,}."
    if delivery.max_fee_per_gas == 0:
        fields["max_fee_per_gas"] = "More than 0, or empty."
    if delivery.max_total == 0:
        fields["max_total"] = "More than 0, or empty."
    if fields:
        raise InvalidError("The limits cannot be used.", fields=fields)
    campaign.late_joiners, campaign.starts_at = delivery.late_joiners, delivery.starts_at
    campaign.max_batch_gas = gas
    campaign.max_fee_per_gas, campaign.max_total = delivery.max_fee_per_gas, delivery.max_total
    session.flush()


def end(session: Session, campaign: Campaign, *, title: str, at: datetime) -> None:
    """Nobody joins any more; who was promised the reward still receives it.

    Args:
        title: the internal title as somebody typed it, to be sure.

    Raises:
        InvalidError: another title.
        InvalidTransitionError: it is not published.

    Locks: the campaign.
    """
    session.refresh(campaign, with_for_update=True)
    if campaign.state is not CampaignState.PUBLISHED:
        raise InvalidTransitionError(campaign.state, "ended")
    check_typed(campaign, title)
    campaign.state, campaign.ended_at = CampaignState.ENDED, at
    session.flush()
    emit(session, "cohort.campaign.ended", at=at)


def check_typed(campaign: Campaign, title: str) -> None:
    """Somebody typed the campaign's internal title, because what follows cannot be undone.

    Raises:
        InvalidError: it is another.
    """
    if title.strip() != campaign.internal_title:
        raise InvalidError(
            "The title does not match.",
            fields={"title": f"Type “{campaign.internal_title}” exactly as it stands here."},
        )


def choose_file(
    session: Session, campaign: Campaign, file_name: str, content: BinaryIO, *, at: datetime
) -> AudienceFile:
    """The campaign is for whom the file names; one that was chosen before is deleted.

    Raises:
        InvalidTransitionError: it is no draft any more.
    """
    choose_audience(session, campaign, AudienceKind.FILE)
    file = files.upload(session, campaign, file_name, content, at=at)
    campaign.audience_id = file.id
    session.flush()
    return file


def choose_rewards(session: Session, campaign: Campaign, choices: Sequence[Choice]) -> None:
    """The campaign gives these, in this order.

    Raises:
        LinesInvalidError: none or too many, one twice, or a quantity out of range.
        RewardNotLiveError: one of them is not published.
        InvalidTransitionError: the campaign is no draft any more.
    """
    must_be_draft(campaign, "edited")
    set_lines(session, campaign.id, choices)
    files.check_again(session, campaign)


def failing_rules(session: Session, campaign: Campaign) -> dict[str, str]:
    """Everything that still forbids publishing: rule -> what to do."""
    fields = {}
    if not campaign.title:
        fields["title_missing"] = "Write the title members will see."
    fields |= audiences.failing_rules(session, campaign)
    given = rewards_of(session, campaign.id)
    if not given:
        fields["reward_missing"] = "Choose what everybody receives."
    gone = [reward.title for reward in given if not reward.is_live]
    if gone:
        fields["reward_archived"] = f"Not live any more: {', '.join(gone)}. Choose something else."
    return fields


def publish(
    session: Session, campaign: Campaign, preview: AirdropPreview, *, at: datetime
) -> AirdropRun:
    """The airdrop is on its way: its audience is frozen as grants in this transaction, or when it
    starts (`app.campaigns.schedule`).

    Publishing again returns the run that exists.

    Raises:
        CampaignNotPublishableError: every failing rule at once.
        PreviewStaleError: older than a day, of another version, or the audience moved.
        StockExhaustedError, SupplyExhaustedError, PerkExhaustedError: fewer rewards than recipients
            need are left.

    Locks: the campaign, then of each reward line the line and its reward, then the pass contract.
    """
    session.refresh(campaign, with_for_update=True)
    found = session.scalar(select(AirdropRun).where(AirdropRun.campaign_id == campaign.id))
    if found is not None:
        return found
    must_be_draft(campaign, "published")
    fields = failing_rules(session, campaign)
    if fields:
        raise CampaignNotPublishableError(fields)
    check_fresh(session, campaign, preview, at=at)
    run = AirdropRun(
        id=RunId(new_id()),
        campaign_id=campaign.id,
        preview_id=preview.id,
        state=RunState.PREPARING,
        recipient_count=0,
        reward_count=0,
        created_at=at,
    )
    session.add(run)
    if campaign.starts_at is not None and campaign.starts_at > at:
        campaign.state = CampaignState.SCHEDULED
        session.flush()
    else:
        start(session, run, campaign, at=at)
    return run


def choose_more(
    session: Session, run: AirdropRun, file_name: str, content: BinaryIO, *, at: datetime
) -> AudienceFile:
    """A file is read whose recipients may be added; one that waits for that is deleted.

    Raises:
        InvalidTransitionError: the airdrop is over.
        AudienceNotFromFileError: it is not for whom a file names.

    Locks: the run, then the files.
    """
    session.refresh(run, with_for_update=True)
    campaign = session.get_one(Campaign, run.campaign_id)
    check_extensible(session, campaign, run)
    files.discard_more(session, campaign)
    return files.upload(session, campaign, file_name, content, at=at)


def check_extensible(session: Session, campaign: Campaign, run: AirdropRun) -> None:
    """Recipients may be added.

    Raises:
        InvalidTransitionError: the airdrop is over.
        AudienceNotFromFileError: it is not for whom a file names.
    """
    files.get(session, campaign)
    _must_be_extensible(campaign, run)


def _must_be_extensible(campaign: Campaign, run: AirdropRun) -> None:
    if campaign.state is CampaignState.SCHEDULED:
        raise InvalidTransitionError(campaign.state, "extended")
    if run.state in OVER:
        raise InvalidTransitionError(run.state, "extended")


def add_rows(session: Session, run: AirdropRun, file: AudienceFile, *, at: datetime) -> int:
    """Whoever the file names and has nothing from this airdrop yet is one of its recipients.

    A row is new when neither its key nor its recipient is known; the same file again adds nothing.

    Args:
        file: uploaded for the same campaign, and ready.

    Returns:
        How many recipients are new.

    Raises:
        InvalidTransitionError: the airdrop is over.
        FileNotReadyError: the file is not read to its end, or is another campaign's.
        StockExhaustedError, SupplyExhaustedError, PerkExhaustedError: fewer rewards than recipients
            need are left.

    Locks: the run, then of each reward line the line and its reward, then the pass contract.
    """
    session.refresh(run, with_for_update=True)
    _must_be_extensible(session.get_one(Campaign, run.campaign_id), run)
    if file.state is not FileState.READY or file.campaign_id != run.campaign_id:
        raise FileNotReadyError
    audiences.welcome(session, file.id, at=at)
    before = run.recipient_count
    prepare(session, run, file=file, at=at)
    files.discard(session, file)
    return run.recipient_count - before


def must_be_draft(campaign: Campaign, action: str) -> Campaign:
    """The same campaign, if it can still be changed.

    Raises:
        InvalidTransitionError: it is published or over.
    """
    if campaign.state is not CampaignState.DRAFT:
        raise InvalidTransitionError(campaign.state, action)
    return campaign


def _free_slug(session: Session, title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:70] or "campaign"
    taken = set(session.scalars(select(Campaign.slug).where(Campaign.slug.startswith(base))))
    if base not in taken:
        return base
    return next(slug for n in range(2, len(taken) + 3) if (slug := f"{base}-{n}") not in taken)

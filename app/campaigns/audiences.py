"""Whom a campaign reaches: members, people who become members, and addresses."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, case, func, literal, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.campaigns import checks
from app.campaigns.errors import CampaignNotPublishableError
from app.campaigns.models import AudienceFile, AudienceKind, AudienceRow, Campaign, FileState
from app.rewards import service as rewards
from app.users.models import User, UserState
from app.users.service import create_from
from core.types import AudienceFileId, UserId
from wallets.addresses import ChecksumAddress

MISSING = "Choose who the airdrop is for."
FILE_MISSING = "Choose the file that names the recipients."
NEWCOMER_SOURCE = "airdrop"


@dataclass(frozen=True)
class Reach:
    """Whom publishing now would serve, in numbers.

    Args:
        newcomers: people who become members by it.
        inactive: members who are named but blocked or erased, and receive nothing.
        rejected: rows of the file that name nobody.
    """

    known: int
    newcomers: int = 0
    addresses: int = 0
    inactive: int = 0
    rejected: int = 0

    @property
    def total(self) -> int:
        """All recipients."""
        return self.known + self.newcomers + self.addresses


def reach(session: Session, campaign: Campaign) -> Reach:
    """Whom the campaign would serve now.

    Raises:
        CampaignNotPublishableError: no audience is chosen.
    """
    if campaign.audience_kind is AudienceKind.ALL:
        everybody = members(campaign).order_by(None).subquery()
        return Reach(session.scalar(select(func.count()).select_from(everybody)) or 0)
    return reach_of(session, session.get_one(AudienceFile, _file_id(campaign)))


def reach_of(session: Session, file: AudienceFile) -> Reach:
    """Whom the file names, in numbers; it has been checked."""
    is_known = User.id.is_not(None)
    is_active = User.state == UserState.ACTIVE
    known, inactive, newcomers, addresses = session.execute(
        select(
            func.count().filter(is_active),
            func.count().filter(is_known & ~is_active),
            func.count().filter(~is_known & AudienceRow.email_key.is_not(None)),
            func.count().filter(~is_known & AudienceRow.email_key.is_(None)),
        )
        .select_from(AudienceRow)
        .outerjoin(User, User.id == AudienceRow.user_id)
        .where(AudienceRow.file_id == file.id, AudienceRow.reason.is_(None))
    ).one()
    return Reach(known, newcomers, addresses, inactive, file.rejected_count)


def members(campaign: Campaign) -> Select[UserId]:
    """The ids of the members the campaign reaches now, oldest first.

    Raises:
        CampaignNotPublishableError: no audience is chosen.
    """
    active = select(User.id).where(User.state == UserState.ACTIVE).order_by(User.id)
    if campaign.audience_kind is AudienceKind.ALL:
        return active
    named = select(AudienceRow.user_id).where(
        AudienceRow.file_id == _file_id(campaign), AudienceRow.reason.is_(None)
    )
    return active.where(User.id.in_(named))


def recipients(campaign: Campaign) -> Select[str, UserId | None, ChecksumAddress | None]:
    """The recipients as grants know them, once newcomers are members.

    Raises:
        CampaignNotPublishableError: no audience is chosen.
    """
    if campaign.audience_kind is AudienceKind.ALL:
        return rewards.members(members(campaign))
    return recipients_of(_file_id(campaign))


def recipients_of(
    file_id: AudienceFileId,
) -> Select[str, UserId | None, ChecksumAddress | None]:
    """The recipients of a file: each once, under the key of its row or else by who it is."""
    who = checks.sql_who()
    address = case((AudienceRow.user_id.is_(None), AudienceRow.address))
    return (
        select(
            func.coalesce(literal("key:") + AudienceRow.key, who),
            AudienceRow.user_id,
            address,
        )
        .outerjoin(User, User.id == AudienceRow.user_id)
        .where(
            AudienceRow.file_id == file_id,
            AudienceRow.reason.is_(None),
            (User.state == UserState.ACTIVE)
            | (AudienceRow.user_id.is_(None) & AudienceRow.address.is_not(None)),
        )
        .ext(distinct_on(who))
        .order_by(who, AudienceRow.line)
    )


def welcome(session: Session, file_id: AudienceFileId, *, at: datetime) -> int:
    """Everybody the file names by an unknown email is a member from now on.

    Returns:
        How many members are new.
    """
    checks.find_members(session, file_id)
    unknown = select(AudienceRow.email, AudienceRow.email_key).where(
        AudienceRow.file_id == file_id,
        AudienceRow.reason.is_(None),
        AudienceRow.user_id.is_(None),
        AudienceRow.email_key.is_not(None),
    )
    count = create_from(session, unknown, source=NEWCOMER_SOURCE, at=at)
    if count:
        checks.find_members(session, file_id)
    return count


def failing_rules(session: Session, campaign: Campaign) -> dict[str, str]:
    """What the audience still lacks before the campaign can be published: rule -> what to do."""
    if campaign.audience_kind is None:
        return {"audience_missing": MISSING}
    if campaign.audience_kind is AudienceKind.FILE:
        if campaign.audience_id is None:
            return {"audience_missing": FILE_MISSING}
        file = session.get_one(AudienceFile, _file_id(campaign))
        if file.state is FileState.FAILED:
            return {"audience_invalid": "The file cannot be read. Choose another one."}
        if file.state is not FileState.READY:
            return {"audience_reading": "The file is still being read. Wait until it is checked."}
        if reach(session, campaign).total == 0:
            return {"audience_empty": "No row of the file names a recipient. Choose another file."}
        return {}
    if reach(session, campaign).total == 0:
        return {"audience_empty": "Nobody is in the audience yet. Import members first."}
    return {}


def _file_id(campaign: Campaign) -> AudienceFileId:
    if campaign.audience_kind is not AudienceKind.FILE or campaign.audience_id is None:
        raise CampaignNotPublishableError({"audience_missing": MISSING})
    return AudienceFileId(campaign.audience_id)

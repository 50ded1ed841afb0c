"""Whom a campaign reaches: members, people who become members, and addresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Subquery, case, false, func, literal, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.campaigns import checks
from app.campaigns.columns import Field, load_layout
from app.campaigns.errors import CampaignNotPublishableError
from app.campaigns.models import AudienceFile, AudienceKind, AudienceRow, Campaign, FileState
from app.rewards import service as rewards
from app.rewards.lines import names_of, rewards_of
from app.rewards.models import RewardLine
from app.rewards.service import Recipients
from app.segments.models import Segment, SegmentMember
from app.users.models import ListMember, User, UserList, UserState
from app.users.service import create_from
from core.ids import first_id_of
from core.types import AudienceFileId, UserId

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


@dataclass(frozen=True)
class Given:
    """A reward line, and what a file may call it."""

    line: RewardLine
    names: Sequence[str]


def given_by(session: Session, campaign: Campaign) -> list[Given]:
    """The campaign's reward lines in their order."""
    found = rewards_of(session, campaign.id)
    names = names_of(found)
    return [
        Given(it.line, [name for name, line in names.items() if line == it.line.id]) for it in found
    ]


def reach(session: Session, campaign: Campaign) -> Reach:
    """Whom the campaign would serve now.

    Raises:
        CampaignNotPublishableError: no audience is chosen.
    """
    if campaign.audience_kind is not AudienceKind.FILE:
        everybody = members(campaign).order_by(None).subquery()
        return Reach(session.scalar(select(func.count()).select_from(everybody)) or 0)
    return reach_of(session, session.get_one(AudienceFile, _file_id(campaign)))


def reach_of(session: Session, file: AudienceFile) -> Reach:
    """Whom the file names, in numbers; it has been checked."""
    rows: Any = (
        select(User.id, User.state, AudienceRow.email_key)
        .select_from(AudienceRow)
        .outerjoin(User, User.id == AudienceRow.user_id)
        .where(AudienceRow.file_id == file.id, AudienceRow.reason.is_(None))
    )
    if checks.names_rewards(session, file.id):  # whoever is named for several counts once
        rows = rows.ext(distinct_on(checks.sql_who()))
    named = rows.subquery()
    is_known, is_active = named.c.id.is_not(None), named.c.state == UserState.ACTIVE
    known, inactive, newcomers, addresses = session.execute(
        select(
            func.count().filter(is_active),
            func.count().filter(is_known & ~is_active),
            func.count().filter(~is_known & named.c.email_key.is_not(None)),
            func.count().filter(~is_known & named.c.email_key.is_(None)),
        )
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
    if campaign.audience_kind is AudienceKind.LIST:
        return active.where(User.id.in_(_listed(campaign)))
    if campaign.audience_kind is AudienceKind.SEGMENT:
        return active.where(User.id.in_(_in_segment(campaign)))
    named = select(AudienceRow.user_id).where(
        AudienceRow.file_id == _file_id(campaign), AudienceRow.reason.is_(None)
    )
    return active.where(User.id.in_(named))


def recent(campaign: Campaign, since: datetime) -> ColumnElement[bool]:
    """True of members who came into the audience since then, as far as rows say when."""
    if campaign.audience_kind is AudienceKind.LIST:
        return User.id.in_(_listed(campaign).where(ListMember.added_at >= since))
    if campaign.audience_kind is AudienceKind.SEGMENT:
        return User.id.in_(_in_segment(campaign).where(SegmentMember.since >= since))
    return User.id >= first_id_of(since)


def _listed(campaign: Campaign) -> Select[UserId]:
    return select(ListMember.user_id).where(ListMember.list_id == campaign.audience_id)


def _in_segment(campaign: Campaign) -> Select[UserId]:
    return select(SegmentMember.user_id).where(SegmentMember.segment_id == campaign.audience_id)


def recipients(session: Session, campaign: Campaign, given: Given) -> Recipients:
    """The recipients of a reward as grants know them, once newcomers are members.

    Raises:
        CampaignNotPublishableError: no audience is chosen.
    """
    if campaign.audience_kind is not AudienceKind.FILE:
        return rewards.members(members(campaign), quantity=given.line.per_recipient)
    file = session.get_one(AudienceFile, _file_id(campaign))
    return recipients_of(session, file, given)


def recipients_of(session: Session, file: AudienceFile, given: Given) -> Recipients:
    """The recipients of a reward that a file names: each once, under the key of its row or else by
    who it is.
    """
    who = checks.sql_who()
    address = case((AudienceRow.user_id.is_(None), AudienceRow.address))
    rows = (
        select(
            func.coalesce(literal("key:") + AudienceRow.key, who),
            AudienceRow.user_id,
            address,
            _quantity(given),
        )
        .outerjoin(User, User.id == AudienceRow.user_id)
        .where(
            *_rows_for(file.id, given),
            (User.state == UserState.ACTIVE)
            | (AudienceRow.user_id.is_(None) & AudienceRow.address.is_not(None)),
        )
        .ext(distinct_on(who))
        .order_by(who, AudienceRow.line)
    )
    return Recipients(rows, _most(session, file, given))


def _quantity(given: Given) -> ColumnElement[int]:
    return func.coalesce(AudienceRow.quantity, given.line.per_recipient)


def _rows_for(file_id: AudienceFileId, given: Given) -> tuple[ColumnElement[bool], ...]:
    """Which rows of the file are for the reward: those that name it, and those that name none."""
    is_for_it = AudienceRow.reward.is_(None) | AudienceRow.reward.in_(given.names)
    return AudienceRow.file_id == file_id, AudienceRow.reason.is_(None), is_for_it


def _most(session: Session, file: AudienceFile, given: Given) -> int:
    if file.layout is None or Field.QUANTITY not in load_layout(file.layout).columns:
        return given.line.per_recipient
    most = select(func.max(_quantity(given))).where(*_rows_for(file.id, given))
    return session.scalar(most) or given.line.per_recipient


def wanted(session: Session, campaign: Campaign, given: Given) -> Subquery:
    """Whom publishing now would give the reward: the member or NULL, whether somebody becomes one
    by it, and how many.

    Raises:
        CampaignNotPublishableError: no audience is chosen.
    """
    if campaign.audience_kind is not AudienceKind.FILE:
        [user] = members(campaign).order_by(None).subquery().c
        quantity = literal(given.line.per_recipient).label("quantity")
        return select(user.label("user_id"), false().label("is_new"), quantity).subquery()
    file_id = _file_id(campaign)
    is_new = AudienceRow.user_id.is_(None) & AudienceRow.email_key.is_not(None)
    rows: Any = (
        select(AudienceRow.user_id, is_new.label("is_new"), _quantity(given).label("quantity"))
        .outerjoin(User, User.id == AudienceRow.user_id)
        .where(
            *_rows_for(file_id, given),
            (User.state == UserState.ACTIVE) | AudienceRow.user_id.is_(None),
        )
    )
    if checks.names_rewards(session, file_id):
        who = checks.sql_who()
        rows = rows.ext(distinct_on(who)).order_by(who, AudienceRow.line)
    found: Subquery = rows.subquery()
    return found


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
    if campaign.audience_kind is not AudienceKind.ALL and (
        find_name(session, campaign.audience_kind, campaign.audience_id) is None
    ):
        return {"audience_missing": "The list or segment is not in use any more. Choose another."}
    if reach(session, campaign).total == 0:
        return {"audience_empty": "Nobody is in the audience yet. Import members first."}
    return {}


def find_name(session: Session, kind: AudienceKind, cohort_id: UUID | None) -> str | None:
    """The name of a list or segment, or None when it is not in use."""
    cohort: type[UserList | Segment] = UserList if kind is AudienceKind.LIST else Segment
    return session.scalar(
        select(cohort.name).where(cohort.id == cohort_id, cohort.archived_at.is_(None))
    )


def _file_id(campaign: Campaign) -> AudienceFileId:
    if campaign.audience_kind is not AudienceKind.FILE or campaign.audience_id is None:
        raise CampaignNotPublishableError({"audience_missing": MISSING})
    return AudienceFileId(campaign.audience_id)

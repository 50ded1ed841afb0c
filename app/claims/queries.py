"""Reads of claim codes for screens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.claims.models import (
    ClaimAudience,
    ClaimBatch,
    ClaimCode,
    ClaimOpening,
    ClaimPlace,
    ClaimUse,
)
from app.perks import service as perks
from app.perks.models import Place
from app.rewards.models import RewardLine
from app.rewards.queries import list_live_assets
from app.segments.models import Segment
from app.users.models import User, UserList
from core.ids import encode_id
from core.types import ClaimBatchId, RewardLineId, UserId


def batches() -> Select[ClaimBatch]:
    """All batches of the merchant."""
    return select(ClaimBatch)


def codes(batch_id: ClaimBatchId) -> Select[ClaimCode]:
    """The codes of a batch."""
    return select(ClaimCode).where(ClaimCode.batch_id == batch_id)


def uses(batch_id: ClaimBatchId) -> Select[ClaimUse]:
    """Who used codes of a batch, and when."""
    return select(ClaimUse).where(ClaimUse.batch_id == batch_id)


def uses_of_code(code: ClaimCode) -> Select[ClaimUse]:
    """Who used this code, and when."""
    return uses(code.batch_id).where(ClaimUse.position == code.position)


def claimed_counts(session: Session, lines: Sequence[RewardLineId]) -> Mapping[RewardLineId, int]:
    """How often codes were used, by the reward line of their batch."""
    rows = session.execute(
        select(RewardLine.id, RewardLine.granted_count).where(RewardLine.id.in_(lines))
    )
    return {line: count for line, count in rows}


def members_of(session: Session, rows: Sequence[ClaimUse]) -> dict[UserId, User]:
    """The members behind these uses, by id."""
    found = session.scalars(select(User).where(User.id.in_([row.user_id for row in rows])))
    return {user.id: user for user in found}


def opened_count(session: Session, batch_id: ClaimBatchId) -> int:
    """How often pages of a batch were opened."""
    total = func.sum(ClaimOpening.opened_count)
    return int(session.scalar(select(total).where(ClaimOpening.batch_id == batch_id)) or 0)


@dataclass(frozen=True)
class Period:
    """What happened within an hour or a day, which begins at this time of the brand's clocks."""

    start: datetime
    opened: int
    claimed: int


def periods(
    session: Session, batch_id: ClaimBatchId, *, unit: str, zone: str, since: datetime
) -> list[Period]:
    """Openings and claims by `hour` or `day` of the zone, newest first; empty ones are left out."""
    opened_at = func.date_trunc(unit, func.timezone(zone, ClaimOpening.hour))
    used_at = func.date_trunc(unit, func.timezone(zone, ClaimUse.used_at))
    opened = session.execute(
        select(opened_at, func.sum(ClaimOpening.opened_count))
        .where(ClaimOpening.batch_id == batch_id, ClaimOpening.hour >= since - timedelta(hours=1))
        .group_by(opened_at)
    )
    claimed = session.execute(
        select(used_at, func.count())
        .where(ClaimUse.batch_id == batch_id, ClaimUse.used_at >= since)
        .group_by(used_at)
    )
    by_opening = {start: int(count) for start, count in opened}
    by_claim = {start: int(count) for start, count in claimed}
    starts = sorted(by_opening.keys() | by_claim.keys(), reverse=True)
    return [Period(it, by_opening.get(it, 0), by_claim.get(it, 0)) for it in starts]


@dataclass(frozen=True)
class AtPlace:
    """What happened to codes that were put up at a place."""

    name: str
    opened: int
    claimed: int


def at_places(session: Session, batch_id: ClaimBatchId) -> list[AtPlace]:
    """Openings and claims of the batch by place, most claims first."""
    rows = session.execute(
        select(Place.name, ClaimPlace.opened_count, ClaimPlace.claimed_count)
        .join(Place, Place.id == ClaimPlace.place_id)
        .where(ClaimPlace.batch_id == batch_id)
        .order_by(ClaimPlace.claimed_count.desc(), Place.name, Place.id)
    )
    return [AtPlace(*row) for row in rows]


def rewards_to_choose(session: Session) -> list[tuple[str, str]]:
    """Identifier and name of every reward that can be given, perks first."""
    return [
        *((encode_id("prk", it.id), it.internal_name) for it in perks.list_live(session)),
        *((encode_id("das", it.id), it.internal_name) for it in list_live_assets(session)),
    ]


def cohorts_to_choose(session: Session) -> list[tuple[str, str, str]]:
    """Identifier, kind and name of every list and segment that is in use."""
    found: list[tuple[str, str, str]] = []
    kinds: tuple[tuple[type[UserList | Segment], str, str], ...] = (
        (UserList, "lst", ClaimAudience.LIST),
        (Segment, "seg", ClaimAudience.SEGMENT),
    )
    for cohort, prefix, kind in kinds:
        rows = session.execute(
            select(cohort.id, cohort.name).where(cohort.archived_at.is_(None)).order_by(cohort.name)
        )
        found += [(encode_id(prefix, identifier), kind, name) for identifier, name in rows]
    return found


def cohort_name(session: Session, kind: ClaimAudience, cohort_id: UUID | None) -> str | None:
    """What the list or segment is called."""
    cohort: type[UserList | Segment] = UserList if kind is ClaimAudience.LIST else Segment
    return session.scalar(select(cohort.name).where(cohort.id == cohort_id))

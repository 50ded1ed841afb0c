"""Reads of the counter: what somebody could use, and what a device did today."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.passes.models import ScanCount
from app.perks.models import Holding, HoldingState, Perk, Place, Redemption, Transition
from app.scanning.models import OfflinePlace, OfflineScan, Outcome, ScanDevice
from app.scanning.scanner import Scanner
from app.users.queries import identities
from core.types import PlaceId, UserId

SHOWN = 10
_MOST_PERKS = 20
_MOST_CONFLICTS = 200


@dataclass(frozen=True)
class Validation:
    """One use that was taken here; whose it was is not said."""

    redemption: Redemption
    title: str
    undo_minutes: int
    is_undone: bool

    def is_undoable(self, at: datetime) -> bool:
        """Whether staff may still take it back."""
        return at <= self.redemption.occurred_at + timedelta(minutes=self.undo_minutes)


def list_usable(session: Session, user: UserId, *, at: datetime) -> list[tuple[Holding, Perk]]:
    """What the member has and could use now, newest first."""
    rows = session.execute(
        select(Holding, Perk)
        .join(Perk, Perk.id == Holding.perk_id)
        .where(
            Holding.user_id.in_(identities(session, user)),
            Holding.state == HoldingState.AVAILABLE,
            or_(Holding.valid_until.is_(None), Holding.valid_until > at),
            or_(Holding.valid_from.is_(None), Holding.valid_from <= at),
        )
        .order_by(Holding.id.desc())
        .limit(_MOST_PERKS)
    )
    return [(holding, perk) for holding, perk in rows]


def list_validations(session: Session, scanner: Scanner) -> list[Validation]:
    """The last uses this device took, or this person without one; newest first."""
    undoing = aliased(Redemption)
    rows = session.execute(
        select(Redemption, Perk.title, Perk.undo_minutes, undoing.id)
        .join(Holding, Holding.id == Redemption.holding_id)
        .join(Perk, Perk.id == Holding.perk_id)
        .outerjoin(undoing, undoing.undo_of == Redemption.id)
        .where(*_by(scanner), Redemption.transition == Transition.USED)
        .order_by(Redemption.id.desc())
        .limit(SHOWN)
    )
    return [
        Validation(row, title, minutes, undone is not None) for row, title, minutes, undone in rows
    ]


def count_today(session: Session, scanner: Scanner, *, at: datetime) -> int:
    """How many uses it took since midnight, on the brand's clock."""
    local = at.astimezone(ZoneInfo(scanner.merchant.time_zone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    undoing = aliased(Redemption)
    found = session.scalar(
        select(func.count())
        .select_from(Redemption)
        .outerjoin(undoing, undoing.undo_of == Redemption.id)
        .where(
            *_by(scanner),
            Redemption.transition == Transition.USED,
            Redemption.occurred_at >= midnight,
            undoing.id.is_(None),
        )
    )
    return found or 0


def _by(scanner: Scanner) -> tuple[ColumnElement[bool], ...]:
    if scanner.device_name is not None:
        return (Redemption.device == scanner.device_name,)
    return (Redemption.device.is_(None), Redemption.actor == scanner.actor)


def list_devices(session: Session) -> Sequence[ScanDevice]:
    """The merchant's devices by place and name; revoked ones last."""
    return session.scalars(
        select(ScanDevice)
        .join(Place, Place.id == ScanDevice.place_id)
        .order_by(ScanDevice.revoked_at.is_not(None), Place.name, ScanDevice.name, ScanDevice.id)
    ).all()


def offline_places(session: Session) -> set[PlaceId]:
    """Where devices may go on without connection."""
    return set(session.scalars(select(OfflinePlace.place_id)))


def count_scans(session: Session, *, since: datetime) -> dict[UUID | None, int]:
    """How many codes were scanned at each place in the hours that began since then; None is where
    anybody looked with a camera of their own.
    """
    rows = session.execute(
        select(ScanCount.place_id, func.sum(ScanCount.scan_count))
        .where(ScanCount.hour > since)
        .group_by(ScanCount.place_id)
    )
    return {place: int(count) for place, count in rows}


def list_conflicts(session: Session) -> Sequence[tuple[OfflineScan, str, str]]:
    """What devices accepted alone and the server could not: with device and place, newest first."""
    rows = session.execute(
        select(OfflineScan, ScanDevice.name, Place.name)
        .join(ScanDevice, ScanDevice.id == OfflineScan.device_id)
        .join(Place, Place.id == ScanDevice.place_id)
        .where(OfflineScan.outcome != Outcome.ACCEPTED)
        .order_by(OfflineScan.synced_at.desc(), OfflineScan.id)
        .limit(_MOST_CONFLICTS)
    )
    return [(scan, device, place) for scan, device, place in rows]

"""Units of points: made, and changed where nothing depends on it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.points.errors import UnitInvalidError, UnitNotFoundError
from app.points.models import Expiry, PointsUnit
from core.db import merchant_of
from core.ids import new_id
from core.types import PointsUnitId

MOST_UNITS = 20
NAME_LENGTH = 40
MOST_LATER = 3_650
CODE = re.compile(r"[a-z0-9_]{2,20}")
ICONS = ("diamond", "sparkles", "gift", "ticket", "confetti", "sticker-2")
_UNITS_LOCK = 1_024


@dataclass(frozen=True)
class UnitDraft:
    """What a unit shall be; names are by language."""

    code: str
    name: dict[str, str]
    plural: dict[str, str]
    icon: str = ICONS[0]
    expiry: Expiry = Expiry.NEVER
    expiry_count: int = 0
    is_spendable: bool = True
    is_status: bool = False
    allows_debt: bool = False


def create(session: Session, draft: UnitDraft, *, at: datetime) -> PointsUnit:
    """The brand has these points.

    Raises:
        UnitInvalidError: the form says where.

    Locks: the merchant's units.
    """
    merchant = merchant_of(session)
    session.execute(select(func.pg_advisory_xact_lock(_UNITS_LOCK, func.hashtext(str(merchant)))))
    problems = _problems(draft)
    taken = list_all(session)
    if draft.code in {it.code for it in taken}:
        problems["code"] = "Other points have this code. Choose another."
    if len(taken) >= MOST_UNITS:
        problems["code"] = f"There can be {MOST_UNITS} units."
    if problems:
        raise UnitInvalidError(problems)
    row = PointsUnit(id=PointsUnitId(new_id()), created_at=at, **vars(draft))
    session.add(row)
    session.flush()
    return row


def change(session: Session, row: PointsUnit, draft: UnitDraft) -> None:
    """The unit is so; code and debt stay. Points that are there keep their end.

    Raises:
        UnitInvalidError: the form says where.
    """
    if problems := _problems(draft):
        raise UnitInvalidError(problems)
    for field in ("name", "plural", "icon", "expiry", "expiry_count", "is_spendable", "is_status"):
        setattr(row, field, getattr(draft, field))
    session.flush()


def _problems(draft: UnitDraft) -> dict[str, str]:
    problems = {}
    if not CODE.fullmatch(draft.code):
        problems["code"] = "2 to 20 lowercase letters, digits and underscores."
    for field in ("name", "plural"):
        texts = getattr(draft, field).values()
        if not texts or not all(1 <= len(it) <= NAME_LENGTH and it.isprintable() for it in texts):
            problems[field] = f"1 to {NAME_LENGTH} characters."
    if draft.icon not in ICONS:
        problems["icon"] = "Choose one of the icons."
    if not 0 <= draft.expiry_count <= MOST_LATER:
        problems["expiry_count"] = f"A whole number from 0 to {MOST_LATER:,}."
    if not (draft.is_spendable or draft.is_status):
        problems["is_spendable"] = "Points are to be spent, or count for status, or both."
    return problems


def list_all(session: Session) -> Sequence[PointsUnit]:
    """Every unit, in the order they were made."""
    return session.scalars(select(PointsUnit).order_by(PointsUnit.id)).all()


def get(session: Session, unit_id: PointsUnitId) -> PointsUnit:
    """The unit.

    Raises:
        UnitNotFoundError: this merchant has none with the id.
    """
    row = session.get(PointsUnit, unit_id)
    if row is None:
        raise UnitNotFoundError
    return row

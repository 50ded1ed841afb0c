"""Counters: devices that are paired, people who scan, perks that staff validates."""

from typing import Any

from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.perks.models import Holding, Place
from app.perks.terms import RedemptionType
from app.scanning import devices
from app.scanning.scanner import Scanner
from core.db import merchant_of
from core.ids import encode_id
from tests.conftest import NOW
from tests.factories.passes import make_code
from tests.factories.perks import hold, make_place, perk_of


def make_device(
    session: Session, place: Place | None = None, name: str = "Till", at: Any = NOW
) -> tuple[Scanner, str]:
    """A paired device, as a scanner and with its key."""
    place = place or make_place(session, f"Place of {name}")
    device = devices.add(session, name, place, at=at)
    paired, key = devices.pair(session, devices.invite(session, device, at=at), at=at)
    merchant = session.get_one(Merchant, merchant_of(session))
    return Scanner(merchant, f"device:{encode_id('dev', paired.id)}", paired), key


def make_holding(session: Session, email: str = "ada@example.com", **changes: Any) -> Holding:
    """A perk that staff validates, in a member's hands."""
    values = {"title": f"Coffee of {email}", "uses_per_holding": 1, **changes}
    return hold(session, perk_of(session, RedemptionType.SCAN, **values), email)


def code_for(session: Session, holding: Holding, at: Any = NOW) -> str:
    """A live code of the holding."""
    return make_code(session, at, holding=holding.id)

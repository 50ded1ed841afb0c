"""What is due with perks by itself: holdings expire and lapse, codes end, addresses are forgotten,
the team is told that few are left.

Each piece is one transaction that does a part; whatever a kill left behind is found the next time.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.models import MemberState, Merchant, TeamMember, TeamRole
from app.perks import changing, codes, ending, shipping
from app.perks import service as perks
from app.perks.code_models import PerkCode
from app.perks.models import (
    Holding,
    HoldingState,
    Perk,
    PerkState,
    ShipmentState,
    Transition,
)
from core.db import change, merchant_of
from core.ids import encode_id
from core.mail import Mail, send_after_commit
from core.settings import core_settings

AT_ONCE = 5_000
_EDITORS = (TeamRole.OWNER, TeamRole.ADMIN, TeamRole.EDITOR)


def pieces() -> Sequence[Callable[[Session, datetime], bool]]:
    """Everything there may be to do for a merchant; each says whether there may be more of it."""
    return (
        expire_due,
        lapse_due,
        changing.revalidate,
        changing.revoke_due,
        void_ended,
        remove_deleted,
        forget_delivered,
        tell_low_stock,
    )


def expire_due(session: Session, at: datetime) -> bool:
    """Holdings whose time is over are expired.

    Locks: the holdings; what somebody has in hand waits for the next time.
    """
    is_due = Holding.valid_until <= at
    ended = ending.end(session, is_due, {"state": HoldingState.EXPIRED}, most=AT_ONCE)
    ending.tell(session, ended, Transition.EXPIRED, at=at)
    return len(ended) == AT_ONCE


def lapse_due(session: Session, at: datetime) -> bool:
    """Physical items for which nobody gave an address in time are expired, and others may get them,
    unless whoever gave them takes them back (`app.perks.returning`).

    Locks: the perk, then the holdings.
    """
    is_due = (Holding.shipment == ShipmentState.ADDRESS_NEEDED) & (Holding.address_due_at <= at)
    perk_id = session.scalar(
        select(Holding.perk_id).where(is_due, Holding.state == HoldingState.AVAILABLE).limit(1)
    )
    if perk_id is None:
        return False
    perk = perks.lock(session, perk_id)
    ended = ending.end(
        session,
        is_due & (Holding.perk_id == perk_id),
        {"state": HoldingState.EXPIRED, "shipment": ShipmentState.LAPSED},
        most=AT_ONCE,
    )
    is_free = Holding.id.in_([it[0] for it in ended]) & ~Holding.returns_to_giver
    lapsed = select(Holding.user_id).where(is_free).cte("lapsed")
    perks.take_back(session, perk, lapsed)
    ending.tell(session, ended, Transition.EXPIRED, reason="no address in time", at=at)
    return bool(ended)


def void_ended(session: Session, at: datetime) -> bool:
    """Free codes that nobody could use any more are void."""
    return codes.void_ended(session, at=at) == codes.MOST_AT_ONCE


def remove_deleted(session: Session, _at: datetime) -> bool:
    """Codes that nobody ever had of deleted perks are gone.

    Locks: the codes, then the perk.
    """
    perk = session.scalar(
        select(Perk).where(Perk.state == PerkState.DELETED, Perk.code_count > 0).limit(1)
    )
    if perk is None:
        return False
    some = (
        select(PerkCode.id)
        .where(PerkCode.perk_id == perk.id, PerkCode.holding_id.is_(None))
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
        .cte("some")
    )
    gone = delete(PerkCode).where(PerkCode.id.in_(select(some.c.id)))
    count = change(session, gone.execution_options(synchronize_session=False))
    session.refresh(perk, with_for_update=True)
    perk.code_count = 0 if count < AT_ONCE else max(1, perk.code_count - count)
    session.flush()
    return count == AT_ONCE


def forget_delivered(session: Session, at: datetime) -> bool:
    """Addresses of what arrived 90 days ago are forgotten."""
    shipping.forget_delivered(session, at=at)
    return False


def tell_low_stock(session: Session, at: datetime) -> bool:
    """Whoever edits perks has a mail of each that has few left, once until there are more again."""
    for perk in session.scalars(select(Perk).where(Perk.state == PerkState.LIVE)).all():
        if perk.is_low == (perk.low_stock_told_at is not None):
            continue
        perk = perks.lock(session, perk.id)
        if perk.is_low and perk.low_stock_told_at is None:
            perk.low_stock_told_at = at
            _mail(session, perk, at=at)
        elif not perk.is_low:
            perk.low_stock_told_at = None
        session.flush()
    return False


def _mail(session: Session, perk: Perk, *, at: datetime) -> None:
    merchant = session.get_one(Merchant, merchant_of(session))
    editors = session.scalars(
        select(TeamMember.email)
        .where(
            TeamMember.organisation_id == merchant.organisation_id,
            TeamMember.role.in_(_EDITORS),
            TeamMember.state == MemberState.ACTIVE,
        )
        .order_by(TeamMember.id)
    )
    address = f"{core_settings().public_url}/admin/perks/{encode_id('prk', perk.id)}"
    for email in editors:
        send_after_commit(
            session,
            Mail(
                to=email,
                subject=f"Few left: {perk.internal_name}",
                text=(
                    f"{perk.internal_name} has {perk.left:,} of {perk.stock:,} left.\n\n"
                    f"Raise its quantity or import codes here:\n\n{address}\n"
                ),
                sent_at=at,
                kind="low_stock",
            ),
        )

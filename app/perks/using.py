"""What happens to a holding once a member has it: used, taken back, expired, extended, revoked.

Every transition locks the holding, asks what stands below the lock, writes one row of the log and
tells one event. What the table of transitions does not list is refused.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, aliased

from app.accounts.models import Merchant
from app.perks.code_models import CodeState, PerkCode
from app.perks.errors import (
    AlreadyUndoneError,
    AlreadyUsedError,
    HolderSuspendedError,
    HoldingExpiredError,
    HoldingRevokedError,
    HoldingTransitionError,
    NotYetValidError,
    OutsideHoursError,
    ReasonMissingError,
    TooFewUsesError,
    UndoForbiddenError,
    UndoWindowOverError,
    WrongChannelError,
    WrongPlaceError,
    exact,
)
from app.perks.models import (
    Channel,
    Holding,
    HoldingState,
    Perk,
    PerkPlace,
    Place,
    Redemption,
    Shipment,
    ShipmentState,
    Transition,
)
from app.perks.terms import RedemptionType, UsedOn, Validation
from app.users.models import User, UserState
from core.db import merchant_of
from core.errors import InvalidError
from core.events import emit
from core.ids import new_id
from core.types import PlaceId, RedemptionId

REASON_LENGTH = 500
_UNDOABLE = (HoldingState.AVAILABLE, HoldingState.USED)


def use(  # noqa: PLR0913 - each is a fact of the row in the log
    session: Session,
    holding: Holding,
    *,
    uses: int = 1,
    channel: Channel,
    actor: str,
    place: PlaceId | None = None,
    device: str | None = None,
    at: datetime,
) -> Redemption:
    """So many uses are taken; of two at the same time one is, and the other learns when.

    Args:
        actor: who does it, as events name people: `member:mem_…`, `user:usr_…`.
        place: where; a perk that has places is used at one of them.
        device: the till that read the code, as its owner names it.

    Raises:
        AlreadyUsedError: every use is taken; `first_at` says when the last one was.
        TooFewUsesError: fewer are left.
        HoldingExpiredError, HoldingRevokedError, NotYetValidError: its time or state refuses.
        HolderSuspendedError: the member is blocked; a parcel is the brand's own to send.
        OutsideHoursError, WrongPlaceError, WrongChannelError: not now, not here, not this way.
        InvalidError: no number of uses.

    Locks: the holding.
    """
    perk = _lock(session, holding)
    if not 1 <= uses <= 1_000:
        raise InvalidError(
            "Take between 1 and 1,000 uses.", fields={"uses": "Between 1 and 1,000."}
        )
    _check_channel(perk, holding, channel)
    _check_standing(session, holding, at=at)
    if holding.shipment is None:
        _check_holder(session, holding)
    _check_hours(session, perk, at=at)
    _check_place(session, perk, place, channel)
    if holding.uses_left is not None:
        if holding.uses_left < uses:
            raise TooFewUsesError(uses, holding.uses_left)
        holding.uses_left -= uses
        if holding.uses_left == 0:
            holding.state = HoldingState.USED
    row = _log(
        session,
        holding,
        Transition.USED,
        delta=-uses,
        channel=channel,
        actor=actor,
        place_id=place,
        device=device,
        at=at,
    )
    _tell(session, holding, "used", at=at, usesLeft=holding.uses_left, channel=channel.value)
    return row


def undo(
    session: Session,
    redemption: Redemption,
    *,
    actor: str,
    device: str | None = None,
    at: datetime,
    is_admin: bool = False,
) -> Redemption:
    """Exactly the uses of this row are left again.

    Args:
        is_admin: whoever asks may do it for others, and at any time.

    Raises:
        AlreadyUndoneError: it was taken back before, or is no use.
        HoldingTransitionError: the holding is expired or revoked.
        UndoForbiddenError: another device and another person took it.
        UndoWindowOverError: too late.

    Locks: the holding.
    """
    holding = session.get_one(Holding, redemption.holding_id)
    perk = _lock(session, holding)
    if redemption.transition is not Transition.USED or _undone(session, redemption.id):
        raise AlreadyUndoneError
    if holding.state not in _UNDOABLE or holding.shipment is ShipmentState.DELIVERED:
        state = holding.state if holding.shipment is None else holding.shipment
        raise HoldingTransitionError(state, "given its uses back")
    if not is_admin:
        is_same_device = device is not None and redemption.device == device
        if not (is_same_device or redemption.actor == actor):
            raise UndoForbiddenError
        if at > redemption.occurred_at + timedelta(minutes=perk.undo_minutes):
            raise UndoWindowOverError(perk.undo_minutes)
    if holding.uses_left is not None:
        holding.uses_left -= redemption.delta
    holding.state = HoldingState.AVAILABLE
    if holding.shipment is ShipmentState.SHIPPED:
        holding.shipment = ShipmentState.READY_TO_SHIP
    row = _log(
        session,
        holding,
        Transition.UNDONE,
        delta=-redemption.delta,
        channel=redemption.channel,
        actor=actor,
        place_id=redemption.place_id,
        device=device,
        undo_of=redemption.id,
        at=at,
    )
    _tell(session, holding, "use-undone", at=at, usesLeft=holding.uses_left)
    return row


def extend(session: Session, holding: Holding, *, until: datetime, at: datetime) -> None:
    """An expired holding can be used again, until then.

    Raises:
        HoldingTransitionError: it is not expired, or lapsed because nobody gave an address.
        InvalidError: the new limit is not in the future, or after the end of its code.

    Locks: the holding.
    """
    _lock(session, holding)
    is_lapsed = holding.shipment is ShipmentState.LAPSED
    if holding.state is not HoldingState.EXPIRED or is_lapsed:
        raise HoldingTransitionError("lapsed" if is_lapsed else holding.state, "extended")
    if until <= at:
        raise InvalidError("Choose a moment to come.", fields={"until": "Choose a moment to come."})
    _check_code_end(session, holding, until)
    holding.state, holding.valid_until = HoldingState.AVAILABLE, until
    _log(session, holding, Transition.EXTENDED, actor=session.info["actor"], at=at)


def _check_code_end(session: Session, holding: Holding, until: datetime) -> None:
    """Nobody is promised longer than the code works: whoever made it knows nothing of us."""
    ends = session.scalar(select(PerkCode.expires_at).where(PerkCode.holding_id == holding.id))
    if ends is not None and until > ends:
        sentence = f"Its code ends on {exact(ends)}. Choose a moment until then."
        raise InvalidError(sentence, fields={"until": sentence})


def revoke(session: Session, holding: Holding, *, reason: str, at: datetime) -> None:
    """The member has it no more; its code is void and its address forgotten.

    Raises:
        ReasonMissingError: nobody said why.
        HoldingTransitionError: it was revoked before.

    Locks: the holding, then its code and its shipment.
    """
    check_reason(reason)
    _lock(session, holding)
    if holding.state is HoldingState.REVOKED:
        raise HoldingTransitionError(holding.state, "revoked")
    holding.state = HoldingState.REVOKED
    void_code_of(session, holding, reason=reason)
    forget = update(Shipment).where(Shipment.holding_id == holding.id).values(sealed=None)
    session.execute(forget)
    _log(
        session,
        holding,
        Transition.REVOKED,
        actor=session.info["actor"],
        reason=reason.strip(),
        at=at,
    )
    _tell(session, holding, "revoked", at=at)


def expire(session: Session, holding: Holding, *, at: datetime) -> None:
    """Its time is over.

    Raises:
        HoldingTransitionError: it is not available, or its time is not over.

    Locks: the holding.
    """
    _lock(session, holding)
    is_over = holding.valid_until is not None and holding.valid_until <= at
    if holding.state is not HoldingState.AVAILABLE or not is_over:
        raise HoldingTransitionError(holding.state, "expired")
    holding.state = HoldingState.EXPIRED
    _log(session, holding, Transition.EXPIRED, actor=session.info["actor"], at=at)
    _tell(session, holding, "expired", at=at)


def check_reason(reason: str) -> None:
    """Somebody said why.

    Raises:
        ReasonMissingError: nobody did, or at too great a length.
    """
    if not 1 <= len(reason.strip()) <= REASON_LENGTH or "\0" in reason:
        raise ReasonMissingError(REASON_LENGTH)


def void_code_of(session: Session, holding: Holding, *, reason: str) -> None:
    """Nobody can use the code of the holding any more, if it has one."""
    session.execute(
        update(PerkCode)
        .where(PerkCode.holding_id == holding.id, PerkCode.state == CodeState.ASSIGNED)
        .values(state=CodeState.VOID, void_reason=reason.strip())
    )


def places_of(session: Session, perk: Perk) -> Sequence[Place]:
    """Where the perk is used; nowhere in particular if it has none."""
    return session.scalars(
        select(Place)
        .join(PerkPlace, PerkPlace.place_id == Place.id)
        .where(PerkPlace.perk_id == perk.id)
        .order_by(Place.name, Place.id)
    ).all()


def channels_of(perk: Perk) -> set[Channel]:
    """Through whom the perk is used; the API and integrations may always."""
    found = {Channel.API, Channel.INTEGRATION}
    terms, kind = perk.terms, perk.redemption
    is_own = {
        RedemptionType.NONE: terms.validation is Validation.SELF,
        RedemptionType.SHARED_CODE: terms.can_tap,
        RedemptionType.UNIQUE_CODE: terms.can_tap,
        RedemptionType.LINK: terms.used_on is UsedOn.CLICK,
        RedemptionType.SCAN: False,
        RedemptionType.PHYSICAL: False,
    }
    is_staffs = {
        RedemptionType.NONE: terms.validation is Validation.STAFF,
        RedemptionType.SHARED_CODE: False,
        RedemptionType.LINK: False,
    }
    if is_own[kind]:
        found.add(Channel.SELF)
    if is_staffs.get(kind, True):
        found.add(Channel.STAFF)
    return found


def _lock(session: Session, holding: Holding) -> Perk:
    session.refresh(holding, with_for_update=True)
    return session.get_one(Perk, holding.perk_id)


def _check_channel(perk: Perk, holding: Holding, channel: Channel) -> None:
    """A physical item is used by being sent (`app.perks.shipping`), and by nothing else."""
    is_sent = holding.shipment in (None, ShipmentState.SHIPPED)
    if channel not in channels_of(perk) or not is_sent:
        raise WrongChannelError(channel)


def _check_standing(session: Session, holding: Holding, *, at: datetime) -> None:
    if holding.state is HoldingState.REVOKED:
        raise HoldingRevokedError
    if holding.state is HoldingState.USED:
        first_at, place = _last_use(session, holding)
        raise AlreadyUsedError(first_at, place=place)
    is_over = holding.valid_until is not None and holding.valid_until <= at
    if holding.state is HoldingState.EXPIRED or is_over:
        raise HoldingExpiredError(holding.valid_until)
    if holding.valid_from is not None and at < holding.valid_from:
        raise NotYetValidError(holding.valid_from)


def _check_holder(session: Session, holding: Holding) -> None:
    """A printed code is in the hands of whoever was blocked, too."""
    owner = aliased(User)
    is_person = User.id == func.coalesce(owner.merged_into_id, owner.id)
    query = select(User.state).join(owner, is_person).where(owner.id == holding.user_id)
    if session.scalar(query) is not UserState.ACTIVE:
        raise HolderSuspendedError


def _check_hours(session: Session, perk: Perk, *, at: datetime) -> None:
    if perk.usable_hours:
        time_zone = session.get_one(Merchant, merchant_of(session)).time_zone
        if not perk.hours.is_open(at, time_zone):
            raise OutsideHoursError


def _check_place(session: Session, perk: Perk, place: PlaceId | None, channel: Channel) -> None:
    """A member's own telephone knows no place, so there the brand relies on the member."""
    places = places_of(session, perk)
    is_own = channel is Channel.SELF and place is None
    if places and not is_own and place not in {it.id for it in places}:
        raise WrongPlaceError([it.name for it in places])


def _last_use(session: Session, holding: Holding) -> tuple[datetime | None, str | None]:
    """When and where the use was taken that left none."""
    undoing = aliased(Redemption)
    row = session.execute(
        select(Redemption.occurred_at, Place.name)
        .outerjoin(Place, Place.id == Redemption.place_id)
        .outerjoin(undoing, undoing.undo_of == Redemption.id)
        .where(
            Redemption.holding_id == holding.id,
            Redemption.transition == Transition.USED,
            undoing.id.is_(None),
        )
        .order_by(Redemption.id.desc())
        .limit(1)
    ).one_or_none()
    return (None, None) if row is None else (row[0], row[1])


def _undone(session: Session, redemption_id: RedemptionId) -> bool:
    query = select(Redemption.id).where(Redemption.undo_of == redemption_id)
    return session.scalar(query) is not None


def _log(
    session: Session, holding: Holding, transition: Transition, *, at: datetime, **facts: Any
) -> Redemption:
    row = Redemption(
        id=RedemptionId(new_id()),
        holding_id=holding.id,
        transition=transition,
        occurred_at=at,
        **facts,
    )
    session.add(row)
    session.flush()
    return row


def _tell(session: Session, holding: Holding, what: str, *, at: datetime, **facts: Any) -> None:
    emit(
        session,
        f"cohort.perk.{what}",
        at=at,
        user_id=holding.user_id,
        perkId=str(holding.perk_id),
        holdingId=str(holding.id),
        **facts,
    )

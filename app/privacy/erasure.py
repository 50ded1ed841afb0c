"""Members forgotten: after a week in which it can be taken back, everything personal is removed.

Grants, passes, collectibles and events stay under an identifier that says nothing; the key of the
wallet is destroyed once nothing of it is on its way. Removing comes first and is one transaction;
the signer destroys in one of its own, so the sweep comes back until both are done.
"""

import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, Uuid, and_, cast, delete, func, null, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app.accounts.models import Audience, LoginSession, LoginToken
from app.campaigns.models import AudienceRow
from app.perks import service as perks
from app.perks import shipping
from app.perks.code_models import PerkCode
from app.perks.queries import available_of
from app.points import moving as points
from app.points.queries import reasons_of
from app.privacy import copies
from app.privacy.errors import ErasureStateError, ReasonMissingError
from app.privacy.models import Erasure
from app.rewards.models import Grant
from app.segments.models import BadgeOwner
from app.users import forgotten, lists, slots
from app.users.exports.models import UserExport
from app.users.imports.models import ImportChange, ImportConflict, ImportRefusal, UserImport
from app.users.models import (
    Consent,
    ListMember,
    Property,
    PropertyChange,
    User,
    UserList,
    UserState,
)
from app.users.queries import identities
from app.users.slots import Kind
from app.users.upkeep_models import Conversion, ConversionState
from core.db import merchant_of
from core.events import emit
from core.ids import encode_id, new_id
from core.mail import OutgoingMail
from core.types import ErasureId, MerchantId, UserId
from minting.models import MembershipPass, PassState, Token, TokenState
from wallets.service import destroy_wallets

GRACE = timedelta(days=7)
REASON_LENGTH = 500
ERASED = "erased"
"""Stands where an address was."""
_MOVING_PASSES = (PassState.QUEUED, PassState.MINTING, PassState.REISSUING)
_MOVING_TOKENS = (TokenState.QUEUED, TokenState.MINTING, TokenState.TRANSFERRING)


def request(session: Session, user: User, *, reason: str, at: datetime) -> Erasure:
    """The member is forgotten in a week, unless somebody takes it back.

    Raises:
        ReasonMissingError: nobody said why, or at too great a length.
        ErasureStateError: it was asked for already, or there is nobody left to forget.
    """
    if not 1 <= len(reason.strip()) <= REASON_LENGTH or "\0" in reason:
        raise ReasonMissingError
    if user.state not in (UserState.ACTIVE, UserState.BLOCKED):
        raise ErasureStateError("This member was erased or merged already.")
    if find_open(session, user.id) is not None:
        raise ErasureStateError("This member is about to be erased already.")
    row = Erasure(
        id=ErasureId(new_id()),
        user_id=user.id,
        reason=reason.strip(),
        actor=session.info["actor"],
        requested_at=at,
        due_at=at + GRACE,
    )
    session.add(row)
    session.flush()
    return row


def find_open(session: Session, user_id: UserId) -> Erasure | None:
    """What was asked for and is neither done nor taken back, or None."""
    return session.scalar(
        select(Erasure).where(
            Erasure.user_id == user_id,
            Erasure.cancelled_at.is_(None),
            Erasure.erased_at.is_(None),
        )
    )


def cancel(session: Session, user: User, *, at: datetime) -> None:
    """The member stays.

    Raises:
        ErasureStateError: nobody asked, or it is done.
    """
    row = find_open(session, user.id)
    if row is None:
        raise ErasureStateError("There is nothing to take back: it is done, or nobody asked.")
    row.cancelled_at = at
    session.flush()


def erase(session: Session, erasure_id: ErasureId, *, at: datetime) -> None:
    """Nothing personal of the member is in the database any more; a repeat changes nothing.

    Locks: the erasure, then the member.
    """
    row = _claim(session, erasure_id)
    if row is None or row.cancelled_at or row.erased_at or row.due_at > at:
        return
    ids = identities(session, row.user_id)
    spellings = select(User.email_key, func.lower(User.email)).where(User.id.in_(ids))
    spelt = session.execute(spellings).all()
    addresses = {it for row in spelt for it in row}
    forgotten.remember(session, [key for key, _ in spelt])
    _leave_lists(session, ids, at=at)
    _lose_perks(session, ids, at=at)
    points.forfeit(session, ids, at=at)
    for statement in _removals(ids, at):
        session.execute(statement.execution_options(synchronize_session=False))
    statements = [
        *(it for name in _names(session, ids) for it in _removals_by_name(name)),
        *(
            it
            for address in sorted(addresses)
            for it in _removals_by_address(address, merchant_of(session))
        ),
    ]
    for statement in statements:
        session.execute(statement.execution_options(synchronize_session=False))
    _clear_properties(session, ids)
    session.execute(select(func.cohort_forget_events(cast(ids, ARRAY(Uuid())))))
    for user_id in ids:
        _blank(session, user_id)
        emit(session, "cohort.user.deleted", at=at, user_id=user_id)
    copies.forget(session, ids)
    row.reason, row.erased_at = None, at
    session.flush()
    session.expire_all()


def _claim(session: Session, erasure_id: ErasureId) -> Erasure | None:
    return session.scalar(
        select(Erasure)
        .where(Erasure.id == erasure_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _leave_lists(session: Session, ids: Sequence[UserId], *, at: datetime) -> None:
    of_them = select(User.id).where(User.id.in_(ids))
    rows = session.scalars(
        select(UserList)
        .join(ListMember, ListMember.list_id == UserList.id)
        .where(ListMember.user_id.in_(ids))
        .distinct()
    )
    for row in rows.all():
        lists.remove(session, row, of_them, reason="erased", at=at)


def _lose_perks(session: Session, ids: Sequence[UserId], *, at: datetime) -> None:
    """Nobody is left to use them; what was used or is over stays in the brand's books."""
    for holding in session.scalars(available_of(ids)).all():
        perks.revoke(session, holding, reason=ERASED, at=at)


def _removals(ids: Sequence[UserId], at: datetime) -> list[Any]:
    """What is found by who it is about."""
    nothing = {"email": None, "email_key": None, "key": None, "text": None}
    return [
        delete(PropertyChange).where(PropertyChange.user_id.in_(ids)),
        delete(BadgeOwner).where(BadgeOwner.user_id.in_(ids)),
        delete(LoginSession).where(LoginSession.user_id.in_(ids)),
        update(Consent).where(Consent.user_id.in_(ids)).values(proof=None, lang=None),
        update(AudienceRow).where(AudienceRow.user_id.in_(ids)).values(nothing),
        # The key a file knew the person by; who is served once is told by the member itself.
        update(Grant).where(Grant.user_id.in_(ids)).values(recipient_key=cast(Grant.user_id, Text)),
        update(Erasure).where(Erasure.user_id.in_(ids)).values(reason=None),
        shipping.forget_addresses(ids),
        reasons_of(ids),
        delete(ImportChange).where(ImportChange.user_id.in_(ids)),
        delete(ImportConflict).where(ImportConflict.user_id.in_(ids)),
        # Whatever was taken out before names them still; the files go with the next sweep.
        update(UserExport).where(UserExport.expires_at > at).values(expires_at=at),
    ]


def _names(session: Session, ids: Sequence[UserId]) -> list[str]:
    """What files call the member beside the address."""
    query = select(User.reference_id).where(User.id.in_(ids), User.reference_id.is_not(None))
    return [*(encode_id("usr", it) for it in ids), *(it or "" for it in session.scalars(query))]


def _removals_by_name(name: str) -> list[Any]:
    """What is found by a cell that says this and nothing else: refused rows of imports."""
    cell = json.dumps(name, ensure_ascii=False)

    def says(column: Any) -> Any:
        return func.strpos(cast(column, Text), cell) > 0

    return [
        delete(ImportRefusal).where(says(ImportRefusal.cells)),
        update(UserImport)
        .where(or_(says(UserImport.samples), says(UserImport.preview)))
        .values(samples=[], preview=None),
    ]


def _removals_by_address(address: str, merchant: MerchantId) -> list[Any]:
    """What is found by the address alone: rows of files that nobody could be found for.

    Args:
        address: its key, or how it was typed: a domain may be written in two ways.
    """

    def names(column: Any) -> Any:
        return func.strpos(func.lower(cast(column, Text)), address) > 0

    is_named = or_(AudienceRow.email_key == address, names(AudienceRow.text))
    nothing = {"email": None, "email_key": None, "key": None, "text": ERASED}
    is_of_member = and_(
        LoginToken.audience == Audience.SPACE,
        LoginToken.realm_id == merchant,
        LoginToken.email_key == address,
    )
    return [
        update(AudienceRow).where(AudienceRow.reason.is_not(None), is_named).values(nothing),
        delete(ImportRefusal).where(names(ImportRefusal.cells)),
        update(UserImport)
        .where(or_(names(UserImport.samples), names(UserImport.preview)))
        .values(samples=[], preview=None),
        # A code that was kept for the address is anybody's now.
        update(PerkCode).where(PerkCode.reserved_for == address).values(reserved_for=None),
        delete(LoginToken).where(is_of_member),
        delete(OutgoingMail).where(func.lower(OutgoingMail.recipient) == address),
    ]


def _clear_properties(session: Session, ids: Sequence[UserId]) -> None:
    """Every slot of the merchant, also those whose property is on its way out."""
    places: set[tuple[Kind, int]] = set()
    for row in session.scalars(select(Property)):
        places.add((row.kind, row.slot))
        if row.retired_kind is not None and row.retired_slot is not None:
            places.add((row.retired_kind, row.retired_slot))
    coming = select(Conversion).where(Conversion.state == ConversionState.RUNNING)
    places |= {(it.kind, it.slot) for it in session.scalars(coming) if it.slot is not None}
    names = sorted(
        {slots.value_name(*it) for it in places} | {slots.sought_name(*it) for it in places}
    )
    if names:
        nothing = ", ".join(f"{name} = NULL" for name in names)
        statement = text(
            f"UPDATE users SET {nothing} WHERE merchant_id = :merchant"  # noqa: S608 - checked names
            " AND id = ANY(:ids)"
        )
        session.execute(statement, {"merchant": merchant_of(session), "ids": list(ids)})


def _blank(session: Session, user_id: UserId) -> None:
    """The row says nothing of a person; its key is free for whoever has the address."""
    nothing = (
        *("first_name", "last_name", "first_key", "last_key", "phone", "lang", "country"),
        *("time_zone", "reference_id", "last_seen_at", "email_verified_at"),
    )
    session.execute(
        update(User)
        .where(User.id == user_id)
        .values(
            email=ERASED,
            email_key=f"{ERASED}:{secrets.token_hex(32)}",
            name_key="",
            state=UserState.ERASED,
            version=User.version + 1,
            **dict.fromkeys(nothing, null()),
        )
        .execution_options(synchronize_session=False)
    )


def destroy_keys(session: Session, erasure_id: ErasureId, *, at: datetime) -> bool:
    """The keys of the forgotten member's wallets are destroyed, if nothing of them is on its way.

    Returns:
        Whether they are; otherwise it is asked again later.

    Raises:
        SignerUnavailableError: the signer does not answer.
        WalletInUseError: one of them signed something.
    """
    row = _claim(session, erasure_id)
    if row is None or row.erased_at is None or row.keys_destroyed_at is not None:
        return row is not None and row.keys_destroyed_at is not None
    ids = identities(session, row.user_id)
    if is_moving(session, ids):
        return False
    destroy_wallets(session, ids)
    row.keys_destroyed_at = at
    session.flush()
    return True


def is_moving(session: Session, ids: Sequence[UserId]) -> bool:
    """Whether a pass or a collectible of these members is not yet final."""
    passes = select(MembershipPass.id).where(
        MembershipPass.user_id.in_(ids), MembershipPass.state.in_(_MOVING_PASSES)
    )
    tokens = select(Token.id).where(Token.user_id.in_(ids), Token.state.in_(_MOVING_TOKENS))
    return any(session.scalar(it.limit(1)) is not None for it in (passes, tokens))

"""Two members who are one person become one; irreversible.

The row of who goes away stays, marked, and keeps what hangs on its wallet: keys do not move, and
passes and collectibles belong to addresses. Everything that is about the person goes to who stays,
who is shown with both wallets from then on (`app.users.queries.identities`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from app.accounts import sessions
from app.claims.models import ClaimQuota
from app.perks import merging as perks
from app.points import moving as points
from app.privacy import erasure
from app.privacy.errors import MergeRefusedError
from app.rewards.models import Grant
from app.segments.models import Badge, BadgeOwner
from app.users import fields, lists, record
from app.users.errors import RecordInvalidError
from app.users.fields import Field
from app.users.models import Consent, ListMember, User, UserList, UserState
from app.users.queries import identities, only
from core.events import emit, emit_each
from core.ids import encode_id
from core.types import UserId
from minting.models import Token
from wallets.models import Wallet, WalletKind

_TOGETHER = (UserState.ACTIVE, UserState.BLOCKED)


@dataclass(frozen=True)
class Preview:
    """What merging would do.

    Args:
        moves: name and value of each field that who stays gets.
        stays: name of each field where both say something, what counts and what is given up.
    """

    tokens: int
    wallets: int
    grants: int
    consents: int
    lists: Sequence[str]
    badges: Sequence[str]
    moves: Sequence[tuple[str, str]]
    stays: Sequence[tuple[str, str, str]]


def preview(session: Session, survivor: User, other: User) -> Preview:
    """What merging `other` into `survivor` would do; nothing is changed.

    Raises:
        MergeRefusedError: they cannot become one.
    """
    _check(session, survivor, other)
    known = fields.catalogue(session)
    mine, theirs = record.read(session, survivor, known), record.read(session, other, known)
    ids = identities(session, other.id)
    moved = _texts(known, mine, theirs)
    differing = [
        (field.name, record.as_text(field, mine[key]), record.as_text(field, theirs[key]))
        for key, field in known.items()
        if _is_kept(key, field) and None not in (mine[key], theirs[key])
        if mine[key] != theirs[key]
    ]
    badges = select(Badge.internal_name).join(BadgeOwner, BadgeOwner.badge_id == Badge.id)
    return Preview(
        tokens=_count(session, Token.id, Token.user_id.in_(ids)),
        wallets=_count(
            session, Wallet.id, Wallet.owner_id.in_(ids), Wallet.kind == WalletKind.MEMBER
        ),
        grants=_count(session, Grant.id, Grant.user_id.in_(ids)),
        consents=_count(session, Consent.id, Consent.user_id == other.id),
        lists=[row.name for row, _ in lists.lists_of(session, other.id)],
        badges=session.scalars(badges.where(BadgeOwner.user_id == other.id)).all(),
        moves=[(known[key].name, text) for key, text in moved.items()],
        stays=differing,
    )


def _count(session: Session, column: Any, *conditions: Any) -> int:
    return session.scalar(select(func.count(column)).where(*conditions)) or 0


def _check(session: Session, survivor: User, other: User) -> None:
    if survivor.id == other.id:
        raise MergeRefusedError("This is the same member. Name another one.")
    for user in (survivor, other):
        if user.state not in _TOGETHER:
            raise MergeRefusedError("Somebody who was merged or erased already cannot be merged.")
        if erasure.find_open(session, user.id) is not None:
            raise MergeRefusedError("One of them is about to be erased. Take that back first.")


def _is_kept(key: str, field: Field) -> bool:
    return field.property_id is not None or key in record.EDITABLE


def _texts(
    known: Mapping[str, Field], mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> dict[str, str]:
    """What who stays lacks and the other has."""
    return {
        key: record.as_text(field, theirs[key])
        for key, field in known.items()
        if _is_kept(key, field) and mine[key] is None and theirs[key] is not None
    }


def merge(session: Session, survivor: User, other: User, *, at: datetime) -> None:
    """Everything about `other` is `survivor`'s; `other` only holds its wallet from now on.

    Raises:
        MergeRefusedError: they cannot become one.

    Locks: both members, in the order of their ids.
    """
    query = select(User.id).where(User.id.in_((survivor.id, other.id))).order_by(User.id)
    session.execute(query.with_for_update())
    session.refresh(survivor)
    session.refresh(other)
    _check(session, survivor, other)
    _move_values(session, survivor, other, at=at)
    _move_lists(session, survivor, other, at=at)
    _move_badges(session, survivor, other, at=at)
    perks.move_all(session, other, survivor)
    _move_claims(session, survivor.id, other.id)
    points.move_all(session, other.id, survivor.id, at=at)
    session.execute(update(Consent).where(Consent.user_id == other.id).values(user_id=survivor.id))
    sessions.end_all_of_users(session, only(other.id), at=at)
    earlier = update(User).where(User.merged_into_id == other.id)
    session.execute(earlier.values(merged_into_id=survivor.id))
    other.state, other.merged_into_id = UserState.MERGED, survivor.id
    session.flush()
    _tell(session, survivor.id, other.id, at=at)


def _move_values(session: Session, survivor: User, other: User, *, at: datetime) -> None:
    known = fields.catalogue(session)
    mine, theirs = record.read(session, survivor, known), record.read(session, other, known)
    texts = _texts(known, mine, theirs)
    other.reference_id = None  # nobody else may have it
    session.flush()
    try:
        record.change(session, survivor, texts, version=survivor.version, at=at)
    except RecordInvalidError as error:
        # Imported before there were rules for it: it stays with the row that goes away.
        texts = {key: text for key, text in texts.items() if key not in error.fields}
        record.change(session, survivor, texts, version=survivor.version, at=at)


def _move_lists(session: Session, survivor: User, other: User, *, at: datetime) -> None:
    rows = session.scalars(
        select(UserList)
        .join(ListMember, ListMember.list_id == UserList.id)
        .where(ListMember.user_id == other.id)
        .order_by(UserList.id)
    )
    for row in rows.all():
        if row.archived_at is None:
            lists.add(session, row, only(survivor.id), reason="merged", at=at)
        lists.remove(session, row, only(other.id), reason="merged", at=at)


def _move_badges(session: Session, survivor: User, other: User, *, at: datetime) -> None:
    names = ["badge_id", "user_id", "gained_at"]
    theirs = select(BadgeOwner.badge_id, literal(survivor.id), BadgeOwner.gained_at).where(
        BadgeOwner.user_id == other.id
    )
    added = (
        insert(BadgeOwner)
        .from_select(names, theirs, include_defaults=False)
        .on_conflict_do_nothing()
        .returning(BadgeOwner.badge_id)
    )
    for badge_id in session.scalars(added).all():
        name = encode_id("bdg", badge_id)
        emit(session, "cohort.badge.gained", at=at, user_id=survivor.id, badgeId=name)
    session.execute(delete(BadgeOwner).where(BadgeOwner.user_id == other.id))


def _move_claims(session: Session, survivor: UserId, other: UserId) -> None:
    """Both used so many codes of a batch as one person."""
    gone = delete(ClaimQuota).where(ClaimQuota.user_id == other)
    theirs = session.execute(gone.returning(ClaimQuota.batch_id, ClaimQuota.used_count)).all()
    for batch_id, count in theirs:
        row = insert(ClaimQuota).values(batch_id=batch_id, user_id=survivor, used_count=count)
        added = ClaimQuota.used_count + row.excluded.used_count
        session.execute(
            row.on_conflict_do_update(
                index_elements=[ClaimQuota.batch_id, ClaimQuota.user_id],
                set_={"used_count": added},
            )
        )


def _tell(session: Session, survivor: UserId, other: UserId, *, at: datetime) -> None:
    """Who stays was merged with somebody; who goes away is nobody's member any more."""
    stays, goes = encode_id("usr", survivor), encode_id("usr", other)
    emit(session, "cohort.user.merged", at=at, user_id=survivor, mergedUserId=goes)
    emit_each(
        session,
        "cohort.user.deleted",
        select(literal(other), literal({"mergedInto": stays}, JSONB)),
        at=at,
    )

"""Reads of members for screens."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    Text,
    Uuid,
    and_,
    column,
    func,
    or_,
    select,
    table,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from app.users import slots
from app.users.fields import fold
from app.users.models import Property, PropertyChange, User
from core.db import merchant_of
from core.events import Event
from core.types import SegmentId, UserId
from minting.models import (
    MembershipPass,
    PassContract,
    PassState,
    Token,
)
from minting.numbers import split_pass_number
from wallets.models import Wallet, WalletKind

_LAST = "\U0010ffff"


def users(search: str = "") -> Select[User]:
    """Members, all or those that match.

    Args:
        search: the beginning of an address, a name or a reference id; a wallet address; or a
            pass number such as 0-0042.
    """
    text = search.strip()
    query: Select[User] = select(User)
    return query.where(_matches(text)) if text else query


def passes_of(session: Session, user_ids: Sequence[UserId]) -> dict[UserId, MembershipPass]:
    """The passes of these members, by member."""
    found = session.scalars(select(MembershipPass).where(MembershipPass.user_id.in_(user_ids)))
    return {row.user_id: row for row in found}


def _matches(search: str) -> ColumnElement[bool]:
    folded = fold(search)
    choices = [
        begins(User.email_key, search.lower()),
        begins(User.name_key, folded),
        begins(User.last_key, folded),
        begins(User.reference_id, search),
    ]
    if search.lower().startswith("0x"):
        wallets = select(Wallet.owner_id).where(Wallet.address == wallet_address(search))
        choices.append(User.id.in_(wallets))
    place = split_pass_number(search)
    if place is not None:
        holders = select(MembershipPass.user_id).where(
            MembershipPass.batch_number == place[0], MembershipPass.index == place[1]
        )
        choices.append(User.id.in_(holders))
    return or_(*choices)


def begins(
    column: ColumnElement[Any] | InstrumentedAttribute[Any], text: str
) -> ColumnElement[bool]:
    """A prefix match that uses an index below a policy, which LIKE does not."""
    return and_(column >= text, column < text + _LAST)


def wallet_address(text: str) -> str:
    """The address somebody typed, or one that nobody has."""
    digits = text[2:].lower()
    is_address = len(digits) == 40 and all(c in "0123456789abcdef" for c in digits)
    return text if is_address else "0x" + "00" * 20


def count_users(session: Session) -> int:
    """How many members the merchant has."""
    return session.scalar(select(func.count()).select_from(User)) or 0


def count_values(session: Session, row: Property) -> int:
    """How many members have a value of the property."""
    value = slots.value_column(row.kind, row.slot)
    query = select(func.count()).select_from(User).where(value.is_not(None))
    return session.scalar(query) or 0


_MOST_SOURCES = 50
_MOST_SEGMENTS = 1_000
# Of the feature above this one, and only what it is called.
_SEGMENTS = table("segments", column("id", Uuid()), column("name", Text()), column("archived_at"))
_SEGMENT_MEMBERS = table(
    "segment_members",
    *(column("segment_id", Uuid()), column("user_id", Uuid()), column("since", DateTime())),
)


def list_segments(session: Session) -> Sequence[tuple[SegmentId, str]]:
    """The segments in use by name, for choosing one."""
    columns = _SEGMENTS.c
    query = select(columns.id, columns.name).where(columns.archived_at.is_(None))
    rows = session.execute(query.order_by(columns.name, columns.id).limit(_MOST_SEGMENTS))
    return [(SegmentId(it), name) for it, name in rows]


def list_sources(session: Session) -> list[str]:
    """Where members came from, each once: one step in the index for each source."""
    of_merchant = User.merchant_id == merchant_of(session)
    first = select(func.min(User.source).label("source")).where(of_merchant)
    known = first.cte("known", recursive=True)
    following = select(func.min(User.source)).where(of_merchant, User.source > known.c.source)
    known = known.union_all(select(following.scalar_subquery()).where(known.c.source.is_not(None)))
    query = select(known.c.source).where(known.c.source.is_not(None)).limit(_MOST_SOURCES)
    return list(session.scalars(query))


def count_passes(session: Session) -> dict[PassState, int]:
    """How many passes are in each state."""
    rows = session.execute(
        select(MembershipPass.state, func.count()).group_by(MembershipPass.state)
    )
    return dict(rows.all())


def find_pass_contract(session: Session) -> PassContract | None:
    """The merchant's pass contract, or None before it is defined."""
    return session.scalar(select(PassContract))


def only(user_id: UserId) -> Select[UserId]:
    """One member, for what is done to sets of them."""
    return select(User.id).where(User.id == user_id)


def segments_of(session: Session, user_id: UserId) -> Sequence[tuple[SegmentId, str, datetime]]:
    """The segments the member is in by name, and since when."""
    segment, membership = _SEGMENTS.c, _SEGMENT_MEMBERS.c
    rows = session.execute(
        select(segment.id, segment.name, membership.since)
        .join(_SEGMENT_MEMBERS, membership.segment_id == segment.id)
        .where(membership.user_id == user_id)
        .order_by(segment.name, segment.id)
    )
    return [(SegmentId(it), name, since) for it, name, since in rows]


def identities(session: Session, user_id: UserId) -> list[UserId]:
    """The member, and whoever was merged into it: their wallets and what is in them are its own."""
    merged = session.scalars(select(User.id).where(User.merged_into_id == user_id))
    return [user_id, *merged]


def passes_and_wallets(
    session: Session, user_ids: Sequence[UserId]
) -> Sequence[tuple[MembershipPass | None, Wallet]]:
    """Each wallet of these members with its pass, oldest first."""
    rows = session.execute(
        select(MembershipPass, Wallet)
        .select_from(Wallet)
        .outerjoin(MembershipPass, MembershipPass.wallet_id == Wallet.id)
        .where(Wallet.owner_id.in_(user_ids), Wallet.kind == WalletKind.MEMBER)
        .order_by(Wallet.id)
    )
    return [(membership, wallet) for membership, wallet in rows]


def tokens_of(session: Session, user_ids: Sequence[UserId]) -> Sequence[Token]:
    """The collectibles of these members with their assets, newest first."""
    return session.scalars(
        select(Token)
        .where(Token.user_id.in_(user_ids))
        .order_by(Token.id.desc())
        .options(joinedload(Token.asset))
    ).all()


def events_of(user_ids: Sequence[UserId], *, kind: str = "") -> Select[Event]:
    """What happened to these members, all or of one type."""
    query = select(Event).where(Event.user_id.in_(user_ids))
    return query.where(Event.type == kind) if kind else query


def event_types_of(session: Session, user_ids: Sequence[UserId]) -> Sequence[str]:
    """The types of events there are of these members."""
    of_them = select(Event.type).where(Event.user_id.in_(user_ids))
    return session.scalars(of_them.distinct().order_by(Event.type)).all()


def changes_of(user_ids: Sequence[UserId]) -> Select[PropertyChange]:
    """What people changed of these members by hand."""
    return select(PropertyChange).where(PropertyChange.user_id.in_(user_ids))

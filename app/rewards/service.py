"""Grants: each source gives each recipient each reward line once, whatever is repeated."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Text,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.perks import handing
from app.perks import service as perks
from app.perks.errors import CodePoolEmptyError
from app.perks.models import Perk, PerkQuota
from app.rewards.errors import StockExhaustedError
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine
from core.db import change, sql_id
from core.events import emit_each
from core.types import PerkId, UserId
from minting import airdrops
from minting.models import (
    Token,
)
from wallets.addresses import ChecksumAddress

PERK_NEEDS_USER = "perk_needs_user"
PER_USER_LIMIT = "per_user_limit"
_AT_ONCE = 20_000
"""Perks handed over in one transaction: a pause waits for no more."""


@dataclass(frozen=True)
class Recipients:
    """Whom a line goes to.

    Args:
        rows: the key each is known by in the source, the member or the address, and how many each
            receives; nobody twice.
        most: how many anybody receives at most.
    """

    rows: Select[str, UserId | None, ChecksumAddress | None, int]
    most: int = 1


@dataclass(frozen=True)
class Source:
    """What gives the reward."""

    type: GrantSource
    id: UUID


def members(users: Select[UserId], *, quantity: int = 1) -> Recipients:
    """So many for each of these members, who are known by their ids."""
    [user] = users.subquery().c
    return Recipients(select(cast(user, Text), user, null_address(), literal(quantity)), quantity)


def null_address() -> ColumnElement[ChecksumAddress | None]:
    """Stands where a recipient is a member and so has no address of its own."""
    return cast(null(), Grant.address.type)


def grant_many(
    session: Session, line: RewardLine, recipients: Recipients, *, source: Source, at: datetime
) -> int:
    """Each of these recipients has the line's reward from this source; repeats change nothing.

    Who has it from the source already gets nothing more, under whatever key and of whatever
    quantity. Grants and tokens are made by one statement: a million of them never leave the
    database. A perk is skipped where the recipient is no member, or would have too many.

    Returns:
        How many grants are new, without those that are skipped.

    Raises:
        StockExhaustedError: the line has fewer left; roll back.
        SupplyExhaustedError, PerkExhaustedError: the reward has fewer left; roll back.

    Locks: the reward line, then the asset or the perk.
    """
    session.refresh(line, with_for_update=True)
    grants = _Grants(line, source, at)
    if line.perk_id is not None:
        count = _promise(session, line, line.perk_id, recipients, grants)
    else:
        assert line.asset_id is not None  # one of both
        granted = grants.of(recipients)
        count = airdrops.request_tokens(
            session,
            line.asset_id,
            reward_line_id=line.id,
            grants=select(granted.c.id, granted.c.user_id, granted.c.address, granted.c.ordinal),
            most=recipients.most,
            at=at,
        )
    _take_stock(line, count)
    session.flush()
    return count


def _promise(
    session: Session,
    line: RewardLine,
    perk_id: PerkId,
    recipients: Recipients,
    grants: "_Grants",
) -> int:
    perk = perks.lock(session, perk_id)
    granted = grants.of(recipients, perk_id=perk_id, max_per_user=perk.max_per_user)
    is_promised = granted.c.state == GrantState.PENDING
    promised = select(granted.c.user_id).where(is_promised).cte("promised")
    counts = select(func.count().filter(is_promised), func.count().filter(~is_promised))
    noted = perks.promise(perk, promised)
    count, skipped = session.execute(counts.select_from(granted).add_cte(noted)).one()
    perks.take_stock(perk, count)
    line.skipped_count += skipped
    return count


class _Grants:
    """Statements that make the grants of a line that do not exist yet."""

    def __init__(self, line: RewardLine, source: Source, at: datetime) -> None:
        self._line, self._source, self._at = line, source, at

    def of(
        self,
        recipients: Recipients,
        *,
        perk_id: PerkId | None = None,
        max_per_user: int | None = None,
    ) -> CTE:
        """The grants for these recipients, and what they are.

        Whether a recipient is new shows by the first of theirs; the others follow those.
        """
        key, user, address, quantity = recipients.rows.subquery().c
        facts = [key.label("key"), user.label("user_id"), address.label("address")]
        rows: Select[Any] = select(*facts, quantity.label("quantity"))
        if perk_id is None:
            wanted = rows.add_columns(literal(0).label("held")).cte("wanted")
        else:
            is_theirs = (PerkQuota.user_id == user) & (PerkQuota.perk_id == perk_id)
            held = func.coalesce(PerkQuota.granted_count, 0).label("held")
            wanted = rows.add_columns(held).outerjoin(PerkQuota, is_theirs).cte("wanted")
        zero: ColumnElement[int] = literal(0)
        refused = _refusal(wanted, zero, max_per_user) if perk_id is not None else None
        first = self._insert(select(wanted), wanted, zero, refused, name="granted")
        if recipients.most == 1:
            return first
        series = func.generate_series(1, wanted.c.quantity - 1)
        ordinal = series.table_valued("ordinal", joins_implicitly=True).render_derived().c.ordinal
        refused = _refusal(wanted, ordinal, max_per_user) if perk_id else None
        is_new = wanted.c.key == first.c.recipient_key
        followed = select(wanted).join(first, is_new)
        more = self._insert(followed, wanted, ordinal, refused, name="more")
        return union_all(select(first), select(more)).cte("all_granted")

    def _insert(
        self,
        rows: Select[Any],
        wanted: CTE,
        ordinal: ColumnElement[int],
        refused: ColumnElement[str | None] | None,
        *,
        name: str,
    ) -> CTE:
        pending = literal(GrantState.PENDING, type_=Grant.state.type)
        skipped = literal(GrantState.SKIPPED, type_=Grant.state.type)
        facts: dict[InstrumentedAttribute[Any], Any] = {
            Grant.id: sql_id(),
            Grant.source_type: literal(self._source.type, type_=Grant.source_type.type),
            Grant.source_id: literal(self._source.id),
            Grant.reward_line_id: literal(self._line.id),
            Grant.recipient_key: wanted.c.key,
            Grant.ordinal: ordinal,
            Grant.user_id: wanted.c.user_id,
            Grant.address: wanted.c.address,
            Grant.state: pending
            if refused is None
            else case((refused.is_(None), pending), else_=skipped),
            Grant.created_at: literal(self._at),
        }
        if refused is not None:
            facts[Grant.reason] = refused
        columns = (Grant.id, Grant.user_id, Grant.address, Grant.ordinal, Grant.state)
        return (
            insert(Grant)
            .from_select(
                [it.key for it in facts],
                rows.with_only_columns(*facts.values()),
                include_defaults=False,
            )
            .on_conflict_do_nothing()
            .returning(*columns, Grant.recipient_key)
            .cte(name)
        )


def _refusal(
    wanted: CTE, ordinal: ColumnElement[int], max_per_user: int | None
) -> ColumnElement[str | None]:
    """Why the recipient does not receive this one of a perk, or NULL."""
    reasons: list[tuple[ColumnElement[bool], ColumnElement[str]]]
    reasons = [(wanted.c.user_id.is_(None), literal(PERK_NEEDS_USER))]
    if max_per_user is not None:
        reasons.append((wanted.c.held + ordinal >= max_per_user, literal(PER_USER_LIMIT)))
    return case(*reasons)


def _take_stock(line: RewardLine, count: int) -> None:
    left = None if line.quantity is None else line.quantity - line.granted_count
    if left is not None and count > left:
        raise StockExhaustedError(count, left)
    line.granted_count += count


def hand_over(session: Session, line: RewardLine, *, at: datetime) -> int:
    """The next promised perks of the line are in their members' hands.

    Returns:
        How many: fewer than were promised if they are many.

    Raises:
        CodePoolEmptyError: fewer codes are free; nothing of it was handed over.

    Locks: the reward line.
    """
    session.refresh(line, with_for_update=True)
    due = min(line.granted_count - line.delivered_count, _AT_ONCE)
    if line.perk_id is None or due == 0:
        return 0
    perk = perks.get(session, line.perk_id)
    with session.begin_nested():
        count = _hand_over(session, line, perk, at=at)
        if perk.has_pool and count < due:
            raise CodePoolEmptyError(perk.title, wanted=due, left=count)
    line.delivered_count += count
    session.flush()
    return count


def _hand_over(session: Session, line: RewardLine, perk: Perk, *, at: datetime) -> int:
    is_due = (Grant.reward_line_id == line.id) & (Grant.state == GrantState.PENDING)
    due = select(Grant.id).where(is_due).limit(_AT_ONCE).subquery()
    closed = (
        update(Grant)
        .where(Grant.id == due.c.id)
        .values(state=GrantState.DELIVERED, delivered_at=at)
        .returning(Grant.id, Grant.user_id)
        .cte("closed")
    )
    held = handing.hand_over(perk, select(closed.c.id, closed.c.user_id), at=at)
    received = select(held.c.user_id, received_data(line, held))
    return emit_each(session, "cohort.perk.received", received, at=at)


def received_data(line: RewardLine, held: CTE) -> ColumnElement[dict[str, Any]]:
    """What is told of a perk of the line that a member received."""
    campaign = None if line.campaign_id is None else str(line.campaign_id)
    return func.jsonb_build_object(
        *("perkId", cast(literal(str(line.perk_id)), Text)),
        *("holdingId", held.c.id),
        *("campaignId", cast(literal(campaign, Text), Text)),
    )


def cancel_open(session: Session, line: RewardLine, *, reason: str) -> int:
    """Open grants of the line that nothing is on its way for are cancelled; their stock is free.

    Of an asset, these are the grants whose token was withdrawn.

    Returns:
        How many there were.

    Locks: the reward line, then the perk.
    """
    session.refresh(line, with_for_update=True)
    cancelled = (
        update(Grant)
        .where(
            Grant.reward_line_id == line.id,
            Grant.state.in_((GrantState.PENDING, GrantState.DELIVERING)),
            ~exists().where(Token.grant_id == Grant.id),
        )
        .values(state=GrantState.CANCELLED, reason=reason)
        .execution_options(synchronize_session=False)
    )
    if line.perk_id is None:
        count = change(session, cancelled)
    else:
        released = cancelled.returning(Grant.user_id).cte("released")
        count = perks.take_back(session, perks.get(session, line.perk_id), released)
    line.granted_count -= count
    session.flush()
    return count

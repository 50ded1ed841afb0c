"""Grants: each source gives each recipient each reward line once, whatever is repeated."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    Text,
    cast,
    exists,
    func,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.rewards.errors import RewardNotLiveError, StockExhaustedError
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine
from core.db import change, sql_id
from core.events import emit_each
from core.ids import new_id
from core.types import AssetId, BatchId, CampaignId, RewardLineId, UserId
from minting import airdrops, assets, settlement
from minting.models import (
    ContractState,
    PlanKind,
    Token,
    TokenState,
    sql_token_id,
)
from minting.plans import Target
from wallets.addresses import ChecksumAddress


def set_line(session: Session, campaign_id: CampaignId, asset_id: AssetId) -> RewardLine:
    """The campaign's one reward line gives this asset.

    Raises:
        AssetNotFoundError: this merchant has none with the id.
        RewardNotLiveError: the asset is not published.
    """
    asset = assets.get(session, asset_id)
    if asset.state is not ContractState.LIVE:
        raise RewardNotLiveError(asset.title)
    line = find_line(session, campaign_id)
    if line is None:
        line = RewardLine(id=RewardLineId(new_id()), campaign_id=campaign_id, asset_id=asset_id)
        session.add(line)
    line.asset_id = asset_id
    session.flush()
    return line


def find_line(session: Session, campaign_id: CampaignId) -> RewardLine | None:
    """The campaign's reward line, or None before one is chosen."""
    return session.scalar(select(RewardLine).where(RewardLine.campaign_id == campaign_id))


def members(users: Select[UserId]) -> Select[str, UserId | None, ChecksumAddress | None]:
    """These members as recipients, each known by its id."""
    [user] = users.subquery().c
    return select(cast(user, Text), user, null_address())


def null_address() -> ColumnElement[ChecksumAddress | None]:
    """Stands where a recipient is a member and so has no address of its own."""
    return cast(null(), Grant.address.type)


def grant_many(
    session: Session,
    line: RewardLine,
    recipients: Select[str, UserId | None, ChecksumAddress | None],
    *,
    source: GrantSource,
    source_id: UUID,
    at: datetime,
) -> int:
    """Each of these recipients has the line's reward from this source; repeats change nothing.

    Who has it from the source already gets nothing more, under whatever key. Grants and tokens are
    made by one statement: a million of them never leave the database.

    Args:
        recipients: the key each is known by in the source, and the member or the address; nobody
            twice.

    Returns:
        How many grants are new.

    Raises:
        StockExhaustedError: the line has fewer left; roll back.
        SupplyExhaustedError: the edition has fewer left; roll back.

    Locks: the reward line, then the asset.
    """
    session.refresh(line, with_for_update=True)
    granted = _granted(line, recipients, source=source, source_id=source_id, at=at)
    count = airdrops.request_tokens(
        session,
        line.asset_id,
        drop_id=line.id,
        grants=select(granted.c.id, granted.c.user_id, granted.c.address),
        at=at,
    )
    _take_stock(line, count)
    session.flush()
    return count


def _granted(
    line: RewardLine,
    recipients: Select[str, UserId | None, ChecksumAddress | None],
    *,
    source: GrantSource,
    source_id: UUID,
    at: datetime,
) -> CTE:
    """A statement that makes the grants that do not exist yet, and returns them."""
    key, user, address = recipients.subquery().c
    facts: dict[InstrumentedAttribute[Any], Any] = {
        Grant.id: sql_id(),
        Grant.source_type: literal(source, type_=Grant.source_type.type),
        Grant.source_id: literal(source_id),
        Grant.reward_line_id: literal(line.id),
        Grant.recipient_key: key,
        Grant.ordinal: literal(0),
        Grant.user_id: user,
        Grant.address: address,
        Grant.state: literal(GrantState.PENDING, type_=Grant.state.type),
        Grant.created_at: literal(at),
    }
    return (
        insert(Grant)
        .from_select([it.key for it in facts], select(*facts.values()), include_defaults=False)
        .on_conflict_do_nothing()
        .returning(Grant.id, Grant.user_id, Grant.address)
        .cte("granted")
    )


def _take_stock(line: RewardLine, count: int) -> None:
    left = None if line.quantity is None else line.quantity - line.granted_count
    if left is not None and count > left:
        raise StockExhaustedError(count, left)
    line.granted_count += count


def cancel_withdrawn(session: Session, line: RewardLine, *, reason: str) -> int:
    """Open grants of the line whose token was withdrawn are cancelled, and their stock is free.

    Returns:
        How many there were.

    Locks: the reward line.
    """
    session.refresh(line, with_for_update=True)
    open_grants = (
        update(Grant)
        .where(
            Grant.reward_line_id == line.id,
            Grant.state.in_((GrantState.PENDING, GrantState.DELIVERING)),
            ~exists().where(Token.grant_id == Grant.id),
        )
        .values(state=GrantState.CANCELLED, reason=reason)
        .execution_options(synchronize_session=False)
    )
    count = change(session, open_grants)
    line.granted_count -= count
    session.flush()
    return count


def close_delivered(session: Session, *, at: datetime) -> int:
    """Every open grant whose token is on the chain for good is delivered.

    Returns:
        How many grants were closed.
    """
    count = 0
    for target, batches in settlement.take_unclosed(session, PlanKind.DROP).items():
        closed = _closed(target, batches, at=at)
        facts = select(closed.c.user_id, closed.c.data)
        count += emit_each(session, "cohort.digital-asset.received", facts, at=at)
        settlement.mark_closed(session, batches, at=at)
    return count


def _closed(target: Target, batches: Sequence[BatchId], *, at: datetime) -> CTE:
    """A statement that closes the grants of these batches, and returns what to tell of each."""
    token = func.jsonb_build_object(
        *("tokenId", sql_token_id()),
        *("contract", cast(literal(target.contract), Text)),
        *("chainId", literal(target.chain_id)),
    )
    return (
        update(Grant)
        .where(
            Token.batch_id.in_(batches),
            Token.state == TokenState.OWNED,
            Token.grant_id == Grant.id,
            Grant.state.in_((GrantState.PENDING, GrantState.DELIVERING)),
        )
        .values(state=GrantState.DELIVERED, delivered_at=at)
        .returning(Grant.user_id, token.label("data"))
        .cte("closed")
    )

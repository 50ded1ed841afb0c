"""Grants: each source gives each recipient each reward line once, whatever is repeated."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.rewards.errors import RewardNotLiveError, StockExhaustedError
from app.rewards.models import Grant, GrantSource, GrantState, RewardLine
from core.events import emit_many
from core.ids import new_id
from core.types import AssetId, CampaignId, GrantId, RewardLineId, UserId
from minting import airdrops, assets
from minting.models import ContractState, DigitalAsset, Token, TokenState

_CHUNK = 5_000


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


def grant_many(
    session: Session,
    line: RewardLine,
    users: Sequence[UserId],
    *,
    source: GrantSource,
    source_id: UUID,
    at: datetime,
) -> int:
    """Each of these members has the line's reward from this source; repeats change nothing.

    Returns:
        How many grants are new.

    Raises:
        StockExhaustedError: the line has fewer left; nothing was granted.
        SupplyExhaustedError: the edition has fewer left; nothing was granted.

    Locks: the reward line, then the asset.
    """
    session.refresh(line, with_for_update=True)
    if line.round is None:
        line.round = airdrops.open_round(session, line.asset_id)
    created: list[tuple[GrantId, UserId]] = []
    for start in range(0, len(users), _CHUNK):
        part = users[start : start + _CHUNK]
        created += _insert(session, line, part, source=source, source_id=source_id, at=at)
    _take_stock(line, len(created))
    airdrops.request_tokens(session, line.asset_id, round_number=line.round, grants=created, at=at)
    session.flush()
    return len(created)


def _insert(
    session: Session,
    line: RewardLine,
    users: Sequence[UserId],
    *,
    source: GrantSource,
    source_id: UUID,
    at: datetime,
) -> list[tuple[GrantId, UserId]]:
    rows: list[dict[str, Any]] = [
        {
            "id": GrantId(new_id()),
            "source_type": source,
            "source_id": source_id,
            "reward_line_id": line.id,
            "recipient_key": str(user),
            "ordinal": 0,
            "user_id": user,
            "state": GrantState.PENDING,
            "created_at": at,
        }
        for user in users
    ]
    statement = (
        insert(Grant)
        .values(rows)
        .on_conflict_do_nothing(constraint="uq_grants_natural")
        .returning(Grant.id, Grant.user_id)
    )
    return list(session.execute(statement))


def _take_stock(line: RewardLine, count: int) -> None:
    left = None if line.quantity is None else line.quantity - line.granted_count
    if left is not None and count > left:
        raise StockExhaustedError(count, left)
    line.granted_count += count


def close_delivered(session: Session, *, at: datetime) -> int:
    """Every open grant whose token is on the chain for good is delivered.

    Returns:
        How many grants were closed.
    """
    delivered = session.execute(
        update(Grant)
        .where(
            Grant.state.in_((GrantState.PENDING, GrantState.DELIVERING)),
            Token.grant_id == Grant.id,
            Token.state == TokenState.OWNED,
            DigitalAsset.id == Token.asset_id,
        )
        .values(state=GrantState.DELIVERED, delivered_at=at)
        .returning(
            Grant.user_id,
            Token,
            DigitalAsset.address,
            DigitalAsset.chain_id,
        )
    ).all()
    facts: list[tuple[UserId | None, dict[str, Any]]] = [
        (
            user,
            {
                "tokenId": str(token.token_id),
                "contract": address,
                "chainId": chain_id,
            },
        )
        for user, token, address, chain_id in delivered
    ]
    emit_many(session, "cohort.digital-asset.received", facts, at=at)
    return len(delivered)

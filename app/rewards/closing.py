"""Grants of digital assets follow what is final on the chain: delivered, or revoked."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, Select, Text, cast, func, literal, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import Function

from app.rewards import unlocking
from app.rewards.models import Grant, GrantState
from core.events import emit_each
from core.types import AssetId, BatchId
from minting import settlement
from minting.change_models import TokenRevocation
from minting.models import DigitalAsset, PlanKind, Token, TokenState, sql_token_id
from minting.plans import Target


def close_delivered(session: Session, *, at: datetime) -> int:
    """Every open grant whose token is on the chain for good is delivered.

    Returns:
        How many grants were closed.
    """
    count = 0
    for target, batches in settlement.take_unclosed(session, PlanKind.DROP).items():
        closed = _closed(target, batches, at=at)
        unlocking.mark_due(session, _asset_at(target))
        facts = select(closed.c.user_id, closed.c.data)
        count += emit_each(session, "cohort.digital-asset.received", facts, at=at)
        settlement.mark_closed(session, batches, at=at)
    return count


def close_revoked(session: Session, *, at: datetime) -> int:
    """Every grant whose token the issuer ended on the chain is revoked, for the reason given.

    Returns:
        How many grants were revoked.
    """
    count = 0
    for target, batches in settlement.take_unclosed(session, PlanKind.REVOCATION).items():
        closed = (
            update(Grant)
            .where(
                TokenRevocation.batch_id.in_(batches),
                TokenRevocation.token_id == Token.id,
                Token.grant_id == Grant.id,
            )
            .values(state=GrantState.REVOKED, reason=TokenRevocation.reason)
            .returning(Grant.user_id, _token_of(target).label("data"))
            .cte("revoked")
        )
        facts = select(closed.c.user_id, closed.c.data)
        count += emit_each(session, "cohort.digital-asset.revoked", facts, at=at)
        settlement.mark_closed(session, batches, at=at)
    return count


def _asset_at(target: Target) -> Select[AssetId]:
    is_it = (DigitalAsset.chain_id == target.chain_id) & (DigitalAsset.address == target.contract)
    return select(DigitalAsset.id).where(is_it)


def _token_of(target: Target) -> Function[Any]:
    """What events tell of a token, from a statement that names its row."""
    return func.jsonb_build_object(
        *("tokenId", sql_token_id()),
        *("contract", cast(literal(target.contract), Text)),
        *("chainId", literal(target.chain_id)),
    )


def _closed(target: Target, batches: Sequence[BatchId], *, at: datetime) -> CTE:
    """A statement that closes the grants of these batches, and returns what to tell of each."""
    return (
        update(Grant)
        .where(
            Token.batch_id.in_(batches),
            Token.state == TokenState.OWNED,
            Token.grant_id == Grant.id,
            Grant.state.in_((GrantState.PENDING, GrantState.DELIVERING)),
        )
        .values(state=GrantState.DELIVERED, delivered_at=at)
        .returning(Grant.user_id, _token_of(target).label("data"))
        .cte("closed")
    )

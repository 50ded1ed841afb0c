"""Reads for the team: what the pipeline is doing, what needs attention."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, exists, false, func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from app.campaigns.models import AirdropRun, Campaign, CampaignState, RunState
from app.operations.errors import LaneNotFoundError
from app.operations.integrity import grave_reasons
from app.operations.mails import stuck_reasons
from app.users.models import User
from chain.errors import SendAnswer
from chain.models import (
    OPEN_STATES,
    Attempt,
    LaneState,
    NonceLane,
    Outcome,
    Recovery,
    Transaction,
    TransactionState,
)
from core.types import LaneId
from minting.models import Batch, BatchState, ContractState, DigitalAsset, Plan, Token, TokenState

LATE = timedelta(minutes=5)


def transactions(state: TransactionState | None = None) -> Select[Transaction]:
    """Transactions with lane and attempts; all, or those in one state."""
    query = select(Transaction).options(
        joinedload(Transaction.lane), selectinload(Transaction.attempts)
    )
    return query if state is None else query.where(Transaction.state == state)


def plans_of(session: Session, rows: list[Transaction]) -> dict[object, tuple[Batch, Plan]]:
    """The batch and plan behind each of these transactions, by batch id."""
    ids = [row.batch_id for row in rows if row.batch_id is not None]
    found = session.execute(
        select(Batch, Plan).join(Plan, Plan.id == Batch.plan_id).where(Batch.id.in_(ids))
    )
    return {batch.id: (batch, plan) for batch, plan in found}


@dataclass(frozen=True)
class HeldBatch:
    """A batch that waits for a person.

    Args:
        is_signed: signed bytes of it are on the chain or may still get there, so there is nothing
            to try again.
    """

    batch: Batch
    plan: Plan
    is_signed: bool


@dataclass(frozen=True)
class Standing:
    """The pipeline in numbers."""

    by_state: dict[TransactionState, int]
    oldest_open: datetime | None
    held_batches: list[HeldBatch]
    lanes: list[NonceLane]

    def is_late(self, at: datetime) -> bool:
        """True when something has been on its way for more than five minutes."""
        return self.oldest_open is not None and at - self.oldest_open > LATE


def standing(session: Session) -> Standing:
    """How many transactions are in each state, and what stands still."""
    counts = session.execute(select(Transaction.state, func.count()).group_by(Transaction.state))
    oldest = session.scalar(
        select(func.min(Transaction.created_at)).where(Transaction.state.in_(OPEN_STATES))
    )
    lanes = session.scalars(select(NonceLane).options(joinedload(NonceLane.chain))).all()
    return Standing(dict(counts.all()), oldest, _held_batches(session), list(lanes))


def _held_batches(session: Session) -> list[HeldBatch]:
    is_signed = exists().where(
        Transaction.batch_id == Batch.id, Transaction.outcome.is_distinct_from(Outcome.CANCELLED)
    )
    rows = session.execute(
        select(Batch, Plan, is_signed)
        .join(Plan, Plan.id == Batch.plan_id)
        .where(Batch.state == BatchState.HELD)
        .order_by(Batch.id)
    )
    return [HeldBatch(batch, plan, signed) for batch, plan, signed in rows]


@dataclass(frozen=True)
class RecoveryProgress:
    """How far a restored lane is.

    Args:
        final: how many of its nonces are.
        total: nonces that may have been used without this database knowing.
        lacks_money: a node refused a transaction because the relayer cannot pay for it.
    """

    final: int
    total: int
    lacks_money: bool


def recoveries(session: Session) -> dict[LaneId, RecoveryProgress]:
    """The lanes that are recovering from a restored backup."""
    row = and_(
        Transaction.lane_id == Recovery.lane_id,
        Transaction.nonce >= Recovery.first_nonce,
        Transaction.nonce < Recovery.target,
    )
    is_final = Transaction.state == TransactionState.FINAL
    is_refused = Transaction.attempts.any(
        Attempt.last_answer.startswith(SendAnswer.INSUFFICIENT_FUNDS)
    )
    found = session.execute(
        select(
            Recovery,
            func.count().filter(is_final),
            func.coalesce(func.bool_or(is_refused & ~is_final), false()),
        )
        .outerjoin(Transaction, row)
        .group_by(Recovery.lane_id)
    )
    return {
        it.lane_id: RecoveryProgress(final, it.target - it.first_nonce, lacks_money)
        for it, final, lacks_money in found
    }


def get_lane(session: Session, lane_id: LaneId) -> NonceLane:
    """The lane.

    Raises:
        LaneNotFoundError: this merchant has none with the id.
    """
    lane = session.get(NonceLane, lane_id)
    if lane is None:
        raise LaneNotFoundError(lane_id)
    return lane


@dataclass(frozen=True)
class Home:
    """The first page of the admin in numbers."""

    users: int
    assets: int
    owned: int
    running: int
    attention: list[str]


def home(session: Session) -> Home:
    """What there is, and what needs a person."""
    return Home(
        users=_count(session, select(User.id)),
        assets=_count(
            session, select(DigitalAsset.id).where(DigitalAsset.state == ContractState.LIVE)
        ),
        owned=_count(session, select(Token.id).where(Token.state == TokenState.OWNED)),
        running=_count(
            session, select(Campaign.id).where(Campaign.state == CampaignState.PUBLISHED)
        ),
        attention=_attention(session),
    )


def _attention(session: Session) -> list[str]:
    paused = session.scalars(
        select(AirdropRun.pause_reason).where(AirdropRun.state == RunState.PAUSED)
    )
    stopped = session.scalars(
        select(NonceLane.state_reason).where(NonceLane.state != LaneState.ACTIVE)
    )
    held = session.scalars(select(Batch.held_reason).where(Batch.state == BatchState.HELD))
    reasons = (*paused, *stopped, *held, *grave_reasons(session), *stuck_reasons(session))
    return [str(reason) for reason in reasons]


def _count(session: Session, query: Select[Any]) -> int:
    return session.scalar(select(func.count()).select_from(query.subquery())) or 0

"""Takes back what was promised and not signed: tokens, their supply, and the contract's numbers.

Only a batch for which no signed bytes can get into a block any more is withdrawn. What is on its
way stays, and its members are served.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, exists, select
from sqlalchemy.orm import Session

from chain.models import Outcome, Transaction
from core.db import change
from core.types import AssetId, GrantId
from minting import recipients
from minting.airdrops import Wanted, drops_of
from minting.models import (
    Batch,
    BatchState,
    DigitalAsset,
    Drop,
    Plan,
    PlanKind,
    PlanState,
    Token,
    TokenState,
)
from minting.settlement import state_of

_TAKEN_BACK = (BatchState.PLANNED, BatchState.HELD)


def withdraw(session: Session, wanted: Wanted) -> int:
    """Nobody more is served by the reward line, but for those whose batch is signed already.

    Rounds and data contracts are numbered without gaps on chain. Nothing of the asset is planned
    behind an unfinished plan, so the numbers that nobody signed for are the last and can be given
    again. Repeating it later takes back what has failed meanwhile.

    Returns:
        How many tokens are gone.

    Locks: the asset, then the batches, then their plans.
    """
    asset = session.get_one(
        DigitalAsset, wanted.asset_id, with_for_update=True, populate_existing=True
    )
    drops = drops_of(session, wanted.reward_line_id)
    unsigned = _unsigned(session, asset, wanted)
    is_queued = recipients.queued(*(drop.id for drop in drops))
    count = change(session, delete(Token).where(*is_queued))
    if unsigned:
        ids = [batch.id for batch in unsigned]
        count += change(session, delete(Token).where(Token.batch_id.in_(ids)))
        _cancel(session, unsigned)
        nonces = [batch.data_nonce for batch in unsigned if batch.data_nonce is not None]
        asset.next_data_nonce = min([asset.next_data_nonce, *nonces])
    asset.minted_count -= count
    for drop in reversed(drops):
        _give_round_back(session, asset, drop)
    session.flush()
    return count


def withdraw_queued(session: Session, asset_id: AssetId, grant_id: GrantId) -> bool:
    """The grant's token is not minted, if it is in no plan yet; the supply counts it still.

    Returns:
        Whether it was in none.

    Locks: the asset, so that nothing of it is planned meanwhile.
    """
    session.get_one(DigitalAsset, asset_id, with_for_update=True, populate_existing=True)
    is_queued = (Token.grant_id == grant_id) & (Token.state == TokenState.QUEUED)
    return bool(change(session, delete(Token).where(is_queued)))


def withdraw_unsigned(session: Session, kind: PlanKind, subject_id: UUID) -> None:
    """Plans of the subject of which nothing was signed never happen.

    Locks: their batches, then the plans.
    """
    plans = session.scalars(
        select(Plan).where(
            Plan.kind == kind, Plan.subject_id == subject_id, Plan.state != PlanState.DONE
        )
    ).all()
    for plan in plans:
        unsigned = session.scalars(_unsigned_of(Plan.id == plan.id)).all()
        if len(unsigned) == len(plan.batches):
            _cancel(session, unsigned)


def _give_round_back(session: Session, asset: DigitalAsset, drop: Drop) -> None:
    """The drop's round is the next one again, if nothing of it was or will be on the chain."""
    if drop.round is None or drop.round != asset.next_round - 1:
        return
    if session.scalar(select(exists().where(Token.drop_id == drop.id, Token.round.is_not(None)))):
        return
    asset.next_round, drop.round = drop.round, None
    session.flush()


def _unsigned(session: Session, asset: DigitalAsset, wanted: Wanted) -> Sequence[Batch]:
    return session.scalars(
        _unsigned_of(
            Plan.kind == PlanKind.DROP,
            Plan.subject_id == wanted.subject_id,
            Plan.chain_id == asset.chain_id,
            Plan.contract == asset.address,
        )
    ).all()


def _unsigned_of(*rules: ColumnElement[bool]) -> Select[Batch]:
    """Batches of these plans for which no signed bytes can get into a block any more, locked."""
    is_live = exists().where(
        Transaction.batch_id == Batch.id,
        Transaction.outcome.is_distinct_from(Outcome.CANCELLED),
        Transaction.outcome.is_distinct_from(Outcome.REVERTED),
    )
    return (
        select(Batch)
        .join(Plan)
        .where(*rules, Batch.state.in_(_TAKEN_BACK), ~is_live)
        .order_by(Batch.plan_id, Batch.index)
        .with_for_update(of=Batch)
        .execution_options(populate_existing=True)
    )


def _cancel(session: Session, batches: Sequence[Batch]) -> None:
    for batch in batches:
        batch.state, batch.held_reason = BatchState.CANCELLED, None
        batch.chain_key = f"withdrawn:{batch.id}"  # another batch may mean the same from now on
    session.flush()
    for plan in {batch.plan for batch in batches}:
        session.refresh(plan, with_for_update=True)
        plan.state = state_of(session, plan)

"""Reads final transactions and sets this package's own rows: passes, tokens, contracts.

Level-triggered: it looks for batches whose transaction is final, so a crash only delays.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from chain.models import Outcome, Transaction, TransactionState
from chain.networks import register_contract
from core.events import emit_each
from core.types import BatchId
from minting.change_models import TokenRevocation
from minting.models import (
    Batch,
    BatchState,
    ContractState,
    DigitalAsset,
    MembershipPass,
    PassContract,
    PassState,
    Plan,
    PlanKind,
    PlanState,
    Token,
    TokenState,
)
from minting.numbers import sql_pass_number
from minting.plans import Target

_CLOSED_AT_ONCE = 16
_TOLD_ABOVE = (PlanKind.DROP, PlanKind.REVOCATION)
"""Kinds whose batches somebody above takes note of: grants follow them."""

log = structlog.get_logger(__name__)


def settle(session: Session, *, at: datetime) -> int:
    """Every batch about whose transaction something is certain has its effect in the tables.

    Returns:
        How many batches were settled.

    Locks: the batches and their plans, skipping those another process settles; the plan, because
    whoever settles its last batch has to see the others.
    """
    rows = session.execute(
        select(Batch, Plan, Transaction)
        .join(Plan, Plan.id == Batch.plan_id)
        .join(Transaction, Transaction.batch_id == Batch.id)
        .where(_is_due())
        .order_by(Batch.id)
        .with_for_update(of=(Batch, Plan), skip_locked=True)
    ).all()
    for batch, plan, transaction in rows:
        _settle(session, batch, plan, transaction, at=at)
    return len(rows)


def _is_due() -> ColumnElement[bool]:
    """An assigned batch with a verdict, or a held one that was delivered after all.

    A cancelled transaction says nothing once the batch has been signed anew.
    """
    newer = aliased(Transaction)
    is_signed_anew = exists().where(
        newer.batch_id == Batch.id, newer.outcome.is_distinct_from(Outcome.CANCELLED)
    )
    has_verdict = (Transaction.state == TransactionState.FINAL) & (
        (Transaction.outcome != Outcome.CANCELLED) | ~is_signed_anew
    )
    is_foreign = Transaction.foreign_use_at.is_not(None)
    return ((Batch.state == BatchState.ASSIGNED) & (has_verdict | is_foreign)) | (
        (Batch.state == BatchState.HELD) & (Transaction.outcome == Outcome.SUCCESS)
    )


def _settle(
    session: Session, batch: Batch, plan: Plan, transaction: Transaction, *, at: datetime
) -> None:
    if transaction.outcome is Outcome.SUCCESS:
        batch.state, batch.held_reason, batch.settled_at = BatchState.FINAL, None, at
        if plan.kind not in _TOLD_ABOVE:
            batch.closed_at = at  # nobody above waits for it
        effect = _EFFECTS.get(plan.kind)
        if effect is not None:
            effect(session, batch, plan, transaction, at)
    else:
        batch.state, batch.held_reason = BatchState.HELD, _held_reason(transaction)
        log.error("batch_held", batch=str(batch.id), reason=batch.held_reason)
    session.flush()
    plan.state = state_of(session, plan)
    session.flush()


def take_unclosed(session: Session, kind: PlanKind) -> dict[Target, list[BatchId]]:
    """Batches of this kind, by contract, that were settled since somebody last took note.

    Locks: the batches, skipping those another process takes.
    """
    rows = session.execute(
        select(Batch.id, Plan.chain_id, Plan.contract)
        .join(Plan)
        .where(Plan.kind == kind, Batch.settled_at.is_not(None), Batch.closed_at.is_(None))
        .order_by(Batch.id)
        .limit(_CLOSED_AT_ONCE)
        .with_for_update(of=Batch, skip_locked=True)
    )
    found: dict[Target, list[BatchId]] = defaultdict(list)
    for batch_id, chain_id, contract in rows:
        found[Target(chain_id, contract)].append(batch_id)
    return found


def mark_closed(session: Session, batches: Sequence[BatchId], *, at: datetime) -> None:
    """Somebody has taken note of these batches."""
    session.execute(update(Batch).where(Batch.id.in_(batches)).values(closed_at=at))


def is_closed(session: Session, subject_id: UUID) -> bool:
    """Whether every batch of the subject's plans was settled and taken note of, or withdrawn."""
    is_open = Batch.closed_at.is_(None) & (Batch.state != BatchState.CANCELLED)
    of_subject = (Plan.subject_id == subject_id) & (Batch.plan_id == Plan.id)
    return not session.scalar(select(exists().where(of_subject, is_open)))


def closed_recipients(session: Session, subject_id: UUID) -> int:
    """How many recipients the batches of the subject's plans have that were taken note of."""
    served = func.sum(Batch.last_ordinal - Batch.first_ordinal + 1)
    query = (
        select(served)
        .join(Plan, Plan.id == Batch.plan_id)
        .where(Plan.subject_id == subject_id, Batch.closed_at.is_not(None))
    )
    return int(session.scalar(query) or 0)


def _held_reason(transaction: Transaction) -> str:
    match transaction.outcome:
        case Outcome.REVERTED:
            return "the contract refused it"
        case Outcome.CANCELLED:
            if transaction.attempts[0].accepted_at is not None:
                return "it was cancelled before it got into a block"
            return f"no node took the transaction ({transaction.attempts[0].last_answer})"
        case _:
            return "something else used the relayer's key; whether it was delivered is not known"


def state_of(session: Session, plan: Plan) -> PlanState:
    """What the plan's batches make of it."""
    query = select(Batch.state).where(Batch.plan_id == plan.id).distinct()
    states = set(session.scalars(query))
    if BatchState.HELD in states:
        return PlanState.HELD
    is_done = states <= {BatchState.FINAL, BatchState.CANCELLED}
    return PlanState.DONE if is_done else PlanState.RUNNING


def _pass_contract_live(
    session: Session, _batch: Batch, plan: Plan, transaction: Transaction, _at: datetime
) -> None:
    contract = session.scalars(select(PassContract).where(PassContract.id == plan.subject_id)).one()
    contract.address, contract.state = transaction.contract_address, ContractState.LIVE
    assert contract.address is not None  # a deployment always has one
    register_contract(session, plan.chain_id, contract.address)


def _asset_live(
    session: Session, _batch: Batch, plan: Plan, _transaction: Transaction, _at: datetime
) -> None:
    asset = session.scalars(select(DigitalAsset).where(DigitalAsset.id == plan.subject_id)).one()
    asset.state = ContractState.LIVE
    assert asset.address is not None  # planned with its address
    register_contract(session, plan.chain_id, asset.address)


def _passes_active(
    session: Session, batch: Batch, _plan: Plan, _transaction: Transaction, at: datetime
) -> None:
    done = (
        update(MembershipPass)
        .where(MembershipPass.batch_id == batch.id, MembershipPass.state == PassState.MINTING)
        .values(state=PassState.ACTIVE, active_at=at)
        .returning(MembershipPass.user_id, MembershipPass.batch_number, MembershipPass.index)
        .cte("done")
    )
    number = func.jsonb_build_object("number", sql_pass_number(done.c.batch_number, done.c.index))
    emit_each(session, "cohort.pass.issued", select(done.c.user_id, number), at=at)


def _tokens_owned(
    session: Session, batch: Batch, _plan: Plan, _transaction: Transaction, at: datetime
) -> None:
    session.execute(
        update(Token)
        .where(Token.batch_id == batch.id, Token.state == TokenState.MINTING)
        .values(state=TokenState.OWNED, owned_at=at)
    )


def _token_burned(
    session: Session, batch: Batch, _plan: Plan, _transaction: Transaction, _at: datetime
) -> None:
    session.execute(
        update(Token)
        .where(TokenRevocation.batch_id == batch.id, TokenRevocation.token_id == Token.id)
        .values(state=TokenState.BURNED)
    )


_EFFECTS: dict[PlanKind, Callable[[Session, Batch, Plan, Transaction, datetime], Any]] = {
    PlanKind.PASS_CONTRACT: _pass_contract_live,
    PlanKind.ASSET: _asset_live,
    PlanKind.PASSES: _passes_active,
    PlanKind.DROP: _tokens_owned,
    PlanKind.REVOCATION: _token_burned,
}

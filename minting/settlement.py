"""Reads final transactions and sets this package's own rows: passes, tokens, contracts.

Level-triggered: it looks for batches whose transaction is final, so a crash only delays.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import Session, aliased

from chain.models import Outcome, Transaction, TransactionState
from chain.networks import register_contract
from core.events import emit_many
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
    pass_number,
)

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
        batch.state, batch.held_reason = BatchState.FINAL, None
        effect = _EFFECTS.get(plan.kind)
        if effect is not None:
            effect(session, batch, plan, transaction, at)
    else:
        batch.state, batch.held_reason = BatchState.HELD, _held_reason(transaction)
        log.error("batch_held", batch=str(batch.id), reason=batch.held_reason)
    plan.state = _state_of(plan)
    session.flush()


def _held_reason(transaction: Transaction) -> str:
    match transaction.outcome:
        case Outcome.REVERTED:
            return "the contract refused it"
        case Outcome.CANCELLED:
            return f"no node took the transaction ({transaction.attempts[0].last_answer})"
        case _:
            return "something else used the relayer's key; whether it was delivered is not known"


def _state_of(plan: Plan) -> PlanState:
    states = {batch.state for batch in plan.batches}
    if BatchState.HELD in states:
        return PlanState.HELD
    return PlanState.DONE if states == {BatchState.FINAL} else PlanState.RUNNING


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
    rows = session.execute(
        update(MembershipPass)
        .where(MembershipPass.batch_id == batch.id, MembershipPass.state == PassState.MINTING)
        .values(state=PassState.ACTIVE, active_at=at)
        .returning(MembershipPass.user_id, MembershipPass.batch_number, MembershipPass.index)
    )
    facts = [
        (user, {"number": pass_number(number or 0, index or 0)}) for user, number, index in rows
    ]
    emit_many(session, "cohort.pass.issued", facts, at=at)


def _tokens_owned(
    session: Session, batch: Batch, _plan: Plan, _transaction: Transaction, at: datetime
) -> None:
    session.execute(
        update(Token)
        .where(Token.batch_id == batch.id, Token.state == TokenState.MINTING)
        .values(state=TokenState.OWNED, owned_at=at)
    )


_EFFECTS: dict[PlanKind, Callable[[Session, Batch, Plan, Transaction, datetime], Any]] = {
    PlanKind.PASS_CONTRACT: _pass_contract_live,
    PlanKind.ASSET: _asset_live,
    PlanKind.PASSES: _passes_active,
    PlanKind.DROP: _tokens_owned,
}

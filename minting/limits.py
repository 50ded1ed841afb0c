"""What whoever wants a drop agreed to pay: a price per gas, and money in all.

A plan is kept back before a limit is passed, never after: the fees of a transaction, and every
higher fee that may follow for its nonce, stay below a cap that is fixed when it is signed.
"""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from chain.fees import Fees
from chain.models import Attempt, Outcome, Transaction
from core.types import Gas, Wei
from minting.models import Batch, Plan, PlanKind

_GWEI = 10**9
_NATIVE = 10**18


@dataclass(frozen=True)
class Offer:
    """Fees for one transaction now, and the cap of all that may follow; None where nobody set one.

    Prices are wei per gas.
    """

    fees: Fees
    cap: Wei | None


def offer(session: Session, plan: Plan, gas: Gas, fees: Fees, *, base_fee: Wei) -> Offer | str:
    """What may be offered for a transaction of so much gas, or why nothing may be.

    Args:
        fees: what the chain asks for now.
        base_fee: of the newest block, in wei per gas; below it nothing gets into a block.
    """
    caps = []
    if plan.max_fee_per_gas is not None:
        if base_fee > plan.max_fee_per_gas:
            return (
                f"gas costs {_gwei(base_fee)} now, the airdrop pays {_gwei(plan.max_fee_per_gas)}"
            )
        caps.append(plan.max_fee_per_gas)
    if plan.max_total is not None:
        left = plan.max_total - spent(session, plan)
        if gas * base_fee > left:
            limit = _plain(plan.max_total, _NATIVE)
            return f"the next transaction would pass the airdrop's limit of {limit}"
        caps.append(Wei(left // gas))
    if not caps:
        return Offer(fees, None)
    cap = min(caps)
    max_fee = min(fees.max_fee_per_gas, cap)
    return Offer(Fees(max_fee, min(fees.max_priority_fee_per_gas, max_fee)), cap)


def has_rival(session: Session, plan: Plan) -> bool:
    """Whether another plan of the same subject, and so under its limit, has something on its way.

    What that may cost at most leaves nothing for others, and what it does cost is known once it is
    in a block; so plans of one limit take turns.
    """
    is_rival = (Plan.subject_id == plan.subject_id) & (Plan.id != plan.id)
    is_open = Transaction.block_hash.is_(None) & Transaction.outcome.is_distinct_from(
        Outcome.CANCELLED
    )
    query = select(Transaction.id).join(Batch, Batch.id == Transaction.batch_id).join(Plan)
    return session.scalar(select(query.where(is_rival, is_open).exists())) or False


def spent(session: Session, plan: Plan) -> Wei:
    """What the drop has cost, and may still cost by what is signed, over all plans of its subject.

    References:
        EIP-1559: a transaction costs at most its gas limit times its fee cap.
    """
    dearest = (
        select(func.max(Attempt.gas * func.coalesce(Transaction.fee_cap, Attempt.max_fee_per_gas)))
        .where(Attempt.transaction_id == Transaction.id)
        .scalar_subquery()
    )
    paid = Transaction.gas_used * Transaction.effective_gas_price
    cost = case((Transaction.block_hash.is_not(None), paid), else_=dearest)
    query = (
        select(func.sum(cost))
        .join(Batch, Batch.id == Transaction.batch_id)
        .join(Plan, Plan.id == Batch.plan_id)
        .where(Plan.kind == PlanKind.DROP, Plan.subject_id == plan.subject_id)
    )
    return Wei(int(session.scalar(query) or 0))


def _gwei(price: int) -> str:
    return f"{_plain(price, _GWEI)} gwei"


def _plain(amount: int, unit: int) -> str:
    """Every digit, and no zeros behind them."""
    return f"{(Decimal(amount) / unit).normalize():f}"

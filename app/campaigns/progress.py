"""Where an airdrop run is, in numbers: for the screen, the terminal and the interface."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.campaigns.models import AirdropRun, RunState
from app.campaigns.runs import OVER, plans_of
from app.rewards.lines import lines_of
from app.rewards.models import Grant, GrantState
from chain.models import Outcome, Transaction
from core.types import Gas, Wei
from minting import airdrops, settlement
from minting.models import Batch, BatchState, Plan


@dataclass(frozen=True)
class Progress:
    """Where a run is, in numbers people watch.

    Args:
        total, delivered, failed, cancelled: rewards; a collectible is delivered once it is final on
            chain, and `on_chain` counts these.
        skipped: what was not promised, for a reason of the recipient's.
        waiting_for_pass: collectibles of members whose pass is not issued yet.
        gas: gas of the drop's transactions so far; `fee` what they cost in wei.
        seconds: since it was published, until it was over.
    """

    state: RunState
    recipients: int
    total: int
    delivered: int
    on_chain: int
    skipped: int
    failed: int
    cancelled: int
    waiting_for_pass: int
    transactions_total: int
    transactions_final: int
    gas: Gas
    fee: Wei
    seconds: float
    pause_reason: str | None
    paused_by: str | None

    @property
    def is_over(self) -> bool:
        """True when nothing will happen any more."""
        return self.state in OVER

    @property
    def gas_a_token(self) -> int | None:
        """Gas of one delivered collectible, rounded down."""
        return self.gas // self.on_chain if self.on_chain else None

    @property
    def rate(self) -> float | None:
        """Rewards delivered a second, or None before the first."""
        return self.delivered / self.seconds if self.seconds and self.delivered else None

    @property
    def remaining_seconds(self) -> int | None:
        """Until everybody is served at this rate, or None while there is none."""
        left = self.total - self.delivered - self.cancelled
        return round(left / self.rate) if self.rate and self.state is RunState.RUNNING else None


def progress(session: Session, run: AirdropRun, *, at: datetime) -> Progress:
    """The numbers of a run as they are now."""
    lines = lines_of(session, run.campaign_id)
    ended = run.completed_at or at
    on_chain = settlement.closed_recipients(session, run.id)
    queues = [airdrops.queue(session, line.id) for line in lines if line.asset_id is not None]
    return Progress(
        state=run.state,
        recipients=run.recipient_count,
        total=run.reward_count,
        delivered=on_chain + sum(line.delivered_count for line in lines),
        on_chain=on_chain,
        skipped=sum(line.skipped_count for line in lines),
        cancelled=_cancelled(session, run),
        waiting_for_pass=sum(queue.without_pass for queue in queues),
        seconds=(ended - run.created_at).total_seconds(),
        pause_reason=run.pause_reason,
        paused_by=run.paused_by,
        **_of_batches(session, run),
    )


def _cancelled(session: Session, run: AirdropRun) -> int:
    """Asked only of a run that was cancelled: it counts rows."""
    if run.state is not RunState.CANCELLED:
        return 0
    query = select(func.count()).where(
        Grant.source_id == run.id, Grant.state == GrantState.CANCELLED
    )
    return session.scalar(query) or 0


def _of_batches(session: Session, run: AirdropRun) -> dict[str, Any]:
    recipients = Batch.last_ordinal - Batch.first_ordinal + 1
    failed, total = session.execute(
        select(
            func.coalesce(func.sum(recipients).filter(Batch.state == BatchState.HELD), 0),
            func.count().filter(Batch.state != BatchState.CANCELLED),
        )
        .join(Plan)
        .where(*plans_of(run))
    ).one()
    final, gas, fee = session.execute(
        select(
            func.count().filter(Transaction.outcome == Outcome.SUCCESS),
            func.coalesce(func.sum(Transaction.gas_used), 0),
            func.coalesce(func.sum(Transaction.gas_used * Transaction.effective_gas_price), 0),
        )
        .join(Batch, Batch.id == Transaction.batch_id)
        .join(Plan)
        .where(*plans_of(run))
    ).one()
    return {
        "failed": int(failed),
        "transactions_total": total,
        "transactions_final": final,
        "gas": Gas(int(gas or 0)),
        "fee": Wei(int(fee or 0)),
    }

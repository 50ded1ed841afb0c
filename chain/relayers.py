"""Whether a relayer's rows agree with the chain: each transaction, the nonces, and the money.

What came in from outside is what the balance grew by, and what transactions cost meanwhile. It is
added up while everything else agrees; from then on balance, costs and what came in must fit to the
wei, so money that left without a transaction of ours shows, and a top-up cannot cover it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from chain import discrepancies, reconciliation, witnesses
from chain.client import ChainClient, Receipt
from chain.discrepancies import FOREIGN, Finding, Looked
from chain.errors import NodesDisagreeError, RpcError
from chain.models import (
    Discrepancy,
    LaneReconciliation,
    Outcome,
    Rule,
    Transaction,
    TransactionState,
)
from chain.reconciliation import Blocks, Pass
from core.db import unit_of_work
from core.types import Wei

log = structlog.get_logger(__name__)

_NAMED = 10
"""Nonces named one by one."""

_HELD = 100
"""Receipts until the claim is renewed."""


@dataclass(frozen=True)
class _Account:
    """What the chain says of the relayer after the last block of a pass."""

    used: int
    balance: Wei


def compare(run: Pass, client: ChainClient, *, end: int) -> None:
    """The relayer's transactions, nonces and money are compared up to block `end`.

    Raises:
        ChainUnavailableError: too few nodes answer.
        ClaimLostError: another pass took over.
    """
    parts = _parts(run, end)
    if not parts:
        return
    rows = _rows(run, parts)
    try:
        receipts = _receipts(run, client, rows)
        account = _account(run, client, end)
    except (NodesDisagreeError, RpcError) as error:
        # a node keeps old states for a while only, so a short pass leaves that to a later block
        log.warning("relayer_not_compared", relayer=run.relayer, reason=str(error))
        _set_problem(
            run, str(error) if run.is_full or isinstance(error, NodesDisagreeError) else None
        )
        return
    found = [
        difference
        for row, receipt in zip(rows, receipts, strict=True)
        for difference in _differences(row, receipt)
    ]
    with unit_of_work(merchant=run.merchant) as session:
        reconciliation.hold(session, run)
        _store(session, run, parts, found, account)


def _parts(run: Pass, end: int) -> list[Blocks]:
    """The blocks to compare."""
    with unit_of_work(merchant=run.merchant) as session:
        row = session.get_one(LaneReconciliation, run.lane_id)
        known = discrepancies.standing(session, run.chain_id, run.relayer)
        if run.is_full:
            return [(0, end)] if end >= row.last_block else []
        return run.parts_after(row.last_block, known, first=0, end=end)


def _rows(run: Pass, parts: Sequence[Blocks]) -> Sequence[Transaction]:
    """The final transactions of these blocks."""
    is_in = or_(*(Transaction.block_number.between(*part) for part in parts))
    with unit_of_work(merchant=run.merchant) as session:
        query = select(Transaction).where(*_final(run), is_in).order_by(Transaction.nonce)
        return session.scalars(query).all()


def _receipts(run: Pass, client: ChainClient, rows: Sequence[Transaction]) -> list[Receipt | None]:
    """Of each transaction; thousands of them take longer than a claim lasts."""
    found = []
    for number, row in enumerate(rows):
        if number % _HELD == _HELD - 1:
            with unit_of_work(merchant=run.merchant) as session:
                reconciliation.hold(session, run)
        found.append(witnesses.receipt(client, row.mined_hash or b""))
    return found


def _account(run: Pass, client: ChainClient, end: int) -> _Account:
    return _Account(
        witnesses.transaction_count(client, run.relayer, block=end),
        witnesses.balance(client, run.relayer, block=end),
    )


def _set_problem(run: Pass, problem: str | None) -> None:
    with unit_of_work(merchant=run.merchant) as session:
        reconciliation.hold(session, run)
        session.get_one(LaneReconciliation, run.lane_id).problem = problem


def _final(run: Pass) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return Transaction.lane_id == run.lane_id, Transaction.state == TransactionState.FINAL


def _differences(row: Transaction, receipt: Receipt | None) -> list[Finding]:
    """What the row and the receipt of a final transaction say differently."""
    subject = "0x" + (row.mined_hash or b"").hex()
    if receipt is None:
        expected = f"nonce {row.nonce} is final in block {row.block_number}"
        found = "this transaction is in no block"
        return [_finding(row, Rule.FORWARD, subject, expected, found)]
    differences = []
    place = _place(row.block_number, row.block_hash, row.outcome is not Outcome.REVERTED)
    real_place = _place(receipt.block_number, receipt.block_hash, receipt.succeeded)
    if place != real_place:
        differences.append(_finding(row, Rule.FORWARD, subject, place, real_place))
    paid, really_paid = row.fee_paid or 0, _cost(receipt)
    if paid != really_paid or row.gas_used != receipt.gas_used:
        expected = f"it cost {paid} wei for {row.gas_used} gas"
        found = f"it cost {really_paid} wei for {receipt.gas_used} gas"
        differences.append(_finding(row, Rule.MONEY, subject, expected, found))
    return differences


def _finding(row: Transaction, rule: Rule, subject: str, expected: str, found: str) -> Finding:
    return Finding(rule, subject, expected, found, block_number=row.block_number)


def _place(number: int | None, block_hash: bytes | None, succeeded: bool) -> str:
    ended = "succeeded" if succeeded else "was reverted"
    return f"it {ended} in block {number}, 0x{(block_hash or b'').hex()}"


def _cost(receipt: Receipt) -> int:
    return receipt.gas_used * receipt.effective_gas_price + receipt.data_fee


def _store(
    session: Session,
    run: Pass,
    parts: Sequence[Blocks],
    found: Sequence[Finding],
    account: _Account,
) -> None:
    for part in parts:
        looked = Looked(run.chain_id, run.relayer, (Rule.FORWARD, Rule.MONEY), part)
        there = [finding for finding in found if looked.covers(finding.block_number)]
        discrepancies.record(session, looked, there, at=run.at)
    end = parts[-1][1]
    looked = Looked(run.chain_id, run.relayer, (Rule.NONCES,))
    nonces = _compare_nonces(session, run, account.used, end)
    discrepancies.record(session, looked, nonces, at=run.at)
    row = session.get_one(LaneReconciliation, run.lane_id)
    money = _compare_money(session, run, row, account.balance, end)
    looked = Looked(run.chain_id, run.relayer, (Rule.MONEY,))
    discrepancies.record(session, looked, money, at=run.at)
    row.last_block, row.problem, row.compared_at = max(end, row.last_block), None, run.at
    row.used_nonces = account.used - run.base_nonce
    row.final_nonces = _count_final(session, run, end)
    if run.is_full:
        row.full_at = run.at


def _count_final(session: Session, run: Pass, end: int) -> int:
    query = select(func.count()).where(*_final(run), Transaction.block_number <= end)
    return session.scalar(query.select_from(Transaction)) or 0


def _compare_nonces(session: Session, run: Pass, used: int, end: int) -> list[Finding]:
    """Every nonce that the chain has used has its final row, and no other has one."""
    final = select(Transaction.nonce).where(*_final(run), Transaction.block_number <= end)
    wanted = func.generate_series(run.base_nonce, used - 1).column_valued("nonce")
    missing = session.scalars(
        select(wanted).where(wanted.not_in(final)).order_by(wanted).limit(_NAMED)
    ).all()
    outside = (Transaction.nonce >= used) | (Transaction.nonce < run.base_nonce)
    beyond = session.scalars(final.where(outside).order_by(Transaction.nonce).limit(_NAMED)).all()
    return [_missing(session, run, nonce) for nonce in missing] + [
        Finding(
            Rule.NONCES,
            f"nonce {nonce}",
            "a transaction with it is final",
            f"the relayer has used the nonces from {run.base_nonce} to {used - 1} only",
        )
        for nonce in beyond
    ]


def _missing(session: Session, run: Pass, nonce: int) -> Finding:
    row = session.scalar(
        select(Transaction).where(Transaction.lane_id == run.lane_id, Transaction.nonce == nonce)
    )
    is_ours = row is not None and row.foreign_use_at is None
    return Finding(
        Rule.NONCES,
        f"nonce {nonce}",
        "there is no such transaction" if row is None else f"its transaction is {row.state}",
        "it is used and final",
        severity=discrepancies.DIFFERENT if is_ours else FOREIGN,
    )


def _compare_money(
    session: Session, run: Pass, row: LaneReconciliation, balance: Wei, end: int
) -> list[Finding]:
    """Balance and everything ever spent are what ever came in, to the wei."""
    spent = _spent(session, run, until=end)
    if _is_clean(session, run):
        if row.money_block is None or end > row.money_block:
            _receive(row, balance, spent=spent, before=_spent(session, run, until=row.money_block))
        row.money_block, row.balance = end, balance
    if row.received is None or balance + spent == row.received:
        return []
    left = row.received - spent
    return [
        Finding(
            Rule.MONEY,
            "balance",
            f"{row.received} wei came in and {spent} wei were spent, so {left} wei are left",
            f"{balance} wei are left",
            severity=FOREIGN if balance < left else discrepancies.DIFFERENT,
        )
    ]


def _receive(row: LaneReconciliation, balance: Wei, *, spent: int, before: int) -> None:
    """What came in since the money was last looked at is added up."""
    if row.received is None or row.balance is None:
        row.received = Wei(balance + spent)
        return
    came_in = balance - row.balance + spent - before
    if came_in > 0:
        row.received = Wei(row.received + came_in)
        log.info("relayer_received", lane=str(row.lane_id), wei=came_in)


def _spent(session: Session, run: Pass, *, until: int | None) -> int:
    cost = Transaction.gas_used * Transaction.effective_gas_price
    whole = func.sum(cost + func.coalesce(Transaction.data_fee, 0))
    query = select(whole).where(*_final(run), Transaction.block_number <= (until or 0))
    return int(session.scalar(query) or 0)


def _is_clean(session: Session, run: Pass) -> bool:
    """No difference of its transactions or nonces lasts, so what they cost can be believed."""
    query = select(Discrepancy.id).where(
        discrepancies.is_open(run.chain_id, run.relayer), Discrepancy.subject != "balance"
    )
    return session.scalar(query.limit(1)) is None

"""Whether the tables and the contracts agree: each final batch there, each event here, and sums.

The rows of passes and tokens are the recipients of the frozen plans. A batch and the events of its
transaction are compared as sets of token and owner, range by range and in the order of the chain,
so a million recipients never are in memory at once. What differs is told once a transaction.
"""

from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from chain import discrepancies, ranges, reconciliation, relayers, witnesses
from chain.bindings import digital_asset
from chain.client import ChainClient
from chain.discrepancies import Finding, Looked
from chain.errors import NodesDisagreeError, RangeUnreadableError, RpcError
from chain.models import LaneRole, Outcome, Reconciliation, Rule, Transaction
from chain.ranges import Events, Place
from chain.reconciliation import Blocks, Pass
from core.db import unit_of_work
from core.ids import encode_id
from core.types import MerchantId
from minting import matching
from minting.models import Batch, BatchState, DigitalAsset, PassContract, Plan, PlanKind
from wallets.addresses import ChecksumAddress

log = structlog.get_logger(__name__)

_RULES = (Rule.FORWARD, Rule.BACKWARD, Rule.TOTALS)

_NAMED = 10
"""Batches named one by one."""


@dataclass
class Report:
    """What a pass did.

    Attributes:
        end: the last block that was compared.
        unread: contracts whose events could not be read whole; their cursors say why.
    """

    end: int
    unread: list[ChecksumAddress] = field(default_factory=list)


def reconcile(
    merchant: MerchantId,
    client: ChainClient,
    *,
    chain_id: int,
    line: int,
    is_full: bool,
    at: datetime,
) -> Report | None:
    """The merchant's accounts on the chain and every contract are compared.

    Args:
        line: the newest final block.
        is_full: from the first block, instead of what became final since the last pass.

    Returns:
        None while another pass is at it.

    Raises:
        ChainUnavailableError: too few nodes answer; what was compared before stays.
        ClaimLostError: another pass took over.
    """
    depth = client.head().number - line
    report = None
    for role in LaneRole:
        current = reconciliation.begin(
            merchant, chain_id, role=role, line=line, overlap=depth, is_full=is_full, at=at
        )
        if current is None:
            continue
        try:
            end = _compare_account(current, client)
            if role is LaneRole.RELAYER:
                report = _compare_contracts(current, client, end=end)
        finally:
            reconciliation.finish(current)
    return report


def _compare_account(current: Pass, client: ChainClient) -> int:
    """Returns the last block that was compared."""
    end = reconciliation.end_of(current, client, unsettled=_first_unsettled(current))
    relayers.compare(current, client, end=end)
    return end


def _compare_contracts(current: Pass, client: ChainClient, *, end: int) -> Report:
    report = Report(end)
    for address, first_block in _contracts(current):
        place = Place(current.merchant, current.chain_id, address)
        try:
            _compare(current, client, place, first_block=first_block, end=end)
        except (RangeUnreadableError, NodesDisagreeError, RpcError) as error:
            log.error("contract_not_compared", contract=address, reason=str(error))
            report.unread.append(address)
            with unit_of_work(merchant=current.merchant) as session:
                _cursor(session, place).problem = str(error)
    return report


def _first_unsettled(current: Pass) -> int | None:
    """The first block of a delivered batch whose recipients are not told in the tables yet."""
    with unit_of_work(merchant=current.merchant) as session:
        return session.scalar(
            select(func.min(Transaction.block_number))
            .join(Batch, Batch.id == Transaction.batch_id)
            .where(
                Transaction.lane_id == current.lane_id,
                Transaction.outcome == Outcome.SUCCESS,
                Batch.state.in_((BatchState.ASSIGNED, BatchState.HELD)),
            )
        )


def _contracts(current: Pass) -> list[tuple[ChecksumAddress, int]]:
    """Each contract of the merchant that can have events, and its first block."""
    with unit_of_work(merchant=current.merchant) as session:
        registries = session.execute(
            select(PassContract.address, PassContract.id).where(
                PassContract.chain_id == current.chain_id, PassContract.address.is_not(None)
            )
        )
        assets = session.execute(
            select(DigitalAsset.address, DigitalAsset.id)
            .where(DigitalAsset.chain_id == current.chain_id, DigitalAsset.address.is_not(None))
            .order_by(DigitalAsset.id)
        )
        deployed = dict(
            session.execute(
                select(Plan.subject_id, func.min(Transaction.block_number))
                .join(Batch, Batch.plan_id == Plan.id)
                .join(Transaction, Transaction.batch_id == Batch.id)
                .where(
                    Plan.kind.in_((PlanKind.PASS_CONTRACT, PlanKind.ASSET)),
                    Transaction.outcome == Outcome.SUCCESS,
                )
                .group_by(Plan.subject_id)
            ).all()
        )
        found = [*registries, *assets]
        return [
            (address, deployed.get(owner) or 0)
            for address, owner in found
            if address is not None and (owner in deployed or _has_cursor(session, current, address))
        ]


def _has_cursor(session: Session, current: Pass, address: ChecksumAddress) -> bool:
    return session.get(Reconciliation, (current.chain_id, address)) is not None


def _compare(
    current: Pass, client: ChainClient, place: Place, *, first_block: int, end: int
) -> None:
    parts = _parts(current, client, place, first_block, end)
    if not parts:
        return
    for first, last in parts:
        for events in ranges.read_whole(client, place, first, last):
            with unit_of_work(merchant=current.merchant) as session:
                reconciliation.hold(session, current)
                _compare_range(session, current, place, events)
                ranges.advance(_cursor(session, place), events)
    supply = _supply(current, client, place, end)
    with unit_of_work(merchant=current.merchant) as session:
        reconciliation.hold(session, current)
        _compare_whole(session, current, place, supply, end)


def _cursor(session: Session, place: Place) -> Reconciliation:
    return session.get_one(Reconciliation, (place.chain_id, place.contract))


def _parts(
    current: Pass, client: ChainClient, place: Place, first_block: int, end: int
) -> list[Blocks]:
    """The blocks to compare: what is new, and where something differed.

    A full pass begins anew; so does one whose chain has lost the block that was compared last.
    """
    with unit_of_work(merchant=current.merchant) as session:
        reconciliation.hold(session, current)
        cursor = ranges.open_cursor(session, place, first_block=first_block)
        known = discrepancies.standing(session, place.chain_id, place.contract)
    is_lost = cursor.last_hash is not None and (
        witnesses.block_hash(client, cursor.last_block) != cursor.last_hash
    )
    if is_lost:
        log.critical("compared_block_left_chain", contract=place.contract, block=cursor.last_block)
    if not (current.is_full or is_lost):
        return current.parts_after(cursor.last_block, known, first=cursor.first_block, end=end)
    with unit_of_work(merchant=current.merchant) as session:
        reconciliation.hold(session, current)
        ranges.rewind(_cursor(session, place))
    return [(cursor.first_block, end)] if cursor.first_block <= end else []


def _supply(current: Pass, client: ChainClient, place: Place, end: int) -> int | None:
    """How many tokens there are after block `end`; None where the nodes do not keep its state."""
    data = digital_asset.encode_total_supply()
    try:
        return int.from_bytes(witnesses.call(client, place.contract, data, block=end))
    except (NodesDisagreeError, RpcError) as error:
        log.warning("supply_not_compared", contract=place.contract, reason=str(error))
        if current.is_full or isinstance(error, NodesDisagreeError):
            with unit_of_work(merchant=current.merchant) as session:
                _cursor(session, place).problem = str(error)
        return None


def _compare_range(session: Session, current: Pass, place: Place, events: Events) -> None:
    """The batches and the events of a range are found in each other."""
    batches = matching.delivered(session, place, events.first, events.last)
    findings = matching.compare(session, batches, events.mints)
    looked = Looked(place.chain_id, place.contract, _RULES, (events.first, events.last))
    discrepancies.record(session, looked, findings, at=current.at)


def _compare_whole(
    session: Session, current: Pass, place: Place, supply: int | None, end: int
) -> None:
    """Every delivered batch has its transaction, and the sums of both sides are equal."""
    cursor = _cursor(session, place)
    findings = _without_transaction(session, place)
    cursor.recipients, cursor.supply = _recipients(session, place, end), supply
    if supply is not None and supply + cursor.burned != cursor.recipients:
        burned = f", {cursor.burned} of them burned since" if cursor.burned else ""
        findings.append(
            Finding(
                Rule.TOTALS,
                "total",
                f"{cursor.recipients} tokens were delivered{burned}",
                f"there are {supply} tokens",
            )
        )
    # without the supply nothing is known of the sums, so a difference of them stays
    rules = _RULES if supply is not None else (Rule.FORWARD, Rule.BACKWARD)
    looked = Looked(place.chain_id, place.contract, rules)
    discrepancies.record(session, looked, findings, at=current.at)
    cursor.compared_at = current.at
    if supply is not None:
        cursor.problem = None
    if current.is_full:
        cursor.full_at = current.at


def _recipients(session: Session, place: Place, end: int) -> int:
    """How many recipients the final batches of the contract have, by their frozen plans."""
    query = (
        select(func.sum(Batch.last_ordinal - Batch.first_ordinal + 1))
        .join(Plan, Plan.id == Batch.plan_id)
        .join(Transaction, Transaction.batch_id == Batch.id)
        .where(
            *matching.is_of(place),
            Batch.state == BatchState.FINAL,
            Transaction.outcome == Outcome.SUCCESS,
            Transaction.block_number <= end,
        )
    )
    return int(session.scalar(query) or 0)


def _without_transaction(session: Session, place: Place) -> list[Finding]:
    """Batches that count as delivered although no final transaction executed them."""
    executed = exists().where(
        Transaction.batch_id == Batch.id, Transaction.outcome == Outcome.SUCCESS
    )
    query = (
        select(Batch)
        .join(Plan, Plan.id == Batch.plan_id)
        .where(*matching.is_of(place), Batch.state == BatchState.FINAL, ~executed)
        .order_by(Batch.id)
        .limit(_NAMED)
    )
    return [
        Finding(
            Rule.FORWARD,
            encode_id("bat", batch.id),
            f"this batch was delivered to {batch.recipient_count} recipients",
            "no transaction of ours did that",
        )
        for batch in session.scalars(query)
    ]

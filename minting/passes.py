"""Membership passes: queued with the member, frozen into numbered batches, issued on chain."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ARRAY, Integer, Select, any_, cast, func, insert, literal, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from chain.bindings import membership_pass as binding
from chain.models import NonceLane
from chain.networks import issuer_address
from core.db import sql_id, sql_ids
from core.ids import new_id
from core.types import AssetId, PassId, UserId
from minting import costs, plans
from minting.costs import PassPlaces
from minting.errors import PassContractMissingError
from minting.models import (
    Batch,
    BatchState,
    ContractState,
    MembershipPass,
    PassContract,
    PassState,
    Plan,
    PlanKind,
)
from minting.numbers import SINGLES
from minting.plans import FrozenBatch, Target
from wallets.addresses import ChecksumAddress
from wallets.models import Wallet, WalletKind
from wallets.service import create_wallets

MAX_BATCH = binding.MAX_BATCH


def define_contract(
    session: Session,
    lane: NonceLane,
    *,
    name: str,
    symbol: str,
    metadata_cid: str,
    at: datetime,
) -> PassContract:
    """The merchant's pass contract is planned, owned by its issuer; a repeat returns the first.

    Locks: none; the unique merchant refuses a parallel second.
    """
    found = find_contract(session)
    if found is not None:
        return found
    contract = PassContract(
        id=AssetId(new_id()),
        chain_id=lane.chain_id,
        name=name,
        symbol=symbol,
        metadata_cid=metadata_cid,
        created_at=at,
    )
    session.add(contract)
    session.flush()
    code = binding.deploy_data(
        owner=issuer_address(session, at=at),
        minter=lane.address,
        name=name,
        symbol=symbol,
        token_uri=f"ipfs://{metadata_cid}",
        contract_uri=f"ipfs://{metadata_cid}",
        recoverable=False,
    )
    plans.freeze(
        session,
        PlanKind.PASS_CONTRACT,
        Target(lane.chain_id, None),
        [FrozenBatch(chain_key=f"deploy:{contract.id}", calldata=code)],
        subject_id=contract.id,
        at=at,
    )
    return contract


def find_contract(session: Session) -> PassContract | None:
    """The merchant's pass contract, or None before it is defined."""
    return session.scalar(select(PassContract))


def queue(session: Session, users: Sequence[UserId], *, at: datetime) -> None:
    """Each of these new members has a wallet and a pass that waits for a batch."""
    create_wallets(session, WalletKind.MEMBER, owners=users, at=at)
    facts: dict[InstrumentedAttribute[Any], Any] = {
        MembershipPass.id: sql_id(),
        MembershipPass.user_id: Wallet.owner_id,
        MembershipPass.wallet_id: Wallet.id,
        MembershipPass.address: Wallet.address,
        MembershipPass.state: literal(PassState.QUEUED, type_=MembershipPass.state.type),
        MembershipPass.queued_at: literal(at),
    }
    # An array, not a join with its rows: while the planner takes the table for nearly empty, it
    # would compare each wallet with each of them.
    owners = cast(list(users), ARRAY(Wallet.owner_id.type))
    rows = select(*facts.values()).where(
        Wallet.kind == WalletKind.MEMBER, Wallet.owner_id == any_(owners)
    )
    names = [it.key for it in facts]
    session.execute(insert(MembershipPass).from_select(names, rows, include_defaults=False))


def freeze_due(session: Session, *, at: datetime) -> list[Plan]:
    """Full batches, and everything older than the window, are frozen once there is a registry."""
    contract = find_contract(session)
    if contract is None or contract.state is not ContractState.LIVE:
        return []
    window = timedelta(seconds=contract.batch_window_seconds)
    count, oldest = session.execute(
        select(func.count(), func.min(MembershipPass.queued_at)).where(
            MembershipPass.state == PassState.QUEUED
        )
    ).one()
    if count >= MAX_BATCH or (oldest is not None and oldest + window <= at):
        return freeze_queue(session, at=at)
    return []


def freeze_queue(session: Session, *, at: datetime) -> list[Plan]:
    """Every queued pass has its number: sorted addresses in batches of at most 1 228.

    So few that it costs less are issued alone.

    Raises:
        PassContractMissingError: the merchant has no pass contract yet.

    Locks: the pass contract, which hands out the numbers.
    """
    contract = session.scalar(
        select(PassContract)
        .where(PassContract.state == ContractState.LIVE)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if contract is None:
        raise PassContractMissingError
    frozen = []
    while queued := _next_queued(session):
        if is_cheaper_alone(len(queued)):
            frozen += [_freeze_single(session, contract, *member, at=at) for member in queued]
        else:
            frozen.append(_freeze_batch(session, contract, queued, at=at))
    return frozen


def is_cheaper_alone(count: int) -> bool:
    """Whether so many passes cost less as one call each than as a batch."""
    one = costs.issue_one_gas(binding.encode_issue_one(0, costs.ANY_ADDRESS), is_first=False)
    batch = binding.encode_issue(0, costs.ANY_BYTES * count)
    return count * one < costs.issue_gas(batch, count, is_first=False)


def _next_queued(session: Session) -> Sequence[tuple[PassId, ChecksumAddress]]:
    rows = session.execute(
        select(MembershipPass.id, MembershipPass.address)
        .where(MembershipPass.state == PassState.QUEUED)
        .order_by(MembershipPass.id)
        .limit(MAX_BATCH)
        .with_for_update(skip_locked=True)
    )
    return rows.all()


def _freeze_batch(
    session: Session,
    contract: PassContract,
    queued: Sequence[tuple[PassId, ChecksumAddress]],
    *,
    at: datetime,
) -> Plan:
    members = sorted((bytes.fromhex(address[2:]), pass_id) for pass_id, address in queued)
    number = contract.next_batch
    contract.next_batch = number + 1
    calldata = binding.encode_issue(number, b"".join(raw for raw, _ in members))
    plan = plans.freeze(
        session,
        PlanKind.PASSES,
        Target(contract.chain_id, contract.address),
        [
            FrozenBatch(
                chain_key=f"issue:{contract.id}:{number}",
                calldata=calldata,
                recipient_count=len(members),
                gas=costs.issue_gas(calldata, len(members), is_first=number == 0),
            )
        ],
        subject_id=contract.id,
        at=at,
    )
    _number(session, plan, number, 0, [pass_id for _, pass_id in members])
    return plan


def _freeze_single(
    session: Session,
    contract: PassContract,
    pass_id: PassId,
    address: ChecksumAddress,
    *,
    at: datetime,
) -> Plan:
    number = contract.next_single
    contract.next_single = number + 1
    plan = plans.freeze(
        session,
        PlanKind.PASSES,
        Target(contract.chain_id, contract.address),
        [
            FrozenBatch(
                chain_key=f"issue-one:{contract.id}:{number}",
                calldata=binding.encode_issue_one(number, address),
                recipient_count=1,
            )
        ],
        subject_id=contract.id,
        at=at,
    )
    _number(session, plan, SINGLES + (number >> 16), number & 0xFFFF, [pass_id])
    return plan


def _number(
    session: Session, plan: Plan, number: int, first: int, ordered: Sequence[PassId]
) -> None:
    listed = sql_ids(ordered).table_valued("id", with_ordinality="place", name="places")
    places = listed.render_derived()
    session.execute(
        update(MembershipPass)
        .where(MembershipPass.id == places.c.id)
        .values(
            state=PassState.MINTING,
            batch_id=plan.batches[0].id,
            batch_number=number,
            index=cast(places.c.place, Integer) - 1 + first,
        )
        .execution_options(synchronize_session=False)
    )


def waiting_count(session: Session) -> int:
    """Passes that are not on the chain yet."""
    return (
        session.scalar(
            select(func.count())
            .select_from(MembershipPass)
            .where(MembershipPass.state.in_((PassState.QUEUED, PassState.MINTING)))
        )
        or 0
    )


def held_reason(session: Session) -> str | None:
    """Why a pass batch stands still, or None when none does."""
    return session.scalar(
        select(Batch.held_reason)
        .join(Plan)
        .where(Plan.kind == PlanKind.PASSES, Batch.state == BatchState.HELD)
        .limit(1)
    )


def batch_sizes(session: Session, numbers: Sequence[int]) -> dict[int, int]:
    """How many members each of these pass batches has."""
    rows = session.execute(
        select(MembershipPass.batch_number, func.count())
        .where(MembershipPass.batch_number.in_(numbers))
        .group_by(MembershipPass.batch_number)
    )
    return {number: count for number, count in rows if number is not None}


def pass_places(session: Session, users: Select[UserId | None]) -> tuple[list[PassPlaces], int]:
    """Where these members are in the registry, a pass batch at a time, and how many were issued
    alone, outside the batches.

    Args:
        users: their ids.
    """
    rows = session.execute(
        select(MembershipPass.batch_number, func.array_agg(MembershipPass.index))
        .where(
            MembershipPass.state.in_((PassState.ACTIVE, PassState.MINTING)),
            MembershipPass.user_id.in_(users.order_by(None)),
        )
        .group_by(MembershipPass.batch_number)
        .order_by(MembershipPass.batch_number)
    )
    found: dict[int, list[int]] = {}
    alone = 0
    for number, indices in rows:
        assert number is not None  # planned passes are numbered
        if number < SINGLES:
            found[number] = sorted(index for index in indices if index is not None)
        else:
            alone += len(indices)
    sizes = batch_sizes(session, list(found))
    return [PassPlaces(number, sizes[number], tuple(at)) for number, at in found.items()], alone

"""Drops: queued tokens become calls over the pass registry.

A drop is what one reward line gives. All of it is in one round of the asset's contract, taken when
the first of it is planned; whoever joins later is planned into the same round. The contract numbers
rounds and data contracts without gaps, so an asset has one unfinished plan at a time, and numbers
that nothing was signed for go back (`minting.withdrawal`).

A token row is the recipient. Its pass decides its batch and its bit, and the contract refuses a
bit that was set before, so no member gets a round twice whatever is repeated. Addresses, and passes
outside the batches, are minted to by address, under a number that the contract refuses to repeat.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from sqlalchemy import (
    Select,
    exists,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.orm import Session

from chain.bindings import digital_asset as binding
from chain.bindings.digital_asset import GROUP
from core.db import change, sql_id
from core.types import AssetId, Gas, GrantId, UserId, Wei
from minting import costs, planner, plans, recipients
from minting.costs import Ground
from minting.errors import RecipientsMovedError, SupplyExhaustedError
from minting.models import (
    DigitalAsset,
    MembershipPass,
    PassState,
    Plan,
    PlanKind,
    PlanState,
    Token,
    TokenState,
)
from minting.passes import pass_places
from minting.planner import GAS_CEILING, DropCall
from minting.plans import FrozenBatch, Target
from wallets.addresses import ADDRESS_BYTES, ChecksumAddress

_ANY_NONCE = 1
"""Stands for the number of a data contract where only the members of a call matter."""


@dataclass(frozen=True)
class Limits:
    """What whoever wants a drop agreed to.

    Args:
        batch_gas: planned gas of one transaction.
        max_fee_per_gas: wei per gas.
        max_total: wei, over all transactions of the drop.
    """

    batch_gas: Gas = GAS_CEILING
    max_fee_per_gas: Wei | None = None
    max_total: Wei | None = None


@dataclass(frozen=True)
class Drop:
    """What one reward line gives of an asset.

    Args:
        id: of the reward line.
        subject_id: what the plans belong to, an airdrop run.
        round: the round of the contract, once it is taken.
    """

    id: UUID
    asset_id: AssetId
    subject_id: UUID
    round: int | None
    limits: Limits = Limits()


def unfinished_plan(session: Session, asset_id: AssetId) -> Plan | None:
    """The drop of the asset that is still on its way; nothing else of it is planned meanwhile."""
    return session.scalar(
        select(Plan)
        .join(
            DigitalAsset,
            (DigitalAsset.chain_id == Plan.chain_id) & (DigitalAsset.address == Plan.contract),
        )
        .where(
            DigitalAsset.id == asset_id,
            Plan.kind == PlanKind.DROP,
            Plan.state != PlanState.DONE,
        )
    )


def _take_round(asset: DigitalAsset) -> int:
    number = asset.next_round
    asset.next_round = number + 1
    return number


def request_tokens(
    session: Session,
    asset_id: AssetId,
    *,
    drop_id: UUID,
    grants: Select[GrantId, UserId | None, ChecksumAddress | None],
    at: datetime,
) -> int:
    """One queued token for each grant; they count against the supply from now on.

    Args:
        grants: rows of grant, and member or address; it may end in a statement that makes the
            grants.

    Returns:
        How many tokens are new.

    Raises:
        SupplyExhaustedError: the edition has fewer tokens left; roll back.

    Locks: the asset.
    """
    asset = session.get_one(DigitalAsset, asset_id, with_for_update=True, populate_existing=True)
    grant, user, address = grants.subquery().c
    state = literal(TokenState.QUEUED, type_=Token.state.type)
    rows = select(
        sql_id(), literal(asset_id), grant, user, address, literal(drop_id), state, literal(at)
    )
    columns = ["id", "asset_id", "grant_id", "user_id", "address", "drop_id", "state", "created_at"]
    count = change(session, insert(Token).from_select(columns, rows, include_defaults=False))
    left = None if asset.max_supply is None else asset.max_supply - asset.minted_count
    if left is not None and count > left:
        raise SupplyExhaustedError(asset.title, wanted=count, left=left)
    asset.minted_count += count
    return count


@dataclass(frozen=True)
class Queue:
    """How many tokens of a drop are in no plan yet, by whether their members' passes are active."""

    ready: int
    without_pass: int


def queue(session: Session, drop_id: UUID) -> Queue:
    """How many recipients wait to be planned."""
    is_ready = MembershipPass.id.is_not(None) | Token.address.is_not(None)
    query = (
        select(func.count().filter(is_ready), func.count())
        .select_from(Token)
        .outerjoin(
            MembershipPass,
            (MembershipPass.user_id == Token.user_id) & (MembershipPass.state == PassState.ACTIVE),
        )
        .where(*recipients.queued(drop_id))
    )
    ready, everybody = session.execute(query).one()
    return Queue(ready, everybody - ready)


def without_wallet(session: Session, drop_id: UUID) -> bool:
    """Whether a recipient is a new member whose wallet and pass are still to be made."""
    query = select(Token.id).where(
        *recipients.queued(drop_id),
        Token.user_id.is_not(None),
        ~exists().where(MembershipPass.user_id == Token.user_id),
    )
    return session.scalar(query.limit(1)) is not None


@dataclass(frozen=True)
class PlannedDrop:
    """A frozen plan and the round of the contract it drops into."""

    plan: Plan
    round: int


def plan_drop(session: Session, drop: Drop, *, at: datetime) -> PlannedDrop | None:
    """Every queued token of the drop whose member's pass is active is in a frozen batch.

    Members of pass batches are reached by what costs least (`minting.planner`); members whose pass
    was issued alone, and recipients who are no members, by their address. Places and addresses are
    read a batch at a time, and tokens bound by one statement each, so a million recipients never
    are a million objects.

    Returns:
        The plan, or None while an earlier one of the asset is still on its way.

    Raises:
        RecipientsMovedError: somebody's pass became active meanwhile; roll back, and try again.

    Locks: the asset, which hands out the numbers of rounds and data contracts; new tokens need it,
    too.
    """
    asset = session.get_one(
        DigitalAsset, drop.asset_id, with_for_update=True, populate_existing=True
    )
    assert asset.chain_id is not None and asset.address is not None  # live assets only
    if unfinished_plan(session, asset.id) is not None:
        return None
    ground = ground_of(session, asset, drop.id)
    round_number = _take_round(asset) if drop.round is None else drop.round
    planned = recipients.queued(drop.id)
    places, _ = pass_places(session, recipients.ready_members(planned))
    calls = planner.plan_calls(places, ground, ceiling=drop.limits.batch_gas)
    frozen = [_freeze_call(asset, round_number, call) for call in calls]
    alone = recipients.addressed(planned)
    mints = recipients.packed_addresses(session, alone)
    first_nonce = asset.next_data_nonce
    frozen += [_freeze_mint(asset, addresses) for addresses in mints]
    target = Target(asset.chain_id, asset.address)
    plan = plans.freeze(session, PlanKind.DROP, target, frozen, subject_id=drop.subject_id, at=at)
    plan.max_fee_per_gas, plan.max_total = drop.limits.max_fee_per_gas, drop.limits.max_total
    inside, outside = plan.batches[: len(calls)], plan.batches[len(calls) :]
    recipients.bind_places(session, planned, round_number, list(zip(calls, inside, strict=True)))
    recipients.bind_addressed(
        session, alone, outside, round_number=round_number, first_nonce=first_nonce
    )
    if recipients.bound_addresses(session, outside) != mints:
        raise RecipientsMovedError(asset.title)
    return PlannedDrop(plan, round_number)


def ground_of(session: Session, asset: DigitalAsset, drop_id: UUID | None = None) -> Ground:
    """What a new round of the asset finds on the chain, or what more of the drop finds.

    Whether anybody of a round is in a storage word is not kept; of a round that is planned again it
    is assumed, which costs nothing but a higher gas limit.
    """
    used = _used_groups(session, drop_id)
    is_dropped = session.scalar(
        select(
            exists().where(
                Plan.kind == PlanKind.DROP,
                Plan.chain_id == asset.chain_id,
                Plan.contract == asset.address,
            )
        )
    )
    return Ground(is_first=not is_dropped, has_words=bool(used), used_groups=used)


def _used_groups(session: Session, drop_id: UUID | None) -> frozenset[int]:
    """The fifteens of pass batches that the drop has been planned to."""
    query = (
        select(func.div(Token.pass_number, GROUP * 2**16))
        .where(
            Token.drop_id == drop_id,
            Token.pass_number.is_not(None),
            Token.mint_nonce.is_(None),
        )
        .distinct()
    )
    return frozenset(int(group) for group in session.scalars(query))


def _freeze_call(asset: DigitalAsset, round_number: int, call: DropCall) -> FrozenBatch:
    nonce = asset.next_data_nonce
    if call.has_data:
        asset.next_data_nonce = nonce + 1
    members = sha256(call.encode(round_number, _ANY_NONCE)).hexdigest()
    return FrozenBatch(
        chain_key=f"drop:{asset.id}:{round_number}:{members}",
        calldata=call.encode(round_number, nonce),
        recipient_count=sum(len(part.places) for part in call.parts),
        gas=call.gas,
        data_nonce=nonce if call.has_data else None,
    )


def _freeze_mint(asset: DigitalAsset, addresses: bytes) -> FrozenBatch:
    nonce = asset.next_data_nonce
    asset.next_data_nonce = nonce + 1
    count = len(addresses) // ADDRESS_BYTES
    calldata = binding.encode_mint(nonce, addresses)
    return FrozenBatch(
        chain_key=f"mint:{asset.id}:{nonce}",
        calldata=calldata,
        recipient_count=count,
        gas=costs.mint_gas(calldata, count, is_first=False),
        data_nonce=nonce,
    )

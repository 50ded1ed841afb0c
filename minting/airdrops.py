"""Drops: queued tokens become calls over the pass registry.

A reward line has a drop for the first of each recipient, one for the second, and so on. All of a
drop is in one round of the asset's contract, taken when the first of it is planned; whoever joins
later is planned into the same round. The contract numbers rounds and data contracts without gaps,
so an asset has one unfinished plan at a time, and numbers that nothing was signed for go back
(`minting.withdrawal`).

A token row is the recipient. Its pass decides its batch and its bit, and the contract refuses a
bit that was set before, so no member gets a round twice whatever is repeated. Addresses, and passes
outside the batches, are minted to by address, under a number that the contract refuses to repeat.
"""

from collections.abc import Sequence
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
from sqlalchemy.dialects.postgresql import insert as insert_new
from sqlalchemy.orm import Session

from chain.bindings import digital_asset as binding
from chain.bindings.digital_asset import GROUP
from core.db import change, sql_id
from core.types import AssetId, DropId, Gas, GrantId, RewardLineId, UserId, Wei
from minting import costs, planner, plans, recipients
from minting.costs import Ground
from minting.errors import RecipientsMovedError, SupplyExhaustedError
from minting.models import (
    Batch,
    DigitalAsset,
    Drop,
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
class Wanted:
    """What one reward line gives of an asset.

    Args:
        subject_id: what the plans belong to, an airdrop run.
    """

    reward_line_id: RewardLineId
    asset_id: AssetId
    subject_id: UUID
    limits: Limits = Limits()


def drops_of(session: Session, reward_line_id: RewardLineId) -> Sequence[Drop]:
    """The drops of the reward line, the first of each recipient first."""
    query = select(Drop).where(Drop.reward_line_id == reward_line_id).order_by(Drop.ordinal)
    return session.scalars(query).all()


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
    reward_line_id: RewardLineId,
    grants: Select[GrantId, UserId | None, ChecksumAddress | None, int],
    most: int,
    is_reserved: bool = False,
    at: datetime,
) -> int:
    """One queued token for each grant; they count against the supply from now on.

    Args:
        grants: rows of grant, member or address, and the ordinal among the recipient's; it may end
            in a statement that makes the grants.
        most: how many of it any recipient receives at most.
        is_reserved: they were counted before (`reserve`).

    Returns:
        How many tokens are new.

    Raises:
        SupplyExhaustedError: the edition has fewer tokens left; roll back.

    Locks: the asset.
    """
    asset = session.get_one(DigitalAsset, asset_id, with_for_update=True, populate_existing=True)
    _make_drops(session, asset_id, reward_line_id, most)
    grant, user, address, ordinal = grants.subquery().c
    state = literal(TokenState.QUEUED, type_=Token.state.type)
    is_its_drop = (Drop.reward_line_id == reward_line_id) & (Drop.ordinal == ordinal)
    rows = select(
        sql_id(), literal(asset_id), grant, user, address, Drop.id, state, literal(at)
    ).join(Drop, is_its_drop)
    columns = ["id", "asset_id", "grant_id", "user_id", "address", "drop_id", "state", "created_at"]
    count = change(session, insert(Token).from_select(columns, rows, include_defaults=False))
    if not is_reserved:
        _take_supply(asset, count)
    return count


def reserve(session: Session, asset_id: AssetId, count: int) -> None:
    """So many tokens of the asset count as minted from now on; a negative count gives some back.

    Raises:
        SupplyExhaustedError: the edition has fewer tokens left; roll back.

    Locks: the asset.
    """
    asset = session.get_one(DigitalAsset, asset_id, with_for_update=True, populate_existing=True)
    _take_supply(asset, count)


def _take_supply(asset: DigitalAsset, count: int) -> None:
    left = None if asset.max_supply is None else asset.max_supply - asset.minted_count
    if left is not None and count > left:
        raise SupplyExhaustedError(asset.title, wanted=count, left=left)
    asset.minted_count += count


def _make_drops(
    session: Session, asset_id: AssetId, reward_line_id: RewardLineId, most: int
) -> None:
    """There is a drop for the first of each recipient, and so on up to the last of anybody."""
    ordinal = func.generate_series(0, most - 1).column_valued("ordinal")
    rows = select(sql_id(), literal(reward_line_id), ordinal, literal(asset_id))
    columns = ["id", "reward_line_id", "ordinal", "asset_id"]
    statement = insert_new(Drop).from_select(columns, rows, include_defaults=False)
    session.execute(statement.on_conflict_do_nothing())


@dataclass(frozen=True)
class Queue:
    """How many tokens of a reward line are in no plan yet, by whether their members' passes are
    active."""

    ready: int
    without_pass: int


def queue(session: Session, reward_line_id: RewardLineId) -> Queue:
    """How many tokens wait to be planned."""
    drops = [drop.id for drop in drops_of(session, reward_line_id)]
    is_ready = MembershipPass.id.is_not(None) | Token.address.is_not(None)
    query = (
        select(func.count().filter(is_ready), func.count())
        .select_from(Token)
        .outerjoin(
            MembershipPass,
            (MembershipPass.user_id == Token.user_id) & (MembershipPass.state == PassState.ACTIVE),
        )
        .where(*recipients.queued(*drops))
    )
    ready, everybody = session.execute(query).one()
    return Queue(ready, everybody - ready)


def without_wallet(session: Session, reward_line_id: RewardLineId) -> bool:
    """Whether a recipient is a new member whose wallet and pass are still to be made."""
    drops = [drop.id for drop in drops_of(session, reward_line_id)]
    query = select(Token.id).where(
        *recipients.queued(*drops),
        Token.user_id.is_not(None),
        ~exists().where(MembershipPass.user_id == Token.user_id),
    )
    return session.scalar(query.limit(1)) is not None


def plan_drop(session: Session, wanted: Wanted, *, at: datetime) -> Plan | None:
    """Every queued token of the reward line whose member's pass is active is in a frozen batch.

    Members of pass batches are reached by what costs least (`minting.planner`); members whose pass
    was issued alone, and recipients who are no members, by their address. Places and addresses are
    read a batch at a time, and tokens bound by one statement each, so a million recipients never
    are a million objects. The drops of the line are one plan, so that the second of a recipient
    waits until the first is in a block, and no longer.

    Returns:
        The plan, or None while an earlier one of the asset is still on its way.

    Raises:
        RecipientsMovedError: somebody's pass became active meanwhile; roll back, and try again.

    Locks: the asset, which hands out the numbers of rounds and data contracts; new tokens need it,
    too.
    """
    asset = session.get_one(
        DigitalAsset, wanted.asset_id, with_for_update=True, populate_existing=True
    )
    assert asset.chain_id is not None and asset.address is not None  # live assets only
    if unfinished_plan(session, asset.id) is not None:
        return None
    is_first = not _was_dropped(session, asset)
    parts = []
    for drop in drops_of(session, wanted.reward_line_id):
        part = _plan_part(session, asset, drop, is_first=is_first, ceiling=wanted.limits.batch_gas)
        is_first = is_first and not part.frozen
        parts.append(part)
    frozen = [batch for part in parts for batch in part.frozen]
    target = Target(asset.chain_id, asset.address)
    plan = plans.freeze(session, PlanKind.DROP, target, frozen, subject_id=wanted.subject_id, at=at)
    plan.max_fee_per_gas, plan.max_total = wanted.limits.max_fee_per_gas, wanted.limits.max_total
    first = 0
    for part in parts:
        _bind(session, asset, part, plan.batches[first : first + len(part.frozen)])
        first += len(part.frozen)
    session.flush()
    return plan


@dataclass(frozen=True)
class _Part:
    """A drop's share of a plan: calls to pass batches, then mints to addresses."""

    drop: Drop
    calls: Sequence[DropCall]
    mints: Sequence[bytes]
    first_nonce: int
    frozen: Sequence[FrozenBatch]


def _plan_part(
    session: Session, asset: DigitalAsset, drop: Drop, *, is_first: bool, ceiling: Gas
) -> _Part:
    """The drop's calls, with the next numbers of the contract.

    Mints name no round, and the contract refuses a round that leaves one out; so only calls to pass
    batches take one.
    """
    used = _used_groups(session, drop.id)
    ground = Ground(is_first=is_first, has_words=bool(used), used_groups=used)
    planned = recipients.queued(drop.id)
    places, _ = pass_places(session, recipients.ready_members(planned))
    calls = planner.plan_calls(places, ground, ceiling=ceiling)
    if calls and drop.round is None:
        drop.round = _take_round(asset)
    frozen = [_freeze_call(asset, drop.round or 0, call) for call in calls]
    mints = recipients.packed_addresses(session, recipients.addressed(planned))
    first_nonce = asset.next_data_nonce
    frozen += [_freeze_mint(asset, addresses) for addresses in mints]
    return _Part(drop, calls, mints, first_nonce, frozen)


def _bind(session: Session, asset: DigitalAsset, part: _Part, batches: Sequence[Batch]) -> None:
    """The tokens of the drop are in its batches.

    Raises:
        RecipientsMovedError: other addresses than the calls have.
    """
    planned = recipients.queued(part.drop.id)
    inside, outside = batches[: len(part.calls)], batches[len(part.calls) :]
    if part.drop.round is not None:
        placed = list(zip(part.calls, inside, strict=True))
        recipients.bind_places(session, planned, part.drop.round, placed)
    alone = recipients.addressed(planned)
    recipients.bind_addressed(session, alone, outside, first_nonce=part.first_nonce)
    if recipients.bound_addresses(session, outside) != part.mints:
        raise RecipientsMovedError(asset.title)


def ground_of(session: Session, asset: DigitalAsset) -> Ground:
    """What a new round of the asset finds on the chain."""
    return Ground(is_first=not _was_dropped(session, asset))


def _was_dropped(session: Session, asset: DigitalAsset) -> bool:
    is_drop = (Plan.kind == PlanKind.DROP) & (Plan.chain_id == asset.chain_id)
    return bool(session.scalar(select(exists().where(is_drop, Plan.contract == asset.address))))


def _used_groups(session: Session, drop_id: DropId) -> frozenset[int]:
    """The fifteens of pass batches that the drop has been planned to.

    Whether anybody of a round is in a storage word is not kept; of a round that is planned again it
    is assumed, which costs nothing but a higher gas limit.
    """
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

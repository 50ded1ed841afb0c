"""Drops: the tokens of one round become calls over the pass registry.

A token row is the recipient. Its pass decides its batch and its bit, and the contract refuses a
bit that was set before, so no member gets a round twice whatever is repeated. Addresses, and passes
outside the batches, are minted to by address, under a number that the contract refuses to repeat.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    Select,
    Subquery,
    cast,
    column,
    exists,
    func,
    insert,
    literal,
    select,
    type_coerce,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from chain.bindings import digital_asset as binding
from core.db import change, sql_id
from core.types import AssetId, GrantId, UserId
from minting import costs, planner, plans
from minting.costs import Ground
from minting.errors import SupplyExhaustedError
from minting.models import (
    SINGLES,
    Batch,
    DigitalAsset,
    MembershipPass,
    PassState,
    Plan,
    PlanKind,
    Token,
    TokenState,
)
from minting.passes import MAX_BATCH, pass_places
from minting.planner import DropCall
from minting.plans import FrozenBatch, Target
from wallets.addresses import ADDRESS_BYTES, ChecksumAddress


def open_round(session: Session, asset_id: AssetId) -> int:
    """The asset's next round, taken; each reward line drops into its own.

    Locks: the asset.
    """
    asset = session.get_one(DigitalAsset, asset_id, with_for_update=True, populate_existing=True)
    number = asset.next_round
    asset.next_round = number + 1
    return number


def request_tokens(
    session: Session,
    asset_id: AssetId,
    *,
    round_number: int,
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
        sql_id(), literal(asset_id), grant, user, address, literal(round_number), state, literal(at)
    )
    columns = ["id", "asset_id", "grant_id", "user_id", "address", "round", "state", "created_at"]
    count = change(session, insert(Token).from_select(columns, rows, include_defaults=False))
    left = None if asset.max_supply is None else asset.max_supply - asset.minted_count
    if left is not None and count > left:
        raise SupplyExhaustedError(asset.title, wanted=count, left=left)
    asset.minted_count += count
    return count


def passes_missing(session: Session, asset_id: AssetId, round_number: int) -> int:
    """How many queued members of the round have no active pass yet."""
    query = (
        select(func.count())
        .select_from(Token)
        .outerjoin(
            MembershipPass,
            (MembershipPass.user_id == Token.user_id) & (MembershipPass.state == PassState.ACTIVE),
        )
        .where(
            *_queued(asset_id, round_number),
            Token.user_id.is_not(None),
            MembershipPass.id.is_(None),
        )
    )
    return session.scalar(query) or 0


def plan_drop(
    session: Session, asset_id: AssetId, *, round_number: int, subject_id: UUID, at: datetime
) -> Plan:
    """Every queued token of the round is in a frozen batch, at most one a recipient.

    Members of pass batches are reached by what costs least (`minting.planner`); members whose pass
    was issued alone, and recipients who are no members, by their address. Places and addresses are
    read a batch at a time, and tokens bound by one statement each, so a million recipients never
    are a million objects.

    Args:
        subject_id: what the drop belongs to, an airdrop run.

    Locks: the asset, which hands out the numbers of data contracts; new tokens need it, too.
    """
    asset = session.get_one(DigitalAsset, asset_id, with_for_update=True, populate_existing=True)
    assert asset.chain_id is not None and asset.address is not None  # live assets only
    queued = _queued(asset_id, round_number)
    places, _ = pass_places(session, select(Token.user_id).where(*queued))
    calls = planner.plan_calls(places, ground_of(session, asset))
    frozen = [_freeze_call(asset, round_number, call) for call in calls]
    alone = _alone(queued)
    first_nonce = asset.next_data_nonce
    frozen += [_freeze_mint(asset, addresses) for addresses in _mints(session, alone)]
    target = Target(asset.chain_id, asset.address)
    plan = plans.freeze(session, PlanKind.DROP, target, frozen, subject_id=subject_id, at=at)
    inside, outside = plan.batches[: len(calls)], plan.batches[len(calls) :]
    _bind_places(session, queued, list(zip(calls, inside, strict=True)))
    _bind_alone(session, alone, outside, first_nonce=first_nonce)
    return plan


def _alone(queued: Sequence[Any]) -> Subquery:
    """The tokens that go to an address, in the order of the addresses: of members whose pass was
    issued alone, with the number of the pass, and of recipients who are no members."""
    address = type_coerce(func.coalesce(Token.address, MembershipPass.address), LargeBinary)
    place = func.row_number().over(order_by=address) - 1
    number = cast(MembershipPass.batch_number, BigInteger) * 2**16 + MembershipPass.index
    return (
        select(
            Token.id,
            address.label("address"),
            number.label("pass_number"),
            cast(place // MAX_BATCH, Integer).label("mint"),
            cast(place % MAX_BATCH, Integer).label("index"),
        )
        .outerjoin(MembershipPass, MembershipPass.user_id == Token.user_id)
        .where(*queued, Token.address.is_not(None) | (MembershipPass.batch_number >= SINGLES))
        .subquery("alone")
    )


def _mints(session: Session, alone: Subquery) -> Sequence[bytes]:
    """The addresses of each call, joined; increasing."""
    empty = literal(b"", LargeBinary)
    joined = func.string_agg(alone.c.address, aggregate_order_by(empty, alone.c.address))
    query = select(type_coerce(joined, LargeBinary)).group_by(alone.c.mint).order_by(alone.c.mint)
    return session.scalars(query).all()


def _bind_places(
    session: Session, queued: Sequence[Any], planned: Sequence[tuple[DropCall, Batch]]
) -> None:
    """The tokens of each pass batch are in the batch of its call."""
    batch_of = [(part.number, batch.id) for call, batch in planned for part in call.parts]
    if not batch_of:
        return
    numbers, batches = column("number", Integer), column("batch_id", Token.batch_id.type)
    bound = values(numbers, batches, name="bound").data(batch_of)
    number, index = MembershipPass.batch_number, MembershipPass.index
    session.execute(
        update(Token)
        .where(
            *queued,
            MembershipPass.user_id == Token.user_id,
            number == bound.c.number,
        )
        .values(
            state=TokenState.MINTING,
            batch_id=bound.c.batch_id,
            pass_number=cast(number, BigInteger) * 2**16 + index,
        )
        .execution_options(synchronize_session=False)
    )


def _bind_alone(
    session: Session, alone: Subquery, batches: Sequence[Batch], *, first_nonce: int
) -> None:
    """The tokens of each mint are in its batch."""
    if not batches:
        return
    mint, batch_id = column("mint", Integer), column("batch_id", Token.batch_id.type)
    bound = values(mint, batch_id, name="bound").data([(n, it.id) for n, it in enumerate(batches)])
    session.execute(
        update(Token)
        .where(Token.id == alone.c.id, alone.c.mint == bound.c.mint)
        .values(
            state=TokenState.MINTING,
            batch_id=bound.c.batch_id,
            pass_number=alone.c.pass_number,
            mint_nonce=alone.c.mint + first_nonce,
            mint_index=alone.c.index,
        )
        .execution_options(synchronize_session=False)
    )


def ground_of(session: Session, asset: DigitalAsset) -> Ground:
    """What a new round of the asset finds on the chain."""
    is_dropped = session.scalar(
        select(
            exists().where(
                Plan.kind == PlanKind.DROP,
                Plan.chain_id == asset.chain_id,
                Plan.contract == asset.address,
            )
        )
    )
    return Ground(is_first=not is_dropped)


def _freeze_call(asset: DigitalAsset, round_number: int, call: DropCall) -> FrozenBatch:
    nonce = asset.next_data_nonce
    if call.has_data:
        asset.next_data_nonce = nonce + 1
    numbers = f"{call.parts[0].number}-{call.parts[-1].number}"
    return FrozenBatch(
        chain_key=f"drop:{asset.id}:{round_number}:{call.form}:{numbers}",
        calldata=call.encode(round_number, nonce),
        recipient_count=sum(len(part.places) for part in call.parts),
        gas=call.gas,
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
    )


def _queued(asset_id: AssetId, round_number: int) -> tuple[Any, ...]:
    return (
        Token.asset_id == asset_id,
        Token.round == round_number,
        Token.state == TokenState.QUEUED,
    )

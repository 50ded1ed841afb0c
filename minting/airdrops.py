"""Drops: the tokens of one round become calls over the pass registry.

A token row is the recipient. Its pass decides its batch and its bit, and the contract refuses a
bit that was set before, so no member gets a round twice whatever is repeated. A pass outside the
batches is minted to by its address, under a number that the contract refuses to repeat.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.orm import Session

from chain.bindings import digital_asset as binding
from core.ids import new_id
from core.types import AssetId, BatchId, GrantId, TokenRowId, UserId
from minting import planner, plans
from minting.costs import Ground, PassPlaces
from minting.errors import SupplyExhaustedError
from minting.models import (
    SINGLES,
    DigitalAsset,
    MembershipPass,
    PassState,
    Plan,
    PlanKind,
    Token,
    TokenState,
)
from minting.passes import MAX_BATCH, batch_sizes
from minting.planner import DropCall
from minting.plans import FrozenBatch, Target


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
    grants: Sequence[tuple[GrantId, UserId]],
    at: datetime,
) -> None:
    """One queued token for each grant; they count against the supply from now on.

    Raises:
        SupplyExhaustedError: the edition has fewer tokens left; nothing was queued.

    Locks: the asset.
    """
    asset = session.get_one(DigitalAsset, asset_id, with_for_update=True, populate_existing=True)
    left = None if asset.max_supply is None else asset.max_supply - asset.minted_count
    if left is not None and len(grants) > left:
        raise SupplyExhaustedError(asset.title, wanted=len(grants), left=left)
    asset.minted_count += len(grants)
    rows = [
        {
            "id": TokenRowId(new_id()),
            "asset_id": asset_id,
            "grant_id": grant_id,
            "user_id": user_id,
            "round": round_number,
            "state": TokenState.QUEUED,
            "created_at": at,
        }
        for grant_id, user_id in grants
    ]
    if rows:
        session.execute(insert(Token), rows)


def passes_missing(session: Session, asset_id: AssetId, round_number: int) -> int:
    """How many queued recipients of the round have no active pass yet."""
    query = (
        select(func.count())
        .select_from(Token)
        .outerjoin(
            MembershipPass,
            (MembershipPass.user_id == Token.user_id) & (MembershipPass.state == PassState.ACTIVE),
        )
        .where(*_queued(asset_id, round_number), MembershipPass.id.is_(None))
    )
    return session.scalar(query) or 0


@dataclass(frozen=True)
class _Recipient:
    """A queued token and its member's place in the registry."""

    row: TokenRowId
    batch_number: int
    index: int
    address: bytes

    @property
    def pass_id(self) -> int:
        return self.batch_number << 16 | self.index


def plan_drop(
    session: Session, asset_id: AssetId, *, round_number: int, subject_id: UUID, at: datetime
) -> Plan:
    """Every queued token of the round is in a frozen batch, at most one a member.

    Members of pass batches are reached by what costs least (`minting.planner`), members whose pass
    was issued alone by their address.

    Args:
        subject_id: what the drop belongs to, an airdrop run.

    Locks: the asset, which hands out the numbers of data contracts.
    """
    asset = session.get_one(DigitalAsset, asset_id, with_for_update=True, populate_existing=True)
    assert asset.chain_id is not None and asset.address is not None  # live assets only
    inside: dict[int, list[_Recipient]] = defaultdict(list)
    outside: list[_Recipient] = []
    for recipient in _recipients(session, asset_id, round_number):
        if recipient.batch_number < SINGLES:
            inside[recipient.batch_number].append(recipient)
        else:
            outside.append(recipient)
    calls = planner.plan_calls(_places(session, inside), ground_of(session, asset))
    frozen = [_freeze_call(asset, round_number, call) for call in calls]
    outside.sort(key=lambda one: one.address)
    mints = [outside[i : i + MAX_BATCH] for i in range(0, len(outside), MAX_BATCH)]
    first_nonce = asset.next_data_nonce
    frozen += [_freeze_mint(asset, members) for members in mints]
    target = Target(asset.chain_id, asset.address)
    plan = plans.freeze(session, PlanKind.DROP, target, frozen, subject_id=subject_id, at=at)
    rows = [
        _bound(one, batch.id)
        for batch, call in zip(plan.batches, calls, strict=False)
        for part in call.parts
        for one in inside[part.number]
    ]
    rows += [
        _bound(one, batch.id) | {"mint_nonce": nonce, "mint_index": index}
        for nonce, batch, members in zip(
            count(first_nonce), plan.batches[len(calls) :], mints, strict=False
        )
        for index, one in enumerate(members)
    ]
    if rows:
        session.execute(update(Token), rows)
    return plan


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


def _recipients(session: Session, asset_id: AssetId, round_number: int) -> list[_Recipient]:
    rows = session.execute(
        select(Token.id, MembershipPass.batch_number, MembershipPass.index, MembershipPass.address)
        .join(MembershipPass, MembershipPass.user_id == Token.user_id)
        .where(*_queued(asset_id, round_number))
        .order_by(MembershipPass.batch_number, MembershipPass.index)
    )
    return [
        # callers wait for active passes, which are numbered
        _Recipient(row, number or 0, index or 0, bytes.fromhex(address[2:]))
        for row, number, index, address in rows
    ]


def _places(session: Session, inside: Mapping[int, Sequence[_Recipient]]) -> list[PassPlaces]:
    sizes = batch_sizes(session, list(inside))
    return [
        PassPlaces(number, sizes[number], tuple(one.index for one in members))
        for number, members in inside.items()
    ]


def _freeze_call(asset: DigitalAsset, round_number: int, call: DropCall) -> FrozenBatch:
    nonce = asset.next_data_nonce
    if call.has_data:
        asset.next_data_nonce = nonce + 1
    numbers = f"{call.parts[0].number}-{call.parts[-1].number}"
    return FrozenBatch(
        chain_key=f"drop:{asset.id}:{round_number}:{call.form}:{numbers}",
        calldata=call.encode(round_number, nonce),
        recipient_count=sum(len(part.places) for part in call.parts),
    )


def _freeze_mint(asset: DigitalAsset, members: Sequence[_Recipient]) -> FrozenBatch:
    nonce = asset.next_data_nonce
    asset.next_data_nonce = nonce + 1
    packed = b"".join(member.address for member in members)
    return FrozenBatch(
        chain_key=f"mint:{asset.id}:{nonce}",
        calldata=binding.encode_mint(nonce, packed),
        recipient_count=len(members),
    )


def _bound(one: _Recipient, batch_id: BatchId) -> dict[str, Any]:
    return {
        "id": one.row,
        "state": TokenState.MINTING,
        "batch_id": batch_id,
        "pass_number": one.pass_id,
        "mint_nonce": None,
        "mint_index": None,
    }


def _queued(asset_id: AssetId, round_number: int) -> tuple[Any, ...]:
    return (
        Token.asset_id == asset_id,
        Token.round == round_number,
        Token.state == TokenState.QUEUED,
    )

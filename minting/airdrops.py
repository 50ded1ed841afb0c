"""Drops: the tokens of one round become batches of bits over the pass registry.

A token row is the recipient. Its pass decides its batch and its bit, and the contract refuses a
bit that was set before, so no member gets a round twice whatever is repeated.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from chain.bindings import digital_asset as binding
from core.ids import new_id
from core.types import AssetId, Gas, GrantId, TokenRowId, UserId
from minting import plans
from minting.errors import SupplyExhaustedError
from minting.models import (
    DigitalAsset,
    MembershipPass,
    PassState,
    Plan,
    PlanKind,
    Token,
    TokenState,
)
from minting.passes import batch_sizes
from minting.plans import FrozenBatch, Target

GAS_CEILING = Gas(15_000_000)
"""Planned gas of one transaction; the protocol's cap is 2^24 (EIP-7825)."""
_GROUP = 15
_TRANSACTION_GAS = 80_000
_BATCH_GAS = 15_000
_RECIPIENT_GAS = 2_350
"""Upper bounds measured on drops of every second member and of whole batches."""


@dataclass(frozen=True)
class PassBits:
    """The recipients in one pass batch: its number, its size, their places in it."""

    number: int
    size: int
    places: tuple[int, ...]

    @property
    def gas_bound(self) -> int:
        """Gas this batch adds to a drop at most."""
        return _BATCH_GAS + _RECIPIENT_GAS * len(self.places)


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


def plan_drop(
    session: Session, asset_id: AssetId, *, round_number: int, subject_id: UUID, at: datetime
) -> Plan:
    """Every queued token of the round is in a frozen batch, at most one a member.

    Args:
        subject_id: what the drop belongs to, an airdrop run.

    Locks: the asset, which hands out the numbers of data contracts.
    """
    asset = session.get_one(DigitalAsset, asset_id, with_for_update=True, populate_existing=True)
    rows = session.execute(
        select(Token.id, MembershipPass.batch_number, MembershipPass.index)
        .join(MembershipPass, MembershipPass.user_id == Token.user_id)
        .where(*_queued(asset_id, round_number))
        .order_by(MembershipPass.batch_number, MembershipPass.index)
    ).all()
    by_batch: dict[int, list[tuple[int, TokenRowId]]] = defaultdict(list)
    for token_row, number, index in rows:
        assert number is not None and index is not None  # callers wait for active passes
        by_batch[number].append((index, token_row))
    sizes = batch_sizes(session, list(by_batch))
    bits = [
        PassBits(number, sizes[number], tuple(index for index, _ in members))
        for number, members in by_batch.items()
    ]
    assert asset.chain_id is not None and asset.address is not None  # live assets only
    groups = group_batches(bits)
    frozen = [_freeze_group(asset, round_number, group) for group in groups]
    target = Target(asset.chain_id, asset.address)
    plan = plans.freeze(session, PlanKind.DROP, target, frozen, subject_id=subject_id, at=at)
    _bind(session, plan, groups, by_batch)
    return plan


def group_batches(bits: Iterable[PassBits]) -> list[list[PassBits]]:
    """Pass batches in ascending order, cut into transactions.

    A transaction stays within fifteen neighbours (one directory slot of the contract) and below
    the gas ceiling.
    """
    groups: list[list[PassBits]] = []
    gas = 0
    for part in sorted(bits, key=lambda part: part.number):
        fits = (
            groups
            and groups[-1][0].number // _GROUP == part.number // _GROUP
            and gas + part.gas_bound <= GAS_CEILING
        )
        if not fits:
            groups.append([])
            gas = _TRANSACTION_GAS
        groups[-1].append(part)
        gas += part.gas_bound
    return groups


def _freeze_group(asset: DigitalAsset, round_number: int, group: Sequence[PassBits]) -> FrozenBatch:
    bits = [binding.bitmap(part.places) for part in group]
    nonce = asset.next_data_nonce
    if binding.needs_data_contract(bits, [part.size for part in group]):
        asset.next_data_nonce = nonce + 1
    numbers = [part.number for part in group]
    return FrozenBatch(
        chain_key=f"drop:{asset.id}:{round_number}:{numbers[0]}-{numbers[-1]}",
        calldata=binding.encode_drop(round=round_number, batches=numbers, bits=bits, nonce=nonce),
        recipient_count=sum(len(part.places) for part in group),
    )


def _bind(
    session: Session,
    plan: Plan,
    groups: Sequence[Sequence[PassBits]],
    by_batch: dict[int, list[tuple[int, TokenRowId]]],
) -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": token_row,
            "state": TokenState.MINTING,
            "batch_id": batch.id,
            "pass_number": part.number << 16 | index,
        }
        for batch, group in zip(plan.batches, groups, strict=True)
        for part in group
        for index, token_row in by_batch[part.number]
    ]
    if rows:
        session.execute(update(Token), rows)


def _queued(asset_id: AssetId, round_number: int) -> tuple[Any, ...]:
    return (
        Token.asset_id == asset_id,
        Token.round == round_number,
        Token.state == TokenState.QUEUED,
    )

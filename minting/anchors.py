"""Digests on the chain: that one existed is told by an event of the merchant's `Anchor`.

Asking costs a row; the engine plans the contract first, once a merchant and chain, and then a call
for each digest. What a digest means is for whoever asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chain.bindings import anchor
from chain.models import NonceLane, Outcome, Transaction
from chain.networks import issuer_address
from core.db import merchant_of
from minting import deployments, plans
from minting.anchor_models import AnchoredDigest
from minting.models import Batch, Plan, PlanKind
from minting.plans import FrozenBatch, Target
from wallets.addresses import ChecksumAddress

_AT_ONCE = 100


@dataclass(frozen=True)
class Anchored:
    """Where a chain tells that a digest existed."""

    chain_id: int
    contract: ChecksumAddress
    tx_hash: bytes
    block_number: int


def request(session: Session, digest: bytes, *, at: datetime) -> None:
    """The digest will be anchored, where the merchant has a relayer; a repeat changes nothing."""
    values = {"merchant_id": merchant_of(session), "digest": digest, "requested_at": at}
    session.execute(insert(AnchoredDigest).values(values).on_conflict_do_nothing())


def advance(session: Session, lane: NonceLane, *, at: datetime) -> int:
    """What waits is planned, once the merchant's contract is on the chain.

    Returns:
        How many digests were planned.

    Locks: the digests, skipping those another process plans.
    """
    waiting = session.scalars(
        select(AnchoredDigest)
        .where(AnchoredDigest.plan_id.is_(None))
        .order_by(AnchoredDigest.requested_at, AnchoredDigest.digest)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    if not waiting:
        return 0
    contract = deployments.deployed(session, PlanKind.ANCHOR_CONTRACT, lane)
    if contract is None:
        code = anchor.deploy_data(owner=issuer_address(session, at=at), minter=lane.address)
        deployments.plan_once(session, PlanKind.ANCHOR_CONTRACT, lane, code, at=at)
        return 0
    _plan(session, lane, contract, waiting, at=at)
    return len(waiting)


def _plan(
    session: Session,
    lane: NonceLane,
    contract: ChecksumAddress,
    waiting: Sequence[AnchoredDigest],
    *,
    at: datetime,
) -> None:
    target = Target(lane.chain_id, contract)
    for row in waiting:
        key = f"anchor:{lane.id}:{row.digest.hex()}"
        batch = FrozenBatch(chain_key=key, calldata=anchor.encode_anchor(row.digest))
        plan = plans.freeze(session, PlanKind.ANCHOR, target, [batch], subject_id=None, at=at)
        row.plan_id = plan.id
    session.flush()


def find(session: Session, digest: bytes) -> Anchored | None:
    """Where the digest is on the chain for good, or None while it is not."""
    return find_many(session, [digest]).get(digest)


def find_many(session: Session, digests: Sequence[bytes]) -> dict[bytes, Anchored]:
    """Where these digests are on the chain for good; those that are not are left out."""
    rows = session.execute(
        select(AnchoredDigest.digest, Plan.chain_id, Plan.contract, Transaction)
        .select_from(AnchoredDigest)
        .join(Plan, Plan.id == AnchoredDigest.plan_id)
        .join(Batch, Batch.plan_id == Plan.id)
        .join(Transaction, Transaction.batch_id == Batch.id)
        .where(AnchoredDigest.digest.in_(digests), Transaction.outcome == Outcome.SUCCESS)
    )
    found = {}
    for digest, chain_id, contract, transaction in rows:
        assert contract is not None  # only calls anchor
        mined_hash, block_number = transaction.mined_hash, transaction.block_number
        assert mined_hash is not None and block_number is not None  # it succeeded
        found[digest] = Anchored(chain_id, contract, mined_hash, block_number)
    return found

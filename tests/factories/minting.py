"""Members with passes, live assets, reward lines and frozen plans."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.campaigns import service as campaigns
from app.rewards.lines import Choice, set_lines
from app.rewards.models import GrantSource, RewardLine
from app.rewards.service import Source, grant_many, members
from app.users.models import User
from app.users.service import create_users, new_row
from chain.models import LaneRole, Outcome, Transaction, TransactionState
from core.ids import new_id
from core.types import AssetId, LaneId, UserId
from minting import airdrops, passes, plans
from minting.airdrops import Wanted
from minting.models import (
    Batch,
    BatchState,
    ContractState,
    DigitalAsset,
    MembershipPass,
    PassContract,
    PassState,
    Plan,
    PlanKind,
    PlanState,
    Transferability,
)
from minting.plans import FrozenBatch, Target
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, enqueue, make_intent
from tests.factories.wallets import CONTRACT

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
PASS_ADDRESS = "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0"


def make_pass_contract(session: Session, **changes: Any) -> PassContract:
    """A live registry."""
    values: dict[str, Any] = {
        "id": AssetId(new_id()),
        "chain_id": CHAIN_ID,
        "name": "Pass",
        "symbol": "PASS",
        "metadata_cid": CID,
        "state": ContractState.LIVE,
        "address": PASS_ADDRESS,
        "created_at": NOW,
    }
    contract = PassContract(**{**values, **changes})
    session.add(contract)
    session.flush()
    return contract


def make_members(session: Session, count: int, *, at: datetime = NOW) -> list[UserId]:
    """New members with wallets and queued passes."""
    emails = [f"{new_id()}@example.com" for _ in range(count)]
    rows = [new_row(email, email, source="test") for email in emails]
    create_users(session, rows, at=at)
    return [row["id"] for row in rows]


def activate_passes(session: Session) -> None:
    """Every queued pass is numbered and active, as after a final transaction."""
    passes.freeze_queue(session, at=NOW)
    session.execute(update(MembershipPass).values(state=PassState.ACTIVE))
    session.expire_all()


def make_asset(session: Session, **changes: Any) -> DigitalAsset:
    """A live asset."""
    values: dict[str, Any] = {
        "id": AssetId(new_id()),
        "internal_name": "First tide",
        "title": "First Tide",
        "description": "",
        "symbol": "TIDE",
        "attributes": [],
        "transferability": Transferability.TRANSFERABLE,
        "renditions": [],
        "image_cid": CID,
        "metadata_cid": CID,
        "contract_cid": CID,
        "state": ContractState.LIVE,
        "chain_id": CHAIN_ID,
        "address": CONTRACT,
        "created_at": NOW,
    }
    asset = DigitalAsset(**{**values, **changes})
    session.add(asset)
    session.flush()
    return asset


def make_line(session: Session, asset: DigitalAsset) -> RewardLine:
    """A campaign's reward line that gives the asset."""
    campaign = campaigns.create_airdrop(session, "Drop", at=NOW)
    [line] = set_lines(session, campaign.id, [Choice(asset.id)])
    return line


def grant(
    session: Session,
    line: RewardLine,
    users: Sequence[UserId],
    *,
    source_id: UUID | None = None,
    quantity: int = 1,
) -> int:
    """How many rewards of the line these members newly have."""
    source = Source(GrantSource.AIRDROP, source_id or new_id())
    chosen = members(select(User.id).where(User.id.in_(users)), quantity=quantity)
    return grant_many(session, line, chosen, source=source, at=NOW)


def wanted(line: RewardLine, *, subject_id: UUID | None = None) -> Wanted:
    """What the line gives, to be planned for this run."""
    assert line.asset_id is not None
    return Wanted(line.id, line.asset_id, subject_id or new_id())


def plan_drop(session: Session, line: RewardLine, *, subject_id: UUID | None = None) -> Plan:
    """Everybody of the line whose pass is active is planned."""
    plan = airdrops.plan_drop(session, wanted(line, subject_id=subject_id), at=NOW)
    assert plan is not None
    return plan


def rounds(session: Session, line: RewardLine) -> list[int | None]:
    """The rounds of the line's drops."""
    return [drop.round for drop in airdrops.drops_of(session, line.id)]


def finish(session: Session, plan: Plan) -> None:
    """The plan is done, as if all of it were on the chain."""
    for batch in plan.batches:
        batch.state, batch.settled_at = BatchState.FINAL, NOW
    plan.state = PlanState.DONE
    session.flush()


def make_plan(
    session: Session,
    *calldata: bytes,
    kind: PlanKind = PlanKind.DROP,
    contract: str | None = CONTRACT,
    subject_id: UUID | None = None,
    sender: LaneRole = LaneRole.RELAYER,
) -> Plan:
    """A plan of one batch for each of these bytes."""
    batches = [FrozenBatch(f"test:{new_id()}", data, recipient_count=1) for data in calldata]
    target = Target(CHAIN_ID, contract)
    return plans.freeze(
        session, kind, target, batches, subject_id=subject_id, sender=sender, at=NOW
    )


def execute(session: Session, lane_id: LaneId, batch: Batch, outcome: Outcome) -> Transaction:
    """The batch's transaction is final and ended like this."""
    intent = make_intent(batch.calldata, to=batch.plan.contract, batch_id=batch.id)
    transaction = enqueue(session, lane_id, intent)
    transaction.state, transaction.outcome = TransactionState.FINAL, outcome
    transaction.block_number, transaction.block_hash = 1, bytes(32)
    batch.state = BatchState.ASSIGNED
    session.flush()
    return transaction


def list_passes(session: Session) -> Sequence[MembershipPass]:
    """Every pass by its number."""
    query = select(MembershipPass).order_by(MembershipPass.batch_number, MembershipPass.index)
    return session.scalars(query).all()

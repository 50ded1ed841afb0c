"""Chains, lanes and intents; every lane has a key of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain import lanes, pipeline
from chain.fees import Fees
from chain.models import (
    Attempt,
    Chain,
    ChainKind,
    LaneRole,
    LaneState,
    NonceLane,
    Transaction,
    TransactionKind,
)
from chain.pipeline import Intent, Priced
from core.db import unit_of_work
from core.ids import new_id
from core.types import Gas, LaneId, MerchantId, TransactionId, Wei
from tests.conftest import NOW
from tests.factories.wallets import CONTRACT, make_wallet
from wallets import approvals
from wallets.approvals import Call
from wallets.models import WalletKind

CHAIN_ID = 31337
T = TypeVar("T")
FEES = Fees(Wei(3_000_000_000), Wei(1_000_000_000))


def make_chain(session: Session, **changes: Any) -> Chain:
    """An external chain with a `finalized` tag."""
    values: dict[str, Any] = {
        "id": CHAIN_ID,
        "kind": ChainKind.EXTERNAL,
        "name": "Test chain",
        "rpc_urls": ["http://127.0.0.1:1"],
        "explorer_url": None,
        "native_symbol": "ETH",
        "confirmations": None,
        "final_number": 0,
        "final_hash": None,
    }
    chain = Chain(**{**values, **changes})
    session.add(chain)
    session.flush()
    return chain


def make_lane(session: Session, *, chain_id: int = CHAIN_ID, **changes: Any) -> NonceLane:
    """A lane of a new relayer, or of an issuer; its chain is made when there is none."""
    kind = WalletKind(changes.get("role", LaneRole.RELAYER))
    if session.get(Chain, chain_id) is None:
        make_chain(session, id=chain_id)
    values: dict[str, Any] = {"next_nonce": 0, "base_nonce": 0, "state": LaneState.ACTIVE}
    lane = NonceLane(
        id=LaneId(new_id()),
        chain_id=chain_id,
        address=make_wallet(session, kind).address,
        **{**values, **changes},
    )
    session.add(lane)
    session.flush()
    return lane


def make_intent(data: bytes = b"\x01", **changes: Any) -> Intent:
    """A call of a contract."""
    values: dict[str, Any] = {
        "kind": TransactionKind.CALL,
        "to": CONTRACT,
        "data": data,
        "gas": Gas(100_000),
    }
    return Intent(**{**values, **changes})


def enqueue(
    session: Session, lane_id: LaneId, intent: Intent, *, fees: Fees = FEES, at: datetime = NOW
) -> Transaction:
    """The intent, approved and enqueued alone."""
    lane = session.get_one(NonceLane, lane_id)
    call = Call(lane.chain_id, intent.to, intent.data, WalletKind(lane.role))
    approvals.approve(session, [call], at=at)
    [transaction] = pipeline.enqueue(session, lane_id, [Priced(intent, fees)], at=at)
    return transaction


@dataclass(frozen=True)
class Desk:
    """A merchant's lane, and short ways to use the pipeline on it with committed rows."""

    merchant: MerchantId
    lane_id: LaneId

    def enqueue(self, data: bytes = b"\x01", **changes: Any) -> TransactionId:
        """A signed and stored transaction; nothing is sent."""
        with unit_of_work(merchant=self.merchant) as session:
            return enqueue(session, self.lane_id, make_intent(data, **changes)).id

    def transaction(self, transaction_id: TransactionId) -> Transaction:
        """The row as committed now."""
        return self.read(lambda session: session.get_one(Transaction, transaction_id))

    def attempts(self) -> list[Attempt]:
        """Every attempt ever stored, by nonce."""
        query = select(Attempt).join(Transaction).order_by(Transaction.nonce, Attempt.seq)
        return self.read(lambda session: list(session.scalars(query)))

    def transactions(self) -> list[Transaction]:
        """Every transaction, by nonce."""
        query = select(Transaction).order_by(Transaction.nonce)
        return self.read(lambda session: list(session.scalars(query)))

    def lane(self) -> NonceLane:
        """The lane as committed now."""
        return self.read(lambda session: session.get_one(NonceLane, self.lane_id))

    def resume(self) -> None:
        """The lane takes transactions again, if it may."""
        with unit_of_work(merchant=self.merchant) as session:
            lanes.resume(session, self.lane_id)
            lanes.set_funded(session, self.lane_id, is_funded=True)

    def read(self, work: Callable[[Session], T]) -> T:
        """What `work` reads in a transaction of its own."""
        with unit_of_work(merchant=self.merchant) as session:
            return work(session)


def make_desk(merchant: MerchantId, **changes: Any) -> Desk:
    """A desk with a lane of its own."""
    with unit_of_work(merchant=merchant) as session:
        return Desk(merchant, make_lane(session, **changes).id)

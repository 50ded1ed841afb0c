"""A small world whose tables and chain agree: passes, an edition, drops, and a pass over both."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain import pipeline
from chain.models import Discrepancy, LaneReconciliation, NonceLane, Reconciliation, Rule
from core.db import unit_of_work
from core.types import MerchantId, UserId
from minting import airdrops, passes, reconciliation, sending, settlement
from minting.models import (
    Batch,
    DigitalAsset,
    MembershipPass,
    Plan,
    PlanKind,
    PlanState,
    Token,
)
from tests.chain.fake_ledger import Event
from tests.chain.fakes import FakeChain
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, make_lane
from tests.factories.minting import (
    CID,
    grant,
    make_asset,
    make_line,
    make_members,
    make_plan,
    wanted,
)

MINUTE = timedelta(minutes=1)
_ROUNDS = 60


@dataclass
class World:
    """A merchant, a chain whose contracts do what they are told, and a clock."""

    merchant: MerchantId
    chain: FakeChain = field(default_factory=FakeChain)
    at: datetime = NOW

    def settle(self) -> None:
        """Every plan is carried out, and final."""
        for _ in range(_ROUNDS):
            self.step()
            with unit_of_work(merchant=self.merchant) as session:
                passes.freeze_due(session, at=self.at)
                self._script(session)
                states = set(session.scalars(select(Plan.state)))
            if states == {PlanState.DONE}:
                return
        raise RuntimeError("The plans of the world were never carried out.")

    def step(self) -> None:
        """One step of the engine, and a block."""
        self.send()
        self.chain.mine()
        self.watch()
        with unit_of_work(merchant=self.merchant) as session:
            settlement.settle(session, at=self.at)

    def send(self) -> None:
        """Whose turn it is is signed and sent."""
        sending.assign_ready(self.merchant, self.chain, chain_id=CHAIN_ID, at=self.at)
        self.watch()

    def watch(self) -> None:
        """The pipeline sends what is due, and reads receipts."""
        line = self.chain.finalized_number
        pipeline.watch(self.merchant, self.chain, chain_id=CHAIN_ID, line=line, at=self.at)

    def reconcile(self, *, is_full: bool = False) -> list[Discrepancy]:
        """The differences that last after one pass more, a minute later."""
        self.at += MINUTE
        reconciliation.reconcile(
            self.merchant,
            self.chain,
            chain_id=CHAIN_ID,
            line=self.chain.finalized_number(),
            is_full=is_full,
            at=self.at,
        )
        return self.differences()

    def differences(self) -> list[Discrepancy]:
        """Those that last."""
        query = select(Discrepancy).where(Discrepancy.resolved_at.is_(None))
        with unit_of_work(merchant=self.merchant) as session:
            return list(session.scalars(query.order_by(Discrepancy.rule, Discrepancy.subject)))

    def rules(self, *, is_full: bool = False) -> set[Rule]:
        """The rules that one pass more finds broken."""
        return {difference.rule for difference in self.reconcile(is_full=is_full)}

    def cursors(self) -> list[Reconciliation]:
        """Where the comparison of each contract stands."""
        with unit_of_work(merchant=self.merchant) as session:
            return list(session.scalars(select(Reconciliation).order_by(Reconciliation.contract)))

    def relayer(self) -> LaneReconciliation:
        """Where the comparison of the relayer stands."""
        with unit_of_work(merchant=self.merchant) as session:
            return session.scalars(select(LaneReconciliation)).one()

    def issue(self, count: int) -> list[UserId]:
        """So many new members with passes on their way."""
        with unit_of_work(merchant=self.merchant) as session:
            users = make_members(session, count, at=self.at)
            passes.freeze_queue(session, at=self.at)
            self._script(session)
            return users

    def holders(self, count: int) -> list[UserId]:
        """So many members of the first batch of passes."""
        query = select(MembershipPass.user_id).order_by(
            MembershipPass.batch_number, MembershipPass.index
        )
        with unit_of_work(merchant=self.merchant) as session:
            return list(session.scalars(query.limit(count)))

    def drop(self, users: list[UserId]) -> None:
        """The edition's next round is on its way to these members."""
        with unit_of_work(merchant=self.merchant) as session:
            asset = session.scalars(select(DigitalAsset)).one()
            line = make_line(session, asset)
            grant(session, line, users)
            assert airdrops.plan_drop(session, wanted(line), at=self.at) is not None
            self._script(session)

    def _script(self, session: Session) -> None:
        """The contracts will make what the frozen plans say."""
        rows: list[Any] = [
            *session.execute(
                select(MembershipPass, MembershipPass.address, Batch.calldata, Plan.contract)
                .join(Batch, Batch.id == MembershipPass.batch_id)
                .join(Plan)
                .order_by(MembershipPass.batch_number, MembershipPass.index)
            ),
            *session.execute(
                select(Token, MembershipPass.address, Batch.calldata, Plan.contract)
                .join(MembershipPass, MembershipPass.user_id == Token.user_id)
                .join(Batch, Batch.id == Token.batch_id)
                .join(Plan)
                .order_by(Token.pass_number)
            ),
        ]
        ledger = self.chain.ledger
        fresh = {bytes(calldata) for *_, calldata, _ in rows} - set(ledger.events)
        for row, owner, calldata, contract in rows:
            if calldata in fresh:
                ledger.events[calldata].append(Event(contract, row.token_id, owner))


def make_world(merchant: MerchantId) -> World:
    """Two batches of passes and one issued alone, an edition, and two rounds of it."""
    world = World(merchant)
    with unit_of_work(merchant=merchant) as session:
        lane: NonceLane = make_lane(session)
        passes.define_contract(
            session, lane, name="Pass", symbol="PASS", metadata_cid=CID, at=world.at
        )
        asset = make_asset(session)
        make_plan(session, b"edition", kind=PlanKind.ASSET, subject_id=asset.id)
    world.settle()
    early = world.issue(8)
    later = world.issue(5)
    [alone] = world.issue(1)
    world.settle()
    world.drop([*early, *later, alone])
    world.settle()
    world.drop(early[:3])
    world.settle()
    world.chain.mine(blocks=2)
    return world

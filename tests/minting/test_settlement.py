"""A final transaction has its effect in the tables once; a reverted one waits for a person."""

from threading import Barrier, Thread

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from chain.models import NonceLane, Outcome, Transaction, TransactionState
from chain.networks import find_contract
from core.db import unit_of_work
from core.events import Event
from minting import passes, sending, settlement
from minting.models import (
    BatchState,
    ContractState,
    PassState,
    Plan,
    PlanKind,
    PlanState,
    Token,
    TokenState,
)
from tests.conftest import NOW, make_merchant
from tests.factories.chain import CHAIN_ID, make_lane
from tests.factories.minting import (
    activate_passes,
    execute,
    grant,
    list_passes,
    make_asset,
    make_line,
    make_members,
    make_pass_contract,
    make_plan,
    plan_drop,
)
from tests.factories.wallets import CONTRACT


@pytest.fixture
def lane(session: Session) -> NonceLane:
    """A lane of the merchant."""
    return make_lane(session)


def issue(session: Session, lane: NonceLane, outcome: Outcome) -> Plan:
    """A batch of three passes whose transaction ended like this."""
    make_pass_contract(session)
    make_members(session, 3)
    [plan] = passes.freeze_queue(session, at=NOW)
    execute(session, lane.id, plan.batches[0], outcome)
    return plan


class TestSuccess:
    def test_passes_become_active_and_are_announced(
        self, session: Session, lane: NonceLane
    ) -> None:
        plan = issue(session, lane, Outcome.SUCCESS)
        assert settlement.settle(session, at=NOW) == 1
        session.expire_all()
        rows = list_passes(session)
        assert {(row.state, row.active_at) for row in rows} == {(PassState.ACTIVE, NOW)}
        facts = session.execute(
            select(Event.user_id, Event.data).where(Event.type == "cohort.pass.issued")
        ).all()
        assert {(user, data["number"]) for user, data in facts} == {
            (row.user_id, row.number) for row in rows
        }
        assert (plan.state, plan.batches[0].state) == (PlanState.DONE, BatchState.FINAL)

    def test_doing_it_again_changes_nothing(self, session: Session, lane: NonceLane) -> None:
        issue(session, lane, Outcome.SUCCESS)
        assert [settlement.settle(session, at=NOW) for _ in range(3)] == [1, 0, 0]
        announced = select(Event.id).where(Event.type == "cohort.pass.issued")
        assert len(session.scalars(announced).all()) == 3

    def test_the_pass_contract_becomes_live_and_public(
        self, session: Session, lane: NonceLane, merchant: Merchant
    ) -> None:
        contract = passes.define_contract(
            session, lane, name="Pass", symbol="PASS", metadata_cid="cid", at=NOW
        )
        [plan] = session.scalars(select(Plan)).all()
        transaction = execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
        settlement.settle(session, at=NOW)
        assert contract.state is ContractState.LIVE
        assert contract.address == transaction.contract_address
        assert find_contract(session, CHAIN_ID, contract.address) == merchant.id

    def test_an_asset_becomes_live_and_public(
        self, session: Session, lane: NonceLane, merchant: Merchant
    ) -> None:
        asset = make_asset(session, state=ContractState.PUBLISHING)
        plan = make_plan(session, b"\x01", kind=PlanKind.ASSET, subject_id=asset.id)
        execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
        settlement.settle(session, at=NOW)
        assert asset.state is ContractState.LIVE
        assert find_contract(session, CHAIN_ID, CONTRACT) == merchant.id

    def test_tokens_become_owned(self, session: Session, lane: NonceLane) -> None:
        make_pass_contract(session)
        members = make_members(session, 3)
        activate_passes(session)
        asset = make_asset(session)
        line = make_line(session, asset)
        grant(session, line, members)
        plan = plan_drop(session, line)
        execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
        settlement.settle(session, at=NOW)
        session.expire_all()
        tokens = session.scalars(select(Token)).all()
        assert {(token.state, token.owned_at) for token in tokens} == {(TokenState.OWNED, NOW)}

    def test_what_has_no_rows_of_its_own_is_done(self, session: Session, lane: NonceLane) -> None:
        plan = make_plan(session, b"\x01", kind=PlanKind.FACTORY, contract=None)
        execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
        settlement.settle(session, at=NOW)
        assert plan.state is PlanState.DONE

    def test_a_plan_is_done_with_its_last_batch(self, session: Session, lane: NonceLane) -> None:
        plan = make_plan(session, b"\x01", b"\x02")
        execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
        settlement.settle(session, at=NOW)
        assert plan.state is PlanState.RUNNING
        execute(session, lane.id, plan.batches[1], Outcome.SUCCESS)
        settlement.settle(session, at=NOW)
        assert plan.state is PlanState.DONE


class TestReverted:
    def test_batch_and_plan_are_held_with_a_reason(self, session: Session, lane: NonceLane) -> None:
        plan = issue(session, lane, Outcome.REVERTED)
        assert settlement.settle(session, at=NOW) == 1
        assert (plan.state, plan.batches[0].state) == (PlanState.HELD, BatchState.HELD)
        assert plan.batches[0].held_reason == "the contract refused it"

    def test_no_pass_becomes_active(self, session: Session, lane: NonceLane) -> None:
        issue(session, lane, Outcome.REVERTED)
        settlement.settle(session, at=NOW)
        session.expire_all()
        assert {row.state for row in list_passes(session)} == {PassState.MINTING}

    def test_it_is_looked_at_once(self, session: Session, lane: NonceLane) -> None:
        issue(session, lane, Outcome.REVERTED)
        assert [settlement.settle(session, at=NOW) for _ in range(2)] == [1, 0]


class TestNotYet:
    def test_a_transaction_that_is_only_mined_settles_nothing(
        self, session: Session, lane: NonceLane
    ) -> None:
        plan = make_plan(session, b"\x01")
        transaction = execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
        transaction.state, transaction.outcome = TransactionState.MINED, None
        session.flush()
        assert settlement.settle(session, at=NOW) == 0


class TestGivenUp:
    def cancelled(self, session: Session, lane: NonceLane) -> Plan:
        """A plan whose only transaction was replaced by a no-op."""
        plan = make_plan(session, b"\x01")
        transaction = execute(session, lane.id, plan.batches[0], Outcome.CANCELLED)
        transaction.attempts[0].last_answer = "rejected: oversized data"
        session.flush()
        return plan

    def test_the_batch_is_held_in_the_nodes_words(self, session: Session, lane: NonceLane) -> None:
        plan = self.cancelled(session, lane)
        assert [settlement.settle(session, at=NOW) for _ in range(2)] == [1, 0]
        assert (plan.state, plan.batches[0].state) == (PlanState.HELD, BatchState.HELD)
        assert (
            plan.batches[0].held_reason == "no node took the transaction (rejected: oversized data)"
        )

    def test_released_and_signed_anew_the_old_one_says_nothing(
        self, session: Session, lane: NonceLane
    ) -> None:
        plan = self.cancelled(session, lane)
        settlement.settle(session, at=NOW)
        [batch] = plan.batches
        sending.release(session, batch.id, at=NOW)
        assert (plan.state, batch.state) == (PlanState.RUNNING, BatchState.PLANNED)
        again = execute(session, lane.id, batch, Outcome.SUCCESS)
        again.state, again.outcome = TransactionState.MINED, None
        session.flush()
        assert settlement.settle(session, at=NOW) == 0
        again.state, again.outcome = TransactionState.FINAL, Outcome.SUCCESS
        session.flush()
        assert settlement.settle(session, at=NOW) == 1
        assert (plan.state, batch.state) == (PlanState.DONE, BatchState.FINAL)


class TestForeignUse:
    def foreign(self, session: Session, lane: NonceLane) -> tuple[Plan, Transaction]:
        """A plan whose transaction is open and whose nonce somebody else used."""
        plan = make_plan(session, b"\x01")
        transaction = execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
        transaction.state, transaction.outcome = TransactionState.SENT, None
        transaction.block_number = transaction.block_hash = None
        transaction.foreign_use_at = NOW
        session.flush()
        return plan, transaction

    def test_the_batch_is_held_and_cannot_be_tried_again(
        self, session: Session, lane: NonceLane
    ) -> None:
        plan, _ = self.foreign(session, lane)
        assert [settlement.settle(session, at=NOW) for _ in range(2)] == [1, 0]
        [batch] = plan.batches
        assert (plan.state, batch.state) == (PlanState.HELD, BatchState.HELD)
        assert "something else used the relayer's key" in (batch.held_reason or "")
        sending.release(session, batch.id, at=NOW)
        assert batch.state is BatchState.HELD

    def test_a_receipt_that_appears_after_all_decides(
        self, session: Session, lane: NonceLane
    ) -> None:
        plan, transaction = self.foreign(session, lane)
        settlement.settle(session, at=NOW)
        transaction.state, transaction.outcome = TransactionState.FINAL, Outcome.SUCCESS
        transaction.block_number, transaction.block_hash = 1, bytes(32)
        session.flush()
        assert [settlement.settle(session, at=NOW) for _ in range(2)] == [1, 0]
        [batch] = plan.batches
        assert (plan.state, batch.state, batch.held_reason) == (
            PlanState.DONE,
            BatchState.FINAL,
            None,
        )


class TestTwoAtOnce:
    def test_two_batches_settled_side_by_side_still_finish_their_plan(
        self, committed: None
    ) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            lane = make_lane(session)
            plan = make_plan(session, b"\x01", b"\x02")
            execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
        with unit_of_work(merchant=merchant) as first:
            settlement.settle(first, at=NOW)
            with unit_of_work(merchant=merchant) as second:
                [late] = [batch for batch in second.get_one(Plan, plan.id).batches if batch.index]
                execute(second, lane.id, late, Outcome.SUCCESS)
            with unit_of_work(merchant=merchant) as second:
                settlement.settle(second, at=NOW)
        with unit_of_work(merchant=merchant) as session:
            settlement.settle(session, at=NOW)
            assert session.get_one(Plan, plan.id).state is PlanState.DONE

    def test_passes_are_announced_once(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            issue(session, make_lane(session), Outcome.SUCCESS)
        start = Barrier(4)

        def settle() -> None:
            start.wait()
            with unit_of_work(merchant=merchant) as session:
                settlement.settle(session, at=NOW)

        threads = [Thread(target=settle) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with unit_of_work(merchant=merchant) as session:
            announced = select(Event.id).where(Event.type == "cohort.pass.issued")
            assert len(session.scalars(announced).all()) == 3

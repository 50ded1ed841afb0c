"""What a restored lane finds on the chain becomes the batch's, or a person is told."""

from collections.abc import Callable

import pytest
from sqlalchemy import select, text

from chain import recovery
from chain.bindings.create import create_address
from chain.models import LaneRole, LaneState, Outcome, TransactionKind
from chain.settings import chain_settings
from core.db import unit_of_work
from core.types import BatchId
from minting import sending
from minting.models import Batch, BatchState, Plan, PlanKind, PlanState
from tests.chain.fakes import FakeChain
from tests.conftest import NOW, make_merchant
from tests.factories.chain import CHAIN_ID, Desk, make_desk
from tests.factories.minting import make_plan
from tests.factories.recovery import is_tidy, no_op, recover, restore, signed, step
from tests.factories.wallets import CONTRACT

IN_FLIGHT = chain_settings().in_flight
ONE, TWO = b"batch one", b"batch two"


@pytest.fixture
def desk(committed: None) -> Desk:
    """A merchant's lane on the test chain."""
    return make_desk(make_merchant().id)


@pytest.fixture
def fake() -> FakeChain:
    """A chain."""
    return FakeChain()


def plan(
    desk: Desk,
    *calldata: bytes,
    kind: PlanKind = PlanKind.DROP,
    sender: LaneRole = LaneRole.RELAYER,
) -> list[BatchId]:
    contract = None if kind is PlanKind.FACTORY else CONTRACT
    with unit_of_work(merchant=desk.merchant) as session:
        made = make_plan(session, *calldata, kind=kind, contract=contract, sender=sender)
        return [batch.id for batch in made.batches]


def assign(desk: Desk, fake: FakeChain) -> int:
    return sending.assign_ready(desk.merchant, fake, chain_id=CHAIN_ID, at=NOW)


def states(desk: Desk) -> dict[bytes, BatchState]:
    with unit_of_work(merchant=desk.merchant) as session:
        return {batch.calldata: batch.state for batch in session.scalars(select(Batch))}


def plan_states(desk: Desk) -> set[PlanState]:
    with unit_of_work(merchant=desk.merchant) as session:
        return set(session.scalars(select(Plan.state)))


def finish(desk: Desk, fake: FakeChain) -> None:
    """Everything is final, as the engine would have it."""
    for _ in range(40):
        if not step(desk, fake):
            assign(desk, fake)
        if set(states(desk).values()) == {BatchState.FINAL}:
            return
    pytest.fail(f"not everything became final: {states(desk)}")


def times(fake: FakeChain, data: bytes) -> int:
    return [mined.data for mined in fake.mined()].count(data)


class TestAssignReady:
    def test_a_chain_that_knows_more_is_asked_first(self, desk: Desk, fake: FakeChain) -> None:
        plan(desk, ONE)
        fake.receive(signed(desk, 0, data=ONE))
        fake.mine()
        assert assign(desk, fake) == 0
        assert desk.transactions() == []
        assert desk.lane().state is LaneState.RESTORED
        finish(desk, fake)
        assert times(fake, ONE) == 1

    def test_a_restored_lane_signs_nothing(self, desk: Desk, fake: FakeChain) -> None:
        plan(desk, ONE)
        restore(desk)
        assert assign(desk, fake) == 0
        assert desk.transactions() == []

    def test_neither_does_one_that_lives_elsewhere(self, desk: Desk, fake: FakeChain) -> None:
        plan(desk, ONE)
        with unit_of_work(merchant=desk.merchant) as session:
            session.execute(text("UPDATE lanes SET home = 'elsewhere'"))
        assert assign(desk, fake) == 0
        assert desk.transactions() == []
        finish(desk, fake)
        assert times(fake, ONE) == 1


class TestRecogniseFound:
    def test_a_forgotten_batch_is_adopted(self, desk: Desk, fake: FakeChain) -> None:
        first, _ = plan(desk, ONE, TWO)
        fake.receive(signed(desk, 0, data=ONE))
        fake.mine()
        restore(desk)
        recover(desk, fake)
        row = desk.transactions()[0]
        assert (row.batch_id, row.kind, row.outcome) == (
            first,
            TransactionKind.BATCH,
            Outcome.SUCCESS,
        )
        assert states(desk) == {ONE: BatchState.FINAL, TWO: BatchState.PLANNED}
        assert desk.lane().state is LaneState.ACTIVE
        finish(desk, fake)
        assert (times(fake, ONE), times(fake, TWO)) == (1, 1)

    def test_a_final_one_that_never_had_a_row_too(self, desk: Desk, fake: FakeChain) -> None:
        plan(desk, ONE, TWO)
        fake.receive(signed(desk, 0, data=ONE))
        fake.receive(signed(desk, 1, data=TWO))
        fake.mine(blocks=5)
        restore(desk)
        finish(desk, fake)
        assert (times(fake, ONE), times(fake, TWO)) == (1, 1)
        assert is_tidy(desk)

    def test_one_in_a_pool_wins_or_is_sent_again_but_never_both(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        plan(desk, ONE, TWO)
        fake.receive(signed(desk, 0, data=ONE, max_fee_per_gas=99_000_000_000))
        restore(desk)
        finish(desk, fake)
        assert (times(fake, ONE), times(fake, TWO)) == (1, 1)

    def test_a_reverted_one_is_held(self, desk: Desk, fake: FakeChain) -> None:
        plan(desk, ONE)
        raw = signed(desk, 0, data=ONE)
        fake.receive(raw)
        fake.mine()
        fake.reverting.add(fake.mined()[0].tx_hash)
        restore(desk)
        recover(desk, fake)
        assert states(desk) == {ONE: BatchState.HELD}
        assert desk.transactions()[0].outcome is Outcome.REVERTED

    def test_a_deployment_gets_its_address(self, desk: Desk, fake: FakeChain) -> None:
        plan(desk, b"initcode", kind=PlanKind.FACTORY)
        fake.receive(signed(desk, 0, to=None, data=b"initcode"))
        fake.mine()
        restore(desk)
        recover(desk, fake)
        row = desk.transactions()[0]
        assert row.kind is TransactionKind.DEPLOY
        assert row.contract_address == create_address(desk.lane().address, 0)
        assert states(desk) == {b"initcode": BatchState.FINAL}

    @pytest.mark.parametrize(
        "changes",
        [{"data": b"batch on"}, {"to": "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0"}, {"to": None}],
        ids=["other bytes", "another contract", "a deployment"],
    )
    def test_anything_else_pauses_the_lane(
        self, desk: Desk, fake: FakeChain, changes: dict[str, object]
    ) -> None:
        plan(desk, ONE)
        fake.receive(signed(desk, 0, **{"data": ONE, **changes}))
        fake.mine()
        restore(desk)
        recover(desk, fake)
        assert desk.transactions()[0].outcome is Outcome.FORGOTTEN
        assert states(desk) == {ONE: BatchState.PLANNED}
        assert desk.lane().state is LaneState.PAUSED

    def test_a_second_delivery_of_the_same_batch_is_reported(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        plan(desk, ONE)
        fake.receive(signed(desk, 0, data=ONE))
        fake.receive(signed(desk, 1, data=ONE))
        fake.mine()
        restore(desk)
        recover(desk, fake)
        assert [row.outcome for row in desk.transactions()[:2]] == [
            Outcome.SUCCESS,
            Outcome.FORGOTTEN,
        ]
        assert desk.lane().state is LaneState.PAUSED

    def test_a_batch_whose_cancel_was_forgotten_waits_and_is_adopted(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        [batch] = plan(desk, ONE)
        assign(desk, fake)
        fake.receive(no_op(desk, 0))
        fake.receive(signed(desk, 1, data=ONE))  # released and signed anew
        fake.mine()
        restore(desk)
        recover(desk, fake)
        rows = desk.transactions()
        assert [(row.outcome, row.batch_id) for row in rows[:2]] == [
            (Outcome.CANCELLED, batch),
            (Outcome.SUCCESS, batch),
        ]
        assert states(desk) == {ONE: BatchState.FINAL}
        assert plan_states(desk) == {PlanState.DONE}
        assert times(fake, ONE) == 1

    def test_a_nonce_that_another_past_gave_to_another_batch_changes_hands(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        """A backup was restored before, work went on, and then a later backup was restored."""
        plan(desk, ONE, TWO)
        assign(desk, fake)  # batch one has nonce 0 here, and batch two there
        fake.receive(signed(desk, 0, data=TWO))
        fake.receive(signed(desk, 1, data=ONE))
        fake.mine()
        restore(desk)
        recover(desk, fake)
        assert states(desk) == {ONE: BatchState.FINAL, TWO: BatchState.FINAL}
        assert (times(fake, ONE), times(fake, TWO)) == (1, 1)

    def test_a_batch_that_lost_its_nonce_to_another_is_planned_again(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        plan(desk, ONE)
        assign(desk, fake)
        fake.receive(signed(desk, 0, data=b"unknown"))
        fake.mine()
        restore(desk)
        recover(desk, fake)
        assert states(desk) == {ONE: BatchState.PLANNED}
        desk.resume()
        finish(desk, fake)
        assert times(fake, ONE) == 1

    def test_many_are_recognised_in_parts(
        self, desk: Desk, fake: FakeChain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("chain.sightings.AT_ONCE", 2)
        data = [bytes([number]) for number in range(7)]
        plan(desk, *data)
        for nonce, each in enumerate(data):
            fake.receive(signed(desk, nonce, data=each))
        fake.mine(blocks=4)
        restore(desk)
        finish(desk, fake)
        assert [times(fake, each) for each in data] == [1] * 7
        assert is_tidy(desk)

    @pytest.mark.parametrize(
        ("place", "name"),
        [
            (recovery, "store"),
            (recovery, "_note"),
            ("chain.sightings", "rename"),
            ("minting.recovery", "_bind"),
            (recovery, "_count_final"),
        ],
        ids=["used up", "read", "recognised", "bound", "finished"],
    )
    def test_a_crash_at_any_step_repeats_nothing(
        self,
        desk: Desk,
        fake: FakeChain,
        monkeypatch: pytest.MonkeyPatch,
        place: object,
        name: str,
    ) -> None:
        plan(desk, ONE, TWO)
        fake.receive(signed(desk, 0, data=ONE))
        fake.mine()
        restore(desk)
        with monkeypatch.context() as patch:
            dies_after(patch, place, name)
            with pytest.raises(Crash):
                for _ in range(40):
                    step(desk, fake)
        finish(desk, fake)
        assert (times(fake, ONE), times(fake, TWO)) == (1, 1)
        assert is_tidy(desk)


class Crash(BaseException):
    """The process ends here."""


def dies_after(patch: pytest.MonkeyPatch, place: object, name: str) -> None:
    """The process ends when it has done this, and before it commits."""
    from importlib import import_module

    module = import_module(place) if isinstance(place, str) else place
    real: Callable[..., object] = getattr(module, name)

    def once(*arguments: object, **named: object) -> object:
        real(*arguments, **named)
        raise Crash

    patch.setattr(module, name, once)


class TestIssuer:
    """A restored merchant has two accounts; each recovers, and neither signs before both did."""

    @pytest.fixture
    def issuer(self, desk: Desk) -> Desk:
        """The same merchant's other lane."""
        return make_desk(desk.merchant, role=LaneRole.ISSUER)

    def test_what_both_had_forgotten_is_found(
        self, desk: Desk, issuer: Desk, fake: FakeChain
    ) -> None:
        plan(desk, ONE)
        plan(desk, TWO, sender=LaneRole.ISSUER)
        fake.receive(signed(desk, 0, data=ONE))
        fake.receive(signed(issuer, 0, data=TWO))
        fake.mine()
        for each in (desk, issuer):
            restore(each)
        recover(desk, fake)
        assert states(desk) == {ONE: BatchState.FINAL, TWO: BatchState.FINAL}
        assert {each.lane().state for each in (desk, issuer)} == {LaneState.ACTIVE}
        assert (times(fake, ONE), times(fake, TWO)) == (1, 1)

    def test_the_same_bytes_of_the_other_account_are_not_taken_for_it(
        self, desk: Desk, issuer: Desk, fake: FakeChain
    ) -> None:
        plan(desk, ONE, sender=LaneRole.ISSUER)
        fake.receive(signed(desk, 0, data=ONE))
        fake.mine()
        for each in (desk, issuer):
            restore(each)
        recover(desk, fake)
        assert states(desk) == {ONE: BatchState.PLANNED}
        assert desk.lane().state is LaneState.PAUSED  # a person has to look at that one
        assert issuer.lane().state is LaneState.ACTIVE

    def test_nothing_is_over_while_one_recovers(
        self, desk: Desk, issuer: Desk, fake: FakeChain
    ) -> None:
        fake.receive(no_op(issuer, 0))
        restore(issuer)
        assert step(desk, fake)
        assert desk.lane().state is LaneState.ACTIVE
        recover(desk, fake)
        assert issuer.lane().state is LaneState.ACTIVE

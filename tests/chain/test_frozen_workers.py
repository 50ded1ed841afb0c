"""A worker that sleeps between a question to the chain and its write, while others go on.

Each fake lets the others work at the moment it is asked, which is when the sleeper's answer gets
old. What it writes afterwards may add a fact; it never undoes what the others found.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from chain import lanes, pipeline
from chain.client import Receipt, SendResult
from chain.errors import SendAnswer
from chain.models import AttemptKind, LaneState, TransactionState
from core.db import unit_of_work
from core.types import Wei
from tests.chain.fakes import DROP_BEFORE, FakeChain
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, Desk

REJECTED = SendResult(SendAnswer.REJECTED, "intrinsic gas too low")


def watch(desk: Desk, chain: object, *, seconds: float) -> int:
    return pipeline.watch(
        desk.merchant,
        chain,  # type: ignore[arg-type]
        chain_id=CHAIN_ID,
        line=lambda: chain.finalized_number(),  # type: ignore[attr-defined]
        at=NOW + timedelta(seconds=seconds),
    )


class Sleeper:
    """A node as a worker sees it that falls asleep as soon as it has one kind of answer.

    Args:
        method: the question after whose answer it sleeps, once.
        meanwhile: what the others do.
        answer: instead of the node's own.
    """

    def __init__(
        self, chain: FakeChain, method: str, meanwhile: Callable[[], object], answer: Any = None
    ) -> None:
        self._chain, self._method, self._meanwhile = chain, method, meanwhile
        self._answer = answer
        self._has_slept = False

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._chain, name)
        if name != self._method or self._has_slept:
            return asked
        self._has_slept = True

        def ask(*arguments: Any, **named: Any) -> Any:
            answer = self._answer or asked(*arguments, **named)
            self._meanwhile()
            return answer

        return ask


class TestReceipts:
    def test_a_block_that_left_the_chain_does_not_replace_the_one_found_since(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = desk.enqueue()
        watch(desk, fake, seconds=0)
        fake.mine()
        old = fake.receipt(desk.attempts()[0].tx_hash)

        def meanwhile() -> None:
            watch(desk, fake, seconds=1)
            fake.reorganise(1)
            fake.mine()
            watch(desk, fake, seconds=2)

        # The hash comes last, so both answers are of the block that leaves the chain.
        assert isinstance(old, Receipt)
        watch(desk, Sleeper(fake, "block_hash", meanwhile, old.block_hash), seconds=1)
        left = desk.transaction(row)
        assert left.block_hash == fake.blocks[2].hash != old.block_hash

    def test_nor_does_it_when_the_row_looks_as_before(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake, seconds=0)
        fake.mine()
        old = fake.receipt(desk.attempts()[0].tx_hash)

        def meanwhile() -> None:
            watch(desk, fake, seconds=1)
            fake.reorganise(1, keeps=False)
            watch(desk, fake, seconds=2)  # sent again, as it was when the sleeper read it

        assert isinstance(old, Receipt)
        watch(desk, Sleeper(fake, "block_hash", meanwhile, old.block_hash), seconds=1)
        assert desk.transaction(row).state is TransactionState.SENT

    def test_a_missing_receipt_does_not_undo_the_block_found_since(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = desk.enqueue()
        watch(desk, fake, seconds=0)
        fake.mine()
        watch(desk, fake, seconds=1)

        def meanwhile() -> None:
            watch(desk, fake, seconds=2)  # not in a block
            fake.mine()
            watch(desk, fake, seconds=3)  # in a block again

        fake.reorganise(1)
        fake.hidden_receipts = 0
        watch(desk, Sleeper(fake, "receipt", meanwhile), seconds=2)
        assert desk.transaction(row).state is TransactionState.MINED

    def test_what_was_final_then_is_final_now(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake, seconds=0)
        fake.mine(blocks=4)
        watch(desk, Sleeper(fake, "confirms", lambda: fake.mine(blocks=9)), seconds=1)
        assert desk.transaction(row).state is TransactionState.FINAL


class TestAnswers:
    def test_a_refusal_from_before_a_block_gives_up_no_nonce(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = desk.enqueue()

        def meanwhile() -> None:
            watch(desk, fake, seconds=1)
            fake.mine()
            watch(desk, fake, seconds=2)

        watch(desk, Sleeper(fake, "send_raw", meanwhile, REJECTED), seconds=0)
        assert [attempt.kind for attempt in desk.attempts()] == [AttemptKind.FIRST]
        assert desk.transaction(row).state is TransactionState.MINED

    def test_a_refusal_from_before_a_replacement_gives_up_no_nonce(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        fake.sends.append(DROP_BEFORE)
        watch(desk, fake, seconds=0)
        fake.sends.append(DROP_BEFORE)
        sleeper = Sleeper(fake, "send_raw", lambda: watch(desk, fake, seconds=90), REJECTED)
        watch(desk, sleeper, seconds=20)
        kinds = [attempt.kind for attempt in desk.attempts()]
        assert kinds == [AttemptKind.FIRST, AttemptKind.BUMP]

    def test_a_refusal_of_now_does(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        watch(desk, Sleeper(fake, "send_raw", lambda: None, REJECTED), seconds=0)
        kinds = [attempt.kind for attempt in desk.attempts()]
        assert kinds == [AttemptKind.FIRST, AttemptKind.CANCEL]

    def test_the_moment_of_the_last_send_does_not_go_back(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        watch(desk, fake, seconds=0)
        sleeper = Sleeper(fake, "send_raw", lambda: watch(desk, fake, seconds=80))
        watch(desk, sleeper, seconds=20)
        [attempt] = desk.attempts()
        assert attempt.last_sent_at == NOW + timedelta(seconds=80)
        assert attempt.first_sent_at == NOW

    def test_that_a_node_took_the_bytes_stays_true(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        fake.sends.append(DROP_BEFORE)
        watch(desk, fake, seconds=0)

        def meanwhile() -> None:
            fake.sends.append(DROP_BEFORE)
            watch(desk, fake, seconds=90)

        watch(desk, Sleeper(fake, "send_raw", meanwhile), seconds=20)
        assert [attempt.accepted_at is None for attempt in desk.attempts()] == [False, True]

    def test_a_lane_funded_since_is_not_stopped(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        poor = SendResult(SendAnswer.INSUFFICIENT_FUNDS, "insufficient funds")

        def meanwhile() -> None:
            watch(desk, fake, seconds=1)

        watch(desk, Sleeper(fake, "send_raw", meanwhile, poor), seconds=0)
        assert desk.lane().state is LaneState.ACTIVE


class TestFees:
    def test_prices_of_an_hour_ago_raise_nothing_that_was_in_a_block_since(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        watch(desk, fake, seconds=0)
        fake.base_fee = Wei(90_000_000_000)

        def meanwhile() -> None:
            fake.base_fee = Wei(1_000_000_000)
            fake.mine()
            watch(desk, fake, seconds=88)
            fake.reorganise(1)
            watch(desk, fake, seconds=89)

        watch(desk, Sleeper(fake, "head", meanwhile), seconds=90)
        assert len(desk.attempts()) == 1


class TestLanes:
    def test_money_that_came_does_not_start_a_lane_that_a_person_paused_since(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        with unit_of_work(merchant=desk.merchant) as session:
            lanes.set_funded(session, desk.lane_id, is_funded=False)

        def meanwhile() -> None:
            with unit_of_work(merchant=desk.merchant) as session:
                lanes.pause(session, desk.lane_id, "a person said so")

        watch(desk, Sleeper(fake, "send_raw", meanwhile), seconds=0)
        assert desk.lane().state is LaneState.PAUSED

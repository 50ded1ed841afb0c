"""Crashes, reorganisations and several watchers: nothing is lost and nothing happens twice."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from random import Random

import pytest

from chain import pipeline
from chain.client import Receipt
from chain.errors import ChainUnavailableError, SendAnswer
from chain.models import Outcome, TransactionState
from tests.chain.fakes import (
    DROP_AFTER,
    DROP_BEFORE,
    DUPLICATE,
    KILL_AFTER,
    KILL_BEFORE,
    FakeChain,
    ProcessKilledError,
    Send,
    answered,
)
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, Desk

FAULTS = [
    *(DROP_BEFORE, DROP_AFTER, DUPLICATE, KILL_BEFORE, KILL_AFTER),
    *(answered(answer) for answer in SendAnswer),
    *(answered(answer, taken=True) for answer in SendAnswer),
]


def watch(desk: Desk, fake: FakeChain, *, minutes: float = 0) -> int:
    return pipeline.watch(
        desk.merchant,
        fake,
        chain_id=CHAIN_ID,
        line=fake.finalized_number,
        at=NOW + timedelta(minutes=minutes),
    )


def calm(fake: FakeChain) -> None:
    fake.sends.clear()
    fake.hidden_receipts, fake.is_down = 0, False


def finish(desk: Desk, fake: FakeChain, *, since: float = 0.25) -> None:
    """Everything is final; unless told otherwise, before anybody would raise a fee."""
    calm(fake)
    for quarter in range(60):
        if watch(desk, fake, minutes=since + quarter / 4) == 0:
            return
        fake.mine()
    pytest.fail("not everything became final")


class TestCrashes:
    def test_between_commit_and_send_the_next_watch_sends(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()  # the process ends here, before it watched
        assert fake.sent == []
        finish(desk, fake)
        assert len(fake.mined()) == 1

    @pytest.mark.parametrize("kill", [KILL_BEFORE, KILL_AFTER], ids=["lost", "arrived"])
    def test_in_the_middle_of_a_send_the_next_watch_sends_the_same_bytes(
        self, desk: Desk, fake: FakeChain, kill: Send
    ) -> None:
        row = desk.enqueue()
        fake.sends.append(kill)
        with pytest.raises(ProcessKilledError):
            watch(desk, fake)
        assert desk.transaction(row).state is TransactionState.SIGNED
        assert desk.attempts()[0].first_sent_at is None
        finish(desk, fake)
        assert set(fake.sent) == {desk.attempts()[0].raw}
        assert len(fake.mined()) == 1


class TestReorganisations:
    def test_mined_goes_back_to_signed_and_the_same_bytes_are_included_again(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = desk.enqueue()
        watch(desk, fake)
        fake.mine()
        watch(desk, fake)
        fake.reorganise(1, keeps=False)
        fake.hidden_receipts = 0
        fake.sends.append(DROP_BEFORE)
        watch(desk, fake)
        left = desk.transaction(row)
        assert left.state is TransactionState.SENT
        assert (left.block_number, left.block_hash, left.mined_hash) == (None, None, None)
        finish(desk, fake)
        assert set(fake.sent) == {desk.attempts()[0].raw}
        assert [signed.nonce for signed in fake.mined()] == [0]

    def test_it_is_signed_until_the_bytes_are_sent_again(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake)
        fake.mine()
        watch(desk, fake)
        fake.reorganise(1, keeps=False)
        fake.sends.append(KILL_BEFORE)
        with pytest.raises(ProcessKilledError):
            watch(desk, fake)
        assert desk.transaction(row).state is TransactionState.SIGNED

    def test_included_again_in_another_block_the_row_names_that_block(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = desk.enqueue()
        watch(desk, fake)
        fake.mine()
        watch(desk, fake)
        before = desk.transaction(row).block_hash
        fake.reorganise(1)
        fake.mine()
        watch(desk, fake)
        after = desk.transaction(row)
        assert after.state is TransactionState.MINED
        assert after.block_hash == fake.blocks[2].hash != before
        assert after.block_number == 2

    def test_a_receipt_of_an_abandoned_block_does_not_count(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        class StaleReceipts(FakeChain):
            """Answers receipts from before the reorganisation, as a lagging index does."""

            def receipt(self, tx_hash: bytes) -> object:
                return old

        row = desk.enqueue()
        watch(desk, fake)
        fake.mine()
        old = fake.receipt(desk.attempts()[0].tx_hash)
        stale = StaleReceipts()
        stale.mine(blocks=9)
        watch(desk, stale)
        assert desk.transaction(row).state is TransactionState.SENT

    def test_a_revert_can_vanish(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake)
        fake.reverting.add(desk.attempts()[0].tx_hash)
        fake.mine()
        watch(desk, fake)
        fake.reorganise(1)
        fake.reverting.clear()
        finish(desk, fake)
        assert desk.transaction(row).outcome is Outcome.SUCCESS

    @pytest.mark.parametrize("depth", [1, 2, 5, 10])
    def test_any_depth_above_the_line_is_repaired(
        self, desk: Desk, fake: FakeChain, depth: int
    ) -> None:
        fake.final_depth = 12
        for number in range(depth):
            desk.enqueue(bytes([number]))
            watch(desk, fake)
            fake.mine()
        watch(desk, fake)
        fake.reorganise(depth, keeps=False)
        finish(desk, fake)
        assert [signed.nonce for signed in fake.mined()] == list(range(depth))


class TestSeveralWatchers:
    def test_two_at_once_do_no_harm(self, desk: Desk, crowded: FakeChain) -> None:
        for number in range(6):
            desk.enqueue(bytes([number]))
        with ThreadPoolExecutor(4) as pool:
            for minutes in range(8):
                list(pool.map(lambda _, at=minutes: watch(desk, crowded, minutes=at), range(4)))
                crowded.mine()
        finish(desk, crowded)
        assert [signed.nonce for signed in crowded.mined()] == list(range(6))
        assert len(desk.attempts()) == desk.lane().next_nonce == 6

    def test_one_that_was_overtaken_changes_nothing(self, desk: Desk, fake: FakeChain) -> None:
        class Overtaken(FakeChain):
            """Between line and receipt, another watcher sees the transaction become final."""

            def receipt(self, tx_hash: bytes) -> Receipt | None:
                fake.mine(blocks=3)
                assert watch(desk, fake) == 0
                return fake.receipt(tx_hash)

        row = desk.enqueue()
        watch(desk, fake)
        fake.mine()
        slow = Overtaken()
        slow.blocks = fake.blocks
        watch(desk, slow)
        assert desk.transaction(row).state is TransactionState.FINAL


class TestAnythingAtOnce:
    @pytest.mark.parametrize("seed", range(12))
    def test_every_intent_is_final_once_after_any_history(
        self, desk: Desk, fake: FakeChain, seed: int
    ) -> None:
        random = Random(seed)
        fake.final_depth = 4
        wanted: list[bytes] = []

        def enqueue() -> None:
            desk.resume()
            wanted.append(len(wanted).to_bytes(2, "big"))
            desk.enqueue(wanted[-1])

        def break_something() -> None:
            fake.sends.extend(random.choices(FAULTS, k=2))
            fake.hidden_receipts += random.randrange(3)

        def reorganise() -> None:
            depth = min(random.randint(1, 3), len(fake.blocks) - 1)
            if depth:
                fake.reorganise(depth, keeps=random.random() < 0.5)

        def look(minutes: int) -> None:
            fake.is_down = random.random() < 0.1
            with suppress(ProcessKilledError, ChainUnavailableError):
                watch(desk, fake, minutes=minutes)
            fake.is_down = False

        for minutes in range(60):
            action = random.choice((enqueue, break_something, reorganise, fake.mine, fake.mine))
            action()
            look(minutes)
        finish(desk, fake, since=100)
        rows = desk.transactions()
        assert [row.nonce for row in rows] == list(range(len(wanted)))
        assert len(fake.mined()) == len(wanted)
        for row, signed, data in zip(rows, fake.mined(), wanted, strict=True):
            is_delivered = row.outcome is Outcome.SUCCESS
            assert (row.mined_hash, is_delivered) == (signed.tx_hash, signed.data == data)
            assert is_delivered or (row.outcome is Outcome.CANCELLED and signed.data == b"")
            assert row.block_hash == fake.blocks[row.block_number or 0].hash

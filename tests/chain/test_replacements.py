"""Higher fees for the same nonce: stored first, both prices, the lowest nonce only, up to a cap."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from chain import lanes, pipeline, replacements
from chain.errors import LaneFullError, SendAnswer
from chain.fees import Fees
from chain.models import AttemptKind, Outcome, Transaction, TransactionState
from chain.settings import chain_settings
from core.db import unit_of_work
from core.types import TransactionId, Wei
from tests.chain.fakes import DROP_BEFORE, FakeChain, answered, decode
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, FEES, Desk


def watch(desk: Desk, fake: FakeChain, *, seconds: int) -> int:
    at = NOW + timedelta(seconds=seconds)
    line = fake.finalized_number
    return pipeline.watch(desk.merchant, fake, chain_id=CHAIN_ID, line=line, at=at)


def finish(desk: Desk, fake: FakeChain, *, since: int) -> None:
    for seconds in range(since, since + 200, 11):
        if watch(desk, fake, seconds=seconds) == 0:
            return
        fake.mine()
    pytest.fail("not everything became final")


def act(desk: Desk, row: TransactionId, work: object) -> None:
    with unit_of_work(merchant=desk.merchant) as session:
        work(session, session.get_one(Transaction, row))  # type: ignore[operator]


@pytest.fixture
def capped() -> Iterator[int]:
    """An installation that pays at most 5 gwei per gas."""
    settings = chain_settings()
    settings.max_fee_per_gas_wei = 5_000_000_000
    yield 5_000_000_000
    settings.max_fee_per_gas_wei = None


class TestWhenFeesAreRaised:
    def test_what_waited_long_enough_is_signed_with_more(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake, seconds=0)
        watch(desk, fake, seconds=89)
        assert len(desk.attempts()) == 1
        watch(desk, fake, seconds=90)
        first, second = desk.attempts()
        assert (first.kind, second.kind) == (AttemptKind.FIRST, AttemptKind.BUMP)
        assert fake.sent[-1] == second.raw
        finish(desk, fake, since=100)
        [mined] = fake.mined()
        assert mined.tx_hash == second.tx_hash == desk.transaction(row).mined_hash

    def test_only_the_lowest_nonce_that_is_not_in_a_block(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        for number in range(3):
            desk.enqueue(bytes([number]))
        watch(desk, fake, seconds=0)
        watch(desk, fake, seconds=90)
        assert [attempt.seq for attempt in desk.attempts()] == [0, 1, 0, 0]
        fake.mine()
        desk.enqueue(b"\x09")
        watch(desk, fake, seconds=91)
        watch(desk, fake, seconds=181)
        assert [len(row.attempts) for row in all_of(desk)] == [2, 1, 1, 2]

    def test_each_time_is_twice_as_long_and_there_are_ten_at_most(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        fake.sends.extend([DROP_BEFORE] * 5000)
        raised_at, due = [], 0
        watch(desk, fake, seconds=0)
        for number in range(12):
            due += 90 * 2**number
            for seconds in (due - 1, due):
                before = len(desk.attempts())
                watch(desk, fake, seconds=seconds)
                if len(desk.attempts()) > before:
                    raised_at.append(seconds)
        gaps = [b - a for a, b in zip([0, *raised_at], raised_at, strict=False)]
        assert gaps == [90 * 2**number for number in range(len(gaps))]
        assert len(desk.attempts()) == 1 + len(gaps) == 11

    def test_what_was_never_sent_is_sent_first(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        watch(desk, fake, seconds=1000)
        assert len(desk.attempts()) == 1
        watch(desk, fake, seconds=1011)
        assert len(desk.attempts()) == 2

    def test_what_another_watcher_raised_is_not_raised_again(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        class Overtaken(FakeChain):
            """Between the decision and the signature another watcher raises the fees."""

            def head(self) -> object:
                watch(desk, fake, seconds=90)
                return fake.head()

        desk.enqueue()
        watch(desk, fake, seconds=0)
        watch(desk, Overtaken(), seconds=90)
        assert len(desk.attempts()) == 2


def all_of(desk: Desk) -> list[Transaction]:
    def read(session: object) -> list[Transaction]:
        rows = desk.transactions()
        return [session.merge(row) for row in rows]  # type: ignore[attr-defined]

    with unit_of_work(merchant=desk.merchant) as session:
        found = read(session)
        for row in found:
            _ = row.attempts
        return found


class TestWhatIsRaised:
    def test_both_prices_by_an_eighth_and_nothing_else(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue(b"\xaa")
        watch(desk, fake, seconds=0)
        watch(desk, fake, seconds=90)
        first, second = (replacements.payload_of(attempt.raw) for attempt in desk.attempts())
        assert second.max_fee_per_gas == FEES.max_fee_per_gas * 1125 // 1000 + 1
        assert second.max_priority_fee_per_gas == FEES.max_priority_fee_per_gas * 1125 // 1000 + 1
        fees = Fees(first.max_fee_per_gas, first.max_priority_fee_per_gas)
        assert replacements._with_fees(second, fees) == first

    def test_to_what_the_chain_asks_for_when_that_is_more(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        watch(desk, fake, seconds=0)
        fake.base_fee = Wei(50_000_000_000)
        watch(desk, fake, seconds=90)
        assert desk.attempts()[1].max_fee_per_gas == 101_000_000_000

    def test_every_replacement_passes_the_rule_of_the_pools(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        seconds = 0
        for number in range(6):
            watch(desk, fake, seconds=seconds)
            seconds += 90 * 2**number
        answers = {(attempt.last_answer or "").split(":")[0] for attempt in desk.attempts()}
        assert answers == {"accepted"}
        assert len(fake.pool) == 1

    def test_never_above_the_cap(self, desk: Desk, fake: FakeChain, capped: int) -> None:
        desk.enqueue()
        fake.base_fee = Wei(90_000_000_000)
        seconds = 0
        for number in range(9):
            watch(desk, fake, seconds=seconds)
            seconds += 90 * 2**number
        prices = [attempt.max_fee_per_gas for attempt in desk.attempts()]
        assert prices[-1] <= capped
        assert fake.sent[-1] == desk.attempts()[-1].raw  # what exists is sent on

    def test_the_first_bytes_may_still_win(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake, seconds=0)
        fake.sends.append(answered(SendAnswer.REPLACEMENT_UNDERPRICED))
        watch(desk, fake, seconds=90)
        fake.mine()
        finish(desk, fake, since=101)
        assert desk.transaction(row).mined_hash == desk.attempts()[0].tx_hash
        assert desk.transaction(row).outcome is Outcome.SUCCESS

    def test_a_no_op_stays_a_no_op(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        fake.sends.append(answered(SendAnswer.REJECTED))
        watch(desk, fake, seconds=0)
        watch(desk, fake, seconds=1)
        watch(desk, fake, seconds=181)
        assert [attempt.kind for attempt in desk.attempts()] == [
            AttemptKind.FIRST,
            AttemptKind.CANCEL,
            AttemptKind.CANCEL,
        ]
        finish(desk, fake, since=192)
        assert desk.transaction(row).outcome is Outcome.CANCELLED


class TestCancel:
    def test_exactly_one_of_the_two_gets_into_a_block(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake, seconds=0)
        act(desk, row, lambda session, found: replacements.cancel(session, found, at=NOW))
        finish(desk, fake, since=11)
        assert desk.transaction(row).outcome is Outcome.CANCELLED
        assert [signed.data for signed in fake.mined()] == [b""]

    def test_a_repeat_changes_nothing(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        for _ in range(2):
            act(desk, row, lambda session, found: replacements.cancel(session, found, at=NOW))
        assert len(desk.attempts()) == 2

    def test_what_was_mined_first_counts(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake, seconds=0)
        fake.mine()
        act(desk, row, lambda session, found: replacements.cancel(session, found, at=NOW))
        finish(desk, fake, since=11)
        assert desk.transaction(row).outcome is Outcome.SUCCESS


class TestRoom:
    def test_a_lane_takes_no_more_than_nodes_keep(self, desk: Desk, fake: FakeChain) -> None:
        for number in range(16):
            desk.enqueue(bytes([number]))
        with pytest.raises(LaneFullError, match="as many transactions on their way"):
            desk.enqueue(b"\xff")
        assert desk.lane().next_nonce == 16

    def test_what_is_in_a_block_makes_room(self, desk: Desk, fake: FakeChain) -> None:
        for number in range(16):
            desk.enqueue(bytes([number]))
        watch(desk, fake, seconds=0)
        fake.mine()
        watch(desk, fake, seconds=1)
        assert desk.read(lambda session: lanes.room(session, desk.lane_id)) == 16
        desk.enqueue(b"\xff")

    def test_what_is_on_its_way_may_cost_its_dearest_attempt(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        desk.enqueue(b"\x02")
        watch(desk, fake, seconds=0)
        watch(desk, fake, seconds=90)
        dear, cheap = desk.attempts()[1], desk.attempts()[2]
        expected = dear.gas * dear.max_fee_per_gas + cheap.gas * cheap.max_fee_per_gas
        assert desk.read(lambda session: lanes.committed(session, desk.lane_id)) == expected
        fake.mine()
        watch(desk, fake, seconds=101)
        assert desk.read(lambda session: lanes.committed(session, desk.lane_id)) == 0


class TestPayloadOf:
    def test_reads_what_was_signed(self, desk: Desk) -> None:
        desk.enqueue(b"\xaa\xbb", to=None)
        [attempt] = desk.attempts()
        payload = replacements.payload_of(attempt.raw)
        assert (payload.to, payload.data, payload.value, payload.nonce) == (
            None,
            b"\xaa\xbb",
            0,
            0,
        )
        assert decode(attempt.raw).nonce == 0
        assert desk.transactions()[0].state is TransactionState.SIGNED

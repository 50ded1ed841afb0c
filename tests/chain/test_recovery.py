"""A restored lane signs nothing until the chain has told what the database forgot."""

import pytest
from eth_account import Account
from sqlalchemy import Engine, select, text

from chain import lanes, recovery
from chain.errors import (
    ChainUnavailableError,
    HistoryIncompleteError,
    ImplausibleCountError,
    LanePausedError,
)
from chain.models import (
    AttemptKind,
    LaneState,
    NonceLane,
    Outcome,
    Recovery,
    Sighting,
    TransactionKind,
)
from chain.rebuilding import Seen
from chain.settings import chain_settings
from core.db import Role, unit_of_work
from core.types import Wei
from tests.chain.fakes import DROP_BEFORE, KILL_BEFORE, FakeChain, ProcessKilledError, decode
from tests.factories.chain import Desk
from tests.factories.recovery import advance, is_tidy, no_op, recover, restore, signed, step, watch

IN_FLIGHT = chain_settings().in_flight


def change(desk: Desk, **values: object) -> None:
    with unit_of_work(merchant=desk.merchant) as session:
        lane = session.get_one(NonceLane, desk.lane_id)
        for name, value in values.items():
            setattr(lane, name, value)


def course(desk: Desk) -> Recovery | None:
    return desk.read(lambda session: session.get(Recovery, desk.lane_id))


class TestHome:
    def test_a_lane_is_at_home_where_it_was_made(self, desk: Desk, fake: FakeChain) -> None:
        assert not advance(desk, fake)
        desk.enqueue()

    def test_its_name_has_cluster_timeline_database_and_table(
        self, desk: Desk, owner: Engine
    ) -> None:
        with owner.connect() as connection:
            cluster = connection.scalar(
                text("SELECT system_identifier::text FROM pg_control_system()")
            )
            table = connection.scalar(text("SELECT 'public.lanes'::regclass::oid::text"))
        named = str(desk.lane().home).split("/")
        assert (named[0], int(named[1], 16), named[3]) == (cluster, 1, table)

    @pytest.mark.parametrize("place", ["7/00000001/5/1", None], ids=["another", "unknown"])
    def test_elsewhere_nothing_is_signed(
        self, desk: Desk, fake: FakeChain, place: str | None
    ) -> None:
        change(desk, home=place)
        with pytest.raises(LanePausedError, match="backup"):
            desk.enqueue()
        assert advance(desk, fake)
        assert desk.lane().state is LaneState.RESTORED
        with pytest.raises(LanePausedError, match="backup"):
            desk.enqueue()

    def test_a_paused_lane_recovers_when_it_is_resumed(self, desk: Desk, fake: FakeChain) -> None:
        change(desk, home="7/00000001/5/1", state=LaneState.PAUSED)
        assert not advance(desk, fake)
        desk.resume()
        with pytest.raises(LanePausedError, match="backup"):
            desk.enqueue()
        assert advance(desk, fake)

    def test_a_quarantined_lane_stays_so(self, desk: Desk, fake: FakeChain) -> None:
        change(desk, home="7/00000001/5/1", state=LaneState.QUARANTINED)
        assert not advance(desk, fake)
        assert desk.lane().state is LaneState.QUARANTINED


class TestUntouched:
    """An account that never had money needs none to recover; the issuer's may never have any."""

    def test_recovers_without_a_transaction(self, desk: Desk, fake: FakeChain) -> None:
        restore(desk)
        fake.money = Wei(0)
        recover(desk, fake)
        assert desk.lane().state is LaneState.ACTIVE
        assert (desk.lane().next_nonce, desk.transactions(), fake.sent) == (0, [], [])

    @pytest.mark.parametrize("money", [1, 10**18])
    def test_with_money_it_may_have_signed(self, desk: Desk, fake: FakeChain, money: int) -> None:
        restore(desk)
        fake.money = Wei(money)
        recover(desk, fake)
        assert desk.lane().next_nonce == IN_FLIGHT

    def test_what_it_spent_its_money_on_is_found(self, desk: Desk, fake: FakeChain) -> None:
        fake.receive(signed(desk, 0))
        fake.mine()
        restore(desk)
        fake.money = Wei(0)
        recover(desk, fake)
        assert desk.lane().next_nonce == 1 + IN_FLIGHT


class TestRestoreAll:
    def test_every_lane_recovers_because_a_person_says_so(self, desk: Desk) -> None:
        with unit_of_work(role=Role.ENGINE) as session:
            assert recovery.restore_all(session) == 1
        assert (desk.lane().state, desk.lane().home) == (LaneState.RESTORED, None)

    def test_a_quarantined_lane_too(self, desk: Desk) -> None:
        change(desk, state=LaneState.QUARANTINED)
        with unit_of_work(role=Role.ENGINE) as session:
            recovery.restore_all(session)
        assert desk.lane().state is LaneState.RESTORED

    def test_a_recovery_that_was_under_way_begins_anew(self, desk: Desk, fake: FakeChain) -> None:
        restore(desk)
        fake.receive(signed(desk, 0))
        for _ in range(5):
            step(desk, fake)
        restore(desk)
        assert course(desk) is None
        recover(desk, fake)
        assert is_tidy(desk)

    def test_nobody_resumes_it_from_a_screen(self, desk: Desk) -> None:
        restore(desk)
        desk.resume()
        assert desk.lane().state is LaneState.RESTORED
        with unit_of_work(merchant=desk.merchant) as session:
            lanes.pause(session, desk.lane_id, "by hand")
        assert desk.lane().state is LaneState.RESTORED


class TestKnowsLess:
    def asks(self, desk: Desk, fake: FakeChain) -> bool:
        return recovery.knows_less(desk.merchant, fake, desk.lane_id, desk.lane().address)

    def test_a_chain_that_knows_as_much_changes_nothing(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        assert not self.asks(desk, fake)
        watch(desk, fake)
        fake.mine()
        assert not self.asks(desk, fake)

    def test_a_chain_that_knows_more_makes_it_recover(self, desk: Desk, fake: FakeChain) -> None:
        fake.receive(signed(desk, 0))
        fake.mine()
        assert self.asks(desk, fake)
        assert desk.lane().state is LaneState.RESTORED

    def test_what_was_signed_while_the_node_was_asked_is_known(self, desk: Desk) -> None:
        class SignsMeanwhile(FakeChain):
            """Another process signs, sends and mines before the answer arrives."""

            def transaction_count(self, address: str) -> int:  # type: ignore[override]
                desk.enqueue()
                return 1

        assert not self.asks(desk, SignsMeanwhile())


class TestUseUp:
    def test_every_nonce_a_forgotten_transaction_can_have_gets_a_no_op(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        watch(desk, fake)
        fake.mine()
        restore(desk)
        assert advance(desk, fake)
        rows = desk.transactions()
        assert [row.nonce for row in rows] == list(range(1 + IN_FLIGHT))
        assert {row.kind for row in rows[1:]} == {TransactionKind.NOOP}
        assert desk.lane().next_nonce == 1 + IN_FLIGHT
        last = decode(desk.attempts()[-1].raw)
        assert (last.data, last.max_fee_per_gas) == (b"", 6_000_000_000)
        assert fake.sent == [desk.attempts()[0].raw]  # stored, and not yet sent

    def test_it_is_done_once(self, desk: Desk, fake: FakeChain) -> None:
        restore(desk)
        for _ in range(3):
            advance(desk, fake)
        assert len(desk.transactions()) == IN_FLIGHT

    def test_final_nonces_need_none(self, desk: Desk, fake: FakeChain) -> None:
        for nonce in range(3):
            fake.receive(signed(desk, nonce))
        fake.mine(blocks=4)
        restore(desk)
        advance(desk, fake)
        assert [row.nonce for row in desk.transactions()] == list(range(3, 3 + IN_FLIGHT))

    def test_a_node_that_does_not_answer_stops_it(self, desk: Desk, fake: FakeChain) -> None:
        restore(desk)
        fake.is_down = True
        with pytest.raises(ChainUnavailableError):
            advance(desk, fake)
        assert desk.transactions() == []

    def test_a_count_that_cannot_be_is_refused(self, desk: Desk) -> None:
        class Exaggerates(FakeChain):
            """A node that would make us sign for ever."""

            def greatest_transaction_count(self, address: str) -> int:
                return 10**9

        restore(desk)
        with pytest.raises(ImplausibleCountError):
            advance(desk, Exaggerates())
        assert desk.transactions() == []

    def test_a_kill_before_the_first_send_changes_nothing(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        restore(desk)
        step(desk, fake)
        fake.sends.append(KILL_BEFORE)
        with pytest.raises(ProcessKilledError):
            step(desk, fake)
        recover(desk, fake)
        assert len(desk.transactions()) == IN_FLIGHT
        assert is_tidy(desk)

    def test_a_reorganisation_that_hid_nonces_makes_it_use_up_more(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        restore(desk)
        advance(desk, fake)
        fake.receive(signed(desk, IN_FLIGHT))  # behind everything that was used up
        recover(desk, fake)
        assert desk.lane().next_nonce == IN_FLIGHT + 1 + IN_FLIGHT
        assert desk.transactions()[IN_FLIGHT].outcome is Outcome.FORGOTTEN
        assert is_tidy(desk)


class TestReadBlocks:
    def forget(self, desk: Desk, fake: FakeChain, count: int = 3) -> None:
        for nonce in range(count):
            fake.receive(signed(desk, nonce))
            fake.mine()
        restore(desk)
        for _ in range(5):
            watch(desk, fake)
            fake.mine()
            if course(desk) is None:
                advance(desk, fake)

    def test_each_final_nonce_is_found(self, desk: Desk, fake: FakeChain) -> None:
        self.forget(desk, fake)
        advance(desk, fake)
        found = desk.read(lambda session: session.scalars(select(Sighting.nonce)).all())
        assert sorted(found) == [0, 1, 2, *range(3, 3 + IN_FLIGHT)][: len(found)]
        assert set(found) >= {0, 1, 2}

    def test_before_finality_nothing_is_read(self, desk: Desk, fake: FakeChain) -> None:
        restore(desk)
        fake.receive(signed(desk, 0))
        fake.mine()
        assert advance(desk, fake)
        watch(desk, fake)
        fake.mine()
        assert advance(desk, fake)
        assert desk.read(lambda session: session.scalars(select(Sighting)).all()) == []

    def test_a_truncated_block_is_refused_and_read_again(self, desk: Desk, fake: FakeChain) -> None:
        self.forget(desk, fake)
        hidden = fake.mined()[1]
        fake.withheld.add(hidden.tx_hash)
        for _ in range(2):
            with pytest.raises(HistoryIncompleteError, match=r"nonces: 1\."):
                advance(desk, fake)
        assert desk.lane().state is LaneState.RESTORED
        fake.withheld.clear()
        recover(desk, fake)
        assert is_tidy(desk)

    def test_a_node_that_lags_behind_is_asked_again(self, desk: Desk, fake: FakeChain) -> None:
        self.forget(desk, fake)

        class Lags(FakeChain):
            """It has not seen the newest blocks."""

            def sent_by(self, *_: object, **__: object) -> list:  # type: ignore[type-arg]
                raise ChainUnavailableError("Test chain", "it cannot show block 3")

        late = Lags()
        late.blocks, late.final_depth = fake.blocks, fake.final_depth
        with pytest.raises(ChainUnavailableError):
            advance(desk, late)
        recover(desk, fake)

    def test_long_histories_are_read_in_parts(
        self, desk: Desk, fake: FakeChain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery, "BLOCKS_AT_ONCE", 2)
        self.forget(desk, fake)
        advance(desk, fake)
        first = course(desk)
        assert first is not None and first.next_block == 2
        advance(desk, fake)
        second = course(desk)
        assert second is not None and second.next_block == 4
        recover(desk, fake)
        assert is_tidy(desk)

    def test_it_begins_at_the_newest_final_transaction(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        watch(desk, fake)
        fake.mine(blocks=5)
        watch(desk, fake)
        restore(desk)
        advance(desk, fake)
        found = course(desk)
        assert found is not None
        assert (found.first_nonce, found.next_block) == (1, 1)

    def test_or_at_the_block_in_which_the_relayer_was_made(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        change(desk, base_block=7)
        restore(desk)
        advance(desk, fake)
        found = course(desk)
        assert found is not None and (found.first_nonce, found.next_block) == (0, 7)

    def test_a_kind_that_relayers_do_not_sign_is_somebody_elses(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        self.forget(desk, fake, 1)

        class Shows(FakeChain):
            """The transaction is of another kind."""

            def sent_by(self, sender: str, *, block: int) -> list[Seen]:  # type: ignore[override]
                return [Seen(0, bytes(32), None)] if block == 1 else []

        shows = Shows()
        shows.blocks = fake.blocks
        advance(desk, shows)
        assert desk.lane().state is LaneState.QUARANTINED
        assert "nonce 0" in str(desk.lane().state_reason)

    def test_so_is_one_that_carries_value(self, desk: Desk, fake: FakeChain) -> None:
        self.forget(desk, fake, 1)
        key = Account.create()
        fields = {"type": 2, "chainId": 31337, "nonce": 0, "to": key.address, "value": 1}
        fees = {"gas": 21_000, "maxFeePerGas": 2, "maxPriorityFeePerGas": 1}
        raw = bytes(key.sign_transaction(fields | fees).raw_transaction)

        class Shows(FakeChain):
            """The transaction pays somebody."""

            def sent_by(self, sender: str, *, block: int) -> list[Seen]:  # type: ignore[override]
                return [Seen(0, bytes(32), raw)] if block == 1 else []

        shows = Shows()
        shows.blocks = fake.blocks
        advance(desk, shows)
        assert desk.lane().state is LaneState.QUARANTINED


class TestFinish:
    def test_the_lane_goes_on_above_what_was_used_up(self, desk: Desk, fake: FakeChain) -> None:
        restore(desk)
        recover(desk, fake)
        assert is_tidy(desk)
        assert (desk.lane().state, desk.lane().state_reason) == (LaneState.ACTIVE, None)
        assert {row.outcome for row in desk.transactions()} == {Outcome.CANCELLED}
        assert desk.transaction(desk.enqueue()).nonce == IN_FLIGHT

    def test_what_nothing_asks_for_pauses_it_with_what_to_do(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        fake.receive(signed(desk, 0, data=b"unknown"))
        fake.mine()
        restore(desk)
        recover(desk, fake)
        lane = desk.lane()
        assert lane.state is LaneState.PAUSED
        assert "1 transaction is on the chain that this backup knows nothing of" in str(
            lane.state_reason
        )
        assert len(str(lane.state_reason)) <= lanes.REASON_LENGTH
        assert desk.transactions()[0].outcome is Outcome.FORGOTTEN
        assert is_tidy(desk)
        desk.resume()
        assert desk.transaction(desk.enqueue()).nonce == desk.lane().next_nonce - 1

    def test_a_forgotten_bump_is_the_rows_own(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue(b"\x01\x02")
        fake.receive(signed(desk, 0, data=b"\x01\x02", max_fee_per_gas=9_000_000_000))
        fake.mine()
        restore(desk)
        recover(desk, fake)
        assert desk.transaction(row).outcome is Outcome.SUCCESS
        kinds = [it.kind for it in desk.attempts() if it.transaction_id == row]
        assert kinds == [AttemptKind.FIRST, AttemptKind.BUMP]
        assert desk.transaction(row).mined_hash == fake.mined()[0].tx_hash
        assert desk.lane().state is LaneState.ACTIVE

    def test_a_forgotten_cancel_cancels(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        fake.receive(no_op(desk, 0))
        fake.mine()
        restore(desk)
        recover(desk, fake)
        assert desk.transaction(row).outcome is Outcome.CANCELLED
        assert desk.lane().state is LaneState.ACTIVE

    def test_what_is_still_in_a_pool_may_win_against_its_no_op(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        fake.receive(signed(desk, 0, data=b"unknown", max_fee_per_gas=99_000_000_000))
        restore(desk)
        recover(desk, fake)
        assert desk.transactions()[0].outcome is Outcome.FORGOTTEN
        assert len(fake.mined()) == IN_FLIGHT

    def test_lost_sends_only_delay_it(self, desk: Desk, fake: FakeChain) -> None:
        restore(desk)
        step(desk, fake)
        fake.sends.extend([DROP_BEFORE] * IN_FLIGHT)
        step(desk, fake)
        with unit_of_work(merchant=desk.merchant) as session:
            lanes.resync(session, desk.lane_id)
        recover(desk, fake)
        assert is_tidy(desk)

    def test_meanwhile_nothing_is_quarantined(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue(b"\x01\x02")
        fake.receive(signed(desk, 0, data=b"\x01\x02", max_fee_per_gas=9_000_000_000))
        fake.mine(blocks=4)
        restore(desk)
        watch(desk, fake)
        assert desk.lane().state is LaneState.RESTORED
        assert desk.transaction(row).foreign_use_at is None

    def test_a_quarantine_after_a_restore_nobody_told_of_is_taken_back(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = desk.enqueue(b"\x01\x02")
        fake.receive(signed(desk, 0, data=b"\x01\x02", max_fee_per_gas=9_000_000_000))
        fake.mine(blocks=4)
        watch(desk, fake)
        assert desk.lane().state is LaneState.QUARANTINED
        restore(desk)
        recover(desk, fake)
        assert desk.transaction(row).outcome is Outcome.SUCCESS
        assert desk.transaction(row).foreign_use_at is None
        assert desk.lane().state is LaneState.ACTIVE

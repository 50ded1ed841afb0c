"""Store, send, watch, finalise: only receipts on the canonical chain decide."""

from datetime import timedelta
from pathlib import Path

import pytest
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from chain import lanes, pipeline
from chain.bindings.create import create_address
from chain.errors import ChainUnavailableError, LanePausedError, SendAnswer
from chain.models import (
    AttemptKind,
    LaneRole,
    LaneState,
    NonceLane,
    Outcome,
    Transaction,
    TransactionState,
)
from core.db import unit_of_work
from core.types import Gas, TransactionId, Wei
from tests.chain.fakes import (
    DROP_AFTER,
    DROP_BEFORE,
    DUPLICATE,
    GAS_PRICE,
    GAS_USED,
    FakeChain,
    answered,
    decode,
)
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, FEES, Desk, enqueue, make_desk, make_intent
from tests.factories.wallets import CONTRACT, forge
from tests.wallets.kek_worlds import environment, vault_world
from tests.wallets.vault_double import TOKEN
from wallets import data_keys
from wallets.errors import KekUnavailableError, SigningRefusedError
from wallets.models import TransactionPayload
from wallets.rotation import rotate_kek

LATER = timedelta(minutes=1)
NO_VERDICTS = [
    answer for answer in SendAnswer if answer not in (SendAnswer.ACCEPTED, SendAnswer.REJECTED)
]


def watch(desk: Desk, fake: FakeChain, *, minutes: float = 0) -> int:
    return pipeline.watch(
        desk.merchant,
        fake,
        chain_id=CHAIN_ID,
        line=fake.finalized_number,
        at=NOW + minutes * LATER,
    )


def state_of(desk: Desk, transaction_id: TransactionId) -> TransactionState:
    return desk.transaction(transaction_id).state


def finish(desk: Desk, fake: FakeChain) -> None:
    """Everything open becomes final, as on a chain that only goes on, before a fee is raised."""
    for seconds in range(11, 90, 11):
        if watch(desk, fake, minutes=seconds / 60) == 0:
            return
        fake.mine()
    pytest.fail("not everything became final")


class TestEnqueue:
    def test_the_signed_bytes_and_their_hash_are_stored(self, desk: Desk) -> None:
        row = desk.transaction(desk.enqueue(b"\xaa\xbb"))
        [attempt] = desk.attempts()
        signed = decode(attempt.raw)
        assert (signed.nonce, signed.data, signed.tx_hash) == (0, b"\xaa\xbb", attempt.tx_hash)
        assert signed.sender == desk.lane().address
        assert (row.state, row.nonce, row.outcome) == (TransactionState.SIGNED, 0, None)
        assert (attempt.seq, attempt.first_sent_at, attempt.last_answer) == (0, None, None)

    def test_each_intent_has_the_next_nonce(self, desk: Desk) -> None:
        for data in (b"\x01", b"\x02", b"\x03"):
            desk.enqueue(data)
        assert [row.nonce for row in desk.transactions()] == [0, 1, 2]

    def test_a_creation_knows_its_address(self, desk: Desk) -> None:
        row = desk.transaction(desk.enqueue(to=None))
        assert row.contract_address == create_address(desk.lane().address, 0)

    def test_a_call_creates_nothing(self, desk: Desk) -> None:
        assert desk.transaction(desk.enqueue()).contract_address is None

    def test_a_rollback_gives_everything_back(self, desk: Desk) -> None:
        with pytest.raises(RuntimeError), unit_of_work(merchant=desk.merchant) as session:
            enqueue(session, desk.lane_id, make_intent())
            raise RuntimeError
        assert desk.attempts() == []
        assert desk.transaction(desk.enqueue()).nonce == 0

    def test_what_the_relayer_may_not_sign_takes_no_nonce(self, desk: Desk) -> None:
        with pytest.raises(SigningRefusedError, match="gas limit"):
            desk.enqueue(gas=20_000)
        assert desk.lane().next_nonce == 0

    def test_a_key_encryption_key_that_is_down_takes_no_nonce(
        self, desk: Desk, tmp_path: Path
    ) -> None:
        with (
            vault_world(tmp_path) as world,
            environment(
                WALLETS_KEK="vault:transit/cohort",
                WALLETS_PREVIOUS_KEKS="file",
                WALLETS_VAULT_URL=world.front.url if world.front else "",
                WALLETS_VAULT_TOKEN=TOKEN,
            ),
        ):
            assert world.vault is not None
            rotate_kek()
            data_keys.forget()
            world.vault.sealed = True
            with pytest.raises(KekUnavailableError, match="Signing waits until it can"):
                desk.enqueue()
            assert (desk.lane().next_nonce, desk.attempts()) == (0, [])
            world.vault.sealed = False
            assert desk.transaction(desk.enqueue()).nonce == 0

    def test_a_paused_lane_refuses(self, committed: None, desk: Desk) -> None:
        paused = make_desk(
            desk.merchant, role=LaneRole.ISSUER, state=LaneState.PAUSED, state_reason="no money"
        )
        with pytest.raises(LanePausedError, match="no money"):
            paused.enqueue()

    def test_a_nonce_stands_in_one_row(self, desk: Desk) -> None:
        desk.enqueue(b"\x01")
        with unit_of_work(merchant=desk.merchant) as session:
            session.get_one(NonceLane, desk.lane_id).next_nonce = 0
        with pytest.raises(SigningRefusedError, match="nonce 0 belongs to another call"):
            desk.enqueue(b"\x02")
        with pytest.raises(IntegrityError, match=r"pk_attempts|uq_transactions_lane_id_nonce"):
            desk.enqueue(b"\x01")


class TestIntent:
    @pytest.mark.parametrize("changes", [{"data": b"\x02"}, {"to": None}, {"gas": 100_001}])
    def test_everything_but_the_fees_is_in_the_fingerprint(
        self, changes: dict[str, object]
    ) -> None:
        assert make_intent(**changes).digest() != make_intent().digest()

    def test_equal_intents_have_one_fingerprint(self) -> None:
        assert make_intent().digest() == make_intent().digest()


class TestTheWayToFinal:
    def test_signed_then_sent_then_mined_then_final(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        assert state_of(desk, row) is TransactionState.SIGNED
        assert watch(desk, fake) == 1
        assert state_of(desk, row) is TransactionState.SENT
        fake.mine()
        assert watch(desk, fake) == 1
        assert state_of(desk, row) is TransactionState.MINED
        fake.mine(blocks=2)
        assert watch(desk, fake) == 0
        assert state_of(desk, row) is TransactionState.FINAL

    def test_a_final_row_says_where_when_and_what_it_cost(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row_id = desk.enqueue()
        finish(desk, fake)
        row = desk.transaction(row_id)
        [block] = [block for block in fake.blocks if block.transactions]
        assert (row.block_number, row.block_hash) == (block.number, block.hash)
        assert row.mined_hash == block.transactions[0].tx_hash
        assert (row.gas_used, row.effective_gas_price) == (GAS_USED, GAS_PRICE)
        assert row.fee_paid == GAS_USED * GAS_PRICE
        assert row.outcome is Outcome.SUCCESS
        assert row.finalized_at is not None

    def test_an_unmined_one_has_cost_nothing_yet(self, desk: Desk) -> None:
        assert desk.transaction(desk.enqueue()).fee_paid is None

    def test_with_nothing_open_the_node_is_not_asked(self, desk: Desk, fake: FakeChain) -> None:
        fake.is_down = True
        assert watch(desk, fake) == 0

    def test_another_chains_transactions_are_left_alone(self, desk: Desk, fake: FakeChain) -> None:
        other = make_desk(desk.merchant, chain_id=10)
        row = other.enqueue()
        assert watch(desk, fake) == 0
        assert state_of(other, row) is TransactionState.SIGNED

    def test_a_transaction_above_the_line_is_not_final(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake)
        fake.mine(blocks=2)
        assert fake.finalized_number() == 0
        watch(desk, fake)
        assert state_of(desk, row) is TransactionState.MINED

    def test_a_reverted_one_ends_reverted(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        fake.reverting.add(desk.attempts()[0].tx_hash)
        watch(desk, fake)
        fake.mine()
        watch(desk, fake)
        assert desk.transaction(row).outcome is None
        finish(desk, fake)
        assert desk.transaction(row).outcome is Outcome.REVERTED

    def test_final_never_changes_again(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        finish(desk, fake)
        before = desk.transaction(row).block_hash
        fake.reorganise(3, keeps=False)
        assert watch(desk, fake, minutes=30) == 0
        assert desk.transaction(row).block_hash == before


class TestSends:
    @pytest.mark.parametrize("lost", [DROP_BEFORE, DROP_AFTER, DUPLICATE])
    def test_a_lost_answer_is_repaired_with_the_same_bytes(
        self, desk: Desk, fake: FakeChain, lost: object
    ) -> None:
        desk.enqueue()
        fake.sends.extend([lost, lost])
        finish(desk, fake)
        assert set(fake.sent) == {desk.attempts()[0].raw}
        assert len(fake.mined()) == 1

    @pytest.mark.parametrize("taken", [True, False], ids=["taken", "not taken"])
    @pytest.mark.parametrize("answer", NO_VERDICTS)
    def test_no_answer_ends_in_a_new_nonce(
        self, desk: Desk, fake: FakeChain, answer: SendAnswer, taken: bool
    ) -> None:
        row = desk.enqueue()
        fake.sends.extend([answered(answer, taken=taken)] * 2)
        watch(desk, fake)
        [attempt] = desk.attempts()
        assert (attempt.last_answer or "").startswith(answer.value)
        assert state_of(desk, row) is not TransactionState.FINAL
        finish(desk, fake)
        assert desk.lane().next_nonce == len(desk.attempts()) == len(fake.mined()) == 1

    def test_what_was_just_sent_is_not_sent_again_at_once(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        for _ in range(3):
            watch(desk, fake)
        assert len(fake.sent) == 1

    def test_with_patience_over_the_same_bytes_go_out_again(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        watch(desk, fake)
        fake.forget_pool()
        watch(desk, fake, minutes=1)
        assert len(fake.sent) == 2
        assert set(fake.sent) == {desk.attempts()[0].raw}

    def test_times_of_the_first_and_the_last_send_are_kept(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        watch(desk, fake)
        watch(desk, fake, minutes=1)
        [attempt] = desk.attempts()
        assert attempt.first_sent_at == NOW
        assert attempt.last_sent_at == NOW + LATER

    def test_a_nodes_long_answer_is_kept_short(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        fake.sends.append(answered(SendAnswer.UNKNOWN, "x" * 5000))
        watch(desk, fake)
        assert len(desk.attempts()[0].last_answer or "") == 200

    def test_null_receipts_are_no_evidence(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake)
        fake.mine()
        fake.hidden_receipts = 3
        for minutes in (1, 2, 3):
            watch(desk, fake, minutes=minutes)
            assert state_of(desk, row) is TransactionState.SENT
        finish(desk, fake)
        assert len(fake.mined()) == 1
        assert desk.lane().next_nonce == 1

    def test_nonce_too_low_waits_for_the_receipt_of_its_own_bytes(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = desk.enqueue()
        fake.sends.append(DROP_AFTER)
        watch(desk, fake)
        fake.mine()
        fake.hidden_receipts = 1
        watch(desk, fake, minutes=1)
        assert (desk.attempts()[0].last_answer or "").startswith("nonce_too_low")
        watch(desk, fake, minutes=2)
        assert state_of(desk, row) is TransactionState.MINED

    def test_a_silent_node_stops_the_step_and_loses_nothing(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = desk.enqueue()
        fake.is_down = True
        with pytest.raises(ChainUnavailableError):
            watch(desk, fake)
        assert state_of(desk, row) is TransactionState.SIGNED
        fake.is_down = False
        finish(desk, fake)


class TestLaneStops:
    def test_without_money_the_lane_takes_nothing_and_says_why(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        fake.sends.append(answered(SendAnswer.INSUFFICIENT_FUNDS))
        watch(desk, fake)
        assert desk.lane().state is LaneState.UNFUNDED
        assert "balance is too low; fund it" in (desk.lane().state_reason or "")
        with pytest.raises(LanePausedError):
            desk.enqueue(b"\x02")

    def test_with_money_the_same_bytes_arrive_and_work_goes_on_by_itself(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        fake.sends.append(answered(SendAnswer.INSUFFICIENT_FUNDS))
        watch(desk, fake)
        watch(desk, fake, minutes=1)
        assert (desk.lane().state, desk.lane().state_reason) == (LaneState.ACTIVE, None)
        assert len(set(fake.sent)) == 1
        desk.enqueue(b"\x02")
        fake.mine()
        finish(desk, fake)
        assert [signed.data for signed in fake.mined()] == [b"\x01", b"\x02"]

    def test_money_does_not_resume_what_a_person_paused(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        with unit_of_work(merchant=desk.merchant) as session:
            lanes.pause(session, desk.lane_id, "a person said so")
        watch(desk, fake)
        assert desk.lane().state is LaneState.PAUSED
        desk.resume()
        assert (desk.lane().state, desk.lane().state_reason) == (LaneState.ACTIVE, None)

    def test_a_quarantined_lane_is_not_resumed(self, desk: Desk) -> None:
        quarantined = make_desk(desk.merchant, role=LaneRole.ISSUER, state=LaneState.QUARANTINED)
        quarantined.resume()
        assert quarantined.lane().state is LaneState.QUARANTINED

    def test_an_answer_does_not_lift_a_quarantine(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        with unit_of_work(merchant=desk.merchant) as session:
            session.get_one(NonceLane, desk.lane_id).state = LaneState.QUARANTINED
        fake.sends.append(answered(SendAnswer.INSUFFICIENT_FUNDS))
        watch(desk, fake)
        desk.resume()
        assert desk.lane().state is LaneState.QUARANTINED

    @pytest.mark.parametrize("answer", [SendAnswer.UNKNOWN, SendAnswer.BACK_PRESSURE])
    def test_what_passes_by_itself_does_not_pause(
        self, desk: Desk, fake: FakeChain, answer: SendAnswer
    ) -> None:
        desk.enqueue()
        fake.sends.append(answered(answer))
        watch(desk, fake)
        assert desk.lane().state is LaneState.ACTIVE


class TestRejected:
    def test_a_recorded_no_op_takes_the_nonce(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        fake.sends.append(answered(SendAnswer.REJECTED))
        finish(desk, fake)
        first, no_op = desk.attempts()
        [mined] = fake.mined()
        assert (mined.tx_hash, mined.nonce, mined.data) == (no_op.tx_hash, 0, b"")
        assert TypedTransaction.from_bytes(HexBytes(mined.raw)).as_dict()["to"] == HexBytes(
            mined.sender
        )
        assert desk.transaction(row).outcome is Outcome.CANCELLED
        assert (first.kind, no_op.kind) == (AttemptKind.FIRST, AttemptKind.CANCEL)
        assert no_op.max_fee_per_gas >= first.max_fee_per_gas * 11 // 10

    def test_the_no_op_is_stored_before_it_is_sent_and_the_lane_goes_on(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        desk.enqueue()
        fake.sends.append(answered(SendAnswer.REJECTED))
        watch(desk, fake)
        assert [attempt.first_sent_at for attempt in desk.attempts()] == [NOW, None]
        assert desk.lane().state is LaneState.ACTIVE
        desk.enqueue(b"\x02")
        finish(desk, fake)
        assert [signed.data for signed in fake.mined()] == [b"", b"\x02"]

    def test_what_was_accepted_before_is_only_watched(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake)
        fake.sends.append(answered(SendAnswer.REJECTED))
        watch(desk, fake, minutes=1)
        assert len(desk.attempts()) == 1
        finish(desk, fake)
        assert desk.transaction(row).outcome is Outcome.SUCCESS

    def test_taken_without_a_word_the_first_bytes_may_still_win(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = desk.enqueue()
        fake.sends.extend([answered(SendAnswer.REJECTED, taken=True), DROP_BEFORE])
        watch(desk, fake)
        fake.mine()
        finish(desk, fake)
        assert desk.transaction(row).outcome is Outcome.SUCCESS
        assert [signed.data for signed in fake.mined()] == [b"\x01"]

    def test_a_refused_no_op_pauses_the_lane(self, desk: Desk, fake: FakeChain) -> None:
        desk.enqueue()
        fake.sends.extend([answered(SendAnswer.REJECTED, "invalid sender")] * 2)
        watch(desk, fake)
        watch(desk, fake)
        assert len(desk.attempts()) == 2
        assert desk.lane().state is LaneState.PAUSED
        assert "refused the transaction itself: invalid sender" in (desk.lane().state_reason or "")
        desk.resume()
        finish(desk, fake)
        assert len(fake.mined()) == 1


class TestForeignUse:
    def stranger(self, desk: Desk, fake: FakeChain) -> None:
        """Other bytes of the same key and nonce get into a block."""
        with unit_of_work(merchant=desk.merchant) as session:
            payload = TransactionPayload(
                chain_id=CHAIN_ID,
                nonce=0,
                to=CONTRACT,
                data=b"\xff",
                value=Wei(0),
                gas=Gas(90_000),
                max_fee_per_gas=FEES.max_fee_per_gas,
                max_priority_fee_per_gas=FEES.max_priority_fee_per_gas,
            )
            raw = forge(session, desk.lane().address, payload).raw
        fake.pool[decode(raw).tx_hash] = decode(raw)
        fake.mine()

    def used(self, desk: Desk, fake: FakeChain, *, blocks: int = 3) -> TransactionId:
        """An open transaction whose nonce a stranger's bytes have used."""
        row = desk.enqueue()
        self.stranger(desk, fake)
        fake.mine(blocks=blocks)
        return row

    def test_the_lane_is_quarantined_and_nothing_new_is_signed(
        self, desk: Desk, fake: FakeChain
    ) -> None:
        row = self.used(desk, fake)
        assert watch(desk, fake) == 0
        assert desk.lane().state is LaneState.QUARANTINED
        assert "nonce 0 is not ours" in (desk.lane().state_reason or "")
        assert desk.transaction(row).foreign_use_at == NOW
        assert state_of(desk, row) is TransactionState.SENT
        assert (len(desk.attempts()), desk.lane().next_nonce) == (1, 1)
        with pytest.raises(LanePausedError):
            desk.enqueue(b"\x02")

    def test_below_finality_there_is_no_verdict(self, desk: Desk, fake: FakeChain) -> None:
        row = self.used(desk, fake, blocks=1)
        assert watch(desk, fake) == 1
        assert desk.lane().state is LaneState.ACTIVE
        assert desk.transaction(row).foreign_use_at is None

    def test_with_a_node_silent_there_is_no_verdict(self, desk: Desk, fake: FakeChain) -> None:
        class OneIsSilent(FakeChain):
            """A node of several does not answer."""

            def least_transaction_count(self, *_: object, **__: object) -> int:
                raise ChainUnavailableError("Test chain", "ReadTimeout")

        silent = OneIsSilent()
        self.used(desk, silent)
        assert watch(desk, silent) == 1
        assert desk.lane().state is LaneState.ACTIVE

    def test_a_hidden_receipt_of_ours_is_no_evidence(self, desk: Desk, fake: FakeChain) -> None:
        row = desk.enqueue()
        watch(desk, fake)
        fake.mine(blocks=4)
        for minutes in (1, 2, 3):
            fake.hidden_receipts = 10
            watch(desk, fake, minutes=minutes)
            assert desk.lane().state is LaneState.ACTIVE
        fake.hidden_receipts = 0
        watch(desk, fake, minutes=4)
        assert desk.transaction(row).outcome is Outcome.SUCCESS

    @pytest.mark.parametrize("blocks", [3, 4, 5, 6, 9, 17, 40])
    def test_it_is_found_however_long_ago_it_was(
        self, desk: Desk, fake: FakeChain, blocks: int
    ) -> None:
        fake.mine(blocks=7)
        row = self.used(desk, fake, blocks=blocks)
        watch(desk, fake)
        assert desk.transaction(row).foreign_use_at == NOW

    def test_a_block_that_hides_it_is_no_evidence(self, desk: Desk, fake: FakeChain) -> None:
        self.used(desk, fake)
        fake.withheld.update(signed.tx_hash for signed in fake.mined())
        watch(desk, fake)
        assert desk.lane().state is LaneState.ACTIVE


class TestConstraints:
    def test_the_tables_refuse_final_without_an_outcome(self, desk: Desk) -> None:
        row = desk.enqueue()
        with (
            pytest.raises(IntegrityError, match="final_has_outcome"),
            unit_of_work(merchant=desk.merchant) as session,
        ):
            session.get_one(Transaction, row).state = TransactionState.FINAL

    def test_the_tables_refuse_mined_without_a_block(self, desk: Desk) -> None:
        row = desk.enqueue()
        with (
            pytest.raises(IntegrityError, match="mined_has_block"),
            unit_of_work(merchant=desk.merchant) as session,
        ):
            session.get_one(Transaction, row).state = TransactionState.MINED

    def test_another_merchant_sees_no_transaction(self, desk: Desk) -> None:
        desk.enqueue()
        with unit_of_work() as session:
            assert session.scalar(select(func.count()).select_from(Transaction)) == 0

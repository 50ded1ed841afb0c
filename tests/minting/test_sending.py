"""Planned batches become transactions in order; what the chain would refuse is held."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, select

from chain import pipeline, replacements
from chain.errors import ChainUnavailableError, FeeCapReachedError, RpcError
from chain.models import LaneRole, LaneState, NonceLane, TransactionKind
from chain.networks import advance_finality
from core.db import unit_of_work
from core.ids import new_id
from core.types import BatchId, Wei
from minting import sending
from minting.errors import BatchNotFoundError
from minting.models import Batch, BatchState, Plan, PlanKind, PlanState
from tests.chain.fakes import FakeChain, decode
from tests.conftest import NOW, make_merchant
from tests.factories.chain import CHAIN_ID, Desk, make_desk
from tests.factories.minting import PASS_ADDRESS, make_plan
from tests.signing import acting_as
from wallets.approvals import Call, digest_of
from wallets.client import Answer, use_signer
from wallets.errors import SignerUnavailableError
from wallets.models import Approval
from wallets.policy import MAX_GAS

REVERT = RpcError("eth_estimateGas", 3, "execution reverted: AlreadyDropped")


@pytest.fixture
def desk(committed: None) -> Desk:
    """A merchant's lane on the test chain."""
    return make_desk(make_merchant().id)


def assign(desk: Desk, fake: FakeChain, *, sender: LaneRole = LaneRole.RELAYER) -> int:
    return sending.assign_ready(desk.merchant, fake, chain_id=CHAIN_ID, sender=sender, at=NOW)


def watch(desk: Desk, fake: FakeChain) -> None:
    line = fake.finalized_number
    pipeline.watch(desk.merchant, fake, chain_id=CHAIN_ID, line=line, at=NOW)


def add_plan(
    desk: Desk,
    *calldata: bytes,
    contract: str | None = PASS_ADDRESS,
    kind: PlanKind = PlanKind.PASSES,
    sender: LaneRole = LaneRole.RELAYER,
) -> None:
    with unit_of_work(merchant=desk.merchant) as session:
        make_plan(session, *calldata, kind=kind, contract=contract, sender=sender)


def batches(desk: Desk) -> dict[bytes, BatchState]:
    with unit_of_work(merchant=desk.merchant) as session:
        return {batch.calldata: batch.state for batch in session.scalars(select(Batch))}


def signed_data(desk: Desk) -> list[bytes]:
    return [decode(attempt.raw).data for attempt in desk.attempts()]


class TestAssignReady:
    def test_the_frozen_bytes_are_signed_with_a_margin_of_gas(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        assert assign(desk, FakeChain()) == 1
        [attempt] = desk.attempts()
        assert (decode(attempt.raw).data, attempt.gas) == (b"\x01", 66_000)
        assert attempt.max_fee_per_gas == 3_000_000_000
        assert batches(desk) == {b"\x01": BatchState.ASSIGNED}

    def test_the_transaction_names_its_batch_and_contract(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        assign(desk, FakeChain())
        [row] = desk.transactions()
        assert (row.kind, row.to) == (TransactionKind.BATCH, PASS_ADDRESS)
        assert row.batch_id is not None

    def test_a_plan_without_contract_creates_one(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", contract=None)
        assign(desk, FakeChain())
        [row] = desk.transactions()
        assert (row.kind, row.to) == (TransactionKind.DEPLOY, None)
        assert row.contract_address is not None

    def test_doing_it_again_signs_nothing_again(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        assert [assign(desk, fake) for _ in range(3)] == [1, 0, 0]
        assert len(desk.attempts()) == 1

    def test_with_nothing_planned_the_node_is_not_asked(self, desk: Desk) -> None:
        fake = FakeChain()
        fake.is_down = True
        assert assign(desk, fake) == 0

    def test_a_silent_node_changes_nothing(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        fake.is_down = True
        with pytest.raises(ChainUnavailableError):
            assign(desk, fake)
        assert batches(desk) == {b"\x01": BatchState.PLANNED}

    def test_a_margin_above_the_protocols_cap_is_cut_to_it(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        fake.gas_estimate = MAX_GAS - 5
        assign(desk, fake)
        assert desk.attempts()[0].gas == MAX_GAS

    def test_another_chains_plans_wait_for_their_lane(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        assert sending.assign_ready(desk.merchant, FakeChain(), chain_id=10, at=NOW) == 0

    def test_several_at_once_sign_each_batch_once(self, desk: Desk) -> None:
        contracts = [f"0x{number:040x}" for number in range(1, 9)]
        for contract in contracts:
            add_plan(desk, bytes.fromhex(contract[2:]), contract=contract)
        fake = FakeChain()
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(lambda _: assign(desk, fake), range(8))) == 8
        assert sorted(signed_data(desk)) == [bytes.fromhex(contract[2:]) for contract in contracts]


class TestOrder:
    def test_the_next_batch_of_a_contract_waits_until_this_one_is_in_a_block(
        self, desk: Desk
    ) -> None:
        add_plan(desk, b"\x01", b"\x02")
        fake = FakeChain()
        assign(desk, fake)
        watch(desk, fake)
        assert assign(desk, fake) == 0
        fake.mine()
        watch(desk, fake)
        assert assign(desk, fake) == 1
        assert signed_data(desk) == [b"\x01", b"\x02"]

    def test_an_older_plan_of_the_contract_goes_first(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        add_plan(desk, b"\x02")
        fake = FakeChain()
        assert assign(desk, fake) == 1
        assert signed_data(desk) == [b"\x01"]

    def test_other_contracts_do_not_wait(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        add_plan(desk, b"\x02", contract="0x" + "12" * 20)
        assert assign(desk, FakeChain()) == 2

    def test_deployments_follow_each_other(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", contract=None)
        add_plan(desk, b"\x02", contract=None)
        assert assign(desk, FakeChain()) == 1

    def test_behind_a_held_batch_of_numbered_content_later_plans_wait_and_say_why(
        self, desk: Desk
    ) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        fake.refusal = REVERT
        assign(desk, fake)
        fake.refusal = None
        add_plan(desk, b"\x02")
        assert assign(desk, fake) == 0
        with unit_of_work(merchant=desk.merchant) as session:
            later = session.scalars(select(Plan).order_by(Plan.ordinal.desc())).first()
            assert later is not None
            reason = sending.blocking_reason(session, later)
        assert reason == "execution reverted: AlreadyDropped"

    def test_behind_a_held_deployment_others_go_on(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", contract=None, kind=PlanKind.ASSET)
        fake = FakeChain()
        fake.refusal = REVERT
        assign(desk, fake)
        fake.refusal = None
        add_plan(desk, b"\x02", contract=None, kind=PlanKind.ASSET)
        assert assign(desk, fake) == 1

    def test_a_node_behind_a_block_that_was_seen_is_not_believed(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", b"\x02")
        fake = FakeChain()
        assign(desk, fake)
        watch(desk, fake)
        fake.mine()
        watch(desk, fake)
        lagging = FakeChain()
        lagging.refusal = REVERT
        assert assign(desk, lagging) == 0
        assert batches(desk)[b"\x02"] is BatchState.PLANNED
        assert assign(desk, fake) == 1


class TestHold:
    def test_what_would_revert_is_held_in_the_contracts_words(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", b"\x02")
        fake = FakeChain()
        fake.refusal = REVERT
        assert assign(desk, fake) == 0
        with unit_of_work(merchant=desk.merchant) as session:
            plan = session.scalars(select(Plan)).one()
            assert plan.state is PlanState.HELD
            assert plan.batches[0].state is BatchState.HELD
            assert plan.batches[0].held_reason == "execution reverted: AlreadyDropped"
            assert plan.batches[1].state is BatchState.PLANNED

    def test_it_takes_no_nonce_and_is_not_tried_again(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        fake.refusal = REVERT
        assign(desk, fake)
        fake.refusal = None
        assert assign(desk, fake) == 0
        assert desk.lane().next_nonce == 0

    def test_other_plans_go_on(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        fake.refusal = REVERT
        assign(desk, fake)
        fake.refusal = None
        add_plan(desk, b"\x02", contract="0x" + "12" * 20)
        assert assign(desk, fake) == 1

    def test_a_node_that_cannot_measure_now_holds_nothing(self, desk: Desk) -> None:
        fake = FakeChain()
        fake.refusal = RpcError("eth_estimateGas", -32005, "daily request count exceeded")
        add_plan(desk, b"\x01")
        assert assign(desk, fake) == 0
        assert batches(desk) == {b"\x01": BatchState.PLANNED}
        fake.refusal = None
        assert assign(desk, fake) == 1

    def test_a_batch_that_is_signed_meanwhile_is_not_held(self, desk: Desk) -> None:
        class SignedMeanwhile(FakeChain):
            """Another process signs the batch while this one measures its gas."""

            def estimate_gas(self, *call: object, block: int | None = None) -> object:
                assert assign(desk, FakeChain()) == 1
                raise REVERT

        add_plan(desk, b"\x01")
        assert assign(desk, SignedMeanwhile()) == 0
        assert batches(desk) == {b"\x01": BatchState.ASSIGNED}

    def test_a_refusal_from_before_a_block_known_since_holds_nothing(self, desk: Desk) -> None:
        class Asleep(FakeChain):
            """The answer is an hour old when it is used, and others know newer blocks."""

            def estimate_gas(self, *call: object, block: int | None = None) -> object:
                with unit_of_work() as session:
                    advance_finality(session, CHAIN_ID, number=300, block_hash=b"\x01" * 32)
                raise REVERT

        add_plan(desk, b"\x01")
        assert assign(desk, Asleep()) == 0
        assert batches(desk) == {b"\x01": BatchState.PLANNED}

    def test_nor_are_prices_and_balance_of_then_used(self, desk: Desk) -> None:
        class Asleep(FakeChain):
            """The answer is an hour old when it is used, and others know newer blocks."""

            def balance(self, address: object) -> Wei:
                with unit_of_work() as session:
                    advance_finality(session, CHAIN_ID, number=300, block_hash=b"\x01" * 32)
                return Wei(0)

        add_plan(desk, b"\x01")
        assert assign(desk, Asleep()) == 0
        assert desk.lane().state is LaneState.ACTIVE

    def test_a_batch_whose_plan_was_held_meanwhile_is_not_signed(self, desk: Desk) -> None:
        class HeldMeanwhile(FakeChain):
            """Another process finds that the contract refuses the plan."""

            def estimate_gas(self, *call: object, block: int | None = None) -> object:
                with unit_of_work(merchant=desk.merchant) as session:
                    session.scalars(select(Plan)).one().state = PlanState.HELD
                return self.gas_estimate

        add_plan(desk, b"\x01")
        assert assign(desk, HeldMeanwhile()) == 0
        assert desk.attempts() == []

    def test_a_lane_paused_from_the_start_is_not_used(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        pause(desk)
        assert assign(desk, FakeChain()) == 0
        assert batches(desk) == {b"\x01": BatchState.PLANNED}

    def test_a_lane_paused_meanwhile_leaves_the_batch_planned(self, desk: Desk) -> None:
        class PausedMeanwhile(FakeChain):
            """A person pauses the lane while gas is measured."""

            def estimate_gas(self, *call: object, block: int | None = None) -> object:
                pause(desk)
                return self.gas_estimate

        add_plan(desk, b"\x01")
        assert assign(desk, PausedMeanwhile()) == 0
        assert batches(desk) == {b"\x01": BatchState.PLANNED}
        assert desk.attempts() == []


def pause(desk: Desk) -> None:
    with unit_of_work(merchant=desk.merchant) as session:
        session.get_one(NonceLane, desk.lane_id).state = LaneState.PAUSED


class TestRelease:
    def test_a_held_batch_is_tried_again_with_the_same_bytes(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        fake.refusal = REVERT
        assign(desk, fake)
        fake.refusal = None
        with unit_of_work(merchant=desk.merchant) as session:
            batch = session.scalars(select(Batch)).one()
            chain_key = batch.chain_key
            sending.release(session, batch.id, at=NOW)
        assert assign(desk, fake) == 1
        assert signed_data(desk) == [b"\x01"]
        with unit_of_work(merchant=desk.merchant) as session:
            assert session.scalars(select(Batch.chain_key)).all() == [chain_key]

    def test_a_batch_that_was_signed_is_never_signed_again(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        assign(desk, fake)
        with unit_of_work(merchant=desk.merchant) as session:
            batch = session.scalars(select(Batch)).one()
            batch.state, batch.plan.state = BatchState.HELD, PlanState.HELD
            sending.release(session, batch.id, at=NOW)
        assert batches(desk) == {b"\x01": BatchState.HELD}
        assert assign(desk, fake) == 0

    def test_an_unknown_batch_is_not_found(self, desk: Desk) -> None:
        with (
            unit_of_work(merchant=desk.merchant) as session,
            pytest.raises(BatchNotFoundError),
        ):
            sending.release(session, BatchId(new_id()), at=NOW)


def forget_approval(desk: Desk, data: bytes) -> None:
    """As if a plan had been frozen without its approvals."""
    with unit_of_work(merchant=desk.merchant) as session, acting_as(session):
        digest = digest_of(desk.merchant, Call(CHAIN_ID, PASS_ADDRESS, data))
        session.execute(delete(Approval).where(Approval.digest == digest))


class TestSigner:
    def test_what_it_refuses_is_held_and_keeps_nobody_waiting(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        add_plan(desk, b"\x02", contract="0x" + "11" * 20)
        forget_approval(desk, b"\x01")
        assert assign(desk, FakeChain()) == 1
        assert batches(desk) == {b"\x01": BatchState.HELD, b"\x02": BatchState.ASSIGNED}
        with unit_of_work(merchant=desk.merchant) as session:
            held = session.scalars(select(Batch).where(Batch.state == BatchState.HELD)).one()
            assert held.held_reason == "the signer refuses: nobody approved this call"
            sending.release(session, held.id, at=NOW)  # whoever does that approves it
        assert assign(desk, FakeChain()) == 1
        assert sorted(signed_data(desk)) == [b"\x01", b"\x02"]

    def test_one_that_does_not_answer_is_said_until_it_does(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        with use_signer(Silent()), pytest.raises(SignerUnavailableError):
            assign(desk, FakeChain())
        assert "signer does not answer" in (reason(desk) or "")
        assert (desk.attempts(), desk.lane().next_nonce) == ([], 0)
        assert assign(desk, FakeChain()) == 1
        assert reason(desk) is None


class Silent:
    """A signer that is not there."""

    def ask(self, *_: object) -> Answer:
        raise SignerUnavailableError("FileNotFoundError")


def reason(desk: Desk) -> str | None:
    with unit_of_work(merchant=desk.merchant) as session:
        return sending.blocking_reason(session, session.scalars(select(Plan)).one())


class TestFunds:
    def test_without_enough_for_the_worst_case_no_nonce_is_taken(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        fake.money = Wei(66_000 * 3_000_000_000 - 1)
        assert assign(desk, fake) == 0
        assert (desk.lane().state, desk.lane().next_nonce) == (LaneState.UNFUNDED, 0)
        assert batches(desk) == {b"\x01": BatchState.PLANNED}

    def test_with_enough_it_goes_on_by_itself(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        fake = FakeChain()
        fake.money = Wei(0)
        assign(desk, fake)
        fake.money = Wei(66_000 * 3_000_000_000)
        assert assign(desk, fake) == 1
        assert (desk.lane().state, desk.lane().state_reason) == (LaneState.ACTIVE, None)

    def test_what_is_on_its_way_is_spent_already(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        add_plan(desk, b"\x02", contract=None, kind=PlanKind.IMPLEMENTATION)
        fake = FakeChain()
        fake.money = Wei(2 * 66_000 * 3_000_000_000 - 1)
        assert assign(desk, fake) == 1
        assert desk.lane().state is LaneState.UNFUNDED


class TestPausedPlans:
    def set_paused(self, desk: Desk, calldata: bytes, *, is_paused: bool) -> None:
        with unit_of_work(merchant=desk.merchant) as session:
            batch = session.scalars(select(Batch).where(Batch.calldata == calldata)).one()
            sending.set_paused(session, batch.plan, is_paused=is_paused)

    def test_are_not_signed_until_they_go_on(self, desk: Desk) -> None:
        add_plan(desk, b"\x01")
        self.set_paused(desk, b"\x01", is_paused=True)
        fake = FakeChain()
        assert assign(desk, fake) == 0
        self.set_paused(desk, b"\x01", is_paused=False)
        assert assign(desk, fake) == 1

    def test_paused_in_the_middle_of_a_step_signs_nothing(self, desk: Desk) -> None:
        test = self

        class PausedMeanwhile(FakeChain):
            """Somebody pauses while the gas is measured."""

            def estimate_gas(self, *call: object, block: int | None = None) -> object:
                test.set_paused(desk, b"\x01", is_paused=True)
                return self.gas_estimate

        add_plan(desk, b"\x01")
        assert assign(desk, PausedMeanwhile()) == 0
        assert batches(desk) == {b"\x01": BatchState.PLANNED}

    def test_later_ones_of_the_contract_wait_and_say_why(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", kind=PlanKind.DROP)
        add_plan(desk, b"\x02", kind=PlanKind.DROP)
        self.set_paused(desk, b"\x01", is_paused=True)
        assert assign(desk, FakeChain()) == 0
        with unit_of_work(merchant=desk.merchant) as session:
            later = session.scalars(select(Batch).where(Batch.calldata == b"\x02")).one().plan
            reason = sending.blocking_reason(session, later)
        assert reason == "an earlier airdrop of the same collectible is paused"


class TestLimits:
    def limit(self, desk: Desk, **limits: int | None) -> None:
        with unit_of_work(merchant=desk.merchant) as session:
            for plan in session.scalars(select(Plan)):
                for name, value in limits.items():
                    setattr(plan, name, value)

    def reason(self, desk: Desk) -> str | None:
        with unit_of_work(merchant=desk.merchant) as session:
            return sending.blocking_reason(session, session.scalars(select(Plan)).one())

    def reasons(self, desk: Desk) -> list[str | None]:
        with unit_of_work(merchant=desk.merchant) as session:
            return list(session.scalars(select(Plan.waiting_reason).order_by(Plan.ordinal)))

    def test_dear_gas_is_waited_for(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", kind=PlanKind.DROP)
        self.limit(desk, max_fee_per_gas=2_000_000_000)
        fake = FakeChain()
        fake.base_fee = Wei(2_000_000_001)
        assert assign(desk, fake) == 0
        assert self.reason(desk) == "gas costs 2.000000001 gwei now, the airdrop pays 2 gwei"
        assert desk.lane().next_nonce == 0
        fake.base_fee = Wei(1_500_000_000)
        assert assign(desk, fake) == 1
        assert self.reason(desk) is None
        assert desk.attempts()[0].max_fee_per_gas == 2_000_000_000

    def test_no_later_fee_passes_the_limit(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", kind=PlanKind.DROP)
        self.limit(desk, max_fee_per_gas=3_100_000_000)
        fake = FakeChain()
        assign(desk, fake)
        with (
            pytest.raises(FeeCapReachedError, match="3100000000"),
            unit_of_work(merchant=desk.merchant) as session,
        ):
            replacements.speed_up(session, desk.transactions()[0].id, at=NOW)

    def test_the_whole_may_cost_so_much(self, desk: Desk) -> None:
        with unit_of_work(merchant=desk.merchant) as session:
            make_plan(session, b"\x01", b"\x02", subject_id=new_id(), contract=PASS_ADDRESS)
        fake = FakeChain()
        self.limit(desk, max_total=66_000 * 2_000_000_000)
        assert assign(desk, fake) == 1
        assert desk.attempts()[0].max_fee_per_gas == 2_000_000_000
        watch(desk, fake)
        fake.mine()
        watch(desk, fake)
        paid = desk.transactions()[0].fee_paid or 0
        self.limit(desk, max_total=paid + 66_000 * fake.base_fee - 1)
        assert assign(desk, fake) == 0
        assert "would pass the airdrop's limit" in (self.reason(desk) or "")
        self.limit(desk, max_total=paid + 66_000 * fake.base_fee)
        assert assign(desk, fake) == 1
        assert desk.attempts()[1].max_fee_per_gas == fake.base_fee

    def test_collectibles_of_one_airdrop_take_turns_under_it(self, desk: Desk) -> None:
        run = new_id()
        with unit_of_work(merchant=desk.merchant) as session:
            for number in (1, 2):
                make_plan(session, bytes([number]), subject_id=run, contract=f"0x{number:040x}")
        fake = FakeChain()
        self.limit(desk, max_total=2 * 66_000 * 3_000_000_000)
        assert [assign(desk, fake) for _ in range(2)] == [1, 0]
        assert self.reasons(desk) == [None, None]  # a turn is no reason to worry
        watch(desk, fake)
        fake.mine()
        watch(desk, fake)
        assert assign(desk, fake) == 1
        assert signed_data(desk) == [b"\x01", b"\x02"]

    def test_without_it_they_go_at_once(self, desk: Desk) -> None:
        run = new_id()
        with unit_of_work(merchant=desk.merchant) as session:
            for number in (1, 2):
                make_plan(session, bytes([number]), subject_id=run, contract=f"0x{number:040x}")
        assert assign(desk, FakeChain()) == 2

    def test_a_poor_relayer_is_named(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", kind=PlanKind.DROP)
        fake = FakeChain()
        fake.money = Wei(1)
        assert assign(desk, fake) == 0
        assert "fund it" in (self.reason(desk) or "")
        fake.money = Wei(10**18)
        assert assign(desk, fake) == 1
        assert self.reason(desk) is None


class TestIssuer:
    """Plans of the issuer are its own lane's; what keeps one account keeps no other."""

    def test_each_account_signs_its_own(self, desk: Desk) -> None:
        issuer = make_desk(desk.merchant, role=LaneRole.ISSUER)
        add_plan(desk, b"\x01")
        add_plan(desk, b"\x02", sender=LaneRole.ISSUER)
        fake = FakeChain()
        assert assign(desk, fake) == 1
        assert batches(desk) == {b"\x01": BatchState.ASSIGNED, b"\x02": BatchState.PLANNED}
        assert assign(desk, fake, sender=LaneRole.ISSUER) == 1
        senders = {decode(it.raw).data: decode(it.raw).sender for it in desk.attempts()}
        assert senders == {b"\x01": desk.lane().address, b"\x02": issuer.lane().address}

    def test_an_issuer_without_money_holds_up_no_airdrop(self, desk: Desk) -> None:
        issuer = make_desk(desk.merchant, role=LaneRole.ISSUER)
        add_plan(desk, b"\x01", sender=LaneRole.ISSUER)
        add_plan(desk, b"\x02")
        fake = FakeChain()
        fake.money = Wei(0)
        assert assign(desk, fake, sender=LaneRole.ISSUER) == 0
        assert issuer.lane().state is LaneState.UNFUNDED
        fake.money = Wei(10**18)
        assert assign(desk, fake) == 1
        assert batches(desk) == {b"\x01": BatchState.PLANNED, b"\x02": BatchState.ASSIGNED}

    def test_without_a_lane_its_plans_wait(self, desk: Desk) -> None:
        add_plan(desk, b"\x01", sender=LaneRole.ISSUER)
        assert [assign(desk, FakeChain(), sender=role) for role in LaneRole] == [0, 0]
        assert batches(desk) == {b"\x01": BatchState.PLANNED}

    def test_what_was_held_is_approved_for_its_own_signer(self, desk: Desk) -> None:
        make_desk(desk.merchant, role=LaneRole.ISSUER)
        add_plan(desk, b"\x01", sender=LaneRole.ISSUER)
        with unit_of_work(merchant=desk.merchant) as session:
            [batch] = session.scalars(select(Batch))
            batch.state, batch.plan.state = BatchState.HELD, PlanState.HELD
            assert sending.release(session, batch.id, at=NOW)
        assert assign(desk, FakeChain(), sender=LaneRole.ISSUER) == 1

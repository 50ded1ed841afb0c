"""Operations: what stands still is shown with its reason, and who may let it go on."""

import pytest
from sqlalchemy import select

from app.accounts.models import Merchant, TeamRole
from chain.models import (
    Attempt,
    AttemptKind,
    LaneState,
    NonceLane,
    Outcome,
    Recovery,
    Transaction,
    TransactionState,
)
from core.db import unit_of_work
from core.ids import encode_id, new_id
from core.types import BatchId, LaneId, MerchantId, TransactionId, utc_now
from minting.models import Batch, BatchState, Plan, PlanKind, PlanState
from tests.app.conftest import Browse, browser_as
from tests.app.web.client import HTML, ORIGIN, TestClient, token_in
from tests.factories.brand import make_other_merchant
from tests.factories.chain import CHAIN_ID, enqueue, make_chain, make_intent, make_lane
from tests.factories.minting import execute, make_plan

REASON = "Execution reverted: BatchTaken()"
BUTTON = "Try again"
PAGE = "/admin/operations"


def hold(merchant: MerchantId) -> BatchId:
    """A batch of passes that was held before anything was signed."""
    with unit_of_work(merchant=merchant) as session:
        plan = make_plan(session, b"\x01", kind=PlanKind.PASSES)
        [batch] = plan.batches
        plan.state, batch.state, batch.held_reason = PlanState.HELD, BatchState.HELD, REASON
        return batch.id


def states(merchant: MerchantId) -> tuple[BatchState, str | None, PlanState]:
    with unit_of_work(merchant=merchant) as session:
        batch, plan = session.execute(select(Batch, Plan).join(Plan)).one()
        return batch.state, batch.held_reason, plan.state


HELD = (BatchState.HELD, REASON, PlanState.HELD)
FREE = (BatchState.PLANNED, None, PlanState.RUNNING)


def release_of(batch: BatchId) -> str:
    return f"{PAGE}/batches/{encode_id('bat', batch)}/release"


def resume_of(lane: LaneId) -> str:
    return f"{PAGE}/lanes/{encode_id('lan', lane)}/resume"


def press(client: TestClient, path: str) -> tuple[int, str | None]:
    """Status and target of a button on the page of operations."""
    token = token_in(client.get(PAGE, headers=HTML).text)
    answer = client.post(path, headers={"origin": ORIGIN, "x-csrf-token": token, **HTML})
    return answer.status_code, answer.headers.get("location")


@pytest.fixture(autouse=True)
def chain(merchant: Merchant) -> None:
    """A chain that does not answer; no lane yet."""
    with unit_of_work(merchant=merchant.id) as session:
        make_chain(session)


@pytest.fixture
def held(merchant: Merchant, chain: None) -> BatchId:
    """A held batch of the merchant."""
    return hold(merchant.id)


@pytest.fixture
def theirs(merchant: Merchant, chain: None) -> tuple[MerchantId, BatchId]:
    """A held batch of another merchant."""
    other = make_other_merchant(merchant)
    return other, hold(other)


class TestHeldBatch:
    def test_is_shown_with_what_it_is_its_reason_and_a_button(
        self, admin: TestClient, held: BatchId
    ) -> None:
        page = admin.get(PAGE, headers=HTML).text
        assert "Held: Passes · 1 member" in page
        assert REASON in page and BUTTON in page
        assert f'action="{release_of(held)}"' in page

    def test_is_named_on_the_first_page(self, admin: TestClient, held: BatchId) -> None:
        assert REASON in admin.get("/admin", headers=HTML).text

    def test_without_one_there_is_nothing_to_try_again(self, admin: TestClient) -> None:
        page = admin.get(PAGE, headers=HTML).text
        assert "Held:" not in page and BUTTON not in page

    def test_of_another_merchant_is_not_shown(
        self, admin: TestClient, theirs: tuple[MerchantId, BatchId]
    ) -> None:
        assert REASON not in admin.get(PAGE, headers=HTML).text

    def end(self, merchant: MerchantId, batch_id: BatchId, outcome: Outcome) -> None:
        """The batch was signed before it was held, and its transaction ended like this."""
        with unit_of_work(merchant=merchant) as session:
            batch = session.get_one(Batch, batch_id)
            execute(session, make_lane(session).id, batch, outcome)
            batch.state = BatchState.HELD

    def test_whose_transaction_came_to_nothing_has_its_button(
        self, admin: TestClient, merchant: Merchant, held: BatchId
    ) -> None:
        self.end(merchant.id, held, Outcome.CANCELLED)
        assert BUTTON in admin.get(PAGE, headers=HTML).text
        assert press(admin, release_of(held)) == (303, PAGE)
        assert states(merchant.id) == FREE

    def test_that_the_chain_refused_has_no_button_and_says_why(
        self, admin: TestClient, merchant: Merchant, held: BatchId
    ) -> None:
        self.end(merchant.id, held, Outcome.REVERTED)
        page = admin.get(PAGE, headers=HTML).text
        assert "cannot be sent again" in page and BUTTON not in page
        assert press(admin, release_of(held)) == (303, PAGE)
        assert states(merchant.id) == HELD


class TestRelease:
    def test_the_owner_lets_it_be_tried_again(
        self, admin: TestClient, merchant: Merchant, held: BatchId
    ) -> None:
        assert press(admin, release_of(held)) == (303, PAGE)
        assert states(merchant.id) == FREE
        assert BUTTON not in admin.get(PAGE, headers=HTML).text

    def test_twice_is_once(self, admin: TestClient, merchant: Merchant, held: BatchId) -> None:
        assert [press(admin, release_of(held)) for _ in range(2)] == [(303, PAGE)] * 2
        assert states(merchant.id) == FREE

    def test_so_does_an_admin(self, browse: Browse, merchant: Merchant, held: BatchId) -> None:
        client = browser_as(browse, merchant, TeamRole.ADMIN)
        assert press(client, release_of(held)) == (303, PAGE)
        assert states(merchant.id) == FREE

    @pytest.mark.parametrize("role", [TeamRole.EDITOR, TeamRole.ANALYST])
    def test_narrower_roles_are_refused(
        self, browse: Browse, merchant: Merchant, held: BatchId, role: TeamRole
    ) -> None:
        client = browser_as(browse, merchant, role)
        assert press(client, release_of(held)) == (403, None)
        assert states(merchant.id) == HELD

    def test_an_unknown_batch_does_not_exist(self, admin: TestClient, held: BatchId) -> None:
        for path in (release_of(BatchId(new_id())), f"{PAGE}/batches/bat_1/release"):
            assert press(admin, path) == (404, None)

    def test_neither_does_one_of_another_merchant(
        self, admin: TestClient, theirs: tuple[MerchantId, BatchId]
    ) -> None:
        other, batch = theirs
        assert press(admin, release_of(batch)) == (404, None)
        assert states(other) == HELD


class TestLane:
    def pause(self, merchant: MerchantId, state: LaneState = LaneState.PAUSED) -> LaneId:
        with unit_of_work(merchant=merchant) as session:
            return make_lane(session, state=state, state_reason="out of gas money").id

    def lane(self, merchant: MerchantId) -> tuple[LaneState, str | None]:
        with unit_of_work(merchant=merchant) as session:
            lane = session.scalars(select(NonceLane).where(NonceLane.chain_id == CHAIN_ID)).one()
            return lane.state, lane.state_reason

    def test_that_is_paused_is_shown_and_resumed(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        lane = self.pause(merchant.id)
        page = admin.get(PAGE, headers=HTML).text
        assert "Out of gas money" in page and "chain does not answer" in page
        assert f'action="{resume_of(lane)}"' in page
        assert press(admin, resume_of(lane)) == (303, PAGE)
        assert self.lane(merchant.id) == (LaneState.ACTIVE, None)
        assert "/resume" not in admin.get(PAGE, headers=HTML).text

    def test_that_is_quarantined_stays_so(self, admin: TestClient, merchant: Merchant) -> None:
        lane = self.pause(merchant.id, LaneState.QUARANTINED)
        assert "/resume" not in admin.get(PAGE, headers=HTML).text
        assert press(admin, resume_of(lane)) == (303, PAGE)
        assert self.lane(merchant.id) == (LaneState.QUARANTINED, "out of gas money")

    def test_that_recovers_says_how_far_it_is(self, admin: TestClient, merchant: Merchant) -> None:
        lane = self.pause(merchant.id, LaneState.RESTORED)
        assert "It begins with the next step" in admin.get(PAGE, headers=HTML).text
        with unit_of_work(merchant=merchant.id) as session:
            session.get_one(NonceLane, lane).state = LaneState.ACTIVE
            for number in range(3):
                enqueue(session, lane, make_intent(bytes([number])))
            session.get_one(NonceLane, lane).state = LaneState.RESTORED
            rows = session.scalars(select(Transaction).order_by(Transaction.nonce)).all()
            rows[0].state, rows[0].outcome = TransactionState.FINAL, Outcome.FORGOTTEN
            rows[0].block_number, rows[0].block_hash = 1, bytes(32)
            session.add(Recovery(lane_id=lane, first_nonce=0, target=5, next_block=0))
        page = admin.get(PAGE, headers=HTML).text
        assert "1 of 5 nonces are final" in page and "Not known here" in page
        assert "balance is too low" not in page and "/resume" not in page
        with unit_of_work(merchant=merchant.id) as session:
            rows = session.scalars(select(Transaction).order_by(Transaction.nonce)).all()
            rows[1].attempts[0].last_answer = "insufficient_funds: balance 0"
        assert "balance is too low for that; fund it" in admin.get(PAGE, headers=HTML).text
        assert press(admin, resume_of(lane)) == (303, PAGE)
        assert self.lane(merchant.id)[0] is LaneState.RESTORED

    def test_an_analyst_is_refused(self, browse: Browse, merchant: Merchant) -> None:
        lane = self.pause(merchant.id)
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        assert press(client, resume_of(lane)) == (403, None)
        assert self.lane(merchant.id)[0] is LaneState.PAUSED

    def test_an_unknown_one_and_a_strange_one_do_not_exist(
        self, admin: TestClient, merchant: Merchant
    ) -> None:
        other = make_other_merchant(merchant)
        theirs = self.pause(other)
        for lane in (theirs, LaneId(new_id())):
            assert press(admin, resume_of(lane)) == (404, None)
        assert self.lane(other)[0] is LaneState.PAUSED


class TestUnmined:
    """A transaction that is on its way, and what a person can do about it."""

    @pytest.fixture
    def row(self, merchant: Merchant) -> TransactionId:
        with unit_of_work(merchant=merchant.id) as session:
            lane = make_lane(session)
            return enqueue(session, lane.id, make_intent()).id

    def kinds(self, merchant: Merchant) -> list[AttemptKind]:
        with unit_of_work(merchant=merchant.id) as session:
            return list(session.scalars(select(Attempt.kind).order_by(Attempt.seq)))

    def path(self, row: TransactionId, act: str) -> str:
        return f"{PAGE}/transactions/{encode_id('txn', row)}/{act}"

    @pytest.mark.parametrize(
        ("act", "kind"), [("speed-up", AttemptKind.BUMP), ("cancel", AttemptKind.CANCEL)]
    )
    def test_is_sped_up_or_cancelled_by_one_attempt_more(
        self, admin: TestClient, merchant: Merchant, row: TransactionId, act: str, kind: AttemptKind
    ) -> None:
        assert self.path(row, act) in admin.get(PAGE, headers=HTML).text
        assert press(admin, self.path(row, act)) == (303, PAGE)
        assert self.kinds(merchant) == [AttemptKind.FIRST, kind]

    @pytest.mark.parametrize("act", ["speed-up", "cancel"])
    def test_an_analyst_is_refused(
        self, browse: Browse, merchant: Merchant, row: TransactionId, act: str
    ) -> None:
        client = browser_as(browse, merchant, TeamRole.ANALYST)
        assert press(client, self.path(row, act)) == (403, None)
        assert self.kinds(merchant) == [AttemptKind.FIRST]

    @pytest.mark.parametrize("act", ["speed-up", "cancel"])
    def test_what_is_in_a_block_is_left_alone(
        self, admin: TestClient, merchant: Merchant, row: TransactionId, act: str
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            found = session.get_one(Transaction, row)
            found.state, found.block_number = TransactionState.MINED, 1
            found.block_hash = bytes(32)
        assert self.path(row, act) not in admin.get(PAGE, headers=HTML).text
        assert press(admin, self.path(row, act)) == (409, None)
        assert self.kinds(merchant) == [AttemptKind.FIRST]

    @pytest.mark.parametrize("act", ["speed-up", "cancel"])
    def test_an_unknown_one_does_not_exist(
        self, admin: TestClient, merchant: Merchant, act: str
    ) -> None:
        assert press(admin, self.path(TransactionId(new_id()), act)) == (404, None)

    def test_late_is_said_once_it_is_late(
        self, admin: TestClient, merchant: Merchant, row: TransactionId
    ) -> None:
        assert "more than five minutes" in admin.get(PAGE, headers=HTML).text
        with unit_of_work(merchant=merchant.id) as session:
            session.get_one(Transaction, row).created_at = utc_now()
        assert "more than five minutes" not in admin.get(PAGE, headers=HTML).text

    def test_its_lane_is_paused_and_sent_again(
        self, admin: TestClient, merchant: Merchant, row: TransactionId
    ) -> None:
        with unit_of_work(merchant=merchant.id) as session:
            found = session.get_one(Transaction, row)
            found.state, lane = TransactionState.SENT, encode_id("lan", found.lane_id)
        assert press(admin, f"{PAGE}/lanes/{lane}/pause") == (303, PAGE)
        assert "Paused by hand" in admin.get(PAGE, headers=HTML).text
        assert press(admin, f"{PAGE}/lanes/{lane}/resync") == (303, PAGE)
        with unit_of_work(merchant=merchant.id) as session:
            assert session.get_one(Transaction, row).state is TransactionState.SIGNED

"""A pass: who may run it, how far it reaches, what it may not conclude, and what it remembers."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from chain import reconciliation
from chain.client import NOTHING
from chain.errors import ChainUnavailableError, ClaimLostError, RangeUnreadableError
from chain.models import (
    Discrepancy,
    LaneReconciliation,
    NonceLane,
    Outcome,
    Rule,
    Transaction,
    TransactionState,
)
from chain.ranges import BLOCKS, CALLS, Place, open_cursor, read_whole
from chain.reconciliation import Pass
from core.db import unit_of_work
from core.types import Wei
from tests.chain.fake_ledger import GAS_PRICE, GAS_USED, Event, NodeView
from tests.chain.fakes import FakeChain
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant
from tests.factories.chain import CHAIN_ID, enqueue, make_desk, make_intent, make_lane
from tests.factories.reconciled import World, make_world
from tests.factories.wallets import CONTRACT

OWNER = "0x" + "5a" * 20


@pytest.fixture
def world(committed: None) -> World:
    """A world that was compared once, and agrees."""
    world = make_world(make_merchant().id)
    assert world.reconcile(is_full=True) == []
    return world


@pytest.fixture
def chain() -> FakeChain:
    """A chain of forty blocks with an event of a stranger's in every fourth."""
    chain = FakeChain()
    chain.mine(blocks=40)
    for block in range(0, 41, 4):
        chain.ledger.forge(Event(CONTRACT, block, OWNER), block=block)
    return chain


@pytest.fixture
def place(committed: None) -> Place:
    """The contract of the strangers' events, with a cursor at its first block."""
    place = Place(make_desk(make_merchant().id).merchant, CHAIN_ID, CONTRACT)
    with unit_of_work(merchant=place.merchant) as session:
        open_cursor(session, place, first_block=0)
    return place


def mark(place: Place) -> tuple[int | None, int | None]:
    """The bad range, as committed."""
    with unit_of_work(merchant=place.merchant) as session:
        cursor = open_cursor(session, place, first_block=0)
        return cursor.bad_first, cursor.bad_last


def tokens(chain: FakeChain, place: Place, first: int = 0, last: int = 40) -> list[int]:
    """The tokens of all events that were read."""
    return [move.token_id for part in read_whole(chain, place, first, last) for move in part.mints]


class TestRanges:
    def test_are_read_in_order_and_whole(self, chain: FakeChain, place: Place) -> None:
        assert tokens(chain, place) == list(range(0, 41, 4))
        assert tokens(chain, place, 3, 12) == [4, 8, 12]

    def test_have_so_many_blocks_at_the_most(self, chain: FakeChain, place: Place) -> None:
        chain.mine(blocks=2 * BLOCKS)
        parts = list(read_whole(chain, place, 5, 2 * BLOCKS + 20))
        assert [(part.first, part.last) for part in parts] == [
            (5, BLOCKS + 4),
            (BLOCKS + 5, 2 * BLOCKS + 4),
            (2 * BLOCKS + 5, 2 * BLOCKS + 20),
        ]

    def test_have_so_many_of_our_calls_at_the_most(self, chain: FakeChain, place: Place) -> None:
        blocks = [2, 3, 3, 5, 8, 13, 21, 22, 23, 30, 31]
        with unit_of_work(merchant=place.merchant) as session:
            lane = session.scalars(select(NonceLane)).one()
            for block in blocks:
                row = enqueue(session, lane.id, make_intent())
                row.state, row.outcome = TransactionState.FINAL, Outcome.SUCCESS
                row.block_number, row.block_hash = block, bytes(32)
        parts = list(read_whole(chain, place, 0, 40))
        assert [(part.first, part.last) for part in parts] == [(0, blocks[CALLS - 1]), (23, 40)]

    def test_a_refused_one_is_asked_in_halves(self, chain: FakeChain, place: Place) -> None:
        chain.nodes[0].most_blocks = 7
        assert tokens(chain, place) == list(range(0, 41, 4))
        asked = [params[0] for method, params in chain.nodes[0].asked if method == "eth_getLogs"]
        assert (asked[0]["fromBlock"], asked[0]["toBlock"]) == (hex(0), hex(40))
        assert (asked[1]["fromBlock"], asked[1]["toBlock"]) == (hex(0), hex(20))

    def test_the_mark_of_a_bad_one_outlives_the_failure(
        self, chain: FakeChain, place: Place
    ) -> None:
        chain.nodes.append(NodeView(chain.ledger, hidden={5}))
        with pytest.raises(RangeUnreadableError, match="block 20"):
            tokens(chain, place)
        assert mark(place) == (20, 20)

    def test_what_came_before_a_bad_one_was_read(self, chain: FakeChain, place: Place) -> None:
        chain.nodes.append(NodeView(chain.ledger, hidden={5}))
        reached = 0
        with pytest.raises(RangeUnreadableError):
            for part in read_whole(chain, place, 0, 40):
                reached = part.last
        assert reached == 19

    @pytest.mark.parametrize("height", [0, 40])
    def test_both_ends_are_the_same_block_on_every_node(
        self, chain: FakeChain, place: Place, height: int
    ) -> None:
        chain.nodes.append(NodeView(chain.ledger, wrong_hashes={height}))
        with pytest.raises(RangeUnreadableError, match=f"block {height}"):
            tokens(chain, place)

    def test_a_node_that_is_down_is_left_out_while_two_answer(
        self, chain: FakeChain, place: Place
    ) -> None:
        chain.nodes += [NodeView(chain.ledger), NodeView(chain.ledger, is_down=True)]
        assert len(tokens(chain, place)) == 11
        chain.nodes[1].is_down = True
        with pytest.raises(ChainUnavailableError):
            tokens(chain, place)


class TestClaim:
    def begin(self, world: World) -> Pass | None:
        return reconciliation.begin(
            world.merchant, CHAIN_ID, line=1, overlap=0, is_full=False, at=NOW
        )

    def test_one_pass_runs_at_a_time(self, world: World) -> None:
        first = self.begin(world)
        assert first is not None and self.begin(world) is None
        reconciliation.finish(first)
        assert self.begin(world) is not None

    def test_a_pass_that_died_is_followed_by_another_and_writes_nothing_more(
        self, world: World
    ) -> None:
        dead = self.begin(world)
        assert dead is not None
        with unit_of_work(merchant=world.merchant) as session:
            session.execute(update(LaneReconciliation).values(claimed_until=NOW))
        heir = self.begin(world)
        assert heir is not None
        with (
            pytest.raises(ClaimLostError),
            unit_of_work(merchant=world.merchant) as session,
        ):
            reconciliation.hold(session, dead)
        reconciliation.finish(dead)
        with unit_of_work(merchant=world.merchant) as session:
            reconciliation.hold(session, heir)

    def test_a_failed_pass_leaves_none_behind(self, world: World) -> None:
        world.chain.mine()
        world.chain.nodes[0].is_down = True
        world.chain.nodes.append(NodeView(world.chain.ledger))
        with pytest.raises(ChainUnavailableError):
            world.reconcile()
        world.chain.nodes[0].is_down = False
        assert world.reconcile() == []

    def test_a_merchant_without_a_relayer_has_nothing_to_compare(self, committed: None) -> None:
        assert World(make_merchant().id).reconcile() == []


class TestNotRecordedYet:
    """A drop is final on the chain, and the pipeline has not looked yet."""

    @pytest.fixture(autouse=True)
    def mined(self, world: World) -> None:
        world.drop(world.holders(2))
        world.send()
        world.chain.mine(blocks=4)

    def test_is_no_difference_while_it_is_young(self, world: World) -> None:
        assert world.reconcile() == []
        assert world.chain.blocks[-4].transactions  # the drop
        assert world.relayer().last_block == world.chain.blocks[-5].number

    def test_is_one_when_it_had_the_time_of_a_pass(self, world: World) -> None:
        world.reconcile()
        found = world.reconcile()
        severity = {difference.rule: difference.severity for difference in found}
        assert (severity[Rule.NONCES], severity[Rule.BACKWARD]) == (2, 2)
        world.settle()
        assert world.reconcile() == []

    def test_a_second_pass_at_once_gives_it_no_less_time(self, world: World) -> None:
        world.reconcile()
        world.at -= timedelta(seconds=50)
        assert world.reconcile() == []

    def test_neither_is_a_batch_that_is_not_settled(self, world: World) -> None:
        world.watch()
        assert world.reconcile() == []
        assert Rule.BACKWARD in world.rules()
        world.settle()
        assert world.reconcile() == []


class TestShortPass:
    def test_asks_only_what_became_final(self, world: World) -> None:
        world.chain.mine(blocks=10)
        asked = world.chain.nodes[0].asked
        asked.clear()
        assert world.reconcile() == []
        ranges = [params[0] for method, params in asked if method == "eth_getLogs"]
        line, depth = world.chain.finalized_number(), world.chain.final_depth
        assert {int(it["fromBlock"], 16) for it in ranges} == {line - 10 + 1 - depth}
        assert {int(it["toBlock"], 16) for it in ranges} == {line}

    def test_asks_for_no_events_while_nothing_is_new(self, world: World) -> None:
        asked = world.chain.nodes[0].asked
        asked.clear()
        assert world.reconcile() == []
        assert "eth_getLogs" not in {method for method, _ in asked}

    def test_finds_what_is_new_and_resolves_it(self, world: World) -> None:
        world.drop(world.holders(4))
        world.settle()
        world.chain.mine(blocks=3)
        hidden = world.chain.nodes[0].hidden
        hidden.add(len(world.chain.ledger.logs()) - 1)
        [forward, totals] = world.reconcile()
        assert (forward.rule, totals.rule) == (Rule.FORWARD, Rule.TOTALS)
        hidden.clear()
        assert world.reconcile() == []

    def test_looks_again_where_something_differed(self, world: World) -> None:
        hidden = world.chain.nodes[0].hidden
        hidden.add(0)
        assert Rule.FORWARD in world.rules(is_full=True)
        world.chain.mine(blocks=5)
        assert Rule.FORWARD in world.rules()
        hidden.clear()
        world.chain.mine(blocks=5)
        assert world.reconcile() == []

    def test_leaves_what_is_old_to_the_full_one(self, world: World) -> None:
        world.chain.nodes[0].hidden.add(0)
        world.chain.mine(blocks=3)
        assert world.reconcile() == []
        assert Rule.FORWARD in world.rules(is_full=True)

    def test_remembers_when_a_difference_was_first_seen_and_when_it_was_gone(
        self, world: World
    ) -> None:
        hidden = world.chain.nodes[0].hidden
        hidden.add(0)
        first = world.reconcile(is_full=True)[0].first_seen
        assert {it.first_seen for it in world.reconcile(is_full=True)} == {first}
        hidden.clear()
        world.reconcile(is_full=True)
        with unit_of_work(merchant=world.merchant) as session:
            assert {it.resolved_at for it in session.scalars(select(Discrepancy))} == {world.at}


class TestNodesThatDisagree:
    def test_are_no_finding_but_a_mark(self, world: World) -> None:
        world.chain.mine(blocks=3)
        world.chain.nodes.append(NodeView(world.chain.ledger, hidden={0}))
        assert world.reconcile(is_full=True) == []
        [bad] = [cursor for cursor in world.cursors() if cursor.problem is not None]
        assert bad.bad_first == bad.bad_last is not None
        assert "answer eth_getLogs differently" in str(bad.problem)
        assert bad.last_block < bad.bad_first
        world.chain.nodes.pop()
        assert world.reconcile() == []
        assert {cursor.problem for cursor in world.cursors()} == {None}
        assert len({cursor.last_block for cursor in world.cursors()}) == 1

    def test_about_the_block_compared_last_are_no_reason_to_begin_anew(self, world: World) -> None:
        last = world.cursors()[0].last_block
        world.chain.mine(blocks=3)
        world.chain.nodes.append(NodeView(world.chain.ledger, wrong_hashes={last}))
        assert world.reconcile() == []
        assert {cursor.last_block for cursor in world.cursors()} == {last}
        assert all("differently" in str(cursor.problem) for cursor in world.cursors())
        world.chain.nodes.pop()
        assert world.reconcile() == []
        assert {cursor.problem for cursor in world.cursors()} == {None}

    def test_a_node_that_forgot_old_states_still_tells_its_events(self, world: World) -> None:
        world.chain.nodes[0].refused |= {"eth_getTransactionCount", "eth_getBalance", "eth_call"}
        world.chain.nodes[0].hidden.add(0)
        assert Rule.FORWARD in world.rules(is_full=True)

    def test_about_the_money_are_a_problem_of_the_relayer(self, world: World) -> None:
        world.chain.mine(blocks=3)
        world.chain.nodes.append(NodeView(world.chain.ledger, refused={"eth_getBalance"}))
        assert world.reconcile(is_full=True) == []
        assert "missing trie node" in str(world.relayer().problem)
        world.chain.nodes.pop()
        assert world.reconcile(is_full=True) == []
        assert world.relayer().problem is None

    def test_a_state_that_is_gone_leaves_sums_to_a_later_pass(self, world: World) -> None:
        world.chain.ledger.supply_error = 1
        assert world.rules(is_full=True) == {Rule.TOTALS}
        world.chain.nodes[0].refused.add("eth_call")
        assert world.rules(is_full=True) == {Rule.TOTALS}
        assert {"missing trie node" in str(cursor.problem) for cursor in world.cursors()} == {True}
        world.chain.nodes[0].refused.clear()
        world.chain.ledger.supply_error = 0
        assert world.rules(is_full=True) == set()
        assert {cursor.problem for cursor in world.cursors()} == {None}


class TestTenants:
    def test_another_merchant_of_the_chain_is_compared_by_itself(self, world: World) -> None:
        other = make_other_merchant(make_merchant())
        with unit_of_work(merchant=other) as session:
            theirs = make_lane(session, base_nonce=-1).address
        world.at += timedelta(minutes=1)
        stranger = World(other, world.chain, world.at)
        assert {found.about for found in stranger.reconcile(is_full=True)} == {theirs}
        assert world.reconcile(is_full=True) == []


class TestMoney:
    def test_what_came_in_from_outside_is_added_up(self, world: World) -> None:
        before = world.relayer().received
        world.chain.mine(blocks=2)
        world.chain.ledger.flows.append((world.chain.finalized_number(), 10**17))
        assert world.reconcile() == []
        assert before is not None and world.relayer().received == before + 10**17

    def test_what_it_costs_is_not_what_came_in(self, world: World) -> None:
        before = world.relayer()
        world.drop(world.holders(2))
        world.settle()
        assert world.reconcile() == []
        after = world.relayer()
        assert after.received == before.received
        assert after.balance == Wei((before.balance or 0) - GAS_USED * GAS_PRICE)

    def test_the_data_fee_of_a_second_layer_is_a_cost(self, world: World) -> None:
        with unit_of_work(merchant=world.merchant) as session:
            row = session.scalars(select(Transaction).order_by(Transaction.nonce)).first()
            assert row is not None and row.data_fee == NOTHING
            assert row.fee_paid == GAS_USED * GAS_PRICE
            row.data_fee = Wei(7)
            assert row.fee_paid == GAS_USED * GAS_PRICE + 7
        assert world.rules(is_full=True) == {Rule.MONEY}


class TestBelowTheLine:
    def test_a_chain_that_lost_final_blocks_is_compared_anew(self, world: World) -> None:
        world.chain.reorganise(6, keeps=False)
        world.chain.mine(blocks=2)
        found = world.reconcile()
        assert {Rule.FORWARD, Rule.NONCES} <= {difference.rule for difference in found}

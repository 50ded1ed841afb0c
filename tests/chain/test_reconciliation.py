"""A pass: who may run it, how far it reaches, what it may not conclude, and what it remembers."""

import pytest
from sqlalchemy import select, update

from chain import reconciliation
from chain.client import NOTHING, ChainClient
from chain.errors import ChainUnavailableError, ClaimLostError, RangeUnreadableError
from chain.models import LaneReconciliation, Rule, Transaction
from chain.ranges import BLOCKS, CALLS, Place, open_cursor, read_whole
from chain.reconciliation import Pass
from core.db import unit_of_work
from core.types import Wei
from minting.models import Batch, BatchState
from tests.chain.fake_ledger import GAS_PRICE, GAS_USED, Event, NodeView
from tests.chain.fakes import FakeChain
from tests.chain.loopback import Loopback
from tests.conftest import NOW, make_merchant
from tests.factories.chain import CHAIN_ID, make_desk, make_lane
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

    def test_have_so_many_of_our_calls_at_the_most(self, world: World) -> None:
        calls = 0
        with unit_of_work(merchant=world.merchant) as session:
            row = session.scalars(select(Transaction).where(Transaction.to == CONTRACT)).first()
            assert row is not None
            contract = row.to
            blocks = sorted(
                session.scalars(
                    select(Transaction.block_number).where(Transaction.to == contract)
                )
            )
        assert contract is not None
        calls = len(blocks)
        assert 0 < calls < CALLS
        parts = list(read_whole(world.chain, Place(world.merchant, CHAIN_ID, contract), 0, 16))
        assert len(parts) == 1

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
        parts = read_whole(chain, place, 0, 40)
        read = []
        with pytest.raises(RangeUnreadableError):
            read.extend(part.last for part in parts)
        assert read == []  # the list is built at once, so it is looked at below
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
    def mine_unseen(self, world: World) -> None:
        """A drop is final on the chain, and the pipeline does not look."""
        world.drop(world.issue(2)[:0] or self.members(world))
        with unit_of_work(merchant=world.merchant) as session:
            session.flush()
        from minting import sending

        sending.assign_ready(world.merchant, world.chain, chain_id=CHAIN_ID, at=world.at)
        world.watch()
        world.chain.mine(blocks=4)

    def members(self, world: World) -> list:
        from minting.models import MembershipPass, PassState

        with unit_of_work(merchant=world.merchant) as session:
            query = select(MembershipPass.user_id).where(MembershipPass.state == PassState.ACTIVE)
            return list(session.scalars(query.order_by(MembershipPass.id).limit(2)))

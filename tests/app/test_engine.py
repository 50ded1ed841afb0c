"""One step does what is due, once, and stops where the chain is not the right one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import engine
from app.engine import step, workplaces
from chain.client import ChainClient
from chain.errors import ChainForgottenError, ChainUnavailableError
from chain.models import (
    Chain,
    ChainKind,
    LaneReconciliation,
    LaneRole,
    LaneState,
    NonceLane,
    Transaction,
    TransactionKind,
)
from chain.recovery import restore_all
from chain.settings import chain_settings
from core.db import Role, unit_of_work
from minting import passes
from minting.models import ContractState
from tests.chain.loopback import dead_url
from tests.conftest import NOW, make_merchant
from tests.factories.brand import make_other_merchant
from tests.factories.chain import CHAIN_ID, Desk, make_chain, make_desk
from tests.factories.engine import Installation, make_installation
from tests.factories.minting import make_plan


@pytest.fixture
def installation(committed: None, node: ChainClient) -> Installation:
    """A merchant on the development chain."""
    return make_installation(node)


def is_live(session: Session) -> bool:
    contract = passes.find_contract(session)
    return contract is not None and contract.state is ContractState.LIVE


def the_lane(session: Session) -> NonceLane:
    return session.scalars(select(NonceLane).where(NonceLane.role == LaneRole.RELAYER)).one()


def lane_states(session: Session) -> set[LaneState]:
    return set(session.scalars(select(NonceLane.state)))


class TestWorkplaces:
    def test_every_merchant_with_a_lane_is_found(self, committed: None) -> None:
        merchant = make_merchant().id
        assert workplaces() == []
        make_desk(merchant)
        assert [(place.merchant, place.chain.id) for place in workplaces()] == [
            (merchant, CHAIN_ID)
        ]


class TestDueWorkplaces:
    def test_nodes_of_others_are_asked_every_few_seconds(self, committed: None) -> None:
        make_desk(make_merchant().id)
        with unit_of_work() as session:
            session.get_one(Chain, CHAIN_ID).kind = ChainKind.EXTERNAL
        pause = chain_settings().poll_seconds
        assert [len(engine.due_workplaces(100 + t)) for t in (0, 0.5, pause, pause + 1)] == [
            1,
            0,
            1,
            0,
        ]

    def test_the_embedded_chain_is_asked_at_every_step(self, committed: None) -> None:
        make_desk(make_merchant().id)
        with unit_of_work() as session:
            session.get_one(Chain, CHAIN_ID).kind = ChainKind.EMBEDDED
        assert [len(engine.due_workplaces(100 + t)) for t in (0, 0.5)] == [1, 1]


class TestComparableWorkplaces:
    def places(self) -> int:
        return len(engine.comparable_workplaces(NOW))

    def compared(self, desk: Desk, *, minutes: int) -> None:
        """The last comparison is so long ago."""
        row = LaneReconciliation(
            lane_id=desk.lane_id, compared_at=NOW - minutes * timedelta(minutes=1)
        )
        with unit_of_work(merchant=desk.merchant) as session:
            session.merge(row)

    def test_those_that_deliver_nothing_are_compared_every_time(self, committed: None) -> None:
        desk = make_desk(make_merchant().id)
        assert self.places() == 1
        self.compared(desk, minutes=0)
        assert self.places() == 1

    def test_a_delivery_is_compared_after_five_minutes_at_the_latest(self, committed: None) -> None:
        desk = make_desk(make_merchant().id)
        with unit_of_work(merchant=desk.merchant) as session:
            make_plan(session, b"\x01")
        assert self.places() == 1
        self.compared(desk, minutes=1)
        assert self.places() == 0
        self.compared(desk, minutes=6)
        assert self.places() == 1

    def test_the_delivery_of_another_merchant_keeps_nobody_waiting(self, committed: None) -> None:
        desk = make_desk(make_merchant().id)
        self.compared(desk, minutes=1)
        with unit_of_work(merchant=make_other_merchant(make_merchant())) as session:
            make_plan(session, b"\x01")
        assert self.places() == 1


class TestRunningImports:
    def test_without_imports_there_is_none(self, committed: None) -> None:
        assert engine.running_imports() == []


class TestStep:
    def test_the_pass_contract_becomes_live(self, installation: Installation) -> None:
        installation.step_until(is_live)
        with unit_of_work(merchant=installation.merchant) as session:
            contract = passes.find_contract(session)
            assert contract is not None
            assert installation.node.code(contract.address)

    def test_the_newest_final_block_is_remembered(self, installation: Installation) -> None:
        installation.step_until(is_live)
        chain = installation.place.chain
        assert chain.final_number > 0
        assert chain.final_hash == installation.node.block_hash(chain.final_number)

    def test_many_at_once_deploy_one_contract(self, installation: Installation) -> None:
        place = installation.place

        def work(_number: int) -> None:
            step(place)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(12)))
        installation.step_until(is_live)
        with unit_of_work(merchant=installation.merchant) as session:
            lane = the_lane(session)
        assert lane.next_nonce == 1
        assert installation.node.transaction_count(lane.address) == 1

    def test_a_step_in_progress_is_not_begun_again(self, installation: Installation) -> None:
        place = installation.place
        turn = engine._turn(place.merchant, place.chain.id)
        with turn:
            step(place)
        assert installation.place.chain.final_hash is None
        with unit_of_work(merchant=installation.merchant) as session:
            assert the_lane(session).next_nonce == 0

    def test_a_chain_that_forgot_is_refused_and_nothing_is_signed(
        self, installation: Installation
    ) -> None:
        with unit_of_work(merchant=installation.merchant) as session:
            chain = session.get_one(Chain, CHAIN_ID)
            chain.final_number, chain.final_hash = 0, b"\x01" * 32
        with pytest.raises(ChainForgottenError):
            step(installation.place)
        with unit_of_work(merchant=installation.merchant) as session:
            assert the_lane(session).next_nonce == 0

    def test_after_a_failed_step_the_next_one_begins(self, installation: Installation) -> None:
        with unit_of_work(merchant=installation.merchant) as session:
            session.get_one(Chain, CHAIN_ID).final_hash = b"\x01" * 32
        with pytest.raises(ChainForgottenError):
            step(installation.place)
        with unit_of_work(merchant=installation.merchant) as session:
            session.get_one(Chain, CHAIN_ID).final_hash = None
        installation.step_until(is_live)

    def test_a_silent_external_node_is_an_error_for_the_next_try(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            make_chain(session, rpc_urls=[dead_url()], name="Down")
        make_desk(merchant)
        with unit_of_work(merchant=merchant) as session:
            make_plan(session, b"\x01")
        with pytest.raises(ChainUnavailableError, match="Down"):
            step(workplaces()[0])

    def test_what_is_silent_for_long_is_said_and_then_taken_back(
        self, installation: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        said: list[str] = []
        monkeypatch.setattr(
            engine.runs, "halt", lambda _session, _chain, *, reason: said.append(reason)
        )
        moments = iter([0.0, 9.0, 10.0, 20.0])
        monkeypatch.setattr(engine, "monotonic", lambda: next(moments))
        with monkeypatch.context() as lost:
            lost.setattr(engine, "client_for", _is_silent)
            for heard in (0, 0, 1):
                with pytest.raises(ChainUnavailableError):
                    step(installation.place)
                assert len(said) == heard
        step(installation.place)
        with monkeypatch.context() as lost:
            lost.setattr(engine, "client_for", _is_silent)
            with pytest.raises(ChainUnavailableError):
                step(installation.place)
        assert len(said) == 1 and "goes on by itself" in said[0]

    def test_an_external_chain_is_never_mined_by_us(
        self, committed: None, node: ChainClient, installation: Installation
    ) -> None:
        with unit_of_work(merchant=installation.merchant) as session:
            chain = session.get_one(Chain, CHAIN_ID)
            chain.kind, chain.rpc_urls = ChainKind.EXTERNAL, [chain_settings().local_url]
        before = node.head().number
        for _ in range(4):
            step(installation.place)
        assert node.head().number == before + 1  # the deployment's own block


def _is_silent(chain: Chain) -> ChainClient:
    raise ChainUnavailableError(chain.name, "nobody answers")


class TestRestored:
    def test_a_copy_of_the_database_recovers_and_goes_on(self, installation: Installation) -> None:
        installation.step_until(is_live)
        with unit_of_work(merchant=installation.merchant) as session:
            used = the_lane(session).next_nonce
            for lane in session.scalars(select(NonceLane)):
                lane.home = "another cluster"
        step(installation.place)
        with unit_of_work(merchant=installation.merchant) as session:
            assert lane_states(session) == {LaneState.RESTORED}
        installation.step_until(lambda session: lane_states(session) == {LaneState.ACTIVE})
        with unit_of_work(merchant=installation.merchant) as session:
            assert the_lane(session).next_nonce == used + chain_settings().in_flight

    def test_nothing_new_is_decided_meanwhile(self, installation: Installation) -> None:
        with unit_of_work(role=Role.ENGINE) as session:
            restore_all(session)
        for _ in range(3):
            step(installation.place)
        with unit_of_work(merchant=installation.merchant) as session:
            kinds = set(session.scalars(select(Transaction.kind)))
        assert kinds == {TransactionKind.NOOP}
        installation.step_until(is_live)

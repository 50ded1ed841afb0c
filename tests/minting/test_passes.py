"""Passes are queued with the member and numbered once, sorted within their batch."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chain.bindings import membership_pass as binding
from chain.models import NonceLane
from core.db import unit_of_work
from minting import passes
from minting.errors import PassContractMissingError
from minting.models import (
    Batch,
    ContractState,
    MembershipPass,
    PassContract,
    PassState,
    Plan,
    PlanKind,
)
from minting.numbers import SINGLES, pass_number, split_pass_number
from tests.conftest import NOW, make_merchant
from tests.factories.chain import make_chain, make_lane
from tests.factories.minting import (
    CID,
    activate_passes,
    list_passes,
    make_members,
    make_pass_contract,
)
from wallets.models import Wallet, WalletKind


def define(session: Session, lane: NonceLane) -> PassContract:
    return passes.define_contract(
        session, lane, name="Pass", symbol="PASS", metadata_cid=CID, at=NOW
    )


class TestDefineContract:
    def test_its_deployment_is_planned(self, session: Session) -> None:
        contract = define(session, make_lane(session))
        [plan] = session.scalars(select(Plan)).all()
        assert (plan.kind, plan.contract, plan.subject_id) == (
            PlanKind.PASS_CONTRACT,
            None,
            contract.id,
        )
        assert contract.state is ContractState.PUBLISHING

    def test_the_issuer_owns_it_and_the_lane_mints(self, session: Session) -> None:
        lane = make_lane(session)
        define(session, lane)
        issuer = session.scalars(
            select(Wallet.address).where(Wallet.kind == WalletKind.ISSUER)
        ).one()
        uri = f"ipfs://{CID}"
        [code] = session.scalars(select(Batch.calldata)).all()
        assert code == binding.deploy_data(
            owner=issuer,
            minter=lane.address,
            name="Pass",
            symbol="PASS",
            token_uri=uri,
            contract_uri=uri,
            recoverable=False,
        )

    def test_a_repeat_returns_the_first(self, session: Session) -> None:
        lane = make_lane(session)
        assert define(session, lane) is define(session, lane)
        assert len(session.scalars(select(Plan)).all()) == 1

    def test_there_is_one_issuer(self, session: Session) -> None:
        first = passes.issuer_address(session, at=NOW)
        assert passes.issuer_address(session, at=NOW) == first


class TestQueue:
    def test_every_member_has_a_pass_of_the_own_wallet(self, session: Session) -> None:
        members = make_members(session, 5)
        rows = session.execute(
            select(MembershipPass, Wallet).join(Wallet, Wallet.id == MembershipPass.wallet_id)
        ).all()
        assert {row.user_id for row, _ in rows} == set(members)
        for row, wallet in rows:
            assert (row.user_id, row.address) == (wallet.owner_id, wallet.address)
            assert (row.state, row.number, row.token_id) == (PassState.QUEUED, None, None)

    def test_nobody_needs_nothing(self, session: Session) -> None:
        passes.queue(session, [], at=NOW)
        assert passes.waiting_count(session) == 0


class TestFreezeQueue:
    def test_addresses_are_sorted_and_numbered(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session)
        make_members(session, 30)
        [plan] = passes.freeze_queue(session, at=NOW)
        session.expire_all()
        rows = list_passes(session)
        assert [row.index for row in rows] == list(range(30))
        members = [bytes.fromhex(row.address[2:]) for row in rows]
        assert members == sorted(members)
        assert plan.batches[0].calldata == binding.encode_issue(0, binding.pack_members(members))

    def test_the_passes_belong_to_the_batch(self, session: Session) -> None:
        make_chain(session)
        contract = make_pass_contract(session)
        make_members(session, 3)
        [plan] = passes.freeze_queue(session, at=NOW)
        session.expire_all()
        assert {row.batch_id for row in list_passes(session)} == {plan.batches[0].id}
        assert {row.state for row in list_passes(session)} == {PassState.MINTING}
        assert plan.batches[0].chain_key == f"issue:{contract.id}:0"
        assert plan.batches[0].recipient_count == 3
        assert plan.contract == contract.address

    def test_later_members_have_the_next_batch(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session)
        for _ in range(3):
            make_members(session, 2)
            passes.freeze_queue(session, at=NOW)
        session.expire_all()
        numbers = [row.number for row in list_passes(session)]
        assert numbers == ["0-0000", "0-0001", "1-0000", "1-0001", "2-0000", "2-0001"]
        assert list_passes(session)[3].token_id == 1 << 16 | 1
        assert passes.batch_sizes(session, [0, 1, 9]) == {0: 2, 1: 2}

    def test_more_than_a_batch_holds_is_cut(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session)
        make_members(session, passes.MAX_BATCH + 1)
        frozen = passes.freeze_queue(session, at=NOW)
        assert [plan.batches[0].recipient_count for plan in frozen] == [passes.MAX_BATCH, 1]

    def test_an_empty_queue_freezes_nothing(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session)
        assert passes.freeze_queue(session, at=NOW) == []

    def test_without_a_contract_it_is_refused(self, session: Session) -> None:
        with pytest.raises(PassContractMissingError, match="not on the chain yet"):
            passes.freeze_queue(session, at=NOW)

    def test_before_the_contract_is_live_it_is_refused(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session, state=ContractState.PUBLISHING, address=None)
        with pytest.raises(PassContractMissingError):
            passes.freeze_queue(session, at=NOW)

    def test_several_at_once_number_every_pass_once(self, committed: None) -> None:
        merchant = make_merchant().id
        with unit_of_work(merchant=merchant) as session:
            make_chain(session)
            make_pass_contract(session)
            make_members(session, 25)

        def freeze(number: int) -> None:
            with unit_of_work(merchant=merchant) as session:
                make_members(session, 2 + number)
                passes.freeze_queue(session, at=NOW)

        with ThreadPoolExecutor(5) as pool:
            list(pool.map(freeze, range(5)))
        with unit_of_work(merchant=merchant) as session:
            rows = list_passes(session)
            contract = session.scalars(select(PassContract)).one()
            frozen = session.scalar(select(func.count()).select_from(Batch))
        assert len(rows) == 45
        assert len({row.number for row in rows}) == 45
        assert {row.state for row in rows} == {PassState.MINTING}
        assert {row.batch_number for row in rows} == set(range(contract.next_batch))
        assert frozen == contract.next_batch


class TestIssuedAlone:
    def test_a_single_member_costs_less_alone(self) -> None:
        assert [passes.is_cheaper_alone(count) for count in (1, 2, 3, 1228)] == [
            True,
            False,
            False,
            False,
        ]

    def test_singles_are_numbered_without_gaps_beside_the_batches(self, session: Session) -> None:
        make_chain(session)
        contract = make_pass_contract(session)
        for count in (1, 2, 1):
            make_members(session, count)
            passes.freeze_queue(session, at=NOW)
        rows = list_passes(session)
        assert [row.number for row in rows] == ["0-0000", "0-0001", "S-0000", "S-0001"]
        assert [row.token_id for row in rows][2:] == [binding.single_pass_id(n) for n in (0, 1)]
        assert (contract.next_batch, contract.next_single) == (1, 2)

    def test_the_call_names_number_and_member(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session)
        make_members(session, 1)
        [plan] = passes.freeze_queue(session, at=NOW)
        [row] = list_passes(session)
        assert plan.batches[0].calldata == binding.encode_issue_one(0, row.address)


class TestNumbers:
    @pytest.mark.parametrize(
        ("batch", "index", "text"),
        [
            (0, 0, "0-0000"),
            (12, 345, "12-0345"),
            (SINGLES, 7, "S-0007"),
            (SINGLES + 1, 0, "S-65536"),
        ],
    )
    def test_are_read_back(self, batch: int, index: int, text: str) -> None:
        assert pass_number(batch, index) == text
        assert split_pass_number(text) == (batch, index)

    @pytest.mark.parametrize(
        "text", ["", "-", "S-", "s", "1-x", "x-1", "1" * 12 + "-1", "anna-lee"]
    )
    def test_other_text_is_none(self, text: str) -> None:
        assert split_pass_number(text) is None


class TestFreezeDue:
    def test_within_the_window_a_few_wait(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session, batch_window_seconds=60)
        make_members(session, 2)
        assert passes.freeze_due(session, at=NOW + timedelta(seconds=59)) == []

    def test_at_its_end_they_are_frozen(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session, batch_window_seconds=60)
        make_members(session, 2)
        assert len(passes.freeze_due(session, at=NOW + timedelta(seconds=60))) == 1

    def test_a_full_batch_does_not_wait(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session)
        make_members(session, passes.MAX_BATCH)
        assert len(passes.freeze_due(session, at=NOW)) == 1

    def test_with_nobody_waiting_nothing_is_due(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session)
        assert passes.freeze_due(session, at=NOW) == []

    def test_without_a_contract_everybody_waits(self, session: Session) -> None:
        make_members(session, 1)
        assert passes.freeze_due(session, at=NOW + timedelta(days=1)) == []

    def test_until_the_contract_is_live_everybody_waits(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session, state=ContractState.PUBLISHING, address=None)
        make_members(session, 1)
        assert passes.freeze_due(session, at=NOW + timedelta(days=1)) == []


class TestWaitingCount:
    def test_counts_what_is_not_on_the_chain(self, session: Session) -> None:
        make_chain(session)
        make_pass_contract(session)
        make_members(session, 2)
        activate_passes(session)
        make_members(session, 3)
        assert passes.waiting_count(session) == 3

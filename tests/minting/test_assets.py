"""Assets are drafted, published once, and deployed behind the implementation and the factory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.bindings import asset_factory, digital_asset
from chain.bindings.asset_factory import AssetArguments
from chain.bindings.create import create_address
from chain.models import Chain, NonceLane, Outcome, TransactionState
from core.errors import InvalidError
from core.ids import new_id
from core.types import AssetId
from minting import assets, passes, settlement
from minting.content import ContentStore
from minting.drafts import AssetDraft, default_symbol, draft_of
from minting.errors import AssetNotDraftError, AssetNotFoundError, PassContractMissingError
from minting.models import (
    BatchState,
    ContractState,
    DigitalAsset,
    Plan,
    PlanKind,
    PlanState,
    Transferability,
)
from tests.conftest import NOW
from tests.factories.chain import CHAIN_ID, make_chain, make_lane
from tests.factories.engine import make_media
from tests.factories.minting import execute, make_asset, make_pass_contract


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    """An empty content store."""
    return ContentStore(tmp_path)


def create(session: Session, store: ContentStore, **changes: Any) -> DigitalAsset:
    values = {"internal_name": "First tide", "title": "First Tide", **changes}
    return assets.create(session, store, AssetDraft(**values), make_media(), at=NOW)


def publish(session: Session, store: ContentStore, asset: DigitalAsset) -> None:
    assets.publish(session, store, asset, issuer_name="Brand", at=NOW)


def plans_of(session: Session, kind: PlanKind) -> list[Plan]:
    return list(session.scalars(select(Plan).where(Plan.kind == kind)))


def advance(session: Session, lane: NonceLane, *, rounds: int = 1) -> None:
    """Deployments are planned, and what was planned before is on the chain."""
    for _ in range(rounds):
        assets.advance_deployments(session, lane, at=NOW)
        for plan in session.scalars(select(Plan)):
            if plan.batches[0].state == "planned":
                execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)


class TestCreate:
    def test_a_draft_with_its_images_in_the_store(
        self, session: Session, store: ContentStore
    ) -> None:
        asset = create(session, store)
        assert (asset.state, asset.symbol) == (ContractState.DRAFT, "FIRSTTIDE")
        assert store.has(asset.image_cid)
        assert all(store.has(rendition["cid"]) for rendition in asset.renditions)

    def test_a_symbol_is_written_in_capitals(self, session: Session, store: ContentStore) -> None:
        assert create(session, store, symbol=" tide ").symbol == "TIDE"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("internal_name", ""),
            ("internal_name", "x" * 121),
            ("title", "  "),
            ("title", "x" * 81),
            ("description", "x" * 2001),
            ("symbol", "T-1"),
            ("symbol", "ABCDEFGHIJKL"),
            ("external_url", "http://example.com"),
            ("max_supply", 0),
            ("max_supply", 100_000_001),
        ],
    )
    def test_a_wrong_field_is_named(
        self, session: Session, store: ContentStore, field: str, value: object
    ) -> None:
        with pytest.raises(InvalidError) as caught:
            create(session, store, **{field: value})
        assert list(caught.value.fields) == [field]

    def test_all_wrong_fields_are_named_at_once(
        self, session: Session, store: ContentStore
    ) -> None:
        with pytest.raises(InvalidError) as caught:
            create(session, store, title="", max_supply=0)
        assert set(caught.value.fields) == {"title", "max_supply"}


class TestDefaultSymbol:
    @pytest.mark.parametrize(
        ("title", "symbol"),
        [("First Tide 2", "FIRSTTIDE2"), ("Über", "BER"), ("潮", "ASSET"), ("x" * 20, "X" * 11)],
    )
    def test_is_made_of_the_title(self, title: str, symbol: str) -> None:
        assert default_symbol(title) == symbol


class TestGet:
    def test_the_asset_is_found(self, session: Session, store: ContentStore) -> None:
        asset = create(session, store)
        assert assets.get(session, asset.id) is asset

    def test_an_unknown_one_is_refused(self, session: Session) -> None:
        with pytest.raises(AssetNotFoundError, match="no such digital asset"):
            assets.get(session, AssetId(new_id()))


class TestPublish:
    def test_documents_are_stored_and_the_deployment_is_due(
        self, session: Session, store: ContentStore
    ) -> None:
        make_chain(session)
        make_pass_contract(session)
        asset = create(session, store)
        publish(session, store, asset)
        assert (asset.state, asset.chain_id) == (ContractState.PUBLISHING, CHAIN_ID)
        assert b"First Tide" in store.read(asset.metadata_cid or "")
        assert asset.image_cid.encode() in store.read(asset.contract_cid or "")

    def test_a_second_time_is_refused(self, session: Session, store: ContentStore) -> None:
        make_chain(session)
        make_pass_contract(session)
        asset = create(session, store)
        publish(session, store, asset)
        with pytest.raises(AssetNotDraftError, match="“First Tide” is published already"):
            publish(session, store, asset)

    def test_without_a_registry_it_is_refused(self, session: Session, store: ContentStore) -> None:
        asset = create(session, store)
        with pytest.raises(PassContractMissingError):
            publish(session, store, asset)
        assert asset.state is ContractState.DRAFT


class TestAdvanceDeployments:
    def test_with_nothing_to_publish_nothing_is_planned(self, session: Session) -> None:
        advance(session, make_lane(session))
        assert session.scalars(select(Plan)).all() == []

    def test_the_implementation_comes_first_and_once(self, session: Session) -> None:
        lane = make_lane(session)
        make_pass_contract(session)
        make_asset(session, state=ContractState.PUBLISHING, address=None)
        for _ in range(3):
            assets.advance_deployments(session, lane, at=NOW)
        [plan] = session.scalars(select(Plan)).all()
        assert plan.kind is PlanKind.IMPLEMENTATION
        assert plan.batches[0].calldata == digital_asset.implementation_deploy_data()

    def test_then_the_factory_for_that_implementation(self, session: Session) -> None:
        lane = make_lane(session)
        make_pass_contract(session)
        make_asset(session, state=ContractState.PUBLISHING, address=None)
        advance(session, lane, rounds=2)
        [plan] = plans_of(session, PlanKind.FACTORY)
        implementation = create_address(lane.address, 0)
        assert plan.batches[0].calldata == asset_factory.deploy_data(implementation=implementation)

    def test_then_every_asset_through_the_factory(self, session: Session) -> None:
        lane = make_lane(session)
        make_pass_contract(session)
        made = [make_asset(session, state=ContractState.PUBLISHING, address=None) for _ in range(3)]
        advance(session, lane, rounds=4)
        chain = session.get_one(Chain, CHAIN_ID)
        assert chain.asset_implementation == create_address(lane.address, 0)
        assert chain.asset_factory == create_address(lane.address, 1)
        found = plans_of(session, PlanKind.ASSET)
        assert {plan.subject_id for plan in found} == {asset.id for asset in made}
        assert {plan.contract for plan in found} == {chain.asset_factory}
        assert len({asset.address for asset in made}) == 3

    def test_an_asset_waits_for_the_registry(self, session: Session) -> None:
        lane = make_lane(session)
        make_pass_contract(session, state=ContractState.PUBLISHING, address=None)
        asset = make_asset(session, state=ContractState.PUBLISHING, address=None)
        advance(session, lane, rounds=4)
        assert asset.address is None
        assert plans_of(session, PlanKind.ASSET) == []

    @pytest.mark.parametrize("kind", Transferability)
    def test_the_contract_is_told_whether_tokens_can_be_passed_on(
        self, session: Session, kind: Transferability
    ) -> None:
        lane = make_lane(session)
        registry = make_pass_contract(session)
        asset = make_asset(
            session, state=ContractState.PUBLISHING, address=None, transferability=kind
        )
        advance(session, lane, rounds=3)
        [plan] = plans_of(session, PlanKind.ASSET)
        arguments = AssetArguments(
            asset_id=asset.id.bytes.rjust(32, b"\0"),
            registry=registry.address,
            owner=passes.issuer_address(session, at=NOW),
            minter=lane.address,
            name=asset.title,
            symbol=asset.symbol,
            token_uri=f"ipfs://{asset.metadata_cid}",
            contract_uri=f"ipfs://{asset.contract_cid}",
            max_supply=None,
            soulbound=kind is Transferability.SOULBOUND,
        )
        assert plan.batches[0].calldata == asset_factory.encode_deploy(arguments)


class TestRefusedDeployment:
    """A draft again, with the reason; publishing it once more deploys it."""

    @pytest.fixture
    def lane(self, session: Session) -> NonceLane:
        make_pass_contract(session, chain_id=make_lane(session).chain_id)
        return session.scalars(select(NonceLane)).one()

    def published(self, session: Session, store: ContentStore, lane: NonceLane) -> DigitalAsset:
        asset = create(session, store)
        publish(session, store, asset)
        advance(session, lane, rounds=2)
        assets.advance_deployments(session, lane, at=NOW)
        return asset

    def test_goes_back_to_the_draft(
        self, session: Session, store: ContentStore, lane: NonceLane
    ) -> None:
        asset = self.published(session, store, lane)
        [plan] = plans_of(session, PlanKind.ASSET)
        execute(session, lane.id, plan.batches[0], Outcome.REVERTED)
        settlement.settle(session, at=NOW)
        assets.advance_deployments(session, lane, at=NOW)
        assert (asset.state, asset.failure) == (ContractState.DRAFT, "the contract refused it")
        assert (asset.address, asset.published_at) == (None, None)

    def test_is_published_again_as_it_is_then(
        self, session: Session, store: ContentStore, lane: NonceLane
    ) -> None:
        asset = self.published(session, store, lane)
        plan = plans_of(session, PlanKind.ASSET)[0]
        plan.batches[0].state, plan.batches[0].held_reason = BatchState.HELD, "no"
        plan.state = PlanState.HELD
        assets.advance_deployments(session, lane, at=NOW)
        draft = replace(draft_of(asset), title="Second Tide")
        assets.revise(session, store, asset, draft, None)
        publish(session, store, asset)
        assert (asset.state, asset.failure) == (ContractState.PUBLISHING, None)
        assets.advance_deployments(session, lane, at=NOW)
        first, second = plans_of(session, PlanKind.ASSET)
        assert (first.state, second.state) == (PlanState.DONE, PlanState.RUNNING)
        assert b"Second Tide" in second.batches[0].calldata

    def test_what_may_still_be_deployed_goes_on(
        self, session: Session, store: ContentStore, lane: NonceLane
    ) -> None:
        """Somebody else used its nonce: whether it is there is not known."""
        asset = self.published(session, store, lane)
        [plan] = plans_of(session, PlanKind.ASSET)
        transaction = execute(session, lane.id, plan.batches[0], Outcome.SUCCESS)
        transaction.state, transaction.outcome = TransactionState.SENT, None
        transaction.block_number = transaction.block_hash = None
        transaction.foreign_use_at = NOW
        settlement.settle(session, at=NOW)
        assert plan.state is PlanState.HELD
        assets.advance_deployments(session, lane, at=NOW)
        assert asset.state is ContractState.PUBLISHING

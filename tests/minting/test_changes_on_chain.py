"""What the issuer decides is what the contract says, on a real chain, and both sides agree."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from eth_abi.abi import decode
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.assets import queries
from app.campaigns.models import RunState
from app.campaigns.queries import find_run
from app.engine import reconcile, step
from app.rewards.models import Grant, GrantState
from chain.bindings import digital_asset, erc721
from chain.client import ChainClient
from chain.errors import RpcError
from chain.models import Discrepancy, LaneReconciliation, LaneRole, NonceLane, Transaction
from core.db import unit_of_work
from core.types import AssetId, utc_now
from minting import changes, passes
from minting.cid import cid_of_bytes
from minting.content import ContentStore
from minting.drafts import draft_of
from minting.models import Batch, DigitalAsset, Plan, PlanState, Token, TokenState, Transferability
from tests.factories.engine import Installation, make_installation
from tests.factories.minting import make_members

RECEIVER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
METADATA_UPDATE = "0x6bd5c950a8d8df17f772f5af37cb3655737899cbf903264b9795592da439661c"
"""`BatchMetadataUpdate(uint256,uint256)` of ERC-4906."""


@pytest.fixture
def installation(committed: None, node: ChainClient) -> Installation:
    """A merchant on the development chain."""
    return make_installation(node)


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    """An empty content store."""
    return ContentStore(tmp_path)


@pytest.fixture
def asset_id(installation: Installation, store: ContentStore) -> AssetId:
    """Three members have one each, which the issuer may take back."""
    with unit_of_work(merchant=installation.merchant) as session:
        make_members(session, 3, at=utc_now() - timedelta(days=1))
    installation.step_until(lambda session: passes.waiting_count(session) == 0)
    terms = {"revocable": True, "royalty_points": 100, "royalty_receiver": RECEIVER}
    asset_id = installation.publish_asset(
        store, transferability=Transferability.SOULBOUND, max_supply=10, **terms
    )
    campaign = installation.airdrop(asset_id)

    def is_delivered(session: Session) -> bool:
        run = find_run(session, campaign)
        return run is not None and run.state is RunState.COMPLETED

    installation.step_until(is_delivered)
    return asset_id


class Contract:
    """The asset's contract, asked of the node with nothing of the product in between."""

    def __init__(self, node: ChainClient, address: str) -> None:
        self._node, self.address = node, address

    def ask(self, data: bytes, *types: str) -> tuple[object, ...]:
        return decode(types, self._node.call(self.address, data))

    def royalty(self) -> tuple[object, ...]:
        """To whom, and how much of 10,000."""
        return self.ask(digital_asset.encode_royalty_info(0, 10_000), "address", "uint256")

    def metadata_updates(self) -> int:
        asked = {"address": self.address, "fromBlock": "0x0", "topics": [METADATA_UPDATE]}
        return len(self._node.admin("eth_getLogs", asked))


def is_settled(session: Session) -> bool:
    return not session.scalars(select(Plan).where(Plan.state != PlanState.DONE)).all()


def test_everything_decided_is_on_the_chain_once(
    installation: Installation, store: ContentStore, asset_id: AssetId
) -> None:
    with unit_of_work(merchant=installation.merchant) as session:
        asset = session.get_one(DigitalAsset, asset_id)
        contract = Contract(installation.node, asset.address or "")
        assert contract.royalty() == (RECEIVER.lower(), 100)
        first_metadata = asset.metadata_cid or ""
        before = installation.node.head().number
        entered = {"title": "Second Tide", "max_supply": 3, "royalty_points": 250}
        draft = replace(draft_of(asset), **entered)
        at = utc_now()
        changes.amend(session, store, asset, draft, None, issuer_name="Brand", at=at)
        tokens = session.scalars(select(Token).order_by(Token.id)).all()
        ended, kept = tokens[0], tokens[1]
        changes.revoke(session, asset, [ended.id], reason="Fraud", actor="test", at=at)
    installation.step_until(is_settled)
    for _ in range(3):
        step(installation.place)

    with unit_of_work(merchant=installation.merchant) as session:
        asset = session.get_one(DigitalAsset, asset_id)
        metadata, document = asset.metadata_cid or "", asset.contract_cid
        sent = session.scalars(
            select(NonceLane.role).join(Transaction, Transaction.lane_id == NonceLane.id)
        ).all()
        grants = {row.id: row for row in session.scalars(select(Grant))}
        states = {row.id: row.state for row in session.scalars(select(Token))}
        minted_at = session.scalar(
            select(Transaction.block_number).where(Transaction.batch_id == kept.batch_id)
        )
        snapshots = [
            len(session.scalars(queries.tokens(asset_id, block=block)).all())
            for block in ((minted_at or 0) - 1, before, installation.node.head().number)
        ]
    assert contract.ask(erc721.encode_token_uri(kept.token_id or 0), "string") == (
        f"ipfs://{metadata}",
    )
    assert contract.ask(erc721.encode_contract_uri(), "string") == (f"ipfs://{document}",)
    assert contract.ask(digital_asset.encode_max_supply(), "uint256") == (3,)
    assert contract.royalty() == (RECEIVER.lower(), 250)
    assert contract.ask(digital_asset.encode_total_supply(), "uint256") == (2,)
    with pytest.raises(RpcError):
        installation.node.call(contract.address, erc721.encode_owner_of(ended.token_id or 0))
    assert contract.metadata_updates() == 1
    for cid in (first_metadata, metadata):
        assert cid_of_bytes(store.read(cid)) == cid
    assert (states[ended.id], states[kept.id]) == (TokenState.BURNED, TokenState.OWNED)
    assert (grants[ended.grant_id].state, grants[ended.grant_id].reason) == (
        GrantState.REVOKED,
        "Fraud",
    )
    assert grants[kept.grant_id].state is GrantState.DELIVERED
    assert sent.count(LaneRole.ISSUER) == 5  # two documents, the maximum, the royalty, the token
    assert snapshots == [0, 3, 2]


def test_both_accounts_and_the_burn_agree_with_the_chain(
    installation: Installation, store: ContentStore, asset_id: AssetId
) -> None:
    with unit_of_work(merchant=installation.merchant) as session:
        asset = session.get_one(DigitalAsset, asset_id)
        token = session.scalars(select(Token).order_by(Token.id)).first()
        assert token is not None
        changes.revoke(session, asset, [token.id], reason="Fraud", actor="test", at=utc_now())
    installation.step_until(is_settled)

    def is_compared(session: Session) -> bool:
        reconcile(installation.place, is_full=True)
        done = select(LaneReconciliation).where(LaneReconciliation.full_at.is_not(None))
        return len(session.scalars(done).all()) == 2

    installation.step_until(is_compared)
    with unit_of_work(merchant=installation.merchant) as session:
        assert session.scalars(select(Discrepancy)).all() == []
        issuer = session.scalars(
            select(LaneReconciliation)
            .join(NonceLane, NonceLane.id == LaneReconciliation.lane_id)
            .where(NonceLane.role == LaneRole.ISSUER)
        ).one()
        assert (issuer.used_nonces, issuer.final_nonces) == (1, 1)


def test_a_refused_call_is_held_and_the_next_decision_takes_its_place(
    installation: Installation, store: ContentStore, asset_id: AssetId
) -> None:
    """The contract knows of more tokens than the tables say were given."""
    with unit_of_work(merchant=installation.merchant) as session:
        asset = session.get_one(DigitalAsset, asset_id)
        asset.minted_count = 0
        session.flush()
        draft = replace(draft_of(asset), max_supply=2)
        at = utc_now()
        changes.amend(session, store, asset, draft, None, issuer_name="Brand", at=at)
    installation.step_until(
        lambda session: PlanState.HELD in set(session.scalars(select(Plan.state)))
    )
    with unit_of_work(merchant=installation.merchant) as session:
        held = session.scalars(select(Batch).where(Batch.held_reason.is_not(None))).one()
        assert "not lower, or more minted" in (held.held_reason or "")
    with unit_of_work(merchant=installation.merchant) as session:
        asset = session.get_one(DigitalAsset, asset_id)
        asset.max_supply, asset.minted_count = 10, 3
        session.flush()
        draft = replace(draft_of(asset), max_supply=4)
        at = utc_now()
        changes.amend(session, store, asset, draft, None, issuer_name="Brand", at=at)
    installation.step_until(is_settled)
    contract = Contract(installation.node, asset.address or "")
    assert contract.ask(digital_asset.encode_max_supply(), "uint256") == (4,)

"""Digital assets: defined as drafts, published once as a contract of their own.

Publishing stores the documents first and then plans the deployment. The contract's address
follows from the asset's id, so a repeated publish can only arrive at the same contract.
"""

from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.bindings import asset_factory, digital_asset
from chain.bindings.asset_factory import AssetArguments, Royalty
from chain.models import Chain, NonceLane
from chain.networks import get_chain, issuer_address
from core.ids import new_id
from core.types import AssetId
from minting import deployments, plans, withdrawal
from minting.change_models import AssetVersion
from minting.content import ContentStore
from minting.drafts import AssetDraft, apply, draft_of, show
from minting.errors import (
    AssetInUseError,
    AssetNotDraftError,
    AssetNotFoundError,
    AssetTransitionError,
    PassContractMissingError,
)
from minting.media import Media
from minting.metadata import contract_document, metadata_document
from minting.models import (
    ContractState,
    DigitalAsset,
    Plan,
    PlanKind,
    PlanState,
    Transferability,
)
from minting.passes import find_contract
from minting.plans import FrozenBatch, Target

log = structlog.get_logger(__name__)


def create(
    session: Session, store: ContentStore, draft: AssetDraft, media: Media, *, at: datetime
) -> DigitalAsset:
    """A draft asset exists; its media is stored by content.

    Raises:
        InvalidError: `fields` names every field that must change.
    """
    asset = DigitalAsset(id=AssetId(new_id()), created_at=at)
    apply(session, asset, draft)
    show(store, asset, media)
    session.add(asset)
    session.flush()
    return asset


def revise(
    session: Session,
    store: ContentStore,
    asset: DigitalAsset,
    draft: AssetDraft,
    media: Media | None,
) -> None:
    """The draft is as entered; without new media it keeps its image.

    Raises:
        AssetNotDraftError: it was published before.
        InvalidError: `fields` names every field that must change.

    Locks: the asset.
    """
    session.refresh(asset, with_for_update=True)
    if asset.state is not ContractState.DRAFT:
        raise AssetNotDraftError(asset.title)
    apply(session, asset, draft)
    if media is not None:
        show(store, asset, media)
    session.flush()


def duplicate(
    session: Session, asset: DigitalAsset, *, internal_name: str, at: datetime
) -> DigitalAsset:
    """A draft like the asset, under another internal name and without its reference.

    Raises:
        InvalidError: the name is missing or too long.
    """
    draft = replace(draft_of(asset), internal_name=internal_name.strip(), reference_id=None)
    other = DigitalAsset(id=AssetId(new_id()), created_at=at)
    apply(session, other, draft)
    other.renditions, other.image_cid = list(asset.renditions), asset.image_cid
    session.add(other)
    session.flush()
    return other


def archive(session: Session, asset: DigitalAsset, *, is_in_use: bool) -> None:
    """The asset is given no more; its contract and its tokens stay what they are.

    Args:
        is_in_use: whether a campaign that is not over gives it.

    Raises:
        AssetTransitionError: it is not live.
        AssetInUseError: a campaign still gives it.

    Locks: the asset.
    """
    session.refresh(asset, with_for_update=True)
    if asset.state is not ContractState.LIVE:
        raise AssetTransitionError(asset.title, asset.state, "archived")
    if is_in_use:
        raise AssetInUseError(asset.title)
    asset.state = ContractState.ARCHIVED
    session.flush()


def restore(session: Session, asset: DigitalAsset) -> None:
    """An archived asset can be given again.

    Raises:
        AssetTransitionError: it is not archived.

    Locks: the asset.
    """
    session.refresh(asset, with_for_update=True)
    if asset.state is not ContractState.ARCHIVED:
        raise AssetTransitionError(asset.title, asset.state, "taken out of the archive")
    asset.state = ContractState.LIVE
    session.flush()


def delete(session: Session, asset: DigitalAsset, *, is_in_use: bool) -> None:
    """The team sees the asset no more; the contract of a published one, its documents and its
    tokens stay, for those who hold them and those who verify.

    Args:
        is_in_use: whether a campaign that is not over gives it.

    Raises:
        AssetTransitionError: it is being published, or deleted already.
        AssetInUseError: a campaign still gives it.

    Locks: the asset.
    """
    session.refresh(asset, with_for_update=True)
    if asset.state in (ContractState.PUBLISHING, ContractState.DELETED):
        raise AssetTransitionError(asset.title, asset.state, "deleted")
    if is_in_use:
        raise AssetInUseError(asset.title)
    if asset.state is ContractState.DRAFT:
        session.delete(asset)
    else:
        asset.state, asset.reference_id = ContractState.DELETED, None
    session.flush()


def get(session: Session, asset_id: AssetId) -> DigitalAsset:
    """The asset.

    Raises:
        AssetNotFoundError: this merchant has none with the id, or has deleted it.
    """
    asset = session.get(DigitalAsset, asset_id)
    if asset is None or asset.state is ContractState.DELETED:
        raise AssetNotFoundError(asset_id)
    return asset


def publish(
    session: Session, store: ContentStore, asset: DigitalAsset, *, issuer_name: str, at: datetime
) -> None:
    """The asset is on its way to the chain: documents stored and pinned, deployment due.

    Raises:
        AssetNotDraftError: it was published before.
        PassContractMissingError: the merchant has no registry of members to drop to.
    """
    if asset.state is not ContractState.DRAFT:
        raise AssetNotDraftError(asset.title)
    registry = find_contract(session)
    if registry is None:
        raise PassContractMissingError
    documents = Documents.of(asset, issuer_name, number=1)
    asset.metadata_cid, asset.contract_cid = documents.keep(store, asset)
    version = AssetVersion(asset_id=asset.id, number=1, created_at=at)
    version.metadata_cid, version.contract_cid = asset.metadata_cid, asset.contract_cid
    session.add(version)
    asset.chain_id = registry.chain_id
    asset.state, asset.published_at, asset.failure = ContractState.PUBLISHING, at, None


@dataclass(frozen=True)
class Documents:
    """What the chain points to: one document for every token, and one for the contract."""

    metadata: bytes
    contract: bytes

    @classmethod
    def of(cls, asset: DigitalAsset, issuer_name: str, *, number: int) -> "Documents":
        """What the asset's fields say, as version `number`."""
        metadata = metadata_document(
            name=asset.title,
            description=asset.description,
            image_cid=asset.image_cid,
            external_url=asset.external_url,
            attributes=asset.attributes,
            max_supply=asset.max_supply,
            issuer=issuer_name,
            version=number,
        )
        contract = contract_document(
            name=asset.title, description=asset.description, image_cid=asset.image_cid
        )
        return cls(metadata, contract)

    def keep(self, store: ContentStore, asset: DigitalAsset) -> tuple[str, str]:
        """Their names, once they and the image are pinned."""
        names = store.put(self.metadata), store.put(self.contract)
        for cid in (asset.image_cid, *names):
            store.pin(cid)
        return names


def advance_deployments(session: Session, lane: NonceLane, *, at: datetime) -> None:
    """Whatever the merchant's publishing assets need next on the chain is planned.

    Once a chain: the implementation, then the factory. Then each asset through the factory. One
    whose deployment is refused is a draft again, and says why.
    """
    _give_up_refused(session, lane.chain_id)
    waiting = session.scalars(
        select(DigitalAsset).where(
            DigitalAsset.state == ContractState.PUBLISHING,
            DigitalAsset.chain_id == lane.chain_id,
        )
    ).all()
    if not waiting:
        return
    chain = get_chain(session, lane.chain_id)
    if not _factory_ready(session, chain, lane, at=at):
        return
    for asset in waiting:
        if asset.address is None:
            _plan_asset(session, chain, lane, asset, at=at)


def _give_up_refused(session: Session, chain_id: int) -> None:
    """Publishing them again deploys them as they are then, under the same salt or not at all."""
    refused = session.execute(
        select(DigitalAsset, Plan)
        .join(Plan, (Plan.subject_id == DigitalAsset.id) & (Plan.kind == PlanKind.ASSET))
        .where(
            DigitalAsset.state == ContractState.PUBLISHING,
            DigitalAsset.chain_id == chain_id,
            Plan.state == PlanState.HELD,
        )
        .with_for_update(of=DigitalAsset, skip_locked=True)
    ).all()
    for asset, plan in refused:
        reason = plan.batches[0].held_reason
        withdrawal.withdraw_unsigned(session, PlanKind.ASSET, asset.id)
        if plan.state is not PlanState.DONE:
            continue  # it may be deployed yet
        asset.state, asset.failure = ContractState.DRAFT, reason
        asset.address = asset.published_at = None
        session.delete(session.get_one(AssetVersion, (asset.id, 1)))
        log.warning("asset_not_deployed", asset=str(asset.id), reason=reason)
    session.flush()


def _factory_ready(session: Session, chain: Chain, lane: NonceLane, *, at: datetime) -> bool:
    if chain.asset_factory is not None:
        return True
    implementation = deployments.deployed(session, PlanKind.IMPLEMENTATION, lane)
    if implementation is None:
        code = digital_asset.implementation_deploy_data()
        deployments.plan_once(session, PlanKind.IMPLEMENTATION, lane, code, at=at)
        return False
    chain.asset_implementation = implementation
    factory = deployments.deployed(session, PlanKind.FACTORY, lane)
    if factory is None:
        code = asset_factory.deploy_data(implementation=implementation)
        deployments.plan_once(session, PlanKind.FACTORY, lane, code, at=at)
        return False
    chain.asset_factory = factory
    return True


def _plan_asset(
    session: Session, chain: Chain, lane: NonceLane, asset: DigitalAsset, *, at: datetime
) -> None:
    registry = find_contract(session)
    if registry is None or registry.address is None:
        return
    assert chain.asset_factory and chain.asset_implementation  # ready, see above
    arguments = AssetArguments(
        asset_id=asset.id.bytes.rjust(32, b"\0"),
        registry=registry.address,
        owner=issuer_address(session, at=at),
        minter=lane.address,
        name=asset.title,
        symbol=asset.symbol,
        token_uri=f"ipfs://{asset.metadata_cid}",
        contract_uri=f"ipfs://{asset.contract_cid}",
        max_supply=asset.max_supply,
        soulbound=asset.transferability is Transferability.SOULBOUND,
        revocable=asset.revocable,
        royalty=_royalty(asset),
    )
    asset.address = asset_factory.asset_address(
        chain.asset_factory, chain.asset_implementation, arguments
    )
    batch = FrozenBatch(
        chain_key=f"deploy:{asset.id}", calldata=asset_factory.encode_deploy(arguments)
    )
    target = Target(lane.chain_id, chain.asset_factory)
    plans.freeze(session, PlanKind.ASSET, target, [batch], subject_id=asset.id, at=at)


def _royalty(asset: DigitalAsset) -> Royalty | None:
    if asset.royalty_points is None or asset.royalty_receiver is None:
        return None
    return Royalty(asset.royalty_receiver, asset.royalty_points)

"""Digital assets: defined as drafts, published once as a contract of their own.

Publishing stores the documents first and then plans the deployment. The contract's address
follows from the asset's id, so a repeated publish can only arrive at the same contract.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.bindings import asset_factory, digital_asset
from chain.bindings.asset_factory import AssetArguments
from chain.models import Chain, NonceLane
from chain.networks import get_chain
from core.errors import InvalidError
from core.ids import new_id
from core.texts import tidy
from core.types import AssetId
from minting import deployments, plans
from minting.content import ContentStore
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
    PlanKind,
    Transferability,
)
from minting.passes import find_contract, issuer_address
from minting.plans import FrozenBatch, Target

_SYMBOL = re.compile(r"[A-Z0-9]{2,11}")
_HTTPS = re.compile(r"https://[^\s/?#@\\]+([/?#]\S*)?")
_MAX_SUPPLY = 100_000_000


@dataclass(frozen=True)
class AssetDraft:
    """What a team member enters for a new asset; lengths are in characters."""

    internal_name: str
    title: str
    description: str = ""
    symbol: str = ""
    external_url: str | None = None
    attributes: Sequence[dict[str, Any]] = field(default_factory=tuple)
    max_supply: int | None = None
    transferability: Transferability = Transferability.TRANSFERABLE
    reference_id: str | None = None


def create(
    session: Session, store: ContentStore, draft: AssetDraft, media: Media, *, at: datetime
) -> DigitalAsset:
    """A draft asset exists; its media is stored by content.

    Raises:
        InvalidError: `fields` names every field that must change.
    """
    asset = DigitalAsset(id=AssetId(new_id()), created_at=at)
    _apply(session, asset, draft)
    _show(store, asset, media)
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
    _apply(session, asset, draft)
    if media is not None:
        _show(store, asset, media)
    session.flush()


def duplicate(
    session: Session, asset: DigitalAsset, *, internal_name: str, at: datetime
) -> DigitalAsset:
    """A draft like the asset, under another internal name and without its reference.

    Raises:
        InvalidError: the name is missing or too long.
    """
    names = ("title", "description", "symbol", "external_url", "max_supply", "transferability")
    copied = {name: getattr(asset, name) for name in names}
    draft = AssetDraft(internal_name.strip(), attributes=tuple(asset.attributes), **copied)
    other = DigitalAsset(id=AssetId(new_id()), created_at=at)
    _apply(session, other, draft)
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


def delete(session: Session, asset: DigitalAsset) -> None:
    """The draft is gone.

    Raises:
        AssetTransitionError: it was published; its contract cannot be taken back.

    Locks: the asset.
    """
    session.refresh(asset, with_for_update=True)
    if asset.state is not ContractState.DRAFT:
        raise AssetTransitionError(asset.title, asset.state, "deleted")
    session.delete(asset)
    session.flush()


def _apply(session: Session, asset: DigitalAsset, draft: AssetDraft) -> None:
    draft = _validated(draft)
    _refuse_twin(session, asset, draft)
    for name, value in vars(draft).items():
        setattr(asset, name, list(value) if name == "attributes" else value)


def _refuse_twin(session: Session, asset: DigitalAsset, draft: AssetDraft) -> None:
    """References are unique; a constraint holds whoever saves at the same moment."""
    is_another = (DigitalAsset.reference_id == draft.reference_id) & (DigitalAsset.id != asset.id)
    if draft.reference_id and session.scalar(select(DigitalAsset.id).where(is_another)):
        fields = {"reference_id": "Another digital asset has it. Choose a different one."}
        raise InvalidError("The digital asset cannot be saved yet.", fields=fields)


def _show(store: ContentStore, asset: DigitalAsset, media: Media) -> None:
    asset.renditions = [
        {
            "cid": store.put(rendition.data),
            "media_type": rendition.media_type,
            "width": rendition.width,
            "height": rendition.height,
        }
        for rendition in media.renditions
    ]
    asset.image_cid = store.put(media.original.data)


def _validated(draft: AssetDraft) -> AssetDraft:
    texts: dict[str, Any] = {
        name: tidy(text) for name, text in vars(draft).items() if type(text) is str
    }
    draft = replace(draft, **texts)
    symbol = draft.symbol.strip().upper() or default_symbol(draft.title)
    problems = {
        "internal_name": _length(draft.internal_name, 1, 120),
        "title": _length(draft.title, 1, 80),
        "description": _length(draft.description, 0, 2000),
        "symbol": None if _SYMBOL.fullmatch(symbol) else "Use 2 to 11 capital letters or digits.",
        "external_url": _https(draft.external_url),
        "reference_id": _length(draft.reference_id or "-", 1, 64),
        "max_supply": _supply(draft.max_supply),
    }
    fields = {name: problem for name, problem in problems.items() if problem}
    if fields:
        raise InvalidError("The digital asset cannot be saved yet.", fields=fields)
    return replace(draft, symbol=symbol)


def default_symbol(title: str) -> str:
    """A symbol made of the title's Latin letters and digits, at most 11; `ASSET` without any."""
    letters = re.sub(r"[^A-Z0-9]", "", title.upper())
    return letters[:11] if len(letters) >= 2 else "ASSET"


def _length(text: str, least: int, most: int) -> str | None:
    if len(text) < least:
        return "Fill this in."
    return f"At most {most} characters." if len(text) > most else None


def _https(url: str | None) -> str | None:
    if not url or _HTTPS.fullmatch(url):
        return None
    return "An address that begins with https:// and names its host, without spaces."


def _supply(supply: int | None) -> str | None:
    if supply is None or 1 <= supply <= _MAX_SUPPLY:
        return None
    return f"Between 1 and {_MAX_SUPPLY:,}, or empty for no limit."


def get(session: Session, asset_id: AssetId) -> DigitalAsset:
    """The asset.

    Raises:
        AssetNotFoundError: this merchant has none with the id.
    """
    asset = session.get(DigitalAsset, asset_id)
    if asset is None:
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
    asset.metadata_cid = store.put(_metadata(asset, issuer_name))
    asset.contract_cid = store.put(
        contract_document(
            name=asset.title, description=asset.description, image_cid=asset.image_cid
        )
    )
    for cid in (asset.image_cid, asset.metadata_cid, asset.contract_cid):
        store.pin(cid)
    asset.chain_id = registry.chain_id
    asset.state, asset.published_at, asset.failure = ContractState.PUBLISHING, at, None


def _metadata(asset: DigitalAsset, issuer_name: str) -> bytes:
    return metadata_document(
        name=asset.title,
        description=asset.description,
        image_cid=asset.image_cid,
        external_url=asset.external_url,
        attributes=asset.attributes,
        max_supply=asset.max_supply,
        issuer=issuer_name,
        version=asset.version,
    )


def advance_deployments(session: Session, lane: NonceLane, *, at: datetime) -> None:
    """Whatever the merchant's publishing assets need next on the chain is planned.

    Once a chain: the implementation, then the factory. Then each asset through the factory.
    """
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
    )
    asset.address = asset_factory.asset_address(
        chain.asset_factory, chain.asset_implementation, arguments
    )
    batch = FrozenBatch(
        chain_key=f"deploy:{asset.id}", calldata=asset_factory.encode_deploy(arguments)
    )
    target = Target(lane.chain_id, chain.asset_factory)
    plans.freeze(session, PlanKind.ASSET, target, [batch], subject_id=asset.id, at=at)

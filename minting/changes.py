"""What changes of a published digital asset: documents, supply, royalty, and tokens taken back.

The row says what was decided, and a plan of the issuer brings the contract there. A decision of
which nothing is signed is withdrawn by the next of its kind, so an asset that is edited ten times
in a minute costs one transaction.

References:
    ERC-4906 (`BatchMetadataUpdate`); ERC-7572 (`ContractURIUpdated`); ERC-2981.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, joinedload

from chain.bindings import digital_asset
from chain.models import LaneRole
from core.errors import InvalidError
from core.types import TokenRowId
from minting import assets, plans, withdrawal
from minting.assets import Documents
from minting.change_models import AssetVersion, TokenRevocation
from minting.content import ContentStore
from minting.drafts import AssetDraft, apply, show
from minting.errors import AssetTransitionError, NothingToRevokeError, NotRevocableError
from minting.media import Media
from minting.models import (
    BatchState,
    ContractState,
    DigitalAsset,
    Plan,
    PlanKind,
    Token,
    TokenState,
)
from minting.plans import FrozenBatch, Target

AT_ONCE = 100
"""Tokens taken back in one decision: a transaction each."""


def save(
    session: Session,
    store: ContentStore,
    asset: DigitalAsset,
    draft: AssetDraft,
    media: Media | None,
    *,
    issuer_name: str,
    at: datetime,
) -> None:
    """The asset is as entered, whether it is a draft or published; without media its image stays.

    Raises:
        As `assets.revise` and `amend`.
    """
    if asset.state is ContractState.DRAFT:
        assets.revise(session, store, asset, draft, media)
    else:
        amend(session, store, asset, draft, media, issuer_name=issuer_name, at=at)


def amend(
    session: Session,
    store: ContentStore,
    asset: DigitalAsset,
    draft: AssetDraft,
    media: Media | None,
    *,
    issuer_name: str,
    at: datetime,
) -> None:
    """The published asset is as entered; its contract follows as far as it has to.

    Symbol, transferability and revocability stay what they are, whatever the draft says. Documents
    that change get the next version; every version stays pinned.

    Raises:
        AssetTransitionError: it is not published.
        InvalidError: `fields` names every field that must change.
        IpfsUnavailableError: the node did not take a document; nothing was changed.

    Locks: the asset, then the batches of decisions that this one replaces.
    """
    session.refresh(asset, with_for_update=True)
    if asset.state not in (ContractState.LIVE, ContractState.ARCHIVED):
        raise AssetTransitionError(asset.title, asset.state, "changed")
    before = (asset.max_supply, asset.royalty_points, asset.royalty_receiver)
    kept = replace(
        draft,
        symbol=asset.symbol,
        transferability=asset.transferability,
        revocable=asset.revocable,
    )
    apply(session, asset, kept)
    if media is not None:
        show(store, asset, media)
    session.flush()
    if asset.max_supply != before[0]:
        _lower_supply(session, asset, at=at)
    if (asset.royalty_points, asset.royalty_receiver) != before[1:]:
        _set_royalty(session, asset, at=at)
    _publish_documents(session, store, asset, issuer_name, at=at)


def _lower_supply(session: Session, asset: DigitalAsset, *, at: datetime) -> None:
    assert asset.max_supply is not None  # it can be lowered only
    call = digital_asset.encode_lower_max_supply(asset.max_supply)
    withdrawal.withdraw_unsigned(session, PlanKind.SUPPLY, asset.id)
    _freeze(session, PlanKind.SUPPLY, asset, [call], at=at)


def _set_royalty(session: Session, asset: DigitalAsset, *, at: datetime) -> None:
    call = digital_asset.encode_set_royalty(asset.royalty_receiver, asset.royalty_points or 0)
    withdrawal.withdraw_unsigned(session, PlanKind.ROYALTY, asset.id)
    _freeze(session, PlanKind.ROYALTY, asset, [call], at=at)


def _publish_documents(
    session: Session, store: ContentStore, asset: DigitalAsset, issuer_name: str, *, at: datetime
) -> None:
    """A version more, if its documents say something else than the newest."""
    newest = versions(session, asset)[0]
    if store.put(Documents.of(asset, issuer_name, number=newest.number).metadata) == (
        newest.metadata_cid
    ):
        return
    documents = Documents.of(asset, issuer_name, number=newest.number + 1)
    asset.metadata_cid, asset.contract_cid = documents.keep(store, asset)
    withdrawal.withdraw_unsigned(session, PlanKind.DOCUMENTS, asset.id)
    calls = [digital_asset.encode_set_token_uri(f"ipfs://{asset.metadata_cid}")]
    if asset.contract_cid != _contract_cid_to_be(session, asset):
        calls.append(digital_asset.encode_set_contract_uri(f"ipfs://{asset.contract_cid}"))
    plan = _freeze(session, PlanKind.DOCUMENTS, asset, calls, at=at)
    session.add(
        AssetVersion(
            asset_id=asset.id,
            number=newest.number + 1,
            metadata_cid=asset.metadata_cid,
            contract_cid=asset.contract_cid,
            plan_id=plan.id,
            created_at=at,
        )
    )
    session.flush()


def versions(session: Session, asset: DigitalAsset) -> Sequence[AssetVersion]:
    """Every version of the asset's documents with its plan, the newest first."""
    query = (
        select(AssetVersion)
        .where(AssetVersion.asset_id == asset.id)
        .order_by(AssetVersion.number.desc())
        .options(joinedload(AssetVersion.plan).selectinload(Plan.batches))
    )
    return session.scalars(query.execution_options(populate_existing=True)).all()


def is_withdrawn(version: AssetVersion) -> bool:
    """Whether a later version took its place before anything of it was signed."""
    batches = version.plan.batches if version.plan is not None else []
    return any(batch.state is BatchState.CANCELLED for batch in batches)


def _contract_cid_to_be(session: Session, asset: DigitalAsset) -> str:
    """The contract's document once everything that goes on has happened."""
    return next(it.contract_cid for it in versions(session, asset) if not is_withdrawn(it))


def revoke(
    session: Session,
    asset: DigitalAsset,
    tokens: Sequence[TokenRowId],
    *,
    reason: str,
    actor: str,
    at: datetime,
) -> int:
    """These tokens end, once the chain confirms it; those that are ending already are left alone.

    Args:
        tokens: at most `AT_ONCE`.

    Returns:
        How many tokens will end.

    Raises:
        NotRevocableError: the contract gives nobody the right.
        InvalidError: the reason is missing or too long, or these are too many.
        NothingToRevokeError: none of them is owned and left alone.

    Locks: the asset.
    """
    session.refresh(asset, with_for_update=True)
    if not asset.revocable:
        raise NotRevocableError(asset.title)
    if not 1 <= len(reason.strip()) <= 500:
        raise _refusal("reason", "Say why, in at most 500 characters.")
    if len(tokens) > AT_ONCE:
        raise _refusal("tokens", f"At most {AT_ONCE} at once.")
    rows = session.scalars(
        select(Token)
        .where(
            Token.id.in_(tokens),
            Token.asset_id == asset.id,
            Token.state == TokenState.OWNED,
            ~exists().where(TokenRevocation.token_id == Token.id),
        )
        .order_by(Token.id)
    ).all()
    if not rows:
        raise NothingToRevokeError
    calls = [digital_asset.encode_revoke(token.token_id or 0) for token in rows]
    plan = _freeze(session, PlanKind.REVOCATION, asset, calls, at=at)
    for token, batch in zip(rows, plan.batches, strict=True):
        row = TokenRevocation(token_id=token.id, batch_id=batch.id, created_at=at)
        row.reason, row.actor = reason.strip(), actor
        session.add(row)
    session.flush()
    return len(rows)


def _freeze(
    session: Session, kind: PlanKind, asset: DigitalAsset, calls: Sequence[bytes], *, at: datetime
) -> Plan:
    """The caller holds the asset, so that no two decisions of a kind have one number."""
    assert asset.chain_id is not None and asset.address is not None  # published
    decided = select(func.count()).where(Plan.kind == kind, Plan.subject_id == asset.id)
    key = f"{kind}:{asset.id}:{session.scalar(decided)}"
    batches = [FrozenBatch(f"{key}:{index}", data) for index, data in enumerate(calls)]
    target = Target(asset.chain_id, asset.address)
    return plans.freeze(
        *(session, kind, target, batches), subject_id=asset.id, sender=LaneRole.ISSUER, at=at
    )


def _refusal(field: str, sentence: str) -> InvalidError:
    return InvalidError("The tokens cannot be taken back yet.", fields={field: sentence})

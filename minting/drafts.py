"""What a team member enters of a digital asset, and which of it holds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from chain.bindings.asset_factory import MAX_ROYALTY
from core.errors import InvalidError
from core.texts import tidy
from minting.content import ContentStore
from minting.media import Media
from minting.models import ContractState, DigitalAsset, Transferability
from wallets import addresses
from wallets.addresses import ChecksumAddress
from wallets.errors import AddressInvalidError

_SYMBOL = re.compile(r"[A-Z0-9]{2,11}")
_HTTPS = re.compile(r"https://[^\s/?#@\\]+([/?#]\S*)?")
_MAX_SUPPLY = 100_000_000
_PUBLISHED = (ContractState.LIVE, ContractState.ARCHIVED)


@dataclass(frozen=True)
class AssetDraft:
    """What a team member enters of an asset; lengths are in characters.

    Args:
        revocable: the issuer may end tokens; of what members keep for good only.
        royalty_points: basis points of every sale, 0 or None for none.
    """

    internal_name: str
    title: str
    description: str = ""
    symbol: str = ""
    external_url: str | None = None
    attributes: Sequence[dict[str, Any]] = field(default_factory=tuple)
    max_supply: int | None = None
    transferability: Transferability = Transferability.TRANSFERABLE
    revocable: bool = False
    royalty_points: int | None = None
    royalty_receiver: str | None = None
    reference_id: str | None = None


def draft_of(asset: DigitalAsset) -> AssetDraft:
    """What would have to be entered to make the asset what it is."""
    return AssetDraft(**{each.name: getattr(asset, each.name) for each in fields(AssetDraft)})


def apply(session: Session, asset: DigitalAsset, draft: AssetDraft) -> None:
    """The asset is as entered.

    Raises:
        InvalidError: `fields` names every field that must change.
    """
    draft = _validated(asset, draft)
    _refuse_twin(session, asset, draft)
    for name, value in vars(draft).items():
        setattr(asset, name, list(value) if name == "attributes" else value)


def _refuse_twin(session: Session, asset: DigitalAsset, draft: AssetDraft) -> None:
    """References are unique; a constraint holds whoever saves at the same moment."""
    is_another = (DigitalAsset.reference_id == draft.reference_id) & (DigitalAsset.id != asset.id)
    if draft.reference_id and session.scalar(select(DigitalAsset.id).where(is_another)):
        wrong = {"reference_id": "Another digital asset has it. Choose a different one."}
        raise InvalidError("The digital asset cannot be saved yet.", fields=wrong)


def show(store: ContentStore, asset: DigitalAsset, media: Media) -> None:
    """The asset has this image, stored by content."""
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


def _validated(asset: DigitalAsset, draft: AssetDraft) -> AssetDraft:
    texts: dict[str, Any] = {
        name: tidy(text) for name, text in vars(draft).items() if type(text) is str
    }
    draft = replace(draft, **texts)
    symbol = draft.symbol.strip().upper() or default_symbol(draft.title)
    receiver, problem = _receiver(draft)
    problems = {
        "internal_name": _length(draft.internal_name, 1, 120),
        "title": _length(draft.title, 1, 80),
        "description": _length(draft.description, 0, 2000),
        "symbol": None if _SYMBOL.fullmatch(symbol) else "Use 2 to 11 capital letters or digits.",
        "external_url": _https(draft.external_url),
        "reference_id": _length(draft.reference_id or "-", 1, 64),
        "max_supply": _supply(asset, draft.max_supply),
        "revocable": _revocable(draft),
        "royalty_points": _royalty(draft.royalty_points),
        "royalty_receiver": problem,
    }
    wrong = {name: problem for name, problem in problems.items() if problem}
    if wrong:
        raise InvalidError("The digital asset cannot be saved yet.", fields=wrong)
    points = draft.royalty_points or None
    return replace(draft, symbol=symbol, royalty_points=points, royalty_receiver=receiver)


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


def _supply(asset: DigitalAsset, supply: int | None) -> str | None:
    """Holders were promised that there will never be more than the contract says."""
    if asset.state not in _PUBLISHED:
        if supply is None or 1 <= supply <= _MAX_SUPPLY:
            return None
        return f"Between 1 and {_MAX_SUPPLY:,}, or empty for no limit."
    least = max(1, asset.minted_count)
    most = _MAX_SUPPLY if asset.max_supply is None else asset.max_supply
    if supply == asset.max_supply or (supply is not None and least <= supply <= most):
        return None
    if asset.max_supply is not None and (supply is None or supply > most):
        return f"It can be lowered only, to {least:,} at the least; it is {most:,}."
    return f"At least {least:,}, which were given already, and at most {most:,}."


def _revocable(draft: AssetDraft) -> str | None:
    if not draft.revocable or draft.transferability is Transferability.SOULBOUND:
        return None
    return "Only what members keep for good can be taken back."


def _royalty(points: int | None) -> str | None:
    if points is None or 0 <= points <= MAX_ROYALTY:
        return None
    return f"Between 0 and {MAX_ROYALTY // 100} percent."


def _receiver(draft: AssetDraft) -> tuple[ChecksumAddress | None, str | None]:
    """Who gets the royalty, or what is wrong with that."""
    if not draft.royalty_points:
        return None, None
    if not draft.royalty_receiver:
        return None, "Enter the address that gets the royalty."
    try:
        return addresses.to_checksum(addresses.parse(draft.royalty_receiver)), None
    except AddressInvalidError as error:
        return None, error.fields["address"]

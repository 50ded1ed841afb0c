"""Proofs of ownership: the contract must be ours, the answer comes from the chain alone."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.verification import reader
from app.verification.errors import UnknownContractError
from app.verification.reader import Ownership, OwnershipStatus
from chain.models import Chain, ChainKind
from chain.networks import find_contract, get_chain, urls_of
from core.db import choose_merchant, unit_of_work
from minting.content import content_store
from minting.errors import ContentCorruptError, ContentNotFoundError
from minting.models import DigitalAsset, PassContract

_ADDRESS_DIGITS = 40
_UINT256 = 2**256
_LARGEST_CHAIN = 2**63


@dataclass(frozen=True)
class Proof:
    """What a stranger is told: the chain's answer, and whose contract it is.

    Args:
        matches: whether `claimed` owns the token; None when nobody was named.
        metadata_matches: whether the stored document is what its content id says; None without one.
    """

    merchant: Merchant
    chain: Chain
    kind: str
    title: str
    image_cid: str | None
    contract: str
    token_id: int
    ownership: Ownership
    matches: bool | None
    metadata_cid: str | None
    metadata_matches: bool | None

    @property
    def is_owned(self) -> bool:
        """True when somebody holds the token at the block that was read."""
        return self.ownership.status is OwnershipStatus.OWNED

    @property
    def explorer_url(self) -> str | None:
        """The contract in a public explorer, where the chain has one."""
        template = self.chain.explorer_url
        return None if template is None else template.replace("{address}", self.contract)

    @property
    def is_own_ledger(self) -> bool:
        """True when the chain is run by this installation itself."""
        return self.chain.kind is ChainKind.EMBEDDED


@dataclass(frozen=True)
class _Subject:
    """What our tables know of a contract before anybody asks the chain."""

    merchant: Merchant
    chain: Chain
    kind: str
    title: str
    image_cid: str | None


def prove(chain_id: int, contract: str, token: str, *, claimed: str | None) -> Proof:
    """Who owns the token, at one named block.

    The unit of work ends before the node is asked: a slow node must not hold connections to the
    database that other requests wait for.

    Raises:
        UnknownContractError: not a contract of this installation, or not an address or number.
        ChainUnavailableError: no node answers; no owner is named then.
    """
    token_id = _token_id(contract, token)
    with unit_of_work() as session:
        subject = _get_subject(session, chain_id, contract)
    found = reader.read_ownership(urls_of(subject.chain)[0], contract, token_id)
    cid = (found.token_uri or "").removeprefix("ipfs://") or None
    return Proof(
        merchant=subject.merchant,
        chain=subject.chain,
        kind=subject.kind,
        title=subject.title,
        image_cid=subject.image_cid,
        contract=contract,
        token_id=token_id,
        ownership=found,
        matches=_same(found.owner, claimed),
        metadata_cid=cid,
        metadata_matches=None if cid is None else _is_intact(cid),
    )


def _get_subject(session: Session, chain_id: int, contract: str) -> _Subject:
    is_known = 0 < chain_id < _LARGEST_CHAIN
    merchant_id = find_contract(session, chain_id, _address(contract)) if is_known else None
    if merchant_id is None:
        raise UnknownContractError(contract)
    choose_merchant(session, merchant_id)
    merchant, chain = session.get_one(Merchant, merchant_id), get_chain(session, chain_id)
    asset = session.scalar(select(DigitalAsset).where(DigitalAsset.address == contract))
    if asset is not None:
        image_cid = asset.renditions[-1]["cid"]
        return _Subject(merchant, chain, "digital_asset", asset.title, image_cid)
    registry = session.scalars(select(PassContract).where(PassContract.address == contract)).one()
    return _Subject(merchant, chain, "membership_pass", registry.name, None)


def _address(text: str) -> Any:
    digits = text.removeprefix("0x")
    is_hex = all(c in "0123456789abcdefABCDEF" for c in digits)
    if not text.startswith("0x") or len(digits) != _ADDRESS_DIGITS or not is_hex:
        raise UnknownContractError(text)
    return text


def _token_id(contract: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 78 and int(text) < _UINT256):
        raise UnknownContractError(contract)
    return int(text)


def _same(owner: str | None, claimed: str | None) -> bool | None:
    if claimed is None:
        return None
    return owner is not None and owner.lower() == claimed.strip().lower()


def _is_intact(cid: str) -> bool:
    try:
        content_store().read(cid)
    except (ContentNotFoundError, ContentCorruptError):
        return False
    return True


def as_document(proof: Proof) -> dict[str, Any]:
    """The JSON of the public API; uint256 values are text."""
    found = proof.ownership
    return {
        "status": found.status.value,
        "kind": proof.kind,
        "standard": "ERC-721",
        "chainId": proof.chain.id,
        "contract": proof.contract,
        "tokenId": str(proof.token_id),
        "owner": found.owner,
        "matches": proof.matches,
        "soulbound": found.soulbound,
        "issuer": {"name": proof.merchant.name, "contractOwner": found.contract_owner},
        "block": {
            "number": found.block.number,
            "hash": found.block.hash,
            "timestamp": found.block.timestamp.isoformat(timespec="milliseconds").replace(
                "+00:00", "Z"
            ),
        },
        "tokenUri": found.token_uri,
        "metadataCid": proof.metadata_cid,
        "metadataMatchesCid": proof.metadata_matches,
        "explorerUrl": proof.explorer_url,
        "source": "chain",
        "howToCheck": {"method": "eth_call", "to": proof.contract, "data": found.call_data},
    }

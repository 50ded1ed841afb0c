"""The verdict on a rotating code: what our tables know of the pass, and what the chain says.

Nothing of the answer is personal: a number, an address cut short, times.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from app.accounts.models import Merchant
from app.passes import checking, counting, messages
from app.passes.checking import Checked
from app.passes.tokens import Claims, Reason
from app.verification import reader
from app.verification.errors import ChainUnavailableError, ContractMissingError
from app.web.formats import iso_milliseconds, short
from chain.models import Chain
from chain.networks import get_chain, urls_of
from core.db import unit_of_work
from minting.models import MembershipPass, PassState
from minting.passes import find_contract

_SECONDS = 2.0
"""For the chain to answer: somebody stands at a counter."""


class Registration(StrEnum):
    """What is known of the pass on the chain."""

    OWNED = "owned"
    """The chain says that the wallet on record owns it."""
    PENDING = "pending"
    """It is on its way there."""
    UNVERIFIED = "unverified"
    """It was confirmed earlier, but the chain does not answer now."""


@dataclass(frozen=True)
class Registered:
    """Where the pass is registered; `block` is the one that was read."""

    status: Registration
    chain: Chain
    contract: str | None
    token_id: int
    block: int | None = None

    @property
    def explorer_url(self) -> str | None:
        """The contract in a public explorer, where the chain has one."""
        if self.chain.explorer_url is None or self.contract is None:
            return None
        return self.chain.explorer_url.replace("{address}", self.contract)


@dataclass(frozen=True)
class Verdict:
    """What a stranger is told about a code; claims are there once the signature proved them.

    Args:
        message: what the brand says to whoever checks a valid pass, by language.
    """

    reason: Reason | None
    merchant: Merchant | None = None
    claims: Claims | None = None
    holder: str | None = None
    registered: Registered | None = None
    seen_before: datetime | None = None
    message: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """True when no check found a reason against it."""
        return self.reason is None

    @property
    def is_unverified(self) -> bool:
        """True when it is valid, but the chain could not be asked."""
        registered = self.registered
        return registered is not None and registered.status is Registration.UNVERIFIED


@dataclass(frozen=True)
class Known:
    """What our tables say, before anybody asks the chain."""

    reason: Reason | None
    merchant: Merchant | None = None
    claims: Claims | None = None
    membership: MembershipPass | None = None
    registered: Registered | None = None
    seen_before: datetime | None = None
    message: Mapping[str, str] = field(default_factory=dict)


def verify(token: str, *, at: datetime) -> Verdict:
    """Whether the code shows a valid pass now.

    The unit of work ends before the node is asked: a slow node must not hold connections to the
    database that other requests wait for.
    """
    with unit_of_work() as session:
        known = look_up(session, token, at=at)
    return ask_chain(known)


def look_up(session: Session, token: str, *, at: datetime) -> Known:
    """What our tables say; the code counts as scanned."""
    checked = checking.check(session, token, at=at)
    if checked.claims is not None:
        counting.count_scan(session, at=at)
    return known_of(session, checked, at=at)


def known_of(session: Session, checked: Checked, *, at: datetime) -> Known:
    """What our tables say of a code whose signature and time were checked."""
    claims = checked.claims
    if claims is None or checked.merchant_id is None:
        return Known(checked.reason)
    merchant = session.get_one(Merchant, checked.merchant_id)
    if claims.number is None:
        # The code of a perk is for a scanner of the brand; as a pass it proves nothing.
        return Known(Reason.MALFORMED, merchant)
    if checked.reason is not None:
        return Known(checked.reason, merchant, claims)
    found = checking.check_pass(session, claims, at=at)
    seen = found.earlier.seen_at if found.earlier else None
    if found.reason is not None or found.membership is None:
        return Known(found.reason, merchant, claims, seen_before=seen)
    registered = _recorded(session, found.membership)
    said = messages.texts_of(session)
    return Known(None, merchant, claims, found.membership, registered, seen, said)


def _recorded(session: Session, membership: MembershipPass) -> Registered | None:
    contract = find_contract(session)
    if contract is None or membership.token_id is None:
        return None
    is_confirmed = membership.state is PassState.ACTIVE and contract.address is not None
    return Registered(
        Registration.UNVERIFIED if is_confirmed else Registration.PENDING,
        get_chain(session, contract.chain_id),
        contract.address,
        membership.token_id,
    )


def ask_chain(known: Known) -> Verdict:
    """The verdict, after the chain has been asked who owns a pass that was confirmed."""
    registered, reason = known.registered, known.reason
    if registered is not None and registered.status is Registration.UNVERIFIED:
        assert known.membership is not None
        registered, reason = _compare(registered, known.membership.address)
    is_shown = reason is None and known.membership is not None
    return Verdict(
        reason=reason,
        merchant=known.merchant,
        claims=known.claims,
        holder=short(known.membership.address) if is_shown and known.membership else None,
        registered=registered if reason is None else None,
        seen_before=known.seen_before,
        message=known.message if reason is None else {},
    )


def _compare(registered: Registered, address: str) -> tuple[Registered, Reason | None]:
    assert registered.contract is not None
    try:
        found = reader.read_ownership(
            urls_of(registered.chain)[0],
            registered.contract,
            registered.token_id,
            timeout=_SECONDS,
        )
    except (ChainUnavailableError, ContractMissingError):
        return registered, None
    if found.owner is None or found.owner.lower() != address.lower():
        return registered, Reason.OWNER_MISMATCH
    confirmed = Registered(
        Registration.OWNED,
        registered.chain,
        registered.contract,
        registered.token_id,
        found.block.number,
    )
    return confirmed, None


def as_document(verdict: Verdict) -> dict[str, Any]:
    """The JSON of the public API; uint256 values are text."""
    merchant, claims = verdict.merchant, verdict.claims
    return {
        "valid": verdict.is_valid,
        "reason": verdict.reason,
        "mode": merchant.mode if merchant else None,
        "brand": merchant.name if merchant else None,
        "number": claims.number if claims else None,
        "holder": verdict.holder,
        "tier": None,
        "registered": _registered_document(verdict.registered),
        "issuedAt": iso_milliseconds(claims.made_at) if claims else None,
        "expiresAt": iso_milliseconds(claims.expires_at) if claims else None,
        "seenBefore": iso_milliseconds(verdict.seen_before) if verdict.seen_before else None,
        "message": dict(verdict.message) or None,
    }


def _registered_document(registered: Registered | None) -> dict[str, Any] | None:
    if registered is None:
        return None
    return {
        "status": registered.status,
        "chainId": registered.chain.id,
        "contract": registered.contract,
        "tokenId": str(registered.token_id),
        "block": registered.block,
        "explorerUrl": registered.explorer_url,
        "source": "chain" if registered.status is Registration.OWNED else "record",
    }

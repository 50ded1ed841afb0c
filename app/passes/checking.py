"""Whether a code is valid, as far as our tables can say; the chain is asked by `app.verification`.

The checks stand in the order in which a reason is given: what cannot be read, who signed, when,
and only then what is known of the pass.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.passes import keys, queries, seen
from app.passes.seen import Earlier
from app.passes.tokens import Claims, MalformedTokenError, Reason, merchant_tag, parse
from app.users.models import User, UserState
from core.db import choose_merchant
from core.types import MerchantId
from minting.models import MembershipPass, PassState

_REFUSED_PASS = {PassState.SUSPENDED: Reason.SUSPENDED, PassState.REVOKED: Reason.REVOKED}
_REFUSED_USER = {
    UserState.BLOCKED: Reason.SUSPENDED,
    UserState.ERASED: Reason.REVOKED,
    UserState.MERGED: Reason.REVOKED,
}


@dataclass(frozen=True)
class Checked:
    """What was found.

    Args:
        reason: why it is not valid; None when it is.
        merchant_id: whose it is, once the key is known.
        claims: what it says, once the signature has proved it.
    """

    reason: Reason | None
    merchant_id: MerchantId | None = None
    claims: Claims | None = None


def check(session: Session, token: str, *, only: MerchantId | None = None, at: datetime) -> Checked:
    """Whether the code is genuine and of now; the session belongs to its merchant from here on.

    Args:
        only: the merchant whose codes are known to whoever asks; everybody's if None.
    """
    try:
        signed = parse(token)
    except MalformedTokenError:
        return Checked(Reason.MALFORMED)
    key = keys.find(session, signed.claims.key_id)
    if key is None or merchant_tag(key[0]) != signed.claims.merchant:
        return Checked(Reason.UNKNOWN_KEY)
    merchant_id, public_key = key
    if only not in (None, merchant_id):
        return Checked(Reason.UNKNOWN_KEY)
    if not signed.is_signed_by(public_key):
        return Checked(Reason.BAD_SIGNATURE, merchant_id)
    choose_merchant(session, merchant_id)
    return Checked(signed.claims.out_of_time(at), merchant_id, signed.claims)


@dataclass(frozen=True)
class CheckedPass:
    """The pass behind a code that is genuine and of now.

    Args:
        membership: None when there is none any more.
        earlier: the scan before this one, if there was one.
    """

    reason: Reason | None
    membership: MembershipPass | None
    earlier: Earlier | None


def check_pass(session: Session, claims: Claims, *, at: datetime) -> CheckedPass:
    """Whether the pass may be shown; the code is known as scanned afterwards."""
    earlier = seen.see(session, claims, at=at)
    membership = queries.find_pass(session, claims.number or "")
    if membership is None:
        return CheckedPass(Reason.REVOKED, None, earlier)
    reason = refusal_of(membership, session.get_one(User, membership.user_id))
    return CheckedPass(reason, membership, earlier)


def refusal_of(membership: MembershipPass, holder: User) -> Reason | None:
    """Why the pass does not stand, or None: it is suspended or revoked, or its holder is."""
    return _REFUSED_PASS.get(membership.state) or _REFUSED_USER.get(holder.state)

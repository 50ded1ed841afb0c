"""What was read at the counter: a perk in somebody's hands, or somebody's pass.

A perk is tried before it is shown: it is used and taken back in a savepoint, so that what the
screen promises is what validating does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.passes import checking, counting, seen
from app.passes.checking import Checked
from app.passes.tokens import Claims, MalformedTokenError, Reason, parse
from app.perks import codes, using
from app.perks.errors import AlreadyUsedError, CodeUnknownError
from app.perks.models import Channel, Holding, Perk
from app.scanning import queries
from app.scanning.errors import TokenExpiredError, TokenForgedError, TokenNotYetValidError
from app.scanning.scanner import Scanner
from app.verification import passes
from app.verification.passes import Known

_PATH = "/v/"
_SHORTEST_TOKEN = 100


@dataclass(frozen=True)
class FoundPerk:
    """A perk in a member's hands.

    Args:
        claims: the signed code it was found by, which opens it once; None for a code of a pool.
    """

    holding: Holding
    perk: Perk
    claims: Claims | None = None


@dataclass(frozen=True)
class FoundPass:
    """A pass, and what its holder could use here.

    Args:
        known: what our tables say of the pass; the chain has not been asked.
    """

    known: Known
    perks: Sequence[FoundPerk]


def read(session: Session, scanner: Scanner, text: str, *, at: datetime) -> FoundPerk | FoundPass:
    """What a camera, a hand scanner or somebody's fingers sent.

    Raises:
        TokenForgedError, TokenExpiredError, TokenNotYetValidError: a signed code that is not valid.
        CodeUnknownError: no signed code, and in no pool of the brand.
    """
    token = as_token(text)
    if token is None:
        return _of_pool(session, scanner, text, at=at)
    checked = check_token(session, scanner, token, at=at)
    assert checked.claims is not None
    counting.count_scan(session, place=scanner.place_id, at=at)
    if checked.claims.number is not None:
        return _pass(session, checked, at=at)
    found = held(session, checked.claims)
    seen.see(session, checked.claims, at=at)
    return found


def as_token(text: str) -> str | None:
    """The signed code in the text, also behind an address; None where it is something else."""
    token = text.strip().rpartition(_PATH)[2]
    try:
        parse(token)
    except MalformedTokenError:
        # Nobody types as much: it is a signed code that somebody changed.
        is_broken = _PATH in text or (len(token) >= _SHORTEST_TOKEN and "." in token)
        return token if is_broken else None
    return token


def check_token(session: Session, scanner: Scanner, token: str, *, at: datetime) -> Checked:
    """A signed code of this brand that is valid at this moment.

    Raises:
        TokenForgedError, TokenExpiredError, TokenNotYetValidError: it is not.
    """
    checked = checking.check(session, token, only=scanner.merchant.id, at=at)
    if checked.claims is None:
        raise TokenForgedError
    if checked.reason is Reason.EXPIRED:
        raise TokenExpiredError(checked.claims.expires_at)
    if checked.reason is Reason.NOT_YET_VALID:
        raise TokenNotYetValidError
    return checked


def try_out(
    session: Session, scanner: Scanner, found: FoundPerk, *, channel: Channel, at: datetime
) -> None:
    """Nothing has changed, and one use could be taken now.

    Raises:
        AlreadyUsedError: every use is taken, or this very code opened it before.
        AppError: whatever else using it would raise.
    """
    savepoint = session.begin_nested()
    try:
        if found.claims is not None and (first := seen.use(session, found.claims, at=at)):
            raise AlreadyUsedError(first)
        using.use(
            session,
            found.holding,
            channel=channel,
            actor=scanner.actor,
            place=scanner.place_id,
            device=scanner.device_name,
            at=at,
        )
    finally:
        savepoint.rollback()


def held(session: Session, claims: Claims) -> FoundPerk:
    """The perk that a signed code names.

    Raises:
        CodeUnknownError: nobody of this brand has it.
    """
    holding = session.get(Holding, claims.holding)
    if holding is None:
        raise CodeUnknownError
    return FoundPerk(holding, session.get_one(Perk, holding.perk_id), claims)


def _of_pool(session: Session, scanner: Scanner, text: str, *, at: datetime) -> FoundPerk:
    holding = codes.find(session, text)
    if holding is None:
        raise CodeUnknownError
    counting.count_scan(session, place=scanner.place_id, at=at)
    return FoundPerk(holding, session.get_one(Perk, holding.perk_id))


def _pass(session: Session, checked: Checked, *, at: datetime) -> FoundPass:
    known = passes.known_of(session, checked, at=at)
    claims, membership = checked.claims, known.membership
    if claims is None or membership is None:
        return FoundPass(known, [])
    perks = [
        FoundPerk(holding, perk, claims.for_holding(holding.id))
        for holding, perk in queries.list_usable(session, membership.user_id, at=at)
        if Channel.STAFF in using.channels_of(perk)
    ]
    return FoundPass(known, perks)

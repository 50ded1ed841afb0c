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
from app.scanning.errors import (
    CodeAmbiguousError,
    TokenExpiredError,
    TokenForgedError,
    TokenNotYetValidError,
)
from app.scanning.scanner import Scanner
from app.verification import passes
from app.verification.passes import Known
from core.errors import AppError
from core.types import PerkId

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
class FoundSeveral:
    """Perks whose pools have the same code, which one member each has."""

    perks: Sequence[FoundPerk]


@dataclass(frozen=True)
class FoundPass:
    """A pass, and what its holder could use here.

    Args:
        known: what our tables say of the pass; the chain has not been asked.
    """

    known: Known
    perks: Sequence[FoundPerk]


Found = FoundPerk | FoundSeveral | FoundPass


def read(session: Session, scanner: Scanner, text: str, *, at: datetime) -> Found:
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


def usable(
    session: Session, scanner: Scanner, found: FoundSeveral, *, channel: Channel, at: datetime
) -> list[FoundPerk]:
    """Those of which one use could be taken now; nothing has changed.

    Raises:
        AppError: none of them, and this is why the first is refused.
    """
    free: list[FoundPerk] = []
    refused: list[AppError] = []
    for perk in found.perks:
        try:
            try_out(session, scanner, perk, channel=channel, at=at)
            free.append(perk)
        except AppError as error:
            refused.append(error)
    if not free:
        raise refused[0]
    return free


def only_one(
    session: Session, scanner: Scanner, found: Found, perk_id: PerkId | None, *, at: datetime
) -> FoundPerk | FoundPass:
    """What a till means: of several the perk it names, or the only one that can be used.

    Raises:
        CodeAmbiguousError: it names none, and several could be used.
        CodeUnknownError: what it names has another code.
        AppError: none can be used.
    """
    perks = found.perks if isinstance(found, FoundSeveral) else [found]
    if perk_id is not None:
        perks = [it for it in perks if isinstance(it, FoundPerk) and it.perk.id == perk_id]
        if not perks:
            raise CodeUnknownError
    elif isinstance(found, FoundSeveral):
        perks = usable(session, scanner, found, channel=Channel.API, at=at)
        if len(perks) > 1:
            raise CodeAmbiguousError([(it.perk.id, it.perk.title) for it in perks])
    return perks[0]


def held(session: Session, claims: Claims) -> FoundPerk:
    """The perk that a signed code names.

    Raises:
        CodeUnknownError: nobody of this brand has it.
    """
    holding = session.get(Holding, claims.holding)
    if holding is None:
        raise CodeUnknownError
    return FoundPerk(holding, session.get_one(Perk, holding.perk_id), claims)


def _of_pool(
    session: Session, scanner: Scanner, text: str, *, at: datetime
) -> FoundPerk | FoundSeveral:
    holdings = codes.find(session, text)
    if not holdings:
        raise CodeUnknownError
    counting.count_scan(session, place=scanner.place_id, at=at)
    found = [FoundPerk(it, session.get_one(Perk, it.perk_id)) for it in holdings]
    return found[0] if len(found) == 1 else FoundSeveral(found)


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

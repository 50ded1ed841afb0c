"""What the scanner's screen says: one colour, one word, one sentence, and what can be done now.

Whatever is refused is an answer, too. Each function opens its own unit of work, and asks the chain
after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from app.perks.models import Channel
from app.scanning import looking, redeeming, tickets
from app.scanning.looking import FoundPass, FoundPerk, FoundSeveral
from app.scanning.scanner import Scanner
from app.verification import passes
from app.verification.passes import Verdict
from core.db import unit_of_work
from core.errors import AppError
from core.types import RedemptionId


class Colour(StrEnum):
    """What is seen from afar."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True)
class Offer:
    """A perk that can be validated now.

    Args:
        uses_left: None for no limit.
    """

    title: str
    conditions: str
    uses_left: int | None
    valid_until: datetime | None
    ticket: str


@dataclass(frozen=True)
class Answer:
    """One answer.

    Args:
        word: `found`, `several` of which one is meant, `pass`, `validated`, `undone`, or the code
            of what was refused.
        title: of the perk, where one was validated.
        uses_left: of that perk, after it; None where that is not said.
    """

    colour: Colour
    word: str
    sentence: str = ""
    title: str = ""
    uses_left: int | None = None
    offers: Sequence[Offer] = field(default=())
    verdict: Verdict | None = None


def look_up(scanner: Scanner, text: str, *, at: datetime) -> Answer:
    """What was scanned, and what can be done with it."""
    with unit_of_work(merchant=scanner.merchant.id, actor=scanner.actor) as session:
        try:
            found = looking.read(session, scanner, text, at=at)
            if isinstance(found, FoundPerk):
                return _perk(session, scanner, found, at=at)
            if isinstance(found, FoundSeveral):
                return _several(session, scanner, found, at=at)
        except AppError as error:
            # Committed all the same: the scan is counted, and its code was seen.
            return _refusal(error)
        offers = [_offer(scanner, it, at=at) for it in found.perks]
    return _pass(found, offers)


def validate(scanner: Scanner, ticket: str, *, uses: int, at: datetime) -> Answer:
    """The uses are taken, or the answer says why not."""
    try:
        with unit_of_work(merchant=scanner.merchant.id, actor=scanner.actor) as session:
            found = tickets.read(session, scanner, ticket, at=at)
            redeeming.redeem(session, scanner, found, uses=uses, channel=Channel.STAFF, at=at)
            title, left = found.perk.title, found.holding.uses_left
    except AppError as error:
        return _refusal(error)
    return Answer(Colour.GREEN, "validated", title=title, uses_left=left)


def take_back(scanner: Scanner, redemption_id: RedemptionId, *, at: datetime) -> Answer:
    """The uses are left again, or the answer says why not."""
    try:
        with unit_of_work(merchant=scanner.merchant.id, actor=scanner.actor) as session:
            redeeming.undo(session, scanner, redemption_id, at=at)
    except AppError as error:
        return _refusal(error)
    return Answer(Colour.YELLOW, "undone")


def _perk(session: Session, scanner: Scanner, found: FoundPerk, *, at: datetime) -> Answer:
    looking.try_out(session, scanner, found, channel=Channel.STAFF, at=at)
    return Answer(Colour.GREEN, "found", offers=[_offer(scanner, found, at=at)])


def _several(session: Session, scanner: Scanner, found: FoundSeveral, *, at: datetime) -> Answer:
    free = looking.usable(session, scanner, found, channel=Channel.STAFF, at=at)
    offers = [_offer(scanner, it, at=at) for it in free]
    is_one = len(offers) == 1
    return Answer(
        Colour.GREEN if is_one else Colour.YELLOW, "found" if is_one else "several", offers=offers
    )


def _offer(scanner: Scanner, found: FoundPerk, *, at: datetime) -> Offer:
    return Offer(
        title=found.perk.title,
        conditions=found.perk.conditions,
        uses_left=found.holding.uses_left,
        valid_until=found.holding.valid_until,
        ticket=tickets.write(scanner, found, at=at),
    )


def _pass(found: FoundPass, offers: Sequence[Offer]) -> Answer:
    verdict = passes.ask_chain(found.known)
    if verdict.reason is not None:
        return Answer(Colour.RED, verdict.reason, verdict=verdict)
    colour = Colour.YELLOW if verdict.is_unverified else Colour.GREEN
    return Answer(colour, "pass", offers=offers, verdict=verdict)


def _refusal(error: AppError) -> Answer:
    return Answer(Colour.RED, error.code, sentence=str(error))

"""What people choose of a perk, and what must change before it is saved or published."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from app.perks.errors import PerkInvalidError, PerkUnpublishableError
from app.perks.models import Holding, Perk, PerkPlace, PerkState, Place
from app.perks.terms import (
    UNLIMITED,
    Hours,
    Options,
    RedemptionType,
    UsedOn,
    Validity,
    placeholders,
    url_problem,
)
from core.texts import tidy
from core.types import PlaceId

MOST = 100_000_000
MOST_PER_USER = 1_000
MOST_USES = 1_000
MOST_DAYS = 3_650
MOST_PLACES = 1_000
MOST_UNDO_MINUTES = 24 * 60
_FROZEN = "Somebody has it already, so this stays. Duplicate the perk to change it."
_TAKEN = "Another perk has it. Choose a different one."


@dataclass(frozen=True)
class PerkDraft:
    """What people choose of a perk; empty limits are none."""

    internal_name: str
    title: str
    subtitle: str = ""
    description: str = ""
    reference_id: str | None = None
    total_quantity: int | None = None
    max_per_user: int | None = None
    conditions: str = ""
    redemption: RedemptionType = RedemptionType.NONE
    terms: Options = field(default_factory=Options)
    cta_label: str = ""
    cta_url: str = ""
    uses_per_holding: int | None = 1
    validity: Validity = Validity.NONE
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    valid_days: int | None = None
    hours: Hours = field(default_factory=Hours)
    undo_minutes: int = 15
    low_stock_percent: int | None = 10
    low_stock_count: int | None = None
    places: tuple[PlaceId, ...] = ()


def draft_of(session: Session, perk: Perk) -> PerkDraft:
    """The draft that would make the perk what it is."""
    same = {
        name: getattr(perk, name)
        for name in PerkDraft.__dataclass_fields__
        if name not in ("terms", "hours", "places")
    }
    places = session.scalars(select(PerkPlace.place_id).where(PerkPlace.perk_id == perk.id))
    return PerkDraft(**same, terms=perk.terms, hours=perk.hours, places=tuple(places))


def apply(session: Session, perk: Perk, draft: PerkDraft) -> None:
    """The perk is as drafted.

    Raises:
        PerkInvalidError: `fields` names what must change.
    """
    draft = _tidied(draft)
    fields = _problems(perk, draft)
    fields |= _frozen(session, perk, draft)
    fields |= twins(session, perk, draft.internal_name, reference_id=draft.reference_id)
    if fields:
        raise PerkInvalidError(fields)
    for name in PerkDraft.__dataclass_fields__:
        if name not in ("terms", "hours", "places"):
            setattr(perk, name, getattr(draft, name))
    perk.options, perk.usable_hours = draft.terms.dump(), draft.hours.dump()
    session.add(perk)
    session.flush()
    _set_places(session, perk, draft.places)


def _tidied(draft: PerkDraft) -> PerkDraft:
    """Texts as they are kept, without what its validity does not read."""
    kind = draft.validity
    texts: dict[str, Any] = {
        name: tidy(text) for name, text in vars(draft).items() if type(text) is str
    }
    return replace(
        draft,
        **texts,
        terms=replace(draft.terms, code=tidy(draft.terms.code)),
        valid_from=draft.valid_from if kind is Validity.WINDOW else None,
        valid_until=draft.valid_until if kind in (Validity.UNTIL, Validity.WINDOW) else None,
        valid_days=draft.valid_days if kind is Validity.DAYS else None,
    )


def _set_places(session: Session, perk: Perk, places: Sequence[PlaceId]) -> None:
    known = set(session.scalars(select(Place.id).where(Place.id.in_(places))))
    session.execute(delete(PerkPlace).where(PerkPlace.perk_id == perk.id))
    session.add_all(PerkPlace(perk_id=perk.id, place_id=it) for it in sorted(known))
    session.flush()


def twins(
    session: Session, perk: Perk, internal_name: str, *, reference_id: str | None = None
) -> dict[str, str]:
    """Which of these another perk of the merchant has, with what to do."""
    others = select(Perk.id).where(Perk.id != perk.id)
    is_named = (Perk.internal_name == internal_name) & Perk.state.in_(
        (PerkState.DRAFT, PerkState.LIVE)
    )
    found = {}
    if session.scalar(others.where(is_named)):
        found["internal_name"] = _TAKEN
    if reference_id and session.scalar(others.where(Perk.reference_id == reference_id)):
        found["reference_id"] = _TAKEN
    return found


def _frozen(session: Session, perk: Perk, draft: PerkDraft) -> dict[str, str]:
    """What holders were promised does not change under their hands."""
    changed = {
        "redemption": (perk.redemption, draft.redemption),
        "uses_per_holding": (perk.uses_per_holding, draft.uses_per_holding),
        "pool": (perk.has_pool, draft.terms.needs_pool(draft.redemption)),
    }
    differing = {name for name, (old, new) in changed.items() if old != new}
    if not differing or not is_held(session, perk):
        return {}
    return {"redemption" if name == "pool" else name: _FROZEN for name in sorted(differing)}


def is_held(session: Session, perk: Perk) -> bool:
    """Whether anybody ever received it."""
    return bool(session.scalar(select(exists().where(Holding.perk_id == perk.id))))


def _problems(perk: Perk, draft: PerkDraft) -> dict[str, str]:
    problems = {
        "internal_name": _length(draft.internal_name, 1, 120),
        "title": _length(draft.title, 1, 80),
        "subtitle": _length(draft.subtitle, 0, 120),
        "description": _length(draft.description, 0, 5_000),
        "conditions": _length(draft.conditions, 0, 10_000),
        "reference_id": _length(draft.reference_id or "", 0, 64),
        "total_quantity": _range(draft.total_quantity, max(1, perk.granted_count), MOST),
        "max_per_user": _range(draft.max_per_user, 1, MOST_PER_USER),
        "uses_per_holding": _uses(draft),
        "undo_minutes": _range(draft.undo_minutes, 0, MOST_UNDO_MINUTES),
        "low_stock": _low_stock(draft),
        "places": f"At most {MOST_PLACES:,} places." if len(draft.places) > MOST_PLACES else None,
        "cta_label": _length(draft.cta_label, 0, 40),
        **_validity(draft),
        **_terms(draft.terms, draft.redemption),
    }
    return {name: problem for name, problem in problems.items() if problem}


def _uses(draft: PerkDraft) -> str | None:
    if draft.redemption is RedemptionType.PHYSICAL and draft.uses_per_holding != 1:
        return "A physical item is sent once."
    if draft.uses_per_holding is None and draft.redemption not in UNLIMITED:
        return f"Between 1 and {MOST_USES:,} for this way of redeeming."
    return _range(draft.uses_per_holding, 1, MOST_USES)


def _low_stock(draft: PerkDraft) -> str | None:
    percent = draft.low_stock_percent
    if percent is not None and not 0 <= percent <= 50:
        return "A percentage between 0 and 50, or a number."
    return _range(draft.low_stock_count, 0, MOST)


def _validity(draft: PerkDraft) -> dict[str, str | None]:
    kind = draft.validity
    if kind is Validity.NONE:
        return {}
    if draft.redemption is RedemptionType.PHYSICAL:
        return {"validity": "Of a physical item the deadline for the address says how long."}
    if kind is Validity.DAYS:
        days = draft.valid_days
        is_sound = days is not None and 1 <= days <= MOST_DAYS
        return {"valid_days": None if is_sound else f"Between 1 and {MOST_DAYS:,} days."}
    problems = {"valid_until": None if draft.valid_until else "A day and a time."}
    if kind is Validity.WINDOW:
        problems["valid_from"] = None if draft.valid_from else "A day and a time."
        if draft.valid_from and draft.valid_until and draft.valid_from >= draft.valid_until:
            problems["valid_until"] = "After the beginning."
    return problems


def _terms(terms: Options, redemption: RedemptionType) -> dict[str, str | None]:
    """What is out of range; what is missing is said when the perk is published."""
    if redemption is RedemptionType.SHARED_CODE:
        is_sound = len(terms.code) <= 64 and terms.code.isprintable()
        return {"code": None if is_sound else "At most 64 printable characters."}
    if redemption is RedemptionType.LINK:
        name = terms.signature
        is_sound = not name or (len(name) <= 40 and name.isascii() and name.isidentifier())
        return {"signature": None if is_sound else "Letters, digits and _, 40 at most."}
    if redemption is RedemptionType.PHYSICAL:
        is_sound = 1 <= terms.deadline_days <= 365
        return {"deadline_days": None if is_sound else "Between 1 and 365 days."}
    return {}


def check_publishable(perk: Perk, *, at: datetime) -> None:
    """Nothing is missing for the perk to be given.

    Raises:
        PerkUnpublishableError: something is; `problems` names it for machines.
    """
    problems = _typed(perk)
    if perk.has_pool and perk.left == 0:
        problems["codes_missing"] = ("codes", "No code is free. Import or generate codes first.")
    if perk.valid_until is not None and perk.valid_until <= at:
        problems["validity_in_past"] = ("valid_until", "This moment is over. Choose a later one.")
    if problems:
        raise PerkUnpublishableError(problems)


def check_shown(perk: Perk) -> None:
    """What members see of a live perk is as it had to be when it was published.

    Its codes may be used up and its time over meanwhile.

    Raises:
        PerkInvalidError: `fields` names what must change.
    """
    if problems := _typed(perk):
        raise PerkInvalidError(dict(problems.values()))


def _typed(perk: Perk) -> dict[str, tuple[str, str]]:
    """What somebody has to type."""
    problems: dict[str, tuple[str, str]] = {}
    if not perk.title.strip():
        problems["title_missing"] = ("title", "Give it a title.")
    return problems | _links(perk) | _parameters(perk)


def _links(perk: Perk) -> dict[str, tuple[str, str]]:
    terms = perk.terms
    if perk.redemption is RedemptionType.LINK:
        problem = url_problem(terms.url)
        if problem:
            return {"cta_url_invalid": ("url", problem)}
    if perk.cta_url:
        problem = url_problem(perk.cta_url)
        if problem is None and "code" in placeholders(perk.cta_url) and not perk.has_pool:
            problem = "Nobody has a code of their own, so {{code}} stands for nothing."
        if problem:
            return {"cta_url_invalid": ("cta_url", problem)}
    return {}


def _parameters(perk: Perk) -> dict[str, tuple[str, str]]:
    if perk.redemption is RedemptionType.SHARED_CODE and not perk.terms.code:
        return {"parameters_missing": ("code", "Type the code that members show.")}
    is_click = perk.redemption is RedemptionType.LINK and perk.terms.used_on is UsedOn.CLICK
    if is_click and perk.usable_hours:
        # A link in a mail would be dead at night, and nobody stands beside it to say why.
        return {"parameters_missing": ("hours", "A link used by a click works at every hour.")}
    return {}


def _length(text: str, least: int, most: int) -> str | None:
    if least <= len(text) <= most:
        return None
    return f"Between {least} and {most:,} characters." if least else f"At most {most:,} characters."


def _range(number: int | None, least: int, most: int) -> str | None:
    if number is None or least <= number <= most:
        return None
    return f"Between {least:,} and {most:,}, or empty for no limit."

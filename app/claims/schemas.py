"""What the forms of claim codes send, exactly as typed, so that nothing typed is lost."""

from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel

from app.claims.models import ChallengePolicy, ClaimAudience
from app.claims.service import BatchDraft
from app.claims.sheets import Paper, Sheet
from app.rewards.lines import Choice
from core.errors import InvalidError
from core.ids import UnknownIdentifierError, decode_id
from core.types import AssetId, PerkId, PlaceId

MINUTE = "%Y-%m-%dT%H:%M"
_NUMBER = "A whole number."
_TIME = "A date and a time."


class BatchForm(BaseModel):
    """The fields of the form of a new batch; numbers and times are still text."""

    name: str = ""
    reward: str = ""
    code_count: str = "100"
    uses_per_code: str = "1"
    max_per_user: str = "1"
    valid_from: str = ""
    valid_until: str = ""
    audience: str = ""
    challenge: str = ChallengePolicy.AFTER_FAILURES.value
    kiosk_seconds: str = ""

    def as_draft(self) -> BatchDraft:
        """The typed values.

        Raises:
            InvalidError: `fields` names what is no number, no time, or not chosen.
        """
        numbers = {
            name: _number(getattr(self, name))
            for name in ("code_count", "uses_per_code", "max_per_user")
        }
        problems = {name: _NUMBER for name, number in numbers.items() if number is None}
        kiosk = _number(self.kiosk_seconds)
        if self.kiosk_seconds.strip() and kiosk is None:
            problems["kiosk_seconds"] = _NUMBER
        for name in ("valid_from", "valid_until"):
            if getattr(self, name) and moment(getattr(self, name)) is None:
                problems[name] = _TIME
        choice, cohort = _choice(self.reward), _cohort(self.audience)
        if choice is None:
            problems["reward"] = "Choose what the codes give."
        if cohort is None:
            problems["audience"] = "Choose a list or segment that is in use."
        if problems or choice is None or cohort is None:
            raise InvalidError("The codes cannot be made yet.", fields=problems)
        return BatchDraft(
            name=self.name.strip(),
            choice=choice,
            **{name: number or 0 for name, number in numbers.items()},
            valid_from=moment(self.valid_from),
            valid_until=moment(self.valid_until),
            audience_kind=cohort[0],
            audience_id=cohort[1],
            challenge=ChallengePolicy(self.challenge)
            if self.challenge in set(ChallengePolicy)
            else ChallengePolicy.AFTER_FAILURES,
            kiosk_seconds=kiosk,
        )


class SheetForm(BaseModel):
    """How sheets are to be printed."""

    first: str = "1"
    per_page: str = "12"
    paper: str = Paper.A4.value
    caption: str = ""
    place: str = ""

    def as_sheet(self) -> Sheet:
        """How codes lie on a page.

        Raises:
            InvalidError: no number, too many a page, or a caption that cannot be written.
        """
        paper = Paper.LETTER if self.paper == Paper.LETTER else Paper.A4
        per_page = number_of(self.per_page, "per_page")
        return Sheet(paper, per_page, self.caption.strip(), place_of(self.place))


def place_of(text: str) -> PlaceId | None:
    """The chosen place; None for nowhere in particular.

    Raises:
        UnknownIdentifierError: it is no identifier of a place.
    """
    return PlaceId(decode_id("plc", text)) if text else None


def number_of(text: str, field: str) -> int:
    """The typed number.

    Raises:
        InvalidError: it is none.
    """
    number = _number(text)
    if number is None:
        raise InvalidError("This cannot be done yet.", fields={field: _NUMBER})
    return number


def moment_of(text: str, field: str) -> datetime | None:
    """The typed moment in UTC, or None where nothing was typed.

    Raises:
        InvalidError: it is none.
    """
    found = moment(text)
    if text.strip() and found is None:
        raise InvalidError("This cannot be done yet.", fields={field: _TIME})
    return found


def moment(text: str) -> datetime | None:
    """A typed moment in UTC, or None."""
    try:
        return datetime.strptime(text.strip(), MINUTE).replace(tzinfo=UTC)
    except ValueError:
        return None


def _number(text: str) -> int | None:
    plain = text.strip().replace(",", "").replace(" ", "")
    is_number = plain.isascii() and plain.isdecimal() and len(plain) < 12
    return int(plain) if is_number else None


def _choice(text: str) -> Choice | None:
    try:
        if text.startswith("das_"):
            return Choice(asset_id=AssetId(decode_id("das", text)))
        return Choice(perk_id=PerkId(decode_id("prk", text)))
    except UnknownIdentifierError:
        return None


def _cohort(text: str) -> tuple[ClaimAudience, UUID | None] | None:
    if not text:
        return ClaimAudience.ALL, None
    try:
        if text.startswith("seg_"):
            return ClaimAudience.SEGMENT, decode_id("seg", text)
        return ClaimAudience.LIST, decode_id("lst", text)
    except UnknownIdentifierError:
        return None

"""What the perk form sends, exactly as typed, so that nothing typed is lost."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel

from app.perks.drafting import PerkDraft
from app.perks.errors import PerkInvalidError
from app.perks.terms import (
    Display,
    Hours,
    Options,
    RedemptionType,
    ScanValue,
    UsedOn,
    Validation,
    Validity,
    parse_hours,
)
from core.ids import UnknownIdentifierError, decode_id, encode_id
from core.types import PlaceId

Kind = TypeVar("Kind", bound=StrEnum)
_MINUTE = "%Y-%m-%dT%H:%M"


class PerkForm(BaseModel):
    """The fields of the form; numbers and moments are still text, and a box not ticked is empty.

    What is sent empty is as if it was not sent, so the defaults are what empty means.
    """

    internal_name: str = ""
    title: str = ""
    subtitle: str = ""
    description: str = ""
    conditions: str = ""
    reference_id: str = ""
    redemption: str = RedemptionType.NONE.value
    validation: str = Validation.STAFF.value
    code: str = ""
    can_tap: str = ""
    display: str = Display.TEXT.value
    url: str = ""
    used_on: str = UsedOn.API.value
    signature: str = ""
    scan_value: str = ScanValue.TOKEN.value
    countries: str = ""
    needs_phone: str = ""
    deadline_days: str = "30"
    cta_label: str = ""
    cta_url: str = ""
    uses_per_holding: str = ""
    validity: str = Validity.NONE.value
    valid_from: str = ""
    valid_until: str = ""
    valid_days: str = ""
    hours: list[str] = []
    places: list[str] = []
    undo_minutes: str = "15"
    total_quantity: str = ""
    max_per_user: str = ""
    low_stock: str = ""
    act: str = ""
    for_all: str = ""

    @classmethod
    def of(cls, draft: PerkDraft) -> "PerkForm":
        """The form that would make the draft what it is."""
        terms = draft.terms
        return cls(
            internal_name=draft.internal_name,
            title=draft.title,
            subtitle=draft.subtitle,
            description=draft.description,
            conditions=draft.conditions,
            reference_id=draft.reference_id or "",
            redemption=draft.redemption,
            validation=terms.validation,
            code=terms.code,
            can_tap="1" if terms.can_tap else "",
            display=terms.display,
            url=terms.url,
            used_on=terms.used_on,
            signature=terms.signature,
            scan_value=terms.scan_value,
            countries=", ".join(terms.countries),
            needs_phone="1" if terms.needs_phone else "",
            deadline_days=str(terms.deadline_days),
            cta_label=draft.cta_label,
            cta_url=draft.cta_url,
            uses_per_holding=_shown(draft.uses_per_holding),
            validity=draft.validity,
            valid_from=_minute(draft.valid_from),
            valid_until=_minute(draft.valid_until),
            valid_days=_shown(draft.valid_days),
            hours=[draft.hours.of_day(day) for day in range(7)],
            places=[encode_id("plc", it) for it in draft.places],
            undo_minutes=str(draft.undo_minutes),
            total_quantity=_shown(draft.total_quantity),
            max_per_user=_shown(draft.max_per_user),
            low_stock=_low_stock(draft),
        )

    def as_draft(self) -> PerkDraft:
        """The typed values.

        Raises:
            PerkInvalidError: a number or a moment is none.
        """
        reader = _Reader()
        draft = PerkDraft(
            internal_name=self.internal_name.strip() or self.title.strip(),
            title=self.title.strip(),
            subtitle=self.subtitle.strip(),
            description=self.description.strip(),
            conditions=self.conditions.strip(),
            reference_id=self.reference_id.strip() or None,
            redemption=_member(RedemptionType, self.redemption),
            terms=self._terms(reader),
            cta_label=self.cta_label.strip(),
            cta_url=self.cta_url.strip(),
            uses_per_holding=reader.limit("uses_per_holding", self.uses_per_holding),
            validity=_member(Validity, self.validity),
            valid_from=reader.moment("valid_from", self.valid_from),
            valid_until=reader.moment("valid_until", self.valid_until),
            valid_days=reader.limit("valid_days", self.valid_days),
            hours=reader.hours(self.hours),
            places=_places(self.places),
            undo_minutes=reader.limit("undo_minutes", self.undo_minutes) or 0,
            total_quantity=reader.limit("total_quantity", self.total_quantity),
            max_per_user=reader.limit("max_per_user", self.max_per_user),
            **reader.low_stock(self.low_stock),
        )
        if reader.fields:
            raise PerkInvalidError(reader.fields)
        return draft

    def _terms(self, reader: "_Reader") -> Options:
        return Options(
            validation=_member(Validation, self.validation),
            code=self.code.strip(),
            can_tap=bool(self.can_tap),
            display=_member(Display, self.display),
            url=self.url.strip(),
            used_on=_member(UsedOn, self.used_on),
            signature=self.signature.strip(),
            scan_value=_member(ScanValue, self.scan_value),
            countries=reader.countries(self.countries),
            needs_phone=bool(self.needs_phone),
            deadline_days=reader.limit("deadline_days", self.deadline_days) or 0,
        )


class _Reader:
    """Reads texts, and remembers what of them it could not."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}

    def limit(self, field: str, text: str) -> int | None:
        """A whole number, or None for no limit."""
        plain = text.strip().replace(",", "").replace(" ", "")
        if not plain:
            return None
        if not (plain.isascii() and plain.isdecimal() and len(plain) <= 12):
            self.fields[field] = "A whole number, or empty for no limit."
            return None
        return int(plain)

    def moment(self, field: str, text: str) -> datetime | None:
        """A minute in UTC."""
        if not text.strip():
            return None
        try:
            return datetime.strptime(text.strip(), _MINUTE).replace(tzinfo=UTC)
        except ValueError:
            self.fields[field] = "A day and a time, for example 2027-01-31T18:00."
            return None

    def hours(self, days: list[str]) -> Hours:
        """The ranges of the week."""
        try:
            return parse_hours(days[:7])
        except ValueError as error:
            self.fields["hours"] = str(error)
            return Hours()

    def countries(self, text: str) -> tuple[str, ...]:
        """ISO codes, separated by commas or spaces."""
        found = text.replace(",", " ").upper().split()
        if not all(len(it) == 2 and it.isascii() and it.isalpha() for it in found):
            self.fields["countries"] = "Codes of two letters, for example BE, FR."
        return tuple(dict.fromkeys(found))

    def low_stock(self, text: str) -> dict[str, int | None]:
        """`10%` is a share, `500` a number, and nothing is never."""
        plain = text.strip()
        is_share = plain.endswith("%")
        number = self.limit("low_stock", plain.removesuffix("%"))
        return {
            "low_stock_percent": number if is_share else None,
            "low_stock_count": None if is_share else number,
        }


def _member(kind: type[Kind], text: str) -> Kind:
    """What the text names, or the first: a browser sends nothing else."""
    return next((it for it in kind if it.value == text), next(iter(kind)))


def _places(texts: list[str]) -> tuple[PlaceId, ...]:
    try:
        return tuple(PlaceId(decode_id("plc", text)) for text in texts)
    except UnknownIdentifierError:
        return ()


def _low_stock(draft: PerkDraft) -> str:
    if draft.low_stock_percent is not None:
        return f"{draft.low_stock_percent}%"
    return _shown(draft.low_stock_count)


def _shown(number: int | None) -> str:
    return "" if number is None else str(number)


def _minute(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).strftime(_MINUTE)

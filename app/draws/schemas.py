"""What the forms of draws send, exactly as typed, so that nothing typed is lost."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from app.draws.algorithm import Mode
from app.draws.errors import DrawInvalidError
from app.draws.service import DrawDraft
from app.rewards.lines import Choice
from core.ids import decode_id, encode_id, new_id
from core.types import AssetId, PerkId

_MINUTE = "%Y-%m-%dT%H:%M"
_WRONG = -1


class DrawForm(BaseModel):
    """The form of a new draw; numbers and times are still text."""

    name: str = ""
    mode: str = Mode.INSTANT.value
    lines: list[tuple[str, str]] = []
    boxes: str = ""
    draw_at: str = ""
    max_wins_per_user: str = "1"
    reserves: str = "0"
    beacon: str = ""
    shows_odds: bool = True

    @classmethod
    def of(
        cls, fields: Mapping[str, str], rewards: Sequence[str], quantities: Sequence[str]
    ) -> "DrawForm":
        """As it was sent: rewards and quantities stand in pairs."""
        texts = {name: fields[name] for name in cls.model_fields if name in fields}
        known: dict[str, Any] = {
            **texts,
            "lines": list(zip(rewards, quantities, strict=False)),
            "shows_odds": bool(fields.get("shows_odds")),
        }
        return cls(**known)

    def as_draft(self) -> DrawDraft:
        """What is typed, as the service takes it; whether it makes sense is for the service to say.

        Raises:
            DrawInvalidError: a number or a time is none.
        """
        is_raffle = self.mode == Mode.RAFFLE.value
        numbers = {
            "boxes": _number(self.boxes),
            "max_wins_per_user": _number(self.max_wins_per_user),
            "reserves": _number(self.reserves),
        }
        wrong = {name: "A whole number." for name, it in numbers.items() if it == _WRONG}
        choices, moment = self._choices(), _moment(self.draw_at) if is_raffle else None
        if any(choice.quantity == _WRONG for choice in choices):
            wrong["lines"] = "A quantity is a whole number."
        if wrong:
            raise DrawInvalidError(wrong)
        return DrawDraft(
            name=self.name,
            mode=Mode.RAFFLE if is_raffle else Mode.INSTANT,
            lines=choices,
            boxes=numbers["boxes"],
            draw_at=moment,
            max_wins_per_user=numbers["max_wins_per_user"] or 0,
            reserves=numbers["reserves"] or 0,
            beacon_chain_id=int(self.beacon) if self.beacon.isdecimal() and is_raffle else None,
            shows_odds=self.shows_odds,
        )

    def _choices(self) -> list[Choice]:
        return [_choice(reward, _number(text)) for reward, text in self.lines if reward]


def _choice(reward: str, quantity: int | None) -> Choice:
    if reward.startswith("prk_"):
        return Choice(perk_id=PerkId(decode_id("prk", reward)), quantity=quantity)
    return Choice(AssetId(decode_id("das", reward)), quantity=quantity)


def _number(text: str) -> int | None:
    plain = text.strip().replace(",", "").replace(" ", "")
    if not plain:
        return None
    is_number = plain.isascii() and plain.isdecimal() and len(plain) < 16
    return int(plain) if is_number else _WRONG


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text.strip(), _MINUTE).replace(tzinfo=UTC)
    except ValueError:
        return None


class HandOutForm(BaseModel):
    """To whom boxes or tickets go. `key` makes a second sending harmless."""

    key: str = ""
    to: str = "emails"
    emails: str = ""
    list_id: str = ""
    segment: str = ""
    confirmed: str = ""

    @classmethod
    def new(cls) -> "HandOutForm":
        """An empty form with an identifier of its own."""
        return cls(key=encode_id("bxs", new_id()))

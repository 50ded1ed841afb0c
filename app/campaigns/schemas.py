"""What forms of campaigns carry, as people type it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from app.campaigns.models import AudienceKind, Campaign
from app.campaigns.service import Delivery
from app.rewards.lines import Choice
from app.rewards.models import RewardLine
from core.errors import InvalidError
from core.ids import UnknownIdentifierError, decode_id, encode_id
from core.types import AssetId, Gas, PerkId, Wei

_GWEI = 10**9
_NATIVE = 10**18


class DeliveryForm(BaseModel):
    """Start, late joiners and limits; amounts are typed in gwei and in the chain's native unit."""

    late_joiners: bool = False
    starts_at: str = ""
    max_fee_per_gas: str = ""
    max_total: str = ""
    max_batch_gas: str = ""

    @classmethod
    def of(cls, campaign: Campaign) -> "DeliveryForm":
        """The form that would give the campaign what it has."""
        return cls(
            late_joiners=campaign.late_joiners,
            starts_at=campaign.starts_at.strftime(_MINUTE) if campaign.starts_at else "",
            max_fee_per_gas=_text(campaign.max_fee_per_gas, _GWEI),
            max_total=_text(campaign.max_total, _NATIVE),
            max_batch_gas=_text(campaign.max_batch_gas, 1),
        )

    def typed(self) -> dict[str, object]:
        """The fields, for a form that comes back."""
        return dict(self.model_dump())

    def delivery(self) -> Delivery:
        """What was chosen.

        Raises:
            InvalidError: `fields` names what is no number, or no time.
        """
        wanted = {
            "max_fee_per_gas": (self.max_fee_per_gas, _GWEI),
            "max_total": (self.max_total, _NATIVE),
            "max_batch_gas": (self.max_batch_gas, 1),
        }
        numbers = {name: _number(text, unit) for name, (text, unit) in wanted.items()}
        wrong = [name for name, number in numbers.items() if number == _WRONG]
        if wrong:
            sentence = "A number such as 1.5, or empty for no limit."
            raise InvalidError("The limits cannot be read.", fields=dict.fromkeys(wrong, sentence))
        fee, total, gas = (numbers[name] for name in wanted)
        return Delivery(
            late_joiners=self.late_joiners,
            starts_at=_moment(self.starts_at),
            max_batch_gas=None if gas is None else Gas(gas),
            max_fee_per_gas=None if fee is None else Wei(fee),
            max_total=None if total is None else Wei(total),
        )


class RewardsForm(BaseModel):
    """What is given: of every reward on the page its id and amounts, and which are chosen."""

    chosen: list[str] = []
    reward: list[str] = []
    each: list[str] = []
    most: list[str] = []

    @classmethod
    def of(cls, lines: Sequence[RewardLine]) -> "RewardsForm":
        """The form that would give a campaign what it has."""
        ids = [public_id(line) for line in lines]
        return cls(
            chosen=ids,
            reward=ids,
            each=[str(line.per_recipient) for line in lines],
            most=["" if line.quantity is None else str(line.quantity) for line in lines],
        )

    @property
    def amounts(self) -> dict[str, tuple[str, str]]:
        """By reward, how many each receives and the most of all, as typed."""
        typed = zip(self.reward, self.each, self.most, strict=False)
        return {reward: (each, most) for reward, each, most in typed}

    def choices(self) -> list[Choice]:
        """What was chosen.

        Raises:
            InvalidError: an amount is no number.
            UnknownIdentifierError: what was chosen is no reward.
        """
        found = []
        for reward in self.chosen:
            each, most = self.amounts.get(reward, ("", ""))
            numbers = [_number(text, 1) for text in (each, most)]
            if _WRONG in numbers:
                sentence = "Whole numbers only; empty for one each, and for no limit."
                raise InvalidError("The rewards cannot be read.", fields={"rewards": sentence})
            of_each, of_all = numbers
            is_perk = reward.startswith("prk_")
            found.append(
                Choice(
                    asset_id=None if is_perk else AssetId(decode_id("das", reward)),
                    perk_id=PerkId(decode_id("prk", reward)) if is_perk else None,
                    per_recipient=1 if of_each is None else of_each,
                    quantity=of_all,
                )
            )
        return found


def public_id(line: RewardLine) -> str:
    """The reward of a line, as pages name it."""
    return encode_id("prk" if line.perk_id is not None else "das", line.reward_id)


def _moment(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        return datetime.strptime(text.strip(), _MINUTE).replace(tzinfo=UTC)
    except ValueError:
        sentence = "A date and a time, or empty to start at once."
        raise InvalidError("The start cannot be read.", fields={"starts_at": sentence}) from None


_MINUTE = "%Y-%m-%dT%H:%M"
"""As a field of the browser sends it; UTC."""
_WRONG = -1


def _number(text: str, unit: int) -> int | None:
    """Whole units of the smallest kind; None for nothing, `_WRONG` for what is no amount."""
    plain = text.strip().replace(",", "").replace("\u202f", "")
    if not plain:
        return None
    try:
        amount = Decimal(plain) * unit
    except InvalidOperation:
        return _WRONG
    is_amount = amount.is_finite() and 0 <= amount < 2**128 and amount == amount.to_integral_value()
    return int(amount) if is_amount else _WRONG


def _text(amount: int | None, unit: int) -> str:
    return "" if amount is None else f"{Decimal(amount) / unit:f}"


class AudienceForm(BaseModel):
    """Who a campaign is for, as the form says it; lists and segments by their public ids."""

    audience: AudienceKind = AudienceKind.ALL
    file: Any = None
    list: str = ""
    segment: str = ""

    @property
    def cohort(self) -> UUID | None:
        """The list or segment that was chosen; None where what was sent is none."""
        try:
            if self.audience is AudienceKind.LIST:
                return decode_id("lst", self.list)
            is_segment = self.audience is AudienceKind.SEGMENT
            return decode_id("seg", self.segment) if is_segment else None
        except UnknownIdentifierError:
            return None

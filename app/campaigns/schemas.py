"""What forms of campaigns carry, as people type it."""

from decimal import Decimal, InvalidOperation

from pydantic import BaseModel

from app.campaigns.models import Campaign
from app.campaigns.service import Delivery
from core.errors import InvalidError
from core.types import Gas, Wei

_GWEI = 10**9
_NATIVE = 10**18


class DeliveryForm(BaseModel):
    """Late joiners and limits; amounts are typed in gwei and in the chain's native unit."""

    late_joiners: bool = False
    max_fee_per_gas: str = ""
    max_total: str = ""
    max_batch_gas: str = ""

    @classmethod
    def of(cls, campaign: Campaign) -> "DeliveryForm":
        """The form that would give the campaign what it has."""
        return cls(
            late_joiners=campaign.late_joiners,
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
            InvalidError: `fields` names what is no number.
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
            max_batch_gas=None if gas is None else Gas(gas),
            max_fee_per_gas=None if fee is None else Wei(fee),
            max_total=None if total is None else Wei(total),
        )


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

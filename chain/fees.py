"""EIP-1559 arithmetic."""

from dataclasses import dataclass

from chain.settings import chain_settings
from core.types import Gas, Wei


@dataclass(frozen=True)
class Fees:
    """The two prices of a transaction, in wei per gas."""

    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei


def suggest(base_fee: Wei, tip: Wei, *, cap: Wei | None = None) -> Fees:
    """Fees that stay valid while the base fee doubles (at least six full blocks).

    Args:
        cap: the highest price per gas anybody agreed to pay; the tip gives way to it.

    References:
        EIP-1559: the base fee rises by at most an eighth a block.
    """
    max_fee = 2 * base_fee + tip
    if cap is not None:
        max_fee = min(max_fee, cap)
    return Fees(Wei(max_fee), Wei(min(tip, max_fee)))


def current(base_fee: Wei) -> Fees:
    """What this installation offers now: its tip, below its cap."""
    settings = chain_settings()
    cap = settings.max_fee_per_gas_wei
    tip = Wei(settings.priority_fee_per_gas_wei)
    return suggest(base_fee, tip, cap=None if cap is None else Wei(cap))


def urgent(base_fee: Wei) -> Fees:
    """Twice what this installation offers otherwise, below its cap."""
    settings = chain_settings()
    cap = settings.max_fee_per_gas_wei
    tip = Wei(2 * settings.priority_fee_per_gas_wei)
    return suggest(Wei(2 * base_fee), tip, cap=None if cap is None else Wei(cap))


def with_margin(estimate: Gas) -> Gas:
    """A gas limit a tenth above the estimate, rounded up."""
    return Gas(-(-estimate * 11 // 10))


def raised(fees: Fees) -> Fees:
    """Fees that replace a transaction of these in every pool: both an eighth higher, rounded up.

    References:
        Geth's price bump: both prices strictly higher, and by a tenth at least.
    """
    return Fees(_eighth_more(fees.max_fee_per_gas), _eighth_more(fees.max_priority_fee_per_gas))


def _eighth_more(price: Wei) -> Wei:
    return Wei(price * 1125 // 1000 + 1)

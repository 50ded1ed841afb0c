"""What a kind of wallet may sign: denied unless a line here allows it."""

from wallets.models import TransactionPayload, WalletKind

MAX_GAS = 2**24
"""Gas limit of one transaction (EIP-7825)."""


def refusal(kind: WalletKind, payload: TransactionPayload) -> str | None:
    """Why this kind of wallet may not sign the payload, or None when it may.

    Only relayers sign transactions: they carry no value and stay below the gas cap. Members' keys
    sign nothing yet, and the issuer's key only owns contracts.
    """
    if kind is not WalletKind.RELAYER:
        return "only relayers sign transactions"
    if payload.value != 0:
        return "the transaction carries value"
    if not 21_000 <= payload.gas <= MAX_GAS:
        return f"a gas limit of {payload.gas} is outside 21000 to {MAX_GAS}"
    if payload.max_priority_fee_per_gas > payload.max_fee_per_gas:
        return "the tip is above the fee cap"
    return None

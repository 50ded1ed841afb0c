"""What a kind of wallet may sign: denied unless a line here allows it."""

from eth_typing import ChecksumAddress

from wallets.models import TransactionPayload, WalletKind

MAX_GAS = 2**24
"""Gas limit of one transaction (EIP-7825)."""
NO_OP_GAS = 21_000
"""What a transfer costs, and nothing else can."""


def refusal(
    kind: WalletKind, address: ChecksumAddress, payload: TransactionPayload, *, is_approved: bool
) -> str | None:
    """Why the wallet may not sign the payload, or None when it may.

    Relayer and issuer sign transactions: what was frozen and approved for them, and no-ops that
    fill a nonce. They carry no value and stay below the gas cap. Members' keys sign nothing yet.

    Args:
        is_approved: somebody decided on this very call.
    """
    if kind not in (WalletKind.RELAYER, WalletKind.ISSUER):
        return "only relayers and issuers sign transactions"
    if payload.value != 0:
        return "the transaction carries value"
    if not NO_OP_GAS <= payload.gas <= MAX_GAS:
        return f"a gas limit of {payload.gas} is outside {NO_OP_GAS} to {MAX_GAS}"
    if payload.max_priority_fee_per_gas > payload.max_fee_per_gas:
        return "the tip is above the fee cap"
    if not (is_approved or is_no_op(address, payload)):
        return "nobody approved this call"
    return None


def is_no_op(address: ChecksumAddress, payload: TransactionPayload) -> bool:
    """Whether the payload only uses up its nonce: a transfer of nothing to the sender itself."""
    return (payload.to, payload.data, payload.gas) == (address, b"", NO_OP_GAS)

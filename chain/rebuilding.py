"""Signed bytes of a relayer, made again from what a block shows of its transactions.

A node can hide a transaction, but it cannot invent one: the bytes carry the signature.

References:
    EIP-1559: the only kind that relayers sign; the JSON-RPC object of a transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_typing import ChecksumAddress
from eth_utils.crypto import keccak

_EIP_1559 = 2


@dataclass(frozen=True)
class Seen:
    """A transaction in a block.

    Args:
        raw: its signed bytes; None for a kind that relayers do not sign.
    """

    nonce: int
    tx_hash: bytes
    raw: bytes | None


def sent_by(sender: ChecksumAddress, transactions: Sequence[dict[str, Any]]) -> list[Seen]:
    """The sender's among the transactions of a block, in the order of their nonces.

    Raises:
        ValueError: the sender did not sign what is shown as its own; so do `KeyError` and
            `TypeError` say that these are no transactions.
    """
    own = [each for each in transactions if str(each["from"]).lower() == sender.lower()]
    return sorted((_seen(sender, each) for each in own), key=lambda seen: seen.nonce)


def _seen(sender: ChecksumAddress, shown: dict[str, Any]) -> Seen:
    nonce, tx_hash = int(shown["nonce"], 16), _bytes(shown["hash"])
    if int(shown.get("type", "0x0"), 16) != _EIP_1559:
        return Seen(nonce, tx_hash, None)
    raw = _encode(shown)
    if keccak(raw) != tx_hash or Account.recover_transaction(raw) != sender:
        raise ValueError("not the bytes of this account")
    return Seen(nonce, tx_hash, raw)


def _encode(shown: dict[str, Any]) -> bytes:
    numbers = ("chainId", "nonce", "value", "gas", "maxFeePerGas", "maxPriorityFeePerGas")
    fields: dict[str, Any] = {name: int(shown[name], 16) for name in (*numbers, "v", "r", "s")}
    fields |= {
        "type": _EIP_1559,
        "to": _bytes(shown["to"] or ""),
        "data": _bytes(shown["input"]),
        "accessList": shown["accessList"],
    }
    return bytes(TypedTransaction.from_dict(fields).encode())


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))

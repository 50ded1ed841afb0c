"""How the signer is spoken with: JSON behind its length, over a Unix socket, one answer a question.

frame   = length of the body in bytes (4, big-endian) | body
request = {"operation", "merchant", "caller", "arguments"}
answer  = {"result"} or {"error": [class, arguments]}
"""

import json
import socket
from collections.abc import Mapping
from typing import Any

from core.errors import AppError
from core.types import Gas, Wei
from wallets import errors
from wallets.errors import SignerProtocolError
from wallets.models import TransactionPayload

MAX_FRAME_BYTES = 16 * 1024 * 1024
_LENGTH_BYTES = 4
_KNOWN = (
    errors.WalletNotFoundError,
    errors.WalletInUseError,
    errors.DataKeyNotFoundError,
    errors.SigningRefusedError,
    errors.CiphertextError,
    errors.KekUnavailableError,
    errors.KeyEncryptionKeyError,
    errors.SignerUnavailableError,
    errors.SignerProtocolError,
)
_BY_NAME: dict[str, type[AppError]] = {known.__name__: known for known in _KNOWN}


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """The message is on its way.

    Raises:
        OSError: the other side is gone.
    """
    body = json.dumps(message, separators=(",", ":")).encode()
    connection.sendall(len(body).to_bytes(_LENGTH_BYTES) + body)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """The next message, or None when the other side closed.

    Raises:
        OSError: the other side is gone.
        SignerProtocolError: what came is no message.
    """
    header = _read(connection, _LENGTH_BYTES)
    if header is None:
        return None
    length = int.from_bytes(header)
    if length > MAX_FRAME_BYTES:
        raise SignerProtocolError(f"a message of {length} bytes is too long")
    body = _read(connection, length)
    if body is None:
        return None
    try:
        message = json.loads(body)
    except ValueError:
        raise SignerProtocolError("a message is no JSON") from None
    if not isinstance(message, dict):
        raise SignerProtocolError("a message is no object")
    return message


def _read(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def to_error(error: AppError) -> list[Any]:
    """The error as its class and what made it; an unknown class as a failure of the protocol."""
    match error:
        case errors.SigningRefusedError():
            return [type(error).__name__, [error.kind, error.reason]]
        case errors.KekUnavailableError():
            return [type(error).__name__, [error.kek_id, error.reason]]
        case errors.WalletNotFoundError() | errors.WalletInUseError():
            return [type(error).__name__, [error.address]]
        case errors.CiphertextError():
            return [type(error).__name__, [error.subject]]
        case errors.DataKeyNotFoundError():
            return [type(error).__name__, [error.data_key_id]]
        case errors.SignerProtocolError() | errors.SignerUnavailableError():
            return [type(error).__name__, [error.reason]]
        case errors.KeyEncryptionKeyError():
            return [type(error).__name__, [str(error)]]
    return ["SignerProtocolError", [type(error).__name__]]


def from_error(said: Any) -> AppError:
    """What `to_error` wrote, to be raised again."""
    try:
        name, arguments = said
        return _BY_NAME[name](*arguments)
    except (TypeError, ValueError, KeyError):
        return SignerProtocolError("the signer told of an error that is not known here")


def to_fields(payload: TransactionPayload) -> dict[str, Any]:
    """The payload in JSON's types; wei leave as text, for no reader may round them."""
    return {
        "chain_id": payload.chain_id,
        "nonce": payload.nonce,
        "to": payload.to,
        "data": payload.data.hex(),
        "value": str(payload.value),
        "gas": payload.gas,
        "max_fee_per_gas": str(payload.max_fee_per_gas),
        "max_priority_fee_per_gas": str(payload.max_priority_fee_per_gas),
    }


def from_fields(fields: Mapping[str, Any]) -> TransactionPayload:
    """What `to_fields` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    return TransactionPayload(
        chain_id=int(fields["chain_id"]),
        nonce=int(fields["nonce"]),
        to=fields["to"],
        data=bytes.fromhex(fields["data"]),
        value=Wei(int(fields["value"])),
        gas=Gas(int(fields["gas"])),
        max_fee_per_gas=Wei(int(fields["max_fee_per_gas"])),
        max_priority_fee_per_gas=Wei(int(fields["max_priority_fee_per_gas"])),
    )

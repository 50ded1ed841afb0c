"""What the signer does for others: four operations, in JSON's types on both sides.

No operation returns a key, and none takes anything but what it lists.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from eth_typing import ChecksumAddress
from sqlalchemy.orm import Session

from core.db import merchant_of
from core.types import DataKeyId, utc_now
from wallets import data_keys, destruction, sealing, signing
from wallets.errors import SignerProtocolError
from wallets.models import WalletKind
from wallets.wire import from_fields


def perform(session: Session, operation: str, arguments: Mapping[str, Any], *, caller: int) -> Any:
    """The operation's answer.

    Args:
        session: as the signer's role, for one merchant.
        caller: the SQL transaction of whoever asks.

    Raises:
        SignerProtocolError: no such operation, or arguments that it does not take.
        AppError: what the operation raises.
    """
    try:
        work = _OPERATIONS[operation]
    except KeyError:
        raise SignerProtocolError(f"there is no operation {operation[:40]!r}") from None
    try:
        return work(session, caller, **arguments)
    except (TypeError, ValueError, KeyError) as error:
        # The type alone: a message could quote what was given.
        raise SignerProtocolError(f"{operation} ended with {type(error).__name__}") from None


def _sign(
    session: Session, caller: int, *, address: str, payloads: list[dict[str, Any]]
) -> list[tuple[str, str]]:
    signed = signing.sign_all(
        session,
        ChecksumAddress(address),  # type: ignore[arg-type]
        [from_fields(fields) for fields in payloads],
        caller=caller,
        at=utc_now(),
    )
    return [(it.raw.hex(), it.tx_hash.hex()) for it in signed]


def _generate_data_key(session: Session, _caller: int) -> dict[str, Any]:
    made = data_keys.generate(merchant_of(session), at=utc_now())
    assert made.fingerprint is not None  # it was just opened
    return {
        "id": made.id.hex,
        "kek_id": made.kek_id,
        "wrapped": made.wrapped.hex(),
        "fingerprint": made.fingerprint.hex(),
    }


def _make_wallets(
    session: Session, _caller: int, *, data_key_id: str, kind: str, owners: list[str | None]
) -> tuple[list[ChecksumAddress], dict[str, str]]:
    shard = data_keys.find_shard(session, DataKeyId(UUID(data_key_id)))
    wanted = [UUID(owner) if owner else None for owner in owners]
    return sealing.make(shard, WalletKind(kind), wanted)


def _destroy_wallets(session: Session, _caller: int, *, owners: list[str]) -> int:
    return destruction.destroy(session, [UUID(owner) for owner in owners], at=utc_now())


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "sign": _sign,
    "generate_data_key": _generate_data_key,
    "make_wallets": _make_wallets,
    "destroy_wallets": _destroy_wallets,
}

"""Key-encryption keys: what every provider of one can do.

A key-encryption key (KEK) wraps data keys (DEKs), which in turn seal the private keys of wallets.
A wrapped data key opens under the same key and for the same shard only.
"""

from dataclasses import dataclass
from typing import Protocol

from core.types import DataKeyId, MerchantId

KEY_BYTES = 32
VERSION_MARK = "#"


@dataclass(frozen=True)
class DekContext:
    """What a data key is for; every provider authenticates it."""

    merchant_id: MerchantId
    data_key_id: DataKeyId

    def packed(self) -> bytes:
        """As bytes of a fixed length."""
        return b"data-key/v1" + self.merchant_id.bytes + self.data_key_id.bytes

    def named(self) -> dict[str, str]:
        """As the names and values that an audit log of the provider shows."""
        return {
            "purpose": "cohort data-key/v1",
            "merchant_id": str(self.merchant_id),
            "data_key_id": str(self.data_key_id),
        }


@dataclass(frozen=True)
class WrappedDek:
    """A data key that only its key-encryption key opens.

    Args:
        kek_id: the key, and behind a `#` its version where the provider has versions.
    """

    kek_id: str
    blob: bytes


class KekProvider(Protocol):
    """A key-encryption key, wherever it lives.

    Every method that asks another machine raises `KekUnavailableError` when that does not answer
    in time or answers nonsense (try later), and `KeyEncryptionKeyError` when the answer is no: the
    wrong key, the wrong context, changed bytes, missing rights (trying again changes nothing).
    """

    @property
    def id(self) -> str:
        """Which key this is, whatever its version; no secret."""

    def generate_dek(self, context: DekContext) -> tuple[bytes, WrappedDek]:
        """A new data key, open and wrapped."""

    def wrap(self, dek: bytes, context: DekContext) -> WrappedDek:
        """A data key that another key-encryption key wrapped before, under this one."""

    def unwrap(self, blob: bytes, context: DekContext) -> bytes:
        """The data key inside `blob`."""

    def rewrap(self, blob: bytes, context: DekContext) -> WrappedDek:
        """The same data key under the newest version of this key."""

    def health(self) -> str:
        """The `kek_id` that a data key wrapped now would carry; raises when it could not be."""


def is_of(kek_id: str, provider: KekProvider) -> bool:
    """Whether what carries `kek_id` was wrapped by this provider's key, in any version."""
    return kek_id.partition(VERSION_MARK)[0] == provider.id

"""Seals and opens private keys: a key per row, bound to the row it belongs to.

    ciphertext = 0x01 | data key id (16) | nonce (12) | AES-256-GCM(row key, secret, AAD)
    row key    = HKDF-SHA256(data key, salt = the row's 16 random bytes, info = "wallet-key/v1")

The associated data names the owner, so a row copied to somebody else does not open. Imported by
`wallets.sealed` only.

References:
    NIST SP 800-38D (GCM), RFC 5869 (HKDF).
"""

import os
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wallets.errors import CiphertextError

SALT_BYTES = 16
_VERSION = b"\x01"
_INFO = b"wallet-key/v1"
_NONCE = slice(17, 29)


class Binding(NamedTuple):
    """What a sealed key belongs to; every field is authenticated."""

    environment: str
    merchant_id: UUID
    owner_id: UUID | None
    wallet_id: UUID
    address: str
    data_key_id: UUID
    purpose: str

    def associated_data(self) -> bytes:
        """The fields, each behind its length, so that no two bindings read the same."""
        owner = self.owner_id.bytes if self.owner_id else b""
        return b"".join(
            (
                b"\0\2v1",
                _sized(self.environment.encode()),
                b"\0\x10" + self.merchant_id.bytes,
                _sized(owner),
                b"\0\x10" + self.wallet_id.bytes,
                b"\0\3evm",
                _sized(self.address.encode()),
                b"\0\x10" + self.data_key_id.bytes,
                _sized(self.purpose.encode()),
            )
        )


def _sized(field: bytes) -> bytes:
    return len(field).to_bytes(2) + field


def seal(secret: bytes, *, data_key: bytes, salt: bytes, binding: Binding) -> bytes:
    """The ciphertext of `secret`, which opens for the same binding only."""
    nonce = os.urandom(12)
    sealed = _cipher(data_key, salt).encrypt(nonce, secret, binding.associated_data())
    return _VERSION + binding.data_key_id.bytes + nonce + sealed


def unseal(ciphertext: bytes, *, data_key: bytes, salt: bytes, binding: Binding) -> bytes:
    """The secret inside `ciphertext`.

    Raises:
        CiphertextError: another version, another data key, another owner, or changed bytes.
    """
    if ciphertext[:17] != _VERSION + binding.data_key_id.bytes:
        raise CiphertextError(binding.address)
    try:
        return _cipher(data_key, salt).decrypt(
            ciphertext[_NONCE], ciphertext[29:], binding.associated_data()
        )
    except (InvalidTag, ValueError):  # a value error: cut bytes leave no whole nonce
        raise CiphertextError(binding.address) from None


def _cipher(data_key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), length=32, salt=salt, info=_INFO).derive(data_key))

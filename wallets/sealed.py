"""The private key of a wallet row: sealed for the row it belongs to, opened and recognised.

The only importer of `wallets.vault`; nothing here remembers a key.
"""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from eth_typing import ChecksumAddress

from core.settings import core_settings
from core.types import DataKeyId, MerchantId, WalletId
from wallets import vault
from wallets.addresses import address_of, to_checksum
from wallets.errors import CiphertextError
from wallets.models import Wallet, WalletKind

SALT_BYTES = vault.SALT_BYTES


@dataclass(frozen=True, repr=False)
class Shard:
    """A data key, opened, and whose wallets it seals."""

    merchant: MerchantId
    data_key_id: DataKeyId
    data_key: bytes


class Owner(NamedTuple):
    """What a wallet is, apart from where its key is sealed."""

    wallet_id: WalletId
    kind: WalletKind
    owner_id: UUID | None
    address: ChecksumAddress


def owner_of(wallet: Wallet) -> Owner:
    """The identity of a stored wallet."""
    return Owner(wallet.id, wallet.kind, wallet.owner_id, wallet.address)


def seal(shard: Shard, owner: Owner, secret: bytes, *, salt: bytes) -> bytes:
    """The ciphertext of `secret`, which opens for this owner under this data key only."""
    return vault.seal(secret, data_key=shard.data_key, salt=salt, binding=_binding(shard, owner))


def open_key(shard: Shard, wallet: Wallet) -> bytes:
    """The private key of `wallet`, after its address was derived again and compared.

    Raises:
        CiphertextError: the row was changed, or holds the key of another address.
    """
    secret = vault.unseal(
        wallet.ciphertext,
        data_key=shard.data_key,
        salt=wallet.salt,
        binding=_binding(shard, owner_of(wallet)),
    )
    if to_checksum(address_of(secret)) != wallet.address:
        raise CiphertextError(wallet.address)
    return secret


def _binding(shard: Shard, owner: Owner) -> vault.Binding:
    return vault.Binding(
        environment=core_settings().environment,
        merchant_id=shard.merchant,
        owner_id=owner.owner_id,
        wallet_id=owner.wallet_id,
        address=owner.address,
        data_key_id=shard.data_key_id,
        purpose=owner.kind,
    )

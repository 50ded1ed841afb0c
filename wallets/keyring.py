"""Which key-encryption keys this installation has: the one that wraps, and those it had before.

A data key names what wrapped it, so moving from one key to another needs no pause: new data keys
go under the new key at once, old ones open under the old key until they are wrapped anew.
"""

from functools import cache
from pathlib import Path

from core.settings import core_settings
from wallets import kek_file
from wallets.errors import KeyEncryptionKeyError
from wallets.kek import KekProvider, is_of
from wallets.settings import wallet_settings


@cache
def key_provider() -> KekProvider:
    """The key-encryption key that wraps, by `WALLETS_KEK`.

    Raises:
        KeyEncryptionKeyError: the key is not safe to use, or the settings do not say which.
    """
    return _provider(wallet_settings().kek, is_current=True)


@cache
def previous_providers() -> tuple[KekProvider, ...]:
    """Those that only open what they once wrapped, by `WALLETS_PREVIOUS_KEKS`.

    Raises:
        KeyEncryptionKeyError: one of them is not safe to use, or missing.
    """
    return tuple(_provider(name, is_current=False) for name in wallet_settings().previous_keks)


def provider_of(kek_id: str) -> KekProvider:
    """The key-encryption key that opens what carries `kek_id`.

    Only keys that the settings name are ever asked: a row cannot bring its own.

    Raises:
        KeyEncryptionKeyError: this installation does not have that key.
    """
    if is_of(kek_id, key_provider()):
        return key_provider()
    for provider in previous_providers():
        if is_of(kek_id, provider):
            return provider
    raise KeyEncryptionKeyError(
        f"This data was sealed under the key-encryption key {kek_id}, but WALLETS_KEK is "
        f"{key_provider().id}. Put the original key back, or name it in WALLETS_PREVIOUS_KEKS."
    )


def _provider(name: str, *, is_current: bool) -> KekProvider:
    kind, _, rest = name.partition(":")
    if kind == "file":
        return _file(Path(rest) if rest else None, is_current=is_current)
    # Loaded when chosen: an installation with a file needs neither.
    if kind == "aws-kms":
        from wallets.kek_aws import AwsKmsKek

        return AwsKmsKek(rest, wallet_settings())
    if kind == "vault":
        from wallets.kek_vault import VaultTransitKek

        return VaultTransitKek(rest, wallet_settings())
    raise KeyEncryptionKeyError(
        f"{name!r} is no key-encryption key. WALLETS_KEK is file, file:PATH, aws-kms:KEY-ARN or "
        "vault:MOUNT/KEY."
    )


def _file(path: Path | None, *, is_current: bool) -> KekProvider:
    settings = wallet_settings()
    if core_settings().is_production and not settings.allow_kek_file_in_production:
        raise KeyEncryptionKeyError(
            "In production keys are not protected by a file beside the data. Set "
            "WALLETS_ALLOW_KEK_FILE_IN_PRODUCTION=true only if the file is on a separate volume."
        )
    default = settings.kek_file or core_settings().data_dir / "secrets" / "kek"
    return kek_file.FileKek(path or default, make=is_current)

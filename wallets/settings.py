"""Where the key-encryption key is."""

from functools import cache
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class WalletSettings(BaseSettings):
    """Settings of custody, prefix `WALLETS_`."""

    model_config = SettingsConfigDict(env_prefix="WALLETS_", extra="ignore", env_ignore_empty=True)

    kek_file: Path | None = None
    allow_kek_file_in_production: bool = False


@cache
def wallet_settings() -> WalletSettings:
    """The settings of this process, read once."""
    return WalletSettings()

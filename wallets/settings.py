"""Where the signer and the key-encryption key are, and how they are reached."""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core.settings import core_settings
from core.sockets import folder_for, refuse_foreign


class WalletSettings(BaseSettings):
    """Settings of custody, prefix `WALLETS_`.

    A key-encryption key is named `file`, `file:PATH`, `aws-kms:KEY-ARN` or `vault:MOUNT/KEY`.
    """

    model_config = SettingsConfigDict(env_prefix="WALLETS_", extra="ignore", env_ignore_empty=True)

    signer_socket: Path | None = None
    kek: str = "file"
    previous_keks: Annotated[list[str], NoDecode] = []
    kek_timeout_seconds: float = Field(default=5, gt=0, le=60)
    kek_file: Path | None = None
    allow_kek_file_in_production: bool = False
    aws_kms_endpoint_url: str | None = None
    vault_url: str | None = None
    vault_token: SecretStr | None = None
    vault_token_file: Path | None = None
    vault_namespace: str | None = None
    vault_ca_file: Path | None = None

    @field_validator("previous_keks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [name.strip() for name in value.split(",") if name.strip()]
        return value


@cache
def wallet_settings() -> WalletSettings:
    """The settings of this process, read once."""
    return WalletSettings()


_SOCKET_NAME = "signer.sock"


def socket_path() -> Path:
    """Where the signer listens.

    Raises:
        ForeignFolderError: somebody else could listen there.
    """
    given = wallet_settings().signer_socket
    if given is not None:
        return given
    home = core_settings().data_dir.resolve()
    inside = home / "run"
    folder = folder_for(inside, f"{_SOCKET_NAME}.1234567", owner=home)
    if folder != inside:
        refuse_foreign(folder)
    return folder / _SOCKET_NAME

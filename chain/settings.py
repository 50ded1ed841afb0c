"""How this installation reaches its chain."""

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class ChainSettings(BaseSettings):
    """Settings of the chain, prefix `CHAIN_`.

    They seed the first chain row; then the row rules, but for the addresses of the nodes.
    """

    model_config = SettingsConfigDict(env_prefix="CHAIN_", extra="ignore", env_ignore_empty=True)

    rpc_urls: Annotated[list[str], NoDecode] = []
    id: int = 31337
    name: str = "Local chain"
    explorer_url: str | None = None
    native_symbol: str = "ETH"
    confirmations: int | None = None
    local_port: int = 8545
    anvil_path: Path | None = None
    max_fee_per_gas_wei: int | None = None
    priority_fee_per_gas_wei: int = 1_000_000_000
    rebroadcast_seconds: int = 10
    bump_seconds: int = 90
    in_flight: int = 16
    poll_seconds: int = 3
    connect_timeout_seconds: float = 3
    read_timeout_seconds: float = 10

    @field_validator("rpc_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [url.strip() for url in value.split(",") if url.strip()]
        return value

    @property
    def is_embedded(self) -> bool:
        """True when the development chain runs under our own supervisor."""
        return not self.rpc_urls

    @property
    def local_url(self) -> str:
        """Where the embedded chain answers."""
        return f"http://127.0.0.1:{self.local_port}"


@cache
def chain_settings() -> ChainSettings:
    """The settings of this process, read once."""
    return ChainSettings()

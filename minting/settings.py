"""Where content is pinned besides the installation's own store."""

from functools import cache

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ContentSettings(BaseSettings):
    """Settings of the optional IPFS node, prefix `IPFS_`."""

    model_config = SettingsConfigDict(env_prefix="IPFS_", extra="ignore", env_ignore_empty=True)

    api_url: str | None = None
    """Kubo RPC API, for example `http://127.0.0.1:5001`; empty keeps content here only."""
    api_token: SecretStr | None = None
    """Sent as a bearer token, for nodes behind a proxy."""
    timeout_seconds: int = Field(default=60, ge=1, le=600)
    """For one request, up to its last byte."""


@cache
def content_settings() -> ContentSettings:
    """The settings of this process, read once."""
    return ContentSettings()

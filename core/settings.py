"""Installation settings: where the database, the broker, the data and the secrets are.

Every value comes from the environment. Empty connection settings mean "the embedded part", which
`cohort up` starts and whose addresses it hands to its children through the same variables.
"""

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Environment(StrEnum):
    """How careful the installation must be: production refuses every development default."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    """Console lines for people, JSON lines for machines."""

    CONSOLE = "console"
    JSON = "json"


class CoreSettings(BaseSettings):
    """Settings every process reads; one environment variable each, prefix `COHORT_`."""

    model_config = SettingsConfigDict(env_prefix="COHORT_", extra="ignore", env_ignore_empty=True)

    environment: Environment = Environment.DEVELOPMENT
    data_dir: Path = Path(".cohort")
    database_url: SecretStr | None = None
    database_owner_url: SecretStr | None = None
    database_signer_url: SecretStr | None = None
    broker_url: SecretStr | None = None
    secret_key: SecretStr | None = None
    smtp_url: SecretStr | None = None
    mail_from: str = ""
    public_url: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    organisation_name: str = "Alder & Tide Coffee"
    owner_email: str = "owner@example.com"
    log_format: LogFormat = LogFormat.CONSOLE
    log_level: str = "INFO"

    @model_validator(mode="after")
    def _public_url_of_this_machine(self) -> Self:
        """Without an address of its own, the installation is where it listens."""
        self.public_url = (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")
        return self

    @property
    def is_production(self) -> bool:
        """True when development defaults must refuse to work."""
        return self.environment is Environment.PRODUCTION

    @property
    def is_secure(self) -> bool:
        """True when people reach the installation over https, so cookies must be `Secure`."""
        return self.public_url.startswith("https://")


@cache
def core_settings() -> CoreSettings:
    """The settings of this process, read once; tests call `core_settings.cache_clear()`."""
    return CoreSettings()

"""Every provider of key-encryption keys, running, with a second key beside the first."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.server import create_backend_app
from pydantic import SecretStr
from pytest import MonkeyPatch

from core.settings import core_settings
from tests.wallets import vault_double
from tests.wallets.loopback import Front, from_wsgi, serving
from wallets import data_keys
from wallets.kek import KekProvider
from wallets.kek_aws import AwsKmsKek
from wallets.kek_file import FileKek
from wallets.kek_vault import VaultTransitKek
from wallets.keyring import key_provider, previous_providers
from wallets.settings import WalletSettings, wallet_settings

REGION = "eu-west-1"
AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing-id",
    "AWS_SECRET_ACCESS_KEY": "testing-secret-canary",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class World:
    """A provider as an installation has it.

    Args:
        provider: the key of the installation.
        foreign: another key in the same place.
        impatient: the first key, asked with a short timeout.
        front: the server between, where there is one.
        rotate: makes a newer version of the first key.
    """

    provider: KekProvider
    foreign: KekProvider
    impatient: KekProvider
    front: Front | None = None
    rotate: Callable[[], None] = lambda: None
    vault: vault_double.Vault | None = None

    def reset(self) -> None:
        """As a test wants to find it."""
        if self.front is not None:
            self.front.reset()


def patient(**changes: Any) -> WalletSettings:
    """Settings under which only a fault runs out of time."""
    return WalletSettings(**{"kek_timeout_seconds": 20, **changes})


@contextmanager
def file_world(folder: Path) -> Iterator[World]:
    """Two key files."""
    key = FileKek(folder / "kek")
    yield World(key, FileKek(folder / "foreign"), key)


@contextmanager
def aws_world(_folder: Path) -> Iterator[World]:
    """Two KMS keys of moto, behind a loopback server."""
    with serving(from_wsgi(create_backend_app("kms"))) as front, MonkeyPatch.context() as patch:
        for name, value in AWS_VARIABLES.items():
            patch.setenv(name, value)
        client = boto3.session.Session().client("kms", region_name=REGION, endpoint_url=front.url)
        first, second = (
            client.create_key(KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["Arn"] for _ in range(2)
        )
        settings = patient(aws_kms_endpoint_url=front.url)
        hasty = patient(aws_kms_endpoint_url=front.url, kek_timeout_seconds=0.2)
        yield World(
            AwsKmsKek(first, settings),
            AwsKmsKek(second, settings),
            AwsKmsKek(first, hasty),
            front,
        )


def vault_settings(url: str, **changes: Any) -> WalletSettings:
    """How the double is reached."""
    token = SecretStr(vault_double.TOKEN)
    return patient(**{"vault_url": url, "vault_token": token, **changes})


@contextmanager
def vault_world(_folder: Path) -> Iterator[World]:
    """Two transit keys of the double."""
    vault = vault_double.Vault()
    vault.keys = {"cohort": vault_double.Key(), "foreign": vault_double.Key()}
    with serving(vault.app) as front:
        settings = vault_settings(front.url)
        hasty = vault_settings(front.url, kek_timeout_seconds=0.2)
        yield World(
            VaultTransitKek("transit/cohort", settings),
            VaultTransitKek("transit/foreign", settings),
            VaultTransitKek("transit/cohort", hasty),
            front,
            vault.keys["cohort"].rotate,
            vault,
        )


class VaultWorld:
    """The installation's key is a transit key, reached through a server that can fail."""

    def __init__(self, world: World) -> None:
        assert world.vault is not None
        assert world.front is not None
        self.vault: vault_double.Vault = world.vault
        self.front = world.front
        self.rotate = world.rotate


WORLDS = {"file": file_world, "aws-kms": aws_world, "vault": vault_world}
REMOTE = [name for name in WORLDS if name != "file"]


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """These variables are what the settings are read from, inside the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    _forget()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _forget()


def _forget() -> None:
    data_keys.forget()
    for cached in (core_settings, wallet_settings, key_provider, previous_providers):
        cached.cache_clear()

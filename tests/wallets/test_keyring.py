"""The settings choose the key that wraps, and name those that still open."""

from pathlib import Path
from uuid import UUID

import pytest

from core.types import DataKeyId, MerchantId
from tests.wallets.kek_worlds import AWS_VARIABLES, environment, vault_world
from tests.wallets.vault_double import TOKEN
from wallets.errors import KeyEncryptionKeyError
from wallets.kek import DekContext
from wallets.kek_aws import AwsKmsKek
from wallets.kek_file import FileKek
from wallets.kek_vault import VaultTransitKek
from wallets.keyring import key_provider, provider_of

CONTEXT = DekContext(MerchantId(UUID(int=1)), DataKeyId(UUID(int=2)))
ARN = "arn:aws:kms:eu-west-1:123456789012:key/0d990263-018e-4e65-a703-eff731de951e"


class TestKeyProvider:
    def test_the_file_is_in_the_data_directory_unless_set(self, tmp_path: Path) -> None:
        with environment(COHORT_DATA_DIR=str(tmp_path)):
            key_provider()
        assert (tmp_path / "secrets" / "kek").exists()

    def test_another_place_can_be_set(self, tmp_path: Path) -> None:
        with environment(WALLETS_KEK_FILE=str(tmp_path / "elsewhere")):
            key_provider()
        assert (tmp_path / "elsewhere").exists()

    def test_production_refuses_a_file_beside_the_data(self, tmp_path: Path) -> None:
        with (
            environment(COHORT_ENVIRONMENT="production", COHORT_DATA_DIR=str(tmp_path)),
            pytest.raises(KeyEncryptionKeyError, match="WALLETS_ALLOW_KEK_FILE_IN_PRODUCTION=true"),
        ):
            key_provider()
        assert not (tmp_path / "secrets").exists()

    def test_production_takes_it_when_somebody_says_so(self, tmp_path: Path) -> None:
        with environment(
            COHORT_ENVIRONMENT="production",
            COHORT_DATA_DIR=str(tmp_path),
            WALLETS_ALLOW_KEK_FILE_IN_PRODUCTION="true",
        ):
            assert key_provider().id

    def test_a_file_may_be_named_whole(self, tmp_path: Path) -> None:
        with environment(WALLETS_KEK=f"file:{tmp_path / 'named'}"):
            assert isinstance(key_provider(), FileKek)
        assert (tmp_path / "named").exists()

    def test_a_kms_key_is_named_by_its_arn(self) -> None:
        with environment(WALLETS_KEK=f"aws-kms:{ARN}", **AWS_VARIABLES):
            provider = key_provider()
        assert isinstance(provider, AwsKmsKek)
        assert provider.id == f"aws-kms:{ARN}"

    def test_a_transit_key_is_named_by_mount_and_key(self) -> None:
        with environment(
            WALLETS_KEK="vault:secret/transit/cohort",
            WALLETS_VAULT_URL="http://127.0.0.1:8200",
            WALLETS_VAULT_TOKEN=TOKEN,
        ):
            provider = key_provider()
        assert isinstance(provider, VaultTransitKek)
        assert provider.id == "vault:secret/transit/cohort"

    @pytest.mark.parametrize(
        "name",
        [
            "hsm:1",
            "aws-kms:",
            "aws-kms:alias/cohort",
            f"aws-kms:{ARN.replace('key/', 'alias/')}",
            "vault:cohort",
            "vault:",
            "Vault:transit/cohort",
        ],
    )
    def test_what_names_no_key_is_refused(self, name: str) -> None:
        with (
            environment(WALLETS_KEK=name, WALLETS_VAULT_URL="http://127.0.0.1:1"),
            pytest.raises(KeyEncryptionKeyError),
        ):
            key_provider()


class TestProviderOf:
    def test_what_the_current_key_wrapped_is_its_own(self, tmp_path: Path) -> None:
        with environment(WALLETS_KEK=f"file:{tmp_path / 'kek'}"):
            assert provider_of(key_provider().id) is key_provider()

    def test_a_named_key_of_earlier_days_opens_what_it_wrapped(self, tmp_path: Path) -> None:
        dek, wrapped = FileKek(tmp_path / "old").generate_dek(CONTEXT)
        with environment(
            WALLETS_KEK=f"file:{tmp_path / 'new'}",
            WALLETS_PREVIOUS_KEKS=f"file:{tmp_path / 'older'}, file:{tmp_path / 'old'}",
        ):
            FileKek(tmp_path / "older")
            provider = provider_of(wrapped.kek_id)
            assert provider.unwrap(wrapped.blob, CONTEXT) == dek
            assert provider is not key_provider()

    def test_a_version_of_a_key_is_opened_by_the_key(self, tmp_path: Path) -> None:
        with (
            vault_world(tmp_path) as world,
            environment(
                WALLETS_KEK="vault:transit/cohort",
                WALLETS_VAULT_URL=world.front.url if world.front else "",
                WALLETS_VAULT_TOKEN=TOKEN,
            ),
        ):
            dek, wrapped = key_provider().generate_dek(CONTEXT)
            world.rotate()
            assert wrapped.kek_id == "vault:transit/cohort#v1"
            assert provider_of(wrapped.kek_id).unwrap(wrapped.blob, CONTEXT) == dek

    @pytest.mark.parametrize(
        "kek_id", ["", "0123456789abcdef", f"aws-kms:{ARN}", "vault:transit/cohort#v1"]
    )
    def test_a_row_cannot_bring_a_key_of_its_own(self, tmp_path: Path, kek_id: str) -> None:
        with (
            environment(WALLETS_KEK=f"file:{tmp_path / 'kek'}"),
            pytest.raises(KeyEncryptionKeyError, match="or name it in WALLETS_PREVIOUS_KEKS"),
        ):
            provider_of(kek_id)

    def test_a_missing_file_of_earlier_days_is_not_made(self, tmp_path: Path) -> None:
        with (
            environment(
                WALLETS_KEK=f"file:{tmp_path / 'kek'}",
                WALLETS_PREVIOUS_KEKS=f"file:{tmp_path / 'gone'}",
            ),
            pytest.raises(KeyEncryptionKeyError, match="There is no key file"),
        ):
            provider_of("0123456789abcdef")
        assert not (tmp_path / "gone").exists()

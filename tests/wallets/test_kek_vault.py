"""What only Vault has: tokens, policies, seals, versions, and keys of the wrong kind."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from core.types import DataKeyId, MerchantId
from tests.wallets.kek_worlds import environment, vault_settings, vault_world
from tests.wallets.loopback import Front
from tests.wallets.vault_double import TOKEN, Key, Vault
from wallets.errors import KekUnavailableError, KeyEncryptionKeyError
from wallets.kek import DekContext
from wallets.kek_vault import VaultTransitKek
from wallets.settings import WalletSettings

CONTEXT = DekContext(MerchantId(UUID(int=1)), DataKeyId(UUID(int=2)))


class Place:
    """The double, the server before it, and a provider for it."""

    def __init__(self, vault: Vault, front: Front) -> None:
        self.vault = vault
        self.front = front
        self.kek = VaultTransitKek("transit/cohort", vault_settings(front.url))

    @property
    def key(self) -> Key:
        """The installation's transit key."""
        return self.vault.keys["cohort"]

    def headers(self) -> dict[str, str]:
        """Of the last request."""
        return self.front.asked[-1].headers


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A Vault of the test's own."""
    with vault_world(tmp_path) as world:
        assert world.vault is not None
        assert world.front is not None
        yield Place(world.vault, world.front)


class TestVersions:
    def test_a_new_version_wraps_and_the_old_one_still_opens(self, place: Place) -> None:
        dek, first = place.kek.generate_dek(CONTEXT)
        place.key.rotate()
        _, second = place.kek.generate_dek(CONTEXT)
        assert (first.kek_id[-3:], second.kek_id[-3:]) == ("#v1", "#v2")
        assert place.kek.unwrap(first.blob, CONTEXT) == dek

    def test_a_version_below_the_least_is_refused_and_named(self, place: Place) -> None:
        _, wrapped = place.kek.generate_dek(CONTEXT)
        place.key.rotate()
        place.key.min_decryption_version = 2
        for work in (place.kek.unwrap, place.kek.rewrap):
            with pytest.raises(KeyEncryptionKeyError, match="below its min_decryption_version"):
                work(wrapped.blob, CONTEXT)

    def test_wrapped_anew_it_opens_although_the_least_was_raised(self, place: Place) -> None:
        dek, wrapped = place.kek.generate_dek(CONTEXT)
        place.key.rotate()
        again = place.kek.rewrap(wrapped.blob, CONTEXT)
        place.key.min_decryption_version = 2
        assert place.kek.unwrap(again.blob, CONTEXT) == dek

    def test_a_rewrapped_key_was_never_outside(self, place: Place) -> None:
        _, wrapped = place.kek.generate_dek(CONTEXT)
        place.front.asked.clear()
        place.kek.rewrap(wrapped.blob, CONTEXT)
        assert [request.path for request in place.front.asked] == ["/v1/transit/rewrap/cohort"]


class TestKeyKinds:
    @pytest.mark.parametrize(
        "key", [Key(derived=False), Key(type="rsa-4096"), Key(type="hmac")], ids=repr
    )
    def test_a_key_that_would_not_bind_the_context_wraps_nothing(
        self, place: Place, key: Key
    ) -> None:
        place.vault.keys["cohort"] = key
        for work in (
            place.kek.health,
            lambda: place.kek.generate_dek(CONTEXT),
            lambda: place.kek.wrap(b"d" * 32, CONTEXT),
        ):
            with pytest.raises(KeyEncryptionKeyError, match="type=aes256-gcm96 derived=true"):
                work()

    def test_a_key_that_does_not_exist_is_named(self, place: Place) -> None:
        del place.vault.keys["cohort"]
        with pytest.raises(KeyEncryptionKeyError, match="knows no key vault:transit/cohort"):
            place.kek.health()

    def test_the_kind_is_asked_once(self, place: Place) -> None:
        for _ in range(3):
            place.kek.generate_dek(CONTEXT)
        asked = [request.path for request in place.front.asked if request.method == "GET"]
        assert asked == ["/v1/transit/keys/cohort"]


class TestAccess:
    def test_a_sealed_vault_is_a_reason_to_try_later(self, place: Place) -> None:
        dek, wrapped = place.kek.generate_dek(CONTEXT)
        place.vault.sealed = True
        with pytest.raises(KekUnavailableError, match="Vault is sealed"):
            place.kek.unwrap(wrapped.blob, CONTEXT)
        place.vault.sealed = False
        assert place.kek.unwrap(wrapped.blob, CONTEXT) == dek

    def test_a_token_that_ended_is_refused_without_being_shown(self, place: Place) -> None:
        place.vault.tokens.clear()
        with pytest.raises(KeyEncryptionKeyError, match="does not let this token") as caught:
            place.kek.health()
        assert TOKEN not in str(caught.value)

    def test_a_policy_may_allow_opening_only(self, place: Place) -> None:
        dek, wrapped = place.kek.generate_dek(CONTEXT)
        place.vault.allowed = {"decrypt"}
        assert place.kek.unwrap(wrapped.blob, CONTEXT) == dek
        with pytest.raises(KeyEncryptionKeyError):
            place.kek.generate_dek(CONTEXT)

    def test_a_renewed_token_file_is_read_again(self, place: Place, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("ended\n")
        settings = vault_settings(place.front.url, vault_token=None, vault_token_file=file)
        kek = VaultTransitKek("transit/cohort", settings)
        with pytest.raises(KeyEncryptionKeyError):
            kek.health()
        file.write_text(f"{TOKEN}\n")
        assert kek.health()

    def test_a_token_file_that_is_gone_is_named(self, place: Place, tmp_path: Path) -> None:
        settings = vault_settings(place.front.url, vault_token_file=tmp_path / "token")
        with pytest.raises(KeyEncryptionKeyError, match="token cannot be read"):
            VaultTransitKek("transit/cohort", settings).health()

    def test_a_namespace_is_sent_when_there_is_one(self, place: Place) -> None:
        place.kek.health()
        assert "x-vault-namespace" not in place.headers()
        settings = vault_settings(place.front.url, vault_namespace="brand/a")
        VaultTransitKek("transit/cohort", settings).health()
        assert place.headers()["x-vault-namespace"] == "brand/a"


class TestSettings:
    def test_an_address_is_needed(self) -> None:
        with pytest.raises(KeyEncryptionKeyError, match="Set WALLETS_VAULT_URL"):
            VaultTransitKek("transit/cohort", WalletSettings())

    def test_a_token_is_needed(self) -> None:
        with pytest.raises(KeyEncryptionKeyError, match="WALLETS_VAULT_TOKEN_FILE"):
            VaultTransitKek("transit/cohort", WalletSettings(vault_url="https://vault"))

    def test_production_sends_nothing_over_http(self) -> None:
        with environment(COHORT_ENVIRONMENT="production"):
            with pytest.raises(KeyEncryptionKeyError, match="over https only"):
                VaultTransitKek("transit/cohort", vault_settings("http://vault:8200"))
            assert VaultTransitKek("transit/cohort", vault_settings("https://vault:8200")).id
            assert VaultTransitKek("transit/cohort", vault_settings("http://127.0.0.1:8200")).id

    def test_no_setting_shows_the_token(self) -> None:
        assert TOKEN not in repr(vault_settings("https://vault"))

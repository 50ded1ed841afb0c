"""A key-encryption key in the transit engine of Vault (or OpenBao): it never leaves it.

The key must be a *derived* one: then the context, which names merchant and data key, goes into
the derivation, and one shard's data key does not open for another. (Associated data would not do:
the API takes none when it makes a data key or wraps one anew.)

References:
    Vault HTTP API, transit secrets engine: keys, datakey, encrypt, decrypt, rewrap.
"""

import re
from base64 import b64decode, b64encode
from http import HTTPStatus
from ssl import create_default_context
from typing import Any
from urllib.parse import urlsplit

import httpx

from core.settings import core_settings
from wallets.errors import KekUnavailableError, KeyEncryptionKeyError
from wallets.kek import KEY_BYTES, VERSION_MARK, DekContext, WrappedDek
from wallets.settings import WalletSettings

KIND = "vault"
_NAME = re.compile(r"(?P<mount>[A-Za-z0-9_./-]+)/(?P<key>[A-Za-z0-9_.-]+)")
# Nonce, data key and tag are 60 bytes, which are 80 digits of base64.
_CIPHERTEXT = re.compile(r"vault:v(?P<version>[1-9][0-9]*):[A-Za-z0-9+/]{80,}=*")
_TYPES = {"aes256-gcm96", "chacha20-poly1305"}
_TOO_OLD = "too old"


class VaultTransitKek:
    """Wraps data keys with a derived transit key.

    Args:
        name: mount and key, for example `transit/cohort`.

    Raises:
        KeyEncryptionKeyError: the name, the URL or the token is missing or unusable.
    """

    def __init__(self, name: str, settings: WalletSettings) -> None:
        found = _NAME.fullmatch(name)
        if found is None:
            raise KeyEncryptionKeyError(
                f"{name!r} does not name a transit key. Give mount and key, as in transit/cohort."
            )
        self.id = f"{KIND}:{name}"
        self._key = found["key"]
        self._settings = settings
        self._is_checked = False
        self._client = _client(found["mount"], settings)

    def generate_dek(self, context: DekContext) -> tuple[bytes, WrappedDek]:
        """A new data key, made by Vault, and its wrapped form.

        Raises:
            KekUnavailableError: no usable answer in time, or Vault is sealed.
            KeyEncryptionKeyError: Vault refuses, or the key is not a derived one.
        """
        self._check_key_once()
        answer = self._ask("POST", f"datakey/plaintext/{self._key}", _body(context))
        return self._dek(answer), self._wrapped(answer)

    def wrap(self, dek: bytes, context: DekContext) -> WrappedDek:
        """The data key under the newest version of this key.

        Raises:
            KekUnavailableError: no usable answer in time, or Vault is sealed.
            KeyEncryptionKeyError: Vault refuses, or the key is not a derived one.
        """
        self._check_key_once()
        body = _body(context, plaintext=b64encode(dek).decode())
        return self._wrapped(self._ask("POST", f"encrypt/{self._key}", body))

    def unwrap(self, blob: bytes, context: DekContext) -> bytes:
        """The data key inside `blob`.

        Raises:
            KekUnavailableError: no usable answer in time, or Vault is sealed.
            KeyEncryptionKeyError: another key or context, changed bytes, a version below
                `min_decryption_version`, or no right to.
        """
        body = _body(context, ciphertext=self._ciphertext(blob))
        return self._dek(self._ask("POST", f"decrypt/{self._key}", body))

    def rewrap(self, blob: bytes, context: DekContext) -> WrappedDek:
        """The same data key under the newest version; it is never outside Vault.

        Raises:
            KekUnavailableError: no usable answer in time, or Vault is sealed.
            KeyEncryptionKeyError: another key or context, changed bytes, a version below
                `min_decryption_version`, or no right to.
        """
        body = _body(context, ciphertext=self._ciphertext(blob))
        return self._wrapped(self._ask("POST", f"rewrap/{self._key}", body))

    def health(self) -> str:
        """The key and its newest version, when it is one that can wrap.

        Raises:
            KekUnavailableError: no usable answer in time, or Vault is sealed.
            KeyEncryptionKeyError: there is no such key, it is not ours to see, or of a wrong kind.
        """
        about = self._ask("GET", f"keys/{self._key}")
        version = about.get("latest_version")
        if not isinstance(version, int):
            raise self._nonsense()
        if about.get("type") not in _TYPES or about.get("derived") is not True:
            raise KeyEncryptionKeyError(
                f"The transit key {self.id} is of type {about.get('type')} with "
                f"derived={about.get('derived')}. Make one with type=aes256-gcm96 derived=true: "
                "only then does Vault bind a data key to its shard."
            )
        self._is_checked = True
        return self._versioned(version)

    def _check_key_once(self) -> None:
        if not self._is_checked:
            self.health()

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, json=body, headers=self._headers())
        except httpx.TimeoutException:
            reason = f"no answer within {self._settings.kek_timeout_seconds:g} seconds"
            raise KekUnavailableError(self.id, reason) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise KekUnavailableError(self.id, type(error).__name__) from None
        if response.status_code != HTTPStatus.OK:
            raise self._refusal(response)
        try:
            data = response.json()["data"]
        except (ValueError, KeyError, TypeError):
            raise self._nonsense() from None
        if not isinstance(data, dict):
            raise self._nonsense()
        return data

    def _refusal(self, response: httpx.Response) -> KeyEncryptionKeyError | KekUnavailableError:
        """Vault's own words are read, never repeated: they are not ours to vouch for."""
        status = response.status_code
        if status == HTTPStatus.FORBIDDEN:
            return KeyEncryptionKeyError(
                f"Vault does not let this token work with {self.id}. Renew the token, and give its "
                "policy `update` on datakey, encrypt, decrypt and rewrap and `read` on keys."
            )
        if status == HTTPStatus.NOT_FOUND:
            return KeyEncryptionKeyError(
                f"Vault knows no key {self.id}. Check WALLETS_KEK, WALLETS_VAULT_URL and "
                "WALLETS_VAULT_NAMESPACE."
            )
        if status == HTTPStatus.BAD_REQUEST and _TOO_OLD in response.text:
            return KeyEncryptionKeyError(
                f"This data key is wrapped under a version of {self.id} that is below its "
                "min_decryption_version. Lower that, run `cohort wallets rotate-kek`, raise it."
            )
        if status == HTTPStatus.BAD_REQUEST:
            return KeyEncryptionKeyError(
                f"{self.id} does not open this data key: it was wrapped under another key or for "
                "another shard, or was changed. Restore it from a backup."
            )
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            return KekUnavailableError(self.id, "Vault is sealed or in maintenance")
        return KekUnavailableError(self.id, f"Vault answered {status}")

    def _headers(self) -> dict[str, str]:
        """A token file is read each time: whoever renews the token replaces it."""
        settings = self._settings
        headers = {"X-Vault-Request": "true"}
        if settings.vault_namespace:
            headers["X-Vault-Namespace"] = settings.vault_namespace
        if settings.vault_token_file is not None:
            try:
                headers["X-Vault-Token"] = settings.vault_token_file.read_text("ascii").strip()
            except (OSError, ValueError):
                raise KeyEncryptionKeyError(
                    f"The Vault token in {settings.vault_token_file} cannot be read."
                ) from None
        elif settings.vault_token is not None:
            headers["X-Vault-Token"] = settings.vault_token.get_secret_value()
        return headers

    def _ciphertext(self, blob: bytes) -> str:
        text = blob.decode("ascii", errors="replace")
        if _CIPHERTEXT.fullmatch(text) is None:
            raise KeyEncryptionKeyError(
                f"This data key was not wrapped by {self.id}, or was changed. Restore it from a "
                "backup."
            )
        return text

    def _dek(self, answer: dict[str, Any]) -> bytes:
        try:
            dek = b64decode(answer["plaintext"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise self._nonsense() from None
        if len(dek) != KEY_BYTES:
            raise self._nonsense()
        return dek

    def _wrapped(self, answer: dict[str, Any]) -> WrappedDek:
        text = answer.get("ciphertext")
        found = _CIPHERTEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise self._nonsense()
        return WrappedDek(self._versioned(int(found["version"])), found[0].encode())

    def _versioned(self, version: int) -> str:
        return f"{self.id}{VERSION_MARK}v{version}"

    def _nonsense(self) -> KekUnavailableError:
        return KekUnavailableError(self.id, "its answer makes no sense")


def _body(context: DekContext, **fields: str) -> dict[str, str]:
    return {"context": b64encode(context.packed()).decode(), **fields}


def _client(mount: str, settings: WalletSettings) -> httpx.Client:
    if settings.vault_url is None:
        raise KeyEncryptionKeyError("Set WALLETS_VAULT_URL to the address of Vault.")
    if settings.vault_token is None and settings.vault_token_file is None:
        raise KeyEncryptionKeyError("Set WALLETS_VAULT_TOKEN or WALLETS_VAULT_TOKEN_FILE.")
    address = urlsplit(settings.vault_url)
    is_local = address.hostname in {"127.0.0.1", "::1", "localhost"}
    if core_settings().is_production and address.scheme != "https" and not is_local:
        raise KeyEncryptionKeyError(
            "In production Vault is reached over https only: token and data keys travel there."
        )
    ca_file = settings.vault_ca_file
    return httpx.Client(
        base_url=f"{settings.vault_url.rstrip('/')}/v1/{mount}/",
        timeout=settings.kek_timeout_seconds,
        # A connection used once: no answer can be taken for that of another question.
        limits=httpx.Limits(max_keepalive_connections=0),
        # Nobody between may see the token: no proxy of the environment, no redirect.
        trust_env=False,
        follow_redirects=False,
        verify=True if ca_file is None else create_default_context(cafile=ca_file),
    )

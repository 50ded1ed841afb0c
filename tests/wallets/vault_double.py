"""Vault's transit engine in a hundred lines: it really encrypts, versions, derives and refuses.

Statuses and sentences are those of Vault 1.20.

References:
    https://developer.hashicorp.com/vault/api-docs/secret/transit
"""

import json
import os
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.wallets.loopback import Answer, Request

MOUNT = "transit"
TOKEN = "hvs.double-token-canary"


class RefusedError(Exception):
    """The double answers with this status and sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass
class Key:
    """A transit key; version 1 is the first of `versions`."""

    derived: bool = True
    type: str = "aes256-gcm96"
    versions: list[bytes] = field(default_factory=lambda: [os.urandom(32)])
    min_decryption_version: int = 1

    def rotate(self) -> None:
        """A newer version wraps from now on."""
        self.versions.append(os.urandom(32))

    def encrypt(self, plaintext: bytes, context: bytes) -> str:
        """Under the newest version."""
        nonce, version = os.urandom(12), len(self.versions)
        sealed = nonce + self._cipher(version, context).encrypt(nonce, plaintext, None)
        return f"vault:v{version}:{b64encode(sealed).decode()}"

    def decrypt(self, ciphertext: str, context: bytes) -> bytes:
        """What is inside."""
        prefix, _, encoded = ciphertext.partition(":")[2].partition(":")
        try:
            version, sealed = int(prefix.removeprefix("v")), b64decode(encoded, validate=True)
        except (ValueError, Base64Error):
            raise RefusedError(400, "invalid ciphertext: could not decode") from None
        if version < self.min_decryption_version:
            raise RefusedError(
                400, "ciphertext or signature version is disallowed by policy (too old)"
            )
        if not 1 <= version <= len(self.versions):
            raise RefusedError(400, "invalid ciphertext: version is too new")
        try:
            return self._cipher(version, context).decrypt(sealed[:12], sealed[12:], None)
        except (InvalidTag, ValueError):
            raise RefusedError(400, "invalid ciphertext: unable to decrypt") from None

    def _cipher(self, version: int, context: bytes) -> AESGCM:
        key = self.versions[version - 1]
        if not self.derived:
            return AESGCM(key)
        if not context:
            raise RefusedError(400, "missing 'context' for key derivation")
        return AESGCM(HKDF(hashes.SHA256(), length=32, salt=None, info=context).derive(key))


class Vault:
    """One server with one transit mount and one token."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.sealed = False
        self.tokens = {TOKEN}
        self.allowed = {"keys", "datakey", "encrypt", "decrypt", "rewrap"}

    def app(self, request: Request) -> Answer:
        """What Vault answers."""
        try:
            data = self._answer(request)
        except RefusedError as refusal:
            sentence = json.dumps({"errors": [str(refusal)]})
            return Answer(refusal.status, sentence.encode())
        return Answer(200, json.dumps({"request_id": "1", "data": data}).encode())

    def _answer(self, request: Request) -> dict[str, Any]:
        if self.sealed:
            raise RefusedError(503, "Vault is sealed")
        head, _, path = request.path.partition(f"/v1/{MOUNT}/")
        action, *rest = path.split("/")
        if request.headers.get("x-vault-token") not in self.tokens or action not in self.allowed:
            raise RefusedError(403, "1 error occurred:\n\t* permission denied\n\n")
        if head:
            raise RefusedError(404, "no handler for route")
        key = self.keys.get(rest[-1])
        if key is None:
            status = 404 if action == "keys" else 400
            raise RefusedError(status, "encryption key not found")
        body = json.loads(request.body or b"{}")
        return self._work(action, key, body, b64decode(body.get("context", "")))

    def _work(self, action: str, key: Key, body: dict[str, str], context: bytes) -> dict[str, Any]:
        if action == "keys":
            return {
                "type": key.type,
                "derived": key.derived,
                "latest_version": len(key.versions),
                "min_decryption_version": key.min_decryption_version,
            }
        if action == "decrypt":
            plaintext = key.decrypt(body["ciphertext"], context)
            return {"plaintext": b64encode(plaintext).decode()}
        if action == "rewrap":
            plaintext = key.decrypt(body["ciphertext"], context)
            return {"ciphertext": key.encrypt(plaintext, context)}
        if action == "encrypt":
            return {"ciphertext": key.encrypt(b64decode(body["plaintext"]), context)}
        plaintext = os.urandom(32)
        encoded = b64encode(plaintext).decode()
        return {"ciphertext": key.encrypt(plaintext, context), "plaintext": encoded}

"""A key-encryption key in AWS KMS: a symmetric key that never leaves it.

The encryption context carries merchant and data key, so AWS refuses to open one shard's key for
another, and its log names both. Credentials come from AWS's own chain (role, profile, variables).

References:
    AWS KMS API: GenerateDataKey, Encrypt, Decrypt, ReEncrypt, DescribeKey.
"""

import logging
import re
from hmac import compare_digest
from typing import Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from wallets.errors import KekUnavailableError, KeyEncryptionKeyError
from wallets.kek import KEY_BYTES, VERSION_MARK, DekContext, WrappedDek
from wallets.settings import WalletSettings

KIND = "aws-kms"
_ARN = re.compile(r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):\d{12}:key/[A-Za-z0-9-]+")
_WRONG_BYTES = {"InvalidCiphertextException", "IncorrectKeyException"}
_NOT_ALLOWED = {
    "AccessDeniedException",
    "DisabledException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidArnException",
    "InvalidKeyUsageException",
    "InvalidSignatureException",
    "KMSInvalidStateException",
    "MissingAuthenticationTokenException",
    "NotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
}


class AwsKmsKek:
    """Wraps data keys with a symmetric AWS KMS key.

    Args:
        arn: of the key itself; an alias could be pointed at another one.

    Raises:
        KeyEncryptionKeyError: the text is no key ARN.
    """

    def __init__(self, arn: str, settings: WalletSettings) -> None:
        found = _ARN.fullmatch(arn)
        if found is None:
            raise KeyEncryptionKeyError(
                f"{arn!r} does not name an AWS KMS key. Give the key's ARN, "
                "arn:aws:kms:REGION:ACCOUNT:key/ID; an alias could be pointed at another key."
            )
        self.id = f"{KIND}:{arn}"
        self._arn = arn
        self._seconds = settings.kek_timeout_seconds
        self._client = _client(found["region"], settings)

    def generate_dek(self, context: DekContext) -> tuple[bytes, WrappedDek]:
        """A new data key, made by AWS, and its wrapped form.

        Raises:
            KekUnavailableError: no usable answer in time.
            KeyEncryptionKeyError: AWS refuses.
        """
        answer = self._ask(
            "generate_data_key",
            KeyId=self._arn,
            KeySpec="AES_256",
            EncryptionContext=context.named(),
        )
        return self._dek(answer), self._wrapped(answer, answer.get("KeyMaterialId"))

    def wrap(self, dek: bytes, context: DekContext) -> WrappedDek:
        """The data key under this key; opened once, which also names the key material.

        Raises:
            KekUnavailableError: no usable answer in time.
            KeyEncryptionKeyError: AWS refuses.
        """
        answer = self._ask(
            "encrypt", KeyId=self._arn, Plaintext=dek, EncryptionContext=context.named()
        )
        opened = self._decrypt(self._wrapped(answer, None).blob, context)
        if not compare_digest(self._dek(opened), dek):
            raise self._nonsense()
        return self._wrapped(answer, opened.get("KeyMaterialId"))

    def unwrap(self, blob: bytes, context: DekContext) -> bytes:
        """The data key inside `blob`.

        Raises:
            KekUnavailableError: no usable answer in time.
            KeyEncryptionKeyError: another key or context, changed bytes, or no right to.
        """
        return self._dek(self._decrypt(blob, context))

    def rewrap(self, blob: bytes, context: DekContext) -> WrappedDek:
        """The same data key under the newest key material; it is never outside AWS.

        Raises:
            KekUnavailableError: no usable answer in time.
            KeyEncryptionKeyError: another key or context, changed bytes, or no right to.
        """
        answer = self._ask(
            "re_encrypt",
            CiphertextBlob=blob,
            SourceKeyId=self._arn,
            SourceEncryptionContext=context.named(),
            DestinationKeyId=self._arn,
            DestinationEncryptionContext=context.named(),
        )
        wrapped = self._wrapped(answer, answer.get("DestinationKeyMaterialId"))
        if answer.get("SourceKeyId") != self._arn:
            raise self._wrong_bytes()
        return wrapped

    def health(self) -> str:
        """The key and its newest material, when AWS lets it wrap.

        Raises:
            KekUnavailableError: no usable answer in time.
            KeyEncryptionKeyError: the key is disabled, of another kind, or not ours to see.
        """
        about = self._ask("describe_key", KeyId=self._arn).get("KeyMetadata")
        if not isinstance(about, dict) or about.get("Arn") != self._arn:
            raise self._nonsense()
        kind = (about.get("KeyState"), about.get("KeySpec"), about.get("KeyUsage"))
        if kind != ("Enabled", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"):
            raise KeyEncryptionKeyError(
                f"The AWS KMS key {self._arn} cannot wrap data keys: it is {kind[0]}, {kind[1]}, "
                f"{kind[2]}. It must be Enabled, SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT."
            )
        return self._versioned(about.get("CurrentKeyMaterialId"))

    def _decrypt(self, blob: bytes, context: DekContext) -> dict[str, Any]:
        # With its key named, AWS does not look for another one that would open the bytes.
        return self._ask(
            "decrypt", CiphertextBlob=blob, KeyId=self._arn, EncryptionContext=context.named()
        )

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            raise self._refusal(error) from None
        except NoCredentialsError:
            raise KeyEncryptionKeyError(
                "There are no AWS credentials. Give the machine a role, or set AWS_PROFILE or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            ) from None
        except (ConnectTimeoutError, ReadTimeoutError):
            reason = f"no answer within {self._seconds:g} seconds"
            raise KekUnavailableError(self.id, reason) from None
        except (BotoCoreError, ResponseParserError) as error:
            raise KekUnavailableError(self.id, type(error).__name__) from None
        except (TypeError, ValueError, AttributeError):  # its parser, over an answer of no sense
            raise self._nonsense() from None
        return answer

    def _refusal(self, error: ClientError) -> KeyEncryptionKeyError | KekUnavailableError:
        code = str(error.response.get("Error", {}).get("Code", "?"))
        if code in _WRONG_BYTES:
            return self._wrong_bytes()
        if code in _NOT_ALLOWED:
            return KeyEncryptionKeyError(
                f"AWS KMS refuses to work with {self._arn}: {code}. Check the key's state and "
                "policy, and the credentials of this process."
            )
        return KekUnavailableError(self.id, f"AWS answered {code[:64]}")

    def _wrong_bytes(self) -> KeyEncryptionKeyError:
        return KeyEncryptionKeyError(
            f"The AWS KMS key {self._arn} does not open this data key: it was wrapped under "
            "another key or for another shard, or was changed. Restore it from a backup."
        )

    def _dek(self, answer: dict[str, Any]) -> bytes:
        dek = answer.get("Plaintext")
        if answer.get("KeyId") != self._arn or not isinstance(dek, bytes) or len(dek) != KEY_BYTES:
            raise self._nonsense()
        return dek

    def _wrapped(self, answer: dict[str, Any], material: object) -> WrappedDek:
        blob = answer.get("CiphertextBlob")
        if answer.get("KeyId") != self._arn or not isinstance(blob, bytes) or not blob:
            raise self._nonsense()
        return WrappedDek(self._versioned(material), blob)

    def _versioned(self, material: object) -> str:
        """A KMS that does not name its key material leaves the version out."""
        return f"{self.id}{VERSION_MARK}{material}" if material else self.id

    def _nonsense(self) -> KekUnavailableError:
        return KekUnavailableError(self.id, "its answer makes no sense")


def _client(region: str, settings: WalletSettings) -> Any:
    # Loaded where it is used: it takes a third of a second, and other providers never need it.
    import boto3

    # At DEBUG botocore writes whole answers, and so data keys, into the log.
    logging.getLogger("botocore").setLevel(logging.INFO)
    seconds = settings.kek_timeout_seconds
    return boto3.session.Session().client(
        "kms",
        region_name=region,
        endpoint_url=settings.aws_kms_endpoint_url,
        config=Config(
            connect_timeout=seconds,
            read_timeout=seconds,
            # Whoever needed the key tries again later, with its own patience.
            retries={"total_max_attempts": 1},
        ),
    )

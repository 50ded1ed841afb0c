"""What only AWS KMS has: keys named by ARN, contexts in its log, refusals by code, key material."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from core.types import DataKeyId, MerchantId
from tests.wallets.kek_worlds import AWS_VARIABLES, World, aws_world, patient
from tests.wallets.loopback import Answer
from wallets.errors import KekUnavailableError, KeyEncryptionKeyError
from wallets.kek import DekContext
from wallets.kek_aws import AwsKmsKek

CONTEXT = DekContext(MerchantId(UUID(int=1)), DataKeyId(UUID(int=2)))
NAMED = {
    "purpose": "cohort data-key/v1",
    "merchant_id": "00000000-0000-0000-0000-000000000001",
    "data_key_id": "00000000-0000-0000-0000-000000000002",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A KMS of this module's own."""
    with aws_world(tmp_path_factory.mktemp("aws")) as world:
        yield world


@pytest.fixture
def aws(running: World) -> World:
    """The KMS, well."""
    running.reset()
    return running


def arn(world: World) -> str:
    return world.provider.id.removeprefix("aws-kms:")


def asked(world: World) -> dict[str, Any]:
    """The last request's parameters."""
    assert world.front is not None
    found: dict[str, Any] = json.loads(world.front.asked[-1].body)
    return found


def answer(world: World, status: int, **fields: Any) -> None:
    """The next answers are these."""
    assert world.front is not None
    world.front.fault = Answer(status, json.dumps(fields).encode())


class TestRequests:
    def test_the_context_names_merchant_and_data_key(self, aws: World) -> None:
        _, wrapped = aws.provider.generate_dek(CONTEXT)
        assert asked(aws)["EncryptionContext"] == NAMED
        aws.provider.unwrap(wrapped.blob, CONTEXT)
        assert asked(aws)["EncryptionContext"] == NAMED

    def test_only_the_configured_key_may_open(self, aws: World) -> None:
        _, wrapped = aws.provider.generate_dek(CONTEXT)
        aws.provider.unwrap(wrapped.blob, CONTEXT)
        assert asked(aws)["KeyId"] == arn(aws)

    def test_only_the_configured_key_is_wrapped_anew(self, aws: World) -> None:
        _, wrapped = aws.provider.generate_dek(CONTEXT)
        aws.provider.rewrap(wrapped.blob, CONTEXT)
        request = asked(aws)
        assert request["SourceKeyId"] == request["DestinationKeyId"] == arn(aws)
        contexts = request["SourceEncryptionContext"], request["DestinationEncryptionContext"]
        assert contexts == (NAMED, NAMED)
        assert "Plaintext" not in request


class TestRefusals:
    @pytest.mark.parametrize("code", ["InvalidCiphertextException", "IncorrectKeyException"])
    def test_bytes_that_do_not_open_are_not_tried_again(self, aws: World, code: str) -> None:
        answer(aws, 400, __type=code, message="secret-canary")
        with pytest.raises(KeyEncryptionKeyError, match="does not open this data key") as caught:
            aws.provider.unwrap(b"x" * 60, CONTEXT)
        assert "secret-canary" not in str(caught.value)

    @pytest.mark.parametrize(
        "code", ["AccessDeniedException", "DisabledException", "KMSInvalidStateException"]
    )
    def test_a_key_without_rights_is_named_with_the_reason(self, aws: World, code: str) -> None:
        answer(aws, 400, __type=code)
        with pytest.raises(KeyEncryptionKeyError, match=f"refuses to work with {arn(aws)}: {code}"):
            aws.provider.generate_dek(CONTEXT)

    @pytest.mark.parametrize(
        "code", ["ThrottlingException", "KMSInternalException", "KeyUnavailableException"]
    )
    def test_what_passes_is_a_reason_to_try_later(self, aws: World, code: str) -> None:
        answer(aws, 400, __type=code)
        with pytest.raises(KekUnavailableError, match=code) as caught:
            aws.provider.generate_dek(CONTEXT)
        assert caught.value.retry_after == 30

    @pytest.mark.parametrize(
        "changes",
        [{"KeyState": "Disabled"}, {"KeySpec": "RSA_2048"}, {"KeyUsage": "SIGN_VERIFY"}],
        ids=lambda changes: next(iter(changes)),
    )
    def test_a_key_of_another_kind_is_not_healthy(self, aws: World, changes: Any) -> None:
        about = {"KeyId": "x", "KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT"}
        about |= {"Arn": arn(aws), "KeyState": "Enabled"}
        answer(aws, 200, KeyMetadata={**about, **changes})
        with pytest.raises(KeyEncryptionKeyError, match="cannot wrap data keys"):
            aws.provider.health()


class TestKeyMaterial:
    def test_the_version_is_the_key_material_when_aws_names_it(self, aws: World) -> None:
        fields = {"KeyId": arn(aws), "CiphertextBlob": "AAAA", "Plaintext": "A" * 43 + "="}
        answer(aws, 200, **fields, KeyMaterialId="m2")
        _, wrapped = aws.provider.generate_dek(CONTEXT)
        assert wrapped.kek_id == f"aws-kms:{arn(aws)}#m2"

    def test_an_answer_of_another_key_is_not_used(self, aws: World) -> None:
        fields = {"KeyId": "another", "CiphertextBlob": "AAAA", "Plaintext": "A" * 43 + "="}
        answer(aws, 200, **fields)
        for work in (
            lambda: aws.provider.generate_dek(CONTEXT),
            lambda: aws.provider.unwrap(b"x", CONTEXT),
            lambda: aws.provider.rewrap(b"x", CONTEXT),
        ):
            with pytest.raises(KekUnavailableError, match="makes no sense"):
                work()

    def test_a_data_key_that_came_back_as_another_is_not_wrapped(self, aws: World) -> None:
        fields = {"KeyId": arn(aws), "CiphertextBlob": "AAAA", "Plaintext": "A" * 43 + "="}
        answer(aws, 200, **fields)
        with pytest.raises(KekUnavailableError):
            aws.provider.wrap(b"d" * 32, CONTEXT)


class TestCredentials:
    def test_their_absence_is_a_matter_of_settings(
        self, aws: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in AWS_VARIABLES.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert aws.front is not None
        kek = AwsKmsKek(arn(aws), patient(aws_kms_endpoint_url=aws.front.url))
        with pytest.raises(KeyEncryptionKeyError, match="There are no AWS credentials"):
            kek.health()
        assert aws.front.asked == []
